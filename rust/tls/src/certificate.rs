//! The fields of an X.509 certificate that rustls does not hand out (RFC 5280).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustls::pki_types::{SubjectPublicKeyInfoDer, UnixTime};
use x509_cert::TbsCertificate;
use x509_cert::certificate::Version;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

use crate::error::{Error, ErrorKind};

const ID_KP_SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const ID_KP_CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// What a presented certificate is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Authenticating a listener.
    Server,
    /// Authenticating a dialer.
    Client,
}

impl Purpose {
    fn usage(self) -> ObjectIdentifier {
        match self {
            Self::Server => ID_KP_SERVER_AUTH,
            Self::Client => ID_KP_CLIENT_AUTH,
        }
    }
}

/// A parsed certificate.
#[derive(Debug)]
pub(crate) struct Certificate(x509_cert::Certificate);

impl Certificate {
    /// Parses DER; `None` if it is malformed.
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
        x509_cert::Certificate::from_der(der).ok().map(Self)
    }

    fn fields(&self) -> &TbsCertificate {
        self.0.tbs_certificate()
    }

    pub(crate) fn is_version_3(&self) -> bool {
        self.fields().version() == Version::V3
    }

    /// Whether basicConstraints say CA:TRUE.
    pub(crate) fn has_authority_flag(&self) -> bool {
        let constraints = self.fields().get_extension::<BasicConstraints>();
        matches!(constraints, Ok(Some((_, constraints))) if constraints.ca)
    }

    /// Whether it may issue others: version 3 with basicConstraints CA:TRUE.
    pub(crate) fn is_authority(&self) -> bool {
        self.has_authority_flag() && self.is_version_3()
    }

    /// End of validity in seconds since 1970 (notAfter, inclusive).
    pub(crate) fn not_after(&self) -> UnixTime {
        UnixTime::since_unix_epoch(self.fields().validity().not_after.to_unix_duration())
    }

    fn not_before(&self) -> UnixTime {
        UnixTime::since_unix_epoch(self.fields().validity().not_before.to_unix_duration())
    }

    /// Errs unless `time` lies within the validity, ends included.
    pub(crate) fn check_validity(&self, time: UnixTime) -> Result<(), Error> {
        let validity = self.fields().validity();
        if time < self.not_before() {
            let detail = format!(
                "from {}, issued for {}",
                validity.not_before,
                self.subject()
            );
            return Err(Error::with_detail(
                ErrorKind::CertificateNotYetValid,
                detail,
            ));
        }
        if time > self.not_after() {
            let detail = format!("at {}, issued for {}", validity.not_after, self.subject());
            return Err(Error::with_detail(ErrorKind::CertificateExpired, detail));
        }
        Ok(())
    }

    /// Whether the extended key usage names `purpose`; `None` without that extension. A malformed
    /// one names nothing.
    pub(crate) fn allows(&self, purpose: Purpose) -> Option<bool> {
        match self.fields().get_extension::<ExtendedKeyUsage>() {
            Ok(None) => None,
            Ok(Some((_, usages))) => Some(usages.0.contains(&purpose.usage())),
            Err(_) => Some(false),
        }
    }

    /// The key usage; `None` if it is absent or malformed.
    pub(crate) fn key_usage(&self) -> Option<KeyUsage> {
        let usage = self.fields().get_extension::<KeyUsage>().ok().flatten();
        usage.map(|(_, usage)| usage)
    }

    /// Who it is for, as text (RFC 4514).
    pub(crate) fn subject(&self) -> String {
        self.fields().subject().to_string()
    }

    /// Who issued it, as text (RFC 4514).
    pub(crate) fn issuer(&self) -> String {
        self.fields().issuer().to_string()
    }

    /// Whether `self` says that `other` issued it.
    pub(crate) fn names_issuer(&self, other: &Self) -> bool {
        self.fields().issuer() == other.fields().subject()
    }

    /// Whether it is for `name`.
    pub(crate) fn is_named(&self, name: &x509_cert::name::Name) -> bool {
        self.fields().subject() == name
    }

    /// Who it is for, for comparisons.
    pub(crate) fn subject_der(&self) -> Vec<u8> {
        self.fields().subject().to_der().unwrap_or_default()
    }

    /// The content of the issuer's name, as revocation lists compare it.
    pub(crate) fn issuer_der(&self) -> Vec<u8> {
        content(&self.fields().issuer().to_der().unwrap_or_default())
    }

    pub(crate) fn serial(&self) -> &[u8] {
        self.fields().serial_number().as_bytes()
    }

    pub(crate) fn key(&self) -> &SubjectPublicKeyInfoOwned {
        self.fields().subject_public_key_info()
    }

    /// The key as DER, for signatures and comparisons.
    pub(crate) fn key_der(&self) -> SubjectPublicKeyInfoDer<'static> {
        self.key().to_der().unwrap_or_default().into()
    }

    pub(crate) fn signature_algorithm(&self) -> ObjectIdentifier {
        self.0.signature_algorithm().oid
    }

    /// The subject alternative names; empty if there are none or they are malformed.
    pub(crate) fn names(&self) -> Vec<Name> {
        match self.fields().get_extension::<SubjectAltName>() {
            Ok(Some((_, names))) => names.0.iter().filter_map(Name::read).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether there is an extension of subject alternative names at all.
    pub(crate) fn has_names(&self) -> bool {
        !matches!(self.fields().get_extension::<SubjectAltName>(), Ok(None))
    }
}

/// What stands behind the tag and the length of a DER element.
fn content(der: &[u8]) -> Vec<u8> {
    let any = x509_cert::der::asn1::AnyRef::from_der(der);
    any.map(|any| any.value().to_vec()).unwrap_or_default()
}

/// One subject alternative name, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// dNSName.
    Dns(String),
    /// uniformResourceIdentifier.
    Uri(String),
    /// iPAddress.
    Ip(String),
}

