//! Sockets, a clock and TLS around the pure protocol: a single-threaded, readiness-driven engine.
//!
//! [`Engine`] owns one epoll descriptor with all its sockets. Whoever drives it waits until that
//! descriptor is readable, calls [`Engine::poll`] until nothing is left, then [`Engine::flush`].
#![forbid(unsafe_code)]

// The order of imports stands in docs/ARCHITECTURE.md.
mod accept;
mod address;
pub mod batch;
mod calls;
mod claims;
mod closing;
mod cluster;
mod dial;
mod ends;
pub mod error;
mod filter;
mod forward;
mod gossip;
mod idle;
mod input;
pub mod keys;
pub mod limits;
mod link;
pub mod node;
mod nodes;
mod output;
mod poller;
mod pool;
mod reload;
mod retire;
mod sealed;
mod socket;
mod state;
mod streams;
mod succession;
mod timeouts;
mod timer;
mod turn;

pub use batch::{Batch, Notice, Poll};
pub use cluster::MemberNews;
pub use error::{Failure, FailureKind, Refusal};
pub use forward::Forward;
pub use gossip::{End, GOSSIP_SUBJECT, MemberStatus, MembershipSettings, Seen};
pub use idle::{IdleStrategy, spin};
pub use keys::{CallId, NodeKey, PeerKey};
pub use limits::LinkLimits;
pub use node::{
    Accept, Dialling, NodeSettings, NodeStatistics, PeerInfo, PeerStatistics, ZeebeSettings,
};
pub use pool::Protocol;
pub use state::{Engine, EngineSettings};
