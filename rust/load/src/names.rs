//! What went wrong, by the name of the exception that Python raises for it.

use ztransport_engine::{FailureKind, Refusal};
use ztransport_proto::fault::FaultCode;

/// The name for what ended a call or a connection.
pub(crate) fn failure(kind: &FailureKind) -> &'static str {
    match kind {
        FailureKind::AddressInUse | FailureKind::Configuration => "ConfigurationError",
        FailureKind::Closed => "Closed",
        FailureKind::ConnectFailed => "ConnectFailed",
        FailureKind::ConnectionLost | FailureKind::PeerSilent | FailureKind::SlowConsumer => {
            "ConnectionLost"
        }
        FailureKind::DeadlineExceeded => "DeadlineExceeded",
        FailureKind::HandshakeTimeout => "HandshakeTimeout",
        FailureKind::Limit(_) => "LimitExceeded",
        FailureKind::Protocol(_) => "ProtocolError",
        FailureKind::ShuttingDown => "ShuttingDown",
        FailureKind::Tls(_) => "TLSError",
        FailureKind::TlsPeer => "TLSPeer",
        FailureKind::WrongCluster => "WrongCluster",
        _ => "Error",
    }
}

/// The name for a fault the peer answered with.
pub(crate) fn fault(code: FaultCode) -> &'static str {
    match code {
        FaultCode::NoHandler => "NoHandler",
        FaultCode::NotAuthorized => "NotAuthorized",
        FaultCode::DeadlineExceeded => "DeadlineExceeded",
        FaultCode::Overloaded => "Overloaded",
        FaultCode::ShuttingDown => "ShuttingDown",
        FaultCode::Protocol | FaultCode::VersionRefused => "ProtocolError",
        FaultCode::WrongCluster => "WrongCluster",
        FaultCode::Limit => "LimitExceeded",
        FaultCode::Unavailable => "ConnectionLost",
        FaultCode::Rejected(_) => "Rejected",
        FaultCode::HandlerFailure | FaultCode::Cancelled | FaultCode::Other(_) => "HandlerFailure",
    }
}

/// The name for a command that was not taken.
pub(crate) fn refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Draining => "ShuttingDown",
        Refusal::Limit(_) | Refusal::Oversize { .. } => "LimitExceeded",
        Refusal::NoPeer | Refusal::Unknown => "ConnectionLost",
        Refusal::WouldBlock => "WouldBlock",
        _ => "Error",
    }
}

/// The connection ended, in order, before what ran on it did.
pub(crate) const LOST: &str = "ConnectionLost";
/// The peer said that it takes nothing new.
pub(crate) const LEAVING: &str = "ShuttingDown";
/// No answer came before the deadline.
pub(crate) const EXPIRED: &str = "DeadlineExceeded";
/// The answer is not the message that was asked with.
pub(crate) const WRONG_REPLY: &str = "WrongReply";
/// Intended and never sent: the window had to end.
pub(crate) const UNSENT: &str = "Unsent";
/// Sent, and neither delivered nor refused when the window had to end.
pub(crate) const UNANSWERED: &str = "Unanswered";
