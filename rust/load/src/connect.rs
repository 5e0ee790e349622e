//! New connections: each operation dials, asks once, and closes.

use std::collections::HashMap;

use bytes::Bytes;
use ztransport_engine::{Batch, Engine, NodeKey, Notice, PeerKey};
use ztransport_proto::event::Event;

use crate::names;
use crate::pattern::{CALL_TIMEOUT, Flight, Negotiated, Pattern, Sent, body, payload};
use crate::spec::{Spec, Target};
use crate::window::Window;

pub(crate) struct Connects {
    node: NodeKey,
    target: Target,
    at_once: usize,
    flights: HashMap<PeerKey, Flight>,
    subject: String,
    payload: Bytes,
    negotiated: Option<Negotiated>,
}

impl Connects {
    /// At most connections times window are dialled at once.
    pub(crate) fn new(node: NodeKey, spec: &Spec, target: &Target) -> Connects {
        Connects {
            node,
            target: target.clone(),
            at_once: spec.connections * spec.window,
            flights: HashMap::new(),
            subject: spec.subject.clone(),
            payload: payload(spec.payload_bytes),
            negotiated: None,
        }
    }

    /// The connection is up: ask.
    fn ask(&mut self, engine: &mut Engine, peer: PeerKey, window: &mut Window) {
        if self.negotiated.is_none() {
            let info = engine.peer_info(peer);
            self.negotiated = info.as_ref().and_then(Negotiated::of);
        }
        let body = body(&self.payload);
        let asked = engine.request(peer, &self.subject, body, Some(CALL_TIMEOUT), &[], 0);
        if let Err(refusal) = asked {
            self.failed(engine, peer, names::refusal(refusal), window);
        }
    }

    /// The operation is over, well or badly; a second end of it says nothing new.
    fn end(&mut self, engine: &mut Engine, peer: PeerKey) -> Option<Flight> {
        let flight = self.flights.remove(&peer)?;
        engine.close_peer(peer);
        Some(flight)
    }

    fn failed(
        &mut self,
        engine: &mut Engine,
        peer: PeerKey,
        name: &'static str,
        window: &mut Window,
    ) {
        if self.end(engine, peer).is_some() {
            window.failed(name, 1);
        }
    }

    fn replied(
        &mut self,
        engine: &mut Engine,
        peer: PeerKey,
        bytes: usize,
        window: &mut Window,
        now: u64,
    ) {
        if bytes != self.payload.len() {
            self.failed(engine, peer, names::WRONG_REPLY, window);
        } else if let Some(flight) = self.end(engine, peer) {
            window.completed(flight.intended, flight.sent, now);
        }
    }
}

impl Pattern for Connects {
    fn send(&mut self, engine: &mut Engine, intended: u64, now: u64) -> Sent {
        if self.flights.len() >= self.at_once {
            return Sent::NoRoom;
        }
        match engine.connect(self.node, &self.target.dialled, false) {
            Ok(peer) => {
                let flight = Flight {
                    intended,
                    sent: now,
                    connection: 0,
                };
                self.flights.insert(peer, flight);
                Sent::Gone
            }
            Err(error) => Sent::Refused(names::failure(error.kind())),
        }
    }

    fn take(&mut self, engine: &mut Engine, batch: &Batch, window: &mut Window, now: u64) {
        let peer = batch.peer;
        for notice in &batch.notices {
            match notice {
                Notice::Up => self.ask(engine, peer, window),
                Notice::Resolve { .. } => engine.resolved(peer, Ok(self.target.leads.clone())),
                Notice::ConnectFailed { error }
                | Notice::Failed { error, .. }
                | Notice::Down {
                    error: Some(error), ..
                } => self.failed(engine, peer, names::failure(error.kind()), window),
                Notice::Down { error: None, .. } => {
                    self.failed(engine, peer, names::LOST, window);
                }
                _ => {}
            }
        }
        for event in &batch.events {
            match event {
                Event::Reply { payload, .. } => {
                    self.replied(engine, peer, payload.len(), window, now);
                }
                Event::Fault { code, .. } => {
                    self.failed(engine, peer, names::fault(*code), window);
                }
                Event::Expired { .. } => self.failed(engine, peer, names::EXPIRED, window),
                _ => {}
            }
        }
    }

    fn finish(&mut self, engine: &mut Engine) -> u64 {
        let count = self.flights.len() as u64;
        for (peer, _) in self.flights.drain() {
            engine.close_peer(peer);
        }
        count
    }

    fn negotiated(&self) -> Option<Negotiated> {
        self.negotiated.clone()
    }
}
