//! The generator's own protocol: one window a line in, its events and result out, until the input
//! ends.
//!
//! A window is `{"event": "begin"}` when it opens, `{"event": "end"}` when everything sent in it
//! has ended, and then its result; or one `{"event": "refused", "error": …}`, after which the next
//! window may be asked for.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use ztransport_engine::EngineSettings;

use crate::clock::{nanos, now_nanos};
use crate::connect::Connects;
use crate::histogram::{self, Histogram};
use crate::host::Host;
use crate::measure;
use crate::pattern::{Negotiated, Pattern};
use crate::publish::Messages;
use crate::request::Requests;
use crate::schedule;
use crate::spec::{Kind, Load, Spec};
use crate::window::{Plan, Window};

/// Bytes of one line that asks for a window.
pub const LINE_BYTES_MAX: u64 = 64 * 1024;

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Said<'a> {
    Begin,
    End,
    Result(Outcome<'a>),
    Refused { error: String },
}

/// The result of a window; histograms are base64 of what [`histogram::encode`] gives.
#[derive(Serialize)]
struct Outcome<'a> {
    sent: u64,
    completed: u64,
    errors: &'a BTreeMap<&'static str, u64>,
    seconds: f64,
    in_flight_capped: u64,
    in_flight_mean: f64,
    negotiated: Option<Negotiated>,
    histograms: Histograms,
}

#[derive(Serialize)]
struct Histograms {
    response: String,
    service: String,
    send_delay: String,
}

/// Measures windows until the input ends.
///
/// # Errors
/// Those of the input and the output; a line of more than [`LINE_BYTES_MAX`] is one.
pub fn run(input: impl BufRead, mut output: impl Write) -> io::Result<()> {
    let mut lines = input;
    let mut line = String::new();
    loop {
        line.clear();
        let read = (&mut lines).take(LINE_BYTES_MAX).read_line(&mut line)?;
        if read == 0 {
            return Ok(());
        }
        if read as u64 == LINE_BYTES_MAX {
            return Err(io::Error::other("a line is longer than 64 KiB"));
        }
        if let Err(text) = measured(&line, &mut output)? {
            let error = text.replace('\n', " ");
            say(&mut output, &Said::Refused { error })?;
        }
    }
}

/// One window; the inner error is told, the outer one ends the process.
fn measured(line: &str, output: &mut impl Write) -> io::Result<Result<(), String>> {
    let mut ready = match Ready::new(line) {
        Ok(ready) => ready,
        Err(text) => return Ok(Err(text)),
    };
    let plan = match plan(&ready.spec, ready.spec.seconds) {
        Ok(plan) => plan,
        Err(text) => return Ok(Err(text)),
    };
    if let Err(text) = ready.warm_up() {
        return Ok(Err(text));
    }
    say(output, &Said::Begin)?;
    let (window, ended) = match ready.run(plan, ready.spec.seconds) {
        Ok(done) => done,
        Err(text) => return Ok(Err(text)),
    };
    say(output, &Said::End)?;
    match outcome(&window, ended, ready.pattern.negotiated()) {
        Ok(outcome) => say(output, &Said::Result(outcome)).map(Ok),
        Err(text) => Ok(Err(text)),
    }
}

/// The engine of every window, which a record tells.
#[must_use]
pub fn engine_settings() -> EngineSettings {
    EngineSettings::default()
}

/// A window's connections.
struct Ready {
    spec: Spec,
    host: Host,
    pattern: Box<dyn Pattern>,
}

impl Ready {
    fn new(line: &str) -> Result<Ready, String> {
        let spec = Spec::parse(line)?;
        let mut host = Host::new(engine_settings(), &spec.cluster, spec.tls()?)?;
        let target = spec.target()?;
        let pattern: Box<dyn Pattern> = match spec.pattern {
            Kind::Request => Box::new(Requests::new(&mut host, &spec, &target)?),
            Kind::Connect => Box::new(Connects::new(host.node, &spec, &target)),
            Kind::Publish => Box::new(Messages::new(&mut host, &spec, &target)?),
        };
        Ok(Ready {
            spec,
            host,
            pattern,
        })
    }

    /// Runs the same load for a while without counting it; nothing of it is left in flight.
    fn warm_up(&mut self) -> Result<(), String> {
        let seconds = self.spec.warm_up_s;
        let sends = match self.spec.load {
            Load::Closed {} => 1.0,
            Load::Open { rate, .. } => rate * seconds,
        };
        if seconds == 0.0 || sends < 1.0 {
            return Ok(());
        }
        let (window, _) = self.run(plan(&self.spec, seconds)?, seconds)?;
        if window.tally.completed > 0 {
            return Ok(());
        }
        let errors = serde_json::to_string(window.tally.errors());
        let errors = errors.map_err(|error| error.to_string())?;
        Err(format!("nothing was completed in the warm-up: {errors}"))
    }

    fn run(&mut self, plan: Plan, seconds: f64) -> Result<(Window, u64), String> {
        let mut window = Window::new(plan, now_nanos(), nanos(seconds), self.spec.in_flight_max);
        let ended = measure::run(&mut self.host, self.pattern.as_mut(), &mut window)?;
        Ok((window, ended))
    }
}

fn plan(spec: &Spec, seconds: f64) -> Result<Plan, String> {
    match spec.load {
        Load::Closed {} => Ok(Plan::Closed),
        Load::Open {
            rate,
            arrivals,
            seed,
        } => {
            let times = schedule::intended(arrivals, rate, seed, seconds)?;
            Ok(Plan::Open { times })
        }
    }
}

fn outcome(
    window: &Window,
    ended: u64,
    negotiated: Option<Negotiated>,
) -> Result<Outcome<'_>, String> {
    let tally = &window.tally;
    let seconds = (ended - window.begin()) as f64 / 1e9;
    Ok(Outcome {
        sent: tally.sent,
        completed: tally.completed,
        errors: tally.errors(),
        seconds,
        in_flight_capped: tally.capped,
        in_flight_mean: tally.in_flight_mean(seconds),
        negotiated,
        histograms: Histograms {
            response: text(tally.response())?,
            service: text(tally.service())?,
            send_delay: text(tally.send_delay())?,
        },
    })
}

fn text(histogram: &Histogram) -> Result<String, String> {
    histogram::encode(histogram).map(|bytes| STANDARD.encode(bytes))
}

fn say(output: &mut impl Write, said: &Said<'_>) -> io::Result<()> {
    let mut line = serde_json::to_vec(said)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()
}
