//! What a handshake agrees on, and the type of every failure on both sides.

use rcgen::{ExtendedKeyUsagePurpose, SanType};
use ztransport_tls::{ClientAuth, ErrorKind, Fault, Filter, Identity, Options};

use crate::authority::{
    Authority, Node, dialer_options, dns, expired, load, named_otherwise, not_yet_valid,
};
use crate::pair::Pair;

#[test]
fn server_authenticated_handshake_says_what_was_agreed() {
    let authority = Authority::new("ca");
    let dialer = load(&dialer_options(authority.trust()));
    let pair = Pair::established(&dialer, &authority.issue().material());

    let session = pair.dialer.filter.session().unwrap();
    assert_eq!(session.cipher_suite, "TLS_AES_128_GCM_SHA256");
    assert_eq!(session.group, "X25519MLKEM768");
    assert_eq!(session.alpn.as_deref(), Some(&b"zt/1"[..]));
    assert_eq!(session.peer_certificates.len(), 2);
    let identity = session.identity.unwrap();
    assert_eq!(identity.dns, ["localhost"]);
    assert_eq!(identity.ip, ["127.0.0.1"]);

    let session = pair.listener.filter.session().unwrap();
    assert_eq!(session.identity, None);
    assert_eq!(session.certificate_not_after, None);
    assert!(session.peer_certificates.is_empty());
}

#[test]
fn mutual_handshake_proves_both_identities() {
    let authority = Authority::new("ca");
    let dialer = authority.issue_with(|params| {
        params.subject_alt_names = vec![
            dns("a.example"),
            SanType::URI("spiffe://cluster/a".try_into().unwrap()),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
            SanType::DnsName("b.example".try_into().unwrap()),
        ];
        params.not_after = rcgen::date_time_ymd(2200, 1, 1);
    });
    let listener = required(&authority.issue());
    let pair = Pair::established(&dialer.material(), &load(&listener));

    let session = pair.listener.filter.session().unwrap();
    let expected = Identity {
        dns: vec!["a.example".to_owned(), "b.example".to_owned()],
        uri: vec!["spiffe://cluster/a".to_owned()],
        ip: vec!["2001:db8::1".to_owned()],
    };
    assert_eq!(session.identity, Some(expected));
    assert_eq!(session.certificate_not_after, Some(7_258_118_400));
}

#[test]
fn chosen_suite_and_group_are_used() {
    let node = Authority::new("ca").issue();
    for (suite, group) in [
        ("TLS_AES_256_GCM_SHA384", "SECP384R1"),
        ("TLS_CHACHA20_POLY1305_SHA256", "x25519"),
        ("TLS_AES_128_GCM_SHA256", "secp256r1"),
    ] {
        let material = load(&Options {
            cipher_suites: vec![suite.to_owned()],
            groups: vec![group.to_owned()],
            ..node.options()
        });
        let pair = Pair::established(&material, &material);
        let session = pair.dialer.filter.session().unwrap();
        assert_eq!(session.cipher_suite, suite);
        assert_eq!(session.group, group.to_ascii_uppercase());
    }
}

#[test]
fn data_sealed_before_the_handshake_arrives_after_it() {
    let material = Authority::new("ca").issue().material();
    let mut pair = Pair::new(&material, &material);
    pair.dialer.filter.seal(b"first ").unwrap();
    pair.dialer.filter.seal(b"flight").unwrap();
    pair.listener.filter.seal(b"answer").unwrap();
    pair.exchange();
    pair.assert_established();
    assert_eq!(pair.listener.plain, b"first flight");
    assert_eq!(pair.dialer.plain, b"answer");
}

#[test]
fn early_data_is_bounded() {
    let material = Authority::new("ca").issue().material();
    let mut filter = Filter::dial(&material, "localhost").unwrap();
    let most = vec![0; ztransport_tls::EARLY_BYTES_MAX - 1];
    filter.seal(&most).unwrap();
    filter.seal(b"x").unwrap();
    let error = filter.seal(b"x").unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::EarlyBytesExceeded);
    assert_eq!(error.fault(), Fault::Local);
}

/// The dialer judges the listener's certificate and tells it by alert.
#[test]
fn each_bad_listener_certificate_has_its_type_on_both_sides() {
    let authority = Authority::new("ca");
    let namesake = Authority::new("ca");
    let client_only = |params: &mut rcgen::CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    use ErrorKind as Kind;
    let cases = [
        (
            Authority::new("stranger").issue(),
            Kind::UntrustedIssuer,
            Kind::UntrustedIssuer,
        ),
        (
            namesake.issue(),
            Kind::UntrustedIssuer,
            Kind::UntrustedIssuer,
        ),
        (
            authority.issue_with(expired),
            Kind::CertificateExpired,
            Kind::CertificateExpired,
        ),
        (
            authority.issue_with(not_yet_valid),
            Kind::CertificateNotYetValid,
            Kind::CertificateExpired,
        ),
        (
            authority.issue_with(named_otherwise),
            Kind::NameMismatch,
            Kind::BadCertificate,
        ),
        (
            authority.issue_with(client_only),
            Kind::WrongKeyUsage,
            Kind::WrongKeyUsage,
        ),
    ];
    let dialer = load(&dialer_options(authority.trust()));
    for (node, decided, told) in cases {
        let mut pair = Pair::new(&dialer, &node.material());
        pair.exchange();
        assert_eq!(pair.dialer.kind(), Some(&decided));
        assert_eq!(
            pair.listener.kind(),
            Some(&told),
            "dialer decided {decided:?}"
        );
        assert_eq!(pair.dialer.error.unwrap().fault(), Fault::Peer);
        let told = pair.listener.error.unwrap();
        assert!(told.told_by_peer());
        assert_eq!(told.fault(), Fault::Configuration);
    }
}

