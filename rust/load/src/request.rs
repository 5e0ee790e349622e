//! Calls and their replies over connections that stand.

use std::collections::VecDeque;

use bytes::Bytes;
use slab::Slab;
use ztransport_engine::{Batch, Engine, Notice};
use ztransport_proto::event::Event;

use crate::dialled::Dialled;
use crate::host::Host;
use crate::names;
use crate::pattern::{CALL_TIMEOUT, Flight, Negotiated, Pattern, Sent, body, payload};
use crate::spec::{Load, Spec, Target};
use crate::window::Window;

/// Permits of an open loop over all connections; 4 bytes each.
const PERMITS_MAX: usize = 1 << 20;

pub(crate) struct Requests {
    connections: Dialled,
    /// The connection of each operation that may begin, those that waited longest first.
    permits: VecDeque<u32>,
    flights: Slab<Flight>,
    subject: String,
    payload: Bytes,
}

impl Requests {
    /// Dials, and gives each connection its permits: the window, or what the peer's credit allows.
    pub(crate) fn new(host: &mut Host, spec: &Spec, target: &Target) -> Result<Requests, String> {
        let connections = Dialled::dial(host, target, spec.connections)?;
        let credit = credit(&host.engine, &connections, spec.payload_bytes)?;
        let each = match spec.load {
            Load::Closed {} => spec.window.min(credit),
            Load::Open { .. } => credit.min(PERMITS_MAX / spec.connections),
        };
        let numbers = 0..spec.connections as u32;
        Ok(Requests {
            permits: (0..each).flat_map(|_| numbers.clone()).collect(),
            flights: Slab::with_capacity(each * spec.connections),
            connections,
            subject: spec.subject.clone(),
            payload: payload(spec.payload_bytes),
        })
    }

    /// The next permit of a connection that still takes something.
    fn permit(&mut self) -> Option<u32> {
        while let Some(number) = self.permits.pop_front() {
            if self.connections.is_open(number) {
                return Some(number);
            }
        }
        None
    }

    /// Takes an operation out of flight; its permit is free again.
    fn end(&mut self, token: u64) -> Option<Flight> {
        let flight = self.flights.try_remove(token as usize)?;
        self.permits.push_back(flight.connection);
        Some(flight)
    }

    fn replied(&mut self, token: u64, bytes: usize, window: &mut Window, now: u64) {
        let Some(flight) = self.end(token) else {
            return;
        };
        if bytes == self.payload.len() {
            window.completed(flight.intended, flight.sent, now);
        } else {
            window.failed(names::WRONG_REPLY, 1);
        }
    }

    fn failed(&mut self, token: u64, name: &'static str, window: &mut Window) {
        if self.end(token).is_some() {
            window.failed(name, 1);
        }
    }
}

impl Pattern for Requests {
    fn send(&mut self, engine: &mut Engine, intended: u64, now: u64) -> Sent {
        let Some(connection) = self.permit() else {
            let open = self.connections.is_any_open();
            return if open { Sent::NoRoom } else { Sent::NoPeer };
        };
        let token = self.flights.insert(Flight {
            intended,
            sent: now,
            connection,
        });
        let peer = self.connections.peer(connection);
        let body = body(&self.payload);
        let timeout = Some(CALL_TIMEOUT);
        match engine.request(peer, &self.subject, body, timeout, &[], token as u64) {
            Ok(_) => Sent::Gone,
            Err(refusal) => {
                self.flights.remove(token);
                self.connections.close(connection);
                Sent::Refused(names::refusal(refusal))
            }
        }
    }

    fn take(&mut self, _: &mut Engine, batch: &Batch, window: &mut Window, now: u64) {
        for notice in &batch.notices {
            match notice {
                Notice::Failed { token, error, .. } => {
                    self.failed(*token, names::failure(error.kind()), window);
                }
                Notice::Down { error, .. } => {
                    let failure = error.as_ref().map(|error| names::failure(error.kind()));
                    self.lost(batch, failure.unwrap_or(names::LOST), window);
                }
                _ => {}
            }
        }
        for event in &batch.events {
            match event {
                Event::Reply { token, payload } => {
                    self.replied(*token, payload.len(), window, now);
                }
                Event::Fault { token, code, .. } => {
                    self.failed(*token, names::fault(*code), window);
                }
                Event::Expired { token } => self.failed(*token, names::EXPIRED, window),
                Event::GoAway { .. } => self.leaving(batch, window),
                _ => {}
            }
        }
    }

    fn finish(&mut self, _: &mut Engine) -> u64 {
        let count = self.flights.len() as u64;
        let permits = self.flights.drain().map(|flight| flight.connection);
        self.permits.extend(permits);
        count
    }

    fn negotiated(&self) -> Option<Negotiated> {
        self.connections.negotiated.clone()
    }
}

impl Requests {
    /// Sends nothing new there; returns whether something was until now.
    fn close(&mut self, batch: &Batch) -> bool {
        let number = self.connections.number(batch.peer);
        number.is_some_and(|number| self.connections.close(number))
    }

    /// The peer takes nothing new; what runs goes on. That is no window as it was asked for.
    fn leaving(&mut self, batch: &Batch, window: &mut Window) {
        if self.close(batch) {
            window.tally.failed(names::LEAVING, 1);
        }
    }

    /// A connection is gone. One on which nothing ran is an error all the same.
    fn lost(&mut self, batch: &Batch, name: &'static str, window: &mut Window) {
        if self.close(batch) && batch.notices.len() == 1 {
            window.tally.failed(name, 1);
        }
    }
}

/// Requests of so many bytes that a connection's peer takes at once.
fn credit(engine: &Engine, connections: &Dialled, bytes: usize) -> Result<usize, String> {
    let statistics = engine.peer_statistics(connections.peer(0));
    let protocol = statistics.ok_or("the connection ended at once")?.protocol;
    let by_bytes = protocol.request_credit_bytes / bytes.max(1) as u64;
    match protocol.request_credit.min(by_bytes) {
        0 => Err(format!(
            "the peer takes no request of {bytes} bytes: its window is {} bytes",
            protocol.request_credit_bytes
        )),
        credit => Ok(credit as usize),
    }
}
