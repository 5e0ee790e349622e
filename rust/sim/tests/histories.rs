//! Whole clusters through bad times. A failure names the seed that replays it.

use std::process::Command;

use ztransport_gossip::{Settings, Time};
use ztransport_sim::checks::Watch;
use ztransport_sim::experiments::{Options, run};
use ztransport_sim::storm::{converged, replay, storm};
use ztransport_sim::world::{Protection, World, address};

fn watched(world: &mut World, watch: &mut Watch, end: Time) {
    while let Some(host) = world.step(end, &mut |_, _| {}) {
        watch
            .look(world, host)
            .unwrap_or_else(|fault| panic!("{fault}"));
    }
    world.now = end;
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

/// Whatever may go wrong, for a minute and more; a failure says how to live through it again.
#[test]
fn g_40_after_a_storm_all_views_are_the_same() {
    for seed in 1..=20 {
        storm(10, seed, 60).unwrap_or_else(|fault| panic!("{fault}"));
    }
}

#[test]
fn a_seed_replays_its_history() {
    let trace = |seed| storm(6, seed, 20).expect("no rule is broken").trace();
    assert_eq!(trace(5), trace(5));
    assert_ne!(trace(5), trace(6));
}

/// The command that a broken rule names lives through the very same history.
#[test]
fn the_command_of_a_broken_rule_replays_its_history() {
    let command = replay(6, 5, 20);
    let (name, arguments) = command.split_once(' ').expect("a name and arguments");
    assert_eq!(name, "ztransport-sim");
    let called = Command::new(env!("CARGO_BIN_EXE_ztransport-sim"))
        .args(arguments.split(' '))
        .output()
        .expect("the simulator starts");
    let printed: serde_json::Value =
        serde_json::from_slice(&called.stdout).expect("a record on the standard output");
    let lived = storm(6, 5, 20).expect("no rule is broken");
    assert_eq!(printed["results"]["arrivals"], lived.arrivals());
    assert_eq!(
        printed["results"]["trace"],
        format!("{:016x}", lived.trace())
    );
}

/// The trace of one small world, the same in every build. Whoever changes the protocol changes it.
/// `make sim` compares builds with and without optimization.
const TRACE: &str = "2627c78c6ac7b190";

#[test]
fn every_build_lives_through_the_same_history() {
    let options = Options {
        nodes: 100,
        seed: 7,
        loss: 5.0,
        seconds: 20,
        ..Options::default()
    };
    let record = run("trace", &options).expect("an experiment");
    assert_eq!(record["results"]["trace"], TRACE);
}
