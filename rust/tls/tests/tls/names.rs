//! C6: host names and addresses against what a certificate holds (RFC 9525). C1: to the second.

use std::sync::Arc;

use rcgen::{DnType, SanType, date_time_ymd};
use ztransport_tls::{ErrorKind, Options, TrustSource};

use crate::authority::{Authority, StoppedClock, bytes, dialer_options, dns, load};
use crate::pair::Pair;

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
