//! Switching a cluster from plaintext to TLS, one node at a time: what a permissive listener takes
//! on its one port, and what a peer without a certificate may not have.
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)] // A test says what failed by panicking.

mod pair;

use std::io::Write;
use std::sync::Arc;

use pair::{Seen, Side, authority, drive, leaf, raw};
use ztransport_engine::{
    Accept, Dialling, Engine, EngineSettings, Failure, FailureKind, LinkLimits, NodeSettings,
    Notice, PeerKey, Protocol, ZeebeSettings,
};
use ztransport_proto::Limits;
use ztransport_proto::event::{Body, Event};
use ztransport_tls as tls;

const IDENTITY: FailureKind = FailureKind::Tls(tls::ErrorKind::IdentityNotAllowed);

fn settings(name: &str, tls: Option<Arc<tls::Material>>) -> NodeSettings {
    NodeSettings {
        cluster: "test".to_owned(),
        node_id: name.to_owned(),
        advertise: String::new(),
        roles: Vec::new(),
        limits: Limits::default(),
        tls,
        accept: None,
        dial: None,
        links: LinkLimits::default(),
        zeebe: ZeebeSettings {
            is_accepted: true,
            ..ZeebeSettings::default()
        },
    }
}

fn side(settings: NodeSettings) -> Side {
    let mut side = Side::new("unused", None);
    side.engine = Engine::new(EngineSettings::default()).unwrap();
    side.node = side.engine.open_node(settings).unwrap();
    side
}

struct Cluster {
    authority: (rcgen::Issuer<'static, rcgen::KeyPair>, String),
}

impl Cluster {
    fn new() -> Cluster {
        Cluster {
            authority: authority(),
        }
    }

    fn options(&self, names: &[&str]) -> tls::Options {
        let (chain, key) = leaf(&self.authority, names);
        let trust = tls::Source::Bytes(self.authority.1.clone().into_bytes());
        tls::Options {
            certificate_chain: Some(tls::Source::Bytes(chain.into_bytes())),
            private_key: Some(tls::Source::Bytes(key.into_bytes())),
            trust: vec![tls::TrustSource::Source(trust)],
            client_auth: tls::ClientAuth::Optional,
            ..tls::Options::default()
        }
    }

    fn material(&self) -> Arc<tls::Material> {
        tls::Material::load(&self.options(&["127.0.0.1"])).unwrap()
    }

    fn permissive(&self) -> Side {
        side(NodeSettings {
            accept: Some(Accept::Permissive),
            ..settings("server", Some(self.material()))
        })
    }

    /// Somebody without a certificate of its own who trusts the cluster's authority.
    fn stranger(&self, name: &str) -> Side {
        let options = tls::Options {
            certificate_chain: None,
            private_key: None,
            ..self.options(&["127.0.0.1"])
        };
        side(settings(name, Some(tls::Material::load(&options).unwrap())))
    }

