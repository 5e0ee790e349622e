//! News that is repeated: what next, and for how long.

use crate::limits::{HASTY_RUMOURS_MAX, MEMBERS_CEILING};

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
    /// A further accusation of a suspected member.
    Confirmation,
    /// Somebody else's refutation.
    Refutation,
    /// A new member.
    Arrival,
    /// A changed description.
    Description,
}

/// One rumour: always about the present state of the member in its slot. Without gaps, as in a
/// partition there is one about half a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(Rust, packed(4))]
pub(super) struct Rumour {
    pub(super) rank: Rank,
    /// Whether the description goes along.
    pub(super) whole: bool,
    /// Who accuses, or reports the death.
    pub(super) by: u64,
    /// The accuser's health.
    pub(super) health: u8,
}

impl Rumour {
    /// Whether somebody waits for it: who came, changed, died or left. Suspicions and refutations
    /// have seconds, and where members read late there is no end of them.
    pub(super) const fn is_hasty(&self) -> bool {
        self.whole || matches!(self.rank, Rank::Death | Rank::Leave)
    }
}

/// The order of sending: our own first, then what was sent least, then what matters, then the
/// newest; packed from the highest bit down, and the slot in the lowest 17.
type Key = u64;

const SLOT_BITS: u32 = 17;
const _: () = assert!(MEMBERS_CEILING < 1 << SLOT_BITS);
/// What stands in the order for a rumour that has just ended.
const OVER: Key = u64::MAX;
/// Rumours that do not fit, after which a datagram counts as full.
const MISFITS_MAX: u32 = 4;

#[derive(Clone, Copy, Debug)]
struct Entry {
    rumour: Rumour,
    sends: u16,
    /// So many of its sendings are in haste.
    haste: u16,
    serial: u32,
}

impl Entry {
    const fn is_in_haste(&self) -> bool {
        self.sends < self.haste
    }
}

/// At most one rumour a member; a newer one takes the place of the older.
#[derive(Debug, Default)]
pub(super) struct Rumours {
    /// What is sent next comes last: news is put where little has to move.
    order: Vec<Key>,
    entries: BySlot<Entry>,
    /// How many of them are in haste.
    hasty: usize,
    serial: u32,
}

const fn key(slot: u32, entry: &Entry) -> Key {
    let rank = entry.rumour.rank;
    let others = !matches!(rank, Rank::Own) as u64;
    let order = others << 63 | (entry.sends as u64) << 52 | (rank as u64) << 49;
    order | (!entry.serial as u64) << SLOT_BITS | slot as u64
}

const fn slot_of(key: Key) -> u32 {
    (key & ((1 << SLOT_BITS) - 1)) as u32
}

impl Rumours {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the next round should come soon. When very many things happen at once nothing does,
    /// so that what a member sends in a second is bounded then as well.
    pub(super) fn are_in_haste(&self) -> bool {
        self.hasty > 0 && self.len() <= HASTY_RUMOURS_MAX
    }

    /// Takes up a rumour whose first `haste` sendings are in haste.
    pub(super) fn push(&mut self, slot: u32, rumour: Rumour, haste: u16) {
        self.remove(slot);
        self.serial = self.serial.wrapping_add(1);
        let entry = Entry {
            rumour,
            sends: 0,
            haste,
            serial: self.serial,
        };
        self.hasty += usize::from(entry.is_in_haste());
        let key = key(slot, &entry);
        self.order.insert(self.place(&key), key);
        self.entries.insert(slot, entry);
    }

    pub(super) fn remove(&mut self, slot: u32) {
        if let Some(entry) = self.entries.remove(&slot) {
            self.hasty -= usize::from(entry.is_in_haste());
            let place = self.place(&key(slot, &entry));
            self.order.remove(place);
        }
    }

    /// Where in the order a key is or belongs.
    fn place(&self, key: &Key) -> usize {
        self.order.partition_point(|other| other > key)
    }

    pub(super) fn get(&self, slot: u32) -> Option<Rumour> {
        self.entries.get(&slot).map(|entry| entry.rumour)
    }

    /// Offers rumours in the order of sending, except that about the member in `without`, until a
    /// few were not taken, and counts one sending of each that was. A rumour ends after `sends_max`
    /// of its rank. Returns how many were taken.
    pub(super) fn offer(
        &mut self,
        without: Option<u32>,
        mut take: impl FnMut(u32, Rumour) -> bool,
        sends_max: impl Fn(Rank) -> u16,
    ) -> u64 {
        let (mut taken, mut misfits, mut looked) = (0, 0, self.order.len());
        for index in (0..self.order.len()).rev() {
            looked = index;
            let slot = slot_of(self.order[index]);
            let Some(rumour) = self.get(slot).filter(|_| Some(slot) != without) else {
                continue;
            };
            if take(slot, rumour) {
                taken += 1;
                self.count(index, sends_max(rumour.rank));
            } else {
                misfits += 1;
                if misfits >= MISFITS_MAX {
                    break;
                }
            }
        }
        if taken > 0 {
            self.sort(looked);
        }
        taken
    }

