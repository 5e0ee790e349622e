//! Bytes in: the preface, the cut into frames, and the short ways for the common ones.

use std::ops::Range;

use super::Connection;
use crate::assembly::Key;
use crate::codec::Reader;
use crate::error::{Error, Reason};
use crate::event::{Event, Payload, SendError};
use crate::frame::{Header, Kind, LAST, PREFACE};
use crate::limits::{
    FRAGMENT_BYTES_MAX, FRAME_BODY_BYTES_MAX, HEADER_BYTES, INPUT_BYTES_MAX, PREFACE_BYTES,
};
use crate::request::Admission;
use crate::table::{self, Phase, Verdict};
use crate::time::Time;

const REQUEST: u8 = Kind::Request as u8;
const REPLY: u8 = Kind::Reply as u8;
const SEND: u8 = Kind::Send as u8;

/// A whole frame where it stands in the input.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) header: Header,
    input: &'a [u8],
    start: usize,
}

impl<'a> Frame<'a> {
    /// Bytes of the body.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.header.length as usize
    }

    /// The body.
    #[inline]
    pub(super) fn body(&self) -> &'a [u8] {
        &self.input[self.start..self.start + self.len()]
    }

    /// A part of the body as a payload.
    #[inline]
    pub(super) fn payload(&self, part: Range<usize>) -> Payload {
        Payload::from(self.start + part.start..self.start + part.end)
    }
}

