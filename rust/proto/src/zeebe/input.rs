//! Bytes in: the handshake, unpacking, and the cut into frames.

use super::heartbeat;
use super::wire::{self, Head, Kind};
use super::{Connection, Stage};
use crate::codec::append;
use crate::error::{Error, Reason};
use crate::event::{Event, Payload};
use crate::limits::{INPUT_BYTES_MAX, ZEEBE_GATHER_BYTES, ZEEBE_HANDSHAKE_BYTES};
use crate::table::Role;
use crate::time::Time;

pub(super) const WRONG_DIRECTION: &str = "a dialer only asks and a listener only answers";

/// A frame whose head was consumed and whose payload or tail is still to come.
#[derive(Debug)]
pub(super) struct Partial {
    head: Head,
    /// The payload so far; nothing is kept of one that nobody wants.
    bytes: Vec<u8>,
    /// Payload bytes that have come.
    come: usize,
    is_wanted: bool,
}

impl Partial {
    /// Bytes of payload that are kept when all has come.
    pub(super) fn announced(&self) -> u64 {
        if self.is_wanted {
            self.head.length as u64
        } else {
            0
        }
    }
}

/// Bytes to parse, and whether payloads may be told as spans of them.
#[derive(Clone, Copy)]
struct Source<'a> {
    bytes: &'a [u8],
    is_input: bool,
}

/// A payload that has come.
pub(super) enum Came<'a> {
    /// It stands at `start` of what was parsed.
    Here {
        bytes: &'a [u8],
        start: usize,
        is_input: bool,
    },
    /// It was gathered.
    Gathered(Vec<u8>),
}

impl Came<'_> {
    pub(super) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Here { bytes, .. } => bytes,
            Self::Gathered(bytes) => bytes,
        }
    }

    #[inline]
    pub(super) fn into_payload(self) -> Payload {
        match self {
            Self::Here {
                bytes,
                start,
                is_input: true,
            } => Payload::from(start..start + bytes.len()),
            Self::Here { bytes, .. } => Payload::Whole(bytes.to_vec()),
            Self::Gathered(bytes) => Payload::Whole(bytes),
        }
    }
}

impl Connection {
    /// Takes bytes. `input` starts with what the last call did not consume. Returns how many bytes
    /// were consumed: the rest is less than one frame, or more when `events_max` events were
    /// reached or the window is [full](Self::is_full). Spans in events are of this `input`.
    pub fn handle_input(
        &mut self,
        now: Time,
        input: &[u8],
        events: &mut Vec<Event>,
        events_max: usize,
    ) -> Result<usize, Error> {
        if self.stage == Stage::Closed {
            return Ok(input.len());
        }
        self.now = now;
        let input = &input[..input.len().min(INPUT_BYTES_MAX)];
        self.pulse.pause(now, false);
        self.pulse.hear(now, input.len());
        self.served.decide();
        let result = self.read(input, events, events_max);
        self.pulse.pause(now, self.full);
        match &result {
            Ok(_) => self.push_due(events),
            Err(_) => self.fail(),
        }
        result
    }

    /// The peer has ended its bytes, cleanly as far as the layer below knows; `leftover` of them
    /// were not consumed. What it asked is still answered.
    pub fn handle_end(
        &mut self,
        now: Time,
        leftover: usize,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        if self.stage == Stage::Closed {
            return Ok(());
        }
        self.now = now;
        let result = self.check_end(leftover);
        match &result {
            Ok(()) => {
                self.ended = true;
                self.pulse.end();
                self.push_due(events);
            }
            Err(_) => self.fail(),
        }
        result
    }

    fn check_end(&self, leftover: usize) -> Result<(), Error> {
        if self.stage == Stage::Greeting {
            let detail = match self.role {
                Role::Dialer => {
                    "the listener closed without a Zeebe handshake: it may belong to another \
                     cluster, expect TLS, or not speak Zeebe"
                }
                Role::Acceptor => "the bytes end before the Zeebe handshake",
            };
            return Err(Error::new(Reason::NoHello, detail));
        }
        if leftover > 0 || self.partial.is_some() || !self.unpacked.is_empty() {
            return Err(Error::new(
                Reason::Truncated,
                "the bytes end inside a message",
            ));
        }
        Ok(())
    }

