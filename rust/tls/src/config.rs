//! What a caller chooses: where certificates, key and trust come from, and how strict to be.

use std::fmt;
use std::path::PathBuf;

/// The one application protocol spoken over these connections (RFC 7301).
pub const ALPN_PROTOCOL: &[u8] = b"zt/1";

/// Largest certificate, key or trust source accepted, in bytes. A full public CA bundle is a
/// quarter of this.
pub const SOURCE_BYTES_MAX: usize = 1 << 20;

/// Records sealed under one key before it is replaced, unless told otherwise.
pub const REKEY_RECORDS_DEFAULT: u64 = 1 << 23;

/// Most records that may be sealed under one key. RFC 8446 section 5.5 allows AES-GCM 2^24.5.
pub const REKEY_RECORDS_MAX: u64 = 1 << 24;

const _: () = assert!(REKEY_RECORDS_DEFAULT < REKEY_RECORDS_MAX);

/// Where PEM comes from.
#[derive(Clone)]
pub enum Source {
    /// A file of at most [`SOURCE_BYTES_MAX`] bytes, read when the material is loaded.
    Path(PathBuf),
    /// The PEM text itself.
    Bytes(Vec<u8>),
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

/// A set of certificates to judge peers by.
#[derive(Clone, Debug)]
pub enum TrustSource {
    /// The certificates of one's own chain.
    Chain,
    /// The certificates of a PEM source.
    Source(Source),
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

/// Everything a [`Material`](crate::Material) is loaded from.
#[derive(Clone, Debug)]
pub struct Options {
    /// One's own certificate chain, leaf first. Needed to listen.
    pub certificate_chain: Option<Source>,
    /// The leaf's key: PKCS#8, PKCS#1 or SEC1 PEM, not encrypted.
    pub private_key: Option<Source>,
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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            certificate_chain: None,
            private_key: None,
            trust: vec![TrustSource::Chain],
            client_auth: ClientAuth::default(),
            verify_hostname: true,
            require_alpn: true,
            accept_absent_alpn: false,
            cipher_suites: Vec::new(),
            groups: Vec::new(),
            rekey_records: REKEY_RECORDS_DEFAULT,
        }
    }
}
