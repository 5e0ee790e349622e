//! Messages through a broker: publishers send on streams, every subscriber gets every message.
//!
//! The broker's side is described in `ztransport.broker`. A message carries its times, so that a
//! delivery needs no table; it is in flight until every subscriber has it, so that a closed loop
//! cannot fill the broker's queue.

use std::collections::VecDeque;

use bytes::Bytes;
use ztransport_engine::{Batch, Engine, Notice, Refusal};
use ztransport_proto::event::{Body, Event};
use ztransport_proto::limits::FRAGMENT_BYTES_MAX;

use crate::clock::now_nanos;
use crate::dialled::Dialled;
use crate::host::Host;
use crate::names;
use crate::pattern::{CALL_TIMEOUT, Negotiated, Pattern, Sent, payload};
use crate::spec::{Load, STAMP_BYTES, Spec, Target};
use crate::subscribe::Subscriptions;
use crate::window::{Plan, Window};

const SUBJECT: &str = "publish";

/// One publisher's stream.
#[derive(Clone, Copy, Debug, Default)]
struct Stream {
    id: u64,
    sent: u64,
    acknowledged: u64,
    /// Permits that wait until the stream takes messages again.
    parked: u32,
}

pub(crate) struct Messages {
    publishers: Dialled,
    streams: Vec<Stream>,
    subscriptions: Subscriptions,
    topic: String,
    /// The publisher of each message that may be sent, those that waited longest first.
    permits: VecDeque<u32>,
    /// The publisher of each message that some subscriber does not have yet.
    in_flight: VecDeque<u32>,
    /// Messages that every subscriber has.
    delivered: u64,
    message: Vec<u8>,
}

impl Messages {
    /// Dials everybody and waits until the subscriptions stand.
    pub(crate) fn new(host: &mut Host, spec: &Spec, target: &Target) -> Result<Messages, String> {
        let publishers = Dialled::dial(host, target, spec.publishers)?;
        // No stream is opened before all have dialled: what arrives while dialling is not looked at.
        let subscribers = Dialled::dial(host, target, spec.subscribers)?;
        let subscriptions = Subscriptions::new(&mut host.engine, subscribers, &spec.subject)?;
        let each = match spec.load {
            Load::Closed {} => spec.window,
            Load::Open { .. } => spec.in_flight_max.div_ceil(spec.publishers),
        };
        let numbers = 0..spec.publishers as u32;
        let mut messages = Messages {
            publishers,
            streams: vec![Stream::default(); spec.publishers],
            subscriptions,
            topic: spec.subject.clone(),
            permits: (0..each).flat_map(|_| numbers.clone()).collect(),
            in_flight: VecDeque::new(),
            delivered: 0,
            message: payload(spec.payload_bytes).to_vec(),
        };
        for number in numbers {
            messages.open(&mut host.engine, number);
        }
        messages.stand(host)?;
        Ok(messages)
    }

    /// Waits for every subscription to stand; what an earlier window left in the queue is taken.
    fn stand(&mut self, host: &mut Host) -> Result<(), String> {
        let until = now_nanos() + CALL_TIMEOUT.as_nanos() as u64;
        let mut before = Window::new(Plan::Closed, now_nanos(), 0, 0);
        while !self.subscriptions.all_stand() {
            let again = host.turn(&mut |engine, batch| {
                self.take(engine, batch, &mut before, now_nanos());
            })?;
            host.engine.flush();
            if let Some((name, _)) = before.tally.errors().first_key_value() {
                return Err(format!("{name}: the broker refused a subscription"));
            }
            if until <= now_nanos() {
                return Err("the broker did not begin a subscription in time".to_owned());
            }
            if !again && !self.subscriptions.all_stand() {
                host.wait(Some(until))?;
            }
        }
        Ok(())
    }

    fn open(&mut self, engine: &mut Engine, number: u32) {
        let topic = Body::Borrowed(self.topic.as_bytes());
        let stream = &mut self.streams[number as usize];
        let parked = std::mem::take(&mut stream.parked);
        match engine.open_stream(self.publishers.peer(number), SUBJECT, topic, &[]) {
            Ok(id) => {
                *stream = Stream {
                    id,
                    ..Stream::default()
                };
                self.unpark(number, parked);
            }
            Err(_) => {
                self.publishers.close(number);
            }
        }
    }

    fn unpark(&mut self, number: u32, parked: u32) {
        for _ in 0..parked {
            self.permits.push_front(number);
        }
    }

