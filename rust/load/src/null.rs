//! A server that does next to nothing: what the generator reaches against it bounds what it can
//! measure.
//!
//! It greets as a node does. After that it only turns requests into replies where they lie: it
//! keeps no state, counts nothing, checks nothing, and waits for input awake, so that neither its
//! work nor its waking is what a window sees. One connection at a time, plaintext, requests of one
//! frame; nothing else is answered but a ping.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use ztransport_proto::event::Event;
use ztransport_proto::frame::{Header, Kind, LAST, put};
use ztransport_proto::limits::{HEADER_BYTES, REQUEST_WINDOW_COUNT_CEILING};
use ztransport_proto::{Connection, Limits, Role, Settings, Time};

use crate::options::{CLUSTER, Options};

/// Bytes that have arrived and are not answered: more than a frame, so that one always fits.
const INPUT_BYTES_MAX: usize = 256 * 1024;
/// The deadline before the payload of a request.
const DEADLINE_BYTES: usize = 4;

pub(crate) fn run(options: &Options) -> Result<(), String> {
    let listener = TcpListener::bind(&options.address).map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    println!("{{\"address\": \"{address}\"}}");
    loop {
        let (stream, _) = listener.accept().map_err(|error| error.to_string())?;
        if let Err(error) = answer(stream) {
            eprintln!("ztransport-load: a connection ended: {error}");
        }
    }
}

/// What has arrived and is not answered yet.
struct Input {
    bytes: Vec<u8>,
    filled: usize,
}

impl Input {
    fn arrived(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// Reads what arrives next; returns whether the peer goes on.
    fn read(&mut self, stream: &mut TcpStream) -> io::Result<bool> {
        let count = awake(|| stream.read(&mut self.bytes[self.filled..]))?;
        self.filled += count;
        Ok(count > 0)
    }

    fn drop_first(&mut self, count: usize) {
        self.bytes.copy_within(count..self.filled, 0);
        self.filled -= count;
    }
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut input = Input {
        bytes: vec![0; INPUT_BYTES_MAX],
        filled: 0,
    };
    greet(&mut stream, &mut input)?;
    let mut output = Vec::new();
    loop {
        input.drop_first(turn_round(input.arrived(), &mut output));
        write(&mut stream, &output)?;
        output.clear();
        if !input.read(&mut stream)? {
            return Ok(());
        }
    }
}

/// Reads the dialer's HELLO and answers it; what follows it stays in `input`.
fn greet(stream: &mut TcpStream, input: &mut Input) -> io::Result<()> {
    let settings = Settings {
        cluster: CLUSTER.to_owned(),
        node_id: "null".to_owned(),
        advertise: String::new(),
        roles: Vec::new(),
        limits: Limits {
            request_window_count: REQUEST_WINDOW_COUNT_CEILING,
            ..Limits::default()
        },
    };
    let mut greeting = Connection::new(Role::Acceptor, Arc::new(settings), Time::ZERO);
    let mut events = Vec::new();
    while !events.contains(&Event::Greeted) {
        if !input.read(stream)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let taken = greeting.handle_input(Time::ZERO, input.arrived(), &mut events, 1);
        input.drop_first(taken.map_err(io::Error::other)?);
    }
    write(stream, greeting.poll_output(Time::ZERO))
}

/// Answers the whole frames of `input`; returns the bytes they take.
fn turn_round(input: &[u8], output: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while let Some(bytes) = input[at..].first_chunk::<HEADER_BYTES>() {
        let header = Header::from_bytes(bytes);
        let begin = at + HEADER_BYTES;
        let Some(body) = input.get(begin..begin + header.length as usize) else {
            break;
        };
        at = begin + body.len();
        if header.kind == Kind::Request as u8 {
            let payload = body.get(DEADLINE_BYTES..).unwrap_or_default();
            put(
                output,
                Header::new(Kind::Reply, LAST, 0, header.id),
                payload,
            );
        } else if header.kind == Kind::Ping as u8 {
            put(output, Header::new(Kind::Pong, 0, 0, 0), body);
        }
    }
    at
}

fn write(stream: &mut TcpStream, mut output: &[u8]) -> io::Result<()> {
    while !output.is_empty() {
        let written = awake(|| stream.write(output))?;
        output = &output[written..];
    }
    Ok(())
}

/// Tries again and again while there is nothing to read or no room to write.
fn awake(mut attempt: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match attempt() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::hint::spin_loop(),
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_requests_become_replies_and_the_rest_waits() {
        let mut input = Vec::new();
        put(&mut input, Header::new(Kind::Subject, 0, 1, 0), b"echo");
        put(
            &mut input,
            Header::new(Kind::Request, LAST, 1, 7),
            b"\x88\x13\0\0hello",
        );
        put(&mut input, Header::new(Kind::Ping, 0, 0, 0), &[1; 8]);
        let whole = input.len();
        put(
            &mut input,
            Header::new(Kind::Request, LAST, 1, 8),
            b"\x88\x13\0\0cut",
        );
        let mut expected = Vec::new();
        put(
            &mut expected,
            Header::new(Kind::Reply, LAST, 0, 7),
            b"hello",
        );
        put(&mut expected, Header::new(Kind::Pong, 0, 0, 0), &[1; 8]);
        for end in whole..input.len() {
            let mut output = Vec::new();
            assert_eq!(turn_round(&input[..end], &mut output), whole);
            assert_eq!(output, expected);
        }
    }
}
