//! What is measured in simulation, by name. Each result is one JSON object with its parameters.

mod codec;
mod dissemination;
mod faults;
mod load;
mod rapid;
mod starved;

use serde_json::{Value, json};
use ztransport_gossip::Time;

use crate::storm::storm;

/// The parameters of an experiment; each uses those it needs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Members of the cluster.
    pub nodes: u32,
    /// Chance that a datagram is lost, in percent.
    pub loss: f64,
    /// Repetitions, each with a seed of its own.
    pub runs: u32,
    /// The first seed.
    pub seed: u64,
    /// Virtual seconds.
    pub seconds: u64,
    /// Share of members that are starved, in percent.
    pub starved: f64,
    /// Which variant.
    pub arm: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            nodes: 100,
            loss: 0.0,
            runs: 10,
            seed: 1,
            seconds: 60,
            starved: 0.0,
            arm: "default".to_owned(),
        }
    }
}

impl Options {
    /// The seed of each repetition.
    fn seeds(&self) -> impl Iterator<Item = u64> {
        (self.seed..).take(self.runs as usize)
    }
}

type Experiment = fn(&Options) -> Result<Value, String>;

/// All experiments with what they show.
pub const ALL: [(&str, Experiment, &str); 13] = [
    (
        "dissemination",
        dissemination::run,
        "how long a rumour takes to reach all",
    ),
    (
        "detection",
        faults::detection,
        "how long a killed member stays unnoticed",
    ),
    (
        "suspicions",
        faults::suspicions,
        "suspicions by loss alone, beside the closed form",
    ),
    (
        "starved",
        starved::run,
        "false deaths where members read late",
    ),
    (
        "joins",
        faults::joins,
        "joins one after the other under loss",
    ),
    ("wave", faults::wave, "joins all at once"),
    (
        "partition",
        faults::partition,
        "how long two halves take to agree again",
    ),
    (
        "rapid",
        rapid::run,
        "healthy members beside deaf, flapping or lossy ones",
    ),
    ("storm", storms, "everything at once, under the checks"),
    ("idle", load::idle, "bytes of a quiet cluster"),
    (
        "codec",
        codec::run,
        "what the codec, the seal and the door cost here",
    ),
    (
        "speed",
        load::speed,
        "what the simulator itself costs, and its trace",
    ),
    ("trace", load::trace, "the trace of one small world"),
];

/// Runs one experiment.
///
/// # Errors
/// There is none of this name, or the parameters do not fit it.
pub fn run(name: &str, options: &Options) -> Result<Value, String> {
    let found = ALL.iter().find(|(known, ..)| *known == name);
    let names: Vec<&str> = ALL.iter().map(|(name, ..)| *name).collect();
    let missing = || format!("there is no experiment {name}: choose {}", names.join(", "));
    let (_, experiment, _) = found.ok_or_else(missing)?;
    let results = experiment(options)?;
    Ok(json!({
        "experiment": name,
        "nodes": options.nodes,
        "loss_percent": options.loss,
        "runs": options.runs,
        "seed": options.seed,
        "seconds": options.seconds,
        "starved_percent": options.starved,
        "arm": options.arm,
        "results": results,
    }))
}

/// Histories full of faults; the first broken rule ends it with the seed that replays it.
fn storms(options: &Options) -> Result<Value, String> {
    let (mut arrivals, mut trace) = (0, 0);
    for seed in options.seeds() {
        let world = storm(options.nodes, seed, options.seconds)?;
        arrivals += world.arrivals();
        trace ^= world.trace();
    }
    Ok(json!({
        "histories_without_a_fault": options.runs,
        "arrivals": arrivals,
        "trace": format!("{trace:016x}"),
    }))
}

/// The value below which a share of `values` lies (nearest rank); `None` without values.
#[must_use]
pub fn quantile(values: &mut [f64], share: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values.get(rank.clamp(1, values.len().max(1)) - 1).copied()
}

pub(crate) fn at_second(seconds: u64) -> Time {
    Time::ZERO.after_millis(seconds * 1_000)
}

pub(crate) fn seconds_between(from: Time, to: Time) -> f64 {
    to.saturating_since(from) as f64 / 1e9
}

/// The usual five numbers of a sample.
pub(crate) fn summary(mut values: Vec<f64>) -> Value {
    let values = values.as_mut_slice();
    json!({
        "count": values.len(),
        "min": quantile(values, 0.0),
        "p50": quantile(values, 0.5),
        "p90": quantile(values, 0.9),
        "p99": quantile(values, 0.99),
        "max": quantile(values, 1.0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let found = [0.0, 0.5, 0.99, 1.0].map(|share| quantile(&mut values, share));
        assert_eq!(found, [Some(1.0), Some(50.0), Some(99.0), Some(100.0)]);
        assert_eq!(quantile(&mut [], 0.5), None);
    }

    #[test]
    fn an_unknown_experiment_is_named() {
        let error = run("nothing", &Options::default()).unwrap_err();
        assert!(error.contains("dissemination"), "{error}");
    }
}
