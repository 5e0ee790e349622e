//! Who is known, and which of two tellings about a member counts.

mod index;
mod order;
mod pages;
mod profile;
mod retired;
mod table;

pub use order::Standing;
pub use profile::{Profile, REACH_DATAGRAM, REACH_STREAM};
pub use retired::{Ended, Retired};
pub use table::{Record, Table};
