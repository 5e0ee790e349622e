//! What the engine does while nothing is ready: whether a host loop looks again before it sleeps.

use std::os::fd::BorrowedFd;

use ztransport_proto::time::Time;

use crate::error::{Failure, FailureKind};
use crate::limits::{
    RALLY_GAP_NANOS_MAX, RALLY_PATIENCE_MAX, RALLY_QUICK_NANOS_MAX, RALLY_QUICK_TURNS,
    RALLY_REST_TURNS_MAX, RALLY_REST_TURNS_MIN, RALLY_SPIN_NANOS_MAX, RALLY_TURNS_MIN,
    SPIN_MICROS_MAX, SPIN_TRAFFIC_NANOS_MAX,
};
use crate::poller::Poller;

/// What the engine does while nothing is ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdleStrategy {
    /// Let the host loop block in the kernel.
    #[default]
    Sleep,
    /// Look again for a bounded time before blocking, but only in a rally: while single messages go
    /// back and forth so fast that sleeping in between would cost more processor time.
    Adaptive,
    /// After recent traffic, look again and again for a bounded time before blocking.
    Spin {
        /// The bound in microseconds, at most 150.
        max_us: u32,
    },
}

impl IdleStrategy {
    pub(crate) fn check(self) -> Result<(), Failure> {
        match self {
            IdleStrategy::Spin { max_us } if max_us == 0 || max_us > SPIN_MICROS_MAX => {
                let text =
                    format!("an idle spin lasts 1 to {SPIN_MICROS_MAX} microseconds, not {max_us}");
                Err(Failure::new(FailureKind::Configuration, text))
            }
            _ => Ok(()),
        }
    }
}

/// An idle strategy and what it goes by.
#[derive(Debug)]
pub(crate) struct Idle {
    strategy: IdleStrategy,
    rally: Rally,
}

impl Idle {
    pub(crate) fn new(strategy: IdleStrategy) -> Idle {
        Idle {
            strategy,
            rally: Rally::new(),
        }
    }

    /// A turn has ended that began then and handed out so many messages.
    pub(crate) fn note_turn(&mut self, messages: usize, began: Time, ended: Time) {
        self.rally.note_turn(messages, began, ended);
    }

    /// A spin has ended. `draw` is any number: it spreads what two sides do at once.
    pub(crate) fn note_spin(&mut self, nanos: u64, found: bool, draw: u64) {
        self.rally.note_spin(nanos, found, draw);
    }

    /// The bound of a spin that makes sense now, `quiet_nanos` after the last traffic.
    pub(crate) fn spin_nanos(&self, quiet_nanos: u64) -> Option<u64> {
        match self.strategy {
            IdleStrategy::Sleep => None,
            IdleStrategy::Adaptive => self.rally.is_on().then_some(RALLY_SPIN_NANOS_MAX),
            IdleStrategy::Spin { max_us } => {
                (quiet_nanos < SPIN_TRAFFIC_NANOS_MAX).then_some(u64::from(max_us) * 1_000)
            }
        }
    }
}

/// Tells a rally, in which each side waits for the other's one message, from all other traffic.
///
/// In a rally every turn has one message and the next comes soon; in a stream of independent
/// messages some turn in a few has two. What a spin then costs is checked by what it finds: one
/// that finds nothing, or many that find something late, are followed by turns without a spin,
/// twice as many each time. So a guess that is wrong costs little however long it stays wrong.
#[derive(Debug)]
struct Rally {
    /// When the last turn with messages ended.
    ended: Time,
    /// Turns of one message that still have to pass before the next spin.
    rest: u32,
    /// What the next failure makes of that.
    rest_after_failure: u32,
    /// What is left before late finds count as a failure: each takes two, and an early one gives
    /// one back.
    patience: u32,
    /// Early finds without a failure in between.
    quick: u32,
    /// Whether the last turn allows a spin. One turn allows one.
    is_due: bool,
}

impl Rally {
    fn new() -> Rally {
        Rally {
            ended: Time::ZERO,
            rest: RALLY_TURNS_MIN,
            rest_after_failure: RALLY_REST_TURNS_MIN,
            patience: RALLY_PATIENCE_MAX,
            quick: 0,
            is_due: false,
        }
    }

    fn is_on(&self) -> bool {
        self.is_due
    }

    fn note_turn(&mut self, messages: usize, began: Time, ended: Time) {
        if messages == 0 {
            return;
        }
        let gap = began.saturating_since(self.ended);
        self.ended = ended;
        self.is_due = false;
        if messages > 1 {
            self.rest = self.rest.max(RALLY_TURNS_MIN);
        } else if gap > RALLY_GAP_NANOS_MAX {
            self.rest = self.rest.max(RALLY_REST_TURNS_MIN);
        } else if self.rest > 0 {
            self.rest -= 1;
        } else {
            self.is_due = true;
        }
    }

    fn note_spin(&mut self, nanos: u64, found: bool, draw: u64) {
        self.is_due = false;
        if !found {
            return self.fail(draw);
        }
        if nanos > RALLY_QUICK_NANOS_MAX {
            self.patience = self.patience.saturating_sub(2);
            if self.patience == 0 {
                self.fail(draw);
            }
            return;
        }
        self.patience = (self.patience + 1).min(RALLY_PATIENCE_MAX);
        self.quick += 1;
        if self.quick >= RALLY_QUICK_TURNS {
            self.quick = 0;
            self.rest_after_failure = RALLY_REST_TURNS_MIN;
        }
    }

