//! Which counters of a sender have come, over the last 1,024.

use crate::limits::WINDOW_COUNTERS;

/// One word more than the window, as words are emptied whole.
const WORDS: usize = (WINDOW_COUNTERS / 64) as usize + 1;

/// A sliding window over counters (RFC 6479): each is taken once, and none that is older than the
/// window.
#[derive(Clone, Debug, Default)]
pub struct ReplayWindow {
    highest: u64,
    bits: [u64; WORDS],
}

const fn place(counter: u64) -> (usize, u64) {
    ((counter / 64) as usize % WORDS, 1 << (counter % 64))
}

impl ReplayWindow {
    /// A window in which everything up to `counter` has come.
    #[must_use]
    pub const fn after(counter: u64) -> Self {
        let mut window = Self {
            highest: counter,
            bits: [u64::MAX; WORDS],
        };
        let (word, bit) = place(counter);
        window.bits[word] = bit | (bit - 1);
        window
    }

    /// The greatest counter that has come.
    #[must_use]
    pub const fn highest(&self) -> u64 {
        self.highest
    }

    /// Whether `counter`, at least 1, has not come and is not too old.
    #[inline]
    #[must_use]
    pub const fn is_new(&self, counter: u64) -> bool {
        if counter > self.highest {
            return true;
        }
        let (word, bit) = place(counter);
        self.highest - counter < WINDOW_COUNTERS && self.bits[word] & bit == 0
    }

    /// Remembers `counter`, which is new, after its datagram has proven who sent it.
    pub fn commit(&mut self, counter: u64) {
        let steps = (counter / 64).saturating_sub(self.highest / 64);
        for step in 1..=steps.min(WORDS as u64) {
            self.bits[(self.highest / 64 + step) as usize % WORDS] = 0;
        }
        self.highest = self.highest.max(counter);
        let (word, bit) = place(counter);
        self.bits[word] |= bit;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use std::collections::BTreeSet;

    #[test]
    fn g_7_each_counter_is_taken_once() {
        let mut window = ReplayWindow::default();
        let mut taken = BTreeSet::new();
        let mut random = Random::new(11);
        let mut base = 1_u64;
        for _ in 0..100_000 {
            base += random.below(3);
            let counter = base.saturating_sub(random.below(1_000)).max(1);
            let new = window.is_new(counter);
            assert_eq!(new, !taken.contains(&counter), "{counter} at {base}");
            if new {
                window.commit(counter);
                taken.insert(counter);
            }
        }
    }

    #[test]
    fn g_7_a_window_goes_on_where_another_ended() {
        for start in [0, 63, 64, 5_000] {
            let mut window = ReplayWindow::after(start);
            assert!((0..=start).all(|counter| !window.is_new(counter)));
            for counter in [start + 70, start + 2, start + 1_000, start + 1] {
                assert!(window.is_new(counter), "{counter} after {start}");
                window.commit(counter);
                assert!(!window.is_new(counter) && !window.is_new(start));
            }
        }
    }

    #[test]
    fn g_7_a_window_at_its_edges() {
        let mut window = ReplayWindow::default();
        window.commit(5_000);
        assert!(window.is_new(5_000 - 1_023) && !window.is_new(5_000 - 1_024));
        assert!(!window.is_new(5_000) && window.is_new(5_001));
        window.commit(1 << 47);
        assert!(!window.is_new(5_001) && window.is_new((1 << 47) - 1_023));
    }
}
