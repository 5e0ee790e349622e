//! Rust-to-Rust load over the engine: what the Python faces are measured against.
//!
//! `ztransport-load serve` answers; `ztransport-load drive` asks, and prints one JSON line.
#![forbid(unsafe_code)]

mod drive;
mod host;
mod options;
mod serve;

use options::Command;

fn main() {
    let result = options::parse().and_then(|command| match command {
        Command::Serve(options) => serve::run(&options),
        Command::Drive(options) => drive::run(&options),
    });
    if let Err(text) = result {
        eprintln!("ztransport-load: {text}");
        std::process::exit(2);
    }
}
