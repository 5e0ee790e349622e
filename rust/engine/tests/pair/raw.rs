//! A peer that is not an engine: a blocking socket under the test's control.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use ztransport_proto::{Body, Connection, Event, Limits, Role, Settings, Time};
use ztransport_tls as tls;

use super::{Side, drive};

/// Reads without blocking until `side` has closed the connection, driving it meanwhile.
pub fn read_to_end(sides: &mut [Side], stream: &mut TcpStream) -> Vec<u8> {
    stream.set_nonblocking(true).unwrap();
    let mut bytes = Vec::new();
    let mut ended = false;
    while !ended {
        for side in sides.iter_mut() {
            side.turn();
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) => ended = true,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::yield_now();
            }
            Err(_) => ended = true,
        }
    }
    bytes
}

/// Drives the side until it has counted `reason` as often as `count`.
pub fn drive_until_closed(side: &mut [Side], reason: &str, count: u64) {
    let node = side[0].node;
    drive(side, |sides| {
        let statistics = sides[0].engine.node_statistics(node).unwrap();
        statistics.closed.get(reason).copied().unwrap_or(0) >= count
    });
}

/// The bytes a dialer says first, with `requests` behind its greeting.
pub fn dialer_bytes(requests: &[&[u8]]) -> Vec<u8> {
    let mut codec = dialer();
    let subject = codec.subject("echo").unwrap();
    for (token, request) in requests.iter().enumerate() {
        codec
            .request(
                Time::ZERO,
                subject,
                Body::Borrowed(request),
                None,
                &[],
                token as u64,
            )
            .unwrap();
    }
    drain(&mut codec)
}

pub fn dialer() -> Connection {
    let settings = Settings {
        cluster: "test".to_owned(),
        node_id: "raw".to_owned(),
        advertise: String::new(),
        roles: Vec::new(),
        limits: Limits::default(),
    };
    Connection::new(Role::Dialer, Arc::new(settings), Time::ZERO)
}

pub fn drain(codec: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let output = codec.poll_output(Time::ZERO);
        if output.is_empty() {
            return bytes;
        }
        bytes.extend_from_slice(output);
        codec.consume_output();
    }
}

/// The events a dialer's codec makes of `bytes`.
pub fn events(codec: &mut Connection, bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    codec
        .handle_input(Time::ZERO, bytes, &mut events, usize::MAX)
        .unwrap();
    events
}

/// Takes a TLS handshake as a dialer as far as `Finished`, driving the server meanwhile.
pub fn handshake(
    sides: &mut [Side],
    stream: &mut TcpStream,
    material: &Arc<tls::Material>,
) -> tls::Filter {
    let mut filter = tls::Filter::dial(material, "127.0.0.1").unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut plain = Vec::new();
    while filter.is_handshaking() || filter.pending_bytes() > 0 {
        if filter.pending_bytes() > 0 {
            filter.write_to(stream).unwrap();
        }
        sides[0].turn();
        let mut chunk = [0; 8192];
        match stream.read(&mut chunk) {
            Ok(count) => filter.handle_input(&chunk[..count], &mut plain).unwrap(),
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
    }
    filter
}

pub fn connect(address: &str) -> TcpStream {
    TcpStream::connect(address).unwrap()
}

pub fn send(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
}
