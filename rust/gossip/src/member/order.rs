//! The total order of all that can be said about one name.

use crate::wire::State;

/// What is known of a name: a later life beats an earlier one, within a life leaving is final, then
/// the later incarnation counts, then the stronger state.
///
/// The order is total, so that keeping the greatest is commutative, associative and idempotent:
/// members that have heard the same tellings, in any order and number, hold the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Standing {
    generation: u64,
    left: bool,
    incarnation: u32,
    state: State,
}

impl Standing {
    /// What is said of one life and incarnation.
    #[inline]
    #[must_use]
    pub const fn new(generation: u64, incarnation: u32, state: State) -> Self {
        Self {
            generation,
            left: matches!(state, State::Left),
            incarnation,
            state,
        }
    }

    /// What to hold after hearing both.
    #[inline]
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        self.max(other)
    }

    /// The state.
    #[must_use]
    pub const fn state(self) -> State {
        self.state
    }

    /// The incarnation.
    #[must_use]
    pub const fn incarnation(self) -> u32 {
        self.incarnation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Standing> {
        let states = [State::Alive, State::Suspect, State::Dead, State::Left];
        let mut all = Vec::new();
        for generation in 0..3 {
            for incarnation in 0..4 {
                all.extend(states.map(|state| Standing::new(generation, incarnation, state)));
            }
        }
        all
    }

    #[test]
    fn g_30_merge_is_a_lattice() {
        let all = all();
        assert_eq!(all.len(), 48);
        for &a in &all {
            assert_eq!(a.merge(a), a);
            for &b in &all {
                assert_eq!(a.merge(b), b.merge(a));
                assert!(
                    a == b || a.merge(b) != a || b.merge(a) != b,
                    "a tie is equality"
                );
                for &c in &all {
                    assert_eq!(a.merge(b).merge(c), a.merge(b.merge(c)));
                }
            }
        }
    }

    #[test]
    fn g_31_a_later_life_wins_and_leaving_is_final() {
        let of = Standing::new;
        assert!(of(2, 0, State::Alive) > of(1, u32::MAX, State::Left));
        assert!(of(1, 0, State::Left) > of(1, u32::MAX, State::Alive));
        assert!(of(1, 5, State::Alive) > of(1, 4, State::Dead));
        assert!(of(1, 4, State::Dead) > of(1, 4, State::Suspect));
        assert!(of(1, 4, State::Suspect) > of(1, 4, State::Alive));
    }
}
