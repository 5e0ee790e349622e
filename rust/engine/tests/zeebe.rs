//! Zeebe's protocol over real sockets, beside ZT/1 on one port (docs/WIRE.md, W-70 to W-86).
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)] // A test says what failed by panicking.

mod pair;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use pair::{Seen, Side, certificates_for, drive, raw};
use ztransport_engine::{
    Engine, EngineSettings, LinkLimits, NodeSettings, Notice, PeerKey, Protocol, ZeebeSettings,
};
use ztransport_proto::event::{Body, Event};
use ztransport_proto::zeebe::preamble;
use ztransport_proto::{FaultCode, Limits};
use ztransport_tls as tls;

const CLUSTER: &str = "test";

fn side(tls: Option<Arc<tls::Material>>, limits: Limits, is_accepted: bool) -> Side {
    let mut side = Side::new("unused", None);
    side.engine = Engine::new(EngineSettings::default()).unwrap();
    let zeebe = ZeebeSettings {
        is_accepted,
        ..ZeebeSettings::default()
    };
    let settings = NodeSettings {
        cluster: CLUSTER.to_owned(),
        node_id: "node".to_owned(),
        advertise: String::new(),
        roles: Vec::new(),
        limits,
        tls,
        accept: None,
        dial: None,
        links: LinkLimits::default(),
        zeebe,
    };
    side.node = side.engine.open_node(settings).unwrap();
    side
}

fn listen(side: &mut Side) -> String {
    side.engine.listen(side.node, "127.0.0.1:0").unwrap()
}

fn dial(sides: &mut [Side], address: &str, protocol: Protocol) -> PeerKey {
    let node = sides[1].node;
    let peer = sides[1]
        .engine
        .connect_with(node, address, true, protocol)
        .unwrap();
    drive(sides, |sides| sides[1].engine.is_up(peer));
    peer
}

/// Asks once and has it echoed.
fn ask(sides: &mut [Side], peer: PeerKey) {
    sides[1]
        .engine
        .request(peer, "echo", Body::Borrowed(b"hello"), None, &[], 7)
        .unwrap();
    drive(sides, |sides| {
        sides[0].echo();
        let reply = |seen: &Seen| matches!(seen, Seen::Event(_, Event::Reply { token: 7, .. }, bytes) if bytes == b"hello");
        let is_there = sides[1].seen.iter().any(reply);
        sides[1].seen.retain(|seen| !reply(seen));
        is_there
    });
}

fn handshake() -> Vec<u8> {
    // Behind it the address `a:1`.
    [&preamble(CLUSTER)[..], b"\x00\x02\x00\x01a\x00\x00\x00\x01"].concat()
}

fn request(id: u8) -> Vec<u8> {
    vec![1, id, 1, b'x', 0, 4, b'e', b'c', b'h', b'o']
}

#[test]
fn w_70_both_protocols_on_one_port() {
    let mut sides = [
        side(None, Limits::default(), true),
        side(None, Limits::default(), false),
    ];
    let address = listen(&mut sides[0]);
    let zeebe = dial(&mut sides, &address, Protocol::Zeebe);
    let zt = dial(&mut sides, &address, Protocol::Zt);
    assert_ne!(zeebe, zt);
    for (peer, protocol) in [(zeebe, "zeebe"), (zt, "zt/1"), (zeebe, "zeebe")] {
        ask(&mut sides, peer);
        assert_eq!(sides[1].engine.peer_info(peer).unwrap().protocol, protocol);
    }
}

#[test]
fn w_86_without_alpn_only_zeebe_may_follow() {
    let made = certificates_for(&["127.0.0.1"], tls::ClientAuth::None);
    let mut sides = [
        side(Some(made.server.clone()), Limits::default(), true),
        side(Some(made.client.clone()), Limits::default(), false),
    ];
    let address = listen(&mut sides[0]);
    let peer = dial(&mut sides, &address, Protocol::Zeebe);
    ask(&mut sides, peer);
    let session = sides[1].engine.peer_info(peer).unwrap().tls.unwrap();
    assert_eq!(session.alpn, None);

    let mut stream = raw::connect(&address);
    let filter = tls::Filter::dial_with(&made.client, "127.0.0.1", tls::Alpn::MayBeAbsent);
    let mut filter = shake(&mut sides, &mut stream, filter.unwrap());
    say(&mut filter, &mut stream, &raw::dialer_bytes(&[]));
    raw::drive_until_closed(&mut sides[..1], "wrong_cluster", 1);
}

#[test]
fn w_86_with_alpn_only_zt_may_follow() {
    let made = certificates_for(&["127.0.0.1"], tls::ClientAuth::None);
    let mut sides = [side(Some(made.server.clone()), Limits::default(), true)];
    let address = listen(&mut sides[0]);
    let mut stream = raw::connect(&address);
    let mut filter = raw::handshake(&mut sides, &mut stream, &made.client);
    say(&mut filter, &mut stream, &handshake());
    raw::drive_until_closed(&mut sides, "bad_preface", 1);
}

