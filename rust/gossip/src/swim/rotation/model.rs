//! A rotation explored to the end, over the code of the node itself: three processes install a key,
//! come with the old or the new one alone, leave, crash, come back and are buried by mistake; what
//! is said may arrive in any order, any number of times, late or never, at whoever holds the key it
//! was sealed with.

use std::collections::HashMap;

mod explore;

use super::super::model::exhaust;
use super::super::{Identity, Node};
use crate::limits::{OBJECTIONS_PER_SECOND, Settings};
use crate::member::{Ended, REACH_DATAGRAM, Record, Retired, Table};
use crate::seal::{Cipher, Keyring, Label, Sealing, TokenBucket};
use crate::time::Time;
use crate::wire::{Address, Header, Kind, Message, State};

const NOW: Time = Time::from_nanos(1);
const END: Time = Time::from_nanos(u64::MAX);
const CLUSTER: &str = "model";
const LIVES_MAX: usize = 4;

/// What is broken on purpose, to see that the exploration finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Anybody becomes present, whatever keys it has: the protocol as it was.
    OpenDoor,
    /// The old key is forgotten as soon as the new one is there.
    Hasty,
    /// Nobody looks whether the others have the key.
    Idle,
}

/// One life of a process: its name, and the epoch of the one key it starts with.
#[derive(Clone, Copy, Debug)]
struct Birth {
    name: &'static str,
    epoch: u8,
}

/// Who takes part, and how much goes wrong.
#[derive(Clone, Copy, Debug)]
struct Cast {
    /// The first `founders` know each other; the others start at any time, a later life of a name
    /// when the earlier one is over.
    births: &'static [Birth],
    founders: usize,
    /// How many living members are taken for dead, crash, and leave.
    mishaps: Mishaps,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Mishaps {
    burials: u8,
    crashes: u8,
    leaves: u8,
}

/// What can be said of a life: its state, and when it is alive what it says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Saying {
    life: usize,
    incarnation: u32,
    state: State,
    version: u32,
    keys: (u8, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    /// Takes in a saying, with its description or not.
    Hear(usize, bool),
    Install,
    Tend,
    Forget,
    /// Takes another life for dead.
    Bury(usize),
    Leave,
}

/// What distinguishes one state of a node from another.
#[derive(Clone, PartialEq, Eq, Hash)]
struct View {
    life: usize,
    holds: (u8, u8),
    retires: bool,
    leaving: bool,
    held: Vec<Saying>,
    ended: [Option<Ended>; LIVES_MAX],
}

/// What a node is made of again.
struct Kept {
    view: View,
    table: Table,
    retired: Retired,
}

/// The nodes in every state they were found in, and what became of them.
struct Explorer {
    fault: Fault,
    cast: Cast,
    sids: Vec<u64>,
    nodes: Vec<Kept>,
    numbers: HashMap<View, usize>,
    sayings: Vec<Saying>,
    said_of: HashMap<Saying, usize>,
    became: HashMap<(usize, Act), usize>,
}

fn key(epoch: u8) -> Sealing {
    Sealing::ClusterKey {
        epoch,
        key: [epoch; 32],
        cipher: Cipher::default(),
    }
}

fn identity(cast: Cast, life: usize, epoch: u8) -> Identity {
    Identity {
        cluster: CLUSTER.to_owned(),
        name: cast.births[life].name.to_owned(),
        address: Address::v4([10, 0, 0, life as u8], 1),
        reach: REACH_DATAGRAM,
        properties: Vec::new(),
        generation: 1 + life as u64,
        sealing: key(epoch),
        seed: 77 + life as u64,
    }
}

fn born(cast: Cast, life: usize, epoch: u8, table: Table) -> Node {
    let identity = identity(cast, life, epoch);
    Node::with_view(Settings::default(), &identity, table, NOW).expect("a member")
}

impl Explorer {
    fn new(fault: Fault, cast: Cast) -> Self {
        let lives = 0..cast.births.len();
        let sid = |life| born(cast, life, 0, Table::new(1, 2)).sid();
        Self {
            fault,
            cast,
            sids: lives.map(sid).collect(),
            nodes: Vec::new(),
            numbers: HashMap::new(),
            sayings: Vec::new(),
            said_of: HashMap::new(),
            became: HashMap::new(),
        }
    }

    fn node(&self, number: usize) -> Node {
        let kept = &self.nodes[number];
        let (oldest, newest) = kept.view.holds;
        let mut node = born(self.cast, kept.view.life, oldest, kept.table.clone());
        if oldest != newest {
            node.keyring.install(newest, &[newest; 32]).expect("a key");
        }
        node.retired = kept.retired.clone();
        node.leaving = kept.view.leaving;
        node.turnover.retire_at = kept.view.retires.then_some(END);
        node.objections = TokenBucket::new(OBJECTIONS_PER_SECOND, NOW);
        node
    }

    fn saying_of(&self, record: &Record) -> Saying {
        let of = |sid: &u64| *sid == record.sid;
        let profile = &record.profile;
        Saying {
            life: self.sids.iter().position(of).expect("nobody else"),
            incarnation: record.incarnation,
            state: record.state,
            version: profile.version,
            keys: (profile.installed, profile.ready),
        }
    }

