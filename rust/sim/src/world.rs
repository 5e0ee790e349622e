//! Hosts, the network between them, and the order of what happens.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use ztransport_gossip::member::{Profile, REACH_DATAGRAM, REACH_STREAM, Record, Table};
use ztransport_gossip::random::{Random, mix};
use ztransport_gossip::seal::Label;
use ztransport_gossip::wire::{Address, State};
use ztransport_gossip::{Identity, Node, Settings, Time, Transmit, Via};

use crate::host::host_at;
use crate::network::{Network, happens};

pub use crate::host::{CLUSTER, Heard, Host, Protection, address};

/// What happens at a time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Occurrence {
    Arrival {
        to: u32,
        from: u32,
        via: Via,
        bytes: Vec<u8>,
    },
    Timer {
        host: u32,
    },
}

/// A cluster, its network and its clock.
pub struct World {
    /// The hosts by number.
    pub hosts: Vec<Host>,
    /// What happens between them; may be changed at any time.
    pub network: Network,
    /// The time.
    pub now: Time,
    settings: Settings,
    protection: Protection,
    random: Random,
    seed: u64,
    queue: BinaryHeap<Reverse<(Time, u64, Occurrence)>>,
    serial: u64,
    trace: u64,
    arrivals: u64,
    buffer: Vec<u8>,
}

impl World {
    /// Hosts that know nobody.
    #[must_use]
    pub fn strangers(count: u32, seed: u64, settings: &Settings, protection: Protection) -> Self {
        let mut world = Self::empty(seed, settings, protection);
        for host in 0..count {
            let node = world.new_node(host, 1, None);
            world.place(node);
        }
        world
    }

    /// A cluster in which everybody knows everybody, as after a long quiet time.
    #[must_use]
    pub fn formed(count: u32, seed: u64, settings: &Settings, protection: Protection) -> Self {
        let mut world = Self::empty(seed, settings, protection);
        let mut table = Table::new(Label::of(CLUSTER).word(), mix(seed ^ 3));
        for host in 0..count {
            let alone = world.new_node(host, 1, None);
            let profile = Arc::new(alone.profile().clone());
            table.insert(new_record(profile));
        }
        for host in 0..count {
            let node = world.new_node(host, 1, Some(table.clone()));
            world.place(node);
        }
        world
    }

    fn empty(seed: u64, settings: &Settings, protection: Protection) -> Self {
        Self {
            hosts: Vec::new(),
            network: Network::default(),
            now: Time::ZERO,
            settings: settings.clone(),
            protection,
            random: Random::new(mix(seed ^ 0x5EED)),
            seed,
            queue: BinaryHeap::new(),
            serial: 0,
            trace: mix(seed),
            arrivals: 0,
            buffer: Vec::new(),
        }
    }

    fn new_node(&self, host: u32, life: u64, view: Option<Table>) -> Node {
        let identity = Identity {
            cluster: CLUSTER.to_owned(),
            name: format!("member-{host:05}"),
            address: address(host),
            reach: REACH_DATAGRAM | REACH_STREAM,
            properties: Vec::new(),
            generation: life,
            sealing: self.protection.sealing(),
            seed: mix(self.seed ^ u64::from(host) << 20 ^ life),
        };
        let made = match view {
            Some(view) => Node::with_view(self.settings.clone(), &identity, view, self.now),
            None => Node::new(self.settings.clone(), &identity, self.now),
        };
        made.expect("simulated members have settings in range")
    }

    fn place(&mut self, node: Node) {
        let host = self.hosts.len() as u32;
        self.hosts.push(Host {
            node,
            up: true,
            paused_until: None,
            starved: None,
            held: Vec::new(),
            armed: None,
            life: 1,
        });
        self.settle(host);
    }

    /// The seed that made this world.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// A hash of everything that has happened, in its order.
    #[must_use]
    pub const fn trace(&self) -> u64 {
        self.trace
    }