    /// Publishes for the next publisher that has room.
    fn publish(&mut self, engine: &mut Engine) -> Sent {
        while let Some(number) = self.permits.pop_front() {
            if !self.publishers.is_open(number) {
                continue;
            }
            let stream = &mut self.streams[number as usize];
            let peer = self.publishers.peer(number);
            match engine.stream_send(peer, stream.id, body(&self.message)) {
                Ok(()) => {
                    stream.sent += 1;
                    self.in_flight.push_back(number);
                    return Sent::Gone;
                }
                // Room, or the news of the stream's end, will come.
                Err(Refusal::WouldBlock | Refusal::Unknown) => stream.parked += 1,
                Err(refusal) => {
                    self.publishers.close(number);
                    return Sent::Refused(names::refusal(refusal));
                }
            }
        }
        let any = self.publishers.is_any_open() && self.subscriptions.is_any_open();
        if any { Sent::NoRoom } else { Sent::NoPeer }
    }

    /// Messages that every subscriber has are not in flight any more.
    fn settle(&mut self, window: &mut Window) {
        let sent = self.delivered + self.in_flight.len() as u64;
        let everywhere = self.subscriptions.delivered_everywhere().unwrap_or(sent);
        let ended = everywhere.min(sent).saturating_sub(self.delivered);
        self.permits.extend(self.in_flight.drain(..ended as usize));
        self.delivered += ended;
        window.ended(ended);
    }

    /// A stream is over: what the broker did not acknowledge is not in its queue. Returns how many
    /// messages that were.
    fn lost(&mut self, number: u32, name: &'static str, window: &mut Window) -> u64 {
        let stream = &mut self.streams[number as usize];
        let lost = stream.sent - stream.acknowledged;
        stream.sent = stream.acknowledged;
        window.failed(name, lost);
        self.forget_youngest(number, lost);
        lost
    }

    fn forget_youngest(&mut self, number: u32, mut count: u64) {
        for index in (0..self.in_flight.len()).rev() {
            if count > 0 && self.in_flight[index] == number {
                self.in_flight.remove(index);
                self.permits.push_back(number);
                count -= 1;
            }
        }
    }

    fn take_publisher(
        &mut self,
        engine: &mut Engine,
        batch: &Batch,
        number: u32,
        window: &mut Window,
    ) {
        for notice in &batch.notices {
            if let Notice::Down { error, .. } = notice {
                let failure = error.as_ref().map(|error| names::failure(error.kind()));
                let name = failure.unwrap_or(names::LOST);
                let lost = self.lost(number, name, window);
                if self.publishers.close(number) && lost == 0 {
                    // Nothing was under way on it: it is an error all the same.
                    window.tally.failed(name, 1);
                }
            }
        }
        for event in &batch.events {
            match event {
                Event::StreamAcknowledged { id, count } => self.acknowledged(number, *id, *count),
                Event::StreamRoom { .. } => {
                    let parked = std::mem::take(&mut self.streams[number as usize].parked);
                    self.unpark(number, parked);
                }
                Event::StreamReset { code, .. } => {
                    self.lost(number, names::fault(*code), window);
                    self.open(engine, number);
                }
                Event::GoAway { .. } if self.publishers.close(number) => {
                    window.tally.failed(names::LEAVING, 1);
                }
                _ => {}
            }
        }
    }

    fn acknowledged(&mut self, number: u32, id: u64, count: u64) {
        let stream = &mut self.streams[number as usize];
        if stream.id == id {
            stream.acknowledged = count;
        }
    }
}

impl Pattern for Messages {
    fn send(&mut self, engine: &mut Engine, intended: u64, now: u64) -> Sent {
        self.message[..8].copy_from_slice(&intended.to_le_bytes());
        self.message[8..STAMP_BYTES].copy_from_slice(&now.to_le_bytes());
        self.publish(engine)
    }

    fn take(&mut self, engine: &mut Engine, batch: &Batch, window: &mut Window, now: u64) {
        if let Some(number) = self.subscriptions.number(batch.peer) {
            let sent = self.delivered + self.in_flight.len() as u64;
            self.subscriptions
                .take(engine, batch, number, window, (now, sent));
            self.settle(window);
        } else if let Some(number) = self.publishers.number(batch.peer) {
            self.take_publisher(engine, batch, number, window);
        }
    }

    fn finish(&mut self, engine: &mut Engine) -> u64 {
        let count = self.in_flight.len() as u64;
        self.permits.append(&mut self.in_flight);
        self.delivered = 0;
        self.subscriptions.finish(engine);
        count
    }

    fn negotiated(&self) -> Option<Negotiated> {
        self.publishers.negotiated.clone()
    }
}

/// A message is new each time: a large one is copied, because the engine keeps it.
fn body(message: &[u8]) -> Body<'_> {
    if message.len() <= FRAGMENT_BYTES_MAX {
        Body::Borrowed(message)
    } else {
        Body::Owned(Bytes::copy_from_slice(message))
    }
}
