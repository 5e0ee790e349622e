//! Datagrams as bytes: a clear header, and a body of messages with type and length.
//!
//! The body is checked whole, in one pass without allocation, before any of it has an effect.

mod address;
mod code;
mod cursor;
mod decode;
mod header;
mod message;
mod properties;
mod summary;

pub use address::Address;
pub use decode::{Claim, Messages, validate};
pub use header::{Header, Kind};
pub use message::{Description, Message, State};
pub use properties::{Pairs, Properties};
pub use summary::{Summaries, Summary};

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "malformed datagram: {}", self.0)
    }
}

impl std::error::Error for Malformed {}
