//! The reading of certificates and revocation lists from PEM, DER and PKCS#12.

use rustls::pki_types::CertificateDer;
use x509_cert::der::{Encode, Header, Reader, SliceReader};

use crate::config::{Password, Source};
use crate::error::Error;
use crate::pem::{self, Section};
use crate::private_key::{is_store, store_certificates};
use crate::source::Content;

const LIST_LABEL: &str = "X509 CRL";

/// All certificates of a source, in order; an error if there is none.
pub(crate) fn read(
    source: &Source,
    option: &str,
    password: Option<&Password>,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let content = Content::read(source, option)?;
    parse(&content.bytes, password).map_err(|reason| content.error(reason))
}

fn parse(
    bytes: &[u8],
    password: Option<&Password>,
) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    if !pem::is_pem(bytes) && is_store(bytes) {
        return store_certificates(bytes, password);
    }
    if !pem::is_pem(bytes) && first_element(bytes) == Some(bytes) {
        return Ok(vec![bytes.to_vec().into()]);
    }
    let sections = pem::sections(bytes)?;
    let certificates: Vec<_> = sections.iter().filter_map(certificate).collect();
    match certificates.is_empty() {
        true => Err("holds no PEM section CERTIFICATE"),
        false => Ok(certificates),
    }
}

fn certificate(section: &Section) -> Option<CertificateDer<'static>> {
    match section.label.as_str() {
        "CERTIFICATE" | "X509 CERTIFICATE" => Some(section.der.to_vec().into()),
        // OpenSSL puts its own opinion on what the certificate is good for behind it. Trust is
        // ours to give, so only the certificate is read.
        "TRUSTED CERTIFICATE" => {
            let der = first_element(&section.der).unwrap_or(&section.der);
            Some(der.to_vec().into())
        }
        _ => None,
    }
}

/// The first DER element with its tag and length.
fn first_element(der: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(der).ok()?;
    let header = Header::peek(&reader).ok()?;
    let length = (header.encoded_len().ok()? + header.length()).ok()?;
    reader.read_slice(length).ok()
}

/// All revocation lists of a source as DER; an error if there is none.
pub(crate) fn read_lists(content: &Content) -> Result<Vec<Vec<u8>>, Error> {
    if !pem::is_pem(&content.bytes) {
        return Ok(vec![content.bytes.to_vec()]);
    }
    let mut sections = pem::sections(&content.bytes).map_err(|reason| content.error(reason))?;
    sections.retain(|section| section.label == LIST_LABEL);
    match sections.is_empty() {
        true => Err(content.error(format!("holds no PEM section {LIST_LABEL}"))),
        false => Ok(sections.iter().map(|one| one.der.to_vec()).collect()),
    }
}
