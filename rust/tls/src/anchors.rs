//! Whom to believe: authorities that may vouch for others, and certificates known by their bytes.
//!
//! webpki takes any certificate it is handed as an anchor, CA flag or not, and then believes what
//! that certificate's key signs. A trust file often holds nodes' own certificates, and one's chain
//! always begins with one; were they anchors, the key of any node could mint peers. So only
//! version 3 certificates with CA:TRUE become anchors, one's own leaf never does, and all others
//! match as exactly the bytes a peer presents.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::certificate::Certificate;
use crate::config::{Options, TrustSource};
use crate::error::Error;
use crate::keys;

const TRUST_OPTION: &str = "trust";

/// The certificates that decide about peers.
#[derive(Debug)]
pub(crate) struct Anchors {
    roots: Arc<RootCertStore>,
    /// Sorted, for a binary search. Holds the authorities too: whoever can present an authority's
    /// own certificate has its key and could sign itself any other.
    known: Vec<CertificateDer<'static>>,
}

impl Anchors {
    /// Collects the trust that `options` name; `chain` is one's own, leaf first, or empty.
    pub(crate) fn load(
        options: &Options,
        chain: &[CertificateDer<'static>],
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        let mut known = Vec::new();
        for source in &options.trust {
            let (certificates, name) = collect(source, chain)?;
            for certificate in certificates {
                let parsed = Certificate::parse(&certificate)
                    .ok_or_else(|| Error::configuration(&name, "holds a malformed certificate"))?;
                if parsed.is_authority() && chain.first() != Some(&certificate) {
                    add_root(&mut roots, &certificate, &name)?;
                }
                known.push(certificate);
            }
        }
        if known.is_empty() {
            let reason = "is empty, so no peer could be verified; name a CA file";
            return Err(Error::configuration(TRUST_OPTION, reason));
        }
        known.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
        let roots = Arc::new(roots);
        Ok(Self { roots, known })
    }

    /// The authorities, for path building.
    pub(crate) fn roots(&self) -> &Arc<RootCertStore> {
        &self.roots
    }

    /// Whether a presented leaf is one of the certificates, byte for byte.
    pub(crate) fn is_known(&self, leaf: &CertificateDer<'_>) -> bool {
        let by_bytes = |known: &CertificateDer<'_>| known.as_ref().cmp(leaf.as_ref());
        self.known.binary_search_by(by_bytes).is_ok()
    }
}

fn collect(
    source: &TrustSource,
    chain: &[CertificateDer<'static>],
) -> Result<(Vec<CertificateDer<'static>>, String), Error> {
    match source {
        TrustSource::Chain => Ok((chain.to_vec(), "certificate_chain".to_owned())),
        TrustSource::Source(source) => {
            let name = keys::name(source, TRUST_OPTION);
            Ok((keys::read_certificates(source, TRUST_OPTION)?, name))
        }
    }
}

fn add_root(
    roots: &mut RootCertStore,
    certificate: &CertificateDer<'static>,
    name: &str,
) -> Result<(), Error> {
    roots
        .add(certificate.clone())
        .map_err(|_| Error::configuration(name, "holds an authority that cannot be used"))
}
