//! Every order of what may happen, one moment after the other.

use std::collections::{HashMap, HashSet};

use super::*;

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Process {
    Unborn,
    Up(usize),
    Gone,
}

/// All processes, and everything that was ever said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Moment {
    processes: [Process; LIVES_MAX],
    said: u128,
    mishaps: Mishaps,
}

impl Moment {
    fn number(&self, life: usize) -> usize {
        match self.processes[life] {
            Process::Up(number) => number,
            Process::Unborn | Process::Gone => unreachable!("only who is up is asked"),
        }
    }

    fn up(&self) -> impl Iterator<Item = (usize, usize)> {
        let lives = self.processes.into_iter().enumerate();
        lives.filter_map(|(life, process)| match process {
            Process::Up(number) => Some((life, number)),
            Process::Unborn | Process::Gone => None,
        })
    }
}

/// An exploration and what it has found out on its way.
struct Walk {
    explorer: Explorer,
    /// What each node says, as bits.
    tells: HashMap<usize, u128>,
    reaches: HashMap<(usize, usize), bool>,
    /// Processes that were found to end their rotation together.
    ended: HashSet<[Process; LIVES_MAX]>,
}

impl Walk {
    fn new(fault: Fault, cast: Cast) -> Self {
        Self {
            explorer: Explorer::new(fault, cast),
            tells: HashMap::new(),
            reaches: HashMap::new(),
            ended: HashSet::new(),
        }
    }

    fn tells(&mut self, number: usize) -> u128 {
        if let Some(&told) = self.tells.get(&number) {
            return told;
        }
        let held = self.explorer.nodes[number].view.held.clone();
        let bits = held
            .into_iter()
            .map(|saying| 1 << self.explorer.intern(saying));
        let told = bits.fold(0, |told: u128, bit: u128| told | bit);
        self.tells.insert(number, told);
        told
    }

    fn put(&mut self, moment: Moment, life: usize, number: usize) -> Moment {
        let mut next = moment;
        next.processes[life] = match self.explorer.nodes[number].view.leaving {
            true => Process::Gone,
            false => Process::Up(number),
        };
        next.said |= self.tells(number);
        next
    }

    fn first(&mut self) -> Moment {
        let cast = self.explorer.cast;
        let mut moment = Moment {
            processes: [Process::Unborn; LIVES_MAX],
            said: 0,
            mishaps: cast.mishaps,
        };
        for life in 0..cast.founders {
            let mut table = Table::new(1, 2);
            for other in 0..cast.founders {
                let node = born(cast, other, 0, Table::new(1, 2));
                table.insert(node.record().clone());
            }
            let number = self.explorer.number(life, &born(cast, life, 0, table));
            moment = self.put(moment, life, number);
        }
        moment
    }

    /// Words without descriptions matter where somebody was taken for dead.
    fn heard(&self, moment: Moment) -> Vec<Act> {
        let claims = self.explorer.cast.mishaps.burials > 0;
        let mut acts = Vec::new();
        for (index, saying) in self.explorer.sayings.iter().enumerate() {
            if moment.said >> index & 1 == 1 {
                let whole = saying.state == State::Alive;
                acts.push(Act::Hear(index, whole));
                acts.extend((whole && claims).then_some(Act::Hear(index, false)));
            }
        }
        acts
    }

    fn own_acts(&self, number: usize) -> Vec<Act> {
        let view = &self.explorer.nodes[number].view;
        let mut acts = vec![Act::Tend];
        acts.extend((view.holds == (0, 0)).then_some(Act::Install));
        acts.extend(view.retires.then_some(Act::Forget));
        acts
    }

    fn next(&mut self, moment: Moment) -> Vec<Moment> {
        let mut next = Vec::new();
        for (life, number) in moment.up() {
            let mut acts = self.heard(moment);
            acts.extend(self.own_acts(number));
            for act in acts {
                let number = self.explorer.act(number, act);
                next.push(self.put(moment, life, number));
            }
            self.mishaps_of(moment, life, number, &mut next);
        }
        self.births(moment, &mut next);
        next
    }

