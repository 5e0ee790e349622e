//! Every bound of gossip, and the part of them that a member configures.

use crate::error::Misuse;

/// Bytes of a datagram's clear header.
pub const HEADER_BYTES: usize = 18;
/// Bytes of the tag at its end.
pub const TAG_BYTES: usize = 16;
/// Bytes of a datagram around its body.
pub const ENVELOPE_BYTES: usize = HEADER_BYTES + TAG_BYTES;
/// Bytes of a cluster key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a datagram that every member can send: IPv6's least MTU without its and UDP's header.
pub const DATAGRAM_BYTES_MIN: usize = 1_200;
/// Bytes of a datagram that is taken at most: a jumbo frame without IPv6's and UDP's header.
pub const DATAGRAM_BYTES_CEILING: usize = 8_952;
/// Bytes of a member's name at most.
pub const NAME_BYTES_MAX: usize = 255;
/// Bytes of a member's encoded properties at most.
pub const PROPERTIES_BYTES_MAX: usize = 768;
/// Members of one view at most, dead ones included.
pub const MEMBERS_CEILING: u32 = 65_536;
/// The greatest incarnation on the wire. A member that is accused at it takes a new life.
pub const INCARNATION_MAX: u32 = i32::MAX as u32;
/// Counters of one sender that a receiver remembers.
pub const WINDOW_COUNTERS: u64 = 1_024;
/// The greatest counter of a datagram: 48 bits.
pub const COUNTER_MAX: u64 = (1 << 48) - 1;
/// Keys installed at once: the one in use and the next.
pub const KEYS_MAX: usize = 2;
/// Buckets of a view's digest.
pub const BUCKETS: usize = 256;
/// Datagrams of one answer in anti-entropy at most.
pub const SYNC_DATAGRAMS_MAX: usize = 64;
/// Datagrams that wait to be sent at most; further ones are dropped, as a network may.
pub const OUTPUT_DATAGRAMS_MAX: usize = 1_024;
/// Probes relayed for others at once at most.
pub const RELAYS_MAX: usize = 256;
/// Seeds of one member at most.
pub const SEEDS_MAX: usize = 64;
/// Greetings whose answer is awaited at most.
pub const GREETINGS_MAX: usize = 64;
/// So many times as fast as others do rounds of gossip in haste follow each other.
pub const HASTE_FACTOR: u64 = 10;
/// Rumours repeated at once, above which none of them is in haste.
pub const HASTY_RUMOURS_MAX: usize = 512;
/// Ids of lives that have ended and are never taken again, at most; the oldest is forgotten.
pub const RETIRED_MAX: usize = 131_072;
/// New lives a member takes for its name at most, before it gives the name up.
pub const LIVES_MAX: u32 = 16;
/// After so long without a new life, in milliseconds, one of them comes back.
pub const LIFE_BACK_MS: u64 = 600_000;
/// Milliseconds a member that leaves waits at most for the answer to its joining.
pub const LEAVE_WAIT_MS: u64 = 2_000;
/// Datagrams of unknown senders examined per second, and at once.
pub const STRANGERS_PER_SECOND: u32 = 2_000;
/// Greetings answered per second, and at once.
pub const GREETINGS_PER_SECOND: u32 = 1_000;
/// Answers in anti-entropy begun per second, and at once.
pub const SYNCS_PER_SECOND: u32 = 500;
/// Datagrams of answers in anti-entropy per second, and at once: 2.4 MB of 1,200 bytes each.
pub const SYNC_DATAGRAMS_PER_SECOND: u32 = 2_048;
/// Times per second, and at once, that others are told whom we have forgotten as dead.
pub const OBJECTIONS_PER_SECOND: u32 = 100;
/// The longest of all configured times.
pub const TIME_MS_CEILING: u32 = 24 * 60 * 60 * 1_000;

const _: () = {
    // The longest description of a member fits the least datagram, beside a ping.
    assert!(ENVELOPE_BYTES + 14 + 48 + NAME_BYTES_MAX + PROPERTIES_BYTES_MAX <= DATAGRAM_BYTES_MIN);
    assert!(ENVELOPE_BYTES + 8 + BUCKETS * 4 <= DATAGRAM_BYTES_MIN);
    assert!(DATAGRAM_BYTES_MIN <= DATAGRAM_BYTES_CEILING);
    assert!(SYNC_DATAGRAMS_MAX * 2 <= OUTPUT_DATAGRAMS_MAX);
    assert!(SYNC_DATAGRAMS_MAX < SYNC_DATAGRAMS_PER_SECOND as usize);
    assert!(WINDOW_COUNTERS.is_power_of_two());
};

