//! What connections share: options turned into rustls configurations, once.

use std::fmt;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{ALL_KX_GROUPS, cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::version::TLS13;
use rustls::{ClientConfig, NoKeyLog, ServerConfig, SupportedCipherSuite};

use crate::anchors::Anchors;
use crate::config::{ALPN_PROTOCOL, Options, REKEY_RECORDS_MAX};
use crate::error::Error;
use crate::identity::{Allowed, Claims};
use crate::keys;
use crate::path::Trust;
use crate::revocation::Lists;
use crate::session::{group_name, suite_name};
use crate::verify::PeerVerifier;

/// Preferred first. AES-128 before AES-256: as safe for the life of one key, and faster.
const SUITES_DEFAULT: [SupportedCipherSuite; 3] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
];

/// Validated certificates, key, trust and choices, to be shared by any number of connections.
/// Loading anew and handing the new one to later connections is all that a rotation needs.
pub struct Material {
    pub(crate) server: Option<Arc<ServerConfig>>,
    pub(crate) client: Arc<ClientConfig>,
    /// The same for protocols that predate ALPN.
    pub(crate) client_without_alpn: Arc<ClientConfig>,
    pub(crate) require_alpn: bool,
    pub(crate) accept_absent_alpn: bool,
    pub(crate) rekey_records: u64,
    allowed: Allowed,
    pub(crate) claims: Claims,
    pub(crate) close_at_expiry: bool,
    pub(crate) clock: Arc<dyn TimeProvider>,
    verifier: Arc<PeerVerifier>,
    warnings: Vec<String>,
}

impl Material {
    /// Reads and checks everything `options` name.
    ///
    /// # Errors
    /// [`ErrorKind::Configuration`](crate::ErrorKind::Configuration), naming the file or option, if
    /// a source cannot be read, is over [`SOURCE_BYTES_MAX`](crate::SOURCE_BYTES_MAX), or holds
    /// nothing usable; if key and certificate do not match, the chain is not valid now or the
    /// profile refuses it; if others may read the key; if there is nothing to verify peers with;
    /// or if an option is out of its range.
    pub fn load(options: &Options) -> Result<Arc<Self>, Error> {
        check_rekey(options.rekey_records)?;
        let provider = Arc::new(provider(options)?);
        let own = keys::load(options)?;
        let trust = trust(options, own.as_ref(), &provider)?;
        let mut warnings = trust.lists.warnings.clone();
        let verifier = Arc::new(PeerVerifier::new(options, trust, own.as_ref())?);
        warnings.extend(own.iter().flat_map(|own| own.warnings.clone()));
        let certified = own.map(|own| own.certified);
        let server = certified
            .clone()
            .map(|own| server(options, &provider, &verifier, own))
            .transpose()?;
        let client = client(options, &provider, &verifier, certified)?;
        let mut client_without_alpn = ClientConfig::clone(&client);
        client_without_alpn.alpn_protocols = Vec::new();
        Ok(Arc::new(Self {
            server,
            client,
            client_without_alpn: Arc::new(client_without_alpn),
            require_alpn: options.require_alpn,
            accept_absent_alpn: options.accept_absent_alpn,
            rekey_records: options.rekey_records,
            allowed: Allowed::parse(&options.allowed_identities)?,
            claims: Claims::parse(&options.node_identities, &options.role_identities)?,
            close_at_expiry: options.close_at_expiry,
            clock: options.clock.clone(),
            verifier,
            warnings,
        }))
    }

    /// What works, but should be mended; a sentence each, naming the file or option.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Whether a peer without a certificate may stay that says to be `node_id`: nobody who shows
    /// nothing is on a list of identities, and no name of his bears out a node id.
    pub fn admits_unproven(&self, node_id: &str) -> bool {
        self.allowed.admits_unproven(node_id) && !self.claims.are_compared()
    }

