//! What each profile asks of a certificate, and who is let in, seen from both ends.

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose as Usage, KeyUsagePurpose, SanType};
use ztransport_tls::{ClientAuth, ErrorKind, Material, Options, Profile};

use crate::authority::{Authority, Node, bytes, dialer_options, load};
use crate::pair::Pair;

/// Whom a peer of `profile` sees, as dialer and as listener, and what the other side is told.
fn judgements(judging: &Options, judged: &Options) -> [(Option<ErrorKind>, Option<ErrorKind>); 2] {
    let (judging, judged) = (load(judging), load(judged));
    let mut dialling = Pair::new(&judging, &judged);
    let mut listening = Pair::new(&judged, &judging);
    dialling.exchange();
    listening.exchange();
    [
        (
            dialling.dialer.kind().cloned(),
            dialling.listener.kind().cloned(),
        ),
        (
            listening.listener.kind().cloned(),
            listening.dialer.kind().cloned(),
        ),
    ]
}

fn asking(authority: &Authority, profile: Profile, node: &Node) -> Options {
    Options {
        trust: vec![authority.trust()],
        client_auth: ClientAuth::Required,
        profile,
        // Those who are judged have a judge without host names.
        verify_hostname: profile != Profile::Zeebe,
        ..node.options()
    }
}

fn assert_judged(judging: &Options, judged: &Options, expected: Option<&ErrorKind>) {
    for (decided, told) in judgements(judging, judged) {
        assert_eq!(decided.as_ref(), expected);
        assert_eq!(told.as_ref(), expected);
    }
}

