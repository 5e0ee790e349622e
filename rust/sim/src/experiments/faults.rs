//! Deaths, losses, joins and partitions.

use serde_json::{Value, json};
use ztransport_gossip::member::Table;
use ztransport_gossip::{Happened, Settings, Time};

use super::load::memory_peak_bytes;
use super::{Options, at_second, seconds_between, summary};
use crate::checks::{Snapshot, same_views};
use crate::world::{Protection, World, address};

/// Virtual seconds in which a cluster settles before somebody is killed.
const WARM_SECONDS: u64 = 5;

/// What was seen of all kills.
#[derive(Default)]
struct Kills {
    first: Vec<f64>,
    all: Vec<f64>,
    each: Vec<f64>,
    spread: Vec<f64>,
    datagrams: Vec<f64>,
    false_deaths: u32,
    unnoticed: usize,
}

/// Kills one member and waits until all others have noticed, in a new cluster each time.
pub(super) fn detection(options: &Options) -> Result<Value, String> {
    let mut kills = Kills::default();
    for seed in options.seeds() {
        kills.kill(options, seed);
    }
    Ok(json!({
        "seconds_to_first": summary(kills.first),
        "seconds_to_each": summary(kills.each),
        "seconds_to_all": summary(kills.all),
        "seconds_from_first_to_all": summary(kills.spread),
        "datagrams_per_member_besides_probes": summary(kills.datagrams),
        "false_deaths": kills.false_deaths,
        "members_that_never_noticed": kills.unnoticed,
    }))
}

impl Kills {
    fn kill(&mut self, options: &Options, seed: u64) {
        let settings = Settings::default();
        let mut world = World::formed(options.nodes, seed, &settings, Protection::Modelled);
        world.network.loss = options.loss / 100.0;
        let wait = world.below(u64::from(settings.probe_interval_ms) * 1_000_000);
        world.run(at_second(WARM_SECONDS).after_nanos(wait), |_, _| {});
        let victim = world.below(u64::from(options.nodes)) as u32;
        let before = gossip_sent(&world);
        let killed = world.now;
        world.crash(victim);
        let (mut times, mut false_deaths) = (Vec::new(), 0);
        world.run(
            killed.after_millis(options.seconds * 1_000),
            |at, heard| match (heard.event.happened, heard.member() == victim) {
                (Happened::Failed, true) => times.push(seconds_between(killed, at)),
                (Happened::Failed, false) => false_deaths += 1,
                _ => {}
            },
        );
        let others = f64::from(options.nodes - 1);
        self.datagrams
            .push((gossip_sent(&world) - before) as f64 / others);
        self.false_deaths += false_deaths;
        self.unnoticed += options.nodes as usize - 1 - times.len();
        self.notice(times);
    }

    fn notice(&mut self, mut times: Vec<f64>) {
        times.sort_by(f64::total_cmp);
        if let (Some(&early), Some(&late)) = (times.first(), times.last()) {
            self.first.push(early);
            self.all.push(late);
            self.spread.push(late - early);
        }
        self.each.extend(times);
    }
}

/// Datagrams all have sent that are neither a direct probe nor its answer, if none was lost.
fn gossip_sent(world: &World) -> i64 {
    let own = world.hosts.iter().map(|host| {
        let statistics = host.node.statistics();
        statistics.datagrams_sent as i64 - 2 * statistics.probes as i64
    });
    own.sum()
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
    for seed in options.seeds() {
        let mut world = World::formed(options.nodes, seed, &settings, Protection::Modelled);
        world.network.loss = options.loss / 100.0;
        world.run(at_second(options.seconds), |_, heard| {
            deaths += u32::from(heard.event.happened == Happened::Failed);
        });
        for host in &world.hosts {
            // The last one of each is not decided yet.
            probes += host.node.statistics().probes.saturating_sub(1);
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
    for seed in options.seeds() {
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
    for seed in options.seeds() {
        let mut world = World::strangers(options.nodes, seed, &settings, Protection::Sealed);
        world.network.loss = options.loss / 100.0;
        for host in 1..options.nodes {
            world
                .with(host, |node, now| node.join(now, &[address(0), address(1)]))
                .expect("few seeds");
        }
        let all = |_: &World, view: &Table| view.present() == options.nodes;
        match settle(&mut world, options.seconds, 50, all) {
            Some(time) => times.push(seconds_between(Time::ZERO, time)),
            None => unfinished += 1,
        }
    }
    Ok(json!({ "seconds_to_all_see_all": summary(times), "unfinished": unfinished }))
}

/// Runs in steps until the view of every member is as it should be.
fn settle(
    world: &mut World,
    seconds: u64,
    step_ms: u64,
    right: impl Fn(&World, &Table) -> bool,
) -> Option<Time> {
    let end = world.now.after_millis(seconds * 1_000);
    while world.now < end {
        world.run(world.now.after_millis(step_ms), |_, _| {});
        let mut views = world.hosts.iter().map(|host| host.node.view());
        if views.all(|view| right(world, view)) {
            return Some(world.now);
        }
    }
    None
}

/// Two halves that do not hear each other for a time, then do.
pub(super) fn partition(options: &Options) -> Result<Value, String> {
    let settings = Settings::default();
    let (mut healed, mut unhealed, mut parted) = (Vec::new(), 0, Vec::new());
    for seed in options.seeds() {
        let mut world = World::formed(options.nodes, seed, &settings, Protection::Modelled);
        world.network.loss = options.loss / 100.0;
        world.run(at_second(5), |_, _| {});
        world.network.sides = (0..options.nodes).map(|host| (host % 2) as u8).collect();
        world.run(at_second(5 + options.seconds), |_, _| {});
        parted.push(f64::from(world.hosts[0].node.view().present()));
        world.network.sides.clear();
        let begin = world.now;
        let all = |world: &World, view: &Table| {
            let first = world.hosts[0].node.view();
            view.present() == options.nodes && view.digest() == first.digest()
        };
        match settle(&mut world, 120, 100, all) {
            Some(time) => healed.push(seconds_between(begin, time)),
            None => unhealed += 1,
        }
        let ends: Vec<Snapshot> = [0, options.nodes - 1]
            .map(|host| Snapshot::of(&world.hosts[host as usize].node))
            .into();
        same_views(&ends).map_err(|fault| {
            let (nodes, loss, seconds) = (options.nodes, options.loss, options.seconds);
            let world = format!("--nodes={nodes} --loss={loss} --seconds={seconds} --seed={seed}");
            format!("seed {seed}: {fault}\nreplay with: ztransport-sim partition {world} --runs=1")
        })?;
    }
    Ok(json!({
        "present_while_parted": summary(parted),
        "seconds_to_agree": summary(healed),
        "unhealed": unhealed,
        "memory_peak_bytes": memory_peak_bytes()?,
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
