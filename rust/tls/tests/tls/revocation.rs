//! C5: revoked certificates, and lists that cannot be believed.

use std::sync::atomic::Ordering;

use rcgen::{
    CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CrlIssuingDistributionPoint, KeyIdMethod, RevokedCertParams, SerialNumber, date_time_ymd,
};
use ztransport_tls::{ClientAuth, ErrorKind, Material, Options, Source};

use crate::authority::{Authority, Node, load, running_clock};
use crate::pair::Pair;

/// Its first bit is set, so its encoding begins with a zero byte.
const REVOKED: &[u8] = &[0x81, 2, 3];
const GOOD: &[u8] = &[0x82, 2, 3];

fn serial(number: &'static [u8]) -> impl FnOnce(&mut CertificateParams) {
    |params| params.serial_number = Some(SerialNumber::from_slice(number))
}

fn list(years: (i32, i32)) -> CertificateRevocationListParams {
    CertificateRevocationListParams {
        this_update: date_time_ymd(years.0, 1, 1),
        next_update: date_time_ymd(years.1, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from_slice(REVOKED),
            revocation_time: date_time_ymd(2001, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    }
}

fn current() -> CertificateRevocationListParams {
    list((2001, 3000))
}

fn judging(node: &Node, lists: Vec<Source>) -> Options {
    Options {
        client_auth: ClientAuth::Required,
        revocation_lists: lists,
        ..node.options()
    }
}

/// What both ends see, for the judging node as dialer and as listener.
fn assert_judged(
    judge: &Options,
    judged: &Node,
    decided: Option<&ErrorKind>,
    told: Option<&ErrorKind>,
) {
    let (judge, judged) = (load(judge), judged.material());
    let mut dialling = Pair::new(&judge, &judged);
    dialling.exchange();
    assert_eq!(
        (dialling.dialer.kind(), dialling.listener.kind()),
        (decided, told)
    );
    let mut listening = Pair::new(&judged, &judge);
    listening.exchange();
    assert_eq!(
        (listening.listener.kind(), listening.dialer.kind()),
        (decided, told)
    );
}

#[test]
fn c5_a_revoked_leaf_is_refused_and_told_so() {
    let authority = Authority::new("ca");
    let judge = judging(
        &authority.issue_with(serial(GOOD)),
        vec![authority.revoke(&current())],
    );
    let revoked = Some(&ErrorKind::CertificateRevoked);
    assert_judged(
        &judge,
        &authority.issue_with(serial(REVOKED)),
        revoked,
        revoked,
    );
    assert_judged(&judge, &authority.issue_with(serial(GOOD)), None, None);
}

#[test]
fn c5_a_revoked_leaf_known_by_its_bytes_is_refused_too() {
    let authority = Authority::new("ca");
    let known = authority.issue_with(serial(REVOKED));
    let mut judge = judging(&authority.issue(), vec![authority.revoke(&current())]);
    let trust = format!("{}{}", known.leaf, authority.pem());
    judge.trust = vec![ztransport_tls::TrustSource::Source(
        crate::authority::bytes(&trust),
    )];
    let revoked = Some(&ErrorKind::CertificateRevoked);
    assert_judged(&judge, &known, revoked, revoked);
}

#[test]
fn c5_a_leaf_that_no_list_covers_is_refused() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let judge = judging(&authority.issue(), vec![other.revoke(&current())]);
    let material = load(&judge);
    assert!(material.warnings()[0].contains("no trusted authority"));
    let (unknown, told) = (ErrorKind::BadCertificate, ErrorKind::BadCertificate);
    assert_judged(
        &judge,
        &authority.issue_with(serial(GOOD)),
        Some(&unknown),
        Some(&told),
    );
}

#[test]
fn c5_a_revoked_intermediate_takes_its_leaves_along() {
    let root = Authority::new("root");
    let good = root.intermediate("good", serial(GOOD));
    let bad = root.intermediate("bad", serial(REVOKED));
    let of = |issuer: &Authority| issuer.revoke(&current());
    let mut judge = judging(&root.issue(), vec![of(&root), of(&good), of(&bad)]);
    judge.trust = vec![root.trust()];
    let revoked = Some(&ErrorKind::CertificateRevoked);
    let trusting = |issuer: &Authority, expected| {
        let node = issuer.issue_with(serial(GOOD));
        let judged = load(&Options {
            trust: vec![root.trust()],
            ..node.options()
        });
        let mut pair = Pair::new(&load(&judge), &judged);
        pair.exchange();
        assert_eq!(
            (pair.dialer.kind(), pair.listener.kind()),
            (expected, expected)
        );
    };
    trusting(&good, None);
    trusting(&bad, revoked);
}

/// A list that was good when it was loaded may run out while the node runs.
#[test]
fn c5_a_list_that_has_run_out_covers_nobody() {
    let authority = Authority::new("ca");
    let (clock, now) = running_clock(1_000_000_000);
    let mut judge = judging(
        &authority.issue(),
        vec![authority.revoke(&list((2001, 2002)))],
    );
    judge.clock = clock;
    let material = load(&judge);
    let judged = authority.issue_with(serial(GOOD)).material();
    Pair::established(&material, &judged);
    now.store(1_100_000_000, Ordering::Relaxed);
    let mut pair = Pair::new(&material, &judged);
    pair.exchange();
    let error = pair.dialer.error.unwrap();
    assert_eq!(*error.kind(), ErrorKind::BadCertificate);
    assert!(error.to_string().contains("out of date"), "{error}");
}

#[test]
fn c5_lists_are_checked_when_loaded() {
    let (authority, namesake) = (Authority::new("ca"), Authority::new("ca"));
    let node = authority.issue();
    for (source, words) in [
        (authority.revoke(&list((2001, 2002))), "was good until"),
        (namesake.revoke(&current()), "did not sign"),
        (
            crate::authority::bytes(&node.leaf),
            "no PEM section X509 CRL",
        ),
        (Source::Bytes(vec![0x30, 0]), "malformed"),
    ] {
        let error = Material::load(&judging(&node, vec![source])).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(error.to_string().starts_with("crl_paths"), "{error}");
    }
}

/// A list that says it stands for one place covers those who name that place, among others too.
#[test]
fn c5_lists_of_several_distribution_points_cover_who_names_them() {
    const POINTS: [&str; 3] = [
        "http://a.example/1",
        "http://a.example/2",
        "http://b.example",
    ];
    let authority = Authority::new("ca");
    let naming = |number, points: &[&str]| {
        let uris = points.iter().map(|point| (*point).to_owned()).collect();
        authority.issue_with(|params| {
            serial(number)(params);
            params.crl_distribution_points = vec![CrlDistributionPoint { uris }];
        })
    };
    let mut scoped = current();
    scoped.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
        distribution_point: CrlDistributionPoint {
            uris: vec![POINTS[1].to_owned()],
        },
        scope: None,
    });
    let judge = judging(&naming(GOOD, &POINTS), vec![authority.revoke(&scoped)]);
    let revoked = Some(&ErrorKind::CertificateRevoked);
    assert_judged(&judge, &naming(REVOKED, &POINTS), revoked, revoked);
    assert_judged(&judge, &naming(GOOD, &POINTS), None, None);
    let unknown = Some(&ErrorKind::BadCertificate);
    for number in [GOOD, REVOKED] {
        assert_judged(&judge, &naming(number, &POINTS[2..]), unknown, unknown);
    }
}
