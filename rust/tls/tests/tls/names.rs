//! C6: host names and addresses against what a certificate holds (RFC 9525). C1: to the second.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rcgen::{CustomExtension, DnType, SanType, date_time_ymd};
use ztransport_tls::{ClientAuth, ErrorKind, Filter, Options, Profile, TrustSource};

use crate::authority::{Authority, StoppedClock, bytes, dialer_options, dns, load, running_clock};
use crate::pair::Pair;
use crate::peer;

const DAY_S: u64 = 86_400;

/// What a dialer of `host` says of a certificate with `names` whose common name is `host`, too.
fn verdict(names: Vec<SanType>, host: &str) -> Option<ErrorKind> {
    let authority = Authority::new("ca");
    let node = authority.issue_with(|params| {
        params.subject_alt_names = names;
        params.distinguished_name.push(DnType::CommonName, host);
    });
    let dialer = load(&dialer_options(authority.trust()));
    let mut pair = Pair::to_host(&dialer, &node.material(), host);
    pair.exchange();
    pair.dialer.kind().cloned()
}

#[test]
fn c6_names_match_whole_and_wildcards_one_label() {
    for (name, host) in [
        ("a.example", "a.example"),
        ("a.example", "A.Example"),
        ("a.example", "a.example."),
        ("*.example.org", "a.example.org"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
    ] {
        assert_eq!(verdict(vec![dns(name)], host), None, "{host} by {name}");
    }
    for (name, host) in [
        ("a.example", "b.example"),
        ("a.example", "b.a.example"),
        ("*.example.org", "b.a.example.org"),
        ("*.example.org", "example.org"),
        ("*", "a"),
        ("a*.example.org", "ab.example.org"),
        ("a.*.example.org", "a.b.example.org"),
        ("127.0.0.1", "127.0.0.1"),
    ] {
        let refused = Some(ErrorKind::NameMismatch);
        assert_eq!(verdict(vec![dns(name)], host), refused, "{host} by {name}");
    }
}

#[test]
fn c6_addresses_match_as_addresses_and_common_names_never() {
    let ip = |text: &str| SanType::IpAddress(text.parse().unwrap());
    assert_eq!(verdict(vec![ip("::1")], "::1"), None);
    assert_eq!(verdict(vec![ip("127.0.0.1")], "127.0.0.1"), None);
    let refused = Some(ErrorKind::NameMismatch);
    assert_eq!(verdict(vec![ip("::1")], "127.0.0.1"), refused);
    assert_eq!(verdict(vec![ip("::ffff:127.0.0.1")], "127.0.0.1"), refused);
    assert_eq!(verdict(Vec::new(), "a.example"), refused);
}

/// Not even an extension that is there and empty lets the common name count.
#[test]
fn c6_an_empty_list_of_names_names_nobody() {
    let authority = Authority::new("ca");
    let node = authority.issue_with(|params| {
        let none = CustomExtension::from_oid_content(&[2, 5, 29, 17], vec![0x30, 0]);
        params.subject_alt_names = Vec::new();
        params.custom_extensions = vec![none];
        params
            .distinguished_name
            .push(DnType::CommonName, "a.example");
    });
    for profile in [Profile::Standard, Profile::Zeebe] {
        let dialer = load(&Options {
            profile,
            ..dialer_options(authority.trust())
        });
        let listener = peer::listen(&node, &node, &[b"zt/1"]);
        let mut filter = Filter::dial(&dialer, "a.example").unwrap();
        let (error, _) = peer::exchange(&mut filter, &mut Vec::new(), &mut listener.into());
        let kind = error.expect("it was let in").kind().clone();
        assert!(
            matches!(kind, ErrorKind::NameMismatch | ErrorKind::BadCertificate),
            "{kind:?}"
        );
    }
}

/// As many as fit into a handshake message; how long that takes is measured in bench/abuse.
#[test]
fn c6_ten_thousand_names_are_looked_through() {
    let names: Vec<_> = (0..10_000).map(short_name).collect();
    let sans = || names.iter().map(|name| dns(name)).collect();
    assert_eq!(verdict(sans(), &names[9_999]), None);
    let refused = Some(ErrorKind::NameMismatch);
    assert_eq!(verdict(sans(), "zzzzz"), refused);
}

/// Four letters.
fn short_name(number: u32) -> String {
    let letters = (0..4).map(|place| number / 26_u32.pow(place) % 26);
    letters
        .map(|letter| char::from_u32(u32::from(b'a') + letter).unwrap())
        .collect()
}

#[test]
fn c6_a_host_that_is_not_ascii_cannot_be_dialled() {
    let dialer = load(&dialer_options(Authority::new("ca").trust()));
    let error = Filter::dial(&dialer, "b\u{fc}cher.example").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Configuration { .. }));
}

