//! What a quiet cluster costs, and what the simulator does.

use serde_json::{Value, json};
use ztransport_gossip::Settings;

use super::{Options, at_second, summary};
use crate::world::{Protection, World};

/// UDP payload bytes each member sends in a second.
pub(super) fn idle(options: &Options) -> Result<Value, String> {
    let settings = Settings::default();
    let mut world = World::formed(options.nodes, options.seed, &settings, Protection::Modelled);
    world.network.loss = options.loss / 100.0;
    world.run(at_second(options.seconds), |_, _| {});
    let per_second = |count: u64| count as f64 / options.seconds as f64;
    let sent = |host: &crate::world::Host| host.node.statistics().clone();
    let bytes = world
        .hosts
        .iter()
        .map(|host| per_second(sent(host).bytes_sent))
        .collect();
    let datagrams = world
        .hosts
        .iter()
        .map(|host| per_second(sent(host).datagrams_sent))
        .collect();
    Ok(json!({
        "bytes_per_member_second": summary(bytes),
        "datagrams_per_member_second": summary(datagrams),
    }))
}

/// Virtual seconds of members per second of one processor, and the trace of the same world.
pub(super) fn speed(options: &Options) -> Result<Value, String> {
    let settings = Settings::default();
    let mut world = World::formed(options.nodes, options.seed, &settings, Protection::Modelled);
    world.network.loss = options.loss / 100.0;
    let begun = processor_seconds()?;
    world.run(at_second(options.seconds), |_, _| {});
    let elapsed = processor_seconds()? - begun;
    let node_seconds = f64::from(options.nodes) * options.seconds as f64;
    Ok(json!({
        "node_seconds_per_processor_second": node_seconds / elapsed,
        "arrivals": world.arrivals(),
        "trace": format!("{:016x}", world.trace()),
        "memory_peak_bytes": memory_peak_bytes()?,
    }))
}

/// The trace of a world in which a member dies at once: the same in every build.
pub(super) fn trace(options: &Options) -> Result<Value, String> {
    let settings = Settings::default();
    let mut world = World::formed(options.nodes, options.seed, &settings, Protection::Modelled);
    world.network.loss = options.loss / 100.0;
    world.crash(options.nodes.min(4) - 1);
    world.run(at_second(options.seconds), |_, _| {});
    Ok(json!({
        "arrivals": world.arrivals(),
        "trace": format!("{:016x}", world.trace()),
    }))
}

/// The most memory this process ever had.
pub(super) fn memory_peak_bytes() -> Result<u64, String> {
    let text = std::fs::read_to_string("/proc/self/status")
        .map_err(|error| format!("the process's status cannot be read: {error}"))?;
    let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = peak.and_then(|peak| peak.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes
        .map(|kibibytes| kibibytes * 1_024)
        .ok_or_else(|| "the process's status has no VmHWM".to_owned())
}

/// Seconds this thread has run, by the scheduler's count, so that others on the machine do not
/// matter.
pub(super) fn processor_seconds() -> Result<f64, String> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")
        .map_err(|error| format!("the scheduler's statistics cannot be read: {error}"))?;
    let nanos = text
        .split_whitespace()
        .next()
        .and_then(|word| word.parse::<f64>().ok());
    nanos
        .map(|nanos| nanos / 1e9)
        .ok_or_else(|| format!("unknown statistics: {text}"))
}
