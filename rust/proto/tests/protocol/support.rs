//! Two connections and a clock that only moves when told, and a lone one for hostile bytes.

use std::sync::Arc;

use ztransport_proto::frame::{Header, Kind, PREFACE, put};
use ztransport_proto::{
    Body, Connection, Error, Event, Limits, Payload, Role, SendError, Settings, Time, hello,
};

/// Events taken in one call: small, so that every test also tests stopping early.
const EVENTS_MAX: usize = 7;

pub(crate) fn settings(node_id: &str, limits: Limits) -> Arc<Settings> {
    limits.validate().unwrap();
    Arc::new(Settings {
        cluster: "orders".into(),
        node_id: node_id.into(),
        advertise: String::new(),
        roles: Vec::new(),
        limits,
    })
}

/// The least that every limit may be.
pub(crate) fn least_limits() -> Limits {
    Limits {
        message_bytes_max: 65_536,
        request_window_count: 64,
        request_window_bytes: 1 << 20,
        subjects_max: 16,
        subject_window_count: 256,
        subject_window_bytes: 256 * 1024,
        streams_max: 4,
        stream_window_count: 64,
        stream_window_bytes: 256 * 1024,
        assembly_bytes_max: 65_536,
        ..Limits::default()
    }
}

pub(crate) fn frame(kind: Kind, flags: u8, subject: u16, id: u64, body: &[u8]) -> Vec<u8> {
    raw_frame(kind as u8, flags, subject, id, body)
}

pub(crate) fn raw_frame(kind: u8, flags: u8, subject: u16, id: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(
        &mut bytes,
        Header {
            length: 0,
            kind,
            flags,
            subject,
            id,
        },
        body,
    );
    bytes
}

pub(crate) fn hello_frame(settings: &Settings) -> Vec<u8> {
    frame(Kind::Hello, 0, 0, 0, &hello::encode(settings))
}

/// The payload as bytes of its own, so that it outlives the input.
fn owned(payload: &mut Payload, input: &[u8]) {
    *payload = Payload::Whole(payload.as_slice(input).to_vec());
}

fn own(mut event: Event, input: &[u8]) -> Event {
    match &mut event {
        Event::Request { payload, .. }
        | Event::Reply { payload, .. }
        | Event::Send { payload, .. }
        | Event::StreamOpened { payload, .. }
        | Event::StreamData { payload, .. } => owned(payload, input),
        Event::Fault { text, .. }
        | Event::StreamReset { text, .. }
        | Event::GoAway { text, .. } => {
            owned(text, input);
        }
        _ => {}
    }
    event
}

/// A connection with the bytes that wait for it and the events it gave.
pub(crate) struct End {
    pub(crate) connection: Connection,
    inbox: Vec<u8>,
    pub(crate) events: Vec<Event>,
}

impl End {
    pub(crate) fn new(role: Role, settings: Arc<Settings>) -> Self {
        let connection = Connection::new(role, settings, Time::ZERO);
        Self {
            connection,
            inbox: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Puts bytes into the inbox and reads it as far as possible.
    pub(crate) fn read(&mut self, now: Time, bytes: &[u8]) -> Result<(), Error> {
        self.inbox.extend_from_slice(bytes);
        loop {
            let mut events = Vec::new();
            let result = self
                .connection
                .handle_input(now, &self.inbox, &mut events, EVENTS_MAX);
            let stopped = events.len() >= EVENTS_MAX;
            self.events
                .extend(events.into_iter().map(|event| own(event, &self.inbox)));
            self.inbox.drain(..result?);
            if !stopped {
                return Ok(());
            }
        }
    }

    pub(crate) fn end(&mut self, now: Time) -> Result<(), Error> {
        self.connection
            .handle_end(now, self.inbox.len(), &mut self.events)
    }

    pub(crate) fn timeout(&mut self, now: Time) -> Result<(), Error> {
        self.connection.handle_timeout(now, &mut self.events)
    }

    /// All output that waits.
    pub(crate) fn write(&mut self, now: Time) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let chunk = self.connection.poll_output(now);
            if chunk.is_empty() {
                self.connection.poll_events(&mut self.events);
                return bytes;
            }
            assert!(
                chunk.len() <= 64 * 1024 + 4 * 1024 + 128,
                "a chunk of {}",
                chunk.len()
            );
            bytes.extend_from_slice(chunk);
            self.connection.consume_output();
        }
    }

    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The one event that has happened.
    pub(crate) fn event(&mut self) -> Event {
        let events = self.take_events();
        assert_eq!(events.len(), 1, "{events:?}");
        events.into_iter().next().unwrap()
    }