impl Name {
    /// Other kinds of name, and names with anything but printable ASCII in them, identify nobody.
    fn read(name: &GeneralName) -> Option<Self> {
        match name {
            GeneralName::DnsName(text) => graphic(text.as_str()).map(Self::Dns),
            GeneralName::UniformResourceIdentifier(text) => graphic(text.as_str()).map(Self::Uri),
            GeneralName::IpAddress(octets) => address(octets.as_bytes()).map(Self::Ip),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Dns(text) | Self::Uri(text) | Self::Ip(text) => text,
        }
    }
}

/// Names in one line, for errors.
pub(crate) fn listed(names: &[Name]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.iter().map(Name::text).collect::<Vec<_>>().join(", "),
    }
}

fn graphic(text: &str) -> Option<String> {
    let is_graphic = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_graphic.then(|| text.to_owned())
}

fn address(octets: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(octets).map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
    let v6 = <[u8; 16]>::try_from(octets).map(|octets| IpAddr::V6(Ipv6Addr::from(octets)));
    v4.or(v6).ok().map(|address| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf() -> Vec<u8> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    fn read_everything(der: &[u8]) -> Option<String> {
        let leaf = Certificate::parse(der)?;
        let flags = [leaf.is_authority(), leaf.has_names(), leaf.is_version_3()];
        let usages = (leaf.allows(Purpose::Client), leaf.key_usage());
        let dates = (leaf.not_after(), leaf.check_validity(leaf.not_before()));
        let who = (
            leaf.subject(),
            leaf.issuer(),
            leaf.issuer_der(),
            leaf.serial(),
        );
        let key = (leaf.key_der(), crate::weakness::of_key(leaf.key()));
        Some(format!(
            "{flags:?} {usages:?} {dates:?} {who:?} {key:?} {:?}",
            leaf.names()
        ))
    }

    /// A peer may present any bytes.
    #[test]
    fn damaged_certificates_are_read_or_refused() {
        let der = leaf();
        assert!(read_everything(&der).is_some());
        for length in 0..der.len() {
            assert!(read_everything(&der[..length]).is_none());
        }
        for place in 0..der.len() {
            for flip in [0x01, 0x20, 0x80, 0xff] {
                let mut damaged = der.clone();
                damaged[place] ^= flip;
                read_everything(&damaged);
            }
        }
    }
}
