//! Drives the pure node: commands, datagrams of either kind and a time in; datagrams of either kind
//! and a deadline out. Without a clock or a socket, so that tests run it in virtual time.

use std::collections::HashMap;
use std::net::SocketAddr;

use ztransport_gossip::wire::Header;
use ztransport_gossip::{Happened, Node, Time, Transmit, Via};

use super::address::{to_ip, to_wire};
use super::queues::{Command, End, Seen, StreamDatagram, StreamInput};
use super::{BACKS_MAX, RESOLVE_AGAIN_MS, RESOLVE_INTERVAL_MS};
use crate::keys::PeerKey;

/// A greeting that has had no answer for so long is sent over a connection too: the seed may take
/// no datagrams, or none of ours arrive.
const GREET_BOTH_WAYS_AFTER_MS: u64 = 500;

/// Where datagrams go.
pub(crate) trait Network {
    fn datagram(&mut self, to: SocketAddr, bytes: &[u8]);
    fn stream(&mut self, datagram: StreamDatagram);
}

/// A member and what is remembered of its connections.
pub(crate) struct Driver {
    pub(crate) node: Node,
    /// Without UDP everything travels over connections.
    streams_only: bool,
    /// Over which connection a sender's datagrams came last, once they were found to be its.
    backs: HashMap<u64, PeerKey>,
    /// When a seed was first greeted.
    greeted: Option<Time>,
    buffer: Vec<u8>,
    /// What was told last of ourselves: incarnation, version and id.
    told_own: (u32, u32, u64),
}

impl Driver {
    pub(crate) fn new(node: Node, streams_only: bool) -> Driver {
        Driver {
            node,
            streams_only,
            backs: HashMap::new(),
            greeted: None,
            buffer: Vec::new(),
            told_own: (0, 0, 0),
        }
    }

    /// Does what the host loop asks. What it can refuse was checked before it was handed over, but
    /// for having ended meanwhile, which is told otherwise.
    pub(crate) fn command(&mut self, now: Time, command: Command) {
        let done = match command {
            Command::Seeds(seeds) => {
                self.greeted.get_or_insert(now);
                match self.has_met() {
                    true => self.node.reseed(&seeds),
                    false => self.node.join(now, &seeds),
                }
            }
            Command::Properties(encoded) => self.node.update_properties(now, &encoded),
            Command::InstallKey(epoch, key) => self.node.install_key(now, epoch, &key),
            Command::Leave => {
                self.node.leave(now);
                Ok(())
            }
        };
        debug_assert!(done.is_ok() || self.node.is_departed(), "{done:?}");
    }

    fn has_met(&self) -> bool {
        self.node.is_joined() && self.node.view().present() > 1
    }

    /// When to look up the names of seeds again.
    pub(crate) fn looks_up_after_ms(&self) -> u64 {
        match self.has_met() {
            true => RESOLVE_AGAIN_MS,
            false => RESOLVE_INTERVAL_MS,
        }
    }

    /// Takes a UDP datagram, which is opened in place. Why one is dropped is counted by the node.
    pub(crate) fn datagram(&mut self, now: Time, from: SocketAddr, bytes: &mut [u8]) {
        let _ = self.node.handle_datagram(now, to_wire(from), bytes);
    }

    /// Takes a datagram from a connection; what answers it goes back over the same one.
    pub(crate) fn stream_datagram(
        &mut self,
        now: Time,
        mut input: StreamInput,
        network: &mut impl Network,
    ) {
        let sender = Header::decode(&input.bytes).map(|header| header.sid);
        let from = to_wire(input.from);
        let taken = self.node.handle_streamed(now, from, &mut input.bytes);
        if let (Ok(()), Some(sender)) = (taken, sender) {
            self.remember(sender, input.peer);
        }
        self.transmit(now, network);
    }

    fn remember(&mut self, sender: u64, peer: PeerKey) {
        if self.backs.len() >= BACKS_MAX && !self.backs.contains_key(&sender) {
            self.make_room();
        }
        self.backs.insert(sender, peer);
    }

    /// Forgets the connections of all that are not present, or that of one who is and can be
    /// dialled.
    fn make_room(&mut self) {
        let view = self.node.view();
        let present = |sender: &u64| {
            let record = view.find(*sender).and_then(|slot| view.get(slot));
            record.is_some_and(|record| record.state.is_present())
        };
        self.backs.retain(|sender, _| present(sender));
        let any = self.backs.keys().next().copied();
        if let Some(any) = any.filter(|_| self.backs.len() >= BACKS_MAX) {
            self.backs.remove(&any);
        }
    }

