//! Which protocol a connection speaks: one of the codecs behind the same events and commands, found
//! by the first bytes where it is not known before.

use std::sync::Arc;

use crate::connection::Connection;
use crate::error::Error;
use crate::event::{Body, Event, SendError};
use crate::fault::{FaultCode, Retry};
use crate::hello::{Hello, Settings};
use crate::statistics::Statistics;
use crate::table::{Role, State};
use crate::time::Time;
use crate::zeebe::{self, Compression};

const NO_STREAMS: SendError = SendError::Unsupported("Zeebe's protocol has no streams");

/// What a new connection may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// ZT/1 and nothing else.
    Zt,
    /// Zeebe's protocol and nothing else.
    Zeebe(Compression),
    /// Either, told by the first bytes of the dialer. Only for acceptors.
    Both(Compression),
}

/// A connection of either protocol.
#[derive(Debug)]
pub enum Dialect {
    /// ZT/1.
    Zt(Connection),
    /// Zeebe's protocol.
    Zeebe(Box<zeebe::Connection>),
    /// An acceptor that has not read enough to know. It keeps the time as ZT/1 does.
    Undecided(Connection, Box<Undecided>),
}

/// What a connection is made from once its protocol is known.
#[derive(Debug)]
pub struct Undecided {
    settings: Arc<Settings>,
    compression: Compression,
    began: Time,
}

/// Calls the codec. Until it is known which one speaks, ZT/1 stands in.
macro_rules! each {
    ($dialect:expr, $codec:ident => $call:expr) => {
        match $dialect {
            Dialect::Zt($codec) | Dialect::Undecided($codec, _) => $call,
            Dialect::Zeebe($codec) => $call,
        }
    };
}

/// Calls the codec where the two differ.
macro_rules! which {
    ($dialect:expr, $codec:ident => $zt:expr, $zeebe:expr) => {
        match $dialect {
            Dialect::Zt($codec) | Dialect::Undecided($codec, _) => $zt,
            Dialect::Zeebe($codec) => $zeebe,
        }
    };
}

impl Dialect {
    /// A connection over bytes that begin `now`.
    #[must_use]
    pub fn new(role: Role, door: Door, settings: Arc<Settings>, now: Time) -> Self {
        match door {
            Door::Zt => Self::Zt(Connection::new(role, settings, now)),
            Door::Zeebe(compression) => Self::zeebe(role, settings, compression, now),
            Door::Both(compression) => {
                let zt = Connection::new(role, Arc::clone(&settings), now);
                let undecided = Undecided {
                    settings,
                    compression,
                    began: now,
                };
                Self::Undecided(zt, Box::new(undecided))
            }
        }
    }

    fn zeebe(role: Role, settings: Arc<Settings>, compression: Compression, now: Time) -> Self {
        Self::Zeebe(Box::new(zeebe::Connection::new(
            role,
            settings,
            compression,
            now,
        )))
    }

    /// Takes bytes, as [`Connection::handle_input`] does. Bytes that leave open which protocol they
    /// begin are not consumed.
    #[inline]
    pub fn handle_input(
        &mut self,
        now: Time,
        input: &[u8],
        events: &mut Vec<Event>,
        events_max: usize,
    ) -> Result<usize, Error> {
        if matches!(self, Self::Undecided(..)) {
            self.decide(input);
        }
        match self {
            Self::Zt(codec) => codec.handle_input(now, input, events, events_max),
            Self::Zeebe(codec) => codec.handle_input(now, input, events, events_max),
            Self::Undecided(..) => Ok(0),
        }
    }

    /// Zeebe's preamble is compared whole first: it may begin like anything else (W-70).
    #[cold]
    fn decide(&mut self, input: &[u8]) {
        let Self::Undecided(zt, undecided) = self else {
            return;
        };
        let preamble = zeebe::preamble(&undecided.settings.cluster);
        let (role, began) = (zt.role(), undecided.began);
        let settings = Arc::clone(&undecided.settings);
        if input.starts_with(&preamble) {
            *self = Self::zeebe(role, settings, undecided.compression, began);
        } else if !preamble.starts_with(input) {
            *self = Self::Zt(Connection::new(role, settings, began));
        }
    }