    fn read(&mut self, input: &[u8], events: &mut Vec<Event>, max: usize) -> Result<usize, Error> {
        let mut at = self.read_handshake(input, events)?;
        if self.stage == Stage::Open {
            at = match self.unpacker.is_some() {
                true => self.read_packed(input, at, events, max)?,
                false => self.parse(
                    Source {
                        bytes: input,
                        is_input: true,
                    },
                    at,
                    events,
                    max,
                )?,
            };
        }
        self.statistics.received.wire_bytes += at as u64;
        let left = input.len() - at;
        let come = self.partial.as_ref().map_or(0, |partial| partial.come + 1);
        let waiting = if events.len() < max {
            left + self.unpacked.len()
        } else {
            0
        };
        self.pulse
            .leave(self.now, left, self.frames, come + waiting);
        Ok(at)
    }

    fn read_handshake(&mut self, input: &[u8], events: &mut Vec<Event>) -> Result<usize, Error> {
        if self.stage != Stage::Greeting {
            return Ok(0);
        }
        let Some(version) = wire::read_handshake(input, &self.settings.cluster)? else {
            return Ok(0);
        };
        match (version, self.role) {
            (None, Role::Dialer) => {
                let detail = "the listener chose a version of Zeebe's protocol other than 1 and 2";
                return Err(Error::new(Reason::BadVersion, detail));
            }
            (version, _) => self.version = version.unwrap_or(self.version),
        }
        self.stage = Stage::Open;
        self.pulse.greet();
        events.push(Event::Greeted);
        match self.role {
            Role::Acceptor => self.put_handshake(),
            Role::Dialer => self.offer_heartbeats(),
        }
        Ok(ZEEBE_HANDSHAKE_BYTES)
    }

    fn offer_heartbeats(&mut self) {
        let limits = &self.settings.limits;
        if limits.zeebe_heartbeat_interval_ms > 0 {
            let payload = heartbeat::setup_request(limits.liveness_timeout_ms);
            self.put_heartbeat(heartbeat::SETUP_SUBJECT, &payload);
        }
    }

    /// Unpacks as much as can be parsed at once, again and again.
    fn read_packed(
        &mut self,
        input: &[u8],
        mut at: usize,
        events: &mut Vec<Event>,
        max: usize,
    ) -> Result<usize, Error> {
        let mut unpacked = std::mem::take(&mut self.unpacked);
        loop {
            let source = Source {
                bytes: &unpacked,
                is_input: false,
            };
            let parsed = self.parse(source, 0, events, max)?;
            unpacked.drain(..parsed);
            if events.len() >= max || self.full {
                break;
            }
            let (before, unpacker) = (unpacked.len(), self.unpacker.as_mut());
            let unpack =
                |unpacker: &mut super::Unpacker| unpacker.unpack(&input[at..], &mut unpacked);
            let taken = unpacker.map(unpack).transpose()?.unwrap_or_default();
            at += taken;
            if taken == 0 && unpacked.len() == before {
                break;
            }
        }
        self.unpacked = unpacked;
        Ok(at)
    }

    fn parse(
        &mut self,
        source: Source<'_>,
        mut at: usize,
        events: &mut Vec<Event>,
        max: usize,
    ) -> Result<usize, Error> {
        self.full = false;
        while events.len() < max {
            let taken = match self.partial.take() {
                Some(partial) => self.go_on(partial, &source.bytes[at..], events)?,
                None if self.address_due => self.take_address(&source.bytes[at..])?,
                None => self.begin_frame(source, at, events)?,
            };
            if taken == 0 {
                break;
            }
            at += taken;
        }
        Ok(at)
    }

    fn take_address(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        let Some((address, taken)) = wire::read_address(bytes, self.version)? else {
            return Ok(0);
        };
        if address != wire::NOWHERE {
            self.peer.advertise = address;
        }
        self.address_due = false;
        self.frames += 1;
        Ok(taken)
    }

