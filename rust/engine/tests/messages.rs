//! Messages between two engines over real sockets, in plaintext and TLS.
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)] // A test says what failed by panicking.

mod pair;

use std::time::Duration;

use pair::{Seen, Side, certificates, connected, drive};
use ztransport_engine::{Notice, PeerKey, Refusal};
use ztransport_proto::event::{Body, Event};

const SECOND: Duration = Duration::from_secs(30);

fn sides(tls: bool, address: &str) -> ([Side; 2], PeerKey) {
    let certificates = tls.then(certificates);
    let server = certificates.as_ref().map(|c| c.server.clone());
    let client = certificates.as_ref().map(|c| c.client.clone());
    connected(
        Side::new("server", server),
        Side::new("client", client),
        address,
    )
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| (index * 31 % 251) as u8).collect()
}

fn replies(side: &Side) -> Vec<(u64, &[u8])> {
    side.seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Event(_, Event::Reply { token, .. }, bytes) => Some((*token, bytes.as_slice())),
            _ => None,
        })
        .collect()
}

fn echo_everywhere(tls: bool, address: &str) {
    let (mut sides, peer) = sides(tls, address);
    let sizes = [
        0,
        1,
        127,
        128,
        4_096,
        65_535,
        65_536,
        65_537,
        300_000,
        4 << 20,
    ];
    for (token, bytes) in sizes.iter().enumerate() {
        let body = Body::Owned(pattern(*bytes).into());
        sides[1]
            .engine
            .request(peer, "echo", body, Some(SECOND), &[], token as u64)
            .unwrap();
    }
    drive(&mut sides, |sides| {
        sides[0].echo();
        replies(&sides[1]).len() == sizes.len()
    });
    for (token, bytes) in replies(&sides[1]) {
        assert!(
            bytes == pattern(sizes[token as usize]),
            "{} bytes",
            sizes[token as usize]
        );
    }
}

#[test]
fn echo_of_every_size_in_plaintext() {
    echo_everywhere(false, "127.0.0.1:0");
}

#[test]
fn echo_of_every_size_over_mutual_tls() {
    echo_everywhere(true, "127.0.0.1:0");
}

#[test]
fn echo_over_ipv6() {
    echo_everywhere(true, "[::1]:0");
}

#[test]
fn echo_over_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("zt-engine-{}.sock", std::process::id()));
    echo_everywhere(true, &format!("unix:{}", path.display()));
    assert!(
        path.exists(),
        "the file stays while its engine lives, and is replaced by the next"
    );
    echo_everywhere(false, &format!("unix:{}", path.display()));
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_slow_consumer_slows_its_producer_and_nobody_else() {
    let (mut sides, peer) = sides(true, "127.0.0.1:0");
    let body = pattern(1_000);
    let mut sent = 0;
    drive(&mut sides, |sides| {
        while sides[1]
            .engine
            .send(peer, "slow", Body::Borrowed(&body), &[])
            .is_ok()
        {
            sent += 1;
        }
        let refused = sides[1]
            .engine
            .send(peer, "slow", Body::Borrowed(&body), &[]);
        assert_eq!(refused, Err(Refusal::WouldBlock));
        let arrived = sides[0].seen.iter().filter(|s| is_send(s)).count();
        // The window is full and everything has arrived: the producer waits.
        arrived == sent && sent > 4_000
    });
    sides[1]
        .engine
        .request(peer, "echo", Body::Borrowed(b"x"), Some(SECOND), &[], 1)
        .unwrap();
    sides[1]
        .engine
        .send(peer, "other", Body::Borrowed(&body), &[])
        .unwrap();
    let mut accepted = None;
    drive(&mut sides, |sides| {
        for seen in sides[0].echo() {
            if let Seen::Event(from, Event::Send { subject, .. }, _) = seen {
                accepted.get_or_insert((from, subject));
            }
        }
        !replies(&sides[1]).is_empty()
    });
    let (from, subject) = accepted.unwrap();
    sides[0]
        .engine
        .release(from, subject, sent as u32, sent as u64 * 1_000);
    drive(&mut sides, |sides| {
        sides[1]
            .seen
            .iter()
            .any(|seen| matches!(seen, Seen::Event(_, Event::Room { .. }, _)))
    });
    sides[1]
        .engine
        .send(peer, "slow", Body::Borrowed(&body), &[])
        .unwrap();
}