    /// The peer has ended its bytes; `leftover` of them were not consumed.
    pub fn handle_end(
        &mut self,
        now: Time,
        leftover: usize,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        each!(self, codec => codec.handle_end(now, leftover, events))
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time, events: &mut Vec<Event>) -> Result<(), Error> {
        each!(self, codec => codec.handle_timeout(now, events))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    #[inline]
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        each!(self, codec => codec.poll_timeout())
    }

    /// The next bytes to send; empty means that nothing waits.
    #[inline]
    pub fn poll_output(&mut self, now: Time) -> &[u8] {
        each!(self, codec => codec.poll_output(now))
    }

    /// What [`poll_output`](Self::poll_output) gave last is on its way.
    #[inline]
    pub fn consume_output(&mut self) {
        each!(self, codec => codec.consume_output());
    }

    /// Bytes that wait to be sent.
    #[inline]
    #[must_use]
    pub fn output_bytes(&self) -> usize {
        each!(self, codec => codec.output_bytes())
    }

    /// Whether reading must stop until there is room. ZT/1's peers keep to windows instead.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Zeebe(codec) => codec.is_full(),
            Self::Zt(_) | Self::Undecided(..) => false,
        }
    }

    /// Whether this side, once it takes nothing new, closes by itself when all is done. A ZT/1 peer
    /// is told, and closes.
    #[must_use]
    pub fn leaves_alone(&self) -> bool {
        matches!(self, Self::Zeebe(_))
    }

    /// The name of the protocol: `zt/1` or `zeebe`.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match self {
            Self::Zeebe(_) => "zeebe",
            Self::Zt(_) | Self::Undecided(..) => "zt/1",
        }
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> State {
        each!(self, codec => codec.state())
    }

    /// What the peer said of itself, once it has greeted.
    #[must_use]
    pub fn peer(&self) -> Option<&Hello> {
        each!(self, codec => codec.peer())
    }

    /// The name of a subject that the peer uses.
    #[inline]
    #[must_use]
    pub fn peer_subject(&self, subject: u16) -> &str {
        each!(self, codec => codec.peer_subject(subject))
    }

    /// Our requests for whose answer somebody waits.
    #[inline]
    #[must_use]
    pub fn outstanding(&self) -> usize {
        each!(self, codec => codec.outstanding())
    }

    /// The connection is lost: every token that waits, and whether asking again is safe.
    pub fn take_outstanding(&mut self) -> Vec<(u64, Retry)> {
        each!(self, codec => codec.take_outstanding())
    }

    /// The id of the request with this token.
    #[must_use]
    pub fn find_token(&self, token: u64) -> Option<u64> {
        each!(self, codec => codec.find_token(token))
    }

    /// Whether nothing is in flight either way and nothing waits to be sent.
    #[inline]
    #[must_use]
    pub fn is_drained(&self) -> bool {
        each!(self, codec => codec.is_drained())
    }

    /// The counters.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        each!(self, codec => codec.statistics())
    }

    /// Ends the connection because the layer below found the peer at fault.
    pub fn refuse(&mut self, error: &Error) {
        which!(self, codec => codec.refuse(error), codec.refuse());
    }

    /// Our number of a subject.
    #[inline]
    pub fn subject(&mut self, name: &str) -> Result<u16, SendError> {
        each!(self, codec => codec.subject(name))
    }

    /// Asks the peer.
    #[inline]
    pub fn request(
        &mut self,
        now: Time,
        subject: u16,
        body: Body<'_>,
        deadline: Option<Time>,
        metadata: &[u8],
        token: u64,
    ) -> Result<u64, SendError> {
        which!(self,
            codec => codec.request(now, subject, body, deadline, metadata, token),
            codec.request(now, subject, &body, deadline, metadata, token))
    }

    /// Cancels our request. Returns the token, or `None` when nobody waited.
    pub fn cancel(&mut self, now: Time, id: u64) -> Option<u64> {
        each!(self, codec => codec.cancel(now, id))
    }

    /// Tells the peer, where that can be told, that nobody waits for any answer.
    pub fn cancel_all(&mut self, now: Time) {
        if let Some(codec) = self.zt() {
            codec.cancel_all(now);
        }
    }

    /// Answers a request of the peer.
    #[inline]
    pub fn reply(&mut self, id: u64, body: Body<'_>) -> Result<(), SendError> {
        which!(self, codec => codec.reply(id, body), codec.reply(id, &body))
    }

    /// Answers a request of the peer with a failure. Zeebe has no word for `retry`.
    pub fn fault(
        &mut self,
        id: u64,
        code: FaultCode,
        retry: Retry,
        text: &str,
    ) -> Result<(), SendError> {
        which!(self, codec => codec.fault(id, code, retry, text), codec.fault(id, code, text))
    }

    /// Sends a one-way message.
    #[inline]
    pub fn send(&mut self, subject: u16, body: Body<'_>, metadata: &[u8]) -> Result<(), SendError> {
        which!(self,
            codec => codec.send(subject, body, metadata),
            codec.send(subject, &body, metadata))
    }

    /// Takes a request of the peer as a one-way message, where the protocol does not tell them
    /// apart; `false` where it does.
    pub fn take_as_send(&mut self, id: u64) -> bool {
        match self {
            Self::Zeebe(codec) => codec.take_as_send(id),
            Self::Zt(_) | Self::Undecided(..) => false,
        }
    }

    /// The application has consumed one-way messages.
    #[inline]
    pub fn release_subject(&mut self, subject: u16, count: u32, bytes: u64) {
        which!(self,
            codec => codec.release_subject(subject, count, bytes),
            codec.release_subject(count, bytes));
    }

    /// Tells the peer now what has been consumed on a subject.
    pub fn flush_credit(&mut self, subject: u16) {
        if let Some(codec) = self.zt() {
            codec.flush_credit(subject);
        }
    }

    /// Takes nothing new from now on.
    pub fn goaway(&mut self, code: FaultCode, text: &str) {
        which!(self, codec => codec.goaway(code, text), codec.goaway());
    }

    /// Opens a stream.
    pub fn open_stream(
        &mut self,
        now: Time,
        subject: u16,
        body: Body<'_>,
        metadata: &[u8],
    ) -> Result<u64, SendError> {
        let codec = self.zt().ok_or(NO_STREAMS)?;
        codec.open_stream(now, subject, body, metadata)
    }

    /// Sends a message on a stream.
    #[inline]
    pub fn stream_send(&mut self, id: u64, body: Body<'_>) -> Result<(), SendError> {
        let codec = self.zt().ok_or(NO_STREAMS)?;
        codec.stream_send(id, body)
    }

    /// Says that this side sends no more on a stream.
    pub fn stream_finish(&mut self, id: u64) -> Result<(), SendError> {
        let codec = self.zt().ok_or(NO_STREAMS)?;
        codec.stream_finish(id)
    }

    /// Gives a stream up, both ways.
    pub fn stream_reset(&mut self, id: u64, code: FaultCode, text: &str) {
        if let Some(codec) = self.zt() {
            codec.stream_reset(id, code, text);
        }
    }

    /// The application has consumed messages of a stream.
    #[inline]
    pub fn release_stream(&mut self, id: u64, count: u32, bytes: u64) {
        if let Some(codec) = self.zt() {
            codec.release_stream(id, count, bytes);
        }
    }

    /// Tells the peer now what has been consumed on a stream.
    pub fn flush_credit_stream(&mut self, id: u64) {
        if let Some(codec) = self.zt() {
            codec.flush_credit_stream(id);
        }
    }

    #[inline]
    fn zt(&mut self) -> Option<&mut Connection> {
        match self {
            Self::Zt(codec) | Self::Undecided(codec, _) => Some(codec),
            Self::Zeebe(_) => None,
        }
    }
}
