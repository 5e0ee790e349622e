//! Connections that are replaced or ended while their nodes run: new lists, age, certificates that end.
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)] // A test says what failed by panicking.

mod pair;

use std::sync::Arc;

use pair::{Authority, Seen, Side, answers, ask, authority, certificates, connected};
use pair::{Standing, current, drive, leaf, material};
use ztransport_engine::{FailureKind, LinkLimits, Notice};
use ztransport_proto::Limits;
use ztransport_proto::event::{Body, Event};
use ztransport_tls as tls;

fn bytes(pem: String) -> tls::Source {
    tls::Source::Bytes(pem.into_bytes())
}

/// A listener that judges dialers by a list of `revoked` serial numbers.
fn judge(authority: &Authority, own: &(String, String), revoked: &[u64]) -> Arc<tls::Material> {
    let day = rcgen::date_time_ymd;
    let listed = |serial: &u64| rcgen::RevokedCertParams {
        serial_number: rcgen::SerialNumber::from(*serial),
        revocation_time: day(2001, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = rcgen::CertificateRevocationListParams {
        this_update: day(2001, 1, 1),
        next_update: day(3000, 1, 1),
        crl_number: rcgen::SerialNumber::from(1 + revoked.len() as u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(listed).collect(),
        key_identifier_method: rcgen::KeyIdMethod::Sha256,
    };
    let list = list.signed_by(&authority.0).unwrap().pem().unwrap();
    let options = tls::Options {
        certificate_chain: Some(bytes(own.0.clone())),
        private_key: Some(bytes(own.1.clone())),
        trust: vec![tls::TrustSource::Source(bytes(authority.1.clone()))],
        client_auth: tls::ClientAuth::Required,
        revocation_lists: vec![bytes(list)],
        ..tls::Options::default()
    };
    tls::Material::load(&options).unwrap()
}

fn numbered(authority: &Authority, serial: u64) -> (String, String) {
    let mut params = rcgen::CertificateParams::new(vec!["client".to_owned()]).unwrap();
    params.serial_number = Some(rcgen::SerialNumber::from(serial));
    let key = rcgen::KeyPair::generate().unwrap();
    let signed = params.signed_by(&key, &authority.0).unwrap();
    (signed.pem(), key.serialize_pem())
}

fn revoked(notice: &&Notice) -> bool {
    let kind = FailureKind::Tls(tls::ErrorKind::CertificateRevoked);
    matches!(notice, Notice::Down { error: Some(error), gone: true } if *error.kind() == kind)
}

#[test]
fn c5_a_new_list_ends_the_connections_of_the_revoked_and_no_others() {
    let authority = authority();
    let own = leaf(&authority, &["127.0.0.1"]);
    let client = |serial| {
        let shown = numbered(&authority, serial);
        Some(material(shown, &authority.1, tls::ClientAuth::None))
    };
    let server = Side::new("server", Some(judge(&authority, &own, &[])));
    let (sides, peer) = connected(server, Side::new("bad", client(7)), "127.0.0.1:0");
    let [server, bad] = sides;
    let address = bad.engine.peer_info(peer).unwrap().address;
    let mut good = Side::new("good", client(8));
    let node = good.node;
    let kept = good.engine.connect(node, &address, true).unwrap();
    let mut sides = [server, bad, good];
    drive(&mut sides, |sides| {
        sides[2].engine.is_up(kept) && !sides[0].seen.is_empty()
    });
    let node = sides[0].node;
    let ended = sides[0]
        .engine
        .reload_tls(node, judge(&authority, &own, &[7]));
    assert_eq!(ended.unwrap(), 1);
    drive(&mut sides, |sides| {
        let is_down = |n: &&Notice| matches!(n, Notice::Down { error: Some(_), .. });
        sides[0].notices().iter().any(revoked) && sides[1].notices().iter().any(is_down)
    });
    let statistics = sides[0].engine.node_statistics(node).unwrap();
    assert_eq!(statistics.closed["certificate_revoked"], 1);
    assert_eq!(statistics.tls_reloads, 1);
    ask(&mut sides[2], kept, 1);
    drive(&mut sides, |sides| {
        sides[0].echo();
        answers(&sides[2]) == [1]
    });
}

/// A handshake that began before the list is in force does not slip through.
#[test]
fn c5_a_list_counts_for_handshakes_that_are_under_way() {
    let authority = authority();
    let own = leaf(&authority, &["127.0.0.1"]);
    let mut server = Side::new("server", Some(judge(&authority, &own, &[])));
    let shown = material(numbered(&authority, 7), &authority.1, tls::ClientAuth::None);
    let mut client = Side::new("client", Some(shown));
    let (node, dialing) = (server.node, client.node);
    let address = server.engine.listen(node, "127.0.0.1:0").unwrap();
    client.engine.connect(dialing, &address, false).unwrap();
    let mut sides = [server, client];
    drive(&mut sides, |sides| {
        let statistics = sides[0].engine.node_statistics(node).unwrap();
        statistics.handshaking == 1
    });
    let ended = sides[0]
        .engine
        .reload_tls(node, judge(&authority, &own, &[7]));
    assert_eq!(ended.unwrap(), 0);
    drive(&mut sides, |sides| {
        let statistics = sides[0].engine.node_statistics(node).unwrap();
        statistics.closed.contains_key("certificate_revoked")
    });
    assert!(
        !sides[0]
            .notices()
            .iter()
            .any(|n| matches!(n, Notice::Accepted))
    );
}

#[test]
fn a_node_without_tls_takes_none_and_a_listener_needs_its_chain() {
    let mut plain = Side::new("plain", None);
    let (server, client) = (certificates().server, dialer_only());
    let node = plain.node;
    let error = plain.engine.reload_tls(node, server.clone()).unwrap_err();
    assert_eq!(*error.kind(), FailureKind::Configuration);
    let mut listening = Side::new("listening", Some(server));
    let node = listening.node;
    listening.engine.listen(node, "127.0.0.1:0").unwrap();
    let error = listening.engine.reload_tls(node, client).unwrap_err();
    assert_eq!(*error.kind(), FailureKind::Configuration);
    assert_eq!(
        listening.engine.node_statistics(node).unwrap().tls_reloads,
        0
    );
}

fn dialer_only() -> Arc<tls::Material> {
    let options = tls::Options {
        trust: vec![tls::TrustSource::Source(bytes(authority().1))],
        ..tls::Options::default()
    };
    tls::Material::load(&options).unwrap()
}

fn aged(age_ms: u64) -> LinkLimits {
    LinkLimits {
        connection_age_max_ms: age_ms,
        redial_base_ms: 1,
        redial_cap_ms: 1,
        ..LinkLimits::default()
    }
}

/// Calls go on while connections come and go, and the one that was begun first ends on the first.
fn replaced_without_a_failure(server: Side, client: Side) -> [Side; 2] {
    let (mut sides, peer) = connected(server, client, "127.0.0.1:0");
    ask(&mut sides[1], peer, 0);
    let mut first = None;
    drive(&mut sides, |sides| {
        let is_asked = |seen: &Seen| matches!(seen, Seen::Event(_, Event::Request { .. }, _));
        let asked = sides[0].seen.iter().position(is_asked);
        first = asked.map(|index| sides[0].seen.remove(index));
        first.is_some()
    });
    let (mut token, mut replaced) = (1, 0);
    let peer_now = current(&sides[1], peer);
    ask(&mut sides[1], peer_now, token);
    drive(&mut sides, |sides| {
        sides[0].echo();
        let peer_now = current(&sides[1], peer);
        if answers(&sides[1]).contains(&token) {
            token += 1;
            ask(&mut sides[1], peer_now, token);
        }
        // Under a key of its own, or under the old one where the old connection ended first.
        let taken = |n: &&&Notice| matches!(n, Notice::Up);
        replaced = sides[1].notices().iter().filter(taken).count();
        replaced >= 3
    });
    let Some(Seen::Event(asker, Event::Request { id, .. }, _)) = first else {
        panic!("the first to arrive was {first:?}");
    };
    let late = Body::Borrowed(b"late");
    sides[0].engine.reply(asker, id, late).unwrap();
    drive(&mut sides, |sides| {
        sides[0].echo();
        answers(&sides[1]).contains(&0)
    });
    let failed = |n: &&&Notice| matches!(n, Notice::Failed { .. });
    assert_eq!(
        sides[1]
            .notices()
            .iter()
            .find(failed)
            .map(|n| format!("{n:?}")),
        None
    );
    sides
}

#[test]
fn a_dialer_replaces_old_connections_without_failing_a_call() {
    let client = Side::with("client", None, Limits::default(), aged(20));
    replaced_without_a_failure(Side::new("server", None), client);
}

#[test]
fn an_acceptor_has_old_connections_replaced_without_failing_a_call() {
    let certificates = certificates();
    let server = Some(certificates.server);
    let server = Side::with("server", server, Limits::default(), aged(20));
    let client = Side::with(
        "client",
        Some(certificates.client),
        Limits::default(),
        aged(0),
    );
    let [server, _] = replaced_without_a_failure(server, client);
    let statistics = server.engine.node_statistics(server.node).unwrap();
    assert!(
        statistics.closed.values().sum::<u64>() >= 1,
        "{statistics:?}"
    );
}

/// Where the next connection cannot be had, the old one serves on.
#[test]
fn an_old_connection_serves_until_the_next_is_up() {
    let client = Side::with("client", None, Limits::default(), aged(20));
    let server = Side::with(
        "server",
        None,
        Limits::default(),
        LinkLimits {
            connections_max: 1,
            ..LinkLimits::default()
        },
    );
    let (mut sides, peer) = connected(server, client, "127.0.0.1:0");
    let node = sides[0].node;
    let mut token = 0;
    ask(&mut sides[1], peer, token);
    drive(&mut sides, |sides| {
        sides[0].echo();
        if answers(&sides[1]).contains(&token) {
            token += 1;
            ask(&mut sides[1], peer, token);
        }
        let statistics = sides[0].engine.node_statistics(node).unwrap();
        statistics.closed.get("connections_max") >= Some(&3)
    });
    assert_eq!(current(&sides[1], peer), peer);
    let down = |n: &&Notice| matches!(n, Notice::Down { .. } | Notice::Failed { .. });
    assert!(!sides[1].notices().iter().any(down));
}

fn ending(is_closed: bool) -> (Arc<tls::Material>, Arc<tls::Material>) {
    let authority = authority();
    let end = rcgen::date_time_ymd(2030, 1, 1);
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.not_after = end;
    let key = rcgen::KeyPair::generate().unwrap();
    let shown = params.signed_by(&key, &authority.0).unwrap();
    let server = material(
        (shown.pem(), key.serialize_pem()),
        &authority.1,
        tls::ClientAuth::None,
    );
    let options = tls::Options {
        trust: vec![tls::TrustSource::Source(bytes(authority.1))],
        clock: Arc::new(Standing(end.unix_timestamp() as u64)),
        close_at_expiry: is_closed,
        ..tls::Options::default()
    };
    (server, tls::Material::load(&options).unwrap())
}

#[test]
fn c2_a_connection_ends_with_the_peers_certificate_without_failing_a_call() {
    let (server, client) = ending(true);
    let server = Side::new("server", Some(server));
    let client = Side::with("client", Some(client), Limits::default(), aged(0));
    let [_, client] = replaced_without_a_failure(server, client);
    let statistics = client.engine.node_statistics(client.node).unwrap();
    assert!(statistics.closed["certificate_expired"] >= 1);
}

#[test]
fn c2_a_connection_outlives_the_peers_certificate_unless_told_otherwise() {
    let (server, client) = ending(false);
    let server = Side::new("server", Some(server));
    let (mut sides, peer) = connected(server, Side::new("client", Some(client)), "127.0.0.1:0");
    ask(&mut sides[1], peer, 1);
    drive(&mut sides, |sides| {
        sides[0].echo();
        answers(&sides[1]) == [1]
    });
    assert!(sides[1].notices().is_empty());
}

/// What runs on a replaced connection may take long, but not for ever.
#[test]
fn what_does_not_end_on_a_replaced_connection_is_cut() {
    let links = LinkLimits {
        retire_timeout_ms: 50,
        ..aged(20)
    };
    let client = Side::with("client", None, Limits::default(), links);
    let (mut sides, peer) = connected(Side::new("server", None), client, "127.0.0.1:0");
    ask(&mut sides[1], peer, 1);
    drive(&mut sides, |sides| {
        let failed = |n: &&Notice| matches!(n, Notice::Failed { token: 1, error, .. } if *error.kind() == FailureKind::ConnectionLost);
        sides[1].notices().iter().any(failed)
    });
}
