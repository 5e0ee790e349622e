//! How long the suspected have to refute.

use std::collections::BTreeSet;

use crate::time::Time;

use super::slots::BySlot;

/// Confirming accusers kept of one suspicion: all but the last, after whom nobody counts any more.
const CONFIRMERS_KEPT: usize = 3;

/// One suspected member (Lifeguard's dynamic suspicion time-out). Without gaps, as in a partition
/// half a cluster is suspected at once.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed(4))]
pub(super) struct Suspicion {
    started: Time,
    min: u64,
    /// Who accused first.
    accuser: u64,
    /// Half of the random id of each further one, in order; 0 where there is none yet. Of two that
    /// are alike in it the second does not count.
    confirmers: [u32; CONFIRMERS_KEPT],
    /// The longest time, as a multiple of the shortest.
    ceiling: u8,
    /// Independent accusations that bring the time down to `min`.
    needed: u8,
    confirmed: u8,
}

impl Suspicion {
    pub(super) const fn new(now: Time, accuser: u64, min: u64, ceiling: u8, needed: u8) -> Self {
        Self {
            started: now,
            min,
            accuser,
            confirmers: [0; CONFIRMERS_KEPT],
            ceiling,
            needed,
            confirmed: 0,
        }
    }

    /// When it ends in a death: after max - (max - min) · ln(confirmed + 1) / ln(needed + 1), at
    /// least min.
    fn deadline(&self) -> Time {
        let (started, min) = (self.started, self.min);
        let max = min.saturating_mul(u64::from(self.ceiling));
        let share = match self.needed {
            0 => 1.0,
            needed => f64::from(self.confirmed + 1).ln() / f64::from(needed + 1).ln(),
        };
        let nanos = max - ((max - min) as f64 * share.min(1.0)) as u64;
        started.after_nanos(nanos.max(min))
    }

    /// Takes one more accusation; whether it shortens the time, as an independent one does while
    /// some are needed.
    fn confirm(&mut self, accuser: u64) -> bool {
        let (half, first, mut confirmers) = (accuser as u32, self.accuser, self.confirmers);
        let known = accuser == 0 || accuser == first || confirmers.contains(&half);
        if self.confirmed >= self.needed || known {
            return false;
        }
        if let Some(place) = confirmers.iter_mut().find(|place| **place == 0) {
            *place = half;
        }
        self.confirmers = confirmers;
        self.confirmed += 1;
        true
    }
}

/// All suspected members by slot, and their deadlines in order.
#[derive(Debug, Default)]
pub(super) struct Suspicions {
    by_slot: BySlot<Suspicion>,
    deadlines: BTreeSet<(Time, u32)>,
}

impl Suspicions {
    pub(super) fn start(&mut self, slot: u32, suspicion: Suspicion) {
        self.end(slot);
        self.deadlines.insert((suspicion.deadline(), slot));
        self.by_slot.insert(slot, suspicion);
    }

    pub(super) fn end(&mut self, slot: u32) {
        if let Some(suspicion) = self.by_slot.remove(&slot) {
            self.deadlines.remove(&(suspicion.deadline(), slot));
        }
    }

    /// Takes one more accusation by a member in good health; whether it is news that others should
    /// hear.
    pub(super) fn confirm(&mut self, slot: u32, accuser: u64) -> bool {
        let Some(suspicion) = self.by_slot.get_mut(&slot) else {
            return false;
        };
        // Most accusations are known, and a deadline takes two logarithms.
        let before = *suspicion;
        if !suspicion.confirm(accuser) {
            return false;
        }
        self.deadlines.remove(&(before.deadline(), slot));
        self.deadlines.insert((suspicion.deadline(), slot));
        true
    }

    /// Who accused first.
    pub(super) fn accuser(&self, slot: u32) -> Option<u64> {
        self.by_slot.get(&slot).map(|suspicion| suspicion.accuser)
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Time> {
        self.deadlines.first().map(|&(time, _)| time)
    }

    /// A suspicion whose time is over.
    pub(super) fn expired(&self, now: Time) -> Option<u32> {
        let &(deadline, slot) = self.deadlines.first()?;
        (deadline <= now).then_some(slot)
    }

    /// Gives everybody `nanos` more: this member stood still and heard no refutation.
    pub(super) fn extend(&mut self, nanos: u64) {
        self.deadlines.clear();
        for (&slot, suspicion) in &mut self.by_slot {
            let started = suspicion.started;
            suspicion.started = started.after_nanos(nanos);
            self.deadlines.insert((suspicion.deadline(), slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(suspicions: &Suspicions) -> f64 {
        suspicions.next().unwrap().as_nanos() as f64 / 1e9
    }

    #[test]
    fn g_54_confirmations_shorten_a_suspicion() {
        let mut suspicions = Suspicions::default();
        let second = 1_000_000_000;
        suspicions.start(3, Suspicion::new(Time::ZERO, 1, 5 * second, 6, 3));
        assert_eq!(seconds(&suspicions), 30.0);
        assert!(!suspicions.confirm(3, 1), "the first accuser again");
        assert_eq!(seconds(&suspicions), 30.0);
        assert!(suspicions.confirm(3, 2));
        assert_eq!(seconds(&suspicions), 17.5);
        assert!(suspicions.confirm(3, 4) && suspicions.confirm(3, 5));
        assert_eq!(seconds(&suspicions), 5.0);
        assert!(
            !suspicions.confirm(3, 6),
            "one that shortens nothing is no news"
        );
        assert_eq!(suspicions.expired(Time::from_nanos(5 * second - 1)), None);
        assert_eq!(suspicions.expired(Time::from_nanos(5 * second)), Some(3));
        suspicions.end(3);
        assert_eq!(suspicions.next(), None);
    }

    #[test]
    fn a_member_that_stood_still_gives_time() {
        let mut suspicions = Suspicions::default();
        suspicions.start(1, Suspicion::new(Time::ZERO, 1, 5, 1, 0));
        suspicions.extend(10);
        assert_eq!(suspicions.next(), Some(Time::from_nanos(15)));
    }

    #[test]
    fn g_54_each_accuser_confirms_once_and_a_fifth_still_counts() {
        let mut suspicion = Suspicion::new(Time::ZERO, 1, 5, 6, 4);
        assert!((2..=4).all(|accuser| suspicion.confirm(accuser)));
        assert!(
            ![0, 1, 2, 3, 4]
                .into_iter()
                .any(|accuser| suspicion.confirm(accuser))
        );
        assert!(suspicion.confirm(5) && !suspicion.confirm(6));
        assert_eq!(suspicion.deadline(), Time::from_nanos(5));
    }
}
