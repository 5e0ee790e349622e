//! The judgement over a presented certificate.
//!
//! Path building, signatures and names are webpki's work. What is added here: a leaf that is known
//! by its exact bytes needs no issuer and no name, but still its dates, its purpose and, because
//! rustls asks for it through `verify_tls13_signature`, proof that the peer holds its key.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

use crate::anchors::Anchors;
use crate::certificate::{Certificate, Purpose};
use crate::config::{ClientAuth, Options};

/// Judges listeners for dialers and dialers for listeners.
#[derive(Debug)]
pub(crate) struct PeerVerifier {
    anchors: Anchors,
    algorithms: WebPkiSupportedAlgorithms,
    /// Builds paths for dialers' certificates; absent without authorities, as webpki wants one.
    dialers: Option<Arc<dyn ClientCertVerifier>>,
    client_auth: ClientAuth,
    verify_hostname: bool,
}

impl PeerVerifier {
    pub(crate) fn new(options: &Options, anchors: Anchors, provider: &Arc<CryptoProvider>) -> Self {
        let roots = anchors.roots();
        let dialers = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .ok();
        Self {
            anchors,
            algorithms: provider.signature_verification_algorithms,
            dialers,
            client_auth: options.client_auth,
            verify_hostname: options.verify_hostname,
        }
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.anchors.is_known(end_entity) {
            check_known(end_entity, Purpose::Server, now)?;
            return Ok(ServerCertVerified::assertion());
        }
        let leaf = ParsedCertificate::try_from(end_entity)?;
        let roots = self.anchors.roots();
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&leaf, roots, intermediates, now, algorithms)
            .map_err(issuer_error)?;
        if self.verify_hostname {
            verify_server_name(&leaf, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
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
    ) -> Result<ClientCertVerified, Error> {
        if self.anchors.is_known(end_entity) {
            check_known(end_entity, Purpose::Client, now)?;
            return Ok(ClientCertVerified::assertion());
        }
        match &self.dialers {
            None => Err(CertificateError::UnknownIssuer.into()),
            Some(dialers) => dialers
                .verify_client_cert(end_entity, intermediates, now)
                .map_err(issuer_error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn check_known(leaf: &CertificateDer<'_>, purpose: Purpose, now: UnixTime) -> Result<(), Error> {
    let leaf = Certificate::parse(leaf).ok_or(CertificateError::BadEncoding)?;
    leaf.check_validity(now)?;
    leaf.check_purpose(purpose)?;
    Ok(())
}

/// An issuer that does not hold up is an untrusted one: a key that did not make the signature,
/// though an authority of its name is trusted, or a certificate that may not issue. webpki keeps
/// these apart.
fn issuer_error(error: Error) -> Error {
    let Error::InvalidCertificate(reason) = &error else {
        return error;
    };
    let is_untrusted = match reason {
        CertificateError::BadSignature => true,
        CertificateError::Other(OtherError(other)) => matches!(
            other.downcast_ref(),
            Some(webpki::Error::EndEntityUsedAsCa | webpki::Error::PathLenConstraintViolated)
        ),
        _ => false,
    };
    match is_untrusted {
        true => CertificateError::UnknownIssuer.into(),
        false => error,
    }
}
