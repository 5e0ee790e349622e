//! Failures, typed by what happened and by whose fault it is.

use std::fmt;

use rustls::{AlertDescription, CertificateError, PeerIncompatible, PeerMisbehaved};

/// Most bytes of text a peer can put into one error.
const DETAIL_BYTES_MAX: usize = 256;

/// On which side the remedy lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The peer presented or did something unacceptable.
    Peer,
    /// One's own certificates, key, trust or options need mending.
    Configuration,
    /// The connection ended before it was finished.
    Closed,
    /// The caller used the filter wrongly.
    Local,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A certificate is not signed by any trusted authority.
    UntrustedIssuer,
    /// A certificate's validity has ended.
    CertificateExpired,
    /// A certificate's validity has not begun.
    CertificateNotYetValid,
    /// The listener's certificate is for other names than the one dialled.
    NameMismatch,
    /// A certificate was revoked by its issuer.
    CertificateRevoked,
    /// A certificate is not for this use: listening, dialling or signing.
    WrongKeyUsage,
    /// A certificate's X.509 version is too old to say what it is for.
    CertificateVersion,
    /// A certificate is sound, but nobody of its names is let in.
    IdentityNotAllowed,
    /// The listener insists on a certificate and the dialer presented none.
    ClientCertificateRequired,
    /// The peer does not speak TLS at all.
    PlaintextPeer,
    /// The peer speaks TLS to a plaintext door. Raised by whoever opens such doors.
    TLSPeer,
    /// The two sides share no TLS version.
    ProtocolVersionRefused,
    /// The two sides share no application protocol.
    ALPNRefused,
    /// The handshake took too long. Raised by whoever has the clock.
    HandshakeTimeout,
    /// The stream ended without `close_notify` (RFC 8446 section 6.1).
    Truncated,
    /// A certificate is malformed, weak or otherwise unacceptable.
    BadCertificate,
    /// A file or option cannot be used.
    Configuration {
        /// The file, or the option when its bytes were given directly.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The peer gave up with an alert that says nothing more precise; its number.
    PeerAlert(u8),
    /// The peer broke a rule of TLS, or offered nothing usable.
    Protocol,
    /// More plaintext was sealed before the handshake ended than the filter keeps.
    EarlyBytesExceeded,
    /// The filter was used after it closed.
    Closed,
}

/// A failed connection or configuration. `Display` is one sentence with cause and remedy and never
/// holds key bytes; whatever the peer wrote into it is escaped and cut short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    /// The peer decided, and an alert told us.
    told: bool,
    detail: String,
}

impl Error {
    pub(crate) fn configuration(path: impl Into<String>, reason: impl Into<String>) -> Self {
        let (path, reason) = (path.into(), reason.into());
        ErrorKind::Configuration { path, reason }.into()
    }

    pub(crate) fn protocol(detail: impl fmt::Display) -> Self {
        Self::with_detail(ErrorKind::Protocol, detail)
    }

    pub(crate) fn with_detail(kind: ErrorKind, detail: impl fmt::Display) -> Self {
        Self {
            detail: printable(&detail.to_string()),
            ..kind.into()
        }
    }

    /// What happened.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// On which side the remedy lies. A certificate or protocol the peer refused by alert is ours
    /// to mend.
    pub fn fault(&self) -> Fault {
        match self.kind {
            ErrorKind::Configuration { .. } => Fault::Configuration,
            ErrorKind::Truncated => Fault::Closed,
            ErrorKind::Closed | ErrorKind::EarlyBytesExceeded => Fault::Local,
            ErrorKind::PeerAlert(_) => Fault::Peer,
            _ if self.told => Fault::Configuration,
            _ => Fault::Peer,
        }
    }

    /// Whether the peer decided and told us by an alert, rather than this side deciding.
    pub fn told_by_peer(&self) -> bool {
        self.told
    }

    /// What happened, in one line and without the remedy.
    pub fn cause(&self) -> String {
        let mut cause = match &self.kind {
            ErrorKind::Configuration { path, reason } => format!("{path}: {reason}"),
            ErrorKind::PeerAlert(number) => format!("{} with TLS alert {number}", self.what()),
            _ if self.told => format!("the peer reports by alert: {}", self.what()),
            _ => self.what().to_owned(),
        };
        if !self.detail.is_empty() {
            cause = format!("{cause} ({})", self.detail);
        }
        cause
    }

