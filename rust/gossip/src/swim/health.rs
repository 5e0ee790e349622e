//! Whether this member is itself the slow one (Lifeguard's local health multiplier).

/// A score from 0, sound, to a greatest one. Time-outs of a member in poor health are longer, and
/// its accusations count less.
#[derive(Clone, Debug)]
pub(super) struct Health {
    score: u32,
    max: u32,
}

impl Health {
    pub(super) const fn new(max: u32) -> Self {
        Self { score: 0, max }
    }

    pub(super) const fn score(&self) -> u32 {
        self.score
    }

    pub(super) fn worsen(&mut self, by: u32) {
        self.score = self.score.saturating_add(by).min(self.max);
    }

    pub(super) const fn improve(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// A time for a sound member, in nanoseconds, stretched for this one.
    pub(super) fn stretch(&self, nanos: u64) -> u64 {
        nanos.saturating_mul(u64::from(self.score) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g_53_health_saturates() {
        let mut health = Health::new(8);
        (0..20).for_each(|_| health.worsen(1));
        assert_eq!((health.score(), health.stretch(10)), (8, 90));
        (0..20).for_each(|_| health.improve());
        assert_eq!((health.score(), health.stretch(10)), (0, 10));
        let mut off = Health::new(0);
        off.worsen(5);
        assert_eq!(off.stretch(10), 10);
    }
}
