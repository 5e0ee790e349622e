//! The filter in memory: two of them, or one and a bare rustls connection, joined by byte vectors.

// Everything here is a test, its scaffolding included.
#![allow(clippy::unwrap_used)]

mod authority;
mod craft;
mod pair;
mod peer;

mod alpn;
mod chains;
mod closing;
mod flood;
mod handshake;
mod material;
mod misbehaviour;
mod names;
mod profiles;
mod proofs;
mod rekey;
mod resumption;
mod revocation;
mod splits;
mod strangers;
mod trust;
mod weak;
