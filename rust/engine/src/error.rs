//! What went wrong with a peer, a listener or a call, by whose fault it is.

use std::fmt;

use ztransport_proto::error as proto;
use ztransport_tls as tls;

/// The kind of a [`Failure`]: one variant for each thing a caller handles differently.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// The address is taken, or may not be bound by this user.
    AddressInUse,
    /// This side closed the peer or the node.
    Closed,
    /// A value given by the caller cannot work.
    Configuration,
    /// No connection could be made: refused, unreachable, unknown host or timed out.
    ConnectFailed,
    /// A working connection ended before the work on it did.
    ConnectionLost,
    /// The deadline of a call passed while it waited for a connection or for credit.
    DeadlineExceeded,
    /// The TLS handshake or the greeting did not finish in time.
    HandshakeTimeout,
    /// A named limit was reached.
    Limit(&'static str),
    /// The operating system refused, with this errno.
    Os(i32),
    /// Nothing was heard from the peer for its liveness timeout.
    PeerSilent,
    /// The peer broke the protocol, for the named reason.
    Protocol(&'static str),
    /// The peer is shutting down.
    ShuttingDown,
    /// The peer did not read what was sent to it.
    SlowConsumer,
    /// TLS failed.
    Tls(tls::ErrorKind),
    /// The peer's protocol has no such thing.
    Unsupported,
    /// The peer speaks TLS and this side was told to use plaintext.
    TlsPeer,
    /// The peer belongs to another cluster.
    WrongCluster,
}

/// A failure: with whom, why, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    kind: FailureKind,
    peer: Option<Box<str>>,
    cause: Box<str>,
    remedy: &'static str,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, cause: impl Into<String>) -> Failure {
        Failure {
            kind,
            peer: None,
            cause: cause.into().into(),
            remedy: "",
        }
    }

    /// Says what to do about it.
    pub(crate) fn remedied(self, remedy: &'static str) -> Failure {
        Failure { remedy, ..self }
    }

    /// Says with whom it happened, unless that is known.
    pub(crate) fn at(self, peer: impl FnOnce() -> String) -> Failure {
        let peer = self.peer.or_else(|| Some(peer().into()));
        Failure { peer, ..self }
    }

    pub(crate) fn os(what: &str, error: &std::io::Error) -> Failure {
        let kind = match error.kind() {
            std::io::ErrorKind::AddrInUse | std::io::ErrorKind::PermissionDenied => {
                FailureKind::AddressInUse
            }
            _ => FailureKind::Os(error.raw_os_error().unwrap_or(0)),
        };
        Failure::new(kind, format!("{what}: {error}"))
    }

    pub(crate) fn closed() -> Failure {
        Failure::new(FailureKind::Closed, "this side closed the connection")
    }

    pub(crate) fn tls(error: &tls::Error) -> Failure {
        let kind = match error.kind() {
            tls::ErrorKind::Truncated => FailureKind::ConnectionLost,
            tls::ErrorKind::HandshakeTimeout => FailureKind::HandshakeTimeout,
            kind => FailureKind::Tls(kind.clone()),
        };
        Failure::new(kind, error.cause()).remedied(error.remedy())
    }

    pub(crate) fn protocol(error: &proto::Error) -> Failure {
        let kind = match error.reason() {
            "wrong_cluster" => FailureKind::WrongCluster,
            "identity_not_allowed" => FailureKind::Tls(tls::ErrorKind::IdentityNotAllowed),
            "silent" => FailureKind::PeerSilent,
            "no_hello" => FailureKind::HandshakeTimeout,
            "truncated" => FailureKind::ConnectionLost,
            "shutting_down" => FailureKind::ShuttingDown,
            "bad_version" => FailureKind::Tls(tls::ErrorKind::ProtocolVersionRefused),
            reason => FailureKind::Protocol(reason),
        };
        Failure::new(kind, error.cause()).remedied(error.kind().remedy())
    }

    /// What a caller should act on.
    #[must_use]
    pub fn kind(&self) -> &FailureKind {
        &self.kind
    }

    /// The peer it happened with: its address, and its node id if it has told one.
    #[must_use]
    pub fn peer(&self) -> Option<&str> {
        self.peer.as_deref()
    }

    /// What happened, in one line.
    #[must_use]
    pub fn cause(&self) -> &str {
        &self.cause
    }

    /// What can be done about it; empty where nothing is to be said.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        self.remedy
    }

    /// A short stable name, used for counters by reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match &self.kind {
            FailureKind::AddressInUse => "address_in_use",
            FailureKind::Closed => "closed",
            FailureKind::Configuration => "configuration",
            FailureKind::ConnectFailed => "connect_failed",
            FailureKind::ConnectionLost => "connection_lost",
            FailureKind::DeadlineExceeded => "deadline_exceeded",
            FailureKind::HandshakeTimeout => "handshake_timeout",
            FailureKind::Limit(name) | FailureKind::Protocol(name) => name,
            FailureKind::Os(_) => "os",
            FailureKind::PeerSilent => "peer_silent",
            FailureKind::ShuttingDown => "shutting_down",
            FailureKind::SlowConsumer => "slow_consumer",
            FailureKind::Tls(kind) => tls_reason(kind),
            FailureKind::TlsPeer => "tls_peer",
            FailureKind::Unsupported => "unsupported",
            FailureKind::WrongCluster => "wrong_cluster",
        }
    }
}

fn tls_reason(kind: &tls::ErrorKind) -> &'static str {
    match kind {
        tls::ErrorKind::UntrustedIssuer => "untrusted_issuer",
        tls::ErrorKind::CertificateExpired => "certificate_expired",
        tls::ErrorKind::CertificateNotYetValid => "certificate_not_yet_valid",
        tls::ErrorKind::NameMismatch => "name_mismatch",
        tls::ErrorKind::CertificateRevoked => "certificate_revoked",
        tls::ErrorKind::WrongKeyUsage => "wrong_key_usage",
        tls::ErrorKind::CertificateVersion => "certificate_version",
        tls::ErrorKind::IdentityNotAllowed => "identity_not_allowed",
        tls::ErrorKind::ClientCertificateRequired => "no_client_certificate",
        tls::ErrorKind::PlaintextPeer => "not_tls",
        tls::ErrorKind::ProtocolVersionRefused => "bad_version",
        tls::ErrorKind::ALPNRefused => "alpn_refused",
        tls::ErrorKind::BadCertificate => "bad_certificate",
        tls::ErrorKind::PeerAlert(_) => "tls_alert",
        _ => "tls_protocol",
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(peer) = &self.peer {
            write!(formatter, "{peer}: ")?;
        }
        formatter.write_str(&self.cause)?;
        match self.remedy {
            "" => Ok(()),
            remedy => write!(formatter, "; {remedy}"),
        }
    }
}

impl std::error::Error for Failure {}

/// Why a command was not taken. Nothing has changed when one is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The peer or the node is draining: nothing new is taken.
    Draining,
    /// A named limit is reached.
    Limit(&'static str),
    /// The peer is gone, or was never one of this engine's.
    NoPeer,
    /// The message is larger than the peer takes.
    Oversize {
        /// The largest message the peer takes, in bytes.
        limit: u64,
    },
    /// The id was answered already, or the caller and its connection are gone.
    Unknown,
    /// The peer's protocol has no such thing; the text says what.
    Unsupported(&'static str),
    /// No credit or no room now: wait for room and try again.
    WouldBlock,
}
