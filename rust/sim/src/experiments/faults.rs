//! Deaths, losses, joins and partitions.

use serde_json::{Value, json};
use ztransport_gossip::{Happened, Settings, Time};

use super::{Options, at_second, seconds_between, summary};
use crate::checks::{Snapshot, same_views};
use crate::world::{Protection, World, address};

/// Kills members one by one and waits until all others have noticed.
pub(super) fn detection(options: &Options) -> Result<Value, String> {
    let settings = Settings::default();
    let (mut first, mut all, mut each, mut spread) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut false_deaths, mut unnoticed) = (0, 0);
    let mut world = World::formed(options.nodes, options.seed, &settings, Protection::Modelled);
    world.network.loss = options.loss / 100.0;
    world.run(at_second(5), |_, _| {});
    for _ in 0..options.runs {
        let wait = world.below(3_000_000_000);
        world.run(world.now.after_nanos(wait), |_, _| {});
        let up = world.up();
        let victim = up[world.below(up.len() as u64) as usize];
        let name = world.hosts[victim as usize].node.profile().name.clone();
        let killed = world.now;
        world.crash(victim);
        let mut times = Vec::new();
        world.run(
            killed.after_millis(options.seconds * 1_000),
            |time, heard| match (heard.event.happened, heard.event.profile.name == name) {
                (Happened::Failed, true) => times.push(seconds_between(killed, time)),
                (Happened::Failed, false) => false_deaths += 1,
                _ => {}
            },
        );
        unnoticed += up.len() - 1 - times.len();
        times.sort_by(f64::total_cmp);
        if let (Some(&early), Some(&late)) = (times.first(), times.last()) {
            first.push(early);
            all.push(late);
            spread.push(late - early);
        }
        each.extend(times);
    }
    Ok(json!({
        "seconds_to_first": summary(first),
        "seconds_to_each": summary(each),
        "seconds_to_all": summary(all),
        "seconds_from_first_to_all": summary(spread),
        "false_deaths": false_deaths,
        "members_that_never_noticed": unnoticed,
    }))
}

/// The chance that a probe over a network with this loss fails though its target lives: neither
/// the ping nor any of `helpers` requests comes back (SWIM, section 3).
fn chance_of_failure(loss: f64, helpers: i32) -> f64 {
    let passes = 1.0 - loss;
    (1.0 - passes.powi(2)) * (1.0 - passes.powi(4)).powi(helpers)
}

/// Probes over datagrams alone, by members that do not doubt themselves.
pub(super) fn suspicions(options: &Options) -> Result<Value, String> {
    let settings = Settings {
        stream_probes: false,
        health_max: 0,
        ..Settings::default()
    };
    let (mut probes, mut failed, mut deaths) = (0, 0, 0);
    for seed in (options.seed..).take(options.runs as usize) {
        let mut world = World::formed(options.nodes, seed, &settings, Protection::Modelled);
        world.network.loss = options.loss / 100.0;
        world.run(at_second(options.seconds), |_, heard| {
            deaths += u32::from(heard.event.happened == Happened::Failed);
        });
        for host in &world.hosts {
            probes += host.node.statistics().probes;
            failed += host.node.statistics().probes_failed;
        }
    }
    let chance = chance_of_failure(options.loss / 100.0, settings.helpers as i32);
    let expected = probes as f64 * chance;
    let deviation = (expected * (1.0 - chance)).sqrt();
    let off = (failed as f64 - expected).abs();
    Ok(json!({
        "probes": probes,
        "failed": failed,
        "expected": expected,
        "standard_deviation": deviation,
        "within_bound": off <= (0.1 * expected).max(3.0 * deviation),
        "false_deaths": deaths,
    }))
}

