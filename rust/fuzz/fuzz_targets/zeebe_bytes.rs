//! Arbitrary bytes, cut anywhere, at the door of Zeebe's protocol.
//!
//! The first byte chooses role, door, compression and whether the handshake is over, the second how
//! long the pieces are, the rest arrives.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use ztransport_proto::zeebe::{Compression, preamble};
use ztransport_proto::{
    Body, Dialect, Door, Event, FaultCode, Limits, Retry, Role, Settings, State, Time,
};

const EVENTS_MAX: usize = 16;
const CLUSTER: &str = "zeebe-cluster";
const MESSAGE_BYTES_MAX: u32 = 64 * 1024;

fn prepared(choice: u8) -> Dialect {
    let compression = match choice >> 2 & 3 {
        1 => Compression::Gzip,
        2 => Compression::Snappy,
        _ => Compression::None,
    };
    let (role, door) = match choice & 3 {
        0 => (Role::Acceptor, Door::Zeebe(compression)),
        1 => (Role::Acceptor, Door::Both(compression)),
        _ => (Role::Dialer, Door::Zeebe(compression)),
    };
    let settings = Arc::new(Settings {
        cluster: CLUSTER.into(),
        node_id: "node-b".into(),
        advertise: "127.0.0.1:1".into(),
        roles: Vec::new(),
        limits: Limits {
            message_bytes_max: MESSAGE_BYTES_MAX,
            zeebe_message_bytes_max: MESSAGE_BYTES_MAX,
            request_window_count: 64,
            ..Limits::default()
        },
    });
    let mut dialect = Dialect::new(role, door, settings, Time::ZERO);
    if choice & 16 != 0 {
        let handshake = [&preamble(CLUSTER)[..], &[0, 1 + (choice >> 5 & 1)]].concat();
        let taken = dialect.handle_input(Time::ZERO, &handshake, &mut Vec::new(), EVENTS_MAX);
        assert_eq!(taken.unwrap(), handshake.len());
        ask(&mut dialect);
    }
    dialect
}

/// Work of our own that replies can be for.
fn ask(dialect: &mut Dialect) {
    let subject = dialect.subject("own").unwrap();
    for token in 0..4 {
        let _ = dialect.request(Time::ZERO, subject, Body::Borrowed(b"q"), None, &[], token);
        let _ = dialect.send(subject, Body::Borrowed(b"x"), &[]);
    }
}

/// Does what an application would do, so that more states are reached.
fn react(dialect: &mut Dialect, event: &Event, input: &[u8]) {
    match event {
        Event::Request { id, payload, .. } => {
            let bytes = payload.as_slice(input);
            assert!(bytes.len() <= MESSAGE_BYTES_MAX as usize);
            match id >> 16 & 3 {
                // The bytes behind the request may have ended the connection.
                0 => drop(dialect.reply(*id, Body::Borrowed(bytes))),
                1 => drop(dialect.fault(*id, FaultCode::NoHandler, Retry::NotStarted, "")),
                2 => {
                    if dialect.take_as_send(*id) {
                        dialect.release_subject(1, 1, bytes.len() as u64);
                    }
                }
                _ => {}
            }
        }
        Event::Reply { payload: text, .. } | Event::Fault { text, .. } => {
            assert_eq!(text.as_slice(input).len(), text.len());
        }
        _ => {}
    }
}

fuzz_target!(|data: &[u8]| {
    let [choice, piece, bytes @ ..] = data else {
        return;
    };
    let mut dialect = prepared(*choice);
    let (mut inbox, mut now) = (Vec::new(), Time::ZERO);
    for arrived in bytes.chunks(usize::from(*piece).max(1) * 4) {
        inbox.extend_from_slice(arrived);
        now = now.after_micros(50);
        loop {
            let mut events = Vec::new();
            let taken = dialect.handle_input(now, &inbox, &mut events, EVENTS_MAX);
            assert!(events.len() <= EVENTS_MAX + 2);
            for event in &events {
                react(&mut dialect, event, &inbox);
            }
            let Ok(taken) = taken else {
                assert_eq!(dialect.state(), State::Closed);
                return;
            };
            inbox.drain(..taken);
            let was_full = dialect.is_full();
            while !dialect.poll_output(now).is_empty() {
                dialect.consume_output();
            }
            if events.len() < EVENTS_MAX && (!was_full || dialect.is_full()) {
                break;
            }
        }
        let _ = dialect.handle_timeout(now, &mut Vec::new());
    }
    let _ = dialect.handle_end(now, inbox.len(), &mut Vec::new());
    dialect.take_outstanding();
});
