//! Histories in which everything goes wrong that may, drawn from one seed and watched step by step.

use ztransport_gossip::wire::Address;
use ztransport_gossip::{Node, Settings, Time};

use crate::checks::{Fault, Snapshot, Watch, same_views};
use crate::network::Network;
use crate::world::{Protection, World, address};

/// Virtual seconds in which the cluster forms.
const FORMING_SECONDS: u64 = 10;
/// Virtual seconds without a fault in which all must agree again: longer than the longest suspicion
/// of a member in poor health, and several attempts to find the lost.
const CALM_SECONDS: u64 = 120;
/// What may happen in a second, each as likely as the others.
const DEEDS: [Deed; 12] = [
    crash, restart, leave, pause, part, heal, cut, mend, starve, feed, trouble, change,
];

type Deed = fn(&mut Storm, host: u32);

struct Storm {
    world: World,
    watch: Watch,
    members: u32,
}

/// A cluster of `members` that forms, lives through `seconds` of faults and then through a calm, in
/// which every rule is checked at every step, and at whose end all views must be the same.
///
/// # Errors
/// The broken rule, with the seed and the command that replays it.
pub fn storm(members: u32, seed: u64, seconds: u64) -> Result<World, Fault> {
    let world = World::strangers(members, seed, &Settings::default(), Protection::Sealed);
    let mut storm = Storm {
        world,
        watch: Watch::default(),
        members,
    };
    storm.watch.meet(&storm.world);
    storm.live(seconds)?;
    Ok(storm.world)
}

/// The command that lives through one storm again.
#[must_use]
pub fn replay(members: u32, seed: u64, seconds: u64) -> String {
    format!("ztransport-sim storm --nodes={members} --seed={seed} --seconds={seconds} --runs=1")
}

/// Where those join that know nobody.
fn seeds() -> [Address; 2] {
    [address(0), address(1)]
}

impl Storm {
    /// Everything from the forming to the agreement at the end.
    fn live(&mut self, seconds: u64) -> Result<(), Fault> {
        let (members, seed) = (self.members, self.world.seed());
        let ended = self.form().and_then(|()| self.rage(seconds));
        ended.map_err(|fault| format!("{fault}\nreplay with: {}", replay(members, seed, seconds)))
    }

    fn form(&mut self) -> Result<(), Fault> {
        for host in 1..self.members {
            self.world
                .with(host, |node, now| node.join(now, &seeds()))
                .map_err(|error| error.to_string())?;
        }
        self.run(FORMING_SECONDS)
    }

    fn rage(&mut self, seconds: u64) -> Result<(), Fault> {
        for _ in 0..seconds {
            let deed = DEEDS[self.world.below(DEEDS.len() as u64) as usize];
            let host = self.world.below(u64::from(self.members)) as u32;
            deed(self, host);
            self.watch.look(&self.world, host)?;
            self.run(1)?;
        }
        self.calm();
        self.run(CALM_SECONDS)?;
        let seed = self.world.seed();
        converged(&self.world).map_err(|fault| format!("seed {seed}: {fault}"))
    }

    fn run(&mut self, seconds: u64) -> Result<(), Fault> {
        let end = self.world.now.after_millis(seconds * 1_000);
        while let Some(host) = self.world.step(end, &mut |_, _| {}) {
            self.watch.look(&self.world, host)?;
        }
        self.world.now = end;
        Ok(())
    }

    /// Ends every fault: who is down or has left comes back.
    fn calm(&mut self) {
        self.world.network = Network::default();
        for host in 0..self.members {
            self.world.hosts[host as usize].starved = None;
            self.world.resume(host);
            restart(self, host);
        }
    }

    fn is_up(&self, host: u32) -> bool {
        self.world.hosts[host as usize].up
    }

    fn until(&mut self, seconds_max: u64) -> Time {
        let millis = self.world.below(seconds_max * 1_000);
        self.world.now.after_millis(millis)
    }
}

fn crash(storm: &mut Storm, host: u32) {
    if storm.world.up().len() as u32 > storm.members / 2 {
        storm.world.crash(host);
    }
}