impl Connection {
    /// Takes bytes. `input` starts with what the last call did not consume. Returns how many bytes
    /// were consumed: the rest is less than one frame, or more when `events_max` events were
    /// reached. The payloads of the events are spans of this `input`.
    pub fn handle_input(
        &mut self,
        now: Time,
        input: &[u8],
        events: &mut Vec<Event>,
        events_max: usize,
    ) -> Result<usize, Error> {
        if self.phase == Phase::Closed {
            return Ok(input.len());
        }
        self.now = now;
        let input = &input[..input.len().min(INPUT_BYTES_MAX)];
        self.liveness.hear(now, input.len());
        events.append(&mut self.pending);
        let result = self.read(input, events, events_max);
        match &result {
            Ok(_) => self.push_due(events),
            Err(error) => self.fail(error),
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
        if self.phase == Phase::Closed {
            return Ok(());
        }
        self.now = now;
        let result = self.check_end(leftover);
        match &result {
            Ok(()) => {
                self.ended = true;
                self.liveness.end();
                self.refusal = Some(SendError::Closed);
                self.push_due(events);
            }
            Err(error) => self.fail(error),
        }
        result
    }

    fn check_end(&self, leftover: usize) -> Result<(), Error> {
        if leftover > 0 || !self.assembly.is_empty() {
            return Err(Error::new(
                Reason::Truncated,
                "the bytes end inside a message",
            ));
        }
        if !self.greeted {
            return Err(Error::new(Reason::NoHello, "the bytes end before HELLO"));
        }
        Ok(())
    }

    fn read(
        &mut self,
        input: &[u8],
        events: &mut Vec<Event>,
        events_max: usize,
    ) -> Result<usize, Error> {
        let mut at = self.read_preface(input)?;
        let mut partial = self.preface_due;
        while !partial && events.len() < events_max {
            let Some(frame) = self.next_frame(input, at)? else {
                partial = true;
                break;
            };
            at = frame.start + frame.len();
            self.handle_frame(frame, events)?;
        }
        self.statistics.received.wire_bytes += at as u64;
        self.liveness
            .leave(self.now, input.len() - at, partial, at > 0);
        Ok(at)
    }

    fn read_preface(&mut self, input: &[u8]) -> Result<usize, Error> {
        if !self.preface_due {
            return Ok(0);
        }
        if input
            .iter()
            .zip(&PREFACE)
            .any(|(byte, expected)| byte != expected)
        {
            return Err(Error::new(
                Reason::BadPreface,
                "the first bytes are not ZT/1",
            ));
        }
        self.preface_due = input.len() < PREFACE_BYTES;
        Ok(if self.preface_due { 0 } else { PREFACE_BYTES })
    }

    #[inline]
    fn next_frame<'a>(&self, input: &'a [u8], at: usize) -> Result<Option<Frame<'a>>, Error> {
        let Some(bytes) = input[at..].first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let header = Header::from_bytes(bytes);
        let (start, length) = (at + HEADER_BYTES, header.length as usize);
        if length > FRAME_BODY_BYTES_MAX {
            return Err(Error::new(
                Reason::Oversize,
                "a frame is longer than any may be",
            ));
        }
        if input.len() - start < length {
            self.check_header(&header)?;
            return Ok(None);
        }
        Ok(Some(Frame {
            header,
            input,
            start,
        }))
    }

    /// What the table says of a frame, decided by its header alone.
    fn check_header(&self, header: &Header) -> Result<Verdict, Error> {
        let verdict = table::decide(self.phase, header.kind);
        match (verdict, Kind::from_wire(header.kind)) {
            (Verdict::Unknown, _) => Err(Error::new(
                Reason::UnknownFrame,
                "a critical frame type is not defined",
            )),
            (Verdict::Refuse, _) => Err(Error::new(
                Reason::WrongState,
                "a frame type is not allowed in this state",
            )),
            (Verdict::Take | Verdict::Decline, Some(kind)) => {
                table::check_fields(kind, header).map(|()| verdict)
            }
            _ => Ok(verdict),
        }
    }

    /// Messages of one frame without metadata go the short way. Whatever they fail there is told
    /// precisely on the long way.
    #[inline]
    fn handle_frame(&mut self, frame: Frame<'_>, events: &mut Vec<Event>) -> Result<(), Error> {
        let header = frame.header;
        let common = header.flags == LAST && self.phase == Phase::Open;
        if common && frame.len() <= FRAGMENT_BYTES_MAX {
            let handled = match header.kind {
                SEND => self.take_send(frame, events),
                REPLY => self.take_reply(frame, events),
                REQUEST => self.take_request(frame, events),
                _ => false,
            };
            if handled {
                return Ok(());
            }
        }
        self.handle_checked(frame, events)
    }

    #[inline]
    fn take_send(&mut self, frame: Frame<'_>, events: &mut Vec<Event>) -> bool {
        let (Header { subject, id, .. }, bytes) = (frame.header, frame.len());
        let window = self.settings.limits.subject_window();
        let Some(credit) = self.announced.credit_mut(subject) else {
            return false;
        };
        if id != 0 || bytes == 0 || !credit.fits(bytes, window) || !self.assembly.is_empty() {
            return false;
        }
        credit.take(bytes);
        self.statistics.received.sends.add(bytes);
        events.push(Event::Send {
            subject,
            metadata: None,
            payload: frame.payload(0..bytes),
        });
        true
    }

    #[inline]
    fn take_reply(&mut self, frame: Frame<'_>, events: &mut Vec<Event>) -> bool {
        let Header { subject, id, .. } = frame.header;
        if subject != 0 || !self.assembly.is_empty() || self.output.lanes.contains(Key::Request(id))
        {
            return false;
        }
        let Some(waiting) = self.asked.answer(id) else {
            return false;
        };
        self.statistics.received.replies.add(frame.len());
        match waiting {
            Some(token) => events.push(Event::Reply {
                token,
                payload: frame.payload(0..frame.len()),
            }),
            None => self.statistics.late_answers += 1,
        }
        true
    }

    #[inline]
    fn take_request(&mut self, frame: Frame<'_>, events: &mut Vec<Event>) -> bool {
        let Header { subject, id, .. } = frame.header;
        let Some(deadline_ms) = Reader::new(frame.body()).u32() else {
            return false;
        };
        let bytes = frame.len() - 4;
        let window = self.settings.limits.request_window();
        let output_taken = self.output.taken();
        if !self.announced.contains(subject)
            || self.taken.admit(id, bytes, window, output_taken) != Admission::New
        {
            return false;
        }
        let deadline = self.deadline(deadline_ms);
        self.taken.start(id, deadline);
        self.statistics.received.requests.add(bytes);
        let payload = frame.payload(4..frame.len());
        events.push(Event::Request {
            id,
            subject,
            deadline,
            metadata: None,
            payload,
        });
        true
    }

    pub(super) fn deadline(&self, deadline_ms: u32) -> Option<Time> {
        (deadline_ms != 0).then(|| self.now.after_millis(deadline_ms.into()))
    }

    fn handle_checked(&mut self, frame: Frame<'_>, events: &mut Vec<Event>) -> Result<(), Error> {
        let verdict = self.check_header(&frame.header)?;
        match (verdict, Kind::from_wire(frame.header.kind)) {
            (Verdict::Skip, _) => {
                self.statistics.skipped_frames += 1;
                self.spend_overhead()
            }
            (Verdict::Take | Verdict::Decline, Some(kind)) => {
                self.dispatch(kind, frame, verdict == Verdict::Decline, events)
            }
            _ => Ok(()),
        }
    }

    fn dispatch(
        &mut self,
        kind: Kind,
        frame: Frame<'_>,
        declined: bool,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        match kind {
            Kind::Hello => self.take_hello(frame, events),
            Kind::Subject => self.take_subject(frame, events),
            Kind::Request | Kind::Reply | Kind::Send | Kind::StreamOpen | Kind::StreamData => {
                self.take_message(kind, frame, declined, events)
            }
            Kind::Fault => self.take_fault(frame, events),
            Kind::Cancel => self.take_cancel(frame.header.id, events),
            Kind::StreamEnd => self.take_stream_end(frame.header.id, events),
            Kind::StreamReset => self.take_stream_reset(frame, events),
            Kind::Credit => self.take_credit(frame, events),
            Kind::Ping => self.take_ping(frame),
            Kind::Pong => self.take_pong(frame),
            Kind::GoAway => self.take_goaway(frame, events),
        }
    }
}
