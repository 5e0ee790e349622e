//! Every bound of the engine as a named value with its unit last.

/// Bytes read from one socket in one turn: more would starve the other connections.
pub const READ_BYTES_PER_TURN: usize = 256 * 1024;
/// Bytes read over all connections in one turn.
pub const TURN_BYTES_MAX: usize = 1024 * 1024;
/// Messages handed out in one turn.
pub const TURN_MESSAGES_MAX: usize = 4_096;
/// Messages handed out in one batch.
pub const BATCH_MESSAGES_MAX: usize = 1_024;
/// Length of one turn.
pub const TURN_NANOS_MAX: u64 = 2_000_000;
/// Age at which output is written without waiting for the end of the turn: the peer works on the
/// first messages while the next are made.
pub const OUTPUT_AGE_NANOS_MAX: u64 = 80_000;
/// Output of one connection at which it is written in mid-turn.
pub const OUTPUT_BYTES_MID_TURN: usize = 128 * 1024;
/// Bytes sealed ahead of the socket: what is sealed cannot be overtaken by a control frame.
pub const SEAL_AHEAD_BYTES_MAX: usize = 128 * 1024;
/// Unsent bytes the kernel keeps before it stops calling the socket writable.
pub const NOT_SENT_LOW_WATER_BYTES: u32 = 128 * 1024;
/// Sockets reported by one wait.
pub const READY_MAX: usize = 256;
/// Connections accepted from one listener in one turn.
pub const ACCEPTS_PER_TURN: usize = 32;
/// Handshakes advanced in one turn that also served established connections.
pub const HANDSHAKES_PER_BUSY_TURN: usize = 1;
/// Handshakes advanced in a turn without other traffic.
pub const HANDSHAKES_PER_IDLE_TURN: usize = 16;
/// Pause of a listener after the system ran out of descriptors or memory.
pub const ACCEPT_PAUSE_NANOS: u64 = 100_000_000;
/// Bytes read and discarded from a refused peer so that it can still read why.
pub const LINGER_BYTES_MAX: usize = 1024 * 1024;
/// Connections waiting in the kernel's accept queue.
pub const LISTEN_BACKLOG: i32 = 1_024;
/// Idle spinning is allowed only so long after the last traffic.
pub const SPIN_TRAFFIC_NANOS_MAX: u64 = 1_000_000;
/// Longest spin that may be asked for.
pub const SPIN_MICROS_MAX: u32 = 150;
/// Longest spin in a rally, in which single messages go back and forth. It has to reach over the
/// other side's sleep, so that both sides can begin.
pub const RALLY_SPIN_NANOS_MAX: u64 = 100_000;
/// What a spin in a rally may last for long: about the processor time that falling asleep and
/// waking cost, cold caches included.
pub const RALLY_QUICK_NANOS_MAX: u64 = 40_000;
/// Longest pause between two messages of a rally whose sides sleep.
pub const RALLY_GAP_NANOS_MAX: u64 = 250_000;
/// Turns of one message each that make a rally.
pub const RALLY_TURNS_MIN: u32 = 16;
/// Turns that the first failed spin costs: the turn it failed in, and no other.
pub const RALLY_REST_TURNS_MIN: u32 = 1;
/// Turns without a spin after a failed one at most: they double with each failure.
pub const RALLY_REST_TURNS_MAX: u32 = 1_024;
/// Half of it are late finds in a row that count as a failure.
pub const RALLY_PATIENCE_MAX: u32 = 8;
/// Early finds after which the next failure counts as the first.
pub const RALLY_QUICK_TURNS: u32 = 64;
/// Entries of settled links kept in the order of arrival before they are swept out.
pub const UNPROVEN_STALE_MAX: usize = 64;
/// The last part of a connection's greatest age, in percent: it is replaced at a random moment
/// within it, so that connections that began together do not all end together.
pub const CONNECTION_AGE_SPREAD_PERCENT: u64 = 20;
/// How long one-way messages may wait, once a connection was replaced, for those that were sent on
/// the old one: by then a peer that reads has read them.
pub const ORDER_WAIT_MILLIS_MAX: u64 = 1_000;
/// Peers of one engine, dialled and accepted.
pub const PEERS_MAX: usize = 1 << 20;

/// The bounds of a node's connections that a user may set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkLimits {
    /// From the accepted or connected socket to the end of the TLS handshake. A total, not an idle time.
    pub handshake_timeout_ms: u64,
    /// From the first SYN to a connected socket, for each address tried.
    pub connect_timeout_ms: u64,
    /// How long a peer may leave written bytes unread before it is cut off.
    pub write_stall_ms: u64,
    /// How long a refused or closing peer is read so that it learns why.
    pub linger_ms: u64,
    /// Age by which a connection is replaced, without a call noticing; 0 for none. Dialled
    /// connections of pooled peers, and accepted ones whose protocol can tell the dialer.
    pub connection_age_max_ms: u64,
    /// How long what runs on a connection that is being replaced may take.
    pub retire_timeout_ms: u64,
    /// First upper bound of the random wait before a re-dial.
    pub redial_base_ms: u64,
    /// Last upper bound of that wait.
    pub redial_cap_ms: u64,
    /// Accepted connections of one node.
    pub connections_max: usize,
    /// Accepted connections of one node that have not yet proven themselves.
    pub handshakes_max: usize,
    /// The same from one source address.
    pub handshakes_per_source_max: usize,
    /// Calls that wait for a connection or for credit, for each peer.
    pub pending_calls_max: usize,
    /// Bytes of such calls, for each peer.
    pub pending_bytes_max: usize,
}

impl Default for LinkLimits {
    fn default() -> LinkLimits {
        LinkLimits {
            handshake_timeout_ms: 5_000,
            connect_timeout_ms: 5_000,
            write_stall_ms: 10_000,
            linger_ms: 1_000,
            connection_age_max_ms: 0,
            retire_timeout_ms: 60_000,
            redial_base_ms: 50,
            redial_cap_ms: 2_000,
            connections_max: 10_000,
            handshakes_max: 2_048,
            handshakes_per_source_max: 1_024,
            pending_calls_max: 65_536,
            pending_bytes_max: 64 * 1024 * 1024,
        }
    }
}

const _: () = {
    assert!(READ_BYTES_PER_TURN <= TURN_BYTES_MAX);
    assert!(BATCH_MESSAGES_MAX <= TURN_MESSAGES_MAX);
    assert!(OUTPUT_BYTES_MID_TURN <= SEAL_AHEAD_BYTES_MAX);
    assert!(HANDSHAKES_PER_BUSY_TURN <= HANDSHAKES_PER_IDLE_TURN);
    assert!(CONNECTION_AGE_SPREAD_PERCENT < 100);
    assert!(RALLY_QUICK_NANOS_MAX <= RALLY_SPIN_NANOS_MAX);
    assert!(RALLY_SPIN_NANOS_MAX <= RALLY_GAP_NANOS_MAX);
    assert!(RALLY_REST_TURNS_MIN <= RALLY_REST_TURNS_MAX);
};
