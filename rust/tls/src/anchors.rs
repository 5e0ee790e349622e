//! Whom to believe: authorities that may vouch for others, and certificates known by their bytes.
//!
//! webpki takes any certificate it is handed as an anchor, CA flag or not, and then believes what
//! that certificate's key signs. A trust file often holds nodes' own certificates, and one's chain
//! always begins with one; were they anchors, the key of any node could mint peers. So only
//! version 3 certificates with CA:TRUE become anchors, none of one's own key does, and all others
//! match as exactly the bytes a peer presents.

use rustls::pki_types::{CertificateDer, TrustAnchor};
use x509_cert::name::Name;

use crate::certificate::Certificate;
use crate::certificates;
use crate::config::{Options, Profile, TrustSource};
use crate::error::Error;
use crate::keys::Own;
use crate::source;

const TRUST_OPTION: &str = "trust";

/// The certificates that decide about peers.
#[derive(Debug, Default)]
pub(crate) struct Anchors {
    /// The authorities as webpki takes them; `authorities` are the same in the same order.
    roots: Vec<TrustAnchor<'static>>,
    authorities: Vec<Certificate>,
    /// Sorted, for a binary search. Holds the authorities too: whoever can present an authority's
    /// own certificate has its key and could sign itself any other.
    known: Vec<CertificateDer<'static>>,
}

impl Anchors {
    /// Collects the trust that `options` name.
    pub(crate) fn load(options: &Options, own: Option<&Own>) -> Result<Self, Error> {
        let mut anchors = Self::default();
        for source in &options.trust {
            let (certificates, name) = collect(source, options, own)?;
            for certificate in certificates {
                anchors.add(certificate, &name, own)?;
            }
        }
        if anchors.known.is_empty() {
            let reason = "is empty, so no peer could be verified; name a CA file";
            return Err(Error::configuration(TRUST_OPTION, reason));
        }
        anchors
            .known
            .sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
        Ok(anchors)
    }

    fn add(
        &mut self,
        der: CertificateDer<'static>,
        name: &str,
        own: Option<&Own>,
    ) -> Result<(), Error> {
        let parsed = Certificate::parse(&der)
            .ok_or_else(|| Error::configuration(name, "holds a malformed certificate"))?;
        let is_own = own.is_some_and(|own| own.leaf.key_der() == parsed.key_der());
        if parsed.is_authority() && !is_own {
            let root = webpki::anchor_from_trusted_cert(&der);
            let root = root.map_err(|_| {
                Error::configuration(name, "holds an authority that cannot be used")
            })?;
            self.roots.push(root.to_owned());
            self.authorities.push(parsed);
        }
        self.known.push(der);
        Ok(())
    }

    /// The authorities, for path building.
    pub(crate) fn roots(&self) -> &[TrustAnchor<'static>] {
        &self.roots
    }

    /// The certificate of an anchor out of [`roots`](Self::roots).
    pub(crate) fn authority_of(&self, anchor: &TrustAnchor<'_>) -> Option<&Certificate> {
        let place = self.roots.iter().position(|root| root == anchor)?;
        self.authorities.get(place)
    }

    /// The authority with this name, the first of several.
    pub(crate) fn authority_named(&self, name: &Name) -> Option<&Certificate> {
        self.authorities
            .iter()
            .find(|authority| authority.is_named(name))
    }

    /// The authorities that `leaf` says it was issued by.
    pub(crate) fn issuers_of<'a>(
        &'a self,
        leaf: &'a Certificate,
    ) -> impl Iterator<Item = &'a Certificate> {
        self.authorities
            .iter()
            .filter(|authority| leaf.names_issuer(authority))
    }

    /// Whether a presented leaf is one of the certificates, byte for byte.
    pub(crate) fn is_known(&self, leaf: &CertificateDer<'_>) -> bool {
        let by_bytes = |known: &CertificateDer<'_>| known.as_ref().cmp(leaf.as_ref());
        self.known.binary_search_by(by_bytes).is_ok()
    }
}

type Collected = (Vec<CertificateDer<'static>>, String);

fn collect(source: &TrustSource, options: &Options, own: Option<&Own>) -> Result<Collected, Error> {
    match source {
        TrustSource::Chain if options.profile == Profile::Strict => {
            let reason = "is one's own chain; the profile strict wants authorities to be named";
            Err(Error::configuration(TRUST_OPTION, reason))
        }
        TrustSource::Chain => {
            let chain = own.map_or(&[][..], Own::chain);
            Ok((chain.to_vec(), "certificate_chain".to_owned()))
        }
        TrustSource::System => Ok((system()?, "system".to_owned())),
        TrustSource::Source(source) => {
            let name = source::name(source, TRUST_OPTION);
            Ok((certificates::read(source, TRUST_OPTION, None)?, name))
        }
    }
}

/// The machine's authorities. Those that cannot be read by us are left out: nobody here chose them.
fn system() -> Result<Vec<CertificateDer<'static>>, Error> {
    let mut found = rustls_native_certs::load_native_certs().certs;
    found.retain(|der| {
        let parsed = Certificate::parse(der);
        parsed.is_some_and(|parsed| parsed.is_authority())
            && webpki::anchor_from_trusted_cert(der).is_ok()
    });
    match found.is_empty() {
        true => Err(Error::configuration(
            TRUST_OPTION,
            "names the system's authorities, but none were found; install ca-certificates or set \
             SSL_CERT_FILE",
        )),
        false => Ok(found),
    }
}