    fn member(&self, name: &str, dial: Dialling) -> Side {
        side(NodeSettings {
            dial: Some(dial),
            ..settings(name, Some(self.material()))
        })
    }
}

fn listen(side: &mut Side) -> String {
    side.engine.listen(side.node, "127.0.0.1:0").unwrap()
}

/// Dials as one of the sides and returns the peer, or how it failed.
fn dial(
    sides: &mut [Side],
    who: usize,
    address: &str,
    protocol: Protocol,
) -> Result<PeerKey, Failure> {
    let node = sides[who].node;
    let dialled = sides[who]
        .engine
        .connect_with(node, address, false, protocol);
    let peer = dialled.unwrap();
    let mut failed = None;
    drive(sides, |sides| {
        failed = sides[who].seen.iter().find_map(|seen| match seen {
            Seen::Notice(of, Notice::ConnectFailed { error }) if *of == peer => Some(error.clone()),
            _ => None,
        });
        failed.is_some() || sides[who].engine.is_up(peer)
    });
    failed.map_or(Ok(peer), Err)
}

fn ask(sides: &mut [Side], who: usize, peer: PeerKey) {
    let body = Body::Borrowed(b"hello");
    let asked = sides[who].engine.request(peer, "echo", body, None, &[], 7);
    asked.unwrap();
    drive(sides, |sides| {
        let others = sides[0].echo();
        sides[0].seen.extend(others);
        let reply = |seen: &Seen| matches!(seen, Seen::Event(_, Event::Reply { token: 7, .. }, bytes) if bytes == b"hello");
        let is_there = sides[who].seen.iter().any(reply);
        sides[who].seen.retain(|seen| !reply(seen));
        is_there
    });
}

fn plaintext(side: &Side) -> Vec<(String, usize)> {
    let statistics = side.engine.node_statistics(side.node).unwrap();
    statistics.plaintext_connections.into_iter().collect()
}

#[test]
fn a_permissive_port_takes_both_protocols_with_tls_and_without() {
    let cluster = Cluster::new();
    let mut sides = [
        cluster.permissive(),
        cluster.member("old", Dialling::Plaintext),
        cluster.member("new", Dialling::Tls),
    ];
    let address = listen(&mut sides[0]);
    for (who, protocol) in [
        (1, Protocol::Zt),
        (2, Protocol::Zt),
        (1, Protocol::Zeebe),
        (2, Protocol::Zeebe),
    ] {
        let peer = dial(&mut sides, who, &address, protocol).unwrap();
        ask(&mut sides, who, peer);
        let info = sides[who].engine.peer_info(peer).unwrap();
        assert_eq!(info.tls.is_some(), who == 2);
    }
    let left = plaintext(&sides[0]);
    assert_eq!(left.len(), 2, "{left:?}");
    // A Zeebe peer has no node id: it is counted by its address.
    assert!(left[0].0.starts_with("127.0.0.1:") && left[0].1 == 1);
    assert_eq!(left[1], ("old".to_owned(), 1));
    assert_eq!(plaintext(&sides[2]), []);
    assert_eq!(
        plaintext(&sides[1])
            .iter()
            .map(|(_, count)| count)
            .sum::<usize>(),
        2
    );
}

#[test]
fn the_first_bytes_may_come_one_by_one() {
    let cluster = Cluster::new();
    let mut sides = [cluster.permissive(), cluster.member("x", Dialling::Tls)];
    let address = listen(&mut sides[0]);
    let mut stream = raw::connect(&address);
    for byte in raw::dialer_bytes(&[b"hi"]) {
        stream.write_all(&[byte]).unwrap();
        sides[0].turn();
    }
    drive(&mut sides[..1], |sides| {
        let asked = |seen: &Seen| matches!(seen, Seen::Event(_, Event::Request { .. }, bytes) if bytes == b"hi");
        sides[0].seen.iter().any(asked)
    });

    let material = cluster.material();
    let mut filter = tls::Filter::dial(&material, "127.0.0.1").unwrap();
    let mut hello = Vec::new();
    while filter.pending_bytes() > 0 {
        filter.write_to(&mut hello).unwrap();
    }
    let mut stream = raw::connect(&address);
    for byte in &hello[..3] {
        stream.write_all(&[*byte]).unwrap();
        sides[0].turn();
    }
    stream.write_all(&hello[3..]).unwrap();
    let mut plain = Vec::new();
    stream.set_nonblocking(true).unwrap();
    while filter.is_handshaking() {
        sides[0].turn();
        let mut chunk = [0; 4096];
        match std::io::Read::read(&mut stream, &mut chunk) {
            Ok(count) => filter.handle_input(&chunk[..count], &mut plain).unwrap(),
            Err(_) => std::thread::yield_now(),
        }
    }
}

/// One byte of a TLS record says nothing yet: whoever stops there is a handshake that never ends.
#[test]
fn a_first_byte_that_is_the_last_is_no_plaintext_connection() {
    let cluster = Cluster::new();
    let mut sides = [cluster.permissive()];
    let address = listen(&mut sides[0]);
    let mut stream = raw::connect(&address);
    stream.write_all(&[0x16]).unwrap();
    drive(&mut sides, |sides| {
        let counted = sides[0].engine.node_statistics(sides[0].node).unwrap();
        counted.bytes_received == 1
    });
    let counted = sides[0].engine.node_statistics(sides[0].node).unwrap();
    assert_eq!((counted.handshaking, plaintext(&sides[0]).len()), (1, 0));
    drop(stream);
    raw::drive_until_closed(&mut sides, "connection_lost", 1);
}

#[test]
fn a_dialler_with_tls_never_falls_back() {
    let cluster = Cluster::new();
    let mut sides = [
        side(settings("server", None)),
        cluster.member("new", Dialling::Tls),
    ];
    let address = listen(&mut sides[0]);
    for protocol in [Protocol::Zt, Protocol::Zeebe] {
        let error = dial(&mut sides, 1, &address, protocol).unwrap_err();
        assert_eq!(
            *error.kind(),
            FailureKind::Tls(tls::ErrorKind::PlaintextPeer)
        );
    }
    raw::drive_until_closed(&mut sides, "tls_peer", 2);
    let counted = sides[1].engine.node_statistics(sides[1].node).unwrap();
    assert_eq!((counted.dialled, counted.connections), (2, 0));
    let counted = sides[0].engine.node_statistics(sides[0].node).unwrap();
    assert_eq!(counted.accepted, 2);
}

#[test]
fn each_step_has_its_door() {
    let cluster = Cluster::new();
    let refused = |accept, dial: Option<Dialling>| {
        let server = NodeSettings {
            accept: Some(accept),
            ..settings("server", Some(cluster.material()))
        };
        let client = match dial {
            Some(dial) => cluster.member("client", dial),
            None => side(settings("client", None)),
        };
        let mut sides = [side(server), client];
        let address = listen(&mut sides[0]);
        dial_one(&mut sides, &address)
    };
    assert_eq!(refused(Accept::Plaintext, None), None);
    assert_eq!(refused(Accept::Plaintext, Some(Dialling::Plaintext)), None);
    let plaintext = FailureKind::Tls(tls::ErrorKind::PlaintextPeer);
    assert_eq!(
        refused(Accept::Plaintext, Some(Dialling::Tls)),
        Some(plaintext)
    );
    assert_eq!(refused(Accept::Permissive, None), None);
    assert_eq!(refused(Accept::Permissive, Some(Dialling::Tls)), None);
    assert_eq!(refused(Accept::Tls, None), Some(FailureKind::TlsPeer));
    assert_eq!(refused(Accept::Tls, Some(Dialling::Tls)), None);
}

fn dial_one(sides: &mut [Side], address: &str) -> Option<FailureKind> {
    let dialled = dial(sides, 1, address, Protocol::Zt);
    dialled.err().map(|error| error.kind().clone())
}

#[test]
fn what_contradicts_itself_does_not_open() {
    let cluster = Cluster::new();
    let mut engine = Engine::new(EngineSettings::default()).unwrap();
    for (accept, dial, word) in [
        (Some(Accept::Tls), None, "accept=\"tls\""),
        (Some(Accept::Permissive), None, "accept=\"permissive\""),
        (None, Some(Dialling::Tls), "dial=\"tls\""),
    ] {
        let contradiction = NodeSettings {
            accept,
            dial,
            ..settings("a", None)
        };
        let error = engine.open_node(contradiction).unwrap_err();
        assert_eq!(*error.kind(), FailureKind::Configuration);
        assert!(error.to_string().contains(word), "{error}");
    }
    let mut stranger = cluster.stranger("a");
    let error = stranger.engine.listen(stranger.node, "127.0.0.1:0");
    assert_eq!(*error.unwrap_err().kind(), FailureKind::Configuration);
}

#[test]
fn without_a_certificate_nobody_is_on_a_list() {
    let cluster = Cluster::new();
    let entry = |id: &str, glob: &str| (id.to_owned(), glob.to_owned());
    let restricted = |allowed: &[&str], by_id: Vec<(String, String)>| {
        let options = tls::Options {
            allowed_identities: allowed.iter().map(ToString::to_string).collect(),
            node_identities: by_id,
            ..cluster.options(&["127.0.0.1"])
        };
        tls::Material::load(&options).unwrap()
    };
    for (material, expected) in [
        (restricted(&["**"], vec![]), Some(IDENTITY)),
        (restricted(&[], vec![entry("*", "**")]), Some(IDENTITY)),
        (restricted(&[], vec![entry("other", "**")]), Some(IDENTITY)),
        (restricted(&["!old"], vec![]), Some(IDENTITY)),
        (restricted(&["!older"], vec![]), None),
        (restricted(&[], vec![]), None),
    ] {
        let server = NodeSettings {
            accept: Some(Accept::Permissive),
            ..settings("server", Some(material.clone()))
        };
        let mut sides = [side(server), side(settings("old", None))];
        let address = listen(&mut sides[0]);
        assert_eq!(dial_one(&mut sides, &address), expected);

        // The same holds for whom such a node dials in plaintext.
        let client = NodeSettings {
            dial: Some(Dialling::Plaintext),
            ..settings("client", Some(material))
        };
        let mut sides = [side(settings("old", None)), side(client)];
        let address = listen(&mut sides[0]);
        assert_eq!(dial_one(&mut sides, &address), expected);
    }
}

#[test]
fn a_false_node_id_is_told_to_both_sides() {
    let cluster = Cluster::new();
    let believing = |id: &str, wanted: &str| {
        let options = tls::Options {
            node_identities: vec![("*".to_owned(), wanted.to_owned())],
            ..cluster.options(&[
                "127.0.0.1",
                "{node_id}.example".replace("{node_id}", id).as_str(),
            ])
        };
        tls::Material::load(&options).unwrap()
    };
    let wanted = "{node_id}.example";
    let judge = || believing("judge", wanted);
    for (by_dialer, name) in [(false, "a"), (true, "a"), (false, "b"), (true, "b")] {
        let judge = side(settings("judge", Some(judge())));
        let shown = side(settings(name, Some(believing("a", "**"))));
        let mut sides = match by_dialer {
            true => [shown, judge],
            false => [judge, shown],
        };
        let address = listen(&mut sides[0]);
        let expected = (name == "b").then_some(IDENTITY);
        assert_eq!(
            dial_one(&mut sides, &address),
            expected,
            "{name} {by_dialer}"
        );
        if expected.is_some() {
            raw::drive_until_closed(&mut sides, "identity_not_allowed", 1);
            assert!(
                !sides[0]
                    .seen
                    .iter()
                    .any(|seen| matches!(seen, Seen::Event(..)))
            );
        }
    }
}

#[test]
fn a_role_is_proven_by_the_certificate() {
    let cluster = Cluster::new();
    let asking = || {
        let by_role = ("*".to_owned(), "{role}-{node_id}.example".to_owned());
        let options = tls::Options {
            role_identities: vec![by_role],
            ..cluster.options(&["127.0.0.1"])
        };
        side(settings(
            "server",
            Some(tls::Material::load(&options).unwrap()),
        ))
    };
    for (roles, expected) in [
        (vec![], None),
        (vec!["broker"], None),
        (vec!["gateway"], Some(IDENTITY)),
        (vec!["broker", "gateway"], Some(IDENTITY)),
    ] {
        let options = cluster.options(&["127.0.0.1", "broker-a.example"]);
        let client = NodeSettings {
            roles: roles.iter().map(ToString::to_string).collect(),
            ..settings("a", Some(tls::Material::load(&options).unwrap()))
        };
        let mut sides = [asking(), side(client)];
        let address = listen(&mut sides[0]);
        assert_eq!(dial_one(&mut sides, &address), expected, "{roles:?}");
        let told = sides[0].seen.iter().find_map(|seen| match seen {
            Seen::Notice(peer, Notice::Accepted) => sides[0].engine.peer_info(*peer),
            _ => None,
        });
        assert_eq!(
            told.map(|info| info.roles),
            expected
                .is_none()
                .then_some(roles.iter().map(ToString::to_string).collect())
        );
    }
    let many = NodeSettings {
        roles: vec!["r".to_owned(); 17],
        ..settings("a", None)
    };
    let mut engine = Engine::new(EngineSettings::default()).unwrap();
    let error = engine.open_node(many).unwrap_err();
    assert_eq!(*error.kind(), FailureKind::Configuration);
}

/// A listener has no call that could raise: it is told whom it refused, why, and what to do.
#[test]
fn a_listener_is_told_whom_it_refused() {
    let cluster = Cluster::new();
    let mut sides = [
        cluster.member("server", Dialling::Tls),
        side(settings("old", None)),
    ];
    let address = listen(&mut sides[0]);
    let raised = dial(&mut sides, 1, &address, Protocol::Zt).unwrap_err();
    assert_eq!(*raised.kind(), FailureKind::TlsPeer);
    assert_eq!(raised.peer(), Some(address.as_str()));
    let mut told = None;
    drive(&mut sides, |sides| {
        told = sides[0].notices().iter().find_map(|notice| match notice {
            Notice::Refused { error } => Some(error.clone()),
            _ => None,
        });
        told.is_some()
    });
    let told = told.unwrap();
    assert_eq!(
        *told.kind(),
        FailureKind::Tls(tls::ErrorKind::PlaintextPeer)
    );
    assert!(told.peer().unwrap().starts_with("127.0.0.1:"));
    assert!(!told.cause().is_empty() && !told.remedy().is_empty());

    // Somebody who only looks whether the port is open is nobody who was refused.
    sides[0].seen.clear();
    drop(raw::connect(&address));
    raw::drive_until_closed(&mut sides, "connection_lost", 1);
    assert!(sides[0].notices().is_empty());
}

#[test]
fn a_node_id_that_is_proven_is_not_to_be_had_in_plaintext() {
    let cluster = Cluster::new();
    let mut sides = vec![
        cluster.permissive(),
        cluster.member("broker", Dialling::Tls),
        side(settings("broker", None)),
        side(settings("other", None)),
    ];
    let address = listen(&mut sides[0]);
    let proven = dial(&mut sides, 1, &address, Protocol::Zt).unwrap();
    let error = dial(&mut sides, 2, &address, Protocol::Zt).unwrap_err();
    assert_eq!(*error.kind(), IDENTITY);
    dial(&mut sides, 3, &address, Protocol::Zt).unwrap();
    // TLS without a certificate proves no more than plaintext does.
    sides.push(cluster.stranger("broker"));
    let error = dial(&mut sides, 4, &address, Protocol::Zt).unwrap_err();
    assert_eq!(*error.kind(), IDENTITY);
    sides[1].engine.close_peer(proven);
    raw::drive_until_closed(&mut sides, "closed_in_order", 1);
    dial(&mut sides, 2, &address, Protocol::Zt).unwrap();
}

#[test]
fn whoever_proves_a_node_id_takes_it_back() {
    let cluster = Cluster::new();
    let mut sides = [
        cluster.permissive(),
        side(settings("broker", None)),
        cluster.member("broker", Dialling::Tls),
    ];
    let address = listen(&mut sides[0]);
    let peer = dial(&mut sides, 1, &address, Protocol::Zt).unwrap();
    let body = Body::Borrowed(b"late");
    let asked = sides[1].engine.request(peer, "echo", body, None, &[], 7);
    asked.unwrap();
    dial(&mut sides, 2, &address, Protocol::Zt).unwrap();
    // What was asked before is answered, and then the connection is closed by who opened it.
    drive(&mut sides, |sides| {
        let others = sides[0].echo();
        sides[0].seen.extend(others);
        let reply = |seen: &Seen| matches!(seen, Seen::Event(_, Event::Reply { token: 7, .. }, _));
        sides[1].seen.iter().any(reply) && !sides[1].engine.is_up(peer)
    });
    drive(&mut sides, |sides| plaintext(&sides[0]).is_empty());
    let error = dial(&mut sides, 1, &address, Protocol::Zt).unwrap_err();
    assert_eq!(*error.kind(), IDENTITY);
}

/// A node that is dialled with TLS may itself still dial in plaintext: half of a cluster does while
/// it is switched.
#[test]
fn a_node_that_was_dialled_with_tls_may_dial_in_plaintext() {
    let cluster = Cluster::new();
    let mut sides = [cluster.permissive(), {
        side(NodeSettings {
            accept: Some(Accept::Permissive),
            dial: Some(Dialling::Plaintext),
            ..settings("b", Some(cluster.material()))
        })
    }];
    let (first, second) = (listen(&mut sides[0]), listen(&mut sides[1]));
    dial(&mut sides, 0, &second, Protocol::Zt).unwrap();
    dial(&mut sides, 1, &first, Protocol::Zt).unwrap();
}
