//! One ZT/1 connection.

use std::sync::Arc;

use crate::assembly::{Assembly, Pace};
use crate::error::{Error, Reason};
use crate::event::{Event, SendError};
use crate::fault::Retry;
use crate::frame::{Header, Kind, PREFACE, fault_body};
use crate::hello::{self, Hello, Settings};
use crate::limits::{OVERHEAD_BURST_MIN, OVERHEAD_PER_SECOND_MIN};
use crate::liveness::Liveness;
use crate::output::Output;
use crate::overhead::Overhead;
use crate::room::Room;
use crate::statistics::Statistics;
use crate::stream::Streams;
use crate::table::{Phase, Role, State};
use crate::time::Time;
use crate::{request, subjects};

mod admit;
mod command;
mod control;
mod credit;
mod deliver;
mod input;
mod message;
mod stream;
mod timeout;

/// One ZT/1 connection: bytes, commands and a time in; bytes, events and a next deadline out.
///
/// The driver mutates, drains and waits: it calls `handle_*` and commands, then takes all of
/// [`poll_output`](Self::poll_output), and only then waits, until
/// [`poll_timeout`](Self::poll_timeout). An error from `handle_*` ends the connection: the output
/// may hold one last frame that tells the peer why.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    settings: Arc<Settings>,
    /// The latest time that was told.
    now: Time,
    phase: Phase,
    /// Whether the preface has still to come.
    preface_due: bool,
    /// What holds for the peer: initial values until it has greeted.
    peer: Box<Hello>,
    greeted: bool,
    /// Whether the peer's bytes have ended.
    ended: bool,
    peer_leaves: bool,
    /// The GOAWAY of an acceptor that has not greeted yet.
    goaway_held: Option<Vec<u8>>,
    /// Why nothing new may be sent.
    refusal: Option<SendError>,
    output: Output,
    asked: request::Outgoing,
    taken: request::Incoming,
    subjects: subjects::Outgoing,
    announced: subjects::Incoming,
    streams: Streams,
    assembly: Assembly,
    /// What the peer may send without content.
    overhead: Overhead,
    /// How many streams the peer may reset.
    resets: Overhead,
    /// What we may send without content, at half the peer's tolerance.
    own_overhead: Overhead,
    liveness: Liveness,
    room: Room,
    /// Events that commands have caused.
    pending: Vec<Event>,
    statistics: Statistics,
    /// One-way messages of ours that the peer has consumed.
    confirmed: u64,
    /// Messages without content that arrived on subjects and streams.
    empties: u64,
    /// STREAM_RESET frames for streams that were gone.
    late_resets: u64,
}

impl Connection {
    /// A connection over bytes that begin `now`. A dialer has its preface and HELLO as output at
    /// once and may send within the initial windows.
    #[must_use]
    pub fn new(role: Role, settings: Arc<Settings>, now: Time) -> Self {
        let limits = &settings.limits;
        let pace = Pace {
            grace_ms: limits.assembly_grace_ms,
            bytes_per_second_min: limits.assembly_bytes_per_second_min,
        };
        let is_dialer = role == Role::Dialer;
        let mut connection = Self {
            role,
            now,
            phase: if is_dialer {
                Phase::DialerGreeting
            } else {
                Phase::AcceptorGreeting
            },
            preface_due: !is_dialer,
            peer: Box::new(Hello::initial()),
            greeted: false,
            ended: false,
            peer_leaves: false,
            goaway_held: None,
            refusal: (!is_dialer).then_some(SendError::Closed),
            output: Output::default(),
            asked: request::Outgoing::default(),
            taken: request::Incoming::default(),
            subjects: subjects::Outgoing::default(),
            announced: subjects::Incoming::default(),
            streams: Streams::new(role),
            assembly: Assembly::new(limits.assembly_bytes_max, pace),
            overhead: Overhead::new(limits.overhead_burst, limits.overhead_per_second, now),
            resets: Overhead::new(
                limits.overhead_burst.saturating_add(limits.streams_max),
                limits.overhead_per_second,
                now,
            ),
            own_overhead: Overhead::new(OVERHEAD_BURST_MIN / 2, OVERHEAD_PER_SECOND_MIN / 2, now),
            liveness: Liveness::new(limits, pace, now),
            room: Room::default(),
            pending: Vec::new(),
            statistics: Statistics::default(),
            confirmed: 0,
            empties: 0,
            late_resets: 0,
            settings,
        };
        if is_dialer {
            connection.output.put_preface(&PREFACE);
            connection.put_hello();
        }
        connection
    }

