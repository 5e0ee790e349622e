//! Whether the host loop still turns: asked now and then, and how late the answer is.

use ztransport_gossip::Time;

/// What to do at a beat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beat {
    /// Wake the host loop, so that it gives a sign of life.
    pub(crate) ask: bool,
    /// How late the host loop is, in nanoseconds, if there is news.
    pub(crate) lag: Option<u64>,
}

/// Beats between two signs of life that a quiet host loop is asked for. To be asked costs it more
/// than all else that a quiet membership does, and a loop that stands still for long is found so too.
const QUIET_BEATS: u64 = 4;

/// Asks a host loop that was quiet for some beats. One that has turned lately is not asked.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    /// Between two beats, in nanoseconds.
    interval: u64,
    next: Time,
    asked: Option<Time>,
    lag: u64,
}

impl Pulse {
    pub(crate) fn new(interval_ms: u32, now: Time) -> Pulse {
        let interval = u64::from(interval_ms) * 1_000_000;
        Pulse {
            interval,
            next: now.after_nanos(interval),
            asked: None,
            lag: 0,
        }
    }

    /// The lag as of the last beat, in nanoseconds.
    pub(crate) const fn lag(&self) -> u64 {
        self.lag
    }

    /// A beat needs no wake-up of its own until half an interval later: others come in between.
    pub(crate) const fn deadline(&self) -> Time {
        self.next.after_nanos(self.interval / 2)
    }

    /// `heard` is when the host loop gave its last sign of life.
    pub(crate) fn beat(&mut self, now: Time, heard: Time) -> Beat {
        if now < self.next {
            return Beat::default();
        }
        self.next = now.after_nanos(self.interval);
        let lag = self.asked.map(|asked| match heard >= asked {
            true => heard.saturating_since(asked),
            false => now.saturating_since(asked),
        });
        self.lag = lag.unwrap_or(0);
        if self.asked.is_some_and(|asked| heard >= asked) {
            self.asked = None;
        }
        let quiet = now.saturating_since(heard) >= QUIET_BEATS * self.interval;
        let ask = quiet && self.asked.is_none();
        if ask {
            self.asked = Some(now);
        }
        Beat { ask, lag }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * MS)
    }

    #[test]
    fn a_loop_that_turns_is_not_asked() {
        let mut pulse = Pulse::new(1_000, at(0));
        for second in 4..20 {
            let beat = pulse.beat(at(second * 1_000), at(second * 1_000 - 3_999));
            assert_eq!(beat, Beat::default());
        }
    }

    #[test]
    fn a_quiet_loop_is_asked_and_its_answer_timed() {
        let mut pulse = Pulse::new(1_000, at(0));
        assert!(pulse.beat(at(4_000), at(0)).ask);
        let beat = pulse.beat(at(5_000), at(4_003));
        assert_eq!(beat.lag, Some(3 * MS));
        assert_eq!((beat.ask, pulse.lag()), (false, 3 * MS));
    }

    #[test]
    fn a_loop_that_stands_still_is_told_at_every_beat() {
        let mut pulse = Pulse::new(1_000, at(0));
        assert!(pulse.beat(at(4_000), at(0)).ask);
        for second in 5..12 {
            let beat = pulse.beat(at(second * 1_000), at(0));
            assert_eq!(beat.lag, Some((second - 4) * 1_000 * MS));
            assert!(!beat.ask, "one question is enough");
        }
        assert_eq!(pulse.beat(at(12_000), at(11_500)).lag, Some(7_500 * MS));
        assert_eq!(pulse.beat(at(13_000), at(12_500)).lag, None);
    }

    #[test]
    fn nothing_happens_between_two_beats() {
        let mut pulse = Pulse::new(1_000, at(0));
        assert_eq!(pulse.beat(at(999), at(0)), Beat::default());
        assert_eq!(pulse.deadline(), at(1_500));
    }
}
