//! Why a connection ends, by whose fault it is.

use std::borrow::Cow;
use std::fmt;

use crate::fault::FaultCode;

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The peer broke a rule of the protocol or reported that we did.
    Peer,
    /// Our own program misused the connection.
    Local,
    /// The peer passed a limit.
    Limit,
    /// The connection ended or fell silent.
    Closed,
}

/// Why a connection ends. Its name is the name of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The first bytes are not the preface.
    BadPreface,
    /// HELLO is malformed or has values out of range.
    BadHello,
    /// The peer speaks no version that we speak.
    BadVersion,
    /// The two nodes belong to different clusters.
    WrongCluster,
    /// The peer is not, or not provably, who it says it is.
    IdentityNotAllowed,
    /// No HELLO came in time.
    NoHello,
    /// A frame of a critical type that is not defined.
    UnknownFrame,
    /// A flag that is reserved or not allowed on this type.
    BadFlags,
    /// A frame whose fields contradict its type.
    BadFrame,
    /// A frame that is not allowed in this state.
    WrongState,
    /// A frame or a message that is longer than allowed.
    Oversize,
    /// More requests, messages or bytes than the window allows.
    OverWindow,
    /// A credit that goes back or exceeds what was sent.
    BadCredit,
    /// A subject that was not announced, or announced out of order.
    BadSubject,
    /// Too many frames for requests and streams that do not exist.
    UnknownIds,
    /// Too many frames that carry nothing.
    Flood,
    /// A frame or a message that arrives too slowly.
    SlowFrame,
    /// More bytes in unfinished messages than allowed.
    AssemblyFull,
    /// The peer's bytes end inside a frame or a message.
    Truncated,
    /// Nothing was heard of the peer for too long.
    Silent,
    /// The peer ended the connection with a fault.
    PeerFault,
}

impl Reason {
    /// The name of the counter for this reason.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadPreface => "bad_preface",
            Self::BadHello => "bad_hello",
            Self::BadVersion => "bad_version",
            Self::WrongCluster => "wrong_cluster",
            Self::IdentityNotAllowed => "identity_not_allowed",
            Self::NoHello => "no_hello",
            Self::UnknownFrame => "unknown_frame",
            Self::BadFlags => "bad_flags",
            Self::BadFrame => "bad_frame",
            Self::WrongState => "wrong_state",
            Self::Oversize => "oversize",
            Self::OverWindow => "over_window",
            Self::BadCredit => "bad_credit",
            Self::BadSubject => "bad_subject",
            Self::UnknownIds => "unknown_ids",
            Self::Flood => "flood",
            Self::SlowFrame => "slow_frame",
            Self::AssemblyFull => "assembly_full",
            Self::Truncated => "truncated",
            Self::Silent => "silent",
            Self::PeerFault => "peer_fault",
        }
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(self) -> Blame {
        match self {
            Self::Oversize
            | Self::OverWindow
            | Self::UnknownIds
            | Self::Flood
            | Self::SlowFrame
            | Self::AssemblyFull => Blame::Limit,
            Self::NoHello | Self::Truncated | Self::Silent => Blame::Closed,
            _ => Blame::Peer,
        }
    }

    /// The code the peer is told.
    #[must_use]
    pub const fn code(self) -> FaultCode {
        match self {
            Self::WrongCluster => FaultCode::WrongCluster,
            Self::IdentityNotAllowed => FaultCode::NotAuthorized,
            Self::BadVersion => FaultCode::VersionRefused,
            Self::NoHello | Self::Silent => FaultCode::DeadlineExceeded,
            _ => match self.blame() {
                Blame::Limit => FaultCode::Limit,
                _ => FaultCode::Protocol,
            },
        }
    }

    /// What can be done about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::BadPreface => "check that the peer speaks ZT/1 and that both sides agree on TLS",
            Self::BadHello | Self::BadVersion => "check the versions and limits of both nodes",
            Self::WrongCluster => "give both nodes the same cluster name",
            Self::IdentityNotAllowed => {
                "give the node a certificate with the names it must have, or another node id"
            }
            Self::NoHello | Self::Silent => {
                "check that the peer runs and that the network carries its bytes"
            }
            Self::Truncated => {
                "the connection was cut: look for a crash or a middlebox at the peer"
            }
            Self::PeerFault => "look at the peer's log for the reason",
            _ => match self.blame() {
                Blame::Limit => "raise the limit on this node or make the peer send less",
                _ => "the peer does not keep to docs/WIRE.md: check its version",
            },
        }
    }
}

/// Why this connection ends. After it, the output may hold one fault frame for the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    reason: Reason,
    code: FaultCode,
    detail: Cow<'static, str>,
    from_peer: bool,
}

impl Error {
    /// An error of our own finding.
    #[cold]
    #[must_use]
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            code: reason.code(),
            detail: detail.into(),
            from_peer: false,
        }
    }

    /// What the peer told us before it closed; `greeted` says whether it had greeted us by then.
    #[cold]
    #[must_use]
    pub fn from_peer(code: FaultCode, greeted: bool, detail: String) -> Self {
        let reason = match code {
            FaultCode::WrongCluster => Reason::WrongCluster,
            FaultCode::NotAuthorized => Reason::IdentityNotAllowed,
            FaultCode::VersionRefused => Reason::BadVersion,
            // The only thing that an acceptor waits for.
            FaultCode::DeadlineExceeded if !greeted => Reason::NoHello,
            _ => Reason::PeerFault,
        };
        Self {
            reason,
            code,
            detail: detail.into(),
            from_peer: true,
        }
    }

    /// The name of the counter for this error, such as `flood` or `bad_preface`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        self.reason.name()
    }

    /// The same as a value to match on.
    #[must_use]
    pub const fn kind(&self) -> Reason {
        self.reason
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        self.reason.blame()
    }

    /// The code the peer is told, or the one it told us.
    #[must_use]
    pub const fn code(&self) -> FaultCode {
        self.code
    }

    /// Whether the peer told us, so that it need not be told.
    #[must_use]
    pub const fn is_from_peer(&self) -> bool {
        self.from_peer
    }

    /// What was wrong, in one line and without the remedy.
    #[must_use]
    pub fn cause(&self) -> String {
        format!("{}: {}", self.reason(), self.detail.escape_debug())
    }

    /// What was wrong, without the remedy. Text of the peer stands in it as it came.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause(), self.reason.remedy())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_what_and_how_to_mend_it() {
        let error = Error::new(Reason::WrongCluster, "the peer is in cluster \"b\"");
        let text = error.to_string();
        assert!(text.starts_with("wrong_cluster: ") && text.contains("same cluster name"));
        assert_eq!(
            (error.blame(), error.code()),
            (Blame::Peer, FaultCode::WrongCluster)
        );
    }

    #[test]
    fn text_of_the_peer_cannot_break_a_line() {
        let error = Error::from_peer(FaultCode::Protocol, true, "a\nb\u{202e}".to_owned());
        assert!(!error.to_string().contains(['\n', '\u{202e}']));
        assert_eq!(error.reason(), "peer_fault");
    }
}
