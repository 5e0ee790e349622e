//! Three members explored to the end, over the code of the node itself: everything that is said may
//! arrive in any order, any number of times, or never; two of them suspect, bury and forget the
//! third, which refutes, leaves, crashes and starts again. Names never meet in a merge, so one
//! subject stands for all three.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

mod explore;

use super::input::Origin;
use super::merge::Told;
use super::output::{Content, Via};
use super::{Identity, Node};
use crate::limits::{OBJECTIONS_PER_SECOND, Settings};
use crate::member::{Ended, Profile, REACH_DATAGRAM, Record, Retired, Standing, Table};
use crate::seal::{Sealing, TokenBucket};
use crate::time::Time;
use crate::wire::{Address, Message, Messages, State};

const NOW: Time = Time::from_nanos(1);
const END: Time = Time::from_nanos(u64::MAX);
const LIVES: usize = 2;
const STATES: [State; 4] = [State::Alive, State::Suspect, State::Dead, State::Left];

/// Visits every moment that can come of the first, each once; how many there are. `visit` judges one
/// and tells those that may follow.
pub(super) fn exhaust<M: Copy + Eq + Hash>(
    first: M,
    mut visit: impl FnMut(M) -> Result<Vec<M>, String>,
) -> Result<usize, String> {
    let (mut seen, mut open) = (HashSet::from([first]), vec![first]);
    while let Some(moment) = open.pop() {
        let next = visit(moment)?;
        open.extend(next.into_iter().filter(|next| seen.insert(*next)));
    }
    Ok(seen.len())
}

/// What is broken on purpose, to see that the exploration finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// What was heard last is kept, not what is greatest.
    LastWriter,
    /// The subject does not hear that it is accused.
    Deaf,
    /// Who forgets a member forgets how it ended, too.
    Amnesia,
}

/// How far the exploration goes.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// The subject refutes no more in this incarnation.
    incarnation_last: u32,
    /// How often the subject's process starts.
    lives: usize,
    /// Whether those that ended are forgotten.
    forgets: bool,
}

/// What can be said of the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Saying {
    life: usize,
    incarnation: u32,
    state: State,
}

impl Saying {
    fn standing(self) -> Standing {
        Standing::new(self.life as u64, self.incarnation, self.state)
    }

    fn bit(self, bounds: Bounds) -> u32 {
        let row = self.life as u32 * (bounds.incarnation_last + 1) + self.incarnation;
        1 << (4 * row + self.state as u32)
    }
}

fn sayings(bounds: Bounds) -> Vec<Saying> {
    let rows =
        (0..bounds.lives).flat_map(|life| (0..=bounds.incarnation_last).map(move |i| (life, i)));
    let of = |(life, incarnation)| {
        STATES.map(|state| Saying {
            life,
            incarnation,
            state,
        })
    };
    rows.flat_map(of).collect()
}

/// What a node is made of again.
#[derive(Clone)]
struct Kept {
    number: u64,
    table: Table,
    retired: Retired,
    leaving: bool,
}

fn identity(number: u64) -> Identity {
    let subject = number < LIVES as u64;
    Identity {
        cluster: "model".to_owned(),
        name: if subject { "subject" } else { "observer" }.to_owned(),
        address: Address::v4([10, 0, 0, number as u8], 1),
        reach: REACH_DATAGRAM,
        properties: Vec::new(),
        generation: 1 + number,
        sealing: Sealing::None,
        seed: 77 + number,
    }
}

impl Kept {
    fn new(number: u64) -> Self {
        Self::of(number, &born(number, Table::new(1, 2)))
    }

    fn of(number: u64, node: &Node) -> Self {
        Self {
            number,
            table: node.table.clone(),
            retired: node.retired.clone(),
            leaving: node.leaving,
        }
    }

    fn node(&self) -> Node {
        let mut node = born(self.number, self.table.clone());
        node.retired = self.retired.clone();
        node.leaving = self.leaving;
        node.objections = TokenBucket::new(OBJECTIONS_PER_SECOND, NOW);
        node
    }
}

fn born(number: u64, table: Table) -> Node {
    Node::with_view(Settings::default(), &identity(number), table, NOW).expect("a member")
}

/// One of the others: what it holds of the subject and what it remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Observer {
    held: Option<Saying>,
    /// The most that was ever held of each life.
    peaks: [Option<Saying>; LIVES],
    ended: [Option<Ended>; LIVES],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Subject {
    up: bool,
    own: Saying,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    /// Takes in what was said: as news or not, with the description or not.
    Hear(Saying, bool, bool),
    Suspect,
    Bury,
    Forget,
}

/// The nodes of the observers in every state they were found in, and what became of them.
struct Explorer {
    fault: Fault,
    bounds: Bounds,
    lives: Vec<Profile>,
    subjects: HashMap<Saying, Kept>,
    observers: Vec<(Observer, Kept)>,
    numbers: HashMap<Observer, usize>,
    became: HashMap<(usize, Act), (usize, u32)>,
}

fn origin(hearsay: bool) -> Origin {
    Origin {
        now: NOW,
        sid: 4_242,
        address: Address::v4([10, 0, 0, 99], 1),
        via: Via::Datagram,
        hearsay,
    }
}

impl Explorer {
    fn new(fault: Fault, bounds: Bounds) -> Self {
        let lives = 0..LIVES as u64;
        Self {
            fault,
            bounds,
            lives: lives
                .map(|life| Kept::new(life).node().profile().clone())
                .collect(),
            subjects: HashMap::new(),
            observers: Vec::new(),
            numbers: HashMap::new(),
            became: HashMap::new(),
        }
    }

