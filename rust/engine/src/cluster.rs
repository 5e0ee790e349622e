//! A node's membership of a cluster, as the host loop drives it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{SystemTime, UNIX_EPOCH};

use ztransport_gossip::Identity;
use ztransport_gossip::limits::{KEY_BYTES, SEEDS_MAX};
use ztransport_gossip::member::{REACH_DATAGRAM, REACH_STREAM};
use ztransport_gossip::seal::Sealing;
use ztransport_gossip::wire::Properties;
use ztransport_gossip::{Misuse, Node as Member};

use crate::batch::Notice;
use crate::error::{Failure, FailureKind};
use crate::gossip::{
    Command, Datagrams, Driver, End, MemberStatus, Membership, MembershipSettings, Runner, Seed,
    Seen, Shared, Streams, misuse, to_wire,
};
use crate::keys::{NodeKey, PeerKey};
use crate::poller::Source;
use crate::state::Engine;

/// What has changed since the last look.
#[derive(Debug, Default)]
pub struct MemberNews {
    /// Members as they are now, in the order of their changes.
    pub changes: Vec<Seen>,
    /// How the membership has ended, if it has.
    pub end: Option<End>,
}

impl Engine {
    /// Makes a listening node a member of its cluster, under its node id. What happens is told by
    /// `Notice::Members`.
    ///
    /// # Errors
    /// `Configuration` for a node that does not listen on an IP address or is a member already,
    /// and for settings, properties or seeds that cannot be; `AddressInUse` if the UDP port of the
    /// node's address is taken; `Os`.
    pub fn open_membership(
        &mut self,
        node: NodeKey,
        settings: MembershipSettings,
    ) -> Result<(), Failure> {
        let slot = self.node_slot(node)?;
        if self.memberships.contains_key(&slot) {
            return Err(configuration("the node is a member of its cluster already"));
        }
        let seeds = parse_seeds(&settings.seeds)?;
        let bound = self.listening_ip(slot)?;
        let shared = Shared::new().map_err(|error| Failure::os("no wake-up descriptor", &error))?;
        let streams_only = settings.streams_only;
        let protocol = settings.protocol.clone();
        let identity = self.identity(slot, bound, settings)?;
        let made = Member::new(protocol, &identity, shared.now());
        let driver = Driver::new(made.map_err(|error| misuse(&error))?, streams_only);
        let socket = match streams_only {
            true => None,
            false => Some(bind(bound)?),
        };
        let resolves = seeds.iter().any(|seed| seed.name.is_some());
        let runner = Runner::start(driver, socket, resolves, shared);
        let runner = runner.map_err(|error| Failure::os("no thread for gossip", &error))?;
        self.join(slot, runner, seeds, &identity.sealing)
    }

    fn join(
        &mut self,
        slot: usize,
        runner: Runner,
        seeds: Vec<Seed>,
        sealing: &Sealing,
    ) -> Result<(), Failure> {
        let source = Source::Gossip(slot as u32);
        let added = self.poller.add(&runner.shared.bell, source, false);
        added.map_err(|error| Failure::os("cannot wait for gossip", &error))?;
        let known = Seed::known(&seeds);
        // Without an address to greet yet, the member is not alone: its seeds are to be found.
        if seeds.is_empty() || !known.is_empty() {
            runner.shared.command(Command::Seeds(known));
        }
        let epoch = match sealing {
            Sealing::ClusterKey { epoch, .. } => *epoch,
            Sealing::None => 0,
        };
        let membership = Membership {
            runner,
            seeds,
            streams: Streams::new(self.timer.now()),
            epoch,
        };
        self.memberships.insert(slot, membership);
        Ok(())
    }

    fn listening_ip(&self, slot: usize) -> Result<SocketAddr, Failure> {
        let mut listeners = self.listeners.iter().map(|(_, listener)| listener);
        let own =
            listeners.find(|listener| listener.node as usize == slot && listener.path.is_none());
        own.and_then(|listener| listener.socket.local_ip())
            .ok_or_else(|| {
                configuration("a member listens: open the node with an address host:port")
            })
    }

    fn identity(
        &self,
        slot: usize,
        bound: SocketAddr,
        settings: MembershipSettings,
    ) -> Result<Identity, Failure> {
        let node = &self.nodes[slot].settings;
        let reach = match settings.streams_only {
            true => REACH_STREAM,
            false => REACH_DATAGRAM | REACH_STREAM,
        };
        Ok(Identity {
            cluster: node.cluster.clone(),
            name: node.node_id.clone(),
            address: to_wire(told_address(&node.advertise, bound)?),
            reach,
            properties: settings.properties,
            generation: wall_clock_ms(),
            sealing: settings.sealing,
            seed: entropy()?,
        })
    }

