//! What a certificate must say of itself, beyond lying on a sound path.

use rustls::pki_types::UnixTime;

use crate::certificate::{Certificate, Purpose};
use crate::config::Profile;
use crate::error::{Error, ErrorKind};
use crate::identity::spiffe_domain;
use crate::weakness;

/// Checks a leaf that is used for `purpose`.
pub(crate) fn check_leaf(
    profile: Profile,
    leaf: &Certificate,
    purpose: Purpose,
) -> Result<(), Error> {
    if leaf.allows(purpose) == Some(false) {
        return Err(wrong_usage(match purpose {
            Purpose::Server => "its extended key usage lacks serverAuth",
            Purpose::Client => "its extended key usage lacks clientAuth",
        }));
    }
    check_form(profile, leaf)?;
    match profile {
        Profile::Standard | Profile::Zeebe => Ok(()),
        Profile::Strict => check_strict(leaf, purpose),
        Profile::Spiffe => check_svid(leaf),
    }
}

/// What holds for any certificate of a path but the authority it ends in.
pub(crate) fn check_form(profile: Profile, certificate: &Certificate) -> Result<(), Error> {
    if profile == Profile::Zeebe {
        return Ok(());
    }
    if !certificate.is_version_3() {
        return Err(ErrorKind::CertificateVersion.into());
    }
    let weakness = weakness::of_key(certificate.key());
    match weakness.or_else(|| weakness::of_signature(certificate.signature_algorithm())) {
        Some(weakness) => Err(Error::with_detail(ErrorKind::BadCertificate, weakness)),
        None => Ok(()),
    }
}

/// Checks one's own leaf, which serves in both roles or in the one it is for.
pub(crate) fn check_own(profile: Profile, leaf: &Certificate) -> Result<(), Error> {
    let as_listener = check_leaf(profile, leaf, Purpose::Server);
    as_listener.or_else(|error| check_leaf(profile, leaf, Purpose::Client).map_err(|_| error))
}

/// Checks the dates of an authority: path building takes those it is handed as they are.
pub(crate) fn check_authority(
    profile: Profile,
    authority: &Certificate,
    now: UnixTime,
) -> Result<(), Error> {
    match profile {
        Profile::Zeebe => Ok(()),
        _ => authority.check_validity(now),
    }
}

fn check_strict(leaf: &Certificate, purpose: Purpose) -> Result<(), Error> {
    if leaf.allows(purpose).is_none() {
        return Err(wrong_usage("it has no extended key usage"));
    }
    check_not_authority(leaf)?;
    match leaf.key_usage() {
        None => Err(wrong_usage("it has no key usage")),
        Some(usage) if usage.digital_signature() => Ok(()),
        Some(_) => Err(wrong_usage("its key usage lacks digitalSignature")),
    }
}

/// X.509-SVID section 4: a leaf signs handshakes and nothing else.
fn check_svid(leaf: &Certificate) -> Result<(), Error> {
    check_not_authority(leaf)?;
    let roles = [Purpose::Server, Purpose::Client].map(|role| leaf.allows(role));
    if roles.contains(&Some(false)) {
        return Err(wrong_usage(
            "its extended key usage lacks serverAuth or clientAuth",
        ));
    }
    match leaf.key_usage() {
        Some(usage) if usage.key_cert_sign() || usage.crl_sign() => {
            return Err(wrong_usage("its key usage holds keyCertSign or cRLSign"));
        }
        Some(usage) if usage.digital_signature() => {}
        _ => return Err(wrong_usage("its key usage lacks digitalSignature")),
    }
    spiffe_domain(&leaf.names()).map(|_| ())
}

fn check_not_authority(leaf: &Certificate) -> Result<(), Error> {
    match leaf.has_authority_flag() {
        true => Err(wrong_usage("it is an authority's own (CA:TRUE)")),
        false => Ok(()),
    }
}

fn wrong_usage(detail: &str) -> Error {
    Error::with_detail(ErrorKind::WrongKeyUsage, detail)
}