    fn put_hello(&mut self) {
        let body = hello::encode(&self.settings);
        self.output
            .put_control(Header::new(Kind::Hello, 0, 0, 0), &body);
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Closed => State::Closed,
            _ if !self.greeted => State::Greeting,
            Phase::Leaving => State::Draining,
            _ if self.peer_leaves || self.ended => State::Draining,
            _ => State::Open,
        }
    }

    /// Which side this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// What the peer said of itself, once its HELLO is accepted.
    #[must_use]
    pub fn peer(&self) -> Option<&Hello> {
        self.greeted.then_some(&self.peer)
    }

    /// The name of a subject that the peer uses, empty when it has not announced that number.
    #[must_use]
    pub fn peer_subject(&self, subject: u16) -> &str {
        self.announced.name(subject)
    }

    /// Our requests for whose answer somebody waits.
    #[must_use]
    pub const fn outstanding(&self) -> usize {
        self.asked.waiting() as usize
    }

    /// The connection is lost: every token that waits, and whether asking again is safe. A
    /// request of which no byte has left [`poll_output`](Self::poll_output) was not started.
    pub fn take_outstanding(&mut self) -> Vec<(u64, Retry)> {
        self.asked.take_waiting(self.output.taken())
    }

    /// The id of the request with this token. It looks at all requests.
    #[must_use]
    pub fn find_token(&self, token: u64) -> Option<u64> {
        self.asked.find_token(token)
    }

    /// Whether nothing is in flight either way and nothing waits to be sent. What the peer can no
    /// longer answer because its bytes have ended does not count.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let open = self.asked.in_flight() + self.streams.open_count();
        (self.ended || open == 0) && self.taken.running() == 0 && self.output.is_empty()
    }

    /// Bytes of memory held for output.
    #[must_use]
    pub fn output_capacity(&self) -> usize {
        self.output.capacity()
    }

    /// The counters.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let window = self.peer.request_window();
        let mut statistics = self.statistics;
        statistics.sent.wire_bytes = self.output.taken_all();
        statistics.unconfirmed = statistics.sent.sends.messages - self.confirmed;
        statistics.requests_in_flight = self.asked.in_flight().into();
        statistics.requests_running = self.taken.running().into();
        statistics.request_credit = (window.count - self.asked.in_flight()).into();
        statistics.request_credit_bytes = window.bytes - self.asked.bytes();
        statistics.streams_open = self.streams.open_count().into();
        statistics.assembly_bytes = self.assembly.announced();
        statistics.output_bytes = self.output.bytes() as u64;
        statistics.rtt_ns = self.liveness.rtt_ns();
        statistics
    }

    /// Ends the connection because the layer above or below found the peer at fault. The peer is
    /// told, and nothing else is said to one that has not been answered yet.
    pub fn refuse(&mut self, error: &Error) {
        if self.phase != Phase::Closed {
            if self.role == Role::Acceptor && self.output.taken_all() == 0 {
                self.output.drop_all();
            }
            self.fail(error);
        }
    }

    /// Ends the connection. The peer is told, unless it was the peer who told us.
    #[cold]
    fn fail(&mut self, error: &Error) {
        if self.greeted || self.role == Role::Dialer {
            self.output.drop_messages();
        } else {
            self.output.drop_all();
        }
        if error.kind() != Reason::PeerFault && !error.is_from_peer() {
            let body = fault_body(error.code(), Retry::Unknown, error.detail());
            self.output
                .put_control(Header::new(Kind::Fault, 0, 0, 0), &body);
        }
        self.phase = Phase::Closed;
        self.refusal = Some(SendError::Closed);
        self.pending.clear();
        self.room = Room::default();
    }

    /// A frame for an id that is unknown, answered or foreign.
    #[cold]
    fn ignore(&mut self) -> Result<(), Error> {
        self.statistics.ignored_ids += 1;
        if self.statistics.ignored_ids > self.settings.limits.unknown_ids_max.into() {
            return Err(Error::new(
                Reason::UnknownIds,
                "too many frames for unknown ids",
            ));
        }
        Ok(())
    }

    /// A frame that carries nothing.
    fn spend_overhead(&mut self) -> Result<(), Error> {
        if self.overhead.spend(self.now, self.frames_with_content()) {
            return Ok(());
        }
        Err(Error::new(Reason::Flood, "too many frames without content"))
    }

    fn spend_reset(&mut self) -> Result<(), Error> {
        if self.resets.spend(self.now, self.frames_with_content()) {
            return Ok(());
        }
        Err(Error::new(Reason::Flood, "too many streams are reset"))
    }

    fn frames_with_content(&self) -> u64 {
        let received = &self.statistics.received;
        let messages = received.requests.messages
            + received.replies.messages
            + received.sends.messages
            + received.streams.messages;
        messages - self.empties
    }
}
