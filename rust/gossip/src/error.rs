//! What can be wrong, by whose fault it is.

use std::fmt;

/// Our own program asked for something that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// Neither a key nor an explicit `none` was given.
    NoSealing,
    /// Both a key and `none` were given.
    KeyAndNone,
    /// The word for the sealing is not known.
    UnknownSealing(String),
    /// A key has the wrong length, in bytes.
    KeyLength(usize),
    /// A name is empty or too long, in bytes.
    NameLength(usize),
    /// Properties break a rule.
    Properties(&'static str),
    /// A setting is out of its range: name, value, least, greatest.
    OutOfRange(&'static str, u64, u64, u64),
    /// The key epoch is installed already, or not one above the newest.
    Epoch(u8),
    /// A rotation has not ended yet.
    RotationRuns,
    /// Gossip is not sealed, so that there is no key to rotate.
    NotSealed,
    /// The member has left or lost its name; it does nothing any more.
    Departed,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSealing => f.write_str(
                "gossip needs a key: give one, or say sealing=\"none\" to send in the clear",
            ),
            Self::KeyAndNone => {
                f.write_str("a key and sealing=\"none\" exclude each other: give one of them")
            }
            Self::UnknownSealing(word) => write!(
                f,
                "there is no sealing {word:?}: choose \"cluster-key\" or \"none\""
            ),
            Self::KeyLength(bytes) => write!(f, "a key has 32 bytes, this one has {bytes}"),
            Self::NameLength(bytes) => {
                write!(f, "a name has 1 to 255 bytes, this one has {bytes}")
            }
            Self::Properties(rule) => write!(f, "the properties cannot be sent: {rule}"),
            Self::OutOfRange(name, value, min, max) => {
                write!(f, "{name} is {value}: choose {min} to {max}")
            }
            Self::Epoch(epoch) => write!(
                f,
                "key epoch {epoch} cannot follow: give the epoch one above the newest (mod 256)"
            ),
            Self::RotationRuns => f.write_str(
                "a rotation still runs: wait until all members are ready, or remove laggards",
            ),
            Self::NotSealed => f.write_str("gossip is not sealed: there is no key to rotate"),
            Self::Departed => f.write_str("this member has left the cluster: make a new one"),
        }
    }
}

impl std::error::Error for Misuse {}

/// Why a datagram was dropped. Nothing of it had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Drop {
    /// Shorter than an envelope or longer than taken.
    Length,
    /// Another magic byte, version, kind or flag.
    Header,
    /// A key epoch that is not installed.
    Epoch,
    /// It says that we sent it.
    Reflected,
    /// It came before, or is older than the replay window.
    Replay,
    /// Its sender is gone for good.
    Retired,
    /// Too many datagrams from unknown senders.
    Unknown,
    /// The tag does not fit: forged, or sealed for somebody else.
    Forged,
    /// Its body breaks a rule of the codec.
    Malformed,
    /// More senders than members are allowed, or an answer although nobody was greeted.
    Stranger,
    /// Too many greetings in a short time.
    Greetings,
    /// This member has left.
    Departed,
}

impl Drop {
    /// All reasons in the order of their counters.
    pub const ALL: [Self; 12] = [
        Self::Length,
        Self::Header,
        Self::Epoch,
        Self::Reflected,
        Self::Replay,
        Self::Retired,
        Self::Unknown,
        Self::Forged,
        Self::Malformed,
        Self::Stranger,
        Self::Greetings,
        Self::Departed,
    ];

    /// The name of the counter for this reason.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Header => "header",
            Self::Epoch => "epoch",
            Self::Reflected => "reflected",
            Self::Replay => "replay",
            Self::Retired => "retired",
            Self::Unknown => "unknown_sender",
            Self::Forged => "forged",
            Self::Malformed => "malformed",
            Self::Stranger => "stranger",
            Self::Greetings => "greetings",
            Self::Departed => "departed",
        }
    }
}

impl fmt::Display for Drop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "datagram dropped: {}", self.name())
    }
}

impl std::error::Error for Drop {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_counter() {
        for (index, reason) in Drop::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
        }
    }

    #[test]
    fn misuse_says_what_to_do() {
        assert!(Misuse::NoSealing.to_string().contains("sealing=\"none\""));
        let text = Misuse::OutOfRange("helpers", 99, 0, 16).to_string();
        assert_eq!(text, "helpers is 99: choose 0 to 16");
    }
}
