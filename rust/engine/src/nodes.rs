//! Nodes: opened, listened on, drained, closed, and looked at.

use std::net::ToSocketAddrs;
use std::path::Path;

use socket2::SockAddr;
use ztransport_proto::Dialect;
use ztransport_proto::fault::{FaultCode, Retry};

use crate::address::Address;
use crate::batch::Notice;
use crate::error::{Failure, FailureKind};
use crate::filter::TLS_HELLO;
use crate::keys::{NodeKey, PeerKey};
use crate::link::{Link, Phase};
use crate::node::{Accept, Listener, Node, NodeSettings, NodeStatistics, PeerInfo, PeerStatistics};
use crate::poller::Source;
use crate::socket::Socket;
use crate::state::Engine;

impl Engine {
    /// Opens a node. It neither listens nor dials yet.
    ///
    /// # Errors
    /// `Configuration` if the cluster's name or the limits cannot work.
    pub fn open_node(&mut self, settings: NodeSettings) -> Result<NodeKey, Failure> {
        let checked = settings.limits.validate();
        checked.map_err(|text| Failure::new(FailureKind::Configuration, text.to_string()))?;
        check_cluster(&settings.cluster)?;
        settings.check()?;
        let serial = self.next_serial();
        let entry = self.nodes.vacant_entry();
        let key = NodeKey {
            slot: entry.key() as u32,
            serial,
        };
        entry.insert(Node::new(key, settings));
        Ok(key)
    }

    /// Listens on `address` and returns it with the port that was bound. A node that advertises
    /// nothing else advertises this.
    ///
    /// # Errors
    /// `AddressInUse`, `Configuration` for a malformed address or a node that cannot listen, `Os`.
    pub fn listen(&mut self, node: NodeKey, address: &str) -> Result<String, Failure> {
        let slot = self.node_slot(node)?;
        self.check_can_listen(slot)?;
        let address = Address::parse(address)?;
        let (socket, path) = match &address {
            Address::Unix(path) => (listen_unix(path)?, Some(path.clone())),
            _ => (listen_ip(&address)?, None),
        };
        let bound = socket
            .local_ip()
            .map_or(address.to_string(), |ip| ip.to_string());
        let listener = Listener {
            socket,
            node: slot as u32,
            path,
            paused: false,
        };
        let index = self.listeners.insert(listener);
        let source = Source::Listener(index as u32);
        let added = self
            .poller
            .add(&self.listeners[index].socket, source, false);
        added.map_err(|error| Failure::os("cannot listen", &error))?;
        self.nodes[slot].advertise(&bound);
        Ok(bound)
    }

    /// The address others are told, empty if there is none, and whether listeners take Zeebe's
    /// protocol; none if the node is closed.
    #[must_use]
    pub fn advertised(&self, node: NodeKey) -> Option<(&str, bool)> {
        let settings = &self.nodes[self.node_slot(node).ok()?].settings;
        Some((&settings.advertise, settings.zeebe.is_accepted))
    }

