//! No session is ever resumed.

use rustls::{Connection, HandshakeKind};
use ztransport_tls::{ClientAuth, ErrorKind, Filter, Options, TrustSource};

use crate::authority::{Authority, bytes, dialer_options, load};
use crate::pair::{Pair, drain};
use crate::peer;

#[test]
fn listener_sends_no_ticket() {
    let authority = Authority::new("ca");
    let dialer = load(&dialer_options(authority.trust()));
    let mut pair = Pair::new(&dialer, &authority.issue().material());
    let hello = drain(&mut pair.dialer.filter);
    pair.listener.take(&hello);
    let flight = drain(&mut pair.listener.filter);
    pair.dialer.take(&flight);
    let finished = drain(&mut pair.dialer.filter);
    pair.listener.take(&finished);
    pair.assert_established();
    assert_eq!(pair.listener.filter.pending_bytes(), 0);
}

/// A dialer that would resume, with a store that outlives its connections, is never able to.
#[test]
fn eager_dialer_gets_a_full_handshake_every_time() {
    let authority = Authority::new("ca");
    let listening = authority.issue().material();
    let config = peer::client_config(&authority, &[b"zt/1"]);
    for _ in 0..3 {
        let mut listener = Filter::accept(&listening);
        let mut dialer = Connection::from(peer::dial(config.clone()));
        let outcome = peer::exchange(&mut listener, &mut Vec::new(), &mut dialer);
        assert_eq!(outcome, (None, None));
        assert_eq!(dialer.handshake_kind(), Some(HandshakeKind::Full));
        let Connection::Client(dialer) = dialer else {
            unreachable!("made by dial");
        };
        assert_eq!(dialer.tls13_tickets_received(), 0);
    }
}

/// The listener issues tickets here; the dialer offers none of them back.
#[test]
fn dialer_resumes_nothing_with_a_generous_listener() {
    let authority = Authority::new("ca");
    let node = authority.issue();
    let dialling = load(&dialer_options(authority.trust()));
    let config = peer::server_config(&node, &node, &[b"zt/1"]);
    for _ in 0..3 {
        let mut dialer = Filter::dial(&dialling, "localhost").unwrap();
        let mut listener = Connection::from(peer::listen_with(&config));
        let outcome = peer::exchange(&mut dialer, &mut Vec::new(), &mut listener);
        assert_eq!(outcome, (None, None));
        assert_eq!(listener.handshake_kind(), Some(HandshakeKind::Full));
    }
}

/// An authority that was removed is gone: a ticket from the time before opens nothing.
#[test]
fn c4_a_removed_authority_cannot_be_resumed() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let member = old.issue();
    let config = peer::client_config_showing(&new, &member, &member);
    let generous = new.issue();
    let generous = peer::server_config(&generous, &generous, &[b"zt/1"]);
    shake(
        &mut peer::dial(config.clone()).into(),
        &mut peer::listen_with(&generous).into(),
    );
    let own = new.issue();
    for (trust, expected) in [
        (format!("{}{}", old.pem(), new.pem()), None),
        (new.pem(), Some(ErrorKind::UntrustedIssuer)),
    ] {
        let mut listener = Filter::accept(&load(&Options {
            trust: vec![TrustSource::Source(bytes(&trust))],
            client_auth: ClientAuth::Required,
            ..own.options()
        }));
        let mut dialer = Connection::from(peer::dial(config.clone()));
        let (error, _) = peer::exchange(&mut listener, &mut Vec::new(), &mut dialer);
        assert_eq!(error.map(|error| error.kind().clone()), expected);
        assert_eq!(dialer.handshake_kind(), Some(HandshakeKind::Full));
    }
}

/// Carries bytes between two bare connections until neither has any.
fn shake(dialer: &mut Connection, listener: &mut Connection) {
    loop {
        let (there, back) = (peer::written(dialer), peer::written(listener));
        if there.is_empty() && back.is_empty() {
            break;
        }
        assert_eq!(peer::give(listener, &there), None);
        assert_eq!(peer::give(dialer, &back), None);
    }
    let Connection::Client(dialer) = dialer else {
        unreachable!("it dials");
    };
    assert!(dialer.tls13_tickets_received() > 0);
}
