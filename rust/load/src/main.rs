//! Rust-to-Rust load over the engine: what the Python faces are measured against.
//!
//! `ztransport-load serve` answers; `ztransport-load drive` asks, and prints one JSON line;
//! `ztransport-load null` answers by turning frames round, and is no node.
#![forbid(unsafe_code)]

fn main() {
    if let Err(text) = ztransport_load::command() {
        eprintln!("ztransport-load: {text}");
        std::process::exit(2);
    }
}
