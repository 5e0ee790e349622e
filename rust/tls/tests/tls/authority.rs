//! Certificates made for one test and forgotten after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyPair, PKCS_ED25519, SanType, date_time_ymd,
};
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;
use ztransport_tls::{Material, Options, Source, TrustSource};

/// A CA with a key.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A chain, leaf first, and its key, both PEM.
pub(crate) struct Node {
    pub(crate) leaf: String,
    pub(crate) chain: String,
    pub(crate) key: String,
    /// When it begins to be valid, in seconds since 1970, if that is not now.
    pub(crate) begins: Option<u64>,
}

/// A clock that stands still.
#[derive(Debug)]
pub(crate) struct StoppedClock(pub(crate) u64);

/// A clock that is set by whoever holds its hand, in seconds since 1970.
#[derive(Debug)]
struct SetClock(Arc<AtomicU64>);

pub(crate) fn running_clock(seconds: u64) -> (Arc<dyn TimeProvider>, Arc<AtomicU64>) {
    let hand = Arc::new(AtomicU64::new(seconds));
    (Arc::new(SetClock(hand.clone())), hand)
}

impl TimeProvider for SetClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.0.load(Ordering::Relaxed);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

impl TimeProvider for StoppedClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0)))
    }
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
        self.issue_to(&new_key(), change)
    }

    /// A node with a key of its own choice.
    pub(crate) fn issue_to(
        &self,
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Node {
        let mut params = named("node", false);
        change(&mut params);
        let leaf = params.signed_by(key, &self.0).unwrap().pem();
        Node {
            begins: begins(&params),
            chain: format!("{leaf}{}", self.pem()),
            leaf,
            key: key.serialize_pem(),
        }
    }

    /// What it signs with.
    pub(crate) fn key(&self) -> &KeyPair {
        self.0.key()
    }

    /// The authority's own certificate used as a node's.
    pub(crate) fn as_node(&self) -> Node {
        Node {
            leaf: self.pem(),
            chain: self.pem(),
            key: self.0.key().serialize_pem(),
            begins: None,
        }
    }

    /// An authority below this one.
    pub(crate) fn intermediate(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = named(name, true);
        change(&mut params);
        Self(CertifiedIssuer::signed_by(params, new_key(), &self.0).unwrap())
    }

    /// The authority's list of revoked certificates.
    pub(crate) fn revoke(&self, params: &CertificateRevocationListParams) -> Source {
        bytes(&params.signed_by(&self.0).unwrap().pem().unwrap())
    }
}

/// Dates of certificates here are around today, long ago, or far ahead.
fn begins(params: &CertificateParams) -> Option<u64> {
    let is_today = CertificateParams::default().not_before == params.not_before;
    (!is_today).then(|| params.not_before.unix_timestamp().try_into().unwrap())
}

impl Node {
    /// A node nobody vouches for, with or without CA:TRUE.
    pub(crate) fn self_signed(
        is_authority: bool,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let mut params = named("node", is_authority);
        change(&mut params);
        Self {
            begins: begins(&params),
            ..Authority::from_params(params).as_node()
        }
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
            begins: None,
        }
    }

    /// A node whose clock says that its certificate is valid; others may see that otherwise.
    pub(crate) fn options(&self) -> Options {
        let mut options = Options {
            certificate_chain: Some(bytes(&self.chain)),
            private_key: Some(bytes(&self.key)),
            ..Options::default()
        };
        if let Some(begins) = self.begins {
            options.clock = Arc::new(StoppedClock(begins));
        }
        options
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