    /// Datagrams that have arrived.
    #[must_use]
    pub const fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// A random number below `bound`, from this world's seed.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.random.below(bound)
    }

    /// Stops a host without a word.
    pub fn crash(&mut self, host: u32) {
        self.hosts[host as usize].up = false;
    }

    /// Starts a host again, which knows nobody, with the next generation, and has it join at
    /// `seeds`.
    pub fn restart(&mut self, host: u32, seeds: &[Address]) {
        let life = self.hosts[host as usize].life + 1;
        let mut node = self.new_node(host, life, None);
        node.join(self.now, seeds).expect("few seeds, and not left");
        let place = &mut self.hosts[host as usize];
        (place.node, place.life, place.up) = (node, life, true);
        (place.armed, place.paused_until) = (None, None);
        place.held.clear();
        self.settle(host);
    }

    /// Holds a host still until a time: it reads nothing and no timer fires.
    pub fn pause(&mut self, host: u32, until: Time) {
        self.hosts[host as usize].paused_until = Some(until);
        self.hosts[host as usize].armed = None;
        self.arm(host, until);
    }

    /// Lets a host go on that is held still, at this moment.
    pub fn resume(&mut self, host: u32) {
        if self.hosts[host as usize].paused_until.is_some() {
            self.pause(host, self.now);
        }
    }

    /// Does something with a member and then sends what it has to say.
    pub fn with<R>(&mut self, host: u32, act: impl FnOnce(&mut Node, Time) -> R) -> R {
        let result = act(&mut self.hosts[host as usize].node, self.now);
        self.settle(host);
        result
    }

    /// Lets everything happen up to `end`, and hands out each event of a member.
    pub fn run(&mut self, end: Time, mut hear: impl FnMut(Time, Heard)) {
        while self.step(end, &mut hear).is_some() {}
        self.now = end;
    }

    /// Lets the next thing happen if it happens before `end`, and says at which host.
    pub fn step(&mut self, end: Time, hear: &mut impl FnMut(Time, Heard)) -> Option<u32> {
        let &Reverse((time, _, _)) = self.queue.peek()?;
        if time >= end {
            return None;
        }
        let Reverse((time, _, occurrence)) = self.queue.pop()?;
        self.now = time;
        let host = match occurrence {
            Occurrence::Arrival {
                to,
                from,
                via,
                bytes,
            } => {
                self.arrive(to, from, via, bytes);
                to
            }
            Occurrence::Timer { host } => {
                self.fire(host);
                host
            }
        };
        while let Some(event) = self.hosts[host as usize].node.poll_event() {
            hear(time, Heard { host, event });
        }
        Some(host)
    }

    fn arrive(&mut self, to: u32, from: u32, via: Via, mut bytes: Vec<u8>) {
        let host = &mut self.hosts[to as usize];
        if !host.up {
            return;
        }
        if host.paused_until.is_some() {
            return host.held.push((from, via, bytes));
        }
        self.arrivals += 1;
        let seen = self.now.as_nanos() ^ u64::from(to) << 40 ^ (bytes.len() as u64) << 20;
        self.trace = mix(self.trace ^ seen ^ u64::from(from));
        let from = address(from);
        // A datagram may be dropped, as replayed ones are: its counter tells.
        let _ = match via {
            Via::Datagram => host.node.handle_datagram(self.now, from, &mut bytes),
            Via::Stream => host.node.handle_streamed(self.now, from, &mut bytes),
        };
        self.settle(to);
    }

    fn fire(&mut self, number: u32) {
        let host = &mut self.hosts[number as usize];
        if !host.up || host.armed != Some(self.now) {
            return;
        }
        host.armed = None;
        if host.paused_until.is_some_and(|until| until <= self.now) {
            host.paused_until = None;
            for (from, via, bytes) in std::mem::take(&mut host.held) {
                self.arrive(number, from, via, bytes);
            }
        }
        let host = &mut self.hosts[number as usize];
        if host.paused_until.is_none() {
            host.node.handle_timeout(self.now);
        }
        self.settle(number);
    }

    /// Sends what a member has to say, and arms its timer.
    fn settle(&mut self, number: u32) {
        let mut out = std::mem::take(&mut self.buffer);
        while let Some(transmit) = self.hosts[number as usize].node.poll_transmit(&mut out) {
            self.carry(number, transmit, &out);
        }
        self.buffer = out;
        let host = &self.hosts[number as usize];
        if host.paused_until.is_none()
            && let Some(next) = host.node.poll_timeout()
        {
            self.arm(number, next.max(self.now));
        }
    }

    /// Timers are only moved earlier; one that fires too early finds nothing to do.
    fn arm(&mut self, host: u32, at: Time) {
        let armed = &mut self.hosts[host as usize].armed;
        if armed.is_none_or(|armed| at < armed) {
            *armed = Some(at);
            self.schedule(at, Occurrence::Timer { host });
        }
    }

    fn schedule(&mut self, at: Time, occurrence: Occurrence) {
        self.serial += 1;
        self.queue.push(Reverse((at, self.serial, occurrence)));
    }

    fn carry(&mut self, from: u32, transmit: Transmit, bytes: &[u8]) {
        let longest = self.settings.datagram_bytes_max;
        assert!(
            bytes.len() <= longest,
            "a datagram of {} bytes",
            bytes.len()
        );
        let to = host_at(transmit.to);
        let exists = (to as usize) < self.hosts.len();
        if !exists || !self.network.connects(from, to) {
            return;
        }
        let via = transmit.via;
        let datagram = via == Via::Datagram;
        if datagram && self.network.loses(&mut self.random, from, to) {
            return;
        }
        let twice = datagram && happens(&mut self.random, self.network.duplication);
        for _ in 0..=u32::from(twice) {
            let delay = self.network.delay(&mut self.random) + self.lateness(to);
            let bytes = bytes.to_vec();
            let at = self.now.after_nanos(delay);
            let arrival = Occurrence::Arrival {
                to,
                from,
                via,
                bytes,
            };
            self.schedule(at, arrival);
        }
    }

    fn lateness(&mut self, to: u32) -> u64 {
        match self.hosts[to as usize].starved {
            Some((least, most)) => least + self.random.below(most - least + 1),
            None => 0,
        }
    }

    /// Hosts that run.
    #[must_use]
    pub fn up(&self) -> Vec<u32> {
        let hosts = (0..).zip(&self.hosts);
        hosts
            .filter(|(_, host)| host.up)
            .map(|(number, _)| number)
            .collect()
    }
}

fn new_record(profile: Arc<Profile>) -> Record {
    Record {
        sid: profile.sid,
        since: Time::ZERO,
        incarnation: 0,
        state: State::Alive,
        profile,
    }
}