    /// Sends what the node has to say.
    pub(crate) fn transmit(&mut self, now: Time, network: &mut impl Network) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(transmit) = self.node.poll_transmit(&mut buffer) {
            self.carry(now, transmit, &buffer, network);
        }
        self.buffer = buffer;
    }

    fn carry(&self, now: Time, transmit: Transmit, bytes: &[u8], network: &mut impl Network) {
        let streamed = self.streams_only || transmit.via == Via::Stream;
        if !streamed {
            network.datagram(to_ip(transmit.to), bytes);
        }
        if streamed || self.greets_both_ways(now, &transmit) {
            network.stream(StreamDatagram {
                to: to_ip(transmit.to),
                back: self.backs.get(&transmit.sid).copied(),
                bytes: bytes.to_vec(),
            });
        }
    }

    /// Only a greeting has no receiver. The same one may come twice: it changes nothing.
    fn greets_both_ways(&self, now: Time, transmit: &Transmit) -> bool {
        let late =
            |greeted: Time| now.saturating_since(greeted) >= GREET_BOTH_WAYS_AFTER_MS * 1_000_000;
        transmit.sid == 0 && self.greeted.is_some_and(late)
    }

    /// When the member wants to be called, or is converged, whichever comes first.
    pub(crate) fn deadline(&self, converged: bool) -> Option<Time> {
        let converges = self.node.converges_at().filter(|_| !converged);
        [self.node.poll_timeout(), converges]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether the member has joined and all it hears from have the same view.
    pub(crate) fn is_converged(&self, now: Time) -> bool {
        self.node.is_joined() && self.node.is_converged(now)
    }

    /// The next member that has changed; ourselves first.
    pub(crate) fn poll_change(&mut self) -> Option<Change> {
        if let Some(own) = self.own_change() {
            return Some(Change::Seen(own));
        }
        let event = self.node.poll_event()?;
        match event.happened {
            Happened::NameLost => return Some(Change::Ended(End::NameLost)),
            Happened::KeyRetired => return Some(Change::Ended(End::KeyRetired)),
            _ => {}
        }
        let view = self.node.view();
        let record = view.find(event.profile.sid).and_then(|slot| view.get(slot));
        Some(Change::Seen(match record {
            Some(record) => Seen {
                profile: event.profile,
                state: record.state,
                incarnation: record.incarnation,
            },
            // That life is forgotten already, as another one took its place.
            None => Seen {
                state: ztransport_gossip::wire::State::Dead,
                incarnation: event.profile.version,
                profile: event.profile,
            },
        }))
    }

    fn own_change(&mut self) -> Option<Seen> {
        let view = self.node.view();
        let record = view.find(self.node.sid()).and_then(|slot| view.get(slot))?;
        let now = (record.incarnation, record.profile.version, record.sid);
        if now == self.told_own {
            return None;
        }
        self.told_own = now;
        Some(Seen {
            profile: record.profile.clone(),
            state: record.state,
            incarnation: record.incarnation,
        })
    }
}

/// What the host loop is told.
pub(crate) enum Change {
    /// A member, as it is now.
    Seen(Seen),
    /// We are no member any more, by no wish of our own.
    Ended(End),
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use ztransport_gossip::member::{REACH_DATAGRAM, REACH_STREAM};
    use ztransport_gossip::seal::Sealing;
    use ztransport_gossip::wire::State;
    use ztransport_gossip::{Identity, Settings};

    const MS: u64 = 1_000_000;

    /// What a member has sent: by which way, where to, and over whose connection.
    #[derive(Default)]
    struct Sent {
        datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
        streams: VecDeque<StreamDatagram>,
    }

    impl Network for Sent {
        fn datagram(&mut self, to: SocketAddr, bytes: &[u8]) {
            self.datagrams.push_back((to, bytes.to_vec()));
        }

        fn stream(&mut self, datagram: StreamDatagram) {
            self.streams.push_back(datagram);
        }
    }

    /// A few members, a clock, and a network that may lose all datagrams.
    struct World {
        drivers: Vec<Driver>,
        now: Time,
        datagrams_pass: bool,
        streamed: u32,
    }

