//! The few fields of an X.509 certificate that rustls does not hand out (RFC 5280).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustls::pki_types::UnixTime;
use rustls::{CertificateError, ExtendedKeyPurpose};
use x509_cert::certificate::Version;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, SubjectAltName};

const ID_KP_SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const ID_KP_CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// What a presented certificate is used for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    /// Authenticating a listener.
    Server,
    /// Authenticating a dialer.
    Client,
}

/// A parsed certificate.
pub(crate) struct Certificate(x509_cert::Certificate);

impl Certificate {
    /// Parses DER; `None` if it is malformed.
    pub(crate) fn parse(der: &[u8]) -> Option<Self> {
        x509_cert::Certificate::from_der(der).ok().map(Self)
    }

    /// Whether it may issue others: version 3 with basicConstraints CA:TRUE.
    pub(crate) fn is_authority(&self) -> bool {
        let fields = self.0.tbs_certificate();
        let constraints = fields.get_extension::<BasicConstraints>();
        let may_issue = matches!(constraints, Ok(Some((_, constraints))) if constraints.ca);
        may_issue && fields.version() == Version::V3
    }

    /// End of validity in seconds since 1970 (notAfter, inclusive).
    pub(crate) fn not_after(&self) -> UnixTime {
        let validity = self.0.tbs_certificate().validity();
        UnixTime::since_unix_epoch(validity.not_after.to_unix_duration())
    }

    fn not_before(&self) -> UnixTime {
        let validity = self.0.tbs_certificate().validity();
        UnixTime::since_unix_epoch(validity.not_before.to_unix_duration())
    }

    /// Errs unless `time` lies within the validity, ends included.
    pub(crate) fn check_validity(&self, time: UnixTime) -> Result<(), CertificateError> {
        let (not_before, not_after) = (self.not_before(), self.not_after());
        if time < not_before {
            return Err(CertificateError::NotValidYetContext { time, not_before });
        }
        if time > not_after {
            return Err(CertificateError::ExpiredContext { time, not_after });
        }
        Ok(())
    }

    /// Errs if an extended key usage is present and leaves `purpose` out.
    pub(crate) fn check_purpose(&self, purpose: Purpose) -> Result<(), CertificateError> {
        let (wanted, required) = match purpose {
            Purpose::Server => (ID_KP_SERVER_AUTH, ExtendedKeyPurpose::ServerAuth),
            Purpose::Client => (ID_KP_CLIENT_AUTH, ExtendedKeyPurpose::ClientAuth),
        };
        let usages = self.0.tbs_certificate().get_extension::<ExtendedKeyUsage>();
        match usages {
            Ok(None) => Ok(()),
            Ok(Some((_, usages))) if usages.0.contains(&wanted) => Ok(()),
            Ok(Some(_)) => Err(CertificateError::InvalidPurposeContext {
                required,
                presented: Vec::new(),
            }),
            Err(_) => Err(CertificateError::BadEncoding),
        }
    }

    /// The subject alternative names; empty if there are none or they are malformed.
    pub(crate) fn names(&self) -> Vec<Name> {
        match self.0.tbs_certificate().get_extension::<SubjectAltName>() {
            Ok(Some((_, names))) => names.0.iter().filter_map(Name::read).collect(),
            _ => Vec::new(),
        }
    }
}

/// One subject alternative name, as text.
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