    fn membership(&self, node: NodeKey) -> Result<&Membership, Failure> {
        let slot = self.node_slot(node)?;
        let membership = self.memberships.get(&slot);
        let membership = membership.ok_or_else(|| configuration("the node is not a member"))?;
        if !membership.runner.is_own() {
            return Err(configuration(
                "a member cannot be used after fork: open a node in the child",
            ));
        }
        Ok(membership)
    }

    fn ask_member(&self, node: NodeKey, command: Command) -> Result<(), Failure> {
        let membership = self.membership(node)?;
        if membership.runner.shared.outlet().end.is_some() {
            return Err(misuse(&Misuse::Departed));
        }
        if membership.runner.shared.command(command) {
            return Ok(());
        }
        let text =
            "too many commands wait for the gossip thread: the limit commands_max is reached";
        Err(Failure::new(FailureKind::Limit("commands_max"), text))
    }

    /// Tells all members other properties, which are encoded.
    ///
    /// # Errors
    /// `Configuration` for properties that break a rule, `Closed` after the membership has ended.
    pub fn update_properties(&mut self, node: NodeKey, encoded: Vec<u8>) -> Result<(), Failure> {
        let checked = Properties::new(&encoded).map(|_| ());
        checked.map_err(|error| misuse(&Misuse::Properties(error.0)))?;
        self.ask_member(node, Command::Properties(encoded))
    }

    /// Begins to replace the cluster key here and returns the new key's epoch.
    ///
    /// # Errors
    /// `Configuration` for a key that has not 32 bytes, where nothing is sealed, and while another
    /// rotation runs; `Closed` after the membership has ended.
    pub fn install_key(&mut self, node: NodeKey, key: &[u8]) -> Result<u8, Failure> {
        let membership = self.membership(node)?;
        let key: [u8; KEY_BYTES] = key
            .try_into()
            .map_err(|_| misuse(&Misuse::KeyLength(key.len())))?;
        let rotation = membership.runner.shared.status().rotation.clone();
        let epoch = membership.epoch;
        match rotation {
            None => return Err(misuse(&Misuse::NotSealed)),
            Some(now) if now.runs || now.epoch != epoch => {
                return Err(misuse(&Misuse::RotationRuns));
            }
            Some(_) => {}
        }
        let next = epoch.wrapping_add(1);
        self.ask_member(node, Command::InstallKey(next, key))?;
        let slot = self.node_slot(node)?;
        if let Some(membership) = self.memberships.get_mut(&slot) {
            membership.epoch = next;
        }
        Ok(next)
    }

    /// Leaves for good. Ends in [`End::Left`] once that was told.
    ///
    /// # Errors
    /// `Configuration` for a node that is not a member.
    pub fn leave(&mut self, node: NodeKey) -> Result<(), Failure> {
        match self.ask_member(node, Command::Leave) {
            Err(failure) if *failure.kind() == FailureKind::Closed => Ok(()),
            result => result,
        }
    }

    /// A snapshot of the membership, and how many connections it has dialled.
    ///
    /// # Errors
    /// `Configuration` for a node that is not a member.
    pub fn membership_status(&self, node: NodeKey) -> Result<(MemberStatus, usize), Failure> {
        let membership = self.membership(node)?;
        let mut status = membership.runner.shared.status().clone();
        status.stream_output_dropped += membership.streams.dropped;
        status.stream_unconnected = membership.streams.unconnected;
        Ok((status, membership.streams.len()))
    }

    /// Takes what has changed since the last call.
    ///
    /// # Errors
    /// `Configuration` for a node that is not a member.
    pub fn take_members(&mut self, node: NodeKey) -> Result<MemberNews, Failure> {
        let shared = &self.membership(node)?.runner.shared;
        let mut outlet = shared.outlet();
        let news = MemberNews {
            changes: std::mem::take(&mut outlet.changes).into(),
            end: outlet.end,
        };
        let held = outlet.held;
        drop(outlet);
        if held {
            shared.wake.ring();
        }
        Ok(news)
    }

