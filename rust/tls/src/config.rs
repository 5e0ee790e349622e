//! What a caller chooses: where certificates, key and trust come from, and how strict to be.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use zeroize::{Zeroize, Zeroizing};

/// The one application protocol spoken over these connections (RFC 7301).
pub const ALPN_PROTOCOL: &[u8] = b"zt/1";

/// Largest certificate, key or trust source accepted, in bytes. A full public CA bundle is a
/// quarter of this.
pub const SOURCE_BYTES_MAX: usize = 1 << 20;

/// Most certificates a chain may have, the leaf included.
pub const CHAIN_CERTIFICATES_MAX: usize = 16;

/// Most issuers of one name among them: each could have issued each, and every path is tried.
pub const CHAIN_NAMESAKES_MAX: usize = 3;

/// Records sealed under one key before it is replaced, unless told otherwise.
pub const REKEY_RECORDS_DEFAULT: u64 = 1 << 23;

/// Most records that may be sealed under one key. RFC 8446 section 5.5 allows AES-GCM 2^24.5.
pub const REKEY_RECORDS_MAX: u64 = 1 << 24;

const _: () = assert!(REKEY_RECORDS_DEFAULT < REKEY_RECORDS_MAX);

/// Where certificates, keys or lists come from: PEM, DER or PKCS#12, told apart by their bytes.
#[derive(Clone)]
pub enum Source {
    /// A regular file of at most [`SOURCE_BYTES_MAX`] bytes, read when the material is loaded.
    Path(PathBuf),
    /// The bytes themselves, wiped when dropped.
    Bytes(Vec<u8>),
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Self::Bytes(bytes) = self {
            bytes.zeroize();
        }
    }
}

impl fmt::Debug for Source {
    /// Names the file, or counts the bytes: these may be a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => f.debug_tuple("Path").field(path).finish(),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
        }
    }
}

/// A password, wiped when dropped and never shown.
#[derive(Clone)]
pub struct Password(Zeroizing<Vec<u8>>);

impl Password {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// A set of certificates to judge peers by.
#[derive(Clone, Debug)]
pub enum TrustSource {
    /// The certificates of one's own chain.
    Chain,
    /// The authorities of the machine, such as those of its distribution.
    System,
    /// The certificates of a source.
    Source(Source),
}

/// How much is asked of certificates beyond a sound path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// X.509 version 3, sound key sizes and algorithms, and an extended key usage, where there is
    /// one, that allows the role. What most tools issue passes.
    #[default]
    Standard,
    /// Also: an extended key usage for the role and a key usage for signatures must be there, and
    /// trust must be named; one's own chain is not enough.
    Strict,
    /// What a Zeebe cluster accepts: also version 1 leaves directly below a trusted authority, and
    /// host names are compared only if the certificate holds alternative names.
    Zeebe,
    /// X.509-SVIDs: exactly one SPIFFE id, of one's own trust domain unless identities are
    /// allowed by name; host names are not compared.
    Spiffe,
}

/// Whether a listener asks dialers for a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// It does not ask.
    #[default]
    None,
    /// It asks; a dialer may have none, but one that is presented must be valid.
    Optional,
    /// It asks, and refuses a dialer without a valid one.
    Required,
}

/// What is asked of the peer's ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// `zt/1`, unless the options say otherwise.
    Expected,
    /// A dialer offers none; a listener also takes dialers that offer none. For protocols that
    /// predate ALPN.
    MayBeAbsent,
}

/// Everything a [`Material`](crate::Material) is loaded from.
#[derive(Clone, Debug)]
pub struct Options {
    /// One's own certificate chain, leaf first. Needed to listen.
    pub certificate_chain: Option<Source>,
    /// The leaf's key: PKCS#8, PKCS#1 or SEC1, or a PKCS#12 store, whose certificates serve as the
    /// chain if no other is given.
    pub private_key: Option<Source>,
    /// Opens an encrypted PKCS#8 key or a PKCS#12 store.
    pub private_key_password: Option<Password>,
    /// How much is asked of certificates.
    pub profile: Profile,
    /// Globs of the names that peers must have one of; with a leading `!`, must have none of.
    /// Empty: everybody whose certificate is sound. `*` is any part of a DNS label or of a URI's
    /// path segment, `**` anything. A listener that allows names insists on a certificate.
    pub allowed_identities: Vec<String>,
    /// By node id, the glob that one name of the node's certificate must match; `*` stands for
    /// nodes without an entry, `{node_id}` in a glob for the id. Empty: ids are not compared.
    /// Otherwise a node without an entry is refused, and listeners insist on a certificate.
    pub node_identities: Vec<(String, String)>,
    /// By role, the glob that one name of the certificate must match whose owner claims the role;
    /// `*` stands for roles without an entry, `{role}` and `{node_id}` in a glob for what is
    /// claimed. Empty: roles are not compared, unless node ids are: then nobody has one.
    pub role_identities: Vec<(String, String)>,
    /// Revocation lists. If there are any, a certificate that none covers is refused.
    pub revocation_lists: Vec<Source>,
    /// What time it is when certificates are judged.
    pub clock: Arc<dyn TimeProvider>,
    /// What peers are judged by. Default: one's own chain.
    pub trust: Vec<TrustSource>,
    /// Whether a listener asks for certificates. Default: no.
    pub client_auth: ClientAuth,
    /// Whether a dialer compares the listener's name with its certificate (RFC 9525). Default: yes.
    pub verify_hostname: bool,
    /// Whether a dialer refuses a listener that does not answer `zt/1`. Default: yes. `false` is
    /// for dialling through a proxy that ends TLS and cannot answer ALPN.
    pub require_alpn: bool,
    /// Whether a listener also accepts a dialer that offers no ALPN at all. Default: no. An offer
    /// of other protocols is refused either way. Only for protocols that predate ALPN.
    pub accept_absent_alpn: bool,
    /// Cipher suites in order of preference, by IANA name. Empty: `TLS_AES_128_GCM_SHA256`,
    /// `TLS_AES_256_GCM_SHA384`, `TLS_CHACHA20_POLY1305_SHA256`.
    pub cipher_suites: Vec<String>,
    /// Key exchange groups in order of preference, by IANA name, upper or lower case. Empty:
    /// `X25519MLKEM768`, `X25519`, `SECP256R1`.
    pub groups: Vec<String>,
    /// Records sealed before the sending key is replaced, 1 to [`REKEY_RECORDS_MAX`].
    pub rekey_records: u64,
    /// Whether a connection should not outlive the peer's certificate. Default: no. Acted on by
    /// whoever drives the filter: see [`Filter::expires_in`](crate::Filter::expires_in).
    pub close_at_expiry: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            certificate_chain: None,
            private_key: None,
            private_key_password: None,
            profile: Profile::default(),
            allowed_identities: Vec::new(),
            node_identities: Vec::new(),
            role_identities: Vec::new(),
            revocation_lists: Vec::new(),
            clock: Arc::new(DefaultTimeProvider),
            trust: vec![TrustSource::Chain],
            client_auth: ClientAuth::default(),
            verify_hostname: true,
            require_alpn: true,
            accept_absent_alpn: false,
            cipher_suites: Vec::new(),
            groups: Vec::new(),
            rekey_records: REKEY_RECORDS_DEFAULT,
            close_at_expiry: false,
        }
    }
}
