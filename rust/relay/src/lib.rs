//! A minimal TCP relay: what a hop costs at the least.
//!
//! One thread, one epoll descriptor, bytes passed on as they come. A leg may end TLS, and the whole
//! relay may hold what goes upstream back for a known time, which makes it a server slowed by
//! exactly that much.

#![forbid(unsafe_code)]

mod side;

mod pair;

mod delay;

mod serve;

pub use pair::HELD_BYTES_MAX;
pub use serve::{Leg, Relay};