fn restart(storm: &mut Storm, host: u32) {
    let node = &storm.world.hosts[host as usize].node;
    if !storm.is_up(host) || Snapshot::of(node).leaving || node.is_departed() {
        storm.world.restart(host, &seeds());
    }
}

fn leave(storm: &mut Storm, host: u32) {
    if storm.is_up(host) {
        storm.world.with(host, Node::leave);
    }
}

fn pause(storm: &mut Storm, host: u32) {
    let until = storm.until(20);
    storm.world.pause(host, until);
}

fn part(storm: &mut Storm, _: u32) {
    let sides = (0..storm.members).map(|_| storm.world.below(2) as u8);
    storm.world.network.sides = sides.collect();
}

fn heal(storm: &mut Storm, _: u32) {
    storm.world.network.sides.clear();
}

/// From now on `host` does not reach another one, which may still reach it.
fn cut(storm: &mut Storm, host: u32) {
    let other = storm.world.below(u64::from(storm.members)) as u32;
    storm.world.network.cut.insert((host, other));
}

fn mend(storm: &mut Storm, _: u32) {
    storm.world.network.cut.clear();
}

fn starve(storm: &mut Storm, host: u32) {
    storm.world.hosts[host as usize].starved = Some((500_000_000, 2_500_000_000));
}

fn feed(storm: &mut Storm, host: u32) {
    storm.world.hosts[host as usize].starved = None;
}

/// Another loss, duplication, delay and order.
fn trouble(storm: &mut Storm, _: u32) {
    let mut percent = |most: u64| storm.world.below(most + 1) as f64 / 100.0;
    let (loss, duplication) = (percent(30), percent(20));
    let delay_max = 600_000 + storm.world.below(300_000_000);
    let network = &mut storm.world.network;
    (network.loss, network.duplication) = (loss, duplication);
    network.delay_max = delay_max;
}

fn change(storm: &mut Storm, host: u32) {
    let letter = b'a' + storm.world.below(26) as u8;
    if storm.is_up(host) {
        // A member that has left says no more of itself.
        let _ = storm.world.with(host, |node, now| {
            node.update_properties(now, &[1, 0, 0, letter])
        });
    }
}

/// Every host that runs holds exactly those present that run, and all hold the same of them.
///
/// # Errors
/// The first difference.
pub fn converged(world: &World) -> Result<(), Fault> {
    let up = world.up();
    let views: Vec<Snapshot> = up
        .iter()
        .map(|&host| Snapshot::of(&world.hosts[host as usize].node))
        .collect();
    same_views(&views)?;
    let Some(first) = views.first() else {
        return Ok(());
    };
    let present = first.names.values().filter(|held| held.state.is_present());
    match present.count() {
        count if count == up.len() => Ok(()),
        count => Err(format!("{} hosts run, {count} are held present", up.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_that_has_not_agreed_is_found() {
        let mut world = World::formed(4, 3, &Settings::default(), Protection::Modelled);
        assert_eq!(converged(&world), Ok(()));
        world.crash(2);
        assert!(converged(&world).unwrap_err().starts_with("3 hosts run, 4"));
        world.hosts[1] = World::strangers(2, 3, &Settings::default(), Protection::Modelled)
            .hosts
            .swap_remove(1);
        assert!(converged(&world).unwrap_err().contains("differ"));
    }

    #[test]
    fn a_broken_rule_names_its_seed_and_the_command_that_replays_it() {
        let world = World::formed(3, 77, &Settings::default(), Protection::Modelled);
        // A watch that has met nobody takes all that is known for invented.
        let mut storm = Storm {
            world,
            watch: Watch::default(),
            members: 3,
        };
        let fault = storm.live(5).unwrap_err();
        let command = "ztransport-sim storm --nodes=3 --seed=77 --seconds=5 --runs=1";
        assert!(fault.starts_with("seed 77, host "), "{fault}");
        assert!(
            fault.ends_with(&format!("\nreplay with: {command}")),
            "{fault}"
        );
    }
}
