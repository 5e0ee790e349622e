//! What broken and hostile peers do, and what the engine makes of it. Named by the abuse list's ids.
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)] // A test says what failed by panicking.

mod pair;

use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use pair::raw::{
    connect, dialer, dialer_bytes, drain, drive_until_closed, events, handshake, read_to_end, send,
};
use pair::{
    Authority, Seen, Side, Standing, authority, certificates, certificates_for, connected, drive,
};
use ztransport_engine::{Failure, FailureKind, LinkLimits, Notice};
use ztransport_proto::Limits;
use ztransport_proto::event::{Body, Event};
use ztransport_tls as tls;

const LONG: Duration = Duration::from_secs(30);

fn listening(
    tls: Option<Arc<tls::Material>>,
    limits: Limits,
    links: LinkLimits,
) -> ([Side; 1], String) {
    let mut side = Side::with("server", tls, limits, links);
    let address = side.engine.listen(side.node, "127.0.0.1:0").unwrap();
    ([side], address)
}

/// Dials and returns how it failed.
fn failure(server: Side, client: Side) -> ([Side; 2], Failure) {
    let mut sides = [server, client];
    let node = sides[0].node;
    let address = sides[0].engine.listen(node, "127.0.0.1:0").unwrap();
    let node = sides[1].node;
    sides[1].engine.connect(node, &address, true).unwrap();
    let error = refused(&mut sides);
    (sides, error)
}

/// How the second side's dial fails.
fn refused(sides: &mut [Side; 2]) -> Failure {
    let mut failure = None;
    drive(sides, |sides| {
        failure = sides[1].notices().iter().find_map(|notice| match notice {
            Notice::ConnectFailed { error } => Some(error.clone()),
            _ => None,
        });
        failure.is_some()
    });
    failure.unwrap()
}

fn counted(sides: &mut [Side], reason: &str) {
    drive_until_closed(sides, reason, 1);
}

