//! When an open loop intends to send: computed before the window, so that nothing in it can pace it.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use serde::Deserialize;

/// Intended sends of one window; 8 bytes each.
pub(crate) const SENDS_MAX: usize = 1 << 24;

const NANOS_PER_SECOND: f64 = 1e9;

/// How the gaps between intended sends are drawn.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Arrivals {
    /// All alike.
    Constant,
    /// Exponential and independent: a Poisson process.
    Poisson,
}

/// The times in nanoseconds after the window's begin at which to send, in order, all below
/// `seconds`; `rate` is in sends per second. The same seed gives the same times.
///
/// # Errors
/// In words, if there would be none or more than [`SENDS_MAX`].
pub(crate) fn intended(
    arrivals: Arrivals,
    rate: f64,
    seed: u64,
    seconds: f64,
) -> Result<Vec<u64>, String> {
    // Few Poisson windows have this many more sends than is expected; those are cut off below.
    let expected = rate * seconds;
    if !(expected >= 1.0 && expected <= SENDS_MAX as f64 * 0.99) {
        let text =
            format!("{expected} sends in a window: choose rate and seconds for 1 to 16 million");
        return Err(text);
    }
    let end = seconds * NANOS_PER_SECOND;
    let mut times = Vec::with_capacity(expected as usize + expected.sqrt() as usize * 4 + 1);
    match arrivals {
        Arrivals::Constant => {
            let count = expected.ceil() as u64;
            times.extend((0..count).map(|index| (index as f64 / rate * NANOS_PER_SECOND) as u64));
        }
        Arrivals::Poisson => poisson(rate, seed, end, &mut times),
    }
    Ok(times)
}

/// Exponential gaps by inversion (Devroye 1986, section II.2).
fn poisson(rate: f64, seed: u64, end: f64, times: &mut Vec<u64>) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut at = 0.0;
    while times.len() < SENDS_MAX {
        // 53 random bits: uniform above 0 and at most 1, so the logarithm is finite.
        let uniform = ((random.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        at -= uniform.ln() / rate * NANOS_PER_SECOND;
        if at >= end {
            return;
        }
        times.push(at as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_rate_has_equal_gaps_and_ends_in_time() {
        let times = intended(Arrivals::Constant, 1_000.0, 0, 0.01).unwrap();
        assert_eq!(times.len(), 10);
        assert_eq!(&times[..3], [0, 1_000_000, 2_000_000]);
        assert!(times.iter().all(|&at| at < 10_000_000));
    }

    #[test]
    fn the_same_seed_gives_the_same_times_and_another_does_not() {
        let with = |seed| intended(Arrivals::Poisson, 10_000.0, seed, 1.0).unwrap();
        assert_eq!(with(7), with(7));
        assert_ne!(with(7), with(8));
        // Written down, so that a new version of a library cannot change a stored schedule.
        assert_eq!(&with(7)[..3], [289_389, 465_347, 498_535]);
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_spread_of_an_exponential() {
        for seed in 0..20 {
            let times = intended(Arrivals::Poisson, 100_000.0, seed, 1.0).unwrap();
            // The count of a Poisson process has the standard deviation of its root.
            let deviation = (times.len() as f64 - 100_000.0).abs() / 100_000_f64.sqrt();
            assert!(deviation < 5.0, "seed {seed}: {} sends", times.len());
            let gaps: Vec<f64> = times
                .windows(2)
                .map(|two| (two[1] - two[0]) as f64)
                .collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let square = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>();
            let spread = (square / gaps.len() as f64).sqrt() / mean;
            assert!(
                (0.95..1.05).contains(&spread),
                "seed {seed}: spread {spread}"
            );
            assert!(times.is_sorted() && times[times.len() - 1] < 1_000_000_000);
        }
    }

    #[test]
    fn a_window_without_sends_or_with_too_many_is_refused() {
        for (rate, seconds) in [
            (0.5, 1.0),
            (1e9, 1.0),
            (f64::NAN, 1.0),
            (f64::INFINITY, 1.0),
        ] {
            let refused = intended(Arrivals::Constant, rate, 0, seconds);
            assert!(refused.is_err(), "{rate}/s for {seconds} s");
        }
    }
}