    fn what(&self) -> &'static str {
        match &self.kind {
            ErrorKind::UntrustedIssuer => "certificate is not signed by a trusted authority",
            // One alert stands for both ends of the validity (RFC 8446 section 6.2).
            ErrorKind::CertificateExpired if self.told => "certificate is not valid at this time",
            ErrorKind::CertificateExpired => "certificate has expired",
            ErrorKind::CertificateNotYetValid => "certificate is not valid yet",
            ErrorKind::NameMismatch => "certificate is for another name",
            ErrorKind::CertificateRevoked => "certificate was revoked",
            ErrorKind::WrongKeyUsage => "certificate is not for this use",
            ErrorKind::CertificateVersion => "certificate is not of X.509 version 3",
            ErrorKind::IdentityNotAllowed => "certificate names nobody who is let in",
            ErrorKind::ClientCertificateRequired => "a certificate is required and none was given",
            ErrorKind::PlaintextPeer => "the peer does not speak TLS",
            ErrorKind::TLSPeer => "the peer speaks TLS where plaintext is expected",
            ErrorKind::ProtocolVersionRefused => "the two sides share no TLS version",
            ErrorKind::ALPNRefused => "the two sides share no application protocol",
            // No alert says so; the one that stands for it has the meaning (RFC 8446 section 6.1)
            // that the peer wanted no more of the handshake, whatever it was.
            ErrorKind::HandshakeTimeout if self.told => {
                "the TLS handshake was given up, as when it takes too long"
            }
            ErrorKind::HandshakeTimeout => "the TLS handshake took too long",
            ErrorKind::Truncated => "the connection ended without close_notify",
            ErrorKind::BadCertificate => "certificate is unacceptable",
            ErrorKind::Configuration { .. } => "TLS configuration is unusable",
            ErrorKind::PeerAlert(_) => "the peer gave up",
            ErrorKind::Protocol => "the peer broke the TLS protocol",
            ErrorKind::EarlyBytesExceeded => "too much was sent before the handshake ended",
            ErrorKind::Closed => "this side has already closed the TLS connection",
        }
    }

    /// What can be done about it.
    pub fn remedy(&self) -> &'static str {
        match &self.kind {
            ErrorKind::UntrustedIssuer => "add the issuing CA to the verifier's trust",
            ErrorKind::CertificateExpired => "renew it or set the clock right",
            ErrorKind::CertificateNotYetValid => "set the clock right or wait",
            ErrorKind::NameMismatch => {
                "dial a name the certificate holds or add the name to its subject alternative names"
            }
            ErrorKind::CertificateRevoked => "issue a new certificate with a new key",
            ErrorKind::WrongKeyUsage => {
                "issue it with extended key usage serverAuth and clientAuth, \
                 and key usage digitalSignature"
            }
            ErrorKind::CertificateVersion => {
                "issue it with a subjectAltName extension (openssl x509 -req -extfile), \
                 which makes it version 3, or choose the profile zeebe"
            }
            ErrorKind::IdentityNotAllowed => {
                "add a name of it to allowed_identities, or issue one for an allowed name"
            }
            ErrorKind::ClientCertificateRequired => {
                "give the dialer a certificate chain and private key"
            }
            ErrorKind::PlaintextPeer => "switch TLS on there or off here",
            ErrorKind::TLSPeer => "switch TLS off there or on here",
            ErrorKind::ProtocolVersionRefused => "let the peer speak TLS 1.3",
            ErrorKind::ALPNRefused => "let both sides offer zt/1",
            ErrorKind::HandshakeTimeout => "check the network, or raise the handshake timeout",
            ErrorKind::Truncated => "treat what was received as incomplete",
            ErrorKind::BadCertificate => "issue another certificate for this use",
            ErrorKind::Configuration { .. } => "correct it and start again",
            ErrorKind::PeerAlert(_) => "look into the peer's log",
            ErrorKind::Protocol => "check what listens at that address",
            ErrorKind::EarlyBytesExceeded => "wait until the connection is established",
            ErrorKind::Closed => "open a new connection",
        }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self {
            kind,
            told: false,
            detail: String::new(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause(), self.remedy())
    }
}

impl std::error::Error for Error {}

impl From<rustls::Error> for Error {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::AlertReceived(alert) => Self::from_alert(alert),
            rustls::Error::InvalidCertificate(reason) => Self::from_certificate(&reason),
            rustls::Error::NoCertificatesPresented => ErrorKind::ClientCertificateRequired.into(),
            rustls::Error::NoApplicationProtocol => ErrorKind::ALPNRefused.into(),
            rustls::Error::PeerIncompatible(ref why) if is_version(why) => {
                ErrorKind::ProtocolVersionRefused.into()
            }
            rustls::Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol) => {
                ErrorKind::ALPNRefused.into()
            }
            rustls::Error::PeerMisbehaved(
                PeerMisbehaved::SelectedTls12UsingTls13VersionExtension,
            ) => ErrorKind::ProtocolVersionRefused.into(),
            other => Self::protocol(other),
        }
    }
}

