//! The types on the wire. 32 to 47 are kept for signed rumours.

pub(super) const PING: u8 = 1;
pub(super) const ACK: u8 = 2;
pub(super) const PING_REQ: u8 = 3;
pub(super) const NACK: u8 = 4;
pub(super) const ALIVE: u8 = 5;
pub(super) const SUSPECT: u8 = 6;
pub(super) const DEAD: u8 = 7;
pub(super) const LEFT: u8 = 8;
pub(super) const REFUTE: u8 = 9;
pub(super) const DIGEST: u8 = 10;
pub(super) const PART: u8 = 11;
pub(super) const SUMMARIES: u8 = 12;
pub(super) const WANT: u8 = 13;
pub(super) const HELLO: u8 = 14;
pub(super) const HELLO_REPLY: u8 = 15;
pub(super) const PART_LAST: u8 = 1;
pub(super) const PART_MORE: u8 = 2;
