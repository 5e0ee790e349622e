//! The clock of the generator: one for a whole kernel, so that two processes can compare times.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of the monotonic clock.
pub(crate) fn now_nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// CPU time of this process so far, in microseconds.
pub(crate) fn cpu_micros() -> i64 {
    let spent = clock_gettime(ClockId::ProcessCPUTime);
    spent.tv_sec * 1_000_000 + spent.tv_nsec / 1_000
}

/// Nanoseconds of a time in seconds that was checked to be sane.
pub(crate) fn nanos(seconds: f64) -> u64 {
    Duration::from_secs_f64(seconds).as_nanos() as u64
}
