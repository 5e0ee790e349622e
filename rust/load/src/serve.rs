//! The answering side: echoes requests, takes one-way messages.

use ztransport_engine::{Batch, Engine};
use ztransport_proto::event::{Body, Event};

use crate::host::Host;
use crate::options::{CLUSTER, Options};

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let mut host = Host::new(options.engine(), CLUSTER, options.tls()?)?;
    let address = host
        .engine
        .listen(host.node, &options.address)
        .map_err(|error| error.to_string())?;
    println!("{{\"address\": \"{address}\"}}");
    loop {
        host.step(&mut answer)?;
    }
}

fn answer(engine: &mut Engine, batch: &Batch) {
    for event in &batch.events {
        match event {
            Event::Request { id, payload, .. } => {
                // A caller that is gone waits for nothing.
                let _ = engine.reply(batch.peer, *id, Body::Borrowed(batch.bytes(payload)));
            }
            Event::Send {
                subject, payload, ..
            } => {
                engine.release(batch.peer, *subject, 1, payload.len() as u64);
            }
            _ => {}
        }
    }
}