    #[inline]
    fn begin_frame(
        &mut self,
        source: Source<'_>,
        at: usize,
        events: &mut Vec<Event>,
    ) -> Result<usize, Error> {
        let rest = &source.bytes[at..];
        let Some(head) = wire::read_head(rest)? else {
            return Ok(0);
        };
        let is_long = head.length > self.settings.limits.zeebe_message_bytes_max as usize;
        self.check_direction(&head)?;
        if !is_long && self.must_wait(&head) {
            return Ok(0);
        }
        let end = head.bytes + head.length;
        let tail = rest.get(end..).filter(|_| !is_long);
        if let Some(tail) = tail
            && let Some(length) = wire::tail_bytes(head.kind, tail)?
        {
            let bytes = &rest[head.bytes..end];
            let came = Came::Here {
                bytes,
                start: at + head.bytes,
                is_input: source.is_input,
            };
            self.deliver(&head, came, &tail[..length], events)?;
            return Ok(end + length);
        }
        if !is_long && head.length <= ZEEBE_GATHER_BYTES {
            return Ok(0);
        }
        self.begin_partial(head, is_long, events);
        Ok(head.bytes)
    }

    fn begin_partial(&mut self, head: Head, is_long: bool, events: &mut Vec<Event>) {
        let is_wanted = !is_long && (head.kind == Kind::Request || self.asked.is_waiting(head.id));
        if is_long {
            self.refuse_long(&head, events);
        }
        self.frames += 1;
        // Reserved at once and used only as the bytes arrive.
        let bytes = Vec::with_capacity(if is_wanted { head.length } else { 0 });
        self.partial = Some(Partial {
            head,
            bytes,
            come: 0,
            is_wanted,
        });
    }

    /// A dialer only asks and a listener only answers, but for the heartbeats of some listeners.
    #[inline]
    fn check_direction(&self, head: &Head) -> Result<(), Error> {
        let is_allowed = match (head.kind, self.role) {
            (Kind::Request, Role::Acceptor) | (Kind::Reply, Role::Dialer) => true,
            (Kind::Request, Role::Dialer) => head.length == 0,
            (Kind::Reply, Role::Acceptor) => false,
        };
        let refusal = || Error::new(Reason::WrongState, WRONG_DIRECTION);
        is_allowed.then_some(()).ok_or_else(refusal)
    }

    /// Whether a request has to stay in the input until there is room for it.
    #[inline]
    fn must_wait(&mut self, head: &Head) -> bool {
        if self.role == Role::Acceptor {
            let limits = &self.settings.limits;
            let (requests, sends) = (limits.request_window(), limits.subject_window());
            self.full = !self.served.fits(head.length, requests, sends);
        }
        self.full
    }

    /// Takes more of a frame that was begun.
    fn go_on(
        &mut self,
        mut partial: Partial,
        rest: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<usize, Error> {
        let taken = rest.len().min(partial.head.length - partial.come);
        partial.come += taken;
        if partial.is_wanted {
            append(&mut partial.bytes, &rest[..taken]);
        }
        if partial.come < partial.head.length {
            self.partial = Some(partial);
            return Ok(taken);
        }
        let tail = &rest[taken..];
        let Some(length) = wire::tail_bytes(partial.head.kind, tail)? else {
            self.partial = Some(partial);
            return Ok(taken);
        };
        if partial.is_wanted {
            let came = Came::Gathered(partial.bytes);
            self.deliver(&partial.head, came, &tail[..length], events)?;
        }
        self.frames += 1;
        Ok(taken + length)
    }

    #[inline]
    fn deliver(
        &mut self,
        head: &Head,
        came: Came<'_>,
        tail: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        self.frames += 1;
        match head.kind {
            Kind::Request if self.role == Role::Dialer => self.take_listeners_beat(&tail[2..]),
            Kind::Request => self.take_request(head, came, &tail[2..], events),
            Kind::Reply => self.take_reply(head, came, tail[0], events),
        }
    }
}
