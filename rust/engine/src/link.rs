//! One live connection: a socket, a filter and the protocol on top.

use std::net::IpAddr;

use ztransport_proto::Dialect;
use ztransport_proto::dialect::Door;
use ztransport_proto::table::Role;
use ztransport_proto::time::Time;

use crate::error::{Failure, FailureKind};
use crate::filter::Filter;
use crate::limits::SEAL_AHEAD_BYTES_MAX;
use crate::socket::Socket;

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The TCP handshake is under way.
    Connecting,
    /// The TLS handshake is under way.
    Handshaking,
    /// The protocol runs: greeting, open or draining.
    Open,
    /// Everything was said: what still arrives is read and discarded until the peer is gone too.
    Lingering,
}

/// A connection and its buffers.
pub(crate) struct Link {
    pub(crate) socket: Socket,
    pub(crate) filter: Filter,
    /// Exists from the end of the TLS handshake on.
    pub(crate) codec: Option<Dialect>,
    /// What the codec may turn out to be.
    pub(crate) door: Door,
    pub(crate) phase: Phase,
    pub(crate) role: Role,
    pub(crate) serial: u32,
    pub(crate) node: u32,
    /// None once the peer is gone and the link only lingers.
    pub(crate) peer: Option<u32>,
    /// The peer's address, for counting handshakes by source.
    pub(crate) source: Option<IpAddr>,
    /// Opened bytes that do not make a whole frame yet.
    pub(crate) carry: Vec<u8>,
    /// Whether anything has arrived: the first bytes tell TLS from plaintext.
    pub(crate) heard: bool,
    /// Whether output waits for the end of the turn.
    pub(crate) dirty: bool,
    /// Whether the poller watches for room to write.
    pub(crate) watching: bool,
    /// Since when the socket takes nothing.
    pub(crate) blocked_since: Option<Time>,
    /// When the present phase must have ended.
    pub(crate) phase_deadline: Option<Time>,
    /// The wake-up that is scheduled for this link.
    pub(crate) wake_at: Option<Time>,
    pub(crate) greeted: bool,
    /// When it must be replaced, because of its age.
    pub(crate) retire_at: Option<Time>,
    /// When the peer's certificate ends, if the link should end with it.
    pub(crate) expire_at: Option<Time>,
    /// Why it is being replaced, as a reason to count.
    pub(crate) retired: Option<&'static str>,
    /// Whether what is new waits for the next connection.
    pub(crate) is_closed_to_new: bool,
    /// Whether its node counts this link among the unproven.
    pub(crate) counted_unproven: bool,
    /// Whether the codec has no room for more input: nothing is read until it has.
    pub(crate) paused: bool,
    /// Whether the peer has ended its side: nothing more will be read.
    pub(crate) ended: bool,
    /// Whether the peer has said GOAWAY: the link closes when what runs has ended.
    pub(crate) leaving: bool,
    /// Whether our side has been closed for writing.
    pub(crate) finished: bool,
    /// What will be told when the link has ended.
    pub(crate) failure: Option<Failure>,
    pub(crate) lingered_bytes: usize,
    /// The greatest number of the peer's subjects that was looked at for sealed datagrams.
    pub(crate) subjects_seen: u16,
    /// The number of the subject of sealed datagrams.
    pub(crate) sealed_subject: Option<u16>,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
}

/// Whether a flush wrote everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    All,
    Blocked,
}

impl Link {
    pub(crate) fn new(socket: Socket, filter: Filter, role: Role, node: u32, serial: u32) -> Link {
        Link {
            socket,
            filter,
            codec: None,
            door: Door::Zt,
            phase: Phase::Handshaking,
            role,
            serial,
            node,
            peer: None,
            source: None,
            carry: Vec::new(),
            heard: false,
            dirty: false,
            watching: false,
            blocked_since: None,
            phase_deadline: None,
            wake_at: None,
            greeted: false,
            retire_at: None,
            expire_at: None,
            retired: None,
            is_closed_to_new: false,
            counted_unproven: false,
            paused: false,
            ended: false,
            leaving: false,
            finished: false,
            failure: None,
            lingered_bytes: 0,
            subjects_seen: 0,
            sealed_subject: None,
            bytes_received: 0,
            bytes_sent: 0,
        }
    }

    /// Seals and writes until nothing is left or the socket is full.
    ///
    /// Sealing happens only when the socket has taken everything before, so what is sealed but not
    /// written stays bounded and a blocked connection gathers its small messages into few records.
    pub(crate) fn flush(&mut self, now: Time) -> Result<Flushed, Failure> {
        loop {
            if self.filter.pending_bytes() == 0 && !self.seal(now)? {
                self.blocked_since = None;
                return Ok(Flushed::All);
            }
            if self.write(now)? == Flushed::Blocked {
                return Ok(Flushed::Blocked);
            }
        }
    }

    /// Returns whether anything was sealed.
    fn seal(&mut self, now: Time) -> Result<bool, Failure> {
        if self.filter.is_handshaking() || self.finished {
            return Ok(false);
        }
        let Some(codec) = &mut self.codec else {
            return Ok(false);
        };
        while self.filter.pending_bytes() < SEAL_AHEAD_BYTES_MAX {
            let output = codec.poll_output(now);
            if output.is_empty() {
                break;
            }
            self.filter
                .seal(output)
                .map_err(|error| Failure::tls(&error))?;
            codec.consume_output();
        }
        Ok(self.filter.pending_bytes() > 0)
    }

    fn write(&mut self, now: Time) -> Result<Flushed, Failure> {
        let waiting = self.filter.pending_bytes();
        match self.filter.write_to(&mut &self.socket) {
            Ok(count) => {
                self.bytes_sent += count as u64;
                self.blocked_since = None;
                Ok(if count < waiting {
                    self.block(now)
                } else {
                    Flushed::All
                })
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(self.block(now)),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(Flushed::All),
            Err(error) => Err(Failure::new(
                FailureKind::ConnectionLost,
                format!("the connection broke while writing: {error}"),
            )),
        }
    }

    fn block(&mut self, now: Time) -> Flushed {
        self.blocked_since.get_or_insert(now);
        Flushed::Blocked
    }

    /// When this link must be looked at even if nothing arrives.
    pub(crate) fn deadline(&self, write_stall_nanos: u64) -> Option<Time> {
        let codec = self.codec.as_ref().and_then(Dialect::poll_timeout);
        let stalled = self
            .blocked_since
            .map(|since| since.after_nanos(write_stall_nanos));
        let ends = [self.phase_deadline, self.retire_at, self.expire_at];
        let deadlines = [codec, stalled].into_iter().chain(ends);
        deadlines.flatten().min()
    }

    /// Where the peer is, as the socket tells.
    pub(crate) fn address(&self) -> String {
        let ip = self.socket.peer_ip();
        ip.map_or_else(|| "unix:".to_owned(), |ip| ip.to_string())
    }

    /// Whether anything waits to be sealed or written.
    pub(crate) fn has_output(&self) -> bool {
        self.filter.pending_bytes() > 0
            || self
                .codec
                .as_ref()
                .is_some_and(|codec| codec.output_bytes() > 0)
    }
}