    /// Judges the certificates of a connection that stands against the lists of this material.
    pub(crate) fn check_revocation(&self, presented: &[CertificateDer<'_>]) -> Result<(), Error> {
        self.verifier.check_revocation(presented)
    }

    /// Whether connections can be accepted: it takes a certificate to listen.
    pub fn can_listen(&self) -> bool {
        self.server.is_some()
    }
}

impl fmt::Debug for Material {
    /// Says nothing of keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Material")
            .field("can_listen", &self.can_listen())
            .field("require_alpn", &self.require_alpn)
            .field("rekey_records", &self.rekey_records)
            .finish_non_exhaustive()
    }
}

fn trust(
    options: &Options,
    own: Option<&keys::Own>,
    provider: &CryptoProvider,
) -> Result<Trust, Error> {
    let algorithms = provider.signature_verification_algorithms;
    let anchors = Anchors::load(options, own)?;
    Ok(Trust {
        lists: Lists::load(options, &anchors, &algorithms)?,
        anchors,
        algorithms,
        profile: options.profile,
    })
}

fn check_rekey(records: u64) -> Result<(), Error> {
    if (1..=REKEY_RECORDS_MAX).contains(&records) {
        return Ok(());
    }
    let reason = format!("is {records}, but must be from 1 to {REKEY_RECORDS_MAX}");
    Err(Error::configuration("rekey_records", reason))
}

fn provider(options: &Options) -> Result<CryptoProvider, Error> {
    let mut provider = default_provider();
    provider.cipher_suites = suites(&options.cipher_suites)?;
    provider.kx_groups = groups(&options.groups)?;
    Ok(provider)
}

fn suites(names: &[String]) -> Result<Vec<SupportedCipherSuite>, Error> {
    if names.is_empty() {
        return Ok(SUITES_DEFAULT.to_vec());
    }
    let find = |name: &String| {
        let matches = |suite: &&SupportedCipherSuite| suite_name(suite.suite()) == *name;
        let found = SUITES_DEFAULT.iter().find(matches).copied();
        found.ok_or_else(|| unknown("cipher_suites", name, "a TLS 1.3 cipher suite"))
    };
    names.iter().map(find).collect()
}

fn groups(names: &[String]) -> Result<Vec<&'static dyn SupportedKxGroup>, Error> {
    if names.is_empty() {
        // The hybrid first: what is recorded today must stay secret once quantum computers exist.
        // Its dialer sends an X25519 share along, so that peers without it need no second try.
        return Ok(vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
        ]);
    }
    let find = |name: &String| {
        let wanted = name.to_ascii_uppercase();
        let matches = |group: &&&dyn SupportedKxGroup| group_name(group.name()) == wanted;
        let found = ALL_KX_GROUPS.iter().find(matches).copied();
        found.ok_or_else(|| unknown("groups", name, "a supported key exchange group"))
    };
    names.iter().map(find).collect()
}

fn unknown(option: &str, name: &str, expected: &str) -> Error {
    Error::configuration(option, format!("{name:?} is not {expected}"))
}

fn server(
    options: &Options,
    provider: &Arc<CryptoProvider>,
    verifier: &Arc<PeerVerifier>,
    own: Arc<CertifiedKey>,
) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_details(provider.clone(), options.clock.clone())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier.clone())
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(own)));
    config.alpn_protocols = vec![ALPN_PROTOCOL.to_vec()];
    // A resumed session is not verified again: an authority removed in the meantime would live on.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.key_log = Arc::new(NoKeyLog {});
    Ok(Arc::new(config))
}

fn client(
    options: &Options,
    provider: &Arc<CryptoProvider>,
    verifier: &Arc<PeerVerifier>,
    own: Option<Arc<CertifiedKey>>,
) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_details(provider.clone(), options.clock.clone())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier.clone());
    let mut config = match own {
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN_PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.key_log = Arc::new(NoKeyLog {});
    Ok(Arc::new(config))
}
