//! C9: keys and signatures too weak to believe, shown in a handshake, to dialers and to listeners.

use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_ED25519,
    PKCS_RSA_SHA256,
};
use rustls::Connection;
use ztransport_tls::{ClientAuth, ErrorKind, Filter, Options, TrustSource};

use crate::authority::{Authority, Node, bytes, load};
use crate::craft::{ALGORITHM, PUBLIC_KEY, algorithm, element, public_key, replaced, sequence};
use crate::pair::Pair;
use crate::peer;

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const SHA1_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
const SHA1_WITH_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P192: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 1];
const DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1];
const ED448: &[u8] = &[0x2b, 0x65, 0x71];
const NULL: &[u8] = &[5, 0];

/// An RSA key whose modulus has so many bits; nobody will get as far as to use it.
fn rsa(bits: usize, exponent: &[u8]) -> Vec<u8> {
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    modulus[0] >>= bits.next_multiple_of(8) - bits;
    if modulus[0] >= 0x80 {
        modulus.insert(0, 0);
    }
    let numbers = sequence(&[&element(2, &modulus), &element(2, exponent)]);
    public_key(&algorithm(RSA, NULL), &numbers)
}

/// What a node that trusts the authority, or the leaf itself, says of it in either role.
fn verdicts(authority: &Authority, shown: &Node) -> Vec<(ErrorKind, String)> {
    let trusts = [
        authority.trust(),
        TrustSource::Source(bytes(&format!("{}{}", shown.leaf, authority.pem()))),
    ];
    let as_listener = trusts.iter().map(|trust| dialled(authority, trust, shown));
    let as_dialer = trusts.iter().map(|trust| dialling(authority, trust, shown));
    as_listener.chain(as_dialer).collect()
}

fn judge(authority: &Authority, trust: &TrustSource) -> Options {
    Options {
        trust: vec![trust.clone()],
        client_auth: ClientAuth::Required,
        ..authority.issue().options()
    }
}

fn dialled(authority: &Authority, trust: &TrustSource, shown: &Node) -> (ErrorKind, String) {
    let filter = Filter::dial(&load(&judge(authority, trust)), "localhost").unwrap();
    verdict(filter, peer::listen(shown, shown, &[b"zt/1"]).into())
}

fn dialling(authority: &Authority, trust: &TrustSource, shown: &Node) -> (ErrorKind, String) {
    let filter = Filter::accept(&load(&judge(authority, trust)));
    let config = peer::client_config_showing(authority, shown, shown);
    verdict(filter, peer::dial(config).into())
}

fn verdict(mut filter: Filter, mut peer: Connection) -> (ErrorKind, String) {
    let (error, told) = peer::exchange(&mut filter, &mut Vec::new(), &mut peer);
    let error = error.expect("it was let in");
    assert!(told.is_some(), "the peer is told");
    (error.kind().clone(), error.to_string())
}

/// The certificate says a weak key; what signs the handshake is another, sound one.
fn with_key(authority: &Authority, key: &[u8]) -> Node {
    let mut node = authority.issue();
    node.leaf = replaced(&node.leaf, PUBLIC_KEY, key, authority.key());
    node
}

#[test]
fn c9_weak_keys_are_refused_in_the_handshake() {
    let authority = Authority::new("ca");
    let p192 = algorithm(EC, &element(6, P192));
    for (key, words) in [
        (rsa(1024, &[1, 0, 1]), "1024 bits"),
        (rsa(2052, &[1, 0, 1]), "2052 bits"),
        (rsa(2048, &[3]), "exponent"),
        (public_key(&p192, &[4; 49]), "P-256"),
        (public_key(&algorithm(DSA, NULL), &[2; 20]), "neither RSA"),
        (public_key(&algorithm(ED448, &[]), &[7; 57]), "neither RSA"),
    ] {
        for (kind, text) in verdicts(&authority, &with_key(&authority, &key)) {
            assert_eq!(kind, ErrorKind::BadCertificate, "{words}: {text}");
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}

/// Below an authority path building refuses the algorithm; a leaf known by its bytes is not
/// verified by it, and refused all the same.
#[test]
fn c9_signatures_with_sha_1_are_refused_in_the_handshake() {
    let authority = Authority::new("ca");
    for old in [
        algorithm(SHA1_WITH_RSA, NULL),
        algorithm(SHA1_WITH_ECDSA, &[]),
    ] {
        let mut node = authority.issue();
        node.leaf = replaced(&node.leaf, ALGORITHM, &old, authority.key());
        for (kind, text) in verdicts(&authority, &node) {
            assert_eq!(kind, ErrorKind::BadCertificate, "{text}");
        }
    }
}

#[test]
fn c9_sound_keys_of_every_kind_are_accepted() {
    let authority = Authority::new("ca");
    let judge = load(&judge(&authority, &authority.trust()));
    for kind in [
        &PKCS_ED25519,
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
        &PKCS_ECDSA_P521_SHA512,
        &PKCS_RSA_SHA256,
    ] {
        let key = KeyPair::generate_for(kind).unwrap();
        let node = authority.issue_to(&key, |_| {}).material();
        Pair::established(&judge, &node);
        Pair::established(&node, &judge);
    }
}
