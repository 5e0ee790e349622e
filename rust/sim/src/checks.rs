//! Rules that every history must keep, checked on what members hold and not by their own code.

use std::collections::BTreeMap;

use ztransport_gossip::Node;
use ztransport_gossip::wire::State;

use crate::world::World;

/// What one member holds of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Which life.
    pub generation: u64,
    /// Which id.
    pub sid: u64,
    /// Which incarnation.
    pub incarnation: u32,
    /// Which state.
    pub state: State,
}

/// What one member holds at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Its own id.
    pub own: u64,
    /// Whether it has begun to leave.
    pub leaving: bool,
    /// What it holds by name, itself included.
    pub names: BTreeMap<String, Holding>,
    /// Its rumours.
    pub rumours: usize,
    /// Members it may hold.
    pub members_max: usize,
}

impl Snapshot {
    /// The present one of a member.
    #[must_use]
    pub fn of(node: &Node) -> Self {
        let names = node.view().iter().map(|(_, record)| {
            let holding = Holding {
                generation: record.profile.generation,
                sid: record.sid,
                incarnation: record.incarnation,
                state: record.state,
            };
            (record.profile.name.to_string(), holding)
        });
        let names: BTreeMap<String, Holding> = names.collect();
        let own = names.values().find(|holding| holding.sid == node.sid());
        Self {
            own: node.sid(),
            leaving: own.is_some_and(|own| own.state == State::Left),
            rumours: node.rumours(),
            members_max: node.settings().members_max as usize,
            names,
        }
    }
}

/// A rule that was broken.
pub type Fault = String;

/// What is held of a name never goes back: not to an earlier life, nor from left to anything within
/// a life, nor to an earlier incarnation, nor from dead to alive within an incarnation.
///
/// # Errors
/// The name and both holdings.
pub fn never_back(before: &Snapshot, after: &Snapshot) -> Result<(), Fault> {
    for (name, now) in &after.names {
        let Some(was) = before.names.get(name) else {
            continue;
        };
        if goes_back(*was, *now) {
            return Err(format!("{name} went back from {was:?} to {now:?}"));
        }
    }
    Ok(())
}

fn goes_back(was: Holding, now: Holding) -> bool {
    if (was.generation, was.sid) != (now.generation, now.sid) {
        return (now.generation, now.sid) < (was.generation, was.sid);
    }
    match (was.state, now.state) {
        (State::Left, state) => state != State::Left,
        (_, State::Left) => false,
        (was_state, state) => (now.incarnation, state as u8) < (was.incarnation, was_state as u8),
    }
}

/// A member that does not leave holds itself alive, under its own id.
///
/// # Errors
/// What it holds instead.
pub fn alive_to_itself(snapshot: &Snapshot) -> Result<(), Fault> {
    let own = snapshot
        .names
        .values()
        .find(|holding| holding.sid == snapshot.own);
    match own.map(|own| own.state) {
        Some(State::Alive) => Ok(()),
        Some(State::Left) if snapshot.leaving => Ok(()),
        other => Err(format!("a member holds itself for {other:?}")),
    }
}

/// Nobody holds an incarnation that its member has not reached.
///
/// # Errors
/// The name and the incarnation.
pub fn nothing_invented(snapshot: &Snapshot, reached: &BTreeMap<u64, u32>) -> Result<(), Fault> {
    for (name, holding) in &snapshot.names {
        if reached
            .get(&holding.sid)
            .is_none_or(|&own| holding.incarnation > own)
        {
            return Err(format!(
                "{name} never reached incarnation {}",
                holding.incarnation
            ));
        }
    }
    Ok(())
}

/// Views and rumours stay within their bounds.
///
/// # Errors
/// What has grown too long.
pub fn bounded(snapshot: &Snapshot) -> Result<(), Fault> {
    let (held, max) = (snapshot.names.len(), snapshot.members_max);
    if held > max || snapshot.rumours > held {
        return Err(format!(
            "{held} members of {max}, {} rumours",
            snapshot.rumours
        ));
    }
    Ok(())
}

/// All of `snapshots` hold the same members for present, in the same state.
///
/// # Errors
/// The first name about which two differ.
pub fn same_views(snapshots: &[Snapshot]) -> Result<(), Fault> {
    let present = |snapshot: &Snapshot| -> BTreeMap<String, Holding> {
        let held = snapshot.names.clone().into_iter();
        held.filter(|(_, holding)| holding.state.is_present())
            .collect()
    };
    let Some(first) = snapshots.first().map(present) else {
        return Ok(());
    };
    for (index, other) in snapshots.iter().map(present).enumerate() {
        let names = first.keys().chain(other.keys());
        if let Some(name) = names
            .into_iter()
            .find(|name| first.get(*name) != other.get(*name))
        {
            let (a, b) = (first.get(name), other.get(name));
            return Err(format!(
                "views 0 and {index} differ about {name}: {a:?} and {b:?}"
            ));
        }
    }
    Ok(())
}

/// Watches a whole world, step by step.
#[derive(Default)]
pub struct Watch {
    /// By host: which life of its process, and the last that it held of every name since.
    held: BTreeMap<u32, (u64, Snapshot)>,
    reached: BTreeMap<u64, u32>,
}

