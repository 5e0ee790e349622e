//! The asking side: a closed loop with a window of calls, or one-way messages as fast as credit
//! allows.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use ztransport_engine::{Batch, Engine, Notice, PeerKey};
use ztransport_proto::event::{Body, Event};
use ztransport_proto::limits::FRAGMENT_BYTES_MAX;

use crate::clock::cpu_micros;
use crate::host::Host;
use crate::options::{CLUSTER, Options};

const CALL_TIMEOUT: Duration = Duration::from_secs(5);
const LATENCY_NANOS_MAX: u64 = 60_000_000_000;

/// One kind of load.
struct Work {
    bytes: usize,
    /// Calls in flight; 0 means one-way messages.
    window: usize,
}

struct Driver {
    work: Work,
    payload: Bytes,
    sent_at: Vec<Instant>,
    latency: Histogram<u64>,
    count: u64,
    failure: Option<String>,
    peer: Option<PeerKey>,
}

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let work = work(&options.work)?;
    let mut host = Host::new(options.engine(), CLUSTER, options.tls()?)?;
    let connected = host.engine.connect(host.node, &options.address, true);
    connected.map_err(|error| error.to_string())?;
    let mut driver = Driver::new(work)?;
    while driver.peer.is_none() {
        step(&mut host, &mut driver)?;
    }
    let started = Instant::now();
    let cpu_started = cpu_micros();
    while started.elapsed().as_secs_f64() < options.seconds {
        step(&mut host, &mut driver)?;
    }
    print(
        &driver,
        started.elapsed().as_secs_f64(),
        cpu_micros() - cpu_started,
    );
    Ok(())
}

fn step(host: &mut Host, driver: &mut Driver) -> Result<(), String> {
    host.step(&mut |engine, batch| driver.take(engine, batch))?;
    driver.failure.take().map_or(Ok(()), Err)
}

fn work(name: &str) -> Result<Work, String> {
    let (bytes, window) = match name {
        "ping" => (128, 1),
        "calls64" => (128, 64),
        "oneway128" => (128, 0),
        "bulk64k" => (64 * 1024, 0),
        "bulk1m" => (1024 * 1024, 0),
        _ => {
            return Err(format!(
                "there is no work {name}: ping, calls64, oneway128, bulk64k, bulk1m"
            ));
        }
    };
    Ok(Work { bytes, window })
}

impl Driver {
    fn new(work: Work) -> Result<Driver, String> {
        let latency = Histogram::new_with_bounds(1, LATENCY_NANOS_MAX, 3);
        Ok(Driver {
            payload: vec![b'x'; work.bytes].into(),
            sent_at: vec![Instant::now(); work.window],
            latency: latency.map_err(|error| error.to_string())?,
            count: 0,
            failure: None,
            peer: None,
            work,
        })
    }

    fn take(&mut self, engine: &mut Engine, batch: &Batch) {
        for notice in &batch.notices {
            match notice {
                Notice::Up => self.begin(engine, batch.peer),
                Notice::ConnectFailed { error } | Notice::Failed { error, .. } => {
                    self.failure = Some(error.to_string());
                }
                Notice::Down { .. } => self.failure = Some("the server went away".to_owned()),
                _ => {}
            }
        }
        for event in &batch.events {
            match event {
                Event::Reply { token, .. } => self.replied(engine, *token),
                Event::Room { .. } => self.send_all(engine),
                Event::Fault { code, .. } => self.failure = Some(code.to_string()),
                Event::Expired { .. } => self.failure = Some("a call expired".to_owned()),
                _ => {}
            }
        }
    }

    fn begin(&mut self, engine: &mut Engine, peer: PeerKey) {
        self.peer = Some(peer);
        for token in 0..self.work.window {
            self.call(engine, token as u64);
        }
        if self.work.window == 0 {
            self.send_all(engine);
        }
    }

    fn call(&mut self, engine: &mut Engine, token: u64) {
        let Some(peer) = self.peer else { return };
        self.sent_at[token as usize] = Instant::now();
        let body = body(&self.payload);
        if let Err(refusal) = engine.request(peer, "echo", body, Some(CALL_TIMEOUT), &[], token) {
            self.failure = Some(format!("{refusal:?}"));
        }
    }

    fn replied(&mut self, engine: &mut Engine, token: u64) {
        let nanos = self.sent_at[token as usize].elapsed().as_nanos() as u64;
        self.latency.saturating_record(nanos);
        self.count += 1;
        self.call(engine, token);
    }

    fn send_all(&mut self, engine: &mut Engine) {
        let Some(peer) = self.peer else { return };
        while engine.send(peer, "log", body(&self.payload), &[]).is_ok() {
            self.count += 1;
        }
    }
}

/// Small messages are copied at once; large ones are kept and cut into fragments.
fn body(payload: &Bytes) -> Body<'_> {
    if payload.len() <= FRAGMENT_BYTES_MAX {
        Body::Borrowed(payload)
    } else {
        Body::Owned(payload.clone())
    }
}

fn print(driver: &Driver, seconds: f64, cpu_us: i64) {
    let bytes = driver.count * driver.work.bytes as u64;
    let micros = |quantile| driver.latency.value_at_quantile(quantile) as f64 / 1e3;
    println!(
        "{{\"count\": {}, \"bytes\": {bytes}, \"seconds\": {seconds:.6}, \"cpu_us\": {cpu_us}, \
         \"p50_us\": {:.1}, \"p99_us\": {:.1}}}",
        driver.count,
        micros(0.5),
        micros(0.99),
    );
}
