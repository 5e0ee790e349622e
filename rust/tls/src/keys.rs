//! One's own certificate chain and private key, checked before anybody sees them.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::sign::{CertifiedKey, SigningKey};

use crate::certificate::{Certificate, Purpose};
use crate::certificates;
use crate::config::{CHAIN_CERTIFICATES_MAX, Options, Profile};
use crate::error::{Error, ErrorKind};
use crate::private_key::PrivateKey;
use crate::profile;
use crate::source::Content;

const CHAIN_OPTION: &str = "certificate_chain";
const KEY_OPTION: &str = "private_key";
const OPEN_TO_OTHERS: &str = "can be read or changed by everybody on this machine; \
     take their rights away with chmod 600, or give the mounted secret the mode 0440";
const OPEN_TO_GROUP: &str = "can be read or changed by its group; chmod 600 it";

/// What a node shows of itself.
#[derive(Debug)]
pub(crate) struct Own {
    pub(crate) certified: Arc<CertifiedKey>,
    pub(crate) leaf: Certificate,
    /// What is in order, but should not stay so.
    pub(crate) warnings: Vec<String>,
}

impl Own {
    /// The chain, leaf first.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }
}

/// Reads the chain and its key, or neither, and checks that they belong together.
pub(crate) fn load(options: &Options) -> Result<Option<Own>, Error> {
    let Some(source) = &options.private_key else {
        return match options.certificate_chain {
            Some(_) => Err(missing(KEY_OPTION, CHAIN_OPTION)),
            None => Ok(None),
        };
    };
    let mut warnings = Vec::new();
    let content = Content::read(source, KEY_OPTION)?;
    check_rights(&content, options.profile, &mut warnings)?;
    let mut key = PrivateKey::open(&content, options.private_key_password.as_ref())?;
    let in_store = std::mem::take(&mut key.certificates);
    let (chain, chain_name) = chain(options, in_store, &content)?;
    let signing = signing_key(&key, &content)?;
    let leaf = parsed(&chain[0], &chain_name)?;
    check_pair(&leaf, &*signing, &content, &chain_name)?;
    check_chain(&chain, &chain_name, options)?;
    check_leaf(&leaf, &chain_name, options.profile, &mut warnings)?;
    Ok(Some(Own {
        certified: Arc::new(CertifiedKey::new(chain, signing)),
        leaf,
        warnings,
    }))
}

fn missing(absent: &str, present: &str) -> Error {
    Error::configuration(absent, format!("is missing although {present} is given"))
}

/// Others' rights are an error, except where a Zeebe cluster has always lived with them.
fn check_rights(key: &Content, profile: Profile, warnings: &mut Vec<String>) -> Result<(), Error> {
    let reason = match profile {
        _ if key.is_open_to_others() => OPEN_TO_OTHERS,
        Profile::Strict if key.is_open_to_group() => OPEN_TO_GROUP,
        _ => return Ok(()),
    };
    if profile != Profile::Zeebe {
        return Err(key.error(reason));
    }
    warnings.push(format!("{}: {reason}", key.name));
    Ok(())
}

type Chain = (Vec<CertificateDer<'static>>, String);

fn chain(
    options: &Options,
    in_store: Vec<CertificateDer<'static>>,
    key: &Content,
) -> Result<Chain, Error> {
    match &options.certificate_chain {
        Some(source) => {
            let password = options.private_key_password.as_ref();
            let chain = certificates::read(source, CHAIN_OPTION, password)?;
            Ok((chain, crate::source::name(source, CHAIN_OPTION)))
        }
        None if in_store.is_empty() => Err(missing(CHAIN_OPTION, KEY_OPTION)),
        None => Ok((in_store, key.name.clone())),
    }
}

fn signing_key(key: &PrivateKey, content: &Content) -> Result<Arc<dyn SigningKey>, Error> {
    any_supported_type(&key.der()).map_err(|_| {
        content.error(
            "is neither an RSA (2048 bits or more), an ECDSA (P-256, P-384, P-521) \
             nor an Ed25519 key",
        )
    })
}

fn parsed(der: &[u8], name: &str) -> Result<Certificate, Error> {
    let malformed = || Error::configuration(name, "holds a malformed certificate");
    Certificate::parse(der).ok_or_else(malformed)
}

fn check_pair(
    leaf: &Certificate,
    key: &dyn SigningKey,
    content: &Content,
    chain_name: &str,
) -> Result<(), Error> {
    match key.public_key() {
        Some(public) if public == leaf.key_der() => Ok(()),
        _ => Err(content.error(format!(
            "is not the key of the first certificate in {chain_name}"
        ))),
    }
}

/// Every certificate of the chain must be valid now.
fn check_chain(
    chain: &[CertificateDer<'static>],
    name: &str,
    options: &Options,
) -> Result<(), Error> {
    if chain.len() > CHAIN_CERTIFICATES_MAX {
        let reason = "has more than 16 certificates, which no peer of ours reads; leave in it the \
                      leaf and its issuers, and name further authorities in trust";
        return Err(Error::configuration(name, reason));
    }
    let now = now(options)?;
    for der in chain {
        let checked = parsed(der, name)?.check_validity(now);
        checked.map_err(|error| unfit(name, &error))?;
    }
    Ok(())
}

/// What time certificates are judged at.
pub(crate) fn now(options: &Options) -> Result<UnixTime, Error> {
    let unknown = || Error::configuration("clock", "does not say what time it is");
    options.clock.current_time().ok_or_else(unknown)
}

fn check_leaf(
    leaf: &Certificate,
    name: &str,
    profile: Profile,
    warnings: &mut Vec<String>,
) -> Result<(), Error> {
    profile::check_own(profile, leaf).map_err(|error| unfit(name, &error))?;
    if !leaf.is_version_3() {
        let old = Error::from(ErrorKind::CertificateVersion);
        warnings.push(format!("{name}: {old}"));
    }
    for (purpose, role) in [(Purpose::Server, "listen"), (Purpose::Client, "dial")] {
        if leaf.allows(purpose) == Some(false) {
            let usage = "by its extended key usage the certificate is not fit to";
            warnings.push(format!("{name}: {usage} {role}"));
        }
    }
    Ok(())
}

/// One's own certificate as a peer of the same profile would judge it.
fn unfit(name: &str, error: &Error) -> Error {
    Error::configuration(name, error.to_string())
}
