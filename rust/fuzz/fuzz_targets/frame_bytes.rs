//! Arbitrary bytes, cut anywhere, at a connection in one of several states.
//!
//! The first byte chooses the state, the second how long the pieces are, the rest arrives.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use ztransport_proto::frame::{Header, Kind, PREFACE, put};
use ztransport_proto::{
    Body, Connection, Event, FaultCode, Limits, Payload, Retry, Role, Settings, State, Time, hello,
};

const EVENTS_MAX: usize = 16;

fn settings() -> Arc<Settings> {
    Arc::new(Settings {
        cluster: "orders".into(),
        node_id: "node-b".into(),
        advertise: String::new(),
        roles: Vec::new(),
        limits: Limits::default(),
    })
}

/// The bytes of a peer that has greeted and announced a subject.
fn greeting(role: Role) -> Vec<u8> {
    let mut bytes = if role == Role::Acceptor {
        PREFACE.to_vec()
    } else {
        Vec::new()
    };
    put(
        &mut bytes,
        Header::new(Kind::Hello, 0, 0, 0),
        &hello::encode(&settings()),
    );
    put(&mut bytes, Header::new(Kind::Subject, 0, 1, 0), b"log");
    bytes
}

/// Work of our own that answers, credits and resets can be for.
fn busy(connection: &mut Connection) {
    let _ = connection.subject("own");
    for token in 0..4 {
        let _ = connection.request(Time::ZERO, 1, Body::Borrowed(b"q"), None, &[], token);
        let _ = connection.send(1, Body::Borrowed(b"x"), &[]);
    }
    if let Ok(id) = connection.open_stream(Time::ZERO, 1, Body::Borrowed(b""), &[]) {
        let _ = connection.stream_send(id, Body::Borrowed(b"x"));
    }
}

fn prepared(choice: u8) -> Connection {
    let role = if choice & 1 == 0 {
        Role::Acceptor
    } else {
        Role::Dialer
    };
    let mut connection = Connection::new(role, settings(), Time::ZERO);
    if choice & 2 != 0 {
        let mut events = Vec::new();
        let bytes = greeting(role);
        let taken = connection.handle_input(Time::ZERO, &bytes, &mut events, EVENTS_MAX);
        assert_eq!(taken.unwrap(), bytes.len());
        busy(&mut connection);
    }
    if choice & 4 != 0 {
        connection.goaway(FaultCode::ShuttingDown, "");
    }
    if choice & 8 != 0 {
        drain(&mut connection);
    }
    connection
}

fn drain(connection: &mut Connection) {
    while !connection.poll_output(Time::ZERO).is_empty() {
        connection.consume_output();
    }
    assert_eq!(connection.output_bytes(), 0);
}

fn check(payload: &Payload, input: &[u8]) {
    assert!(payload.as_slice(input).len() == payload.len());
}

/// Does what an application would do, so that more states are reached.
fn react(connection: &mut Connection, event: &Event, input: &[u8]) {
    match event {
        Event::Request { id, payload, .. } => {
            check(payload, input);
            if id & 0x1_0000 == 0 {
                connection
                    .reply(*id, Body::Borrowed(payload.as_slice(input)))
                    .unwrap();
            }
        }
        Event::Cancelled { id } => {
            // It may have been answered since the event was made.
            let _ = connection.fault(*id, FaultCode::Cancelled, Retry::Failed, "");
        }
        Event::Send {
            subject,
            payload,
            metadata,
        } => {
            check(payload, input);
            let bytes = payload.len() + metadata.as_ref().map_or(0, |block| block.len());
            connection.release_subject(*subject, 1, bytes as u64);
        }
        Event::StreamOpened { id, payload, .. } => {
            check(payload, input);
            let _ = connection.stream_send(*id, Body::Borrowed(b"x"));
        }
        Event::StreamData { id, payload } => {
            check(payload, input);
            connection.release_stream(*id, 1, payload.len() as u64);
        }
        Event::StreamEnd { id } => drop(connection.stream_finish(*id)),
        Event::Reply { payload: text, .. }
        | Event::Fault { text, .. }
        | Event::StreamReset { text, .. }
        | Event::GoAway { text, .. } => check(text, input),
        _ => {}
    }
}

fuzz_target!(|data: &[u8]| {
    let [choice, piece, bytes @ ..] = data else {
        return;
    };
    let mut connection = prepared(*choice);
    let mut inbox = Vec::new();
    let mut now = Time::ZERO;
    for arrived in bytes.chunks(usize::from(*piece).max(1) * 4) {
        inbox.extend_from_slice(arrived);
        now = now.after_micros(50);
        loop {
            let mut events = Vec::new();
            let taken = connection.handle_input(now, &inbox, &mut events, EVENTS_MAX);
            let Ok(taken) = taken else {
                assert_eq!(connection.state(), State::Closed);
                return drain(&mut connection);
            };
            events
                .iter()
                .for_each(|event| react(&mut connection, event, &inbox));
            inbox.drain(..taken);
            if events.len() < EVENTS_MAX {
                break;
            }
        }
        if choice & 16 != 0 {
            drain(&mut connection);
        }
    }
    let mut events = Vec::new();
    let _ = connection.handle_end(now, inbox.len(), &mut events);
    drain(&mut connection);
});
