//! What one turn hands to the binding.

use ztransport_proto::event::{Event, Payload};
use ztransport_proto::fault::Retry;

use crate::error::Failure;
use crate::keys::{NodeKey, PeerKey};

/// What happened to a peer besides messages.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A new peer came in through a listener and has greeted.
    Accepted,
    /// A listener of the node has turned a dialer away, or was turned away by it.
    Refused {
        /// Why.
        error: Failure,
    },
    /// A dialled peer has greeted, for the first time or again.
    Up,
    /// This peer takes the place of another, whose connection is being replaced: what is begun
    /// from now on is begun here. What was begun under the old key ends there, before its `Down`.
    Replaced {
        /// The old key.
        old: PeerKey,
    },
    /// One-way messages may be sent again after a refusal.
    Room,
    /// The first dial failed: the key is dead.
    ConnectFailed {
        /// Why.
        error: Failure,
    },
    /// A waiting call ends without an answer.
    Failed {
        /// The call's token.
        token: u64,
        /// Whether it may be sent again without doing its work twice.
        retry: Retry,
        /// Why.
        error: Failure,
    },
    /// The connection is gone.
    Down {
        /// Why; none after an orderly end.
        error: Option<Failure>,
        /// Whether the key is dead; if not, the peer is being re-dialled.
        gone: bool,
    },
    /// The host loop must look up this name and call `resolved`.
    Resolve {
        /// The host name.
        host: String,
        /// The port the addresses should carry.
        port: u16,
    },
    /// The host loop must look up this seed of a membership and call `resolved_seed`.
    ResolveSeed {
        /// The host name.
        host: String,
        /// The port the addresses should carry.
        port: u16,
    },
    /// Something has changed in the node's membership: call `take_members`.
    Members,
    /// A draining node has nothing in flight any more.
    Drained,
}

/// What a call of `poll` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Nothing is left: wait for the descriptor.
    Idle,
    /// The batch holds work: do it and poll again.
    Work,
    /// The turn is used up: let others run, then poll again without waiting.
    Yield,
}

/// Notices and messages of one peer, and the bytes the messages lie in.
#[derive(Debug)]
pub struct Batch {
    /// Whose they are.
    pub peer: PeerKey,
    /// The node the peer belongs to.
    pub node: NodeKey,
    /// Handle these first, in order.
    pub notices: Vec<Notice>,
    /// Then these, in order.
    pub events: Vec<Event>,
    /// Plaintext as read; what lies before `parsed` has become events.
    pub(crate) input: Vec<u8>,
    /// Where the span of an event's payload counts from.
    pub(crate) base: usize,
    pub(crate) parsed: usize,
    /// The link the unparsed rest belongs to, by slot and serial.
    pub(crate) link: Option<(u32, u32)>,
}

impl Batch {
    /// An empty batch; one is enough for an engine's life.
    #[must_use]
    pub fn new() -> Batch {
        Batch {
            peer: PeerKey::default(),
            node: NodeKey::default(),
            notices: Vec::new(),
            events: Vec::new(),
            input: Vec::new(),
            base: 0,
            parsed: 0,
            link: None,
        }
    }

    /// The bytes of an event's payload.
    #[must_use]
    pub fn bytes<'a>(&'a self, payload: &'a Payload) -> &'a [u8] {
        match payload {
            Payload::Span { start, end } => {
                &self.input[self.base + *start as usize..self.base + *end as usize]
            }
            Payload::Whole(bytes) => bytes,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.notices.is_empty() && self.events.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.notices.clear();
        self.events.clear();
    }

    pub(crate) fn unparsed(&self) -> &[u8] {
        &self.input[self.parsed..]
    }
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::new()
    }
}