    fn view_of(&self, life: usize, node: &Node) -> View {
        assert_eq!(node.sid(), self.sids[life], "nobody takes a new life here");
        let records = node.table.iter();
        let mut held: Vec<Saying> = records.map(|(_, record)| self.saying_of(record)).collect();
        held.sort_unstable();
        let mut ended = [None; LIVES_MAX];
        for (ended, sid) in ended.iter_mut().zip(&self.sids) {
            *ended = node.retired.get(*sid);
        }
        View {
            life,
            holds: (node.keyring.oldest(), node.keyring.newest()),
            retires: node.turnover.retire_at.is_some(),
            leaving: node.leaving,
            held,
            ended,
        }
    }

    /// Finds or makes the number of a node's state.
    fn number(&mut self, life: usize, node: &Node) -> usize {
        let view = self.view_of(life, node);
        if let Some(&number) = self.numbers.get(&view) {
            return number;
        }
        let number = self.nodes.len();
        self.numbers.insert(view.clone(), number);
        self.nodes.push(Kept {
            view,
            table: node.table.clone(),
            retired: node.retired.clone(),
        });
        number
    }

    fn intern(&mut self, saying: Saying) -> usize {
        let next = self.sayings.len();
        let index = *self.said_of.entry(saying).or_insert(next);
        if index == next {
            assert!(next < 128, "too many sayings");
            self.sayings.push(saying);
        }
        index
    }

    fn act(&mut self, number: usize, act: Act) -> usize {
        if let Some(&became) = self.became.get(&(number, act)) {
            return became;
        }
        let mut node = self.node(number);
        self.perform(&mut node, act);
        let became = self.number(self.nodes[number].view.life, &node);
        self.became.insert((number, act), became);
        became
    }

    fn perform(&self, node: &mut Node, act: Act) {
        match act {
            Act::Hear(saying, whole) => self.hear(node, self.sayings[saying], whole),
            Act::Install => {
                node.install_key(NOW, 1, &[1; 32]).expect("the next key");
                if self.fault == Fault::Hasty {
                    node.keyring.retire();
                }
            }
            Act::Tend if self.fault == Fault::Idle => {}
            Act::Tend => node.tend_rotation(NOW),
            Act::Forget => node.tend_turnover(END),
            Act::Bury(life) => self.bury(node, life),
            Act::Leave => node.leave(NOW),
        }
    }

    fn bury(&self, node: &mut Node, life: usize) {
        let slot = node.table.find(self.sids[life]).expect("a known life");
        node.accuse(NOW, slot);
        node.start_suspicion(NOW, slot, 1);
        node.bury_expired(END);
    }

    /// Through the door, from somebody who is present if anybody is, under a key we hold: whoever
    /// may have passed it on.
    fn hear(&self, node: &mut Node, saying: Saying, whole: bool) {
        let others = node.table.iter().filter(|(_, record)| {
            record.state.is_present() && ![node.sid, self.sids[saying.life]].contains(&record.sid)
        });
        let sender = others.map(|(_, record)| record.sid).next();
        let sender = sender.unwrap_or(self.sids[saying.life]);
        if sender == node.sid {
            return;
        }
        let epoch = node.keyring.newest();
        let ring = Keyring::new(Label::of(CLUSTER), &key(epoch), sender);
        let mut datagram = vec![0; 18];
        self.write(saying, whole, &mut datagram);
        ring.seal(Kind::Sealed, epoch, 1, node.sid, &mut datagram);
        self.take(node, saying, &mut datagram);
    }

    fn take(&self, node: &mut Node, saying: Saying, datagram: &mut [u8]) {
        let own = (node.profile().installed, node.profile().ready);
        let open = self.fault == Fault::OpenDoor;
        if open {
            dress(node, saying.keys);
        }
        let from = Address::v4([10, 0, 0, 99], 1);
        let _ = node.handle_datagram(NOW, from, datagram);
        if open {
            dress(node, own);
        }
    }

    fn write(&self, saying: Saying, whole: bool, out: &mut Vec<u8>) {
        let (sid, incarnation) = (self.sids[saying.life], saying.incarnation);
        let reporter = 1;
        let version = saying.version;
        let mut profile = born(self.cast, saying.life, 0, Table::new(1, 2))
            .profile()
            .clone();
        profile.version = version;
        (profile.installed, profile.ready) = saying.keys;
        let message = match saying.state {
            State::Alive if whole => Message::Alive(profile.describe(incarnation)),
            State::Alive => Message::Refute {
                sid,
                incarnation,
                version,
            },
            State::Suspect => unreachable!("a suspicion is over at once here"),
            State::Dead => Message::Dead {
                sid,
                incarnation,
                reporter,
            },
            State::Left => Message::Left { sid, incarnation },
        };
        message.encode(out);
    }

    /// Whether what one node says to another now is let in: sealed as its record of the other has
    /// it, or as a greeting.
    fn reaches(&self, from: usize, to: usize) -> bool {
        let (from, to) = (self.node(from), self.node(to));
        let record = from
            .table
            .find(to.sid)
            .and_then(|slot| from.table.get(slot));
        let newest = from.keyring.newest();
        to.admit(&Header {
            kind: Kind::Sealed,
            epoch: record.map_or(newest, |record| from.epoch_for(record)),
            sid: from.sid,
            counter: 1,
        })
        .is_ok()
    }
}

/// Makes a node take itself for one that has other keys.
fn dress(node: &mut Node, keys: (u8, u8)) {
    let mut profile = node.profile().clone();
    (profile.installed, profile.ready) = keys;
    node.set_self(|record| record.profile = std::sync::Arc::new(profile));
}
