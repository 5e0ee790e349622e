//! `ztransport-sim NAME`: run one experiment and print its record as JSON.
#![forbid(unsafe_code)]

use std::path::PathBuf;

use lexopt::prelude::*;
use ztransport_sim::experiments::{ALL, Options, run};

fn main() {
    if let Err(text) = execute() {
        eprintln!("ztransport-sim: {text}");
        std::process::exit(2);
    }
}

fn execute() -> Result<(), String> {
    let (name, options, record) = parse().map_err(|error| error.to_string())?;
    let Some(name) = name else {
        println!("experiments:");
        ALL.iter()
            .for_each(|(name, _, what)| println!("  {name:14} {what}"));
        return Ok(());
    };
    let result = run(&name, &options)?;
    match record {
        Some(path) => std::fs::write(&path, format!("{result}\n"))
            .map_err(|error| format!("{}: {error}", path.display())),
        None => {
            println!("{result}");
            Ok(())
        }
    }
}

fn parse() -> Result<(Option<String>, Options, Option<PathBuf>), lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let (mut name, mut options, mut record) = (None, Options::default(), None);
    while let Some(argument) = parser.next()? {
        match argument {
            Value(word) if name.is_none() => name = Some(word.string()?),
            Long("nodes") => options.nodes = parser.value()?.parse()?,
            Long("loss") => options.loss = parser.value()?.parse()?,
            Long("runs") => options.runs = parser.value()?.parse()?,
            Long("seed") => options.seed = parser.value()?.parse()?,
            Long("seconds") => options.seconds = parser.value()?.parse()?,
            Long("starved") => options.starved = parser.value()?.parse()?,
            Long("arm") => options.arm = parser.value()?.string()?,
            Long("record") => record = Some(parser.value()?.into()),
            other => return Err(other.unexpected()),
        }
    }
    Ok((name, options, record))
}
