//! Ids of lives that are forgotten, and what must not come back of them.

use std::collections::{BTreeMap, VecDeque};

use crate::limits::RETIRED_MAX;

/// How a life that is forgotten ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// For good: it was left, or a later life of its name took its place.
    Final,
    /// It was held for dead. If it lives, behind a partition that lasts longer than deaths are
    /// remembered, it comes back as it would have before: in a later incarnation.
    Dead {
        /// In which incarnation.
        incarnation: u32,
        /// The greatest counter of its datagrams that was taken; those up to it may be copies.
        counter: u64,
    },
}

/// Ids of lives that have ended and were forgotten, at most 131,072. What was recorded of their
/// datagrams must not bring them back. A key rotation makes such recordings worthless, and the ids
/// are forgotten.
#[derive(Clone, Debug, Default)]
pub struct Retired {
    ids: BTreeMap<u64, Ended>,
    order: VecDeque<u64>,
}

impl Retired {
    /// How the life `sid` ended, if it has.
    #[inline]
    #[must_use]
    pub fn get(&self, sid: u64) -> Option<Ended> {
        if self.ids.is_empty() {
            return None;
        }
        self.ids.get(&sid).copied()
    }

    /// Whether `sid` has ended for good.
    #[inline]
    #[must_use]
    pub fn is_final(&self, sid: u64) -> bool {
        self.get(sid) == Some(Ended::Final)
    }

    /// Remembers how `sid` ended; the oldest gives way when there are too many.
    pub fn add(&mut self, sid: u64, ended: Ended) {
        if self.ids.insert(sid, ended).is_some() {
            return;
        }
        self.order.push_back(sid);
        if self.order.len() > RETIRED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    /// Takes back that `sid` has ended.
    pub fn remove(&mut self, sid: u64) {
        if self.ids.remove(&sid).is_some() {
            self.order.retain(|&other| other != sid);
        }
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.ids.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g_9_retired_ids_are_bounded() {
        let mut retired = Retired::default();
        (1..=RETIRED_MAX as u64).for_each(|sid| retired.add(sid, Ended::Final));
        retired.add(1, Ended::Final);
        assert!(retired.is_final(1) && retired.len() == RETIRED_MAX);
        retired.add(u64::MAX, Ended::Final);
        assert!(!retired.is_final(1) && retired.is_final(2) && retired.len() == RETIRED_MAX);
        retired.clear();
        assert!(!retired.is_final(2) && retired.is_empty());
    }

    #[test]
    fn g_9_who_is_back_can_end_again() {
        let mut retired = Retired::default();
        let dead = |incarnation| Ended::Dead {
            incarnation,
            counter: 5,
        };
        retired.add(7, dead(1));
        assert!(retired.get(7) == Some(dead(1)) && !retired.is_final(7));
        retired.remove(7);
        assert_eq!((retired.get(7), retired.len()), (None, 0));
        retired.add(7, dead(2));
        retired.add(7, Ended::Final);
        assert!(retired.is_final(7) && retired.len() == 1);
    }
}
