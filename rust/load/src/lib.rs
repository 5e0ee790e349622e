//! The load generator over the engine, and the echo server it can be measured against.
//!
//! [`generator::run`] measures the windows it is told, JSON lines in and out, and is what
//! `ztransport.bench.generator` runs. [`command()`] is the program `ztransport-load`: one fixed load
//! from Rust to Rust. [`Histogram`] is how latencies are kept and stored.
#![forbid(unsafe_code)]

// The order of imports stands in docs/ARCHITECTURE.md.
mod alarm;
mod clock;
pub mod histogram;
mod names;
mod schedule;
mod spec;
mod tally;
mod window;

mod host;
mod options;

mod connect;
mod dialled;
mod pattern;
mod publish;
mod request;
mod subscribe;

pub mod generator;
mod measure;

mod command;
mod drive;
mod null;
mod serve;

pub use command::command;
pub use histogram::Histogram;
