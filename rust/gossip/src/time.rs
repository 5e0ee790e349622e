//! A point in time as the driver counts it.

/// A point in time: nanoseconds since an epoch that the driver chooses, real or virtual. It must
/// not go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The epoch itself.
    pub const ZERO: Self = Self(0);

    /// The time `nanos` nanoseconds after the epoch.
    #[inline]
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the epoch.
    #[inline]
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time `nanos` nanoseconds later, at most the last one.
    #[inline]
    #[must_use]
    pub const fn after_nanos(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// The time `millis` milliseconds later, at most the last one.
    #[inline]
    #[must_use]
    pub const fn after_millis(self, millis: u64) -> Self {
        self.after_nanos(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since `earlier`, 0 when `earlier` is later.
    #[inline]
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_add_and_saturate() {
        let time = Time::from_nanos(5).after_millis(1);
        assert_eq!(time.as_nanos(), 1_000_005);
        assert_eq!(time.saturating_since(Time::from_nanos(5)), 1_000_000);
        assert_eq!(Time::ZERO.saturating_since(time), 0);
        let last = Time::from_nanos(u64::MAX);
        assert_eq!(last.after_millis(u64::MAX), last);
    }
}
