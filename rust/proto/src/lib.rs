//! The ZT/1 message protocol, and Zeebe's beside it, as pure state machines.
//!
//! A [`Connection`] or a [`zeebe::Connection`], and a [`Dialect`] of either, turns bytes, commands and a [`Time`] into bytes, [`Event`]s and a next
//! deadline. It has no clock, no socket and no thread: a driver owns those. The rules it keeps
//! are the numbered clauses of docs/WIRE.md.
#![forbid(unsafe_code)]

// The order of imports, total: a module may name only modules before its own.
//
//   time, limits, fault, error, metadata, event, codec, frame, table, credit, overhead, deadlines,
//   hello, request, subjects, stream, assembly, lanes, output, liveness, room, statistics,
//   connection (its parts are one room: each adds methods to one type), zeebe (another), dialect
//
// `event` knows nothing of ZT/1, so that another codec can give the same events.
mod assembly;
pub mod codec;
pub mod connection;
mod credit;
mod deadlines;
pub mod dialect;
pub mod error;
pub mod event;
pub mod fault;
pub mod frame;
pub mod hello;
mod lanes;
pub mod limits;
mod liveness;
pub mod metadata;
mod output;
mod overhead;
mod request;
mod room;
pub mod statistics;
mod stream;
mod subjects;
pub mod table;
pub mod time;
pub mod zeebe;

pub use connection::Connection;
pub use dialect::{Dialect, Door};
pub use error::{Blame, Error, Reason};
pub use event::{Body, Event, Metadata, Payload, SendError};
pub use fault::{FaultCode, Retry};
pub use hello::{Hello, Settings};
pub use limits::Limits;
pub use statistics::Statistics;
pub use table::{Role, State};
pub use time::Time;
