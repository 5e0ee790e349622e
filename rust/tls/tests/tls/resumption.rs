//! No session is ever resumed.

use rustls::{Connection, HandshakeKind};
use ztransport_tls::Filter;

use crate::authority::{Authority, dialer_options, load};
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
