//! ALPN: `zt/1` or nothing.

use ztransport_tls::{ErrorKind, Filter, Options};

use crate::authority::{Authority, dialer_options, load};
use crate::pair::drain;
use crate::peer;

const REFUSED: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];

/// What a listener does with an offer: its error, what it wrote, and what the dialer made of it.
fn offer(
    protocols: &[&[u8]],
    options: impl FnOnce(&mut Options),
) -> (Option<ErrorKind>, Vec<u8>, Option<rustls::Error>) {
    let authority = Authority::new("ca");
    let mut listening = authority.issue().options();
    options(&mut listening);
    let mut listener = Filter::accept(&load(&listening));
    let mut dialer = peer::dial(peer::client_config(&authority, protocols)).into();
    let hello = peer::written(&mut dialer);
    let error = listener.handle_input(&hello, &mut Vec::new()).err();
    let answer = drain(&mut listener);
    let heard = peer::give(&mut dialer, &answer);
    (error.map(|error| error.kind().clone()), answer, heard)
}

#[test]
fn listener_refuses_absent_and_other_alpn_with_alert_120() {
    let offers: [&[&[u8]]; 4] = [&[], &[b"h2"], &[b"http/1.1", b"h2"], &[b"zt/2", b"zt"]];
    for protocols in offers {
        let (error, answer, heard) = offer(protocols, |_| {});
        assert_eq!(error, Some(ErrorKind::ALPNRefused), "{protocols:?}");
        assert_eq!(answer, REFUSED);
        let alert = rustls::AlertDescription::NoApplicationProtocol;
        assert_eq!(heard, Some(rustls::Error::AlertReceived(alert)));
    }
}

#[test]
fn listener_takes_zt1_among_others() {
    let (error, _, heard) = offer(&[b"h2", b"zt/1"], |_| {});
    assert_eq!((error, heard), (None, None));
}

#[test]
fn absent_alpn_can_be_allowed_and_other_alpn_cannot() {
    let (error, _, heard) = offer(&[], |options| options.accept_absent_alpn = true);
    assert_eq!((error, heard), (None, None));
    let (error, answer, _) = offer(&[b"h2"], |options| options.accept_absent_alpn = true);
    assert_eq!(error, Some(ErrorKind::ALPNRefused));
    assert_eq!(answer, REFUSED);
}

#[test]
fn dialer_that_is_told_alert_120_raises_alpn_refused() {
    let material = Authority::new("ca").issue().material();
    let mut dialer = Filter::dial(&material, "localhost").unwrap();
    let error = dialer.handle_input(&REFUSED, &mut Vec::new()).unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::ALPNRefused);
    assert!(error.told_by_peer());
}

/// Nothing may be said to a listener of another protocol, not even what was sealed early.
#[test]
fn dialer_refuses_a_listener_without_zt1_and_tells_it_nothing() {
    let authority = Authority::new("ca");
    let node = authority.issue();
    let mut dialer = Filter::dial(&load(&dialer_options(authority.trust())), "localhost").unwrap();
    dialer.seal(b"secret").unwrap();
    let mut listener = peer::listen(&node, &node, &[]).into();
    let (error, _) = peer::exchange(&mut dialer, &mut Vec::new(), &mut listener);
    assert_eq!(*error.unwrap().kind(), ErrorKind::ALPNRefused);
    let state = listener.process_new_packets().unwrap();
    assert_eq!(state.plaintext_bytes_to_read(), 0);
    assert!(state.peer_has_closed());
}

#[test]
fn dialer_without_require_alpn_takes_any_listener() {
    let authority = Authority::new("ca");
    let node = authority.issue();
    let dialer = load(&Options {
        require_alpn: false,
        ..dialer_options(authority.trust())
    });
    let mut dialer = Filter::dial(&dialer, "localhost").unwrap();
    dialer.seal(b"hello").unwrap();
    let mut listener = peer::listen(&node, &node, &[]).into();
    let outcome = peer::exchange(&mut dialer, &mut Vec::new(), &mut listener);
    assert_eq!(outcome, (None, None));
    assert_eq!(dialer.session().unwrap().alpn, None);
    let state = listener.process_new_packets().unwrap();
    assert_eq!(state.plaintext_bytes_to_read(), 5);
}