impl Error {
    fn from_alert(alert: AlertDescription) -> Self {
        let kind = match alert {
            AlertDescription::UnknownCA => ErrorKind::UntrustedIssuer,
            AlertDescription::CertificateExpired => ErrorKind::CertificateExpired,
            AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
                ErrorKind::BadCertificate
            }
            AlertDescription::UnsupportedCertificate => ErrorKind::WrongKeyUsage,
            AlertDescription::CertificateRevoked => ErrorKind::CertificateRevoked,
            AlertDescription::AccessDenied => ErrorKind::IdentityNotAllowed,
            AlertDescription::CertificateRequired => ErrorKind::ClientCertificateRequired,
            AlertDescription::NoApplicationProtocol => ErrorKind::ALPNRefused,
            AlertDescription::ProtocolVersion => ErrorKind::ProtocolVersionRefused,
            AlertDescription::UserCanceled => ErrorKind::HandshakeTimeout,
            other => ErrorKind::PeerAlert(u8::from(other)),
        };
        Self {
            told: true,
            ..kind.into()
        }
    }

    fn from_certificate(reason: &CertificateError) -> Self {
        let kind = match reason {
            CertificateError::UnknownIssuer => return ErrorKind::UntrustedIssuer.into(),
            // Paths are judged elsewhere: what rustls itself finds is the handshake's signature.
            CertificateError::BadSignature => {
                let detail = "the peer does not prove that it has the key";
                return Self::with_detail(ErrorKind::BadCertificate, detail);
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                ErrorKind::CertificateExpired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                ErrorKind::CertificateNotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                ErrorKind::NameMismatch
            }
            _ => ErrorKind::BadCertificate,
        };
        Self::with_detail(kind, reason)
    }
}

fn is_version(why: &PeerIncompatible) -> bool {
    matches!(
        why,
        PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
    )
}

/// Text that may hold what a peer wrote (names in a certificate), fit for one line of a log.
fn printable(text: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_graphic() || *c == ' ';
    let mut line = String::new();
    for character in text.chars() {
        match Some(character).filter(is_plain) {
            Some(plain) => line.push(plain),
            None => line.extend(character.escape_default()),
        }
        if line.len() >= DETAIL_BYTES_MAX {
            line.truncate(DETAIL_BYTES_MAX);
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_determines_one_kind() {
        let told = |number: u8| {
            Error::from_alert(AlertDescription::from(number))
                .kind()
                .clone()
        };
        assert_eq!(told(42), ErrorKind::BadCertificate);
        assert_eq!(told(43), ErrorKind::WrongKeyUsage);
        assert_eq!(told(44), ErrorKind::CertificateRevoked);
        assert_eq!(told(45), ErrorKind::CertificateExpired);
        assert_eq!(told(46), ErrorKind::BadCertificate);
        assert_eq!(told(48), ErrorKind::UntrustedIssuer);
        assert_eq!(told(49), ErrorKind::IdentityNotAllowed);
        assert_eq!(told(70), ErrorKind::ProtocolVersionRefused);
        assert_eq!(told(90), ErrorKind::HandshakeTimeout);
        assert_eq!(told(116), ErrorKind::ClientCertificateRequired);
        assert_eq!(told(120), ErrorKind::ALPNRefused);
        for other in [10, 20, 22, 40, 47, 50, 51, 71, 80, 109, 112, 255] {
            assert_eq!(told(other), ErrorKind::PeerAlert(other));
        }
    }

    #[test]
    fn peer_text_is_escaped_and_cut() {
        let hostile = format!("a\n\u{1b}[31m\u{202e}{}", "x".repeat(1 << 20));
        let error = Error::protocol(hostile);
        assert!(error.detail.starts_with("a\\n\\u{1b}[31m\\u{202e}xxx"));
        assert_eq!(error.detail.len(), DETAIL_BYTES_MAX);
        assert!(!error.to_string().contains('\n'));
    }

    #[test]
    fn fault_follows_who_decided() {
        assert_eq!(Error::from(ErrorKind::UntrustedIssuer).fault(), Fault::Peer);
        let told = Error::from_alert(AlertDescription::UnknownCA);
        assert_eq!(told.fault(), Fault::Configuration);
        assert!(told.told_by_peer() && told.to_string().starts_with("the peer reports"));
        assert_eq!(Error::from(ErrorKind::Truncated).fault(), Fault::Closed);
    }
}
