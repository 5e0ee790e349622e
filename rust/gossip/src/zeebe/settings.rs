//! What a member tolerates and how long it waits: Zeebe's parameters with Zeebe's defaults, and
//! bounds that Zeebe does not have.

use crate::error::Misuse;
use crate::kryo::limits::RECORDS_MAX;

/// Contact points of one member at most.
pub const SEEDS_MAX: usize = 64;
/// Probes made for others at once at most; further ones are answered with "no".
pub const RELAYS_MAX: usize = 64;
/// Rumours that contradict what is known and are checked at once, at most.
pub const CHECKS_MAX: usize = 16;
/// Members told of a leave over a connection at most; all are told by datagram.
pub const FAREWELLS_MAX: usize = 64;
/// Rounds of gossip in which a change is told. Zeebe has one, and loses a fifth of its rumours.
pub const RUMOUR_ROUNDS: u32 = 3;
/// Bytes of records in one datagram at most, as long as there are several.
pub const GOSSIP_BYTES_MAX: usize = 1_300;
/// Datagrams that wait to be sent at most; further ones are dropped, as a network may.
pub const DATAGRAMS_MAX: usize = 8_192;
/// How far an incarnation may lie ahead of the wall clock, in milliseconds.
pub const AHEAD_MS_MAX: i64 = 24 * 60 * 60 * 1_000;
/// The first wait between two syncs while views differ; it doubles up to the sync interval.
pub const UNSETTLED_SYNC_MS: u32 = 250;
/// The shortest time that a sync is given for its list.
pub const SYNC_TIMEOUT_MS_MIN: u32 = 1_000;
/// The longest of all configured times.
pub const TIME_MS_CEILING: u32 = 24 * 60 * 60 * 1_000;

/// The section `cluster.membership` of a Zeebe broker or gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether a suspicion of our own is told to all at once.
    pub broadcast_updates: bool,
    /// Whether a refutation is told to all at once.
    pub broadcast_disputes: bool,
    /// Whether a suspected member is told so.
    pub notify_suspect: bool,
    /// Time between two rounds of gossip: 10 to 60,000.
    pub gossip_interval_ms: u32,
    /// Members told in one round: 1 to 16.
    pub gossip_fanout: u32,
    /// Time from the end of a probe to the next: 10 to 60,000.
    pub probe_interval_ms: u32,
    /// How long a probe waits for its answer: 1 to 60,000.
    pub probe_timeout_ms: u32,
    /// Probes that fail before a member is suspected, the own one among them: 0 to 16.
    pub suspect_probes: u32,
    /// How long a member is suspected before it is removed: 0 to 24 h.
    pub failure_timeout_ms: u32,
    /// Time between two syncs: 10 to 24 h.
    pub sync_interval_ms: u32,
    /// Members of the view at most: 2 to 4,096.
    pub members_max: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            broadcast_updates: false,
            broadcast_disputes: true,
            notify_suspect: false,
            gossip_interval_ms: 250,
            gossip_fanout: 2,
            probe_interval_ms: 1_000,
            probe_timeout_ms: 100,
            suspect_probes: 3,
            failure_timeout_ms: 10_000,
            sync_interval_ms: 10_000,
            members_max: 1_024,
        }
    }
}

impl Settings {
    /// Checks every setting; the first that is out of range is told.
    ///
    /// # Errors
    /// [`Misuse::OutOfRange`] with Zeebe's name of the setting.
    pub fn validate(&self) -> Result<(), Misuse> {
        let day = TIME_MS_CEILING;
        for (name, value, min, max) in [
            ("gossipInterval", self.gossip_interval_ms, 10, 60_000),
            ("gossipFanout", self.gossip_fanout, 1, 16),
            ("probeInterval", self.probe_interval_ms, 10, 60_000),
            ("probeTimeout", self.probe_timeout_ms, 1, 60_000),
            ("suspectProbes", self.suspect_probes, 0, 16),
            ("failureTimeout", self.failure_timeout_ms, 0, day),
            ("syncInterval", self.sync_interval_ms, 10, day),
            ("members_max", self.members_max, 2, RECORDS_MAX as u32),
        ] {
            if value < min || value > max {
                let [value, min, max] = [value, min, max].map(u64::from);
                return Err(Misuse::OutOfRange(name, value, min, max));
            }
        }
        Ok(())
    }

    /// How long a sync waits for its answer.
    pub(super) fn sync_timeout_ms(&self) -> u32 {
        self.probe_timeout_ms.max(SYNC_TIMEOUT_MS_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_at_their_limits() {
        assert_eq!(Settings::default().validate(), Ok(()));
        type Set = fn(&mut Settings, u32);
        let cases: [(Set, u32, u32); 4] = [
            (|s, v| s.gossip_interval_ms = v, 10, 60_000),
            (|s, v| s.gossip_fanout = v, 1, 16),
            (|s, v| s.probe_timeout_ms = v, 1, 60_000),
            (|s, v| s.members_max = v, 2, 4_096),
        ];
        for (set, min, max) in cases {
            let check = |value| {
                let mut settings = Settings::default();
                set(&mut settings, value);
                settings.validate().is_ok()
            };
            assert!(check(min) && check(max) && !check(min - 1) && !check(max + 1));
        }
    }
}
