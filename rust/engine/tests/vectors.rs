//! The golden transcripts of tests/vectors, replayed against an engine over a real socket.
//!
//! Steps that move a virtual clock or that only the pure core can be told are left to it.
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)] // A test says what failed by panicking.

mod pair;

use std::io::{Read, Write};
use std::net::TcpStream;

use pair::{Seen, Side, drive};
use ztransport_engine::{Engine, EngineSettings, LinkLimits, NodeSettings, PeerKey};
use ztransport_proto::event::{Body, Event};
use ztransport_proto::{FaultCode, Limits, Retry};

macro_rules! transcripts {
    ($($test:ident: $name:literal,)*) => {
        $(
            #[test]
            fn $test() {
                replay(include_str!(concat!("../../../tests/vectors/", $name, ".txt")));
            }
        )*
    };
}

transcripts! {
    w_1_a_bad_preface_over_a_socket: "bad_preface",
    w_2_an_acceptor_over_a_socket: "acceptor",
    w_3_a_wrong_cluster_over_a_socket: "wrong_cluster",
    w_20_requests_over_a_socket: "requests",
}

fn replay(transcript: &str) {
    let mut side = [acceptor()];
    let address = side[0].engine.listen(side[0].node, "127.0.0.1:0").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nonblocking(true).unwrap();
    for line in transcript.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "in" => stream.write_all(&bytes(rest)).unwrap(),
            "out" => expect(&mut side, &mut stream, &bytes(rest)),
            "do" => command(&mut side, rest),
            "event" if rest.starts_with("request") => wait_for_request(&mut side, rest),
            _ => {}
        }
    }
}

fn acceptor() -> Side {
    let mut side = Side::new("unused", None);
    side.engine = Engine::new(EngineSettings::default()).unwrap();
    let settings = NodeSettings {
        cluster: "orders".to_owned(),
        node_id: "node-b".to_owned(),
        advertise: "127.0.0.1:7000".to_owned(),
        roles: Vec::new(),
        limits: Limits::default(),
        tls: None,
        accept: None,
        dial: None,
        links: LinkLimits::default(),
        zeebe: ztransport_engine::ZeebeSettings::default(),
    };
    side.node = side.engine.open_node(settings).unwrap();
    side
}

/// Exactly these bytes come, however they are cut.
fn expect(side: &mut [Side], stream: &mut TcpStream, expected: &[u8]) {
    let mut got = Vec::new();
    while got.len() < expected.len() {
        side[0].turn();
        let mut chunk = vec![0; expected.len() - got.len()];
        match stream.read(&mut chunk) {
            Ok(0) => panic!("the connection ended after {got:02x?}"),
            Ok(count) => got.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                std::thread::yield_now();
            }
            Err(error) => panic!("{error} after {got:02x?}"),
        }
    }
    assert_eq!(got, expected);
}

fn wait_for_request(side: &mut [Side], line: &str) {
    let id: u64 = line.split(' ').nth(1).unwrap().parse().unwrap();
    drive(side, |side| asker(&side[0], id).is_some());
}

fn asker(side: &Side, wanted: u64) -> Option<PeerKey> {
    side.seen.iter().find_map(|seen| match seen {
        Seen::Event(peer, Event::Request { id, .. }, _) if *id == wanted => Some(*peer),
        _ => None,
    })
}

fn command(side: &mut [Side], line: &str) {
    let words: Vec<_> = line.split(' ').collect();
    let id = words[1].parse().unwrap();
    // A second answer is refused by the engine as by the core: the transcript says so in `done`.
    let Some(peer) = asker(&side[0], id) else {
        panic!("nobody asked {id}")
    };
    let engine = &mut side[0].engine;
    let _refused = match words[0] {
        "reply" => engine.reply(peer, id, Body::Borrowed(&bytes(words[2]))),
        "fault" => {
            let code = FaultCode::from_wire(words[2].parse().unwrap());
            engine.fault(peer, id, code, Retry::Failed, words[3])
        }
        other => panic!("{other} is not for this test"),
    };
    engine.flush();
}

fn bytes(text: &str) -> Vec<u8> {
    text.split(' ')
        .filter(|piece| *piece != "-")
        .flat_map(piece)
        .collect()
}

fn piece(text: &str) -> Vec<u8> {
    let (hex, count) = text
        .split_once('*')
        .map_or((text, 1), |(hex, n)| (hex, n.parse().unwrap()));
    let digits = hex.as_bytes().chunks(2);
    let one: Vec<u8> = digits
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    one.repeat(count)
}
