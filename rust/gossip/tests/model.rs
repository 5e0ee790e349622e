//! Everything that can happen to what two members hold of a third, explored to the end: messages are
//! lost, repeated and reordered at will, the third one crashes, starts again, refutes and leaves.

use std::collections::HashSet;

use ztransport_gossip::member::Standing;
use ztransport_gossip::wire::State;

const LIVES: u64 = 2;
/// The third member refutes no more in this incarnation, so that the exploration ends.
const INCARNATION_LAST: u32 = 2;

/// What can be said of the third member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Saying {
    life: u64,
    incarnation: u32,
    state: State,
}

impl Saying {
    fn standing(self) -> Standing {
        Standing::new(self.life, self.incarnation, self.state)
    }

    /// The merge of the membership itself.
    fn hear(self, other: Self) -> Self {
        let merged = self.standing().merge(other.standing());
        if merged == self.standing() {
            self
        } else {
            other
        }
    }

    fn with(self, state: State) -> Self {
        Self { state, ..self }
    }
}

/// Everything that can be said.
fn sayings() -> Vec<Saying> {
    let states = [State::Alive, State::Suspect, State::Dead, State::Left];
    let lives = (0..LIVES).flat_map(|life| (0..=INCARNATION_LAST).map(move |i| (life, i)));
    let of = |(life, incarnation)| {
        states.map(|state| Saying {
            life,
            incarnation,
            state,
        })
    };
    lives.flat_map(of).collect()
}

/// A set of sayings, one bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Said(u32);

impl Said {
    fn add(&mut self, saying: Saying) {
        let incarnations = u64::from(INCARNATION_LAST) + 1;
        let place = saying.life * incarnations + u64::from(saying.incarnation);
        self.0 |= 1 << (4 * place + saying.state as u64);
    }

    fn each(self) -> impl Iterator<Item = Saying> {
        let all = sayings().into_iter().enumerate();
        all.filter_map(move |(place, saying)| (self.0 >> place & 1 == 1).then_some(saying))
    }
}

/// One moment: the third member, what the others hold, and all that was ever said, which may arrive
/// at any time, any number of times, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Moment {
    up: bool,
    own: Saying,
    held: [Saying; 2],
    said: Said,
}

impl Moment {
    fn first() -> Self {
        let own = Saying {
            life: 0,
            incarnation: 0,
            state: State::Alive,
        };
        Self {
            up: true,
            own,
            held: [own; 2],
            said: Said::default(),
        }
        .told()
    }

    fn is_in_the_group(&self) -> bool {
        self.up && self.own.state == State::Alive
    }

    /// Whoever holds something says it.
    fn told(mut self) -> Self {
        self.said.add(self.own);
        for saying in self.held {
            self.said.add(saying);
        }
        self
    }

    fn holding(&self, other: usize, saying: Saying) -> Self {
        let mut next = *self;
        next.held[other] = saying;
        next.told()
    }

    fn being(&self, up: bool, own: Saying) -> Self {
        let mut next = *self;
        (next.up, next.own) = (up, own);
        next.told()
    }

    /// The third member hears of itself.
    fn accused(&self, saying: Saying) -> Option<Self> {
        let accuses = matches!(saying.state, State::Suspect | State::Dead)
            && (saying.life, saying.incarnation) == (self.own.life, self.own.incarnation);
        let refutes = self.is_in_the_group() && self.own.incarnation < INCARNATION_LAST;
        (accuses && refutes).then(|| {
            let incarnation = self.own.incarnation + 1;
            self.being(
                true,
                Saying {
                    incarnation,
                    ..self.own
                },
            )
        })
    }

    /// All that may happen next.
    fn next(&self) -> Vec<Self> {
        let said = || self.said.each();
        let mut next: Vec<Self> = said().filter_map(|saying| self.accused(saying)).collect();
        for other in 0..2 {
            let held = self.held[other];
            let heard = said().map(|saying| held.hear(saying));
            next.extend(heard.map(|saying| self.holding(other, saying)));
            match held.state {
                State::Alive => next.push(self.holding(other, held.with(State::Suspect))),
                State::Suspect => next.push(self.holding(other, held.with(State::Dead))),
                State::Dead | State::Left => {}
            }
        }
        if self.is_in_the_group() {
            next.push(self.being(true, self.own.with(State::Left)));
        }
        if self.up {
            next.push(self.being(false, self.own));
        } else if self.own.life + 1 < LIVES {
            let life = self.own.life + 1;
            let again = Saying {
                life,
                incarnation: 0,
                state: State::Alive,
            };
            next.push(self.being(true, again));
        }
        next
    }

    /// The moment in which everything said has arrived everywhere and nobody accuses any more.
    fn calm(&self) -> Self {
        let mut calm = *self;
        loop {
            let before = calm;
            for saying in before.said.each() {
                calm = calm.accused(saying).unwrap_or(calm);
                calm.held = calm.held.map(|held| held.hear(saying));
            }
            calm = calm.told();
            if calm == before {
                return calm;
            }
        }
    }

    fn check(&self) {
        for held in self.held {
            let reached = (held.life, held.incarnation) <= (self.own.life, self.own.incarnation);
            assert!(reached, "an incarnation that was never reached: {self:?}");
            let earlier = held.life < self.own.life;
            assert!(
                held.state != State::Left || earlier || self.own.state == State::Left,
                "nobody has left: {self:?}"
            );
        }
        let calm = self.calm();
        assert_eq!(calm.held[0], calm.held[1], "both hold the same in the end");
        if self.is_in_the_group() && calm.own.incarnation < INCARNATION_LAST {
            assert_eq!(calm.held[0], calm.own, "the refutation wins: {self:?}");
        }
        if self.up && self.own.state == State::Left {
            assert_eq!(calm.held[0], calm.own, "the leave wins: {self:?}");
        }
    }
}

/// Nothing that is held goes back, and a leave is final in its life.
fn check_step(before: &Moment, after: &Moment) {
    for (was, is) in before.held.into_iter().zip(after.held) {
        assert!(is.standing() >= was.standing(), "{before:?} to {after:?}");
        let final_leave = was.state != State::Left || is == was || is.life > was.life;
        assert!(final_leave, "{before:?} to {after:?}");
        let risen = was.state == State::Dead && is.state == State::Alive;
        let later = (is.life, is.incarnation) > (was.life, was.incarnation);
        assert!(!risen || later, "{before:?} to {after:?}");
    }
}

#[test]
fn g_30_g_31_no_order_of_messages_breaks_a_rule() {
    let mut seen = HashSet::from([Moment::first()]);
    let mut open = vec![Moment::first()];
    while let Some(moment) = open.pop() {
        moment.check();
        for next in moment.next() {
            check_step(&moment, &next);
            if seen.insert(next) {
                open.push(next);
            }
        }
    }
    println!("{} moments", seen.len());
    assert!(seen.len() > 10_000, "the exploration has lost its cases");
}
