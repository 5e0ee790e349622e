//! One member in a hundred is deaf, flaps or loses nearly everything, as in the evaluation of Rapid
//! (Suresh et al., USENIX ATC 2018): nobody else may be taken for dead.

use serde_json::{Value, json};
use ztransport_gossip::{Happened, Settings};

use super::{Options, summary};
use crate::world::{Protection, World};

/// Of how many members one is faulty.
const FAULTY_ONE_IN: u32 = 100;
/// How long a flapping member is away, and then back.
const FLAP_SECONDS: u64 = 20;
/// Share of its datagrams that a lossy member loses, either way.
const LOSS: f64 = 0.8;

pub(super) fn run(options: &Options) -> Result<Value, String> {
    let (mut healthy, mut faulty) = (Vec::new(), Vec::new());
    for seed in options.seeds() {
        let (removed, rightly) = history(options, seed)?;
        healthy.push(f64::from(removed));
        faulty.push(f64::from(rightly));
    }
    Ok(json!({
        "healthy_members_removed": summary(healthy),
        "removals_of_faulty_members": summary(faulty),
    }))
}

/// How often healthy members took a healthy one for dead, and a faulty one.
fn history(options: &Options, seed: u64) -> Result<(u32, u32), String> {
    let settings = Settings::default();
    let mut world = World::formed(options.nodes, seed, &settings, Protection::Modelled);
    let faulty = (options.nodes / FAULTY_ONE_IN).max(1);
    let (mut removed, mut rightly) = (0, 0);
    for period in 0..options.seconds.div_ceil(FLAP_SECONDS) {
        disturb(&mut world, &options.arm, faulty, period)?;
        let end = world.now.after_millis(FLAP_SECONDS * 1_000);
        world.run(end, |_, heard| {
            if heard.event.happened == Happened::Failed && heard.host >= faulty {
                removed += u32::from(heard.member() >= faulty);
                rightly += u32::from(heard.member() < faulty);
            }
        });
    }
    Ok((removed, rightly))
}

fn disturb(world: &mut World, arm: &str, faulty: u32, period: u64) -> Result<(), String> {
    let count = world.hosts.len() as u32;
    match arm {
        "one-way" => {
            let deaf = (0..count).flat_map(|from| (0..faulty).map(move |to| (from, to)));
            world.network.cut = deaf.collect();
        }
        "flip-flop" => {
            let away = |host: u32| period % 2 == 1 && host < faulty;
            let side = |host| if away(host) { 1 + host as u8 } else { 0 };
            world.network.sides = (0..count).map(side).collect();
        }
        "lossy" => world.network.lossy = vec![LOSS; faulty as usize],
        _ => {
            return Err(format!(
                "there is no arm {arm}: choose one-way, flip-flop or lossy"
            ));
        }
    }
    Ok(())
}
