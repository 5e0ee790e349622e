//! Members that read late accuse others and are accused: the usual cause of false deaths.

use serde_json::{Value, json};
use ztransport_gossip::{Happened, Settings};

use super::{Options, at_second, summary};
use crate::world::{Protection, World};

/// How late a starved member reads, in nanoseconds.
const LATE: (u64, u64) = (500_000_000, 2_500_000_000);

fn settings(arm: &str) -> Result<Settings, String> {
    let lifeguard = Settings::default();
    match arm {
        "default" => Ok(lifeguard),
        // Neither local health nor confirmations: every suspicion has the shortest time.
        "plain" => Ok(Settings {
            health_max: 0,
            confirmations: 0,
            suspicion_ceiling: 1,
            ..lifeguard
        }),
        _ => Err(format!("there is no arm {arm}: choose default or plain")),
    }
}

pub(super) fn run(options: &Options) -> Result<Value, String> {
    let settings = settings(&options.arm)?;
    let (mut deaths, mut bad_runs, mut healthy_deaths) = (Vec::new(), 0, 0);
    let mut suspicions = 0;
    for seed in options.seeds() {
        let mut world = World::formed(options.nodes, seed, &settings, Protection::Modelled);
        world.network.loss = options.loss / 100.0;
        let starved = f64::from(options.nodes) * options.starved / 100.0;
        let starved = (starved.round() as u32).max(1);
        for host in &mut world.hosts[..starved as usize] {
            host.starved = Some(LATE);
        }
        let (mut died, mut healthy) = (0, 0);
        world.run(at_second(options.seconds), |_, heard| {
            if heard.event.happened == Happened::Failed {
                died += 1;
                healthy += u32::from(heard.member() >= starved);
            }
        });
        suspicions += world
            .hosts
            .iter()
            .map(|host| host.node.statistics().suspicions)
            .sum::<u64>();
        bad_runs += u32::from(died > 0);
        healthy_deaths += healthy;
        deaths.push(f64::from(died));
    }
    Ok(json!({
        "runs_with_a_false_death": bad_runs,
        "false_death_events": summary(deaths),
        "of_members_that_read_in_time": healthy_deaths,
        "suspicions": suspicions,
    }))
}