    /// Counts one sending of the rumour at `index` in the order, which is out of order then.
    fn count(&mut self, index: usize, sends_max: u16) {
        let slot = slot_of(self.order[index]);
        let Some(entry) = self.entries.get_mut(&slot) else {
            return;
        };
        self.hasty -= usize::from(entry.is_in_haste());
        entry.sends += 1;
        if entry.sends >= sends_max {
            self.entries.remove(&slot);
            self.order[index] = OVER;
        } else {
            self.hasty += usize::from(entry.is_in_haste());
            self.order[index] = key(slot, entry);
        }
    }

    /// Puts the keys from `start` on, some of which have changed, into their places among those
    /// before them, which are in order: what lies between two places is moved once, and as a whole.
    fn sort(&mut self, start: usize) {
        let mut changed = self.order.split_off(start);
        changed.retain(|&key| key != OVER);
        changed.sort_unstable();
        let (mut read, mut write) = (start, start + changed.len());
        self.order.resize(write, OVER);
        for key in changed {
            let place = self.order[..read].partition_point(|&other| other > key);
            write -= read - place;
            self.order.copy_within(place..read, write);
            read = place;
            write -= 1;
            self.order[write] = key;
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

    fn order(rumours: &mut Rumours) -> Vec<u32> {
        let mut slots = Vec::new();
        let look = |slot, _| {
            slots.push(slot);
            false
        };
        rumours.offer(None, look, |_| 0);
        slots
    }

    /// Sends the rumour in `slot` alone.
    fn send(rumours: &mut Rumours, slot: u32, sends_max: u16) {
        rumours.offer(None, |offered, _| offered == slot, |_| sends_max);
    }

    #[test]
    fn g_50_rumours_leave_in_their_order() {
        let mut rumours = Rumours::default();
        let ranks = [Rank::Suspicion, Rank::Death, Rank::Death, Rank::Own];
        for (slot, rank) in (0..).zip(ranks) {
            rumours.push(slot, rumour(rank), 0);
        }
        assert_eq!(order(&mut rumours), [3, 2, 1, 0]);
        send(&mut rumours, 2, 5);
        assert_eq!(order(&mut rumours), [3, 1, 0, 2]);
        (0..4).for_each(|_| send(&mut rumours, 3, 5));
        assert_eq!(order(&mut rumours), [3, 1, 0, 2]);
        send(&mut rumours, 3, 5);
        assert_eq!(order(&mut rumours), [1, 0, 2]);
    }

    #[test]
    fn g_50_what_was_sent_least_comes_first_however_many_there_are() {
        let mut rumours = Rumours::default();
        (0..1_000).for_each(|slot| rumours.push(slot, rumour(Rank::Description), 0));
        for _ in 0..200 {
            let mut room = 7;
            let take = |_, _| {
                room -= 1;
                room >= 0
            };
            assert_eq!(rumours.offer(Some(5), take, |_| 9), 7);
        }
        let mut sends: Vec<u16> = rumours.entries.values().map(|entry| entry.sends).collect();
        sends.sort_unstable();
        assert_eq!((sends[0], sends[1], sends[999]), (0, 1, 2));
        assert!(rumours.order.is_sorted_by(|one, other| one > other));
    }

    #[test]
    fn g_51_a_rumour_ends_with_its_budget_and_is_replaced_by_news() {
        let mut rumours = Rumours::default();
        rumours.push(7, rumour(Rank::Suspicion), 0);
        send(&mut rumours, 7, 3);
        rumours.push(7, rumour(Rank::Refutation), 0);
        assert_eq!(rumours.get(7), Some(rumour(Rank::Refutation)));
        (0..2).for_each(|_| send(&mut rumours, 7, 3));
        assert_eq!(rumours.len(), 1);
        send(&mut rumours, 7, 3);
        assert!(rumours.is_empty() && order(&mut rumours).is_empty());
        send(&mut rumours, 7, 3);
    }

    #[test]
    fn g_52_a_rumour_is_in_haste_until_it_was_sent_so_often_or_is_over() {
        let mut rumours = Rumours::default();
        rumours.push(1, rumour(Rank::Death), 2);
        send(&mut rumours, 1, 4);
        assert!(rumours.are_in_haste());
        send(&mut rumours, 1, 4);
        assert!(!rumours.are_in_haste() && rumours.len() == 1);
        rumours.push(1, rumour(Rank::Death), 2);
        assert!(rumours.are_in_haste());
        send(&mut rumours, 1, 1);
        assert!(!rumours.are_in_haste() && rumours.is_empty());
    }

    #[test]
    fn g_52_too_many_rumours_are_in_no_haste() {
        let mut rumours = Rumours::default();
        (0..HASTY_RUMOURS_MAX as u32).for_each(|slot| rumours.push(slot, rumour(Rank::Death), 1));
        assert!(rumours.are_in_haste());
        rumours.push(u32::MAX, rumour(Rank::Death), 1);
        assert!(!rumours.are_in_haste());
        rumours.remove(0);
        assert!(rumours.are_in_haste());
    }
}