    pub(crate) fn send(&mut self, subject: u16, bytes: &[u8]) -> Result<(), SendError> {
        self.connection.send(subject, Body::Borrowed(bytes), &[])
    }
}

/// A connection that has greeted a peer which now may send anything.
pub(crate) fn victim(role: Role, limits: Limits) -> End {
    let mut end = End::new(role, settings("victim", limits));
    let mut bytes = if role == Role::Acceptor {
        PREFACE.to_vec()
    } else {
        Vec::new()
    };
    bytes.extend(hello_frame(&settings("attacker", Limits::default())));
    end.read(Time::ZERO, &bytes).unwrap();
    end.write(Time::ZERO);
    end.events.clear();
    end
}

/// A victim to which subject 1 was announced.
pub(crate) fn victim_with_subject(limits: Limits) -> End {
    let mut end = victim(Role::Acceptor, limits);
    end.read(Time::ZERO, &frame(Kind::Subject, 0, 1, 0, b"log"))
        .unwrap();
    end.events.clear();
    end
}

/// Two connections that are connected to each other.
pub(crate) struct Pair {
    pub(crate) dialer: End,
    pub(crate) acceptor: End,
    pub(crate) now: Time,
}

impl Pair {
    /// A pair that has not exchanged anything.
    pub(crate) fn silent(dialer: Limits, acceptor: Limits) -> Self {
        Self {
            dialer: End::new(Role::Dialer, settings("a", dialer)),
            acceptor: End::new(Role::Acceptor, settings("b", acceptor)),
            now: Time::ZERO,
        }
    }

    /// A pair that has greeted.
    pub(crate) fn new(limits: Limits) -> Self {
        let mut pair = Self::silent(limits.clone(), limits);
        pair.exchange();
        assert_eq!(pair.dialer.event(), Event::Greeted);
        assert_eq!(pair.acceptor.event(), Event::Greeted);
        pair
    }

    /// A pair in which the dialer has announced subject 1.
    pub(crate) fn with_subject(limits: Limits) -> Self {
        let mut pair = Self::new(limits);
        assert_eq!(pair.dialer.connection.subject("log"), Ok(1));
        pair.exchange();
        assert_eq!(
            pair.acceptor.event(),
            Event::SubjectAnnounced { subject: 1 }
        );
        pair
    }

    /// Carries bytes until both sides have nothing to say.
    pub(crate) fn exchange(&mut self) {
        loop {
            let there = self.dialer.write(self.now);
            self.acceptor.read(self.now, &there).unwrap();
            let back = self.acceptor.write(self.now);
            self.dialer.read(self.now, &back).unwrap();
            if there.is_empty() && back.is_empty() {
                return;
            }
        }
    }

    /// Lets time pass, in the steps that the connections ask for.
    pub(crate) fn advance(&mut self, millis: u64) {
        let until = self.now.after_millis(millis);
        while self.now < until {
            let ends = [&self.dialer, &self.acceptor];
            let next = ends
                .iter()
                .filter_map(|end| end.connection.poll_timeout())
                .min();
            self.now = next.map_or(until, |next| next.max(self.now.after_nanos(1)).min(until));
            self.dialer.timeout(self.now).unwrap();
            self.acceptor.timeout(self.now).unwrap();
            self.exchange();
        }
    }

    /// The dialer asks on subject 1.
    pub(crate) fn ask(
        &mut self,
        bytes: &[u8],
        deadline_ms: u64,
        token: u64,
    ) -> Result<u64, SendError> {
        let deadline = (deadline_ms > 0).then(|| self.now.after_millis(deadline_ms));
        let body = Body::Borrowed(bytes);
        self.dialer
            .connection
            .request(self.now, 1, body, deadline, &[], token)
    }
}

pub(crate) fn whole(bytes: &[u8]) -> Payload {
    Payload::Whole(bytes.to_vec())
}

/// Bytes in which every position differs from its neighbours.
pub(crate) fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index % 251) as u8).collect()
}
