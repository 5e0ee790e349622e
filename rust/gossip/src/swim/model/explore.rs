//! Every order of what may happen to the three, one moment after the other.

use super::*;

/// All three, and everything that was ever said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Moment {
    subject: Subject,
    observers: [usize; 2],
    said: u32,
}

impl Explorer {
    fn first(&mut self) -> Result<Moment, String> {
        let own = Saying {
            life: 0,
            incarnation: 0,
            state: State::Alive,
        };
        let mut node = Kept::new(9).node();
        node.hear_alive(origin(false), &self.lives[0].describe(0));
        let observer = self.number([None; LIVES], &mut node)?;
        self.subjects.insert(own, Kept::new(0));
        Ok(Moment {
            subject: Subject { up: true, own },
            observers: [observer.0; 2],
            said: own.bit(self.bounds),
        })
    }

    fn acts(&self, said: u32, observer: usize) -> Vec<Act> {
        let mut acts = Vec::new();
        for saying in heard(self.bounds, said) {
            for hearsay in [false, true] {
                acts.push(Act::Hear(saying, hearsay, false));
                let whole = saying.state == State::Alive;
                acts.extend(whole.then_some(Act::Hear(saying, hearsay, true)));
            }
        }
        match self.observers[observer].0.held.map(|held| held.state) {
            Some(State::Alive) => acts.push(Act::Suspect),
            Some(State::Suspect) => acts.push(Act::Bury),
            Some(_) if self.bounds.forgets => acts.push(Act::Forget),
            _ => {}
        }
        acts
    }

    fn observed(&mut self, moment: Moment, which: usize, act: Act) -> Result<Moment, String> {
        let (observer, said) = self.act(moment.observers[which], act)?;
        let mut next = moment;
        next.observers[which] = observer;
        next.said |= said;
        Ok(next)
    }

    fn being_in(&self, moment: Moment, subject: Subject) -> Moment {
        let said = moment.said | subject.own.bit(self.bounds);
        Moment {
            subject,
            said,
            ..moment
        }
    }

    fn next(&mut self, moment: Moment) -> Result<Vec<Moment>, String> {
        let mut next = Vec::new();
        for which in 0..2 {
            for act in self.acts(moment.said, moment.observers[which]) {
                next.push(self.observed(moment, which, act)?);
            }
        }
        let Subject { up, own } = moment.subject;
        let mut beings: Vec<Subject> = heard(self.bounds, moment.said)
            .map(|saying| self.accused(moment.subject, saying))
            .collect();
        if up {
            beings.push(Subject { up: false, own });
            beings.push(self.leave(own));
        } else if own.life + 1 < self.bounds.lives {
            let node = Kept::new(own.life as u64 + 1).node();
            beings.push(self.being(own.life + 1, &node));
        }
        next.extend(
            beings
                .into_iter()
                .map(|subject| self.being_in(moment, subject)),
        );
        // Both observers are alike.
        next.iter_mut()
            .for_each(|moment| moment.observers.sort_unstable());
        Ok(next)
    }

    /// The moment in which everything said has arrived everywhere.
    fn calm(&mut self, mut moment: Moment) -> Result<Moment, String> {
        loop {
            let before = moment;
            for saying in heard(self.bounds, before.said) {
                let subject = self.accused(moment.subject, saying);
                moment = self.being_in(moment, subject);
                let whole = saying.state == State::Alive;
                for which in 0..2 {
                    moment = self.observed(moment, which, Act::Hear(saying, false, whole))?;
                }
            }
            if moment == before {
                return Ok(moment);
            }
        }
    }

    /// A member that is there is held for alive in the end, and one that left for left.
    fn check(&mut self, moment: Moment) -> Result<(), String> {
        let Subject { up, own } = moment.subject;
        if !up || own.state != State::Left && own.incarnation >= self.bounds.incarnation_last {
            return Ok(());
        }
        let calm = self.calm(moment)?;
        let forgot = |observer: &Observer| own.state == State::Left && observer.held.is_none();
        for observer in calm.observers.map(|number| self.observers[number].0) {
            if observer.held != Some(calm.subject.own) && !forgot(&observer) {
                return Err(format!(
                    "the refutation does not win: {calm:?}, {observer:?}"
                ));
            }
        }
        Ok(())
    }
}

fn explore(fault: Fault, bounds: Bounds) -> Result<usize, String> {
    let mut explorer = Explorer::new(fault, bounds);
    let first = explorer.first()?;
    let moments = exhaust(first, |moment| {
        explorer.check(moment)?;
        explorer.next(moment)
    })?;
    let views = explorer.observers.len();
    println!("{bounds:?}: {moments} moments of {views} views");
    Ok(moments)
}

const REMEMBERING: Bounds = Bounds {
    incarnation_last: 1,
    lives: 2,
    forgets: false,
};
const FORGETFUL: Bounds = Bounds {
    incarnation_last: 2,
    lives: 1,
    forgets: true,
};

#[test]
fn g_30_g_32_g_34_no_order_of_messages_breaks_a_rule_of_three_members() {
    for (bounds, least) in [(REMEMBERING, 50_000), (FORGETFUL, 1_500)] {
        let moments = explore(Fault::None, bounds).unwrap_or_else(|fault| panic!("{fault}"));
        assert!(
            moments > least,
            "the exploration has lost its cases: {moments}"
        );
    }
}

#[test]
fn the_exploration_finds_what_is_broken_on_purpose() {
    for (fault, bounds, words) in [
        (Fault::LastWriter, REMEMBERING, "risen|undone"),
        (Fault::Deaf, REMEMBERING, "does not win"),
        (Fault::Amnesia, FORGETFUL, "risen|undone"),
    ] {
        let found = explore(fault, bounds).expect_err("a fault");
        assert!(
            words.split('|').any(|word| found.contains(word)),
            "{fault:?}: {found}"
        );
    }
}