#[test]
fn c1_a_clock_that_jumps_a_day_takes_certificates_along() {
    let authority = Authority::new("ca");
    let (begins, ends) = (date_time_ymd(2030, 1, 1), date_time_ymd(2030, 1, 2));
    let shown = authority.issue_with(|params| {
        (params.not_before, params.not_after) = (begins, ends);
    });
    let noon = u64::try_from(begins.unix_timestamp()).unwrap() + DAY_S / 2;
    let (clock, hand) = running_clock(noon);
    let judge = load(&Options {
        trust: vec![authority.trust()],
        client_auth: ClientAuth::Required,
        clock,
        ..authority.issue().options()
    });
    let shown = load(&Options {
        trust: vec![authority.trust()],
        client_auth: ClientAuth::Required,
        ..shown.options()
    });
    for (now, expected) in [
        (noon, None),
        (noon + DAY_S, Some(ErrorKind::CertificateExpired)),
        (noon - DAY_S, Some(ErrorKind::CertificateNotYetValid)),
        (noon, None),
    ] {
        hand.store(now, Ordering::Relaxed);
        let (mut dialling, mut listening) = (Pair::new(&judge, &shown), Pair::new(&shown, &judge));
        dialling.exchange();
        listening.exchange();
        assert_eq!(dialling.dialer.kind().cloned(), expected, "at {now}");
        assert_eq!(listening.listener.kind().cloned(), expected, "at {now}");
    }
}

#[test]
fn c1_validity_ends_and_begins_to_the_second() {
    let authority = Authority::new("ca");
    let (begins, ends) = (date_time_ymd(2030, 1, 1), date_time_ymd(2031, 1, 1));
    let node = authority.issue_with(|params| {
        (params.not_before, params.not_after) = (begins, ends);
    });
    let seconds = |date: i64| u64::try_from(date).unwrap();
    let (begins, ends) = (
        seconds(begins.unix_timestamp()),
        seconds(ends.unix_timestamp()),
    );
    for trust in [authority.trust(), TrustSource::Source(bytes(&node.leaf))] {
        for (now, expected) in [
            (begins - 1, Some(ErrorKind::CertificateNotYetValid)),
            (begins, None),
            (ends, None),
            (ends + 1, Some(ErrorKind::CertificateExpired)),
        ] {
            let dialer = load(&Options {
                clock: Arc::new(StoppedClock(now)),
                ..dialer_options(trust.clone())
            });
            let mut pair = Pair::new(&dialer, &node.material());
            pair.exchange();
            assert_eq!(pair.dialer.kind().cloned(), expected, "at {now}");
        }
    }
}

#[test]
fn c7_a_missing_issuer_is_refused_and_strangers_in_the_chain_are_ignored() {
    let (authority, stranger) = (Authority::new("ca"), Authority::new("stranger"));
    let mut node = authority.issue();
    let dialer = load(&dialer_options(authority.trust()));
    node.chain = format!("{}{}{}", node.leaf, stranger.pem(), stranger.issue().leaf);
    Pair::established(&dialer, &node.material());
    let mut pair = Pair::new(&load(&dialer_options(stranger.trust())), &node.material());
    pair.exchange();
    assert_eq!(pair.dialer.kind(), Some(&ErrorKind::UntrustedIssuer));
}