    /// The rest is drawn: two sides that always looked in turn would never meet awake.
    fn fail(&mut self, draw: u64) {
        let half = self.rest_after_failure / 2;
        self.rest = half + (draw % u64::from(half + 1)) as u32;
        self.rest_after_failure = (2 * self.rest_after_failure).min(RALLY_REST_TURNS_MAX);
        self.patience = RALLY_PATIENCE_MAX;
        self.quick = 0;
    }
}

/// Spins until `descriptor` has work or the bound has passed; returns whether it has work.
///
/// Takes no engine, so that a binding can release its interpreter meanwhile.
#[must_use]
pub fn spin(descriptor: BorrowedFd<'_>, bound_nanos: u64) -> bool {
    let started = std::time::Instant::now();
    while started.elapsed().as_nanos() < u128::from(bound_nanos) {
        if Poller::probe(descriptor) {
            return true;
        }
        std::hint::spin_loop();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: u64 = RALLY_QUICK_NANOS_MAX;
    const WORK: u64 = 10_000;

    /// A side that takes turns on a virtual clock.
    struct Side {
        rally: Rally,
        now: u64,
        spins: u64,
        spun_nanos: u64,
    }

    impl Side {
        fn new() -> Side {
            Side {
                rally: Rally::new(),
                now: 1,
                spins: 0,
                spun_nanos: 0,
            }
        }

        /// The loop is idle for `wait`, then a turn of so many messages comes.
        fn turn(&mut self, wait: u64, messages: usize) {
            if self.rally.is_on() {
                let spun = wait.min(RALLY_SPIN_NANOS_MAX);
                self.spins += 1;
                self.spun_nanos += spun;
                let draw = self.now;
                self.rally
                    .note_spin(spun, wait <= RALLY_SPIN_NANOS_MAX, draw);
            }
            let began = self.now + wait;
            self.now = began + WORK;
            let (began, ended) = (Time::from_nanos(began), Time::from_nanos(self.now));
            self.rally.note_turn(messages, began, ended);
        }

        fn spins_of(&mut self, turns: u64, wait: u64, messages: usize) -> u64 {
            let before = self.spins;
            (0..turns).for_each(|_| self.turn(wait, messages));
            self.spins - before
        }
    }

    #[test]
    fn a_rally_is_spun_once_it_has_lasted() {
        let mut side = Side::new();
        let turns = u64::from(RALLY_TURNS_MIN);
        assert_eq!(side.spins_of(turns + 1, QUICK, 1), 0);
        assert_eq!(side.spins_of(1_000, QUICK, 1), 1_000);
    }

    #[test]
    fn turns_of_two_messages_are_no_rally() {
        let mut side = Side::new();
        assert_eq!(side.spins_of(1_000, QUICK, 2), 0);
        for _ in 0..100 {
            assert_eq!(side.spins_of(u64::from(RALLY_TURNS_MIN), QUICK, 1), 0);
            side.turn(QUICK, 2);
        }
    }

    #[test]
    fn the_end_of_a_rally_costs_one_spin_and_silence_none() {
        let mut side = Side::new();
        side.spins_of(100, QUICK, 1);
        assert!(side.rally.is_on());
        side.rally.note_spin(RALLY_SPIN_NANOS_MAX, false, 0);
        assert!(!side.rally.is_on());
        // A turn without messages, such as a timer's, is no reason to look again.
        let now = Time::from_nanos(side.now);
        side.rally.note_turn(0, now, now);
        assert!(!side.rally.is_on());
    }

    #[test]
    fn a_rally_goes_on_soon_after_one_stumble() {
        let mut side = Side::new();
        side.spins_of(1_000, QUICK, 1);
        // A late message, and one so late that it ends a spin without a find.
        for wait in [QUICK + 1, RALLY_SPIN_NANOS_MAX + 1, RALLY_GAP_NANOS_MAX + 1] {
            side.turn(wait, 1);
            side.spins_of(1 + u64::from(RALLY_REST_TURNS_MIN), QUICK, 1);
            assert_eq!(side.spins_of(1_000, QUICK, 1), 1_000, "{wait} ns");
        }
    }

    #[test]
    fn a_wrong_guess_costs_little() {
        // A peer that is always late, late for a sleeper, or late every other time.
        for waits in [[QUICK + 1; 2], [RALLY_SPIN_NANOS_MAX + 1; 2], [1, 90_000]] {
            let mut side = Side::new();
            let turns = 100_000;
            for turn in 0..turns {
                side.turn(waits[turn % 2], 1);
            }
            let nanos_per_turn = side.spun_nanos / turns as u64;
            assert!(nanos_per_turn < 1_000, "{waits:?}: {nanos_per_turn} ns");
        }
    }

    #[test]
    fn messages_far_apart_are_never_waited_for_awake() {
        let mut side = Side::new();
        assert_eq!(side.spins_of(10_000, RALLY_GAP_NANOS_MAX + 1, 1), 0);
    }

    #[test]
    fn a_spin_out_of_range_is_refused() {
        for (max_us, fine) in [
            (0, false),
            (1, true),
            (SPIN_MICROS_MAX, true),
            (SPIN_MICROS_MAX + 1, false),
        ] {
            let checked = IdleStrategy::Spin { max_us }.check();
            assert_eq!(checked.is_ok(), fine, "{max_us} µs");
        }
    }
}
