//! C10: who shows nothing, who shows what is not his, and who is not let in are told apart.

use ztransport_tls::{ClientAuth, Error, ErrorKind, Filter, Options};

use crate::authority::{Authority, load};
use crate::peer;

#[test]
fn c10_no_certificate_no_proof_and_no_leave_are_three_reasons() {
    let authority = Authority::new("ca");
    let asking = Options {
        client_auth: ClientAuth::Required,
        ..authority.issue().options()
    };
    let listed = Options {
        allowed_identities: vec!["*.example".to_owned()],
        ..authority.issue().options()
    };
    let (shown, other) = (authority.issue(), authority.issue());
    // In TLS 1.3 a dialer without a certificate sends an empty one.
    let nobody = peer::client_config(&authority, &[b"zt/1"]);
    let unproven = peer::client_config_showing(&authority, &shown, &other);
    let unlisted = peer::client_config_showing(&authority, &shown, &shown);
    for (listening, dialling, expected, words) in [
        (
            &asking,
            nobody,
            ErrorKind::ClientCertificateRequired,
            "none was given",
        ),
        (
            &asking,
            unproven,
            ErrorKind::BadCertificate,
            "does not prove that it has the key",
        ),
        (
            &listed,
            unlisted,
            ErrorKind::IdentityNotAllowed,
            "localhost",
        ),
    ] {
        let error = refusal(listening, dialling);
        assert_eq!(*error.kind(), expected);
        assert!(error.to_string().contains(words), "{error}");
    }
}

fn refusal(listening: &Options, dialling: rustls::ClientConfig) -> Error {
    let mut listener = Filter::accept(&load(listening));
    let mut dialer = peer::dial(dialling).into();
    let (error, told) = peer::exchange(&mut listener, &mut Vec::new(), &mut dialer);
    assert!(matches!(told, Some(rustls::Error::AlertReceived(_))));
    error.unwrap()
}
