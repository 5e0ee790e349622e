//! Certificates made for one test and forgotten after it.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ED25519,
    SanType, date_time_ymd,
};
use ztransport_tls::{Material, Options, Source, TrustSource};

/// A CA with a key.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A chain, leaf first, and its key, both PEM.
pub(crate) struct Node {
    pub(crate) leaf: String,
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        Self::from_params(named(name, true))
    }

    fn from_params(params: CertificateParams) -> Self {
        Self(CertifiedIssuer::self_signed(params, new_key()).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn trust(&self) -> TrustSource {
        TrustSource::Source(bytes(&self.pem()))
    }

    /// A node for `localhost` and 127.0.0.1.
    pub(crate) fn issue(&self) -> Node {
        self.issue_with(|_| {})
    }

    pub(crate) fn issue_with(&self, change: impl FnOnce(&mut CertificateParams)) -> Node {
        let mut params = named("node", false);
        change(&mut params);
        let key = new_key();
        let leaf = params.signed_by(&key, &self.0).unwrap().pem();
        Node {
            chain: format!("{leaf}{}", self.pem()),
            leaf,
            key: key.serialize_pem(),
        }
    }

    /// The authority's own certificate used as a node's.
    pub(crate) fn as_node(&self) -> Node {
        Node {
            leaf: self.pem(),
            chain: self.pem(),
            key: self.0.key().serialize_pem(),
        }
    }
}

impl Node {
    /// A node nobody vouches for, with or without CA:TRUE.
    pub(crate) fn self_signed(
        is_authority: bool,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = named("node", is_authority);
        change(&mut params);
        Authority::from_params(params).as_node()
    }

    /// What the node could sign if its certificate were taken for an authority's.
    pub(crate) fn mint(&self) -> Self {
        let key = KeyPair::from_pem(&self.key).unwrap();
        let issuer = rcgen::Issuer::new(named("node", true), key);
        let forged_key = new_key();
        let forged = named("victim", false)
            .signed_by(&forged_key, &issuer)
            .unwrap()
            .pem();
        Self {
            chain: format!("{forged}{}", self.chain),
            leaf: forged,
            key: forged_key.serialize_pem(),
        }
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            certificate_chain: Some(bytes(&self.chain)),
            private_key: Some(bytes(&self.key)),
            ..Options::default()
        }
    }

    pub(crate) fn material(&self) -> Arc<Material> {
        load(&self.options())
    }
}

/// Options of a dialer without a certificate of its own.
pub(crate) fn dialer_options(trust: TrustSource) -> Options {
    Options {
        trust: vec![trust],
        ..Options::default()
    }
}

pub(crate) fn load(options: &Options) -> Arc<Material> {
    Material::load(options).unwrap()
}

pub(crate) fn bytes(pem: &str) -> Source {
    Source::Bytes(pem.as_bytes().to_vec())
}

pub(crate) fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(1999, 1, 1);
    params.not_after = date_time_ymd(2000, 1, 1);
}

pub(crate) fn not_yet_valid(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(3000, 1, 1);
    params.not_after = date_time_ymd(3001, 1, 1);
}

pub(crate) fn named_otherwise(params: &mut CertificateParams) {
    params.subject_alt_names = vec![dns("elsewhere.example")];
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

fn named(name: &str, is_authority: bool) -> CertificateParams {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    if is_authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    params
}

/// Ed25519: its signatures have one length, so that two handshakes do too.
fn new_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ED25519).unwrap()
}
