//! Halves of a cluster that were parted for longer than the dead are remembered.

use ztransport_gossip::{Happened, Settings, Time};
use ztransport_sim::checks::{Snapshot, Watch, same_views};
use ztransport_sim::world::{Protection, World, address};

fn seconds(count: u64) -> Time {
    Time::ZERO.after_millis(count * 1_000)
}

/// Deaths are remembered for a minute here, where the default is a day.
const REMEMBERED_MS: u32 = 60_000;
const PARTED_MS: u64 = 150_000;

/// Members that were given the seeds `seeds_of` says, and know each other.
fn joined(count: u32, seed: u64, seeds_of: impl Fn(u32) -> Vec<u32>) -> World {
    let settings = Settings {
        remember_ms: REMEMBERED_MS,
        ..Settings::default()
    };
    let mut world = World::strangers(count, seed, &settings, Protection::Sealed);
    for host in 0..count {
        let seeds: Vec<_> = seeds_of(host).into_iter().map(address).collect();
        world
            .with(host, |node, now| node.join(now, &seeds))
            .expect("few seeds");
    }
    world.run(seconds(10), |_, _| {});
    assert_eq!(counts(&world), vec![count; count as usize]);
    world
}

fn counts(world: &World) -> Vec<u32> {
    let views = world.hosts.iter().map(|host| host.node.view());
    views
        .map(ztransport_gossip::member::Table::present)
        .collect()
}

/// Parts the odd from the even until each side has forgotten the other.
fn part(world: &mut World) {
    let count = world.hosts.len();
    world.network.sides = (0..count).map(|host| (host % 2) as u8).collect();
    let end = world.now.after_millis(PARTED_MS);
    world.run(end, |_, _| {});
    let known: Vec<u32> = world
        .hosts
        .iter()
        .map(|host| host.node.view().len())
        .collect();
    assert_eq!(
        known,
        vec![count as u32 / 2; count],
        "each side has forgotten"
    );
}

/// Heals, and gives what was told within `limit`, watching that nothing goes back.
fn heal(world: &mut World, limit: u64) -> Vec<Happened> {
    world.network.sides.clear();
    let mut watch = Watch::default();
    watch.meet(world);
    let mut told = Vec::new();
    let end = world.now.after_millis(limit * 1_000);
    while let Some(host) = world.step(end, &mut |_, heard| told.push(heard.event.happened)) {
        watch
            .look(world, host)
            .unwrap_or_else(|fault| panic!("{fault}"));
    }
    world.now = end;
    told
}

#[test]
fn g_58_halves_that_forgot_each_other_find_together_by_their_seeds() {
    type Seeds = fn(u32) -> Vec<u32>;
    let cases: [(u64, Seeds); 3] = [
        (1, |host| if host == 0 { vec![] } else { vec![0] }),
        (2, |_| vec![0, 1, 2]),
        // A single member has a seed on the other side.
        (3, |host| match host {
            0 => vec![],
            3 => vec![0],
            host if host % 2 == 1 => vec![3],
            _ => vec![0],
        }),
    ];
    for (seed, seeds_of) in cases {
        let mut world = joined(8, seed, seeds_of);
        part(&mut world);
        let told = heal(&mut world, 60);
        assert_eq!(counts(&world), vec![8; 8], "seed {seed}");
        let views: Vec<Snapshot> = world
            .hosts
            .iter()
            .map(|host| Snapshot::of(&host.node))
            .collect();
        same_views(&views).unwrap_or_else(|fault| panic!("seed {seed}: {fault}"));
        let ended = |happened: &&Happened| matches!(happened, Happened::Failed | Happened::Left);
        assert_eq!(told.iter().filter(ended).count(), 0, "nobody is lost by it");
        let joined = told
            .iter()
            .filter(|happened| **happened == Happened::Joined);
        assert_eq!(
            joined.count(),
            8 * 4,
            "each hears of each other side's member once"
        );
    }
}

#[test]
fn g_58_without_a_seed_on_the_other_side_halves_stay_apart() {
    let mut world = joined(6, 4, |host| if host == 0 { vec![] } else { vec![0] });
    part(&mut world);
    // Nobody asks the only seed again.
    for host in 1..6 {
        world
            .with(host, |node, now| node.join(now, &[]))
            .expect("no seeds");
    }
    heal(&mut world, 60);
    assert_eq!(counts(&world), vec![3; 6]);
}

#[test]
fn g_58_asking_lost_seeds_costs_little() {
    let mut world = joined(4, 5, |host| if host == 0 { vec![] } else { vec![0] });
    world.crash(0);
    let until = world.now.after_millis(PARTED_MS);
    world.run(until, |_, _| {});
    let sent = |world: &World| world.hosts[1].node.statistics().bytes_sent;
    let (before, end) = (sent(&world), world.now.after_millis(600_000));
    world.run(end, |_, _| {});
    let alone = (sent(&world) - before) as f64 / 600.0;
    assert!((90.0..=115.0).contains(&alone), "{alone} bytes a second");
}