    fn check_can_listen(&self, node: usize) -> Result<(), Failure> {
        let settings = &self.nodes[node].settings;
        match &settings.tls {
            Some(tls) if settings.accepts() != Accept::Plaintext && !tls.can_listen() => {
                Err(Failure::new(
                    FailureKind::Configuration,
                    "to listen with TLS a node needs a certificate chain and its private key",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Takes nothing new, tells the peers, and finishes what runs. Ends in `Notice::Drained`.
    pub fn drain_node(&mut self, node: NodeKey) {
        let Ok(slot) = self.node_slot(node) else {
            return;
        };
        if std::mem::replace(&mut self.nodes[slot].draining, true) {
            return;
        }
        self.draining_nodes += 1;
        self.now = self.timer.now();
        self.close_listeners(slot as u32);
        for peer in self.peers_of(slot as u32) {
            self.drain_peer(peer);
        }
        for link in self.links_of(slot as u32) {
            let text = "the node is shutting down";
            if let Some(codec) = &mut self.links[link].codec {
                codec.goaway(FaultCode::ShuttingDown, text);
                let leaves_alone = codec.leaves_alone();
                self.links[link].leaving |= leaves_alone;
            }
            self.flush_link(link);
        }
        self.check_drained();
    }

    /// Calls that were not sent yet are something new.
    fn drain_peer(&mut self, peer: u32) {
        self.drop_successor(peer);
        let failure = Failure::new(FailureKind::ShuttingDown, "this node is draining");
        while let Some(call) = self
            .peers
            .get_mut(peer as usize)
            .and_then(|p| p.pending.pop())
        {
            self.fail_token(peer, call.token, Retry::NotStarted, &failure);
        }
        if self
            .peers
            .get(peer as usize)
            .is_some_and(|entry| entry.link.is_none())
        {
            self.remove_peer(
                peer,
                Notice::Down {
                    error: Some(failure),
                    gone: true,
                },
            );
        }
    }

    fn peers_of(&self, node: u32) -> Vec<u32> {
        self.peers
            .iter()
            .filter(|(_, peer)| peer.node == node)
            .map(|(slot, _)| slot as u32)
            .collect()
    }

    pub(crate) fn links_of(&self, node: u32) -> Vec<usize> {
        self.links
            .iter()
            .filter(|(_, link)| link.node == node)
            .map(|(slot, _)| slot)
            .collect()
    }

    fn close_listeners(&mut self, node: u32) {
        let poller = &self.poller;
        self.listeners.retain(|_, listener| {
            if listener.node == node {
                poller.remove(&listener.socket);
                remove_socket_file(listener.path.as_deref());
            }
            listener.node != node
        });
    }

    /// Tells when the last link of a draining node has ended.
    pub(crate) fn check_drained(&mut self) {
        for slot in 0..self.nodes.capacity() {
            if self
                .nodes
                .get(slot)
                .is_some_and(|node| node.draining && !node.drained)
            {
                self.check_node_drained(slot);
            }
        }
    }

    fn check_node_drained(&mut self, slot: usize) {
        for link in self.links_of(slot as u32) {
            // A greeted peer closes when what runs has ended; others are not worth waiting for.
            let unknown = |link: &Link| link.phase != Phase::Lingering && !link.greeted;
            if self.links.get(link).is_some_and(unknown) {
                self.links[link].failure.get_or_insert_with(drained);
                self.finish_link(link);
            }
        }
        let open = |link: &Link| link.node == slot as u32 && link.phase != Phase::Lingering;
        if !self.links.iter().any(|(_, link)| open(link)) && !self.nodes[slot].drained {
            self.nodes[slot].drained = true;
            self.draining_nodes -= 1;
            self.notify_key(PeerKey::default(), slot as u32, Notice::Drained);
        }
    }

    /// Ends a node at once: what still waits fails, and its keys are dead.
    pub fn close_node(&mut self, node: NodeKey) {
        let Ok(slot) = self.node_slot(node) else {
            return;
        };
        self.now = self.timer.now();
        self.drop_membership(slot);
        self.close_listeners(slot as u32);
        for link in self.links_of(slot as u32) {
            self.close_link(link);
        }
        for peer in self.peers_of(slot as u32) {
            let error = Some(Failure::closed());
            self.remove_peer(peer, Notice::Down { error, gone: true });
        }
        for link in self.links_of(slot as u32) {
            self.drop_link(link);
        }
        let entry = self.nodes.remove(slot);
        if entry.draining && !entry.drained {
            self.draining_nodes -= 1;
        }
    }

    /// The name a peer announced for a subject number.
    #[must_use]
    pub fn subject_name(&self, peer: PeerKey, subject: u16) -> Option<&str> {
        let slot = self.link_of(peer).ok()?;
        Some(self.links[slot].codec.as_ref()?.peer_subject(subject))
    }

    /// Who a peer is, as far as its present connection tells.
    #[must_use]
    pub fn peer_info(&self, peer: PeerKey) -> Option<PeerInfo> {
        let entry = self.peer(peer).ok()?;
        let link = entry.link.and_then(|slot| self.links.get(slot as usize));
        let hello = link
            .and_then(|link| link.codec.as_ref())
            .and_then(Dialect::peer);
        let dialled = entry.dial.as_ref().map(|dial| dial.address.to_string());
        Some(PeerInfo {
            address: dialled
                .or_else(|| link.map(Link::address))
                .unwrap_or_else(|| "unix:".to_owned()),
            node_id: hello.map(|hello| hello.node_id.clone()).unwrap_or_default(),
            advertise: hello
                .map(|hello| hello.advertise.clone())
                .unwrap_or_default(),
            roles: hello.map(|hello| hello.roles.clone()).unwrap_or_default(),
            protocol: link
                .and_then(|link| link.codec.as_ref())
                .map_or("", Dialect::protocol),
            tls: link.and_then(|link| link.filter.session()),
            inbound: entry.dial.is_none(),
        })
    }

    /// The counters of a peer.
    #[must_use]
    pub fn peer_statistics(&self, peer: PeerKey) -> Option<PeerStatistics> {
        let entry = self.peer(peer).ok()?;
        let mut statistics = PeerStatistics {
            pending_calls: entry.pending.len(),
            redials: entry.lost.redials,
            unconfirmed: entry.lost.unconfirmed,
            ..PeerStatistics::default()
        };
        let Some(link) = entry.link.and_then(|slot| self.links.get(slot as usize)) else {
            return Some(statistics);
        };
        statistics.protocol = link
            .codec
            .as_ref()
            .map(Dialect::statistics)
            .unwrap_or_default();
        statistics.bytes_received = link.bytes_received;
        statistics.bytes_sent = link.bytes_sent;
        statistics.queue_bytes =
            statistics.protocol.output_bytes as usize + link.filter.pending_bytes();
        statistics.unconfirmed += statistics.protocol.unconfirmed;
        Some(statistics)
    }

    /// The counters of a node.
    #[must_use]
    pub fn node_statistics(&self, node: NodeKey) -> Option<NodeStatistics> {
        let slot = self.node_slot(node).ok()?;
        let counters = &self.nodes[slot].counters;
        let mut statistics = NodeStatistics {
            handshaking: self.nodes[slot].unproven,
            accepted: counters.accepted,
            dialled: counters.dialled,
            tls_reloads: counters.tls_reloads,
            closed: counters.closed.clone(),
            bytes_received: counters.bytes_received,
            bytes_sent: counters.bytes_sent,
            turns: counters.turns,
            turn_nanos_max: counters.turn_nanos_max,
            protocol: counters.ended,
            ..NodeStatistics::default()
        };
        for link in self.links_of(slot as u32) {
            add_link_counts(&mut statistics, &self.links[link]);
        }
        Some(statistics)
    }
}

fn add_link_counts(statistics: &mut NodeStatistics, link: &Link) {
    if link.phase == Phase::Lingering {
        return;
    }
    statistics.connections += 1;
    if link.filter.is_plain() {
        let name = name_of(link);
        *statistics.plaintext_connections.entry(name).or_insert(0) += 1;
    }
    statistics.bytes_received += link.bytes_received;
    statistics.bytes_sent += link.bytes_sent;
    if let Some(codec) = &link.codec {
        statistics.protocol.merge(&codec.statistics());
    }
}

/// The peer's node id; its address before it has greeted, and where its protocol has no node ids.
fn name_of(link: &Link) -> String {
    let hello = link.codec.as_ref().and_then(Dialect::peer);
    match hello.filter(|hello| !hello.node_id.is_empty()) {
        Some(hello) => hello.node_id.clone(),
        None => link.address(),
    }
}

fn drained() -> Failure {
    Failure::new(FailureKind::ShuttingDown, "this node was drained")
}

fn listen_ip(address: &Address) -> Result<Socket, Failure> {
    let text = address.to_string();
    let failed = |error| Failure::os(&format!("cannot listen on {text}"), &error);
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for candidate in text.to_socket_addrs().map_err(failed)? {
        match Socket::listen(&candidate.into()) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

/// A socket file nobody listens on any more, as a killed node leaves it, is replaced.
fn listen_unix(path: &Path) -> Result<Socket, Failure> {
    let failed = |error| Failure::os(&format!("cannot listen on unix:{}", path.display()), &error);
    let address = SockAddr::unix(path).map_err(failed)?;
    match Socket::listen(&address) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            if Socket::connect(&address).is_ok() {
                return Err(failed(error));
            }
            remove_socket_file(Some(path));
            Socket::listen(&address).map_err(failed)
        }
        result => result.map_err(failed),
    }
}

fn remove_socket_file(path: Option<&Path>) {
    if let Some(path) = path {
        // It may be gone already, which is what is wanted.
        let _ = std::fs::remove_file(path);
    }
}

/// The second codec's preamble is the hash of the cluster's name and is told by the first bytes
/// from TLS and from ZT/1: a name that would be mistaken for either cannot be used.
fn check_cluster(cluster: &str) -> Result<(), Failure> {
    let bytes = ztransport_proto::zeebe::preamble(cluster);
    if bytes.starts_with(&TLS_HELLO) || bytes == ztransport_proto::frame::PREFACE[..4] {
        let text = format!(
            "the cluster name {cluster:?} cannot be told from another protocol's first bytes: choose another name"
        );
        return Err(Failure::new(FailureKind::Configuration, text));
    }
    Ok(())
}
