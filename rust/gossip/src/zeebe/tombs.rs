//! Which incarnations of removed members are over.

use std::collections::{BTreeMap, VecDeque};

/// The last incarnation of each removed member; the oldest removal is forgotten when it is full.
#[derive(Debug)]
pub(super) struct Tombs {
    incarnations: BTreeMap<String, i64>,
    order: VecDeque<String>,
    count_max: usize,
}

impl Tombs {
    pub(super) const fn new(count_max: usize) -> Self {
        Self {
            incarnations: BTreeMap::new(),
            order: VecDeque::new(),
            count_max,
        }
    }

    pub(super) fn insert(&mut self, id: &str, incarnation: i64) {
        self.remove(id);
        if self.order.len() >= self.count_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.incarnations.remove(&oldest);
        }
        self.incarnations.insert(id.to_owned(), incarnation);
        self.order.push_back(id.to_owned());
    }

    pub(super) fn remove(&mut self, id: &str) {
        if self.incarnations.remove(id).is_some() {
            self.order.retain(|other| other != id);
        }
    }

    /// Whether this incarnation of the member is over.
    pub(super) fn covers(&self, id: &str, incarnation: i64) -> bool {
        self.incarnations
            .get(id)
            .is_some_and(|last| incarnation <= *last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut tombs = Tombs::new(2);
        tombs.insert("a", 5);
        tombs.insert("b", 5);
        assert!(tombs.covers("a", 5) && !tombs.covers("a", 6));
        tombs.insert("a", 7);
        assert!(tombs.covers("a", 6) && tombs.covers("b", 4));
        tombs.insert("c", 1);
        assert!(!tombs.covers("b", 4) && tombs.covers("a", 7) && tombs.covers("c", 1));
        tombs.remove("a");
        assert!(!tombs.covers("a", 0));
    }
}
