//! Deadlines by id, the earliest first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::time::Time;

/// Entries that are kept although their id is gone, beside as many as are live.
const STALE_MAX: usize = 64;

/// A heap that forgets lazily: an id that is gone stays until its time or the next clean-up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(Time, u64)>>,
}

impl Deadlines {
    /// Adds a deadline. When more than half of the heap must be stale, with `live` ids in use, it
    /// keeps only those for which `is_live` says so.
    #[inline]
    pub(crate) fn push(
        &mut self,
        deadline: Time,
        id: u64,
        live: usize,
        is_live: impl Fn(u64) -> bool,
    ) {
        if self.heap.len() > 2 * live + STALE_MAX {
            self.heap.retain(|Reverse((_, id))| is_live(*id));
        }
        self.heap.push(Reverse((deadline, id)));
    }

    /// A time before which no deadline passes.
    #[inline]
    #[must_use]
    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((deadline, _))| *deadline)
    }

    /// Takes an id whose deadline is not after `now`; it may be gone already.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<u64> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, id))| id)
    }

    /// Gives back memory that the heap does not need.
    pub(crate) fn shrink(&mut self) {
        self.heap.shrink_to(2 * self.heap.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_and_not_early() {
        let mut deadlines = Deadlines::default();
        for nanos in [30, 10, 20] {
            deadlines.push(Time::from_nanos(nanos), nanos, 3, |_| true);
        }
        assert_eq!(deadlines.next(), Some(Time::from_nanos(10)));
        assert_eq!(deadlines.pop_due(Time::from_nanos(9)), None);
        assert_eq!(deadlines.pop_due(Time::from_nanos(10)), Some(10));
        assert_eq!(deadlines.pop_due(Time::from_nanos(30)), Some(20));
        assert_eq!(deadlines.pop_due(Time::from_nanos(30)), Some(30));
        assert!(deadlines.next().is_none());
    }

    #[test]
    fn stale_entries_are_bounded() {
        let mut deadlines = Deadlines::default();
        for id in 0..10_000 {
            deadlines.push(Time::from_nanos(id), id, 1, |live| live == id);
            assert!(deadlines.heap.len() <= 2 + STALE_MAX + 1);
        }
    }
}
