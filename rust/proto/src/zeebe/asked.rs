//! Our requests without an answer, by the ids they have on the wire: 1, 2, 3 and so on.

use std::collections::HashMap;

use crate::deadlines::Deadlines;
use crate::fault::Retry;
use crate::time::Time;

#[derive(Clone, Copy, Debug)]
struct Entry {
    token: u64,
    /// Where in the output its first byte stands.
    position: u64,
}

/// What an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// The request with this token.
    Waiting(u64),
    /// A one-way message, or a request nobody waits for any more.
    Late,
    /// Nothing that was ever asked.
    Unknown,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Asked {
    waiting: HashMap<u64, Entry>,
    last: u64,
    /// Messages that may still be answered although nobody waits.
    abandoned: u64,
    deadlines: Deadlines,
}

impl Asked {
    /// The id of a request somebody waits for.
    #[inline]
    pub(super) fn insert(&mut self, token: u64, deadline: Option<Time>, position: u64) -> u64 {
        self.last += 1;
        self.waiting.insert(self.last, Entry { token, position });
        if let Some(deadline) = deadline {
            let waiting = &self.waiting;
            let is_live = |id| waiting.contains_key(&id);
            self.deadlines
                .push(deadline, self.last, waiting.len(), is_live);
        }
        self.last
    }

    /// The id of a message for whose answer nobody waits.
    pub(super) fn abandon(&mut self) -> u64 {
        self.last += 1;
        self.abandoned += 1;
        self.last
    }

    /// Whether somebody waits for this answer.
    #[inline]
    pub(super) fn is_waiting(&self, id: u64) -> bool {
        self.waiting.contains_key(&id)
    }

    /// An answer has come.
    #[inline]
    pub(super) fn answer(&mut self, id: u64) -> Answered {
        if let Some(entry) = self.waiting.remove(&id) {
            return Answered::Waiting(entry.token);
        }
        if id == 0 || id > self.last || self.abandoned == 0 {
            return Answered::Unknown;
        }
        self.abandoned -= 1;
        Answered::Late
    }

    /// Nobody waits any more. Returns the token.
    pub(super) fn forget(&mut self, id: u64) -> Option<u64> {
        let entry = self.waiting.remove(&id)?;
        self.abandoned += 1;
        Some(entry.token)
    }

    /// The next request whose deadline has passed, forgotten: its token.
    pub(super) fn pop_expired(&mut self, now: Time) -> Option<u64> {
        loop {
            let id = self.deadlines.pop_due(now)?;
            if let Some(token) = self.forget(id) {
                return Some(token);
            }
        }
    }

    /// A time before which no deadline passes.
    #[inline]
    pub(super) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// The id of the request with this token, by looking at all.
    pub(super) fn find_token(&self, token: u64) -> Option<u64> {
        let mut entries = self.waiting.iter();
        entries.find_map(|(id, entry)| (entry.token == token).then_some(*id))
    }

    /// Forgets everybody, in the order they asked. What begins at or after `taken` bytes of output
    /// was never started.
    pub(super) fn take_waiting(&mut self, taken: u64) -> Vec<(u64, Retry)> {
        let mut entries: Vec<_> = self.waiting.drain().collect();
        entries.sort_unstable_by_key(|(id, _)| *id);
        let lost = |entry: Entry| (entry.token, Retry::lost(entry.position < taken));
        entries.into_iter().map(|(_, entry)| lost(entry)).collect()
    }

    /// Requests somebody waits for.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w_77_only_what_was_asked_is_answered() {
        let mut asked = Asked::default();
        let (one, two) = (asked.insert(10, None, 0), asked.insert(20, None, 5));
        let third = asked.abandon();
        assert_eq!((one, two, third), (1, 2, 3));
        assert_eq!(asked.answer(2), Answered::Waiting(20));
        assert_eq!(asked.answer(4), Answered::Unknown);
        assert_eq!(asked.answer(0), Answered::Unknown);
        assert_eq!(asked.answer(3), Answered::Late);
        assert_eq!(asked.answer(3), Answered::Unknown);
        assert_eq!((asked.forget(1), asked.forget(1)), (Some(10), None));
        assert_eq!(asked.answer(1), Answered::Late);
        assert_eq!(asked.len(), 0);
    }

    #[test]
    fn w_77_what_has_not_left_was_not_started() {
        let mut asked = Asked::default();
        asked.insert(10, None, 0);
        asked.insert(20, None, 5);
        let lost = [(10, Retry::Unknown), (20, Retry::NotStarted)];
        assert_eq!(asked.take_waiting(5), lost);
    }

    #[test]
    fn w_78_only_the_late_expire() {
        let mut asked = Asked::default();
        for nanos in [30, 10, 20] {
            asked.insert(nanos, Some(Time::from_nanos(nanos)), 0);
        }
        asked.answer(2);
        assert_eq!(asked.pop_expired(Time::from_nanos(20)), Some(20));
        assert_eq!(asked.pop_expired(Time::from_nanos(29)), None);
        assert_eq!(asked.next_deadline(), Some(Time::from_nanos(30)));
    }
}
