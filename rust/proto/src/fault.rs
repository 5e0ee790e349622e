//! Fault codes and retry classes: what a peer is told when something did not work.

use std::fmt;

/// Why a request, a stream or a connection failed, as a number on the wire (W-41).
///
/// The set is open: a code this version does not know arrives as `Other` and is passed on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultCode {
    /// The handler ran and failed.
    HandlerFailure,
    /// Nobody handles the subject.
    NoHandler,
    /// The peer may not do this.
    NotAuthorized,
    /// The deadline of the request passed at the side that answers.
    DeadlineExceeded,
    /// The peer has no capacity for it now.
    Overloaded,
    /// The peer takes nothing new.
    ShuttingDown,
    /// The protocol was broken.
    Protocol,
    /// The side that asked has cancelled.
    Cancelled,
    /// The two nodes belong to different clusters.
    WrongCluster,
    /// A limit was passed.
    Limit,
    /// The node that should have answered cannot be reached.
    Unavailable,
    /// The peer speaks no version that the other side speaks.
    VersionRefused,
    /// The handler refused, with a code of its own of at least [`FaultCode::REJECTED_MIN`].
    Rejected(u16),
    /// A code below [`FaultCode::REJECTED_MIN`] that this version does not know.
    Other(u16),
}

impl FaultCode {
    /// The first code that belongs to applications.
    pub const REJECTED_MIN: u16 = 0x1000;

    /// The number on the wire. A `Rejected` below the application's range is lifted into it.
    #[must_use]
    pub const fn to_wire(self) -> u16 {
        match self {
            Self::HandlerFailure => 1,
            Self::NoHandler => 2,
            Self::NotAuthorized => 3,
            Self::DeadlineExceeded => 4,
            Self::Overloaded => 5,
            Self::ShuttingDown => 6,
            Self::Protocol => 7,
            Self::Cancelled => 8,
            Self::WrongCluster => 9,
            Self::Limit => 10,
            Self::Unavailable => 11,
            Self::VersionRefused => 12,
            Self::Rejected(code) => {
                code | if code < Self::REJECTED_MIN {
                    Self::REJECTED_MIN
                } else {
                    0
                }
            }
            Self::Other(code) => code,
        }
    }

    /// The code for a number from the wire.
    #[must_use]
    pub const fn from_wire(code: u16) -> Self {
        match code {
            1 => Self::HandlerFailure,
            2 => Self::NoHandler,
            3 => Self::NotAuthorized,
            4 => Self::DeadlineExceeded,
            5 => Self::Overloaded,
            6 => Self::ShuttingDown,
            7 => Self::Protocol,
            8 => Self::Cancelled,
            9 => Self::WrongCluster,
            10 => Self::Limit,
            11 => Self::Unavailable,
            12 => Self::VersionRefused,
            Self::REJECTED_MIN.. => Self::Rejected(code),
            _ => Self::Other(code),
        }
    }
}

impl fmt::Display for FaultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HandlerFailure => f.write_str("the handler failed"),
            Self::NoHandler => f.write_str("no handler"),
            Self::NotAuthorized => f.write_str("not authorized"),
            Self::DeadlineExceeded => f.write_str("deadline exceeded"),
            Self::Overloaded => f.write_str("overloaded"),
            Self::ShuttingDown => f.write_str("shutting down"),
            Self::Protocol => f.write_str("protocol broken"),
            Self::Cancelled => f.write_str("cancelled"),
            Self::WrongCluster => f.write_str("wrong cluster"),
            Self::Limit => f.write_str("limit passed"),
            Self::Unavailable => f.write_str("unavailable"),
            Self::VersionRefused => f.write_str("version refused"),
            Self::Rejected(code) => write!(f, "rejected with code {code:#06x}"),
            Self::Other(code) => write!(f, "fault {code:#06x}"),
        }
    }
}

/// Whether asking again is safe, told with every fault (W-42).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The work was never started: asking again is safe.
    NotStarted,
    /// Nobody knows whether the work was done.
    Unknown,
    /// The work was started and has failed.
    Failed,
}

impl Retry {
    /// The class of a request whose answer is lost with its connection.
    pub(crate) const fn lost(started: bool) -> Self {
        if started {
            Self::Unknown
        } else {
            Self::NotStarted
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn to_wire(self) -> u8 {
        match self {
            Self::NotStarted => 0,
            Self::Unknown => 1,
            Self::Failed => 2,
        }
    }

    /// The class for a number from the wire; `None` for a number that is not defined.
    #[must_use]
    pub const fn from_wire(class: u8) -> Option<Self> {
        match class {
            0 => Some(Self::NotStarted),
            1 => Some(Self::Unknown),
            2 => Some(Self::Failed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w_41_every_code_survives_the_wire() {
        for wire in 0..=u16::MAX {
            assert_eq!(FaultCode::from_wire(wire).to_wire(), wire);
        }
        assert_eq!(FaultCode::from_wire(0x0fff), FaultCode::Other(0x0fff));
        assert_eq!(FaultCode::from_wire(0x1000), FaultCode::Rejected(0x1000));
        assert_eq!(FaultCode::Rejected(7).to_wire(), 0x1007);
    }

    #[test]
    fn w_42_only_three_retry_classes_exist() {
        for wire in 0..=u8::MAX {
            assert_eq!(
                Retry::from_wire(wire).map(Retry::to_wire),
                (wire < 3).then_some(wire)
            );
        }
    }
}
