//! Bytes come through in order, ends come through after them, and a failure ends one connection.
#![allow(clippy::unwrap_used)] // A test says what failed by panicking.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use ztransport_relay::{HELD_BYTES_MAX, Leg, Relay};
use ztransport_tls as tls;

const LOOPBACK: &str = "127.0.0.1:0";
const DELAY: Duration = Duration::from_millis(2);

/// Starts a relay in a thread that ends with the process; returns its address and the upstream.
fn relay(delay: Duration) -> (SocketAddr, TcpListener) {
    relay_with(delay, None)
}

fn relay_with(
    delay: Duration,
    material: Option<std::sync::Arc<tls::Material>>,
) -> (SocketAddr, TcpListener) {
    let upstream = TcpListener::bind(LOOPBACK).unwrap();
    let leg = Leg {
        listen: LOOPBACK.parse().unwrap(),
        upstream: upstream.local_addr().unwrap(),
        material,
    };
    let mut relay = Relay::bind(vec![leg], delay).unwrap();
    let address = relay.addresses().unwrap()[0];
    thread::spawn(move || relay.run());
    (address, upstream)
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index % 251) as u8).collect()
}

#[test]
fn both_directions_arrive_whole_and_then_end() {
    for delay in [Duration::ZERO, DELAY] {
        let (address, upstream) = relay(delay);
        let sent = pattern(5 * HELD_BYTES_MAX + 17);
        let expected = sent.clone();
        let server = thread::spawn(move || {
            let (mut socket, _) = upstream.accept().unwrap();
            let mut heard = Vec::new();
            socket.read_to_end(&mut heard).unwrap();
            socket.write_all(&heard).unwrap();
            heard
        });
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(&sent).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut echoed = Vec::new();
        client.read_to_end(&mut echoed).unwrap();
        assert!(server.join().unwrap() == expected, "delay {delay:?}");
        assert!(echoed == expected, "delay {delay:?}");
    }
}

#[test]
fn nothing_goes_upstream_before_the_delay() {
    let (address, upstream) = relay(DELAY);
    let mut client = TcpStream::connect(address).unwrap();
    let (mut server, _) = upstream.accept().unwrap();
    let begin = Instant::now();
    client.write_all(b"x").unwrap();
    server.read_exact(&mut [0]).unwrap();
    assert!(begin.elapsed() >= DELAY);
}

#[test]
fn a_reset_on_one_side_ends_the_other() {
    let (address, upstream) = relay(Duration::ZERO);
    let mut client = TcpStream::connect(address).unwrap();
    let (server, _) = upstream.accept().unwrap();
    let socket = socket2::Socket::from(server);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(socket);
    let read = client.read(&mut [0]);
    assert!(matches!(read, Ok(0) | Err(_)));
}

#[test]
fn an_upstream_that_is_not_there_ends_the_connection_and_not_the_relay() {
    let (address, upstream) = relay(Duration::ZERO);
    let gone = upstream.local_addr().unwrap();
    drop(upstream);
    for _ in 0..2 {
        let mut client = TcpStream::connect(address).unwrap();
        assert!(matches!(client.read(&mut [0]), Ok(0) | Err(_)), "{gone}");
    }
}

#[test]
fn tls_ends_at_the_relay_and_the_upstream_sees_plaintext() {
    let names = vec!["localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let chain = made.cert.pem().into_bytes();
    let listening = tls::Options {
        certificate_chain: Some(tls::Source::Bytes(chain.clone())),
        private_key: Some(tls::Source::Bytes(
            made.signing_key.serialize_pem().into_bytes(),
        )),
        ..tls::Options::default()
    };
    let material = tls::Material::load(&listening).unwrap();
    let (address, upstream) = relay_with(Duration::ZERO, Some(material));
    let dialling = tls::Options {
        trust: vec![tls::TrustSource::Source(tls::Source::Bytes(chain))],
        ..tls::Options::default()
    };
    let dialling = tls::Material::load(&dialling).unwrap();
    let mut filter = tls::Filter::dial(&dialling, "localhost").unwrap();
    filter.seal(b"hidden").unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    let (mut server, _) = upstream.accept().unwrap();
    let (mut plain, mut room) = (Vec::new(), [0; 4096]);
    while filter.is_handshaking() {
        while filter.pending_bytes() > 0 {
            filter.write_to(&mut client).unwrap();
        }
        let count = client.read(&mut room).unwrap();
        filter.handle_input(&room[..count], &mut plain).unwrap();
    }
    while filter.pending_bytes() > 0 {
        filter.write_to(&mut client).unwrap();
    }
    let mut heard = [0; 6];
    server.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hidden");
    server.write_all(b"answer").unwrap();
    while plain.len() < 6 {
        let count = client.read(&mut room).unwrap();
        filter.handle_input(&room[..count], &mut plain).unwrap();
    }
    assert_eq!(plain, b"answer");
}
