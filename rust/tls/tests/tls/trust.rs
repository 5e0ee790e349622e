//! Who is believed, and that nobody else is.

use std::sync::Arc;

use rcgen::ExtendedKeyUsagePurpose;
use ztransport_tls::{ClientAuth, ErrorKind, Filter, Material, TrustSource};
use ztransport_tls::{Options, Session};

use crate::authority::{
    Authority, Node, bytes, dialer_options, expired, load, named_otherwise, not_yet_valid,
};
use crate::pair::Pair;
use crate::peer;

/// A node that trusts exactly the certificates in `trust` and wants one from its dialers.
fn trusting(node: &Node, trust: &str) -> Arc<Material> {
    load(&Options {
        trust: vec![TrustSource::Source(bytes(trust))],
        client_auth: ClientAuth::Required,
        ..node.options()
    })
}

/// How a node that trusts `trust` judges `presented`, as dialer and as listener.
fn judgements(trust: &str, presented: &Node) -> [Result<Session, ErrorKind>; 2] {
    let judge = Authority::new("judge").issue();
    let judging = trusting(&judge, trust);
    let judged = trusting(presented, &judge.leaf);
    let mut dialling = Pair::new(&judging, &judged);
    let mut listening = Pair::new(&judged, &judging);
    dialling.exchange();
    listening.exchange();
    [dialling.dialer, listening.listener].map(|end| match end.error {
        Some(error) => Err(error.kind().clone()),
        None => Ok(end.filter.session().unwrap()),
    })
}

fn assert_refused(trust: &str, presented: &Node, expected: &ErrorKind) {
    for judgement in judgements(trust, presented) {
        assert_eq!(judgement.as_ref().err(), Some(expected), "{judgement:?}");
    }
}

fn assert_accepted(trust: &str, presented: &Node) {
    for judgement in judgements(trust, presented) {
        assert!(judgement.unwrap().identity.is_some());
    }
}

/// webpki would take the leaf for an anchor, and then believe what its key signed.
#[test]
fn a_nodes_key_must_not_be_able_to_mint_a_peer() {
    let authority = Authority::new("ca");
    for node in [authority.issue(), Node::self_signed(false, |_| {})] {
        assert_accepted(&node.leaf, &node);
        assert_refused(&node.leaf, &node.mint(), &ErrorKind::UntrustedIssuer);
    }
}

/// The leaf is a proper one here, its issuer trusted; only its CA flag stands against it.
#[test]
fn a_leaf_below_a_trusted_authority_issues_nothing() {
    let authority = Authority::new("ca");
    let forged = authority.issue().mint();
    assert_refused(&authority.pem(), &forged, &ErrorKind::UntrustedIssuer);
}

#[test]
fn ones_own_leaf_never_becomes_an_anchor_even_with_ca_true() {
    let own = Node::self_signed(true, |_| {});
    for trust in [TrustSource::Chain, TrustSource::Source(bytes(&own.leaf))] {
        let judging = load(&Options {
            trust: vec![trust],
            client_auth: ClientAuth::Required,
            ..own.options()
        });
        Pair::established(&judging, &judging);
        let forged = trusting(&own.mint(), &own.leaf);
        let mut dialling = Pair::new(&judging, &forged);
        dialling.exchange();
        assert_eq!(dialling.dialer.kind(), Some(&ErrorKind::UntrustedIssuer));
        let mut listening = Pair::new(&forged, &judging);
        listening.exchange();
        assert_eq!(listening.listener.kind(), Some(&ErrorKind::UntrustedIssuer));
    }
}

#[test]
fn authority_in_ones_own_chain_is_an_anchor() {
    let authority = Authority::new("ca");
    Pair::established(&authority.issue().material(), &authority.issue().material());
}

/// Without the root: the intermediate that both chains end with is enough.
#[test]
fn leaves_of_one_intermediate_meet() {
    let middle = Authority::new("root").intermediate("middle", |_| {});
    Pair::established(&middle.issue().material(), &middle.issue().material());
}

#[test]
fn authority_in_a_trust_file_of_many_is_an_anchor() {
    let (one, other) = (Authority::new("one"), Authority::new("other"));
    let trust = format!("{}{}{}", one.issue().leaf, other.pem(), one.pem());
    assert_accepted(&trust, &one.issue());
    assert_accepted(&trust, &other.issue());
    assert_refused(
        &trust,
        &Authority::new("third").issue(),
        &ErrorKind::UntrustedIssuer,
    );
}

#[test]
fn known_leaf_is_accepted_without_issuer_and_whatever_its_name() {
    for node in [
        Node::self_signed(false, |_| {}),
        Node::self_signed(true, |_| {}),
        Node::self_signed(false, named_otherwise),
        Node::self_signed(true, named_otherwise),
        Authority::new("stranger").issue_with(named_otherwise),
    ] {
        assert_accepted(&node.leaf, &node);
    }
}

#[test]
fn known_leaf_must_still_be_valid_now() {
    for is_authority in [false, true] {
        let node = Node::self_signed(is_authority, expired);
        assert_refused(&node.leaf, &node, &ErrorKind::CertificateExpired);
        let node = Node::self_signed(is_authority, not_yet_valid);
        assert_refused(&node.leaf, &node, &ErrorKind::CertificateNotYetValid);
    }
}

#[test]
fn known_leaf_must_still_be_for_this_use() {
    let node = Node::self_signed(false, |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::EmailProtection];
    });
    let trust = TrustSource::Source(bytes(&node.leaf));
    let mut dialer = Filter::dial(&load(&dialer_options(trust)), "localhost").unwrap();
    let mut listener = peer::listen(&node, &node, &[b"zt/1"]).into();
    let (error, _) = peer::exchange(&mut dialer, &mut Vec::new(), &mut listener);
    assert_eq!(*error.unwrap().kind(), ErrorKind::WrongKeyUsage);
}

#[test]
fn known_leaf_must_still_prove_its_key() {
    for is_authority in [false, true] {
        let known = Node::self_signed(is_authority, |_| {});
        let impostor = Node::self_signed(false, |_| {});
        let trust = TrustSource::Source(bytes(&known.leaf));
        let mut dialer = Filter::dial(&load(&dialer_options(trust)), "localhost").unwrap();
        let mut listener = peer::listen(&known, &impostor, &[b"zt/1"]).into();
        let (error, _) = peer::exchange(&mut dialer, &mut Vec::new(), &mut listener);
        assert_eq!(*error.unwrap().kind(), ErrorKind::BadCertificate);
        assert!(dialer.is_handshaking());
    }
}

/// The same key under other bytes is another certificate.
#[test]
fn known_leaf_is_known_by_all_its_bytes() {
    let known = Node::self_signed(false, |_| {});
    let mut renamed = known.mint();
    renamed.chain.clone_from(&renamed.leaf);
    assert_refused(&known.leaf, &renamed, &ErrorKind::UntrustedIssuer);
}
