//! News that is repeated: what next, and for how long.

use std::collections::BTreeSet;

use super::slots::BySlot;

/// How much a rumour matters. The order is that of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// Our own refutation, change or leave.
    Own,
    /// A leave.
    Leave,
    /// A death.
    Death,
    /// A suspicion.
    Suspicion,
    /// Somebody else's refutation.
    Refutation,
    /// A new member.
    Arrival,
    /// A changed description.
    Description,
}

impl Rank {
    /// Whether it gets the larger budget.
    pub(super) const fn is_urgent(self) -> bool {
        !matches!(self, Self::Suspicion | Self::Arrival | Self::Description)
    }
}

/// One rumour: always about the present state of the member in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rumour {
    pub(super) rank: Rank,
    /// Whether the description goes along.
    pub(super) whole: bool,
    /// Who accuses, or reports the death.
    pub(super) by: u64,
    /// The accuser's health.
    pub(super) health: u8,
}

/// The order of sending: our own first, then what was sent least, then what matters, then the
/// newest; packed from the highest bit down, and the slot.
type Key = (u64, u32);

#[derive(Clone, Copy, Debug)]
struct Entry {
    rumour: Rumour,
    sends: u32,
    serial: u32,
}

/// At most one rumour a member; a newer one takes the place of the older.
#[derive(Debug, Default)]
pub(super) struct Rumours {
    order: BTreeSet<Key>,
    entries: BySlot<Entry>,
    serial: u32,
}

const fn key(slot: u32, entry: &Entry) -> Key {
    let order = before_serials(entry.rumour.rank, entry.sends);
    (order | !entry.serial as u64, slot)
}

/// What all keys of a rank and a number of sends begin with.
const fn before_serials(rank: Rank, sends: u32) -> u64 {
    let others = !matches!(rank, Rank::Own) as u64;
    others << 63 | (sends as u64) << 40 | (rank as u64) << 32
}

impl Rumours {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn push(&mut self, slot: u32, rumour: Rumour) {
        self.remove(slot);
        self.serial = self.serial.wrapping_add(1);
        let entry = Entry {
            rumour,
            sends: 0,
            serial: self.serial,
        };
        self.order.insert(key(slot, &entry));
        self.entries.insert(slot, entry);
    }

    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(entry) = self.entries.remove(&slot) {
            self.order.remove(&key(slot, &entry));
        }
    }

    /// Slots and rumours in the order of sending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, Rumour)> {
        let slots = self.order.iter().map(|&(_, slot)| slot);
        slots.filter_map(|slot| self.entries.get(&slot).map(|entry| (slot, entry.rumour)))
    }

    /// Whether there is a rumour of this rank that was not sent yet.
    pub(super) fn has_unsent(&self, rank: Rank) -> bool {
        let first = before_serials(rank, 0);
        let last = first | u64::from(u32::MAX);
        self.order
            .range((first, 0)..=(last, u32::MAX))
            .next()
            .is_some()
    }

    pub(super) fn get(&self, slot: u32) -> Option<Rumour> {
        self.entries.get(&slot).map(|entry| entry.rumour)
    }

    /// Counts one sending of the rumour in `slot`, which ends after `sends_max` of them.
    pub(super) fn sent(&mut self, slot: u32, sends_max: u32) {
        let Some(entry) = self.entries.get_mut(&slot) else {
            return;
        };
        self.order.remove(&key(slot, entry));
        entry.sends += 1;
        if entry.sends >= sends_max {
            self.entries.remove(&slot);
        } else {
            self.order.insert(key(slot, entry));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rumour(rank: Rank) -> Rumour {
        Rumour {
            rank,
            whole: false,
            by: 0,
            health: 0,
        }
    }

    fn order(rumours: &Rumours) -> Vec<u32> {
        rumours.iter().map(|(slot, _)| slot).collect()
    }

    #[test]
    fn g_50_rumours_leave_in_their_order() {
        let mut rumours = Rumours::default();
        let ranks = [
            Rank::Description,
            Rank::Suspicion,
            Rank::Death,
            Rank::Death,
            Rank::Own,
        ];
        for (slot, rank) in (0..).zip(ranks) {
            rumours.push(slot, rumour(rank));
        }
        assert_eq!(order(&rumours), [4, 3, 2, 1, 0]);
        rumours.sent(3, 5);
        assert_eq!(order(&rumours), [4, 2, 1, 0, 3]);
        (0..4).for_each(|_| rumours.sent(4, 5));
        assert_eq!(order(&rumours), [4, 2, 1, 0, 3]);
    }

    #[test]
    fn only_what_was_never_sent_is_unsent() {
        let mut rumours = Rumours::default();
        rumours.push(u32::MAX, rumour(Rank::Leave));
        let unsent = |rumours: &Rumours| {
            let ranks = [Rank::Own, Rank::Leave, Rank::Death];
            ranks.map(|rank| rumours.has_unsent(rank))
        };
        assert_eq!(unsent(&rumours), [false, true, false]);
        rumours.sent(u32::MAX, 5);
        assert_eq!(unsent(&rumours), [false; 3]);
    }

    #[test]
    fn g_51_a_rumour_ends_with_its_budget_and_is_replaced_by_news() {
        let mut rumours = Rumours::default();
        rumours.push(7, rumour(Rank::Suspicion));
        rumours.sent(7, 3);
        rumours.push(7, rumour(Rank::Refutation));
        assert_eq!(rumours.get(7), Some(rumour(Rank::Refutation)));
        (0..2).for_each(|_| rumours.sent(7, 3));
        assert_eq!(rumours.len(), 1);
        rumours.sent(7, 3);
        assert!(rumours.is_empty() && order(&rumours).is_empty());
        rumours.sent(7, 3);
    }
}