/// The listener judges the dialer's certificate. The dialer's handshake is over by then, so it
/// learns of it by the alert that follows.
#[test]
fn each_bad_dialer_certificate_has_its_type_on_both_sides() {
    let authority = Authority::new("ca");
    use ErrorKind as Kind;
    let server_only = |params: &mut rcgen::CertificateParams| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    };
    let cases = [
        (
            Authority::new("stranger").issue(),
            Kind::UntrustedIssuer,
            Kind::UntrustedIssuer,
        ),
        (
            Authority::new("ca").issue(),
            Kind::UntrustedIssuer,
            Kind::UntrustedIssuer,
        ),
        (
            authority.issue_with(expired),
            Kind::CertificateExpired,
            Kind::CertificateExpired,
        ),
        (
            authority.issue_with(not_yet_valid),
            Kind::CertificateNotYetValid,
            Kind::CertificateExpired,
        ),
        (
            authority.issue_with(server_only),
            Kind::WrongKeyUsage,
            Kind::WrongKeyUsage,
        ),
    ];
    for client_auth in [ClientAuth::Required, ClientAuth::Optional] {
        let listener = load(&Options {
            client_auth,
            ..authority.issue().options()
        });
        for (node, decided, told) in &cases {
            let dialer = load(&Options {
                trust: vec![authority.trust()],
                ..node.options()
            });
            let mut pair = Pair::new(&dialer, &listener);
            pair.exchange();
            assert_eq!(pair.listener.kind(), Some(decided));
            assert_eq!(
                pair.dialer.kind(),
                Some(told),
                "listener decided {decided:?}"
            );
            assert!(pair.listener.filter.is_handshaking());
        }
    }
}

#[test]
fn missing_dialer_certificate_is_refused_only_where_required() {
    let authority = Authority::new("ca");
    let dialer = load(&dialer_options(authority.trust()));

    let mut pair = Pair::new(&dialer, &load(&required(&authority.issue())));
    pair.dialer.filter.seal(b"never delivered").unwrap();
    pair.exchange();
    let expected = Some(&ErrorKind::ClientCertificateRequired);
    assert_eq!(pair.listener.kind(), expected);
    assert_eq!(pair.dialer.kind(), expected);
    assert!(pair.listener.plain.is_empty());

    let optional = Options {
        client_auth: ClientAuth::Optional,
        ..authority.issue().options()
    };
    let pair = Pair::established(&dialer, &load(&optional));
    assert_eq!(pair.listener.filter.session().unwrap().identity, None);
}

#[test]
fn listener_that_does_not_ask_gets_no_certificate() {
    let authority = Authority::new("ca");
    let pair = Pair::established(&authority.issue().material(), &authority.issue().material());
    let session = pair.listener.filter.session().unwrap();
    assert!(session.peer_certificates.is_empty());
}

#[test]
fn verify_hostname_false_skips_the_name_and_nothing_else() {
    let authority = Authority::new("ca");
    let careless = load(&Options {
        verify_hostname: false,
        ..dialer_options(authority.trust())
    });
    Pair::established(&careless, &authority.issue_with(named_otherwise).material());
    for (node, expected) in [
        (Authority::new("ca").issue(), ErrorKind::UntrustedIssuer),
        (authority.issue_with(expired), ErrorKind::CertificateExpired),
    ] {
        let mut pair = Pair::new(&careless, &node.material());
        pair.exchange();
        assert_eq!(pair.dialer.kind(), Some(&expected));
    }
}

#[test]
fn address_is_verified_like_a_name() {
    let authority = Authority::new("ca");
    let dialer = load(&dialer_options(authority.trust()));
    let listener = authority.issue().material();
    for (host, expected) in [
        ("127.0.0.1", None),
        ("127.0.0.2", Some(&ErrorKind::NameMismatch)),
        ("::1", Some(&ErrorKind::NameMismatch)),
    ] {
        let mut pair = Pair::to_host(&dialer, &listener, host);
        pair.exchange();
        assert_eq!(pair.dialer.kind(), expected, "dialling {host}");
    }
}

#[test]
fn name_mismatch_says_which_names_there_are() {
    let authority = Authority::new("ca");
    let dialer = load(&dialer_options(authority.trust()));
    let listener = authority.issue_with(named_otherwise).material();
    let mut pair = Pair::new(&dialer, &listener);
    pair.exchange();
    let text = pair.dialer.error.unwrap().to_string();
    assert!(
        text.contains("localhost") && text.contains("elsewhere.example"),
        "{text}"
    );
}

#[test]
fn host_that_is_no_name_is_a_configuration_error() {
    let material = Authority::new("ca").issue().material();
    let error = Filter::dial(&material, "not a host").unwrap_err();
    assert_eq!(error.fault(), Fault::Configuration);
}

fn required(node: &Node) -> Options {
    Options {
        client_auth: ClientAuth::Required,
        ..node.options()
    }
}
