//! The command line.

use std::path::PathBuf;
use std::sync::Arc;

use lexopt::prelude::*;
use ztransport_engine::{EngineSettings, IdleStrategy};
use ztransport_tls as tls;

/// The cluster of both sides.
pub(crate) const CLUSTER: &str = "bench";

/// What to do.
pub(crate) enum Command {
    Serve(Options),
    Null(Options),
    Drive(Options),
}

/// Options of all commands; a command ignores what it has no use for.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) address: String,
    pub(crate) chain: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) trust: Option<PathBuf>,
    pub(crate) work: String,
    pub(crate) seconds: f64,
    pub(crate) spin: bool,
}

pub(crate) fn parse() -> Result<Command, String> {
    let mut parser = lexopt::Parser::from_env();
    let mut command = None;
    let mut options = Options {
        address: "127.0.0.1:0".to_owned(),
        chain: None,
        key: None,
        trust: None,
        work: "calls64".to_owned(),
        seconds: 1.0,
        spin: false,
    };
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        match argument {
            Value(name) if command.is_none() => command = Some(text(name)?),
            Long(name) => {
                let name = name.to_owned();
                option(&mut parser, &name, &mut options)?;
            }
            argument => return Err(argument.unexpected().to_string()),
        }
    }
    match command.as_deref() {
        Some("serve") => Ok(Command::Serve(options)),
        Some("null") => Ok(Command::Null(options)),
        Some("drive") => Ok(Command::Drive(options)),
        _ => Err("say `serve`, `null` or `drive`".to_owned()),
    }
}

fn option(parser: &mut lexopt::Parser, name: &str, options: &mut Options) -> Result<(), String> {
    if name == "spin" {
        options.spin = true;
        return Ok(());
    }
    let value = text(parser.value().map_err(|error| error.to_string())?)?;
    match name {
        "listen" | "connect" => options.address = value,
        "cert" => options.chain = Some(value.into()),
        "key" => options.key = Some(value.into()),
        "trust" => options.trust = Some(value.into()),
        "work" => options.work = value,
        "seconds" => options.seconds = value.parse().map_err(|_| format!("{value} is no time"))?,
        _ => return Err(format!("there is no option --{name}")),
    }
    Ok(())
}

fn text(value: std::ffi::OsString) -> Result<String, String> {
    value
        .into_string()
        .map_err(|_| "an argument is not UTF-8".to_owned())
}

impl Options {
    /// The TLS material; none without any certificate.
    pub(crate) fn tls(&self) -> Result<Option<Arc<tls::Material>>, String> {
        if self.chain.is_none() && self.trust.is_none() {
            return Ok(None);
        }
        let trust = self
            .trust
            .clone()
            .map(|path| tls::TrustSource::Source(tls::Source::Path(path)));
        let options = tls::Options {
            certificate_chain: self.chain.clone().map(tls::Source::Path),
            private_key: self.key.clone().map(tls::Source::Path),
            trust: vec![trust.unwrap_or(tls::TrustSource::Chain)],
            ..tls::Options::default()
        };
        tls::Material::load(&options)
            .map(Some)
            .map_err(|error| error.to_string())
    }

    pub(crate) fn engine(&self) -> EngineSettings {
        let idle = if self.spin {
            IdleStrategy::Spin { max_us: 150 }
        } else {
            IdleStrategy::Sleep
        };
        EngineSettings { idle }
    }
}
