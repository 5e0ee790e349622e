//! Sealed SWIM membership as a pure state machine.
//!
//! A [`Node`] turns datagrams, commands and a [`Time`] into datagrams, [`Event`]s and a next
//! deadline. It has no clock, no socket and no thread: a driver owns those. The rules it keeps are
//! the numbered clauses of docs/GOSSIP.md.
#![forbid(unsafe_code)]

// The order of imports, total: a module may name only modules before its own.
//
//   time, random, error, limits, wire, broker_info, kryo, seal, member, swim, zeebe
pub mod broker_info;
pub mod error;
pub mod kryo;
pub mod limits;
pub mod member;
pub mod random;
pub mod seal;
pub mod swim;
pub mod time;
pub mod wire;
pub mod zeebe;

pub use error::{Drop, Misuse};
pub use limits::Settings;
pub use swim::{Event, Happened, Identity, Node, Rotation, Statistics, Transmit, Via};
pub use time::Time;
