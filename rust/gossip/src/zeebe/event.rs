//! What the application is told: one entry for each member with untold changes.

use std::collections::BTreeMap;

use super::Node;
use crate::kryo::{Record, Standing};
use crate::swim::Happened;

/// A change of one member since the last event about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub happened: Happened,
    /// The member as it is, or as it was last known.
    pub record: Record,
}

#[derive(Debug)]
struct Entry {
    /// What was told of the member before its first change.
    told: Option<Record>,
    /// How its last life ended.
    ended: Option<Happened>,
}

/// Untold changes by member, so that an application that does not listen costs no more than the
/// members themselves.
#[derive(Debug, Default)]
pub(super) struct Reports {
    entries: BTreeMap<String, Entry>,
    second: Option<Event>,
}

impl Reports {
    /// Remembers what was told of a member before it changes.
    pub(super) fn before_change(&mut self, id: &str, told: Option<&Record>) {
        if !self.entries.contains_key(id) {
            let told = told.cloned();
            let entry = Entry { told, ended: None };
            self.entries.insert(id.to_owned(), entry);
        }
    }

    /// Remembers how a life of a member ended, after `before_change`.
    pub(super) fn ended(&mut self, id: &str, happened: Happened) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.ended = Some(happened);
        }
    }
}

impl Node {
    /// The next change of a member. Several changes of one member become the last of them.
    pub fn poll_event(&mut self) -> Option<Event> {
        if let Some(event) = self.reports.second.take() {
            return Some(event);
        }
        while let Some((id, entry)) = self.reports.entries.pop_first() {
            let now = self.members.get(&id).map(|member| &member.record);
            let (first, second) = compare(entry, now);
            if first.is_some() {
                self.reports.second = second;
                return first;
            }
            if second.is_some() {
                return second;
            }
        }
        None
    }
}

/// What lies between what was told and what is: the end of an earlier life, and the rest.
fn compare(entry: Entry, now: Option<&Record>) -> (Option<Event>, Option<Event>) {
    let event = |happened, record| Some(Event { happened, record });
    let ended = entry.ended.unwrap_or(Happened::Failed);
    match (entry.told, now) {
        (None, None) => (None, None),
        (None, Some(now)) => (None, event(Happened::Joined, now.clone())),
        (Some(told), None) => (event(ended, told), None),
        (Some(told), Some(now)) if told.timestamp != now.timestamp => {
            (event(ended, told), event(Happened::Joined, now.clone()))
        }
        (Some(told), Some(now)) => {
            let happened = change(&told, now);
            (None, happened.and_then(|what| event(what, now.clone())))
        }
    }
}

fn change(told: &Record, now: &Record) -> Option<Happened> {
    if told.standing != now.standing && now.standing == Some(Standing::Suspect) {
        return Some(Happened::Suspected);
    }
    let same = told.standing == now.standing
        && told.properties == now.properties
        && told.address == now.address
        && told.release == now.release;
    (!same).then_some(Happened::Updated)
}
