//! The budget for frames that carry nothing.

use crate::time::{NANOS_PER_SECOND, Time};

/// A bucket of tokens that fills with time and with frames that carry something.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Overhead {
    burst: u32,
    per_second: u32,
    /// Tokens in units of one billionth, so that filling by the nanosecond is exact.
    tokens: u128,
    filled: Time,
    frames_seen: u64,
}

impl Overhead {
    /// A full bucket.
    #[must_use]
    pub(crate) fn new(burst: u32, per_second: u32, now: Time) -> Self {
        let tokens = units(burst.into());
        Self {
            burst,
            per_second,
            tokens,
            filled: now,
            frames_seen: 0,
        }
    }

    /// Takes one token; `false` when there is none. `frames` counts the frames with content since
    /// the start: each gives a token back, so that they need not come here one by one.
    pub(crate) fn spend(&mut self, now: Time, frames: u64) -> bool {
        self.fill(now, frames);
        let rest = self.tokens.checked_sub(units(1));
        self.tokens = rest.unwrap_or(self.tokens);
        rest.is_some()
    }

    /// When the next token is there.
    #[must_use]
    pub(crate) fn next_token(&self) -> Time {
        let missing = units(1).saturating_sub(self.tokens);
        let nanos = missing.div_ceil(u128::from(self.per_second.max(1)));
        self.filled
            .after_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn fill(&mut self, now: Time, frames: u64) {
        let elapsed = u128::from(now.saturating_since(self.filled));
        let gained = elapsed * u128::from(self.per_second) + units(frames - self.frames_seen);
        self.tokens = (self.tokens + gained).min(units(self.burst.into()));
        self.filled = self.filled.max(now);
        self.frames_seen = frames;
    }
}

fn units(tokens: u64) -> u128 {
    u128::from(tokens) * u128::from(NANOS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w_50_a_burst_at_its_limits() {
        let mut bucket = Overhead::new(1_000, 100, Time::ZERO);
        for count in 1..=1_001 {
            assert_eq!(bucket.spend(Time::ZERO, 0), count <= 1_000, "frame {count}");
        }
    }

    #[test]
    fn w_50_a_token_comes_back_after_ten_milliseconds() {
        let mut bucket = Overhead::new(1, 100, Time::ZERO);
        assert!(bucket.spend(Time::ZERO, 0));
        let next = bucket.next_token();
        assert_eq!(next, Time::ZERO.after_millis(10));
        assert!(!bucket.spend(Time::from_nanos(next.as_nanos() - 1), 0));
        assert!(bucket.spend(next, 0));
    }

    #[test]
    fn w_50_a_frame_with_content_gives_one_token_back() {
        let mut bucket = Overhead::new(2, 100, Time::ZERO);
        assert!(bucket.spend(Time::ZERO, 0) && bucket.spend(Time::ZERO, 0));
        assert!(!bucket.spend(Time::ZERO, 0));
        assert!(bucket.spend(Time::ZERO, 1) && !bucket.spend(Time::ZERO, 1));
        assert!(bucket.spend(Time::ZERO, 100) && bucket.spend(Time::ZERO, 100));
        assert!(!bucket.spend(Time::ZERO, 100));
    }
}
