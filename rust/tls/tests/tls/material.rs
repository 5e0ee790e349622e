//! What material loads from, and what it says when it cannot.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process;

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use ztransport_tls::{
    Error, ErrorKind, Fault, Filter, Material, Options, REKEY_RECORDS_MAX, SOURCE_BYTES_MAX,
    Source, TrustSource,
};

use crate::authority::{Authority, Node, bytes, dialer_options, load};
use crate::pair::Pair;

/// A directory of one test, removed after it.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let name = format!("ztransport-tls-{}-{test}", process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn configuration(options: &Options) -> (String, String) {
    let error = Material::load(options).unwrap_err();
    assert_eq!(error.fault(), Fault::Configuration);
    match error.kind().clone() {
        ErrorKind::Configuration { path, reason } => (path, reason),
        other => panic!("{other:?}"),
    }
}

fn with_key(node: &Node, key: &str) -> Options {
    Options {
        private_key: Some(bytes(key)),
        ..node.options()
    }
}

#[test]
fn paths_and_bytes_load_alike() {
    let folder = Folder::new("paths");
    let authority = Authority::new("ca");
    let node = authority.issue();
    let material = load(&Options {
        certificate_chain: Some(Source::Path(
            folder.write("chain.pem", node.chain.as_bytes()),
        )),
        private_key: Some(Source::Path(folder.write("node.key", node.key.as_bytes()))),
        trust: vec![TrustSource::Source(Source::Path(
            folder.write("ca.pem", authority.pem().as_bytes()),
        ))],
        ..Options::default()
    });
    assert!(material.can_listen());
    Pair::established(&material, &node.material());
}

#[test]
fn keys_load_from_pkcs8_pkcs1_and_sec1() {
    let p256 = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    for (key, label) in [(p256, "EC PRIVATE KEY"), (rsa, "RSA PRIVATE KEY")] {
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let leaf = params.self_signed(&key).unwrap().pem();
        let node = Node {
            chain: leaf.clone(),
            leaf,
            key: key.serialize_pem(),
            begins: None,
        };
        assert!(node.key.contains("BEGIN PRIVATE KEY"));
        Pair::established(&node.material(), &node.material());

        let traditional = pem::encode(&pem::Pem::new(label, inner_key(&key.serialize_der())));
        let material = load(&with_key(&node, &traditional));
        Pair::established(&material, &material);
    }
}

/// PKCS#8 is a sequence of version, algorithm and, as an octet string, the older form of the key.
fn inner_key(pkcs8: &[u8]) -> Vec<u8> {
    let mut rest = value(pkcs8).0;
    for _ in 0..2 {
        rest = value(rest).1;
    }
    value(rest).0.to_vec()
}

/// The value of a DER element, and what follows it.
fn value(der: &[u8]) -> (&[u8], &[u8]) {
    let (start, length) = match der[1] {
        short @ 0..0x80 => (2, usize::from(short)),
        long => {
            let count = usize::from(long & 0x7f);
            let bytes = der[2..2 + count].iter();
            (
                2 + count,
                bytes.fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
            )
        }
    };
    der[start..].split_at(length)
}

#[test]
fn unreadable_files_are_named_with_the_reason() {
    let folder = Folder::new("unreadable");
    let node = Authority::new("ca").issue();
    let absent = folder.0.join("absent.pem");
    for (path, words) in [
        (absent, "No such file"),
        (folder.0.clone(), "directory"),
        ("/dev/zero".into(), "regular file"),
        (folder.write("empty.pem", b""), "empty"),
    ] {
        let options = Options {
            certificate_chain: Some(Source::Path(path.clone())),
            ..node.options()
        };
        let (named, reason) = configuration(&options);
        assert_eq!(named, path.display().to_string());
        assert!(reason.contains(words), "{reason}");
    }
}

#[test]
fn sources_are_bounded() {
    let folder = Folder::new("bounded");
    let authority = Authority::new("ca");
    let mut most = authority.pem().into_bytes();
    most.resize(SOURCE_BYTES_MAX, b'\n');
    let trust = |source| dialer_options(TrustSource::Source(source));
    load(&trust(Source::Bytes(most.clone())));
    load(&trust(Source::Path(folder.write("most.pem", &most))));
    most.push(b'\n');
    let path = folder.write("over.pem", &most);
    for (source, name) in [
        (Source::Path(path.clone()), path.display().to_string()),
        (Source::Bytes(most), "trust".to_owned()),
    ] {
        let (named, reason) = configuration(&trust(source));
        assert_eq!(named, name);
        assert!(reason.contains("larger"), "{reason}");
    }
}

#[test]
fn files_without_anything_usable_are_named_with_the_reason() {
    let node = Authority::new("ca").issue();
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let odd_key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let odd_certificate = "-----BEGIN CERTIFICATE-----\nMAAA\n-----END CERTIFICATE-----\n";
    let chain = |pem: &str| {
        changed(&node, |options| {
            options.certificate_chain = Some(bytes(pem));
        })
    };
    check_reasons([
        (chain(&node.key), "no PEM section CERTIFICATE"),
        (chain(odd_certificate), "malformed"),
        (
            with_key(&node, &node.chain),
            "no PEM section of a private key",
        ),
        (with_key(&node, encrypted), "not well-formed"),
        (with_key(&node, odd_key), "not well-formed"),
        (
            dialer_options(TrustSource::Source(bytes(odd_certificate))),
            "malformed",
        ),
    ]);
}

