//! Dialling: addresses in turn, the pool, and re-dialling with a random wait.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockAddr;
use ztransport_proto::dialect::Door;
use ztransport_proto::fault::Retry;
use ztransport_proto::table::Role;
use ztransport_proto::time::Time;
use ztransport_tls::Alpn;

use crate::address::Address;
use crate::batch::Notice;
use crate::error::{Failure, FailureKind, Refusal};
use crate::filter::Filter;
use crate::keys::{NodeKey, PeerKey};
use crate::limits::PEERS_MAX;
use crate::link::{Link, Phase};
use crate::pool::{Dial, DialState, Peer, Protocol, overdue};
use crate::socket::Socket;
use crate::state::Engine;
use crate::timer::Owner;

impl Engine {
    /// Starts to dial `address`. Ends in `Notice::Up` or `Notice::ConnectFailed`.
    ///
    /// A pooled peer is shared by all who connect to the same address, and is dialled again when
    /// its connection is lost.
    ///
    /// # Errors
    /// `Configuration` for a malformed address, `ShuttingDown` if the node drains, `Closed` if it
    /// is gone, `Limit` at `PEERS_MAX`.
    pub fn connect(
        &mut self,
        node: NodeKey,
        address: &str,
        pooled: bool,
    ) -> Result<PeerKey, Failure> {
        self.connect_with(node, address, pooled, Protocol::Zt)
    }

    /// The same, with a choice of protocol.
    ///
    /// # Errors
    /// Those of [`connect`](Engine::connect).
    pub fn connect_with(
        &mut self,
        node: NodeKey,
        address: &str,
        pooled: bool,
        protocol: Protocol,
    ) -> Result<PeerKey, Failure> {
        let slot = self.node_slot(node)?;
        let address = Address::parse(address)?;
        if self.nodes[slot].draining {
            return Err(Failure::new(
                FailureKind::ShuttingDown,
                "this node is draining",
            ));
        }
        let dial = Dial::new(address, pooled, protocol);
        let name = dial.pool_name();
        if let Some(peer) = self.nodes[slot].pool.get(&name).filter(|_| pooled) {
            return Ok(self.peers[*peer as usize].key);
        }
        let key = self.add_dialled_peer(slot as u32, dial)?;
        if pooled {
            self.nodes[slot].pool.insert(name, key.slot);
        }
        self.now = self.timer.now();
        self.start_dial(key.slot);
        Ok(key)
    }

    fn add_dialled_peer(&mut self, node: u32, dial: Dial) -> Result<PeerKey, Failure> {
        let full = || {
            Failure::new(
                FailureKind::Limit("peers_max"),
                format!("{PEERS_MAX} peers exist"),
            )
        };
        self.add_peer(|key| Peer::new(key, node, None, Some(dial)))
            .ok_or_else(full)
    }

    /// Begins an attempt: finds out which addresses to try.
    pub(crate) fn start_dial(&mut self, peer: u32) {
        let Some(dial) = self.dial_mut(peer) else {
            return;
        };
        dial.state = DialState::Dialling;
        match dial.address.clone() {
            Address::Ip(address) => {
                dial.candidates = [address].into();
                self.dial_next(peer, None);
            }
            Address::Unix(path) => match SockAddr::unix(&path) {
                Ok(address) => self.dial_address(peer, &address),
                Err(error) => self.dial_failed(peer, &unreachable(&path.display(), &error)),
            },
            Address::Name(host, port) => {
                dial.state = DialState::Resolving;
                self.notify(peer, Notice::Resolve { host, port });
            }
        }
    }

    fn dial_mut(&mut self, peer: u32) -> Option<&mut Dial> {
        self.peers.get_mut(peer as usize)?.dial.as_mut()
    }

    /// The answer to `Notice::Resolve`.
    pub fn resolved(&mut self, peer: PeerKey, addresses: Result<Vec<SocketAddr>, String>) {
        self.now = self.timer.now();
        let Ok(entry) = self.peer_mut(peer) else {
            return;
        };
        let Some(dial) = entry
            .dial
            .as_mut()
            .filter(|dial| dial.state == DialState::Resolving)
        else {
            return;
        };
        match addresses {
            Ok(addresses) => {
                dial.state = DialState::Dialling;
                dial.candidates = addresses.into();
                self.dial_next(peer.slot, None);
            }
            Err(text) => {
                let text = format!("the host of {} is not known: {text}", dial.address);
                self.dial_failed(peer.slot, &Failure::new(FailureKind::ConnectFailed, text));
            }
        }
    }

