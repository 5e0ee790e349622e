//! A bound on how often something happens.

use crate::time::Time;

/// So many times per second, and as many at once (a token bucket).
#[derive(Clone, Debug)]
pub struct TokenBucket {
    per_second: u32,
    /// Nanoseconds of saved time.
    saved: u64,
    since: Time,
}

const SECOND: u64 = 1_000_000_000;

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub const fn new(per_second: u32, now: Time) -> Self {
        Self {
            per_second,
            saved: SECOND,
            since: now,
        }
    }

    /// Takes one if there is one.
    pub fn take(&mut self, now: Time) -> bool {
        self.take_many(now, 1)
    }

    /// Takes `count` if there are so many, and none otherwise.
    pub fn take_many(&mut self, now: Time, count: u32) -> bool {
        self.saved = (self.saved + now.saturating_since(self.since)).min(SECOND);
        self.since = self.since.max(now);
        let price = SECOND / u64::from(self.per_second) * u64::from(count);
        let enough = self.saved >= price;
        self.saved -= if enough { price } else { 0 };
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_at_its_limit() {
        let mut bucket = TokenBucket::new(10, Time::ZERO);
        let taken = |bucket: &mut TokenBucket, now| (0..100).filter(|_| bucket.take(now)).count();
        assert_eq!(taken(&mut bucket, Time::ZERO), 10);
        assert_eq!(taken(&mut bucket, Time::ZERO.after_millis(99)), 0);
        assert_eq!(taken(&mut bucket, Time::ZERO.after_millis(100)), 1);
        assert_eq!(taken(&mut bucket, Time::ZERO.after_millis(60_000)), 10);
        let later = Time::ZERO.after_millis(60_500);
        assert!(!bucket.take_many(later, 6) && bucket.take_many(later, 5));
        assert!(!bucket.take(later));
    }
}