#[test]
fn options_that_cannot_work_are_named_with_the_reason() {
    let node = Authority::new("ca").issue();
    let suite = "TLS_RSA_WITH_NULL_MD5";
    let group = "SECT163K1";
    check_reasons([
        (
            changed(&node, |options| options.private_key = None),
            "missing",
        ),
        (
            changed(&node, |options| options.certificate_chain = None),
            "missing",
        ),
        (changed(&node, |options| options.trust.clear()), "empty"),
        (Options::default(), "empty"),
        (
            changed(&node, |options| options.rekey_records = 0),
            "from 1 to",
        ),
        (
            changed(&node, |options| {
                options.rekey_records = REKEY_RECORDS_MAX + 1;
            }),
            "from 1 to",
        ),
        (
            changed(&node, |options| {
                options.cipher_suites = vec![suite.to_owned()];
            }),
            suite,
        ),
        (
            changed(&node, |options| options.groups = vec![group.to_owned()]),
            group,
        ),
    ]);
}

fn changed(node: &Node, change: impl FnOnce(&mut Options)) -> Options {
    let mut options = node.options();
    change(&mut options);
    options
}

fn check_reasons<const N: usize>(cases: [(Options, &str); N]) {
    for (options, words) in cases {
        let (_, reason) = configuration(&options);
        assert!(reason.contains(words), "{reason:?} lacks {words:?}");
    }
}

#[test]
fn key_of_another_certificate_is_noticed_at_load() {
    let authority = Authority::new("ca");
    let (node, other) = (authority.issue(), authority.issue());
    let (path, reason) = configuration(&with_key(&node, &other.key));
    assert_eq!(path, "private_key");
    assert!(
        reason.contains("not the key of the first certificate"),
        "{reason}"
    );
}

/// Whatever is wrong with a key file, the answer does not quote it.
#[test]
fn errors_and_debug_never_hold_key_bytes() {
    let node = Authority::new("ca").issue();
    let secret = node.key.lines().nth(1).unwrap().to_owned();
    let broken = [
        node.key.replace("-----END", "-----ENT"),
        node.key.replacen('\n', "\n-----BEGIN ", 1),
        node.key.replace(&secret, &format!("{secret}!")),
        node.key.replace(&secret, &secret[4..]),
        format!("-----BEGIN {secret}\n"),
    ];
    for key in broken {
        let error = Material::load(&with_key(&node, &key)).unwrap_err();
        assert_silent(&error, &secret);
    }
    let options = node.options();
    let material = load(&options);
    let filter = Filter::dial(&material, "localhost").unwrap();
    for text in [
        format!("{options:?}"),
        format!("{material:?}"),
        format!("{filter:?}"),
    ] {
        assert!(!text.contains(&secret[..8]));
    }
    let printed_as_numbers = format!("{:?}", secret.as_bytes()).replace(['[', ']'], "");
    assert!(!format!("{options:?}").contains(&printed_as_numbers));
}

fn assert_silent(error: &Error, secret: &str) {
    for text in [error.to_string(), format!("{error:?}")] {
        assert!(!text.contains(&secret[4..12]), "{text}");
    }
}

#[test]
fn other_pem_sections_are_passed_over() {
    let authority = Authority::new("ca");
    let other = "-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n";
    let trust = format!("a comment\n{other}{}", authority.pem());
    let dialer = load(&dialer_options(TrustSource::Source(bytes(&trust))));
    Pair::established(&dialer, &authority.issue().material());
}

/// OpenSSL writes its own opinion on a certificate behind it; trust is ours to give.
#[test]
fn trusted_certificates_load_without_their_annex() {
    let authority = Authority::new("ca");
    let mut der = pem::parse(authority.pem()).unwrap().into_contents();
    der.extend([0x30, 0x03, 0x0c, 0x01, b'x']);
    let trusted = pem::encode(&pem::Pem::new("TRUSTED CERTIFICATE", der));
    let dialer = load(&dialer_options(TrustSource::Source(bytes(&trusted))));
    Pair::established(&dialer, &authority.issue().material());
}

#[test]
fn certificates_and_keys_load_as_der_too() {
    let node = Authority::new("ca").issue();
    let der = |pem: &str| Some(Source::Bytes(pem::parse(pem).unwrap().into_contents()));
    let material = load(&Options {
        certificate_chain: der(&node.leaf),
        private_key: der(&node.key),
        ..Options::default()
    });
    Pair::established(&material, &material);
}

#[test]
fn dialer_without_certificate_cannot_listen() {
    let material = load(&dialer_options(Authority::new("ca").trust()));
    assert!(!material.can_listen());
    let mut pair = Pair::new(&material, &material);
    pair.exchange();
    let error = pair.listener.error.unwrap();
    assert_eq!(error.fault(), Fault::Configuration);
    assert_eq!(pair.dialer.kind(), Some(&ErrorKind::PeerAlert(80)));
}
