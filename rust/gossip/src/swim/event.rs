//! What the application is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::member::{Profile, Table};
use crate::wire::State;

use super::Node;

/// What happened to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It is new, or back.
    Joined,
    /// It said that it leaves.
    Left,
    /// It did not answer and did not refute.
    Failed,
    /// It does not answer.
    Suspected,
    /// It cleared itself, or says something else of itself.
    Updated,
    /// Only of ourselves: another member keeps claiming our name, and we gave it up.
    NameLost,
    /// Only of ourselves: the members we asked to join retire the key we have.
    KeyRetired,
}

/// A change of one member since the last event about it. A member that came and went in between is
/// told by how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub happened: Happened,
    /// What the member says of itself.
    pub profile: Arc<Profile>,
}

/// What the application knows of a member whose state has changed since.
#[derive(Clone, Debug)]
struct Told {
    profile: Arc<Profile>,
    state: State,
}

/// One entry for each member with untold changes, so that an application that does not listen costs
/// no more than the members themselves, and still learns how each of them ended up.
#[derive(Debug, Default)]
pub(super) struct Reports {
    told: BTreeMap<u32, Option<Told>>,
    second: Option<Event>,
    /// How we ended ourselves.
    end: Option<Event>,
}

impl Reports {
    /// Remembers what was told of `slot` before its first change.
    pub(super) fn before_change(&mut self, table: &Table, slot: u32) {
        self.told.entry(slot).or_insert_with(|| {
            table.get(slot).map(|record| Told {
                profile: Arc::clone(&record.profile),
                state: record.state,
            })
        });
    }

    /// Remembers that nothing was told of `slot`, which has just been filled.
    pub(super) fn before_change_of_new(&mut self, slot: u32) {
        self.told.entry(slot).or_insert(None);
    }

    fn pop(&mut self, table: &Table) -> Option<Event> {
        if let Some(event) = self.second.take().or_else(|| self.end.take()) {
            return Some(event);
        }
        while let Some((slot, told)) = self.told.pop_first() {
            let now = table.get(slot).map(|record| Told {
                profile: Arc::clone(&record.profile),
                state: record.state,
            });
            let (first, second) = compare(told, now);
            self.second = second;
            if first.is_some() {
                return first;
            }
            if self.second.is_some() {
                return self.second.take();
            }
        }
        None
    }
}

/// What lies between what was told and what is: the end of an earlier life, and the rest.
fn compare(told: Option<Told>, now: Option<Told>) -> (Option<Event>, Option<Event>) {
    let same = matches!((&told, &now), (Some(a), Some(b)) if a.profile.sid == b.profile.sid);
    if same {
        return (
            None,
            told.zip(now).and_then(|(told, now)| change(&told, now)),
        );
    }
    let ended = told.filter(|told| told.state.is_present());
    let ended = ended.map(|told| event(Happened::Failed, told.profile));
    let begun = now.map(|now| event(beginning(now.state), now.profile));
    (ended, begun)
}

/// How a life is told of which nothing was told yet: that it began, or that it is over already.
const fn beginning(state: State) -> Happened {
    match state {
        State::Alive | State::Suspect => Happened::Joined,
        State::Left => Happened::Left,
        State::Dead => Happened::Failed,
    }
}

fn change(told: &Told, now: Told) -> Option<Event> {
    let happened = match (told.state.is_present(), now.state) {
        (true, State::Left) => Happened::Left,
        (true, State::Dead) => Happened::Failed,
        (false, State::Alive | State::Suspect) => Happened::Joined,
        (true, State::Suspect) if told.state == State::Alive => Happened::Suspected,
        (true, State::Alive) if told.state == State::Suspect => Happened::Updated,
        (true, _) if told.profile != now.profile => Happened::Updated,
        _ => return None,
    };
    Some(event(happened, now.profile))
}

const fn event(happened: Happened, profile: Arc<Profile>) -> Event {
    Event { happened, profile }
}

impl Node {
    /// The next change of a member. Several changes of one member become the last of them.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.reports.pop(&self.table)
    }

    pub(super) fn report_end(&mut self, happened: Happened) {
        let profile = Arc::clone(&self.record().profile);
        self.reports.end = Some(event(happened, profile));
    }
}