    fn told(&self, saying: Saying) -> Told {
        Told {
            sid: self.lives[saying.life].sid,
            incarnation: saying.incarnation,
            state: saying.state,
            by: 4_242,
            health: 0,
        }
    }

    fn saying_of(&self, record: &Record) -> Option<Saying> {
        let life = self.lives.iter().position(|life| life.sid == record.sid)?;
        Some(Saying {
            life,
            incarnation: record.incarnation,
            state: record.state,
        })
    }

    /// Finds or makes the number of an observer's state, and what it says.
    fn number(
        &mut self,
        mut peaks: [Option<Saying>; LIVES],
        node: &mut Node,
    ) -> Result<(usize, u32), String> {
        let held = node
            .table
            .iter()
            .find_map(|(_, record)| self.saying_of(record));
        if let Some(held) = held {
            judge(peaks, held)?;
            peaks[held.life] = Some(held);
        }
        let ended = [0, 1].map(|life: usize| node.retired.get(self.lives[life].sid));
        let observer = Observer { held, peaks, ended };
        let said = held.map_or(0, |held| held.bit(self.bounds)) | self.objections(node);
        let next = self.observers.len();
        let number = *self.numbers.entry(observer).or_insert(next);
        if number == next {
            self.observers.push((observer, Kept::of(9, node)));
        }
        Ok((number, said))
    }

    /// What a node answers besides: that somebody is suspected whom it has forgotten.
    fn objections(&self, node: &Node) -> u32 {
        let mut said = 0;
        for outgoing in &node.output {
            let Content::Body(ref body) = outgoing.content else {
                continue;
            };
            for message in Messages::new(body).flatten() {
                if let Message::Suspect {
                    sid, incarnation, ..
                } = message
                {
                    let life = self.lives.iter().position(|life| life.sid == sid);
                    let state = State::Suspect;
                    said |= life.map_or(0, |life| {
                        Saying {
                            life,
                            incarnation,
                            state,
                        }
                        .bit(self.bounds)
                    });
                }
            }
        }
        said
    }

    fn act(&mut self, observer: usize, act: Act) -> Result<(usize, u32), String> {
        if let Some(&became) = self.became.get(&(observer, act)) {
            return Ok(became);
        }
        let (before, kept) = self.observers[observer].clone();
        let mut node = kept.node();
        self.perform(&mut node, act);
        let became = self
            .number(before.peaks, &mut node)
            .map_err(|fault| format!("{fault}: {act:?} by {before:?}"))?;
        self.became.insert((observer, act), became);
        Ok(became)
    }

    fn perform(&self, node: &mut Node, act: Act) {
        let slot = node.table.find_name("subject");
        match act {
            Act::Hear(saying, hearsay, whole) => self.hear(node, saying, origin(hearsay), whole),
            Act::Suspect => slot.into_iter().for_each(|slot| node.accuse(NOW, slot)),
            Act::Bury => {
                // The suspicion is not part of the view, and its time is over here.
                slot.into_iter()
                    .for_each(|slot| node.start_suspicion(NOW, slot, 1));
                node.bury_expired(END);
            }
            Act::Forget => slot.into_iter().for_each(|slot| node.forget(slot)),
        }
        if act == Act::Forget && self.fault == Fault::Amnesia {
            node.retired.clear();
        }
    }

    fn hear(&self, node: &mut Node, saying: Saying, origin: Origin, whole: bool) {
        let (life, told) = (&self.lives[saying.life], self.told(saying));
        match node.table.find(life.sid) {
            Some(slot) if self.fault == Fault::LastWriter => node.apply(origin, slot, told, None),
            _ if whole => node.hear_alive(origin, &life.describe(saying.incarnation)),
            _ => node.hear(origin, &told),
        }
    }

    /// What the subject does about an accusation.
    fn accused(&mut self, subject: Subject, saying: Saying) -> Subject {
        let own = subject.own;
        let reached = saying.life == own.life && saying.incarnation < self.bounds.incarnation_last;
        if !subject.up || !reached || self.fault == Fault::Deaf {
            return subject;
        }
        let mut node = self.subjects[&own].node();
        node.hear(origin(false), &self.told(saying));
        self.being(own.life, &node)
    }

    fn being(&mut self, life: usize, node: &Node) -> Subject {
        let own = Saying {
            life,
            incarnation: node.incarnation(),
            state: node.record().state,
        };
        let kept = Kept::of(life as u64, node);
        self.subjects.entry(own).or_insert(kept);
        Subject { up: true, own }
    }

    fn leave(&mut self, own: Saying) -> Subject {
        let mut node = self.subjects[&own].node();
        node.leave(NOW);
        self.being(own.life, &node)
    }
}

fn heard(bounds: Bounds, said: u32) -> impl Iterator<Item = Saying> {
    sayings(bounds)
        .into_iter()
        .filter(move |saying| said & saying.bit(bounds) != 0)
}

/// Within a life nothing rises without a later incarnation, and a leave is final, whether the
/// observer has forgotten it meanwhile or not.
fn judge(peaks: [Option<Saying>; LIVES], held: Saying) -> Result<(), String> {
    match peaks[held.life] {
        Some(peak) if peak.state == State::Left && held != peak => {
            Err("a leave is undone".to_owned())
        }
        Some(peak) if held.standing() < peak.standing() => {
            Err(format!("{held:?} is risen from {peak:?}"))
        }
        _ => Ok(()),
    }
}