/// T10.
#[test]
fn w_86_a_listener_without_zeebe_refuses_an_absent_alpn() {
    let made = certificates_for(&["127.0.0.1"], tls::ClientAuth::None);
    let mut sides = [
        side(Some(made.server), Limits::default(), false),
        side(Some(made.client), Limits::default(), false),
    ];
    let address = listen(&mut sides[0]);
    let node = sides[1].node;
    sides[1]
        .engine
        .connect_with(node, &address, true, Protocol::Zeebe)
        .unwrap();
    drive(&mut sides, |sides| {
        let failed = |notice: &&Notice| matches!(notice, Notice::ConnectFailed { error } if error.reason() == "alpn_refused");
        sides[1].notices().iter().any(failed)
    });
    raw::drive_until_closed(&mut sides[..1], "alpn_refused", 1);
}

fn shake(sides: &mut [Side], stream: &mut TcpStream, mut filter: tls::Filter) -> tls::Filter {
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

fn say(filter: &mut tls::Filter, stream: &mut TcpStream, bytes: &[u8]) {
    filter.seal(bytes).unwrap();
    while filter.pending_bytes() > 0 {
        filter.write_to(stream).unwrap();
    }
}

/// T24.
#[test]
fn w_80_a_peer_that_asks_too_much_is_read_no_more() {
    let limits = Limits {
        request_window_count: 64,
        ..Limits::default()
    };
    let mut sides = [side(None, limits, true)];
    let address = listen(&mut sides[0]);
    let mut stream = raw::connect(&address);
    let requests: Vec<u8> = (0..200).flat_map(|id| request(id % 100)).collect();
    stream.write_all(&[handshake(), requests].concat()).unwrap();
    let asked = |side: &Side| {
        let is_request = |seen: &&Seen| matches!(seen, Seen::Event(_, Event::Request { .. }, _));
        side.seen.iter().filter(is_request).count()
    };
    drive(&mut sides, |sides| asked(&sides[0]) == 64);
    for _ in 0..10 {
        sides[0].turn();
    }
    assert_eq!(asked(&sides[0]), 64);
    let mut answered = 0;
    drive(&mut sides, |sides| {
        answered += asked(&sides[0]);
        sides[0].echo();
        answered == 200
    });
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let said = raw::read_to_end(&mut sides, &mut stream);
    assert_eq!(said.iter().filter(|byte| **byte == b'x').count(), 200);
}

/// T15: a part of a frame is never delivered.
#[test]
fn w_85_a_connection_cut_inside_a_frame_is_truncated() {
    let mut sides = [side(None, Limits::default(), true)];
    let address = listen(&mut sides[0]);
    for cut in 1..request(1).len() as u64 {
        let mut stream = raw::connect(&address);
        let frame = &request(1)[..cut as usize];
        stream.write_all(&[&handshake(), frame].concat()).unwrap();
        drop(stream);
        raw::drive_until_closed(&mut sides, "connection_lost", cut);
    }
    let delivered = |seen: &Seen| matches!(seen, Seen::Event(_, Event::Request { .. }, _));
    assert!(!sides[0].seen.iter().any(delivered));
}

#[test]
fn w_85_a_drained_node_answers_what_runs_and_closes() {
    let mut sides = [side(None, Limits::default(), true)];
    let address = listen(&mut sides[0]);
    let mut stream = raw::connect(&address);
    stream
        .write_all(&[handshake(), request(1)].concat())
        .unwrap();
    let is_request = |seen: &Seen| matches!(seen, Seen::Event(_, Event::Request { .. }, _));
    drive(&mut sides, |sides| sides[0].seen.iter().any(is_request));
    let node = sides[0].node;
    sides[0].engine.drain_node(node);
    sides[0].turn();
    assert!(
        !sides[0]
            .notices()
            .iter()
            .any(|notice| matches!(notice, Notice::Drained))
    );
    sides[0].echo();
    let said = raw::read_to_end(&mut sides, &mut stream);
    assert!(said.ends_with(b"\x02\x01\x01x\x00"), "{said:02x?}");
}

#[test]
fn w_74_what_zeebe_lacks_is_refused_by_name() {
    let mut sides = [
        side(None, Limits::default(), true),
        side(None, Limits::default(), false),
    ];
    let address = listen(&mut sides[0]);
    let peer = dial(&mut sides, &address, Protocol::Zeebe);
    let engine = &mut sides[1].engine;
    let body = Body::Borrowed(b"");
    let refused = [
        engine
            .request(peer, "echo", body.clone(), None, b"\x01\x01\x00kv", 1)
            .map(|_| ()),
        engine
            .open_stream(peer, "echo", body.clone(), &[])
            .map(|_| ()),
        engine.stream_send(peer, 1, body),
    ];
    for refusal in refused {
        let refusal = refusal.unwrap_err();
        assert!(
            matches!(refusal, ztransport_engine::Refusal::Unsupported(_)),
            "{refusal:?}"
        );
    }
    engine.stream_reset(peer, 1, FaultCode::Cancelled, "");
}
