//! How a judgement travels through rustls.
//!
//! A verifier can answer rustls only with its own few errors, each of which is also an alert. What
//! we found is more precise than either, so it waits here until the call that led to the judgement
//! returns. rustls verifies on the thread, and within the call, that hands it the records.

use std::cell::RefCell;

use rustls::CertificateError;

use crate::error::{Error, ErrorKind};

thread_local! {
    static GIVEN: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Keeps the judgement and returns the error by which rustls chooses the alert.
pub(crate) fn give(error: Error) -> rustls::Error {
    let alert = match error.kind() {
        ErrorKind::UntrustedIssuer => CertificateError::UnknownIssuer,
        ErrorKind::CertificateExpired => CertificateError::Expired,
        ErrorKind::CertificateNotYetValid => CertificateError::NotValidYet,
        ErrorKind::NameMismatch => CertificateError::NotValidForName,
        ErrorKind::CertificateRevoked => CertificateError::Revoked,
        ErrorKind::WrongKeyUsage => CertificateError::InvalidPurpose,
        ErrorKind::IdentityNotAllowed => CertificateError::ApplicationVerificationFailure,
        _ => CertificateError::BadEncoding,
    };
    GIVEN.set(Some(error));
    alert.into()
}

/// The judgement behind an error of rustls, or what the error says by itself.
pub(crate) fn take(error: rustls::Error) -> Error {
    let given = GIVEN.take();
    match (&error, given) {
        (rustls::Error::InvalidCertificate(_), Some(given)) => given,
        _ => error.into(),
    }
}
