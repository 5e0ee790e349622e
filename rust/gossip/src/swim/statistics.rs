//! What a member counts.

use crate::error::Drop;

/// Counters since the start. Bytes are those of whole datagrams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Datagrams sent, over either way.
    pub datagrams_sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Datagrams that were handed in.
    pub datagrams_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Datagrams dropped, by [`Drop`].
    pub dropped: [u64; Drop::ALL.len()],
    /// Datagrams not sent because too many waited.
    pub output_dropped: u64,
    /// Rumours written into datagrams.
    pub rumours_sent: u64,
    /// Probes begun.
    pub probes: u64,
    /// Probes that nobody answered.
    pub probes_failed: u64,
    /// Accusations against ourselves that we refuted.
    pub refutations: u64,
    /// Members suspected, by us or on hearing.
    pub suspicions: u64,
    /// Members taken for dead after their time to refute.
    pub deaths: u64,
    /// Members not added because the view is full.
    pub members_refused: u64,
    /// Anti-entropy exchanges begun.
    pub syncs: u64,
}

impl Statistics {
    pub(super) fn drop(&mut self, reason: Drop) {
        self.dropped[reason as usize] += 1;
    }

    /// Datagrams dropped for one reason.
    #[must_use]
    pub const fn dropped_for(&self, reason: Drop) -> u64 {
        self.dropped[reason as usize]
    }
}
