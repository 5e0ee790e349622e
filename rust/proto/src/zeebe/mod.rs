//! Zeebe's cluster messaging, the second codec: what Zeebe 8.x brokers and gateways say to each
//! other over TCP, in both roles and both versions.
//!
//! A connection has one direction: its dialer asks and its acceptor answers. The protocol has no
//! window, no limit and no way to cancel; all bounds here are one's own. The rules stand in
//! docs/WIRE.md from W-70 on.

use std::sync::Arc;

use crate::event::SendError;
use crate::fault::Retry;
use crate::hello::{Hello, Settings};
use crate::limits::ZEEBE_HANDSHAKE_BYTES;
use crate::room::Room;
use crate::statistics::Statistics;
use crate::table::{Role, State};
use crate::time::Time;

mod asked;
mod command;
mod compression;
mod deliver;
mod heartbeat;
mod input;
mod names;
mod output;
mod pulse;
mod served;
mod timeout;
mod wire;

pub use compression::Compression;
pub use wire::{Version, preamble};

use asked::Asked;
use compression::Unpacker;
use heartbeat::Heartbeat;
use input::Partial;
use names::Names;
use output::Output;
use pulse::Pulse;
use served::Served;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The peer's handshake is still to come.
    Greeting,
    /// Requests and replies.
    Open,
    /// Over, by an error.
    Closed,
}

/// One Zeebe connection, driven like [`crate::Connection`]: mutate, drain, wait.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    settings: Arc<Settings>,
    /// The latest time that was told.
    now: Time,
    stage: Stage,
    version: Version,
    /// What holds for the peer; its address is what it declares.
    peer: Hello,
    /// Whether the peer's address block has still to come.
    address_due: bool,
    /// Whether ours was sent.
    address_sent: bool,
    /// Whether the peer's bytes have ended.
    ended: bool,
    /// Whether nothing new is taken.
    leaving: bool,
    /// Whether a request of the peer has to wait for room.
    full: bool,
    unpacker: Option<Unpacker>,
    /// Unpacked bytes that were not parsed yet.
    unpacked: Vec<u8>,
    partial: Option<Partial>,
    /// Frames that have begun, for telling a slow one from the next.
    frames: u64,
    output: Output,
    asked: Asked,
    served: Served,
    names: Names,
    peer_names: Names,
    heartbeat: Heartbeat,
    pulse: Pulse,
    room: Room,
    statistics: Statistics,
}

impl Connection {
    /// A connection over bytes that begin `now`. A dialer has its handshake as output at once and
    /// may ask as soon as it is answered.
    #[must_use]
    pub fn new(role: Role, settings: Arc<Settings>, compression: Compression, now: Time) -> Self {
        let limits = &settings.limits;
        let mut connection = Self {
            role,
            now,
            stage: Stage::Greeting,
            version: Version::LATEST,
            peer: Hello::initial(),
            address_due: true,
            address_sent: false,
            ended: false,
            leaving: false,
            full: false,
            unpacker: Unpacker::new(compression, limits.zeebe_message_bytes_max.into()),
            unpacked: Vec::new(),
            partial: None,
            frames: 0,
            output: Output::new(compression, ZEEBE_HANDSHAKE_BYTES),
            asked: Asked::default(),
            served: Served::default(),
            names: Names::default(),
            peer_names: Names::default(),
            heartbeat: Heartbeat::default(),
            pulse: Pulse::new(limits, now),
            room: Room::default(),
            statistics: Statistics::default(),
            settings,
        };
        if role == Role::Dialer {
            connection.put_handshake();
        }
        connection
    }

    fn put_handshake(&mut self) {
        let handshake = wire::handshake(&self.settings.cluster, self.version);
        self.output.end().extend_from_slice(&handshake);
    }

    /// Where the connection stands.
    #[must_use]
    pub fn state(&self) -> State {
        match self.stage {
            Stage::Closed => State::Closed,
            Stage::Greeting => State::Greeting,
            Stage::Open if self.leaving || self.ended => State::Draining,
            Stage::Open => State::Open,
        }
    }

    /// Which side this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// What the peer said of itself: its declared address, once its first message has come.
    #[must_use]
    pub fn peer(&self) -> Option<&Hello> {
        (self.stage == Stage::Open).then_some(&self.peer)
    }

    /// The name of a subject that the peer uses, empty when there is none of that number.
    #[must_use]
    pub fn peer_subject(&self, subject: u16) -> &str {
        self.peer_names.name(subject)
    }

    /// Our requests for whose answer somebody waits.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.asked.len()
    }

    /// The connection is lost: every token that waits, and whether asking again is safe.
    pub fn take_outstanding(&mut self) -> Vec<(u64, Retry)> {
        self.asked.take_waiting(self.output.taken())
    }

    /// The id of the request with this token. It looks at all requests.
    #[must_use]
    pub fn find_token(&self, token: u64) -> Option<u64> {
        self.asked.find_token(token)
    }

    /// Whether nothing is in flight either way and nothing waits to be sent.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        let is_answered = self.ended || self.asked.len() == 0;
        is_answered && self.served.running() == 0 && self.output.bytes() == 0
    }

    /// Whether requests wait for room: the driver stops reading until this is over, and then gives
    /// the input again that was not consumed.
    #[inline]
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Bytes of memory held for output.
    #[must_use]
    pub fn output_capacity(&self) -> usize {
        self.output.capacity()
    }

    /// The counters. Nothing confirms a one-way message here: all of them count as unconfirmed.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        let mut statistics = self.statistics;
        statistics.sent.wire_bytes = self.output.wire_bytes();
        statistics.unconfirmed = statistics.sent.sends.messages;
        statistics.requests_in_flight = self.asked.len() as u64;
        statistics.requests_running = self.served.running() as u64;
        statistics.assembly_bytes = self.partial.as_ref().map_or(0, Partial::announced);
        statistics.output_bytes = self.output.bytes() as u64;
        statistics
    }

    /// Ends the connection because the layer below found the peer at fault. There is no frame that
    /// could tell the peer.
    pub fn refuse(&mut self) {
        self.fail();
    }

    #[cold]
    fn fail(&mut self) {
        self.output.clear();
        self.stage = Stage::Closed;
        (self.partial, self.unpacked, self.full) = (None, Vec::new(), false);
        self.room = Room::default();
    }

    /// Why nothing can be asked or sent here, if so.
    fn refusal(&self) -> Option<SendError> {
        match self.stage {
            _ if self.role == Role::Acceptor => Some(SendError::Unsupported(
                "a Zeebe peer that has dialled is answered and not asked: dial it to ask it",
            )),
            Stage::Open if !self.ended => None,
            _ => Some(SendError::Closed),
        }
    }
}