#[test]
fn a_refused_connection_says_so() {
    let mut side = Side::new("client", None);
    let unused = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    side.engine
        .connect(side.node, &unused.to_string(), true)
        .unwrap();
    let mut sides = [side];
    drive(&mut sides, |sides| !sides[0].seen.is_empty());
    let [Seen::Notice(_, Notice::ConnectFailed { error })] = &sides[0].seen[..] else {
        panic!("{:?}", sides[0].seen)
    };
    assert_eq!(*error.kind(), FailureKind::ConnectFailed);
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn a_taken_port_says_so() {
    let mut side = Side::new("server", None);
    let address = side.engine.listen(side.node, "127.0.0.1:0").unwrap();
    let error = side.engine.listen(side.node, &address).unwrap_err();
    assert_eq!(*error.kind(), FailureKind::AddressInUse);
}

#[test]
fn wrong_cluster_is_told_to_both_sides() {
    let mut client = Side::new("client", None);
    let settings = ztransport_engine::NodeSettings {
        cluster: "other".to_owned(),
        node_id: "client".to_owned(),
        advertise: String::new(),
        roles: Vec::new(),
        limits: Limits::default(),
        tls: None,
        accept: None,
        dial: None,
        links: LinkLimits::default(),
        zeebe: ztransport_engine::ZeebeSettings::default(),
    };
    client.node = client.engine.open_node(settings).unwrap();
    let (mut sides, error) = failure(Side::new("server", None), client);
    assert_eq!(*error.kind(), FailureKind::WrongCluster);
    counted(&mut sides, "wrong_cluster");
}

#[test]
fn t9_a_plaintext_dialer_at_a_tls_listener_fails_typed_on_both_sides() {
    let certificates = certificates();
    let server = Side::new("server", Some(certificates.server));
    let (mut sides, error) = failure(server, Side::new("client", None));
    assert_eq!(*error.kind(), FailureKind::TlsPeer);
    counted(&mut sides, "not_tls");
}

#[test]
fn t9_a_tls_dialer_at_a_plaintext_listener_fails_typed_on_both_sides() {
    let certificates = certificates();
    let client = Side::new("client", Some(certificates.client));
    let (mut sides, error) = failure(Side::new("server", None), client);
    assert_eq!(
        *error.kind(),
        FailureKind::Tls(tls::ErrorKind::PlaintextPeer)
    );
    counted(&mut sides, "tls_peer");
}

#[test]
fn a_wrong_name_and_a_missing_client_certificate_are_told_apart() {
    let other = certificates_for(&["broker.example"], tls::ClientAuth::None);
    let (_, error) = failure(
        Side::new("server", Some(other.server)),
        Side::new("client", Some(other.client)),
    );
    assert_eq!(
        *error.kind(),
        FailureKind::Tls(tls::ErrorKind::NameMismatch)
    );

    let authority = authority();
    let leaf = pair::leaf(&authority, &["127.0.0.1"]);
    let server = pair::material(leaf, &authority.1, tls::ClientAuth::Required);
    let trust = tls::TrustSource::Source(tls::Source::Bytes(authority.1.clone().into_bytes()));
    let options = tls::Options {
        trust: vec![trust],
        ..tls::Options::default()
    };
    let client = tls::Material::load(&options).unwrap();
    let (mut sides, error) = failure(
        Side::new("server", Some(server)),
        Side::new("client", Some(client)),
    );
    assert_eq!(
        *error.kind(),
        FailureKind::Tls(tls::ErrorKind::ClientCertificateRequired)
    );
    counted(&mut sides, "no_client_certificate");
}

#[test]
fn t1_t2_silent_and_dripping_handshakes_end_at_a_total_deadline() {
    let links = LinkLimits {
        handshake_timeout_ms: 50,
        ..LinkLimits::default()
    };
    let (mut sides, address) = listening(Some(certificates().server), Limits::default(), links);
    let silent: Vec<_> = (0..20).map(|_| connect(&address)).collect();
    let mut dripping = connect(&address);
    send(&mut dripping, &[0x16, 0x03, 0x01]);
    drive_until_closed(&mut sides, "handshake_timeout", 21);
    assert_eq!(
        sides[0]
            .engine
            .node_statistics(sides[0].node)
            .unwrap()
            .handshaking,
        0
    );
    drop(silent);
}

#[test]
fn t3_tls_without_a_greeting_ends_at_its_own_deadline() {
    let certificates = certificates();
    let limits = Limits {
        hello_timeout_ms: 50,
        ..Limits::default()
    };
    let (mut sides, address) = listening(Some(certificates.server), limits, LinkLimits::default());
    let mut stream = connect(&address);
    let _filter = handshake(&mut sides, &mut stream, &certificates.client);
    drive_until_closed(&mut sides, "handshake_timeout", 1);
}

/// A dialer that stands still until the listener has given up, before or after it has spoken.
fn late(server: Option<Arc<tls::Material>>, client: Option<Arc<tls::Material>>, speaks: bool) {
    let limits = Limits {
        hello_timeout_ms: 50,
        ..Limits::default()
    };
    let links = LinkLimits {
        handshake_timeout_ms: 50,
        ..LinkLimits::default()
    };
    let (mut server, address) = listening(server, limits, links);
    let mut client = [Side::new("client", client)];
    let node = client[0].node;
    client[0].engine.connect(node, &address, false).unwrap();
    if speaks {
        drive(&mut client, |sides| {
            sides[0].engine.node_statistics(node).unwrap().bytes_sent > 0
        });
    }
    counted(&mut server, "handshake_timeout");
    let ([server], [client]) = (server, client);
    let error = refused(&mut [server, client]);
    assert_eq!(*error.kind(), FailureKind::HandshakeTimeout, "{error}");
}

#[test]
fn t1_t3_a_dialer_that_is_late_learns_it() {
    let certificates = certificates();
    for speaks in [false, true] {
        let server = certificates.server.clone();
        late(Some(server), Some(certificates.client.clone()), speaks);
    }
    late(None, None, false);
}

/// Two nodes whose clocks differ: the one believes in its certificate, the other does not.
#[test]
fn c1_c2_a_certificate_that_is_not_valid_at_this_time_between_two_nodes() {
    let authority = authority();
    let (expired, early) = (
        tls::ErrorKind::CertificateExpired,
        tls::ErrorKind::CertificateNotYetValid,
    );
    for (year, kind, reason) in [
        (2031, expired.clone(), "certificate_expired"),
        (2019, early, "certificate_not_yet_valid"),
    ] {
        let shown = || dated(&authority, 2025, tls::ClientAuth::None);
        let judge = |auth| dated(&authority, year, auth);
        let (mut sides, error) = failure(
            Side::new("server", Some(shown())),
            Side::new("client", Some(judge(tls::ClientAuth::None))),
        );
        assert_eq!(*error.kind(), FailureKind::Tls(kind));
        // One alert stands for both ends of the validity.
        counted(&mut sides, "certificate_expired");

        let (mut sides, error) = failure(
            Side::new("server", Some(judge(tls::ClientAuth::Required))),
            Side::new("client", Some(shown())),
        );
        assert_eq!(*error.kind(), FailureKind::Tls(expired.clone()));
        assert!(
            error.cause().contains("is not valid at this time"),
            "{error}"
        );
        counted(&mut sides, reason);
    }
}

/// A node in a year; its certificate is good from 2020 to 2030 or, for those who live outside of
/// that, always.
fn dated(authority: &Authority, year: i32, client_auth: tls::ClientAuth) -> Arc<tls::Material> {
    let day = |year| rcgen::date_time_ymd(year, 1, 1);
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    if (2020..2030).contains(&year) {
        (params.not_before, params.not_after) = (day(2020), day(2030));
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let chain = params.signed_by(&key, &authority.0).unwrap().pem();
    let bytes = |pem: String| tls::Source::Bytes(pem.into_bytes());
    let options = tls::Options {
        certificate_chain: Some(bytes(chain)),
        private_key: Some(bytes(key.serialize_pem())),
        trust: vec![tls::TrustSource::Source(bytes(authority.1.clone()))],
        client_auth,
        clock: Arc::new(Standing(day(year).unix_timestamp() as u64)),
        ..tls::Options::default()
    };
    tls::Material::load(&options).unwrap()
}

#[test]
fn t5_the_oldest_handshake_makes_room_and_a_source_has_its_share() {
    let links = LinkLimits {
        handshakes_max: 8,
        ..LinkLimits::default()
    };
    let (mut sides, address) = listening(Some(certificates().server), Limits::default(), links);
    let _sockets: Vec<_> = (0..10).map(|_| connect(&address)).collect();
    drive_until_closed(&mut sides, "handshakes_max", 2);
    assert_eq!(
        sides[0]
            .engine
            .node_statistics(sides[0].node)
            .unwrap()
            .handshaking,
        8
    );

    let links = LinkLimits {
        handshakes_per_source_max: 3,
        ..LinkLimits::default()
    };
    let (mut sides, address) = listening(Some(certificates().server), Limits::default(), links);
    let _sockets: Vec<_> = (0..5).map(|_| connect(&address)).collect();
    drive_until_closed(&mut sides, "handshakes_per_source_max", 2);
}

#[test]
fn t8_other_protocols_are_refused_and_counted() {
    let hello: [&[u8]; 3] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        &[0xff; 64],
    ];
    for bytes in hello {
        let (mut sides, address) = listening(
            Some(certificates().server),
            Limits::default(),
            LinkLimits::default(),
        );
        let mut stream = connect(&address);
        send(&mut stream, bytes);
        let answer = read_to_end(&mut sides, &mut stream);
        assert_eq!(
            answer,
            [0x15, 3, 3, 0, 2, 2, 10],
            "one alert and nothing else"
        );
        counted(&mut sides, "not_tls");

        let (mut sides, address) = listening(None, Limits::default(), LinkLimits::default());
        let mut stream = connect(&address);
        send(&mut stream, bytes);
        read_to_end(&mut sides, &mut stream);
        counted(&mut sides, "bad_preface");
    }
}

#[test]
fn t15_a_plaintext_end_inside_a_frame_is_truncation() {
    let bytes = dialer_bytes(&[b"one", b"two"]);
    let ends = frame_ends(&bytes);
    for cut in ends[0]..=bytes.len() {
        let (mut sides, address) = listening(None, Limits::default(), LinkLimits::default());
        let mut stream = connect(&address);
        send(&mut stream, &bytes[..cut]);
        stream.shutdown(Shutdown::Write).unwrap();
        let reason = if ends.contains(&cut) {
            "closed_in_order"
        } else {
            "connection_lost"
        };
        let node = sides[0].node;
        drive(&mut sides, |sides| {
            sides[0].echo();
            let closed = sides[0].engine.node_statistics(node).unwrap().closed;
            assert!(
                closed.keys().all(|name| *name == reason),
                "cut at {cut}: {closed:?}"
            );
            !closed.is_empty()
        });
    }
}

/// Where each frame behind the preface ends.
fn frame_ends(bytes: &[u8]) -> Vec<usize> {
    let mut at = ztransport_proto::limits::PREFACE_BYTES;
    let mut ends = Vec::new();
    while at < bytes.len() {
        let length: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
        at += ztransport_proto::limits::HEADER_BYTES + u32::from_le_bytes(length) as usize;
        ends.push(at);
    }
    ends
}

#[test]
fn t15_a_fin_without_close_notify_is_never_a_clean_end() {
    let certificates = certificates();
    let (mut sides, address) = listening(
        Some(certificates.server),
        Limits::default(),
        LinkLimits::default(),
    );
    let mut stream = connect(&address);
    let mut filter = handshake(&mut sides, &mut stream, &certificates.client);
    filter.seal(&dialer_bytes(&[])).unwrap();
    filter.write_to(&mut stream).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    counted(&mut sides, "connection_lost");
}

#[test]
fn t16_a_peer_that_dies_fails_its_calls_and_is_dialled_again() {
    let certificates = certificates();
    let server = Side::new("server", Some(certificates.server.clone()));
    let (sides, peer) = connected(
        server,
        Side::new("client", Some(certificates.client)),
        "127.0.0.1:0",
    );
    let [server, mut client] = sides;
    let address = client.engine.peer_info(peer).unwrap().address;
    client
        .engine
        .request(peer, "echo", Body::Borrowed(b"x"), Some(LONG), &[], 7)
        .unwrap();
    client.engine.flush();
    drop(server);
    let mut alone = [client];
    drive(&mut alone, |sides| {
        let failed = |n: &&Notice| matches!(n, Notice::Failed { token: 7, error, .. } if *error.kind() == FailureKind::ConnectionLost);
        sides[0].notices().iter().any(failed)
    });
    let [mut client] = alone;
    client
        .engine
        .request(peer, "echo", Body::Borrowed(b"y"), Some(LONG), &[], 8)
        .unwrap();
    let mut reborn = Side::new("server", Some(certificates.server));
    reborn.engine.listen(reborn.node, &address).unwrap();
    let mut sides = [reborn, client];
    drive(&mut sides, |sides| {
        sides[0].echo();
        sides[1]
            .seen
            .iter()
            .any(|s| matches!(s, Seen::Event(_, Event::Reply { token: 8, .. }, _)))
    });
}

#[test]
fn t18_replies_reach_a_peer_that_has_closed_its_side() {
    let (mut sides, address) = listening(None, Limits::default(), LinkLimits::default());
    let mut codec = dialer();
    let subject = codec.subject("echo").unwrap();
    for token in 0..3 {
        let body = Body::Borrowed(b"late");
        codec
            .request(
                ztransport_proto::Time::ZERO,
                subject,
                body,
                None,
                &[],
                token,
            )
            .unwrap();
    }
    let mut stream = connect(&address);
    send(&mut stream, &drain(&mut codec));
    stream.shutdown(Shutdown::Write).unwrap();
    drive(&mut sides, |sides| requests(&sides[0]) == 3);
    sides[0].echo();
    sides[0].engine.flush();
    let answer = read_to_end(&mut sides, &mut stream);
    let replies = events(&mut codec, &answer);
    assert_eq!(
        replies
            .iter()
            .filter(|e| matches!(e, Event::Reply { .. }))
            .count(),
        3
    );
}

fn requests(side: &Side) -> usize {
    let is_request = |seen: &&Seen| matches!(seen, Seen::Event(_, Event::Request { .. }, _));
    side.seen.iter().filter(is_request).count()
}

#[test]
fn t24_a_peer_that_never_reads_is_cut_off() {
    let links = LinkLimits {
        write_stall_ms: 50,
        ..LinkLimits::default()
    };
    let (mut sides, address) = listening(None, Limits::default(), links);
    let mut codec = dialer();
    let mut stream = connect(&address);
    let subject = codec.subject("echo").unwrap();
    let body = vec![b'x'; 16 * 1024];
    for token in 0..64 {
        codec
            .request(
                ztransport_proto::Time::ZERO,
                subject,
                Body::Borrowed(&body),
                None,
                &[],
                token,
            )
            .unwrap();
    }
    send(&mut stream, &drain(&mut codec));
    let mut answered = 0;
    let node = sides[0].node;
    drive(&mut sides, |sides| {
        for seen in std::mem::take(&mut sides[0].seen) {
            let Seen::Event(peer, Event::Request { id, .. }, _) = seen else {
                continue;
            };
            let huge = bytes::Bytes::from(vec![0; 4 << 20]);
            answered += 1;
            let _ = sides[0].engine.reply(peer, id, Body::Owned(huge));
        }
        let closed = sides[0].engine.node_statistics(node).unwrap().closed;
        closed.contains_key("slow_consumer")
    });
    assert!(answered > 0);
}