    /// The answer to `Notice::ResolveSeed`.
    pub fn resolved_seed(&mut self, node: NodeKey, host: &str, addresses: &[SocketAddr]) {
        let Ok(slot) = self.node_slot(node) else {
            return;
        };
        let Some(membership) = self.memberships.get_mut(&slot) else {
            return;
        };
        let mut news = false;
        for seed in &mut membership.seeds {
            let asked = seed.name.as_ref();
            if let Some((_, port)) = asked.filter(|(name, _)| name == host) {
                let found = addresses.iter().map(|ip| SocketAddr::new(ip.ip(), *port));
                let found: Vec<SocketAddr> = found.collect();
                news |= seed.learn(&found);
            }
        }
        if news {
            let known = Seed::known(&membership.seeds);
            membership.runner.shared.command(Command::Seeds(known));
        }
    }

    /// Ends a membership without a word: to the others it is dead unless it has left.
    pub fn close_membership(&mut self, node: NodeKey) {
        if let Ok(slot) = self.node_slot(node) {
            self.drop_membership(slot);
        }
    }

    pub(crate) fn drop_membership(&mut self, slot: usize) {
        let Some(membership) = self.memberships.remove(&slot) else {
            return;
        };
        self.poller.remove(&membership.runner.shared.bell);
        for peer in membership.streams.peers() {
            self.close_peer(peer);
        }
    }

    /// The host loop turns: that is a sign of life.
    pub(crate) fn beat(&self) {
        for membership in self.memberships.values() {
            membership.runner.shared.beat();
        }
    }

    /// Does what a membership's thread has asked for.
    pub(crate) fn pump_membership(&mut self, slot: usize) {
        let Some(membership) = self.memberships.get(&slot) else {
            return;
        };
        let shared = &membership.runner.shared;
        shared.bell.acknowledge();
        shared.beat();
        let mut outlet = shared.outlet();
        let streams = std::mem::take(&mut outlet.streams);
        let resolve = std::mem::take(&mut outlet.resolve);
        let news = std::mem::take(&mut outlet.news) || outlet.end.is_some();
        drop(outlet);
        for datagram in streams {
            self.send_sealed(slot, datagram);
        }
        self.close_idle_streams(slot);
        if resolve {
            self.ask_for_seeds(slot);
        }
        if news {
            self.notify_key(PeerKey::default(), slot as u32, Notice::Members);
        }
    }

    fn ask_for_seeds(&mut self, slot: usize) {
        let Some(membership) = self.memberships.get(&slot) else {
            return;
        };
        let names = membership.seeds.iter().filter_map(|seed| seed.name.clone());
        for (host, port) in names.collect::<Vec<_>>() {
            let notice = Notice::ResolveSeed { host, port };
            self.notify_key(PeerKey::default(), slot as u32, notice);
        }
    }
}

fn configuration(text: &str) -> Failure {
    Failure::new(FailureKind::Configuration, text)
}

fn parse_seeds(seeds: &[String]) -> Result<Vec<Seed>, Failure> {
    if seeds.len() > SEEDS_MAX {
        let count = seeds.len() as u64;
        return Err(misuse(&Misuse::OutOfRange(
            "seeds",
            count,
            0,
            SEEDS_MAX as u64,
        )));
    }
    seeds.iter().map(|seed| Seed::parse(seed)).collect()
}

fn bind(address: SocketAddr) -> Result<Datagrams, Failure> {
    let what = format!("cannot take gossip on UDP {address}");
    Datagrams::bind(address).map_err(|error| {
        Failure::os(&what, &error).remedied(
            "open the node on another port, or say transport=\"tcp\" to gossip without UDP",
        )
    })
}

/// Where others reach this member: what its node tells them, looked up once if it is a name.
fn told_address(advertise: &str, bound: SocketAddr) -> Result<SocketAddr, Failure> {
    let found = advertise
        .to_socket_addrs()
        .ok()
        .and_then(|mut found| found.find(|address| address.is_ipv4() == bound.is_ipv4()));
    let told = found.ok_or_else(|| {
        configuration(&format!(
            "the advertised address {advertise:?} has no IP address: members are told one"
        ))
    })?;
    if told.ip().is_unspecified() {
        return Err(configuration(
            "the node listens on every address: say with advertise= which one members are told",
        ));
    }
    Ok(told)
}

/// Which life of a name this is. A clock that stands before its epoch is corrected by the others.
fn wall_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(1, |since| since.as_millis() as u64)
}

fn entropy() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    match filled {
        Ok(8) => Ok(u64::from_le_bytes(bytes)),
        Ok(_) => Err(Failure::new(
            FailureKind::Os(0),
            "no entropy for a member's id",
        )),
        Err(errno) => Err(Failure::os("no entropy for a member's id", &errno.into())),
    }
}
