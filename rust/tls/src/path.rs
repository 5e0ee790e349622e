//! From a presented leaf to somebody we believe.

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, Error as PathError, KeyUsage, VerifiedPath};

use crate::anchors::Anchors;
use crate::certificate::{Certificate, Purpose};
use crate::config::{CHAIN_CERTIFICATES_MAX, CHAIN_NAMESAKES_MAX, Profile};
use crate::error::{Error, ErrorKind};
use crate::profile::{check_authority, check_form};
use crate::revocation::{self, Lists};
use crate::signed::is_signed_by;

/// Whom a node believes, and what it asks of a path to them.
#[derive(Debug)]
pub(crate) struct Trust {
    pub(crate) anchors: Anchors,
    pub(crate) lists: Lists,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
    pub(crate) profile: Profile,
}

/// What a peer presents.
pub(crate) struct Presented<'a> {
    pub(crate) der: &'a CertificateDer<'a>,
    pub(crate) leaf: Certificate,
    pub(crate) intermediates: &'a [CertificateDer<'a>],
}

impl Trust {
    /// Checks issuer, signatures, dates and revocation. A leaf that is known by its bytes needs no
    /// issuer.
    pub(crate) fn check(
        &self,
        presented: &Presented<'_>,
        purpose: Purpose,
        now: UnixTime,
    ) -> Result<(), Error> {
        if self.anchors.is_known(presented.der) {
            presented.leaf.check_validity(now)?;
            return self.lists.check(&presented.leaf, false);
        }
        match presented.leaf.is_version_3() {
            true => self.check_path(presented, purpose, now),
            false => self.check_old(presented, now),
        }
    }

    fn check_path(
        &self,
        presented: &Presented<'_>,
        purpose: Purpose,
        now: UnixTime,
    ) -> Result<(), Error> {
        let usage = match purpose {
            Purpose::Server => KeyUsage::server_auth(),
            Purpose::Client => KeyUsage::client_auth(),
        };
        let leaf = &presented.leaf;
        check_shape(presented.intermediates)?;
        let end_entity =
            EndEntityCert::try_from(presented.der).map_err(|error| describe(&error, leaf))?;
        let lists = self.lists.borrowed();
        let path = end_entity
            .verify_for_usage(
                self.algorithms.all,
                self.anchors.roots(),
                presented.intermediates,
                now,
                usage,
                revocation::along_path(&lists),
                None,
            )
            .map_err(|error| describe(&error, leaf))?;
        self.check_members(&path, now)
    }

    /// Keys, signatures and dates of the path's certificates that webpki lets pass.
    fn check_members(&self, path: &VerifiedPath<'_>, now: UnixTime) -> Result<(), Error> {
        for member in path.intermediate_certificates() {
            let parsed = Certificate::parse(&member.der());
            check_form(self.profile, &parsed.ok_or_else(malformed)?)?;
        }
        match self.anchors.authority_of(path.anchor()) {
            Some(authority) => check_authority(self.profile, authority, now),
            None => Ok(()),
        }
    }

    /// A leaf of X.509 version 1, which OpenSSL makes when it is given no extensions. It cannot
    /// say what it is for, so only the profile for compatibility takes it, and only directly below
    /// a trusted authority.
    fn check_old(&self, presented: &Presented<'_>, now: UnixTime) -> Result<(), Error> {
        let leaf = &presented.leaf;
        if self.profile != Profile::Zeebe {
            return Err(ErrorKind::CertificateVersion.into());
        }
        let signed = |issuer: &&Certificate| {
            let may_sign = issuer.key_usage().is_none_or(|usage| usage.key_cert_sign());
            may_sign && is_signed_by(presented.der, issuer.key(), &self.algorithms)
        };
        if self.anchors.issuers_of(leaf).find(signed).is_none() {
            return Err(untrusted(leaf));
        }
        leaf.check_validity(now)?;
        self.lists.check(leaf, true)
    }
}

/// Bounds the paths there are to try. webpki stops after 200,000 steps, which strangers could make
/// it take for every handshake; within these bounds there are about a thousand.
fn check_shape(intermediates: &[CertificateDer<'_>]) -> Result<(), Error> {
    let too_many = |what: &str| Err(Error::with_detail(ErrorKind::BadCertificate, what));
    if intermediates.len() >= CHAIN_CERTIFICATES_MAX {
        return too_many("its chain has more than 16 certificates");
    }
    let parsed = intermediates.iter().map(|der| Certificate::parse(der));
    let mut names: Vec<_> = parsed.flatten().map(|one| one.subject_der()).collect();
    names.sort_unstable();
    let most = names.chunk_by(|one, other| one == other).map(<[_]>::len);
    match most.max() {
        Some(count) if count > CHAIN_NAMESAKES_MAX => {
            too_many("its chain has more than 3 certificates for one name")
        }
        _ => Ok(()),
    }
}

pub(crate) fn malformed() -> Error {
    Error::with_detail(ErrorKind::BadCertificate, "it is malformed")
}

fn untrusted(leaf: &Certificate) -> Error {
    Error::with_detail(
        ErrorKind::UntrustedIssuer,
        format!("issued by {}", leaf.issuer()),
    )
}

/// An issuer that does not hold up is an untrusted one: a key that did not make the signature,
/// though an authority of its name is trusted, or a certificate that may not issue. webpki keeps
/// these apart.
fn describe(error: &PathError, leaf: &Certificate) -> Error {
    let dated = |kind| Error::with_detail(kind, format!("issued for {}", leaf.subject()));
    match error {
        PathError::UnknownIssuer
        | PathError::InvalidSignatureForPublicKey
        | PathError::EndEntityUsedAsCa
        | PathError::PathLenConstraintViolated => untrusted(leaf),
        PathError::CertExpired { .. } => dated(ErrorKind::CertificateExpired),
        PathError::CertNotValidYet { .. } => dated(ErrorKind::CertificateNotYetValid),
        PathError::CertRevoked => revocation::revoked(leaf),
        PathError::UnknownRevocationStatus => revocation::unknown_status(leaf),
        PathError::CrlExpired { .. } => {
            let detail = format!("the revocation list of {} is out of date", leaf.issuer());
            Error::with_detail(ErrorKind::BadCertificate, detail)
        }
        PathError::RequiredEkuNotFoundContext(_) => Error::with_detail(
            ErrorKind::WrongKeyUsage,
            "its extended key usage lacks the role",
        ),
        PathError::CaUsedAsEndEntity => Error::with_detail(
            ErrorKind::WrongKeyUsage,
            "it is an authority's own (CA:TRUE)",
        ),
        PathError::UnsupportedCertVersion => ErrorKind::CertificateVersion.into(),
        other => Error::with_detail(ErrorKind::BadCertificate, other),
    }
}
