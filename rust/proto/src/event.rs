//! What a connection tells its driver and takes from it, the same for every codec.

use std::fmt;
use std::ops::{Deref, Range};

use bytes::Bytes;

use crate::fault::{FaultCode, Retry};
use crate::time::Time;

/// A message to send.
#[derive(Clone, Debug)]
pub enum Body<'a> {
    /// Copied into the output during the call.
    Borrowed(&'a [u8]),
    /// Kept, and copied fragment by fragment when its turn comes.
    Owned(Bytes),
}

impl Body<'_> {
    /// The bytes of the message.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }

    /// The same body, owned: free for `Owned`, a copy for `Borrowed`.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Borrowed(bytes) => Bytes::copy_from_slice(bytes),
            Self::Owned(bytes) => bytes,
        }
    }
}

/// A message or a text that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Bytes `start..end` of the `input` of the call that gave the event.
    Span {
        /// The first byte.
        start: u32,
        /// The byte after the last.
        end: u32,
    },
    /// A message put together from fragments, in an allocation of its own.
    Whole(Vec<u8>),
}

impl Payload {
    /// The empty payload.
    pub const EMPTY: Self = Self::Span { start: 0, end: 0 };

    /// The bytes, where `input` is the one of the call that gave the event.
    #[inline]
    #[must_use]
    pub fn as_slice<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Span { start, end } => &input[*start as usize..*end as usize],
            Self::Whole(bytes) => bytes,
        }
    }

    /// Bytes in it.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Span { start, end } => (end - start) as usize,
            Self::Whole(bytes) => bytes.len(),
        }
    }

    /// Whether it has no bytes.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Range<usize>> for Payload {
    /// A span. An input is never longer than `u32::MAX`: see [`crate::limits::INPUT_BYTES_MAX`].
    #[inline]
    fn from(range: Range<usize>) -> Self {
        Self::Span {
            start: range.start as u32,
            end: range.end as u32,
        }
    }
}

/// The metadata of a message: see [`crate::metadata`] for its pairs.
///
/// Behind one thin pointer, because few messages carry it and every event has room for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata(Box<Block>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Block {
    bytes: Box<[u8]>,
}

impl Metadata {
    /// The encoded pairs.
    #[must_use]
    pub fn into_boxed_slice(self) -> Box<[u8]> {
        self.0.bytes
    }
}

impl From<&[u8]> for Metadata {
    fn from(bytes: &[u8]) -> Self {
        Self(Box::new(Block {
            bytes: bytes.into(),
        }))
    }
}

impl Deref for Metadata {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0.bytes
    }
}

/// What happened, in the order it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer's HELLO is accepted.
    Greeted,
    /// The peer uses a subject number for the first time.
    SubjectAnnounced {
        /// Its number in what the peer sends.
        subject: u16,
    },
    /// The peer asks. Answer exactly once.
    Request {
        /// Names the request in `reply` and `fault`.
        id: u64,
        /// The peer's number of the subject.
        subject: u16,
        /// When the peer stops waiting.
        deadline: Option<Time>,
        /// The peer's metadata.
        metadata: Option<Metadata>,
        /// The message.
        payload: Payload,
    },
    /// The peer cancelled its request, or its deadline passed. Stop the work and still answer:
    /// that frees the slot, and what is answered is not told to anybody.
    Cancelled {
        /// The request.
        id: u64,
    },
    /// Our request is answered.
    Reply {
        /// The request's token.
        token: u64,
        /// The answer.
        payload: Payload,
    },
    /// Our request failed.
    Fault {
        /// The request's token.
        token: u64,
        /// Why.
        code: FaultCode,
        /// Whether asking again is safe.
        retry: Retry,
        /// In the peer's words, UTF-8.
        text: Payload,
    },
    /// The deadline of our request passed; the peer is being told.
    Expired {
        /// The request's token.
        token: u64,
    },
    /// A one-way message arrived.
    Send {
        /// The peer's number of the subject.
        subject: u16,
        /// The peer's metadata.
        metadata: Option<Metadata>,
        /// The message.
        payload: Payload,
    },
    /// The peer opened a stream.
    StreamOpened {
        /// Names the stream.
        id: u64,
        /// The peer's number of the subject.
        subject: u16,
        /// The peer's metadata.
        metadata: Option<Metadata>,
        /// What the stream was opened with; it spends no credit.
        payload: Payload,
    },
    /// A message on a stream.
    StreamData {
        /// The stream.
        id: u64,
        /// The message.
        payload: Payload,
    },
    /// The peer sends no more on this stream.
    StreamEnd {
        /// The stream.
        id: u64,
    },
    /// The peer gave the stream up, both ways. Nothing more is said of it.
    StreamReset {
        /// The stream.
        id: u64,
        /// Why.
        code: FaultCode,
        /// In the peer's words, UTF-8.
        text: Payload,
    },
    /// The peer's application has consumed this many of our messages on the stream.
    StreamAcknowledged {
        /// The stream.
        id: u64,
        /// Messages since the stream was opened.
        count: u64,
    },
    /// Sending on the stream may be tried again after a refusal.
    StreamRoom {
        /// The stream.
        id: u64,
    },
    /// Both sides have ended and all is consumed. Nothing more is said of this stream.
    StreamClosed {
        /// The stream.
        id: u64,
    },
    /// Sending on our subject may be tried again after a refusal.
    Room {
        /// Our number of the subject.
        subject: u16,
    },
    /// Asking may be tried again after a refusal.
    RequestRoom,
    /// The peer takes nothing new and finishes what runs.
    GoAway {
        /// Why.
        code: FaultCode,
        /// In the peer's words, UTF-8.
        text: Payload,
    },
}

/// Why a command was refused. Nothing was sent and nothing has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The peer's window is full; a room event says when to try again.
    NoCredit,
    /// The output is full; a room event says when to try again.
    WouldBlock,
    /// There is no such request, stream or subject, or it is already answered or ended.
    Unknown,
    /// The message is longer than the peer takes.
    Oversize {
        /// What it takes, in bytes.
        limit: u32,
    },
    /// The peer has no room for one more subject or stream, or a name is longer than
    /// [`crate::limits::SUBJECT_NAME_BYTES_MAX`].
    Limit,
    /// The metadata is not a well-formed list of pairs or is too long.
    BadMetadata,
    /// The connection is closed or closing.
    Closed,
    /// The peer has said that it takes nothing new.
    GoingAway,
    /// The protocol spoken here has no such thing; the text says what is missing.
    Unsupported(&'static str),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCredit => f.write_str("the peer's window is full"),
            Self::WouldBlock => f.write_str("the output is full"),
            Self::Unknown => f.write_str("no such request, stream or subject"),
            Self::Oversize { limit } => write!(f, "longer than the {limit} bytes the peer takes"),
            Self::Limit => f.write_str("the peer takes no more subjects or streams"),
            Self::BadMetadata => f.write_str("the metadata is not a short list of pairs"),
            Self::Closed => f.write_str("the connection is closed"),
            Self::GoingAway => f.write_str("the peer takes nothing new"),
            Self::Unsupported(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for SendError {}

const _: () = assert!(size_of::<Event>() <= 56);
