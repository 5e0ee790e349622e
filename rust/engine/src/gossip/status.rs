//! What the host loop may look at without asking the thread.

use ztransport_gossip::{Rotation, Statistics};

/// A snapshot of a membership.
#[derive(Clone, Debug, Default)]
pub struct MemberStatus {
    /// The node's counters.
    pub statistics: Statistics,
    /// The local health score, 0 for sound.
    pub health: u32,
    /// How late the host loop was when it was last asked, in nanoseconds.
    pub lag_nanos: u64,
    /// Members present, this one among them.
    pub present: u32,
    /// Whether a seed has told its view, or there are no seeds.
    pub joined: bool,
    /// Whether all members heard from have had the same view for long enough.
    pub converged: bool,
    /// How far a key rotation is; none where nothing is sealed.
    pub rotation: Option<Rotation>,
    /// Datagrams the socket did not take.
    pub unsent: u64,
    /// Sealed datagrams for connections, dropped as too many waited.
    pub stream_output_dropped: u64,
    /// Sealed datagrams for connections that never came up.
    pub stream_unconnected: u64,
    /// Sealed datagrams from connections, dropped as too many waited.
    pub stream_input_dropped: u64,
}
