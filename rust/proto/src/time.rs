//! A point in time as the driver counts it.

use std::num::NonZeroU64;

/// Nanoseconds in one second.
pub const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// A point in time: nanoseconds since an epoch that the driver chooses, real or virtual.
///
/// It is kept shifted by one, so that `Option<Time>` is as small as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(NonZeroU64);

impl Time {
    /// The epoch itself: no deadline is earlier.
    pub const ZERO: Self = Self(NonZeroU64::MIN);

    /// The time `nanos` nanoseconds after the epoch, at most `u64::MAX - 1`.
    #[inline]
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(nanos))
    }

    /// Nanoseconds since the epoch.
    #[inline]
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0.get() - 1
    }

    /// The time `nanos` nanoseconds later.
    #[inline]
    #[must_use]
    pub const fn after_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// The time `micros` microseconds later.
    #[inline]
    #[must_use]
    pub const fn after_micros(self, micros: u64) -> Self {
        self.after_nanos(micros.saturating_mul(1_000))
    }

    /// The time `millis` milliseconds later.
    #[inline]
    #[must_use]
    pub const fn after_millis(self, millis: u64) -> Self {
        self.after_nanos(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since `earlier`, 0 when `earlier` is later.
    #[inline]
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_and_compare() {
        let time = Time::from_nanos(5).after_micros(1).after_millis(1);
        assert_eq!(time.as_nanos(), 1_001_005);
        assert_eq!(time.saturating_since(Time::from_nanos(5)), 1_001_000);
        assert_eq!(Time::ZERO.saturating_since(time), 0);
        assert!(Time::ZERO < time);
    }

    #[test]
    fn the_far_end_saturates() {
        let last = Time::from_nanos(u64::MAX);
        assert_eq!(last.after_millis(u64::MAX), last);
        assert_eq!(last.as_nanos(), u64::MAX - 1);
        assert_eq!(size_of::<Option<Time>>(), 8);
    }
}
