//! One's own certificate chain and private key, and the reading of PEM.
//!
//! PEM errors are answered with fixed reasons, never with the reader's own words: those quote
//! lines of the file, which may be a key's.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::config::{Options, SOURCE_BYTES_MAX, Source};
use crate::error::Error;

const CHAIN_OPTION: &str = "certificate_chain";
const KEY_OPTION: &str = "private_key";

/// Reads the chain and its key, or neither, and checks that they belong together.
pub(crate) fn load(
    options: &Options,
    provider: &CryptoProvider,
) -> Result<Option<Arc<CertifiedKey>>, Error> {
    match (&options.certificate_chain, &options.private_key) {
        (None, None) => Ok(None),
        (Some(chain), Some(key)) => pair(chain, key, provider).map(Some),
        (Some(_), None) => Err(missing(KEY_OPTION, CHAIN_OPTION)),
        (None, Some(_)) => Err(missing(CHAIN_OPTION, KEY_OPTION)),
    }
}

fn missing(absent: &str, present: &str) -> Error {
    Error::configuration(absent, format!("is missing although {present} is given"))
}

fn pair(
    chain: &Source,
    key: &Source,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, Error> {
    let certificates = read_certificates(chain, CHAIN_OPTION)?;
    let private_key = read_key(key)?;
    match CertifiedKey::from_der(certificates, private_key, provider) {
        Ok(certified) => Ok(Arc::new(certified)),
        Err(error) => Err(pair_error(&error, chain, key)),
    }
}

fn pair_error(error: &rustls::Error, chain: &Source, key: &Source) -> Error {
    let chain_name = name(chain, CHAIN_OPTION);
    match error {
        rustls::Error::InconsistentKeys(_) => Error::configuration(
            name(key, KEY_OPTION),
            format!("is not the key of the first certificate in {chain_name}"),
        ),
        rustls::Error::InvalidCertificate(_) => {
            Error::configuration(chain_name, "begins with a malformed certificate")
        }
        _ => Error::configuration(
            name(key, KEY_OPTION),
            "is neither an RSA, an ECDSA (P-256, P-384, P-521) nor an Ed25519 key",
        ),
    }
}

/// All `CERTIFICATE` sections of a source, in order; an error if there is none. Other sections,
/// OpenSSL's `TRUSTED CERTIFICATE` among them, are passed over.
pub(crate) fn read_certificates(
    source: &Source,
    option: &str,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(source, option)?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Error::configuration(name(source, option), pem_reason(&error)))?;
    if certificates.is_empty() {
        let reason = "holds no PEM section CERTIFICATE";
        return Err(Error::configuration(name(source, option), reason));
    }
    Ok(certificates)
}

fn read_key(source: &Source) -> Result<PrivateKeyDer<'static>, Error> {
    let pem = read(source, KEY_OPTION)?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        let reason = match is_encrypted(&pem) {
            true => "is encrypted; decrypt it first, for instance with openssl pkey",
            false => pem_reason(&error),
        };
        Error::configuration(name(source, KEY_OPTION), reason)
    })
}

/// Both PKCS#8 (`ENCRYPTED PRIVATE KEY`) and the older `Proc-Type: 4,ENCRYPTED` say so in clear.
fn is_encrypted(pem: &[u8]) -> bool {
    pem.windows(9).any(|window| window == b"ENCRYPTED")
}

fn pem_reason(error: &PemError) -> &'static str {
    match error {
        PemError::NoItemsFound => "holds no PEM section of a private key",
        PemError::MissingSectionEnd { .. } => "holds a PEM section without its END line",
        PemError::IllegalSectionStart { .. } => "holds a broken PEM BEGIN line",
        PemError::Base64Decode(_) => "holds a PEM section that is not base64",
        _ => "is not readable as PEM",
    }
}

fn read(source: &Source, option: &str) -> Result<Vec<u8>, Error> {
    let bytes = match source {
        Source::Bytes(bytes) => bytes.clone(),
        Source::Path(path) => File::open(path)
            .and_then(read_capped)
            .map_err(|error| Error::configuration(name(source, option), error.to_string()))?,
    };
    if bytes.len() > SOURCE_BYTES_MAX {
        let reason = format!("is larger than {SOURCE_BYTES_MAX} bytes");
        return Err(Error::configuration(name(source, option), reason));
    }
    Ok(bytes)
}

/// Reads one byte past the limit at most, so that an endless file is noticed and not swallowed.
fn read_capped(file: File) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(SOURCE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What to call a source in an error: its file, or the option that holds its bytes.
pub(crate) fn name(source: &Source, option: &str) -> String {
    match source {
        Source::Path(path) => path.display().to_string(),
        Source::Bytes(_) => option.to_owned(),
    }
}
