//! Whole clusters through bad times. A failure names the seed that replays it.

use ztransport_gossip::{Node, Settings, Time};
use ztransport_sim::checks::{Snapshot, Watch, same_views};
use ztransport_sim::network::Network;
use ztransport_sim::world::{Protection, World, address};

fn watched(world: &mut World, watch: &mut Watch, end: Time) {
    let mut faults = Vec::new();
    while let Some(host) = world.step(end, &mut |_, _| {}) {
        if world.hosts[host as usize].up {
            faults.extend(watch.look(world, host).err());
        }
        assert!(faults.is_empty(), "{}", faults[0]);
    }
    world.now = end;
}

fn converged(world: &World) -> Result<(), String> {
    let views: Vec<Snapshot> = world
        .up()
        .into_iter()
        .map(|host| Snapshot::of(&world.hosts[host as usize].node))
        .collect();
    same_views(&views)?;
    let present = views[0]
        .names
        .values()
        .filter(|held| held.state.is_present());
    match present.count() {
        count if count == views.len() => Ok(()),
        count => Err(format!(
            "{} hosts run, {count} are held present",
            views.len()
        )),
    }
}

fn seconds(count: u64) -> Time {
    Time::ZERO.after_millis(count * 1_000)
}

#[test]
fn strangers_find_each_other() {
    for seed in 1..20 {
        let mut world = World::strangers(12, seed, &Settings::default(), Protection::Sealed);
        world.network.loss = 0.05;
        for host in 1..12 {
            world
                .with(host, |node, now| node.join(now, &[address(0)]))
                .unwrap();
        }
        let mut watch = Watch::default();
        watch.meet(&world);
        watched(&mut world, &mut watch, seconds(10));
        converged(&world).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    }
}

/// Loss, duplicates, crashes, restarts, a pause, a partition, a leave; then calm.
fn storm(seed: u64) -> World {
    let settings = Settings::default();
    let mut world = World::strangers(10, seed, &settings, Protection::Sealed);
    let mut watch = Watch::default();
    watch.meet(&world);
    let seeds = [address(0), address(1)];
    for host in 1..10 {
        world
            .with(host, |node, now| node.join(now, &seeds))
            .expect("two seeds");
    }
    watched(&mut world, &mut watch, seconds(5));
    world.network.loss = 0.15;
    world.network.duplication = 0.1;
    world.network.delay_max = 50_000_000;
    let victim = 2 + world.below(4) as u32;
    world.crash(victim);
    watched(&mut world, &mut watch, seconds(8));
    let until = world.now.after_millis(4_000);
    world.pause(7, until);
    world.restart(victim, &seeds);
    watched(&mut world, &mut watch, seconds(15));
    world.network.sides = vec![0, 1, 0, 1, 0, 1, 0, 1, 0, 1];
    watched(&mut world, &mut watch, seconds(40));
    world.network = Network::default();
    world.with(9, Node::leave);
    watched(&mut world, &mut watch, seconds(45));
    world.crash(9);
    watched(&mut world, &mut watch, seconds(120));
    world
}

#[test]
fn g_40_after_a_storm_all_views_are_the_same() {
    for seed in 1..=20 {
        let world = storm(seed);
        converged(&world).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
    }
}

#[test]
fn a_seed_replays_its_history() {
    assert_eq!(storm(5).trace(), storm(5).trace());
    assert_ne!(storm(5).trace(), storm(6).trace());
}

/// The trace of one small world, the same in every build. Whoever changes the protocol changes it.
const TRACE: u64 = 0xd5d8_673a_1c45_2de0;

#[test]
fn every_build_lives_through_the_same_history() {
    let mut world = World::formed(100, 7, &Settings::default(), Protection::Modelled);
    world.network.loss = 0.05;
    world.crash(3);
    world.run(seconds(20), |_, _| {});
    assert_eq!(format!("{:016x}", world.trace()), format!("{TRACE:016x}"));
}