/// Members join one after the other under loss, with one helper and a probe every two seconds, as
/// in figure 4 of the SWIM paper; counts those that all hold present at the end.
pub(super) fn joins(options: &Options) -> Result<Value, String> {
    let settings = Settings {
        probe_interval_ms: 2_000,
        helpers: 1,
        ..Settings::default()
    };
    let mut stable = Vec::new();
    for seed in (options.seed..).take(options.runs as usize) {
        let mut world = World::strangers(options.nodes, seed, &settings, Protection::Sealed);
        world.network.loss = options.loss / 100.0;
        for host in 1..options.nodes {
            world.run(at_second(2 * u64::from(host)), |_, _| {});
            world
                .with(host, |node, now| node.join(now, &[address(0)]))
                .expect("one seed");
        }
        let end = 2 * u64::from(options.nodes) + options.seconds;
        world.run(at_second(end), |_, _| {});
        let seen_by_all = world
            .hosts
            .iter()
            .map(|host| host.node.view().present())
            .min();
        stable.push(f64::from(seen_by_all.unwrap_or(0)));
    }
    Ok(json!({ "members_present_everywhere": summary(stable) }))
}

/// All join at once at the same few seeds.
pub(super) fn wave(options: &Options) -> Result<Value, String> {
    let settings = Settings::default();
    let (mut times, mut unfinished) = (Vec::new(), 0);
    for seed in (options.seed..).take(options.runs as usize) {
        let mut world = World::strangers(options.nodes, seed, &settings, Protection::Sealed);
        world.network.loss = options.loss / 100.0;
        for host in 1..options.nodes {
            world
                .with(host, |node, now| node.join(now, &[address(0), address(1)]))
                .expect("few seeds");
        }
        match settle(&mut world, options.nodes, options.seconds, 50) {
            Some(time) => times.push(seconds_between(Time::ZERO, time)),
            None => unfinished += 1,
        }
    }
    Ok(json!({ "seconds_to_all_see_all": summary(times), "unfinished": unfinished }))
}

/// Runs until every member sees `count` present and all digests are equal.
fn settle(world: &mut World, count: u32, seconds: u64, step_ms: u64) -> Option<Time> {
    let end = world.now.after_millis(seconds * 1_000);
    while world.now < end {
        world.run(world.now.after_millis(step_ms), |_, _| {});
        let digest = world.hosts[0].node.view().digest();
        let mut views = world.hosts.iter().map(|host| host.node.view());
        if views.all(|view| view.present() == count && view.digest() == digest) {
            return Some(world.now);
        }
    }
    None
}

/// Two halves that do not hear each other for a time, then do.
pub(super) fn partition(options: &Options) -> Result<Value, String> {
    let settings = Settings::default();
    let (mut healed, mut unhealed, mut parted) = (Vec::new(), 0, Vec::new());
    for seed in (options.seed..).take(options.runs as usize) {
        let mut world = World::formed(options.nodes, seed, &settings, Protection::Modelled);
        world.network.loss = options.loss / 100.0;
        world.run(at_second(5), |_, _| {});
        world.network.sides = (0..options.nodes).map(|host| (host % 2) as u8).collect();
        world.run(at_second(5 + options.seconds), |_, _| {});
        parted.push(f64::from(world.hosts[0].node.view().present()));
        world.network.sides.clear();
        let begin = world.now;
        match settle(&mut world, options.nodes, 120, 100) {
            Some(time) => healed.push(seconds_between(begin, time)),
            None => unhealed += 1,
        }
        let ends: Vec<Snapshot> = [0, options.nodes - 1]
            .map(|host| Snapshot::of(&world.hosts[host as usize].node))
            .into();
        same_views(&ends).map_err(|fault| format!("seed {seed}: {fault}"))?;
    }
    Ok(json!({
        "present_while_parted": summary(parted),
        "seconds_to_agree": summary(healed),
        "unhealed": unhealed,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closed_form_has_its_known_values() {
        for (loss, chance) in [
            (0.01, 1.2e-6),
            (0.03, 8.9e-5),
            (0.05, 6.2e-4),
            (0.1, 7.7e-3),
        ] {
            let found = chance_of_failure(loss, 3);
            assert!((found / chance - 1.0).abs() < 0.03, "{loss}: {found}");
        }
    }
}