    /// Tries the next address; with none left the attempt has failed with the last failure.
    fn dial_next(&mut self, peer: u32, failure: Option<Failure>) {
        let Some(dial) = self.dial_mut(peer) else {
            return;
        };
        let Some(address) = dial.candidates.pop_front() else {
            let text = format!("no address is known for {}", dial.address);
            let failure = failure.unwrap_or_else(|| Failure::new(FailureKind::ConnectFailed, text));
            return self.dial_failed(peer, &failure);
        };
        self.dial_address(peer, &address.into());
    }

    fn dial_address(&mut self, peer: u32, address: &SockAddr) {
        match self.dialled_link(peer, address) {
            Ok(link) => match self.add_link(link) {
                Some(slot) => self.peers[peer as usize].link = Some(slot),
                None => self.dial_next(peer, Some(unwatched())),
            },
            Err(failure) => self.dial_next(peer, Some(failure)),
        }
    }

    fn dialled_link(&mut self, peer: u32, address: &SockAddr) -> Result<Link, Failure> {
        let serial = self.next_serial();
        let entry = &self.peers[peer as usize];
        let dial = entry.dial.as_ref().ok_or_else(Failure::closed)?;
        let settings = &self
            .nodes
            .get(entry.node as usize)
            .ok_or_else(Failure::closed)?
            .settings;
        let filter = match settings.dials_with() {
            Some(tls) => {
                let alpn = match dial.protocol {
                    Protocol::Zt => Alpn::Expected,
                    Protocol::Zeebe => Alpn::MayBeAbsent,
                };
                Filter::dial(tls, &dial.address.host(), alpn)
                    .map_err(|e| Failure::tls(&e).at(|| dial.address.to_string()))?
            }
            None => Filter::plain(),
        };
        let door = match dial.protocol {
            Protocol::Zt => Door::Zt,
            Protocol::Zeebe => Door::Zeebe(settings.zeebe.compression),
        };
        let socket = Socket::connect(address).map_err(|e| unreachable(&dial.address, &e))?;
        let mut link = Link::new(socket, filter, Role::Dialer, entry.node, serial);
        link.phase = Phase::Connecting;
        link.door = door;
        link.peer = Some(peer);
        link.phase_deadline = Some(self.now.after_millis(settings.links.connect_timeout_ms));
        Ok(link)
    }

    /// The TCP handshake has ended, well or badly.
    pub(crate) fn connected(&mut self, slot: usize) {
        let link = &mut self.links[slot];
        let (Some(peer), node) = (link.peer, link.node) else {
            return;
        };
        if let Err(error) = link.socket.connected() {
            return self.connect_failed(slot, &error);
        }
        let Some(node) = self.nodes.get_mut(node as usize) else {
            return;
        };
        node.counters.dialled += 1;
        let settings = &node.settings;
        // A socket that refuses its options is broken: the first read will tell.
        let _ = link.socket.tune(Duration::from_millis(
            settings.limits.liveness_timeout_ms.into(),
        ));
        link.phase = Phase::Handshaking;
        link.phase_deadline = Some(self.now.after_millis(settings.links.handshake_timeout_ms));
        link.watching = true;
        if link.filter.is_handshaking() {
            self.flush_link(slot);
            self.schedule_link(slot);
        } else {
            self.open_codec(slot);
            self.watch(slot, false);
        }
        debug_assert!(
            self.peers.contains(peer as usize),
            "a dialled link has a peer"
        );
    }

    fn connect_failed(&mut self, slot: usize, error: &std::io::Error) {
        let Some(peer) = self.links[slot].peer.take() else {
            return;
        };
        self.drop_link(slot);
        self.peers[peer as usize].link = None;
        let Some(dial) = self.dial_mut(peer) else {
            return;
        };
        let failure = unreachable(&dial.address, error);
        self.dial_next(peer, Some(failure));
    }

    pub(crate) fn connect_timed_out(&mut self, slot: usize) {
        self.connect_failed(slot, &std::io::Error::from(std::io::ErrorKind::TimedOut));
    }

    fn dial_failed(&mut self, peer: u32, failure: &Failure) {
        let Some(dial) = self.dial_mut(peer) else {
            return;
        };
        dial.last_failure = Some(failure.clone());
        // Not pooled ones are never dialled twice: before they were up they are not kept.
        if self.is_kept(peer) {
            self.back_off(peer);
        } else {
            self.remove_peer(
                peer,
                Notice::ConnectFailed {
                    error: failure.clone(),
                },
            );
        }
    }