fn strict(params: &mut CertificateParams) {
    params.extended_key_usages = vec![Usage::ServerAuth, Usage::ClientAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
}

fn svid(uris: &[&str]) -> impl FnOnce(&mut CertificateParams) {
    let names = uris
        .iter()
        .map(|uri| SanType::URI((*uri).try_into().unwrap()));
    let names: Vec<_> = names.collect();
    |params| {
        strict(params);
        params.subject_alt_names = names;
    }
}

#[test]
fn c8_strict_wants_both_usages_and_standard_does_not() {
    let authority = Authority::new("ca");
    let judge = authority.issue_with(strict);
    let without_signature = authority.issue_with(|params| {
        strict(params);
        params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
    });
    let without_purpose = authority.issue_with(|params| {
        strict(params);
        params.extended_key_usages = Vec::new();
    });
    for loose in [authority.issue(), without_signature, without_purpose] {
        let judged = asking(&authority, Profile::Standard, &loose);
        let wrong = Some(&ErrorKind::WrongKeyUsage);
        assert_judged(&asking(&authority, Profile::Strict, &judge), &judged, wrong);
        assert_judged(
            &asking(&authority, Profile::Standard, &judge),
            &judged,
            None,
        );
    }
    let sound = asking(&authority, Profile::Strict, &authority.issue_with(strict));
    assert_judged(&asking(&authority, Profile::Strict, &judge), &sound, None);
}

#[test]
fn strict_refuses_an_unfit_leaf_of_its_own_and_wants_trust_named() {
    let authority = Authority::new("ca");
    let loose = asking(&authority, Profile::Strict, &authority.issue());
    assert!(reason(&loose).contains("extended key usage"));
    let chain = Options {
        profile: Profile::Strict,
        ..authority.issue_with(strict).options()
    };
    assert!(reason(&chain).contains("authorities to be named"));
}

fn reason(options: &Options) -> String {
    Material::load(options).unwrap_err().to_string()
}

#[test]
fn allowed_identities_hold_in_both_directions_and_for_both_ends() {
    let authority = Authority::new("ca");
    let judged = asking(&authority, Profile::Standard, &authority.issue());
    let judge = |patterns: &[&str]| Options {
        allowed_identities: patterns.iter().map(ToString::to_string).collect(),
        ..asking(&authority, Profile::Standard, &authority.issue())
    };
    let outside = Some(&ErrorKind::IdentityNotAllowed);
    assert_judged(&judge(&["localhost"]), &judged, None);
    assert_judged(&judge(&["127.0.0.*"]), &judged, None);
    assert_judged(&judge(&["*.example"]), &judged, outside);
    assert_judged(&judge(&["!localhost"]), &judged, outside);
    assert_judged(&judge(&["localhost", "!127.0.0.1"]), &judged, outside);
    let text = {
        let mut pair = Pair::new(&load(&judge(&["*.example"])), &load(&judged));
        pair.exchange();
        pair.dialer.error.unwrap().to_string()
    };
    assert!(text.contains("localhost, 127.0.0.1"), "{text}");
}

/// Who shows nothing is nobody on the list, whatever `client_auth` says.
#[test]
fn listener_with_a_list_wants_a_certificate() {
    let authority = Authority::new("ca");
    let listener = load(&Options {
        allowed_identities: vec!["localhost".to_owned()],
        ..authority.issue().options()
    });
    let mut pair = Pair::new(&load(&dialer_options(authority.trust())), &listener);
    pair.exchange();
    let expected = Some(&ErrorKind::ClientCertificateRequired);
    assert_eq!(
        (pair.listener.kind(), pair.dialer.kind()),
        (expected, expected)
    );
}

#[test]
fn c11_spiffe_wants_one_id_of_its_own_trust_domain() {
    let authority = Authority::new("ca");
    let judge = authority.issue_with(svid(&["spiffe://ours/judge"]));
    let judge = asking(&authority, Profile::Spiffe, &judge);
    let judged = |uris: &[&str]| {
        let node = authority.issue_with(svid(uris));
        asking(&authority, Profile::Zeebe, &node)
    };
    assert_judged(&judge, &judged(&["spiffe://ours/other"]), None);
    let outside = Some(&ErrorKind::IdentityNotAllowed);
    for uris in [
        &["spiffe://away/other"][..],
        &["spiffe://ours"],
        &["spiffe://ours/a", "spiffe://ours/b"],
        &["https://ours/a"],
    ] {
        assert_judged(&judge, &judged(uris), outside);
    }
    let nobody = asking(&authority, Profile::Zeebe, &authority.issue_with(strict));
    assert_judged(&judge, &nobody, outside);
    let named = Options {
        allowed_identities: vec!["spiffe://away/**".to_owned()],
        ..judge
    };
    assert_judged(&named, &judged(&["spiffe://away/other"]), None);
}

#[test]
fn c11_spiffe_refuses_signing_certificates_and_needs_a_domain() {
    let authority = Authority::new("ca");
    let judge = authority.issue_with(svid(&["spiffe://ours/judge"]));
    let judge = asking(&authority, Profile::Spiffe, &judge);
    let signing = authority.issue_with(|params| {
        svid(&["spiffe://ours/other"])(params);
        params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    });
    let judged = asking(&authority, Profile::Zeebe, &signing);
    assert_judged(&judge, &judged, Some(&ErrorKind::WrongKeyUsage));
    let nobody = Options {
        profile: Profile::Spiffe,
        ..dialer_options(authority.trust())
    };
    assert!(reason(&nobody).contains("trust domain"));
}

/// Path building takes an authority as it is handed over, whatever its dates.
#[test]
fn expired_authority_vouches_for_nobody() {
    let node = Node::self_signed(true, crate::authority::expired);
    let minted = node.mint();
    let judge = Authority::new("judge").issue();
    let judging = load(&Options {
        trust: vec![ztransport_tls::TrustSource::Source(bytes(&node.leaf))],
        ..judge.options()
    });
    let minted = Node {
        chain: minted.leaf.clone(),
        ..minted
    };
    let mut pair = Pair::new(&judging, &minted.material());
    pair.exchange();
    assert_eq!(pair.dialer.kind(), Some(&ErrorKind::CertificateExpired));
}
