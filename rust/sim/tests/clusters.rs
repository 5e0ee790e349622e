//! Clusters in single situations: rotation, standstill, anti-entropy, probing.

use ztransport_gossip::seal::{Cipher, Keyring, Label, Sealing};
use ztransport_gossip::wire::{Kind, Message, State};
use ztransport_gossip::{Drop, Happened, Misuse, Settings, Time};
use ztransport_sim::World;
use ztransport_sim::world::{CLUSTER, Host, Protection, address};

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

/// Newest and oldest key of a member.
fn keys(world: &World, host: usize) -> (u8, u8) {
    let rotation = world.hosts[host].node.rotation();
    (rotation.epoch, rotation.epoch - u8::from(rotation.runs))
}

/// Two members of which one has no key of the other.
fn strangers_by_key(keys: &[(u8, u8)]) -> Option<(usize, usize)> {
    let oldest = (0..keys.len()).max_by_key(|&host| keys[host].1)?;
    let newest = (0..keys.len()).min_by_key(|&host| keys[host].0)?;
    (keys[newest].0 < keys[oldest].1).then_some((newest, oldest))
}

#[test]
fn two_members_without_a_common_key_are_found() {
    assert_eq!(strangers_by_key(&[(1, 0), (0, 0), (1, 0)]), None);
    assert_eq!(strangers_by_key(&[(1, 1), (1, 0), (0, 0)]), Some((2, 0)));
}

#[test]
fn g_60_u8_never_are_two_members_without_a_common_key() {
    for seed in 1..=5 {
        let mut world = sealed(12, seed);
        world.network.loss = 0.1;
        let mut times: Vec<(Time, u32)> = (0..12)
            .map(|host| (seconds(1).after_millis(world.below(8_000)), host))
            .collect();
        times.sort();
        world.pause(times[3].1, seconds(7));
        for (at, host) in times.into_iter().chain([(seconds(60), 0)]) {
            while world.step(at, &mut |_, _| {}).is_some() {
                let keys: Vec<(u8, u8)> = (0..12).map(|host| keys(&world, host)).collect();
                assert_eq!(strangers_by_key(&keys), None, "seed {seed}: {keys:?}");
            }
            world.now = at;
            if at < seconds(60) {
                world
                    .with(host, |node, now| node.install_key(now, 1, &[8; 32]))
                    .unwrap();
            }
        }
        assert!(
            (0..12).all(|host| keys(&world, host) == (1, 1)),
            "seed {seed}"
        );
    }
}

/// Datagrams of the right shape under a wrong key, in the name of members and of strangers.
#[test]
fn g_8_u2_a_flood_of_forgeries_buries_nobody() {
    let mut world = sealed(10, 8);
    let sids: Vec<u64> = world.hosts.iter().map(|host| host.node.sid()).collect();
    let forged = Sealing::ClusterKey {
        epoch: 0,
        key: [9; 32],
        cipher: Cipher::default(),
    };
    let mut failed = Vec::new();
    for milli in 1..5_000 {
        let claimed = [sids[milli as usize % 10], milli << 20];
        for (host, &receiver) in (0..).zip(&sids) {
            for sid in claimed.into_iter().filter(|&sid| sid != receiver) {
                let ring = Keyring::new(Label::of(CLUSTER), &forged, sid);
                let mut bytes = vec![0; 18 + 15];
                ring.seal(Kind::Sealed, 0, milli, receiver, &mut bytes);
                world.with(host, |node, now| {
                    node.handle_datagram(now, address(77), &mut bytes)
                        .unwrap_err()
                });
            }
        }
        world.run(Time::ZERO.after_millis(milli), |_, heard| {
            failed.push(heard.event.happened);
        });
    }
    assert!(failed.is_empty(), "{failed:?}");
    let forged = |host: &Host| host.node.statistics().dropped_for(Drop::Forged);
    assert!(world.hosts.iter().all(|host| forged(host) > 4_000));
}

#[test]
fn g_32_u6_a_death_that_was_forged_is_refuted_within_a_period() {
    let mut world = World::formed(20, 4, &Settings::default(), Protection::Sealed);
    let (victim, liar) = (world.hosts[5].node.sid(), world.hosts[6].node.sid());
    let ring = Keyring::new(Label::of(CLUSTER), &Protection::Sealed.sealing(), liar);
    world.run(seconds(2), |_, _| {});
    for host in (0..20).filter(|&host| host != 5 && host != 6) {
        let mut bytes = vec![0; 18];
        Message::Dead {
            sid: victim,
            incarnation: 0,
            reporter: liar,
        }
        .encode(&mut bytes);
        let receiver = world.hosts[host as usize].node.sid();
        ring.seal(Kind::Sealed, 0, 1 << 40, receiver, &mut bytes);
        world
            .with(host, |node, now| {
                node.handle_datagram(now, address(6), &mut bytes)
            })
            .unwrap();
    }
    assert_eq!(
        world.hosts[0].node.view().present(),
        19,
        "the lie is believed"
    );
    world.run(seconds(3), |_, _| {});
    let present = world.hosts.iter().map(|host| host.node.view().present());
    assert_eq!(present.collect::<Vec<u32>>(), vec![20; 20]);
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

#[test]
fn g_17_a_member_that_loses_datagrams_buries_nobody_and_lives() {
    for seed in 1..=3 {
        let mut world = World::formed(60, seed, &Settings::default(), Protection::Modelled);
        world.network.lossy = vec![0.8];
        let failed = failures(&mut world, 90);
        assert!(failed.is_empty(), "seed {seed}: {failed:?}");
    }
}

#[test]
fn g_52_a_leave_crosses_a_busy_cluster_in_haste() {
    for seed in 1..=5 {
        let mut world = World::formed(100, seed, &Settings::default(), Protection::Modelled);
        world.run(seconds(3), |_, _| {});
        world.crash(9);
        world.run(seconds(6), |_, _| {});
        let begun = world.now;
        world.with(4, ztransport_gossip::Node::leave);
        let mut heard = 0;
        for (millis, least) in [(60, 96), (500, 98)] {
            world.run(begun.after_millis(millis), |_, told| {
                heard += u32::from(told.event.happened == Happened::Left);
            });
            assert!(
                heard >= least,
                "seed {seed}: {heard} of 98 after {millis} ms"
            );
        }
    }
}
