//! A few members whose datagrams pass through the test's hands.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use ztransport_gossip::member::{REACH_DATAGRAM, REACH_STREAM};
use ztransport_gossip::seal::{Cipher, Keyring, Label, Sealing};
use ztransport_gossip::wire::{Address, Kind, Message};
use ztransport_gossip::{Identity, Node, Settings, Time};

pub const CLUSTER: &str = "orders";

pub fn key(fill: u8) -> Sealing {
    Sealing::ClusterKey {
        epoch: 0,
        key: [fill; 32],
        cipher: Cipher::default(),
    }
}

pub fn address(number: u8) -> Address {
    Address::v4([10, 0, 0, number], 7_000)
}

pub fn identity(number: u8, sealing: Sealing) -> Identity {
    Identity {
        cluster: CLUSTER.to_owned(),
        name: format!("member {number}"),
        address: address(number),
        reach: REACH_DATAGRAM | REACH_STREAM,
        properties: Vec::new(),
        generation: 100,
        sealing,
        seed: 0xABCD + u64::from(number) * 1_000_003,
    }
}

pub fn node(number: u8) -> Node {
    Node::new(Settings::default(), &identity(number, key(1)), Time::ZERO)
        .expect("a member as it should be")
}

/// One datagram on its way.
#[derive(Clone, Debug)]
pub struct Flight {
    pub from: Address,
    pub to: Address,
    pub bytes: Vec<u8>,
}

/// Members, a clock, and everything that was ever sent.
pub struct Table {
    pub nodes: Vec<Node>,
    pub now: Time,
    pub recorded: Vec<Flight>,
}

pub fn sent(node: &mut Node) -> Vec<Flight> {
    let (from, mut out, mut flights) = (node.profile().address, Vec::new(), Vec::new());
    while let Some(transmit) = node.poll_transmit(&mut out) {
        let (to, bytes) = (transmit.to, out.clone());
        flights.push(Flight { from, to, bytes });
    }
    flights
}

impl Table {
    pub fn new(count: u8) -> Self {
        Self::of((1..=count).map(node).collect())
    }

    pub fn of(nodes: Vec<Node>) -> Self {
        Self {
            nodes,
            now: Time::ZERO,
            recorded: Vec::new(),
        }
    }

    /// Members that know each other.
    pub fn joined(count: u8) -> Self {
        let mut table = Self::new(count);
        let seed = table.nodes[0].profile().address;
        let now = table.now;
        table.nodes[1..]
            .iter_mut()
            .for_each(|node| node.join(now, &[seed]).expect("a member as it should be"));
        table.run(3_000);
        let counts: Vec<u32> = table
            .nodes
            .iter()
            .map(|node| node.view().present())
            .collect();
        assert_eq!(counts, vec![u32::from(count); count.into()]);
        table
    }

    pub fn deliver(&mut self, flight: &Flight) -> Option<Result<(), ztransport_gossip::Drop>> {
        let now = self.now;
        let to = self
            .nodes
            .iter_mut()
            .find(|node| node.profile().address == flight.to)?;
        Some(to.handle_datagram(now, flight.from, &mut flight.bytes.clone()))
    }

    /// Delivers at once whatever is sent, until nobody has anything to say.
    pub fn exchange(&mut self) {
        loop {
            let flights: Vec<Flight> = self.nodes.iter_mut().flat_map(sent).collect();
            if flights.is_empty() {
                return;
            }
            for flight in flights {
                self.deliver(&flight);
                self.recorded.push(flight);
            }
        }
    }

    /// Lets `millis` pass in steps of 10.
    pub fn run(&mut self, millis: u64) {
        self.exchange();
        for _ in 0..millis / 10 {
            self.now = self.now.after_millis(10);
            let now = self.now;
            self.nodes
                .iter_mut()
                .for_each(|node| node.handle_timeout(now));
            self.exchange();
        }
    }
}

/// A sender of the cluster that says what the test wants.
pub struct Voice {
    pub keyring: Keyring,
    pub sid: u64,
    pub counter: u64,
}

impl Voice {
    pub fn new(sid: u64, sealing: &Sealing) -> Self {
        Self {
            keyring: Keyring::new(Label::of(CLUSTER), sealing, sid),
            sid,
            counter: 1 << 30,
        }
    }

    /// That of a member which says no more itself.
    pub fn of(node: &Node) -> Self {
        Self::new(node.sid(), &key(1))
    }

    pub fn say(&mut self, receiver: &Node, messages: &[Message<'_>]) -> Vec<u8> {
        self.say_as(Kind::Sealed, receiver.sid(), messages)
    }

    pub fn say_as(&mut self, kind: Kind, receiver: u64, messages: &[Message<'_>]) -> Vec<u8> {
        let mut out = vec![0; 18];
        messages.iter().for_each(|message| message.encode(&mut out));
        self.counter += 1;
        self.keyring.seal(kind, 0, self.counter, receiver, &mut out);
        out
    }
}

/// Another start of the same member.
pub fn identity_with_seed(number: u8, seed: u64) -> Identity {
    Identity {
        seed,
        generation: 200,
        ..identity(number, key(1))
    }
}
