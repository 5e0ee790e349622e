//! A second driver of the membership protocol: virtual time and a virtual network, one thread, and
//! everything that happens decided by one seed.
//!
//! A [`World`] runs the very code of `ztransport-gossip`. What it checks lies in [`checks`], outside
//! of that code; what is published comes from [`experiments`].
#![forbid(unsafe_code)]

// The order of imports, total: network, host, world, checks, storm, experiments.
pub mod checks;
pub mod experiments;
pub mod host;
pub mod network;
pub mod storm;
pub mod world;

pub use network::Network;
pub use world::World;
