//! Ids that are never taken again.

use std::collections::{BTreeSet, VecDeque};

use crate::limits::RETIRED_MAX;

/// Ids of lives that have ended and were forgotten, at most 131,072. What was recorded of their
/// datagrams must not bring them back. A key rotation makes such recordings worthless, and the ids
/// are forgotten.
#[derive(Clone, Debug, Default)]
pub struct Retired {
    ids: BTreeSet<u64>,
    order: VecDeque<u64>,
}

impl Retired {
    /// Whether `sid` has ended.
    #[inline]
    #[must_use]
    pub fn holds(&self, sid: u64) -> bool {
        !self.ids.is_empty() && self.ids.contains(&sid)
    }

    /// Remembers `sid`; the oldest gives way when there are too many.
    pub fn add(&mut self, sid: u64) {
        if !self.ids.insert(sid) {
            return;
        }
        self.order.push_back(sid);
        if self.order.len() > RETIRED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
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
        (1..=RETIRED_MAX as u64).for_each(|sid| retired.add(sid));
        retired.add(1);
        assert!(retired.holds(1) && retired.len() == RETIRED_MAX);
        retired.add(u64::MAX);
        assert!(!retired.holds(1) && retired.holds(2) && retired.len() == RETIRED_MAX);
        retired.clear();
        assert!(!retired.holds(2) && retired.is_empty());
    }
}
