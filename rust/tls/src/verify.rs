//! The judgement over a presented certificate: a path to trust, a form, a name, an identity.
//!
//! A leaf that is known by its exact bytes needs no issuer and no name, but still its dates, its
//! purpose, an identity that is let in and, because rustls asks for it through
//! `verify_tls13_signature`, proof that the peer holds its key.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, SignatureScheme};
use webpki::EndEntityCert;

use crate::certificate::{Certificate, Purpose, listed};
use crate::config::{ClientAuth, Options, Profile};
use crate::error::{Error, ErrorKind};
use crate::identity::{Allowed, spiffe_domain};
use crate::keys::Own;
use crate::path::{Presented, Trust, malformed};
use crate::profile::check_leaf;
use crate::verdict;

/// Judges listeners for dialers and dialers for listeners.
#[derive(Debug)]
pub(crate) struct PeerVerifier {
    trust: Trust,
    allowed: Allowed,
    /// The SPIFFE trust domain peers must be of, when no identities are named.
    domain: Option<String>,
    client_auth: ClientAuth,
    verify_hostname: bool,
}

impl PeerVerifier {
    pub(crate) fn new(options: &Options, trust: Trust, own: Option<&Own>) -> Result<Self, Error> {
        let allowed = Allowed::parse(&options.allowed_identities)?;
        Ok(Self {
            domain: domain(options, &allowed, own)?,
            trust,
            client_auth: match allowed.is_restricted() || asks_for_claims(options) {
                // Whoever shows nothing is nobody who is named.
                true => ClientAuth::Required,
                false => options.client_auth,
            },
            allowed,
            verify_hostname: options.verify_hostname,
        })
    }

    fn judge(
        &self,
        presented: &Presented<'_>,
        purpose: Purpose,
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), Error> {
        self.trust.check(presented, purpose, now)?;
        check_leaf(self.trust.profile, &presented.leaf, purpose)?;
        if let Some(name) = name
            && !self.trust.anchors.is_known(presented.der)
        {
            self.check_name(presented, name)?;
        }
        self.check_identity(&presented.leaf)
    }

    /// Whether any certificate a peer has presented is on a list by now. Only that: a list that ran
    /// out, or an authority that went, ends no connection that was verified when it began.
    pub(crate) fn check_revocation(&self, presented: &[CertificateDer<'_>]) -> Result<(), Error> {
        let certificates = presented.iter().filter_map(|der| Certificate::parse(der));
        for certificate in certificates {
            self.trust.lists.check(&certificate, false)?;
        }
        Ok(())
    }

    fn check_name(&self, presented: &Presented<'_>, name: &ServerName<'_>) -> Result<(), Error> {
        let is_compared = match self.trust.profile {
            Profile::Spiffe => false,
            Profile::Zeebe => self.verify_hostname && presented.leaf.has_names(),
            Profile::Standard | Profile::Strict => self.verify_hostname,
        };
        let is_named = || {
            let leaf = EndEntityCert::try_from(presented.der);
            leaf.is_ok_and(|leaf| leaf.verify_is_valid_for_subject_name(name).is_ok())
        };
        if is_compared && !is_named() {
            let names = listed(&presented.leaf.names());
            let detail = format!("dialled: {}, its names: {names}", name.to_str());
            return Err(Error::with_detail(ErrorKind::NameMismatch, detail));
        }
        Ok(())
    }

    fn check_identity(&self, leaf: &Certificate) -> Result<(), Error> {
        let names = leaf.names();
        if let Some(domain) = &self.domain
            && spiffe_domain(&names)? != domain
        {
            let detail = format!("not of {domain}, its names: {}", listed(&names));
            return Err(Error::with_detail(ErrorKind::IdentityNotAllowed, detail));
        }
        self.allowed.check(&names)
    }

    fn judge_der(
        &self,
        der: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        role: (Purpose, Option<&ServerName<'_>>),
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let leaf = Certificate::parse(der).ok_or_else(|| verdict::give(malformed()))?;
        let presented = Presented {
            der,
            leaf,
            intermediates,
        };
        self.judge(&presented, role.0, role.1, now)
            .map_err(verdict::give)
    }

    /// rustls reads keys only out of certificates of version 3.
    fn verify_proof(
        &self,
        message: &[u8],
        der: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.trust.algorithms;
        match Certificate::parse(der).filter(|leaf| !leaf.is_version_3()) {
            Some(old) => {
                verify_tls13_signature_with_raw_key(message, &old.key_der(), signed, algorithms)
            }
            None => verify_tls13_signature(message, der, signed, algorithms),
        }
    }
}

fn domain(
    options: &Options,
    allowed: &Allowed,
    own: Option<&Own>,
) -> Result<Option<String>, Error> {
    if options.profile != Profile::Spiffe || allowed.is_restricted() {
        return Ok(None);
    }
    let reason = "must name peers: without a certificate of one's own there is no trust domain";
    let own = own.ok_or_else(|| Error::configuration("allowed_identities", reason))?;
    spiffe_domain(&own.leaf.names()).map(|domain| Some(domain.to_owned()))
}

fn asks_for_claims(options: &Options) -> bool {
    !options.node_identities.is_empty() || !options.role_identities.is_empty()
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let role = (Purpose::Server, Some(server_name));
        self.judge_der(end_entity, intermediates, role, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.trust.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_proof(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn offer_client_auth(&self) -> bool {
        self.client_auth != ClientAuth::None
    }

    fn client_auth_mandatory(&self) -> bool {
        self.client_auth == ClientAuth::Required
    }

    /// No hints: they would tell strangers whom we trust, and cannot describe a certificate that
    /// is known by its bytes.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.judge_der(end_entity, intermediates, (Purpose::Client, None), now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.trust.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verify_proof(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trust.algorithms.supported_schemes()
    }
}