fn is_send(seen: &Seen) -> bool {
    matches!(seen, Seen::Event(_, Event::Send { .. }, _))
}

#[test]
fn one_way_messages_arrive_in_order() {
    let (mut sides, peer) = sides(true, "127.0.0.1:0");
    let (mut sent, mut arrived) = (0_u32, 0_u32);
    drive(&mut sides, |sides| {
        let [server, client] = sides else {
            unreachable!("two sides")
        };
        while sent < 50_000 {
            let bytes = sent.to_le_bytes();
            if client
                .engine
                .send(peer, "log", Body::Borrowed(&bytes), &[])
                .is_err()
            {
                break;
            }
            sent += 1;
        }
        for seen in std::mem::take(&mut server.seen) {
            let Seen::Event(from, Event::Send { subject, .. }, bytes) = seen else {
                continue;
            };
            assert_eq!(bytes, arrived.to_le_bytes());
            arrived += 1;
            server.engine.release(from, subject, 1, 4);
        }
        arrived == 50_000
    });
}

#[test]
fn streams_run_both_ways_and_acknowledge() {
    let (mut sides, peer) = sides(true, "127.0.0.1:0");
    let id = sides[1]
        .engine
        .open_stream(peer, "jobs", Body::Borrowed(b"open"), &[])
        .unwrap();
    for _ in 0..10 {
        sides[1]
            .engine
            .stream_send(peer, id, Body::Borrowed(b"item"))
            .unwrap();
    }
    sides[1].engine.stream_finish(peer, id).unwrap();
    let mut taken = 0;
    drive(&mut sides, |sides| {
        for seen in std::mem::take(&mut sides[0].seen) {
            match seen {
                Seen::Event(from, Event::StreamData { id, .. }, bytes) => {
                    taken += 1;
                    sides[0]
                        .engine
                        .release_stream(from, id, 1, bytes.len() as u64);
                    sides[0]
                        .engine
                        .stream_send(from, id, Body::Borrowed(&bytes))
                        .unwrap();
                }
                Seen::Event(from, Event::StreamEnd { id }, _) => {
                    sides[0].engine.flush_credit_stream(from, id);
                    sides[0].engine.stream_finish(from, id).unwrap();
                }
                _ => {}
            }
        }
        let seen = &sides[1].seen;
        let acknowledged = seen.iter().any(|s| {
            matches!(
                s,
                Seen::Event(_, Event::StreamAcknowledged { count: 10, .. }, _)
            )
        });
        let ended = seen
            .iter()
            .any(|s| matches!(s, Seen::Event(_, Event::StreamEnd { .. }, _)));
        acknowledged && ended
    });
    assert_eq!(taken, 10);
}

#[test]
fn a_forwarded_call_comes_back_without_a_visit() {
    let mut sides = [
        Side::new("broker", None),
        Side::new("gateway", None),
        Side::new("client", None),
    ];
    let node = sides[0].node;
    let broker = sides[0].engine.listen(node, "127.0.0.1:0").unwrap();
    let node = sides[1].node;
    let gateway = sides[1].engine.listen(node, "127.0.0.1:0").unwrap();
    let upstream = sides[1].engine.connect(node, &broker, true).unwrap();
    let node = sides[2].node;
    let peer = sides[2].engine.connect(node, &gateway, true).unwrap();
    for token in 0..20 {
        let body = pattern(token as usize * 10_000);
        sides[2]
            .engine
            .request(
                peer,
                "orders",
                Body::Owned(body.into()),
                Some(SECOND),
                &[],
                token,
            )
            .unwrap();
    }
    drive(&mut sides, |sides| {
        sides[0].echo();
        forward_all(&mut sides[1], upstream);
        replies(&sides[2]).len() == 20
    });
    for (token, bytes) in replies(&sides[2]) {
        assert_eq!(bytes, pattern(token as usize * 10_000));
    }
}