    fn mishaps_of(&mut self, moment: Moment, life: usize, number: usize, next: &mut Vec<Moment>) {
        let held = self.explorer.nodes[number].view.held.clone();
        let others = held
            .iter()
            .filter(|saying| saying.life != life && saying.state.is_present());
        for other in others {
            let gone = moment.processes[other.life] == Process::Gone;
            if let Some(burials) = moment.mishaps.burials.checked_sub(u8::from(!gone)) {
                let number = self.explorer.act(number, Act::Bury(other.life));
                let mut after = self.put(moment, life, number);
                after.mishaps.burials = burials;
                next.push(after);
            }
        }
        if let Some(crashes) = moment.mishaps.crashes.checked_sub(1) {
            let mut after = moment;
            after.processes[life] = Process::Gone;
            after.mishaps.crashes = crashes;
            next.push(after);
        }
        if let Some(leaves) = moment.mishaps.leaves.checked_sub(1) {
            let number = self.explorer.act(number, Act::Leave);
            let mut after = self.put(moment, life, number);
            after.processes[life] = Process::Gone;
            after.mishaps.leaves = leaves;
            next.push(after);
        }
    }

    /// Processes that may start now.
    fn births(&mut self, moment: Moment, next: &mut Vec<Moment>) {
        let cast = self.explorer.cast;
        for (life, birth) in cast.births.iter().enumerate() {
            let earlier = |other: &usize| cast.births[*other].name == birth.name;
            let over = |other: usize| moment.processes[other] == Process::Gone;
            if moment.processes[life] == Process::Unborn && (0..life).filter(earlier).all(over) {
                let node = born(cast, life, birth.epoch, Table::new(1, 2));
                let number = self.explorer.number(life, &node);
                next.push(self.put(moment, life, number));
            }
        }
    }

    /// Two members that hold each other for present have a key in common.
    fn judge(&self, moment: Moment) -> Result<(), String> {
        for (life, number) in moment.up() {
            for (other, another) in moment.up().filter(|(other, _)| *other > life) {
                let (one, two) = (self.view(number), self.view(another));
                let apart = one.holds.1 < two.holds.0 || two.holds.1 < one.holds.0;
                if apart && holds_present(one, other) && holds_present(two, life) {
                    return Err(format!("no common key: {one:?}, {two:?}"));
                }
            }
        }
        Ok(())
    }

    fn view(&self, number: usize) -> &View {
        &self.explorer.nodes[number].view
    }

    /// When nothing goes wrong any more and all are given the key, all forget the old one and hold
    /// each other for present.
    fn check_end(&mut self, moment: Moment) -> Result<(), String> {
        if !self.ended.insert(moment.processes) {
            return Ok(());
        }
        let mut calm = moment;
        loop {
            let before = calm.processes;
            for (life, _) in moment.up() {
                calm = self.calmed(calm, life);
            }
            if calm.processes == before {
                return self.judge_end(calm);
            }
        }
    }

    /// What becomes of a member that does what is due and hears what it can of the others.
    fn calmed(&mut self, moment: Moment, life: usize) -> Moment {
        let mut own = moment.number(life);
        let view = self.view(own);
        let gone = |other: usize| moment.processes[other] == Process::Gone;
        let mut acts = self.own_acts(own);
        let lost = (0..LIVES_MAX).filter(|&other| gone(other) && holds_present(view, other));
        acts.extend(lost.map(Act::Bury));
        for (_, number) in moment.up().filter(|(other, _)| *other != life) {
            if self.reaches(number, own) {
                let told = self.tells(number);
                let all = (0..self.explorer.sayings.len()).filter(|index| told >> index & 1 == 1);
                acts.extend(all.map(|index| Act::Hear(index, true)));
            }
        }
        for act in acts {
            let installs = act == Act::Install && self.view(own).holds != (0, 0);
            let buried = matches!(act, Act::Bury(other) if !holds_present(self.view(own), other));
            if !installs && !buried {
                own = self.explorer.act(own, act);
            }
        }
        self.put(moment, life, own)
    }

    fn reaches(&mut self, from: usize, to: usize) -> bool {
        let explorer = &self.explorer;
        let known = self.reaches.entry((from, to));
        *known.or_insert_with(|| explorer.reaches(from, to))
    }

