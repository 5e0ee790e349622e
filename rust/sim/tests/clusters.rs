//! Clusters in single situations: rotation, standstill, anti-entropy, probing.

use ztransport_gossip::wire::State;
use ztransport_gossip::{Happened, Misuse, Settings, Time};
use ztransport_sim::World;
use ztransport_sim::world::{Protection, address};

fn seconds(count: u64) -> Time {
    Time::ZERO.after_millis(count * 1_000)
}

/// Runs to `end` and gives the names that failed.
fn failures(world: &mut World, end: u64) -> Vec<String> {
    let mut failed = Vec::new();
    world.run(seconds(end), |_, heard| {
        if heard.event.happened == Happened::Failed {
            failed.push(heard.event.profile.name.to_string());
        }
    });
    failed
}

fn sealed(count: u32, seed: u64) -> World {
    World::formed(count, seed, &Settings::default(), Protection::Sealed)
}

#[test]
fn g_60_u8_a_rotation_ends_when_all_hold_the_key() {
    let mut world = sealed(20, 3);
    world.network.loss = 0.05;
    world.run(seconds(2), |_, _| {});
    for host in 0..20 {
        let at = world.now.after_millis(700);
        world.run(at, |_, _| {});
        world
            .with(host, |node, now| node.install_key(now, 1, &[8; 32]))
            .unwrap();
        let again = world.with(host, |node, now| node.install_key(now, 2, &[9; 32]));
        assert_eq!(again, Err(Misuse::RotationRuns));
    }
    assert!(failures(&mut world, 40).is_empty());
    for host in &world.hosts {
        let rotation = host.node.rotation();
        assert_eq!(
            (rotation.epoch, rotation.runs, rotation.ready),
            (1, false, 20)
        );
        assert_eq!(host.node.view().present(), 20);
    }
    let gone = world.with(0, |node, now| node.install_key(now, 1, &[8; 32]));
    assert_eq!(gone, Err(Misuse::Epoch(1)));
}

#[test]
fn g_61_u8_a_laggard_is_named_and_not_cut_off() {
    let mut world = sealed(10, 4);
    for host in 0..9 {
        world
            .with(host, |node, now| node.install_key(now, 1, &[8; 32]))
            .unwrap();
    }
    assert!(failures(&mut world, 60).is_empty());
    let rotation = world.hosts[0].node.rotation();
    assert!(rotation.runs && rotation.installed == 9 && rotation.ready == 0);
    assert_eq!(*rotation.laggards, ["member-00009".into()]);
    world
        .with(9, |node, now| node.install_key(now, 1, &[8; 32]))
        .unwrap();
    assert!(failures(&mut world, 90).is_empty());
    assert!(world.hosts.iter().all(|host| !host.node.rotation().runs));
}

#[test]
fn g_55_u7_a_member_that_stood_still_buries_nobody() {
    for seed in 1..10 {
        let mut world = sealed(20, seed);
        world.run(seconds(5), |_, _| {});
        // Shorter than the time to refute: the sleeper itself must live as well.
        world.pause(7, seconds(8));
        let failed = failures(&mut world, 40);
        assert!(failed.is_empty(), "seed {seed}: {failed:?}");
    }
}

#[test]
fn g_55_u7_a_long_sleeper_is_back_and_has_buried_nobody() {
    let mut world = sealed(20, 2);
    world.run(seconds(5), |_, _| {});
    world.pause(7, seconds(40));
    let failed = failures(&mut world, 90);
    assert!(
        failed.iter().all(|name| name == "member-00007"),
        "{failed:?}"
    );
    assert!(
        world
            .hosts
            .iter()
            .all(|host| host.node.view().present() == 20)
    );
}

#[test]
fn g_41_only_what_differs_is_exchanged() {
    let mut world = World::formed(200, 5, &Settings::default(), Protection::Modelled);
    // One member hears nothing of a change, and its peers do not repeat it any more.
    world.network.sides = (0..200).map(|host| u8::from(host == 9)).collect();
    world
        .with(3, |node, now| node.update_properties(now, &[1, 0, 0, b'x']))
        .unwrap();
    world.run(seconds(3), |_, _| {});
    world.network.sides.clear();
    let before = world.hosts[9].node.statistics().bytes_received;
    world.run(seconds(12), |_, _| {});
    let node = &world.hosts[9].node;
    let changed = node.view().find(world.hosts[3].node.sid()).unwrap();
    assert_eq!(node.view().get(changed).unwrap().profile.version, 1);
    let bytes = node.statistics().bytes_received - before;
    assert!(
        bytes < 8_000,
        "{bytes} bytes, where all 200 descriptions have more"
    );
}

#[test]
fn g_56_every_member_is_probed_in_every_pass() {
    let mut world = World::formed(30, 6, &Settings::default(), Protection::Modelled);
    // Nobody is heard by host 0 alone, so that it must find every other one itself.
    world.network.cut = (1..30).map(|host| (host, 0)).collect();
    world.run(seconds(40), |_, _| {});
    let probes = world.hosts[0].node.statistics();
    assert_eq!(probes.probes, probes.probes_failed + 1);
    let suspected = (1..30).filter(|&host| {
        let sid = world.hosts[host].node.sid();
        let view = world.hosts[0].node.view();
        let slot = view.find(sid).unwrap();
        view.get(slot).unwrap().state != State::Alive
    });
    assert!(suspected.count() > 0 && world.hosts[0].node.health() == 8);
}

#[test]
fn a_killed_member_fails_once_everywhere() {
    let mut world = sealed(30, 9);
    world.run(seconds(3), |_, _| {});
    world.crash(4);
    let failed = failures(&mut world, 30);
    assert_eq!(failed, vec!["member-00004"; 29]);
    world.restart(4, &[address(0)]);
    world.run(seconds(35), |_, _| {});
    assert!(
        world
            .hosts
            .iter()
            .all(|host| host.node.view().present() == 30)
    );
}