/// How often one member repeats a rumour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// A multiple of ⌈log10(N + 1)⌉ datagrams: of refutations, deaths and leaves, and of the rest.
    Logarithmic {
        /// For refutations, deaths and leaves: 1 to 64.
        urgent: u32,
        /// For everything else: 1 to 64.
        other: u32,
    },
    /// So many datagrams whatever the size of the cluster: 1 to 1,024.
    Fixed(u32),
}

/// How long a suspected member has to refute at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// Two disseminations and this allowance for a slow member, in milliseconds: 0 to 600,000.
    Additive(u32),
    /// This multiple of max(1, log10 N) probe intervals, as memberlist has it: 1 to 64.
    Multiple(u32),
}

/// What one member tolerates and how long it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of a datagram sent at most: 1,200 to 8,952.
    pub datagram_bytes_max: usize,
    /// Members of the view at most, dead ones included: 2 to 65,536.
    pub members_max: u32,
    /// Time between two probes of a healthy member: 10 to 60,000.
    pub probe_interval_ms: u32,
    /// The shortest wait for an acknowledgement before others are asked: 1 to the longest.
    pub probe_timeout_ms_min: u32,
    /// The longest such wait: at most the probe interval.
    pub probe_timeout_ms_max: u32,
    /// Members asked to probe for us: 0 to 16.
    pub helpers: u32,
    /// Whether a probe that is not answered is repeated over the connection.
    pub stream_probes: bool,
    /// Time between two rounds of gossip: 10 to 60,000.
    pub gossip_interval_ms: u32,
    /// Members told in one round: 1 to 16.
    pub gossip_fanout: u32,
    /// Whether the first rumour of a quiet member leaves at once, instead of at the next round.
    pub gossip_eager: bool,
    /// Whether probes and their answers carry rumours.
    pub piggyback: bool,
    /// How often a rumour is repeated.
    pub budget: Budget,
    /// How long a suspected member has to refute at least.
    pub suspicion_floor: Floor,
    /// The longest time to refute, as a multiple of the shortest: 1 to 64.
    pub suspicion_ceiling: u32,
    /// Independent accusations that shorten the longest time to the shortest: 0 to 4.
    pub confirmations: u32,
    /// The worst local health: 0 to 8. At 0 a member never doubts itself.
    pub health_max: u32,
    /// Time between two attempts to reach a member that is held for dead: 100 to 24 h.
    pub reconnect_interval_ms: u32,
    /// The shortest time between two anti-entropy exchanges: 100 to 24 h. It doubles up to 16
    /// times as long while the views stay different.
    pub sync_interval_ms: u32,
    /// How long members that ended are remembered: 1,000 to 24 h.
    pub remember_ms: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            datagram_bytes_max: DATAGRAM_BYTES_MIN,
            members_max: MEMBERS_CEILING,
            probe_interval_ms: 1_000,
            probe_timeout_ms_min: 50,
            probe_timeout_ms_max: 500,
            helpers: 3,
            stream_probes: true,
            gossip_interval_ms: 200,
            gossip_fanout: 3,
            gossip_eager: true,
            piggyback: true,
            budget: Budget::Logarithmic {
                urgent: 6,
                other: 4,
            },
            suspicion_floor: Floor::Additive(1_500),
            suspicion_ceiling: 6,
            confirmations: 3,
            health_max: 8,
            reconnect_interval_ms: 10_000,
            sync_interval_ms: 500,
            remember_ms: TIME_MS_CEILING,
        }
    }
}

fn in_range(
    name: &'static str,
    value: impl TryInto<u64>,
    min: u64,
    max: u64,
) -> Result<(), Misuse> {
    let value = value.try_into().unwrap_or(u64::MAX);
    if min <= value && value <= max {
        return Ok(());
    }
    Err(Misuse::OutOfRange(name, value, min, max))
}

impl Settings {
    /// Checks every setting and their relations; the first that is out of range is told.
    #[rustfmt::skip]
    pub fn validate(&self) -> Result<(), Misuse> {
        let day = u64::from(TIME_MS_CEILING);
        in_range("datagram_bytes_max", self.datagram_bytes_max, DATAGRAM_BYTES_MIN as u64, DATAGRAM_BYTES_CEILING as u64)?;
        in_range("members_max", self.members_max, 2, u64::from(MEMBERS_CEILING))?;
        in_range("probe_interval_ms", self.probe_interval_ms, 10, 60_000)?;
        in_range("probe_timeout_ms_max", self.probe_timeout_ms_max, 1, u64::from(self.probe_interval_ms))?;
        in_range("probe_timeout_ms_min", self.probe_timeout_ms_min, 1, u64::from(self.probe_timeout_ms_max))?;
        in_range("helpers", self.helpers, 0, 16)?;
        in_range("gossip_interval_ms", self.gossip_interval_ms, 10, 60_000)?;
        in_range("gossip_fanout", self.gossip_fanout, 1, 16)?;
        in_range("suspicion_ceiling", self.suspicion_ceiling, 1, 64)?;
        in_range("confirmations", self.confirmations, 0, 4)?;
        in_range("health_max", self.health_max, 0, 8)?;
        in_range("reconnect_interval_ms", self.reconnect_interval_ms, 100, day)?;
        in_range("sync_interval_ms", self.sync_interval_ms, 100, day)?;
        in_range("remember_ms", self.remember_ms, 1_000, day)?;
        self.validate_choices()
    }