    /// Whether a peer is dialled again when its connection or an attempt ends.
    pub(crate) fn is_kept(&self, peer: u32) -> bool {
        let entry = &self.peers[peer as usize];
        let leaves = self
            .nodes
            .get(entry.node as usize)
            .is_none_or(|n| n.draining);
        entry.is_kept() && !leaves
    }

    /// Waits a random time below a doubling bound before the next attempt ("full jitter"), so that
    /// the peers of a restarted node do not all return at once.
    pub(crate) fn back_off(&mut self, peer: u32) {
        let Some(entry) = self.peers.get(peer as usize) else {
            return;
        };
        let (Some(dial), Some(node)) = (&entry.dial, self.nodes.get(entry.node as usize)) else {
            return;
        };
        let bound_ms = dial.back_off_ms(&node.settings.links);
        let wait_nanos = self.random_below(bound_ms * 1_000_000);
        let until = self.now.after_nanos(wait_nanos);
        let Some(dial) = self.dial_mut(peer) else {
            return;
        };
        dial.attempts = dial.attempts.saturating_add(1);
        dial.state = DialState::BackingOff(until);
        self.schedule_peer(peer, until);
    }

    /// Makes sure the peer is looked at then.
    pub(crate) fn schedule_peer(&mut self, peer: u32, at: Time) {
        let serial = self.peers[peer as usize].key.serial;
        self.timer.schedule(at, Owner::Peer(peer, serial));
        if !self.turn.active {
            self.arm();
        }
    }

    /// A deadline of a peer may have passed: its next attempt, or a queued call's.
    pub(crate) fn peer_due(&mut self, peer: u32, serial: u32) {
        let Some(entry) = self.peers.get_mut(peer as usize) else {
            return;
        };
        if entry.key.serial != serial {
            return;
        }
        let expired = entry.pending.expire(self.now);
        let due = entry
            .dial
            .as_ref()
            .is_some_and(|dial| is_due(dial.state, self.now));
        let failure = overdue(self.last_failure(peer));
        for token in expired {
            self.fail_token(peer, token, Retry::NotStarted, &failure);
        }
        if due {
            self.peers[peer as usize].lost.redials += 1;
            self.start_dial(peer);
        }
        self.schedule_pending(peer);
        self.end_order(peer);
    }

    /// Makes sure the earliest deadline among queued calls is kept.
    pub(crate) fn schedule_pending(&mut self, peer: u32) {
        let Some(entry) = self.peers.get(peer as usize) else {
            return;
        };
        if let Some(at) = entry.pending.earliest() {
            self.schedule_peer(peer, at);
        }
    }

    /// Closes a peer in order; it is not dialled again. Ends in `Notice::Down` with `gone`.
    pub fn close_peer(&mut self, peer: PeerKey) {
        let Ok(entry) = self.peer_mut(peer) else {
            return;
        };
        if let Some(dial) = &mut entry.dial {
            dial.state = DialState::Closing;
        }
        self.now = self.timer.now();
        self.drop_successor(peer.slot);
        match self.peers[peer.slot as usize].link {
            Some(slot) => {
                self.close_link(slot as usize);
            }
            None => self.remove_peer(
                peer.slot,
                Notice::Down {
                    error: None,
                    gone: true,
                },
            ),
        }
    }

    /// Whether the peer has greeted and its connection stands.
    #[must_use]
    pub fn is_up(&self, peer: PeerKey) -> bool {
        let link = self.peer(peer).map(|entry| entry.link);
        matches!(link, Ok(Some(slot)) if self.links[slot as usize].greeted)
    }

    pub(crate) fn link_of(&self, peer: PeerKey) -> Result<usize, Refusal> {
        self.peer(peer)?
            .link
            .map(|slot| slot as usize)
            .ok_or(Refusal::WouldBlock)
    }
}

fn is_due(state: DialState, now: Time) -> bool {
    matches!(state, DialState::BackingOff(until) if until <= now)
}

fn unwatched() -> Failure {
    let cause = "the system cannot watch one more socket";
    Failure::new(FailureKind::ConnectFailed, cause)
        .remedied("raise fs.epoll.max_user_watches, or close connections")
}

fn unreachable(address: &dyn std::fmt::Display, error: &std::io::Error) -> Failure {
    let cause = format!("cannot be reached: {error}");
    Failure::new(FailureKind::ConnectFailed, cause)
        .at(|| address.to_string())
        .remedied("check the address and that the peer runs")
}
