//! C7 and C8: chains that lead nowhere, that are made to be long, and leaves for another use.

use rcgen::{ExtendedKeyUsagePurpose as Usage, GeneralSubtree, NameConstraints};
use ztransport_tls::{
    CHAIN_CERTIFICATES_MAX, CHAIN_NAMESAKES_MAX, ClientAuth, ErrorKind, Filter, Options,
};

use crate::authority::{Authority, Node, dns, load};
use crate::pair::Pair;
use crate::peer;

/// More than rustls takes for a handshake message, 64 KiB.
const LONG_CHAIN_BYTES: usize = 100_000;
/// Authorities of one name that all could have issued one another.
const NAMESAKES: usize = 24;

fn asking(authority: &Authority, node: &Node) -> Options {
    Options {
        trust: vec![authority.trust()],
        client_auth: ClientAuth::Required,
        ..node.options()
    }
}

/// What a node that trusts `authority` says of `shown`, as dialer and as listener.
fn verdicts(authority: &Authority, shown: &Node) -> [Option<ErrorKind>; 2] {
    let judge = load(&asking(authority, &authority.issue()));
    let mut dialer = Filter::dial(&judge, "localhost").unwrap();
    let mut listener = peer::listen(shown, shown, &[b"zt/1"]).into();
    let (dialled, _) = peer::exchange(&mut dialer, &mut Vec::new(), &mut listener);
    let mut listener = Filter::accept(&judge);
    let config = peer::client_config_showing(authority, shown, shown);
    let mut dialer = peer::dial(config).into();
    let (dialling, _) = peer::exchange(&mut listener, &mut Vec::new(), &mut dialer);
    [dialled, dialling].map(|error| error.map(|error| error.kind().clone()))
}

fn assert_refused(authority: &Authority, shown: &Node, expected: &ErrorKind) {
    for verdict in verdicts(authority, shown) {
        assert_eq!(verdict.as_ref(), Some(expected));
    }
}

#[test]
fn c7_a_leaf_that_vouches_for_itself_is_untrusted() {
    let authority = Authority::new("ca");
    for is_authority in [false, true] {
        let shown = Node::self_signed(is_authority, |_| {});
        let verdicts = verdicts(&authority, &shown);
        assert!(verdicts.iter().all(Option::is_some), "{verdicts:?}");
    }
    let shown = Node::self_signed(false, |_| {});
    assert_refused(&authority, &shown, &ErrorKind::UntrustedIssuer);
}

#[test]
fn c7_a_missing_intermediate_is_an_untrusted_issuer() {
    let root = Authority::new("root");
    let middle = root.intermediate("middle", |_| {});
    let mut shown = middle.issue();
    assert_eq!(verdicts(&root, &shown), [None, None]);
    shown.chain.clone_from(&shown.leaf);
    assert_refused(&root, &shown, &ErrorKind::UntrustedIssuer);
}

#[test]
fn c7_a_chain_of_100_kilobytes_is_refused() {
    let authority = Authority::new("ca");
    let mut shown = authority.issue();
    let stranger = Authority::new("stranger").pem();
    let der_bytes = pem::parse(&stranger).unwrap().contents().len();
    shown.chain += &stranger.repeat(LONG_CHAIN_BYTES.div_ceil(der_bytes));
    let verdicts = verdicts(&authority, &shown);
    assert!(verdicts.iter().all(Option::is_some), "{verdicts:?}");
}

/// Each of the namesakes could have issued each other one, so the paths through them are without
/// number; how much time that takes is measured in bench/abuse.
#[test]
fn c7_a_maze_of_namesakes_is_refused() {
    let root = Authority::new("root");
    let mut namesakes = vec![Authority::new("maze")];
    for _ in 1..NAMESAKES {
        namesakes.push(namesakes[0].intermediate("maze", |_| {}));
    }
    let mut shown = namesakes[NAMESAKES - 1].issue();
    shown.chain = shown.leaf.clone();
    for namesake in &namesakes {
        shown.chain += &namesake.pem();
    }
    for verdict in verdicts(&root, &shown) {
        let kind = verdict.expect("it was let in");
        assert!(
            matches!(kind, ErrorKind::UntrustedIssuer | ErrorKind::BadCertificate),
            "{kind:?}"
        );
    }
}

/// One step below, at and above each bound of a chain.
#[test]
fn c7_the_bounds_of_a_chain_are_exact() {
    let root = Authority::new("root");
    let with = |others: usize, namesakes: usize| {
        let mut shown = root.issue();
        shown.chain.clone_from(&shown.leaf);
        for number in 0..others {
            shown.chain += &Authority::new(&format!("other {number}")).pem();
        }
        for _ in 0..namesakes {
            shown.chain += &Authority::new("namesake").pem();
        }
        verdicts(&root, &shown)
    };
    let refused = || {
        [
            Some(ErrorKind::BadCertificate),
            Some(ErrorKind::BadCertificate),
        ]
    };
    let others = CHAIN_CERTIFICATES_MAX - 1;
    assert_eq!(with(others - 1, 0), [None, None]);
    assert_eq!(with(others, 0), [None, None]);
    assert_eq!(with(others + 1, 0), refused());
    assert_eq!(with(0, CHAIN_NAMESAKES_MAX - 1), [None, None]);
    assert_eq!(with(0, CHAIN_NAMESAKES_MAX), [None, None]);
    assert_eq!(with(0, CHAIN_NAMESAKES_MAX + 1), refused());
}

#[test]
fn c8_any_usage_is_not_this_usage() {
    let authority = Authority::new("ca");
    let shown = authority.issue_with(|params| params.extended_key_usages = vec![Usage::Any]);
    assert_refused(&authority, &shown, &ErrorKind::WrongKeyUsage);
}

#[test]
fn c8_an_authority_is_no_leaf() {
    let root = Authority::new("root");
    let shown = root.intermediate("middle", |_| {}).as_node();
    assert_refused(&root, &shown, &ErrorKind::WrongKeyUsage);
}

#[test]
fn c8_an_authority_for_some_names_issues_no_others() {
    let root = Authority::new("root");
    let limited = root.intermediate("limited", |params| {
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName("example.org".into())],
            excluded_subtrees: Vec::new(),
        });
    });
    assert_refused(&root, &limited.issue(), &ErrorKind::BadCertificate);
    let inside = limited.issue_with(|params| params.subject_alt_names = vec![dns("a.example.org")]);
    let judge = load(&asking(&root, &root.issue()));
    let mut pair = Pair::to_host(&judge, &load(&asking(&root, &inside)), "a.example.org");
    pair.exchange();
    pair.assert_established();
}
