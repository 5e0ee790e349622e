//! Membership on a thread of its own: a UDP socket and a clock around the pure gossip node.
//!
//! The thread goes on while the host loop stands still, so that a stalled program is told as poor
//! health and not as death. The two sides share bounded queues and two descriptors: one that wakes
//! the thread, and one in the engine's poller that wakes the host loop.

mod address;
mod datagrams;
mod driver;
mod host;
mod pulse;
mod queues;
mod status;
mod thread;
mod wake;

pub(crate) use address::to_wire;
pub(crate) use datagrams::Datagrams;
pub(crate) use driver::Driver;
pub use host::MembershipSettings;
pub(crate) use host::{Dialled, LINK_WAITING_MAX, LINKS_MAX, Membership, Seed, Streams, misuse};
pub(crate) use queues::{Command, Shared, StreamDatagram, StreamInput};
pub use queues::{End, Seen};
pub use status::MemberStatus;
pub(crate) use thread::Runner;

/// The subject of sealed datagrams that travel over connections.
pub const GOSSIP_SUBJECT: &str = "zt/gossip";
/// Commands that wait for the thread at most.
pub(crate) const COMMANDS_MAX: usize = 256;
/// Sealed datagrams from connections that wait for the thread at most; further ones are dropped.
pub(crate) const STREAM_INPUT_MAX: usize = 1_024;
/// Sealed datagrams that wait for the host loop to send them at most; further ones are dropped.
pub(crate) const STREAM_OUTPUT_MAX: usize = 1_024;
/// Changed members that wait for the host loop at most; later changes wait in the node, one for
/// each member.
pub(crate) const CHANGES_MAX: usize = 1_024;
/// Datagrams read from the socket before timers get their turn.
pub(crate) const RECEIVE_MAX: usize = 512;
/// Bytes the kernel is asked to keep for the socket; it may keep fewer.
pub(crate) const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
/// Senders whose connection is remembered for what is sent to them.
pub(crate) const BACKS_MAX: usize = 4_096;
/// Time between two attempts to look up seeds while nobody was met.
pub(crate) const RESOLVE_INTERVAL_MS: u64 = 5_000;
/// Time between two look-ups of seeds once others were met: names move with what they stand for.
pub(crate) const RESOLVE_AGAIN_MS: u64 = 60_000;
/// Bytes of the thread's stack.
pub(crate) const STACK_BYTES: usize = 512 << 10;