    fn address(index: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1_000 + index as u16))
    }

    /// The connection over which `from` is heard.
    fn connection(from: usize) -> PeerKey {
        PeerKey {
            slot: from as u32,
            serial: 1,
        }
    }

    fn driver(index: usize, streams_only: bool) -> Driver {
        let reach = if streams_only {
            REACH_STREAM
        } else {
            REACH_DATAGRAM | REACH_STREAM
        };
        let identity = Identity {
            cluster: "c".to_owned(),
            name: format!("member-{index}"),
            address: to_wire(address(index)),
            reach,
            properties: Vec::new(),
            generation: 1,
            sealing: Sealing::choose(Some((0, &[7; 32])), None).unwrap(),
            seed: 1 + index as u64,
        };
        let node = Node::new(Settings::default(), &identity, Time::ZERO).unwrap();
        Driver::new(node, streams_only)
    }

    impl World {
        fn of(streams_only: &[bool]) -> World {
            let drivers = streams_only.iter().enumerate();
            let mut world = World {
                drivers: drivers.map(|(index, &only)| driver(index, only)).collect(),
                now: Time::from_nanos(MS),
                datagrams_pass: true,
                streamed: 0,
            };
            for index in 0..world.drivers.len() {
                let seeds = vec![to_wire(address(index.saturating_sub(1)))];
                world.drivers[index].command(world.now, Command::Seeds(seeds));
            }
            world
        }

        /// Lets everything happen for some time, in steps of 10 ms.
        fn run(&mut self, millis: u64) {
            let end = self.now.after_millis(millis);
            while self.now < end {
                self.now = self.now.after_millis(10);
                for index in 0..self.drivers.len() {
                    self.drivers[index].node.handle_timeout(self.now);
                    self.settle(index);
                }
            }
        }

        fn settle(&mut self, index: usize) {
            let mut sent = Sent::default();
            self.drivers[index].transmit(self.now, &mut sent);
            self.deliver(index, sent);
        }

        fn deliver(&mut self, from: usize, mut sent: Sent) {
            while let Some((to, mut bytes)) = sent.datagrams.pop_front() {
                let to = usize::from(to.port() - 1_000);
                if self.datagrams_pass && !self.drivers[to].streams_only {
                    self.drivers[to].datagram(self.now, address(from), &mut bytes);
                    self.settle(to);
                }
            }
            while let Some(datagram) = sent.streams.pop_front() {
                self.streamed += 1;
                let to = match datagram.back {
                    Some(back) => back.slot as usize,
                    None => usize::from(datagram.to.port() - 1_000),
                };
                let input = StreamInput {
                    peer: connection(from),
                    from: SocketAddr::from(([127, 0, 0, 1], 50_000 + from as u16)),
                    bytes: datagram.bytes,
                };
                let mut answers = Sent::default();
                self.drivers[to].stream_datagram(self.now, input, &mut answers);
                self.deliver(to, answers);
                self.settle(to);
            }
        }

        fn present(&self) -> Vec<u32> {
            let drivers = self.drivers.iter();
            drivers.map(|driver| driver.node.view().present()).collect()
        }
    }

    #[test]
    fn members_meet_by_datagrams_alone() {
        let mut world = World::of(&[false, false, false]);
        world.run(3_000);
        assert_eq!((world.present(), world.streamed), (vec![3, 3, 3], 0));
        let now = world.now;
        assert!(world.drivers.iter().all(|driver| driver.is_converged(now)));
    }

    #[test]
    fn members_meet_over_connections_alone() {
        let mut world = World::of(&[true, true, true]);
        world.datagrams_pass = false;
        world.run(5_000);
        assert_eq!(world.present(), [3, 3, 3]);
    }

    #[test]
    fn a_seed_that_takes_no_datagrams_is_greeted_over_a_connection_too() {
        for kinds in [[true, false], [false, true]] {
            let mut world = World::of(&kinds);
            world.run(5_000);
            assert_eq!(world.present(), [2, 2], "{kinds:?}");
        }
    }

    #[test]
    fn g_56_probes_fall_back_to_the_connection_and_are_answered_over_it() {
        let mut world = World::of(&[false, false]);
        world.run(3_000);
        world.datagrams_pass = false;
        world.run(60_000);
        assert_eq!(world.present(), [2, 2]);
        assert!(world.streamed > 100);
        let suspicions = world.drivers.iter().map(|d| d.node.statistics().suspicions);
        assert_eq!(suspicions.sum::<u64>(), 0, "the answers came in time");
    }

    #[test]
    fn changes_are_told_once_with_their_state() {
        let mut world = World::of(&[false, false]);
        world.run(3_000);
        let mut told = Vec::new();
        while let Some(Change::Seen(seen)) = world.drivers[0].poll_change() {
            told.push((seen.profile.name.to_string(), seen.state));
        }
        let alive = |name: &str| (name.to_owned(), State::Alive);
        assert_eq!(told, [alive("member-0"), alive("member-1")]);
        world.drivers[1].command(world.now, Command::Leave);
        world.run(2_000);
        assert!(world.drivers[1].node.is_departed());
        let Some(Change::Seen(seen)) = world.drivers[0].poll_change() else {
            panic!("nothing was told");
        };
        assert_eq!(seen.state, State::Left);
    }

    #[test]
    fn g_58_a_seed_that_has_moved_is_looked_up_and_greeted() {
        let mut world = World::of(&[false, false]);
        assert_eq!(world.drivers[1].looks_up_after_ms(), RESOLVE_INTERVAL_MS);
        world.run(3_000);
        assert_eq!(world.drivers[1].looks_up_after_ms(), RESOLVE_AGAIN_MS);
        // Nobody here knows of it but by that name.
        world.drivers.push(driver(2, false));
        world.drivers[2].command(world.now, Command::Seeds(Vec::new()));
        let moved = Command::Seeds(vec![to_wire(address(2))]);
        world.drivers[1].command(world.now, moved);
        assert!(
            world.drivers[1].is_converged(world.now),
            "it has joined already"
        );
        world.run(20_000);
        assert_eq!(world.present(), [3, 3, 3]);
    }

    #[test]
    fn only_so_many_connections_are_remembered() {
        let mut driver = driver(0, true);
        for sender in 1..=BACKS_MAX as u64 + 1 {
            driver.remember(sender, connection(1));
        }
        assert_eq!(driver.backs.len(), 1, "strangers make room");
    }
}
