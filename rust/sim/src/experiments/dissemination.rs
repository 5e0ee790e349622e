//! A rumour among members that are otherwise quiet.

use serde_json::{Value, json};
use ztransport_gossip::limits::Budget;
use ztransport_gossip::{Settings, Time};

use super::{Options, quantile, summary};
use crate::world::{Protection, World};

/// When each member learned, in rounds; those that did not are missing.
struct Spread {
    rounds: Vec<f64>,
    members: usize,
    sends: u64,
}

/// Gossip alone: no probes, no anti-entropy.
fn settings(arm: &str) -> Result<Settings, String> {
    let quiet = Settings {
        probe_interval_ms: 60_000,
        sync_interval_ms: 3_600_000,
        reconnect_interval_ms: 3_600_000,
        piggyback: false,
        ..Settings::default()
    };
    let four = Budget::Logarithmic {
        urgent: 4,
        other: 4,
    };
    match arm {
        // Rounds at fixed distances, as in the published curves.
        "reference" => Ok(Settings {
            gossip_eager: false,
            budget: four,
            ..quiet
        }),
        "default" => Ok(quiet),
        // Atomix: each member sends an update once, to two others, every 250 ms.
        "one-shot" => Ok(Settings {
            gossip_eager: false,
            gossip_interval_ms: 250,
            gossip_fanout: 2,
            budget: Budget::Fixed(2),
            ..quiet
        }),
        _ => Err(format!(
            "there is no arm {arm}: choose reference, default or one-shot"
        )),
    }
}

pub(super) fn run(options: &Options) -> Result<Value, String> {
    let settings = settings(&options.arm)?;
    let (mut half, mut most, mut all) = (Vec::new(), Vec::new(), Vec::new());
    let (mut reached, mut sends) = (Vec::new(), Vec::new());
    let mut curve = vec![0.0; 40];
    for seed in options.seeds() {
        let mut spread = spread(options, &settings, seed);
        let known = spread.rounds.len() + 1;
        reached.push(known as f64 / spread.members as f64);
        sends.push(spread.sends as f64 / spread.members as f64);
        for (round, share) in curve.iter_mut().enumerate() {
            let learned = spread
                .rounds
                .iter()
                .filter(|&&at| at <= round as f64)
                .count();
            *share += (learned + 1) as f64 / spread.members as f64 / f64::from(options.runs);
        }
        half.extend(quantile(&mut spread.rounds, 0.5));
        let learned = spread.rounds.as_mut_slice();
        most.extend(
            (known * 100 >= spread.members * 99)
                .then(|| quantile(learned, 0.99))
                .flatten(),
        );
        all.extend(
            (known == spread.members)
                .then(|| quantile(learned, 1.0))
                .flatten(),
        );
    }
    Ok(json!({
        "round_ms": settings.gossip_interval_ms,
        "rounds_to_half": summary(half),
        "rounds_to_99_percent": summary(most),
        "rounds_to_all": summary(all.clone()),
        "runs_that_reached_all": all.len(),
        "share_reached": summary(reached),
        "datagrams_per_member": summary(sends),
        "share_by_round": curve,
    }))
}

fn spread(options: &Options, settings: &Settings, seed: u64) -> Spread {
    let mut world = World::formed(options.nodes, seed, settings, Protection::Modelled);
    world.network.loss = options.loss / 100.0;
    let source = world.below(options.nodes.into()) as u32;
    let start = Time::ZERO.after_millis(1);
    world.run(start, |_, _| {});
    world
        .with(source, |node, now| {
            node.update_properties(now, &[1, 0, 0, b'x'])
        })
        .expect("in range");
    let mut rounds = Vec::new();
    let round = f64::from(settings.gossip_interval_ms) * 1e6;
    let mut silent = false;
    // One round more than there are rumours: what is found later was not gossip.
    while !silent {
        silent = world.hosts.iter().all(|host| host.node.rumours() == 0);
        let end = world.now.after_millis(settings.gossip_interval_ms.into());
        world.run(end, |time, heard| {
            if heard.member() == source && heard.host != source {
                rounds.push(time.saturating_since(start) as f64 / round);
            }
        });
    }
    let sends = world
        .hosts
        .iter()
        .map(|host| host.node.statistics().datagrams_sent)
        .sum();
    Spread {
        rounds,
        members: options.nodes as usize,
        sends,
    }
}