impl Watch {
    /// Checks every rule about the host at which something happened, if it runs.
    ///
    /// # Errors
    /// The broken rule, with the seed that replays it.
    pub fn look(&mut self, world: &World, host: u32) -> Result<(), Fault> {
        let node = &world.hosts[host as usize].node;
        if !world.hosts[host as usize].up {
            return Ok(());
        }
        let incarnation = self.reached.entry(node.sid()).or_default();
        *incarnation = (*incarnation).max(node.incarnation());
        let life = world.hosts[host as usize].life();
        self.judge(host, life, Snapshot::of(node))
            .map_err(|fault| format!("seed {}, host {host}: {fault}", world.seed()))
    }

    fn judge(&mut self, host: u32, life: u64, now: Snapshot) -> Result<(), Fault> {
        alive_to_itself(&now)?;
        bounded(&now)?;
        nothing_invented(&now, &self.reached)?;
        match self.held.get_mut(&host) {
            Some((same, held)) if *same == life => {
                never_back(held, &now)?;
                // What was forgotten stays here, so that it cannot come back as less.
                held.names.extend(now.names);
            }
            _ => drop(self.held.insert(host, (life, now))),
        }
        Ok(())
    }

    /// Learns the members of a world that was formed at once.
    pub fn meet(&mut self, world: &World) {
        for host in &world.hosts {
            self.reached
                .insert(host.node.sid(), host.node.incarnation());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Protection;
    use ztransport_gossip::Settings;

    fn holding(generation: u64, incarnation: u32, state: State) -> Holding {
        Holding {
            generation,
            sid: 10 + generation,
            incarnation,
            state,
        }
    }

    fn snapshot(held: Holding) -> Snapshot {
        Snapshot {
            own: 1,
            names: [("x".to_owned(), held)].into(),
            members_max: 1,
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_history_that_goes_back_is_found() {
        let back = [
            (holding(1, 3, State::Dead), holding(1, 3, State::Alive)),
            (holding(1, 3, State::Left), holding(1, 9, State::Alive)),
            (holding(1, 3, State::Alive), holding(1, 2, State::Alive)),
            (holding(2, 0, State::Alive), holding(1, 9, State::Alive)),
        ];
        for (was, now) in back {
            assert!(
                never_back(&snapshot(was), &snapshot(now)).is_err(),
                "{was:?} {now:?}"
            );
            assert!(
                never_back(&snapshot(now), &snapshot(was)).is_ok(),
                "{now:?} {was:?}"
            );
        }
    }

    #[test]
    fn a_member_that_is_not_alive_to_itself_is_found() {
        let mut own = snapshot(holding(1, 0, State::Alive));
        own.own = 11;
        assert!(alive_to_itself(&own).is_ok());
        for state in [State::Suspect, State::Dead, State::Left] {
            own.names.insert("x".to_owned(), holding(1, 0, state));
            assert!(alive_to_itself(&own).is_err());
        }
        own.leaving = true;
        assert!(alive_to_itself(&own).is_ok());
        own.own = 12;
        assert!(alive_to_itself(&own).is_err());
    }

    #[test]
    fn an_invented_incarnation_is_found() {
        let view = snapshot(holding(1, 3, State::Alive));
        assert!(nothing_invented(&view, &[(11, 3)].into()).is_ok());
        assert!(nothing_invented(&view, &[(11, 2)].into()).is_err());
        assert!(nothing_invented(&view, &BTreeMap::new()).is_err());
    }

    #[test]
    fn a_view_without_bound_is_found() {
        let mut view = snapshot(holding(1, 0, State::Alive));
        assert!(bounded(&view).is_ok());
        view.rumours = 2;
        assert!(bounded(&view).is_err());
        (view.rumours, view.members_max) = (0, 0);
        assert!(bounded(&view).is_err());
    }

    #[test]
    fn a_watch_finds_what_goes_back_and_names_the_seed() {
        let mut world = World::formed(3, 77, &Settings::default(), Protection::Modelled);
        let mut watch = Watch::default();
        watch.meet(&world);
        assert_eq!(watch.look(&world, 1), Ok(()));
        let held = &mut watch.held.get_mut(&1).unwrap().1;
        held.names.get_mut("member-00002").unwrap().incarnation = 4;
        let fault = watch.look(&world, 1).unwrap_err();
        assert!(
            fault.starts_with("seed 77, host 1: member-00002 went back"),
            "{fault}"
        );
        world.restart(1, &[]);
        assert_eq!(
            watch.look(&world, 1),
            Ok(()),
            "a process that started again knows nothing"
        );
    }

    #[test]
    fn a_watch_remembers_what_a_member_forgot() {
        let mut watch = Watch {
            reached: [(1, 0), (11, 9)].into(),
            ..Watch::default()
        };
        let mut see = |held: Option<Holding>| {
            let own = Holding {
                sid: 1,
                ..holding(1, 0, State::Alive)
            };
            let mut now = Snapshot {
                own: 1,
                members_max: 2,
                ..Snapshot::default()
            };
            now.names.insert("own".to_owned(), own);
            now.names.extend(held.map(|held| ("x".to_owned(), held)));
            watch.judge(0, 1, now)
        };
        assert_eq!(see(Some(holding(1, 3, State::Dead))), Ok(()));
        assert_eq!(see(None), Ok(()));
        assert!(see(Some(holding(1, 3, State::Alive))).is_err());
    }

    #[test]
    fn views_that_differ_are_found() {
        let view = |state| snapshot(holding(1, 0, state));
        assert!(same_views(&[view(State::Alive), view(State::Alive)]).is_ok());
        assert!(same_views(&[view(State::Alive), view(State::Suspect)]).is_err());
        assert!(same_views(&[view(State::Alive), Snapshot::default()]).is_err());
        assert!(same_views(&[view(State::Dead), Snapshot::default()]).is_ok());
    }
}
