//! The rules of docs/WIRE.md, from outside: a test names the clause (`w_12`) or the abuse (`t22`)
//! it is for. All time is virtual.
#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on should stop there"
)]

mod abuse;
mod clauses;
mod credit;
mod greeting;
mod limits;
mod messages;
mod model;
mod operations;
mod requests;
mod split;
mod streams;
mod support;
mod table;
mod timing;
mod transcript;
mod vectors;
mod world;
mod zeebe;