    fn judge_end(&self, calm: Moment) -> Result<(), String> {
        for (life, number) in calm.up() {
            let view = self.view(number);
            let apart = calm
                .up()
                .any(|(other, _)| other != life && !holds_present(view, other));
            if view.holds != (1, 1) || apart {
                return Err(format!("the rotation does not end: {view:?}"));
            }
        }
        Ok(())
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} with keys {:?}: {:?}",
            self.life, self.holds, self.held
        )
    }
}

fn holds_present(view: &View, life: usize) -> bool {
    let mut held = view.held.iter();
    held.any(|saying| saying.life == life && saying.state.is_present())
}

fn explore(fault: Fault, cast: Cast) -> Result<usize, String> {
    let mut walk = Walk::new(fault, cast);
    let first = walk.first();
    let moments = exhaust(first, |moment| {
        walk.judge(moment)?;
        walk.check_end(moment)?;
        Ok(walk.next(moment))
    })?;
    let views = walk.explorer.nodes.len();
    println!("{cast:?}: {moments} moments of {views} views");
    Ok(moments)
}

const fn cast(
    births: &'static [Birth],
    founders: usize,
    (burials, crashes, leaves): (u8, u8, u8),
) -> Cast {
    let mishaps = Mishaps {
        burials,
        crashes,
        leaves,
    };
    Cast {
        births,
        founders,
        mishaps,
    }
}

const fn birth(name: &'static str, epoch: u8) -> Birth {
    Birth { name, epoch }
}

const A: Birth = birth("a", 0);
const B: Birth = birth("b", 0);
const OLD: Birth = birth("c", 0);
const NEW: Birth = birth("c", 1);
const NEW_TOO: Birth = birth("d", 1);

/// Three members of which one leaves, or crashes.
const ONE_LEAVES: Cast = cast(&[A, B, OLD], 3, (0, 0, 1));
const ONE_CRASHES: Cast = cast(&[A, B, OLD], 3, (0, 1, 0));
/// A third one comes with the old key, or with the new, while another crashes or leaves.
const OLD_COMES: Cast = cast(&[A, B, OLD], 2, (0, 1, 0));
const NEW_COMES: Cast = cast(&[A, B, NEW], 2, (0, 1, 1));
const BOTH_COME: Cast = cast(&[A, OLD, NEW_TOO], 1, (0, 1, 0));
/// One crashes and comes back with the old key, or with the new.
const OLD_RETURNS: Cast = cast(&[A, OLD, OLD], 2, (0, 1, 0));
const NEW_RETURNS: Cast = cast(&[A, B, OLD, NEW], 3, (0, 1, 0));
/// One is taken for dead and lives.
const BURIED: Cast = cast(&[A, B], 2, (1, 0, 0));

#[test]
fn g_60_g_62_no_order_of_messages_parts_members_by_their_keys() {
    for (cast, least) in [
        (ONE_LEAVES, 100_000),
        (ONE_CRASHES, 25_000),
        (OLD_COMES, 150_000),
        (NEW_COMES, 80_000),
        (BOTH_COME, 14_000),
        (OLD_RETURNS, 4_500),
        (NEW_RETURNS, 180_000),
        (BURIED, 30_000),
    ] {
        let moments =
            explore(Fault::None, cast).unwrap_or_else(|fault| panic!("{cast:?}: {fault}"));
        assert!(
            moments > least,
            "the exploration has lost its cases: {moments}"
        );
    }
}

#[test]
fn the_exploration_of_rotations_finds_what_is_broken_on_purpose() {
    for (fault, cast, words) in [
        (Fault::OpenDoor, OLD_COMES, "no common key"),
        (Fault::OpenDoor, NEW_COMES, "no common key"),
        (Fault::OpenDoor, OLD_RETURNS, "no common key"),
        (Fault::OpenDoor, BURIED, "no common key"),
        (Fault::Hasty, ONE_CRASHES, "no common key"),
        (Fault::Idle, ONE_CRASHES, "does not end"),
    ] {
        let found = explore(fault, cast).expect_err("a fault");
        assert!(found.contains(words), "{fault:?}: {found}");
    }
}