fn forward_all(side: &mut Side, to: PeerKey) {
    for seen in std::mem::take(&mut side.seen) {
        let Seen::Event(from, Event::Request { id, deadline, .. }, bytes) = seen else {
            continue;
        };
        let forward = ztransport_engine::Forward {
            from,
            id,
            to,
            subject: "orders",
            body: Body::Owned(bytes.into()),
            metadata: &[],
            deadline,
        };
        side.engine.forward(forward).unwrap();
    }
}

#[test]
fn a_drain_finishes_what_runs_and_takes_nothing_new() {
    let (mut sides, peer) = sides(true, "127.0.0.1:0");
    sides[1]
        .engine
        .request(peer, "echo", Body::Borrowed(b"x"), Some(SECOND), &[], 1)
        .unwrap();
    sides[1].engine.flush();
    drive(&mut sides, |sides| !sides[0].seen.is_empty());
    let node = sides[0].node;
    sides[0].engine.drain_node(node);
    drive(&mut sides, |sides| {
        sides[1]
            .seen
            .iter()
            .any(|seen| matches!(seen, Seen::Event(_, Event::GoAway { .. }, _)))
    });
    sides[1]
        .engine
        .request(peer, "echo", Body::Borrowed(b"y"), Some(SECOND), &[], 2)
        .unwrap();
    drive(&mut sides, |sides| {
        sides[0]
            .echo()
            .iter()
            .any(|seen| matches!(seen, Seen::Notice(_, Notice::Drained)))
    });
    drive(&mut sides, |sides| {
        sides[1]
            .seen
            .iter()
            .any(|seen| matches!(seen, Seen::Notice(_, Notice::Down { gone: false, .. })))
    });
    assert_eq!(replies(&sides[1]), [(1, &b"x"[..])]);
}

#[test]
fn a_bulk_sender_leaves_the_others_their_share_of_a_turn() {
    let (sides, bulk) = sides(false, "127.0.0.1:0");
    let [mut server, client] = sides;
    let address = client.engine.peer_info(bulk).unwrap().address;
    let mut other = Side::new("other", None);
    let peer = other.engine.connect(other.node, &address, true).unwrap();
    let mut all = [server, client, other];
    drive(&mut all, |all| all[2].engine.is_up(peer));
    let body = pattern(32 * 1024);
    while all[1]
        .engine
        .send(bulk, "bulk", Body::Borrowed(&body), &[])
        .is_ok()
    {}
    all[1].engine.flush();
    all[2]
        .engine
        .request(peer, "echo", Body::Borrowed(b"x"), Some(SECOND), &[], 1)
        .unwrap();
    all[2].engine.flush();
    [server, _, _] = all;
    // Both sockets are ready: one turn serves both, however much the first has.
    server.turn();
    let asked = |seen: &Seen| matches!(seen, Seen::Event(_, Event::Request { .. }, _));
    assert!(server.seen.iter().any(is_send) && server.seen.iter().any(asked));
}

#[test]
fn two_draining_nodes_are_each_told() {
    let mut side = Side::new("first", None);
    let settings = ztransport_engine::NodeSettings {
        cluster: "test".to_owned(),
        node_id: "second".to_owned(),
        advertise: String::new(),
        roles: Vec::new(),
        limits: ztransport_proto::Limits::default(),
        tls: None,
        accept: None,
        dial: None,
        links: ztransport_engine::LinkLimits::default(),
        zeebe: ztransport_engine::ZeebeSettings::default(),
    };
    let nodes = [side.node, side.engine.open_node(settings).unwrap()];
    for node in nodes {
        side.engine.drain_node(node);
    }
    let mut batch = ztransport_engine::Batch::new();
    let mut told = Vec::new();
    while side.engine.poll(&mut batch).unwrap() == ztransport_engine::Poll::Work {
        assert!(matches!(batch.notices[..], [Notice::Drained]));
        told.push(batch.node);
    }
    assert_eq!(told, nodes);
}