    #[rustfmt::skip]
    fn validate_choices(&self) -> Result<(), Misuse> {
        match self.budget {
            Budget::Logarithmic { urgent, other } => {
                in_range("budget.urgent", urgent, 1, 64)?;
                in_range("budget.other", other, 1, 64)?;
            }
            Budget::Fixed(count) => in_range("budget", count, 1, 1_024)?,
        }
        match self.suspicion_floor {
            Floor::Additive(millis) => in_range("suspicion_floor", millis, 0, 600_000),
            Floor::Multiple(factor) => in_range("suspicion_floor", factor, 1, 64),
        }
    }

    /// Datagrams that carry a rumour of one member in a cluster of `count`.
    #[must_use]
    pub fn sends_max(&self, urgent: bool, count: u32) -> u16 {
        let sends = match self.budget {
            Budget::Fixed(sends) => sends,
            Budget::Logarithmic {
                urgent: factor,
                other,
            } => {
                let digits = count.checked_ilog10().unwrap_or(0) + 1;
                digits * if urgent { factor } else { other }
            }
        };
        // Ten digits at most, and both factors and fixed budgets are validated.
        sends as u16
    }

    /// Rounds of gossip until practically all of `count` members know a rumour: log4 N of growth
    /// at fan-out 3, ln(N) / 3 for the last ones, and 2.
    #[must_use]
    pub fn dissemination_rounds(count: u32) -> f64 {
        let logarithm = f64::from(count.max(1)).ln();
        logarithm / 4_f64.ln() + logarithm / 3.0 + 2.0
    }

    /// Nanoseconds until practically all of `count` members know a rumour.
    #[must_use]
    pub fn dissemination_nanos(&self, count: u32) -> u64 {
        let rounds = Self::dissemination_rounds(count);
        (rounds * f64::from(self.gossip_interval_ms) * 1e6) as u64
    }

    /// Nanoseconds a suspected member has to refute at least, in a cluster of `count`.
    #[must_use]
    pub fn suspicion_nanos_min(&self, count: u32) -> u64 {
        match self.suspicion_floor {
            Floor::Additive(slow) => {
                2 * self.dissemination_nanos(count) + u64::from(slow) * 1_000_000
            }
            Floor::Multiple(factor) => {
                let digits = f64::from(count.max(1)).log10().max(1.0);
                (f64::from(factor) * digits * f64::from(self.probe_interval_ms) * 1e6) as u64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_in_range() {
        assert_eq!(Settings::default().validate(), Ok(()));
    }

    #[test]
    fn settings_at_their_limits() {
        type Set = fn(&mut Settings, u64);
        let cases: [(Set, u64, u64); 5] = [
            (|s, v| s.datagram_bytes_max = v as usize, 1_200, 8_952),
            (|s, v| s.members_max = v as u32, 2, 65_536),
            (|s, v| s.helpers = v as u32, 0, 16),
            (|s, v| s.gossip_fanout = v as u32, 1, 16),
            (|s, v| s.budget = Budget::Fixed(v as u32), 1, 1_024),
        ];
        for (set, min, max) in cases {
            let check = |value| {
                let mut settings = Settings::default();
                set(&mut settings, value);
                settings.validate().is_ok()
            };
            assert!(check(min) && check(max) && !check(max + 1));
            assert!(min == 0 || !check(min - 1));
        }
    }

    #[test]
    fn g_52_budgets_and_floors_grow_with_the_logarithm() {
        let settings = Settings::default();
        let sends: Vec<u16> = [1, 9, 10, 99, 100, 10_000]
            .map(|count| settings.sends_max(false, count))
            .into();
        assert_eq!(sends, [4, 4, 8, 8, 12, 20]);
        assert_eq!(settings.sends_max(true, 10_000), 30);
        let floors = [100, 10_000].map(|count| settings.suspicion_nanos_min(count) / 100_000_000);
        assert_eq!(floors, [42, 61]);
        let memberlist = Settings {
            suspicion_floor: Floor::Multiple(4),
            ..settings
        };
        assert_eq!(memberlist.suspicion_nanos_min(10_000), 16_000_000_000);
        assert_eq!(memberlist.suspicion_nanos_min(3), 4_000_000_000);
    }
}
