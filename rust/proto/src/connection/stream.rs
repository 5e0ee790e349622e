//! Streams: the frames that open and end them, and the commands.

use bytes::Bytes;

use super::Connection;
use super::deliver::Arrived;
use super::input::Frame;
use crate::assembly::Key;
use crate::error::{Error, Reason};
use crate::event::{Body, Event, SendError};
use crate::fault::FaultCode;
use crate::frame::{Header, Kind, LAST, METADATA, read_reason, reason_body};
use crate::lanes::{Item, message_fields};
use crate::limits::FRAGMENT_BYTES_MAX;
use crate::request::Admission;
use crate::room::Refused;
use crate::time::Time;

impl Connection {
    pub(super) fn admit_stream(&mut self, id: u64) -> Result<bool, Error> {
        if !self.streams.is_theirs(id) {
            return Err(Error::new(
                Reason::BadFrame,
                "a stream is opened under an id of ours",
            ));
        }
        match self.streams.admit(id, self.settings.limits.streams_max) {
            Admission::New => Ok(true),
            Admission::Duplicate => self.ignore().map(|()| false),
            Admission::OverWindow => Err(Error::new(
                Reason::OverWindow,
                "more streams than allowed are open",
            )),
        }
    }

    pub(super) fn start_stream(
        &mut self,
        id: u64,
        arrived: Arrived,
        declined: bool,
        events: &mut Vec<Event>,
    ) {
        if declined {
            self.statistics.dropped_unstarted += 1;
            return self.stream_reset(id, FaultCode::ShuttingDown, "the node takes nothing new");
        }
        let Arrived {
            subject,
            metadata,
            payload,
            ..
        } = arrived;
        events.push(Event::StreamOpened {
            id,
            subject,
            metadata,
            payload,
        });
    }

    pub(super) fn take_stream_end(
        &mut self,
        id: u64,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let unfinished = self.assembly.contains(Key::Stream(id));
        let Some(stream) = self.streams.get_mut(id) else {
            return self.ignore();
        };
        if stream.peer_ended || unfinished {
            return Err(Error::new(
                Reason::WrongState,
                "a stream ends twice or inside a message",
            ));
        }
        stream.peer_ended = true;
        if !stream.reset_sent {
            events.push(Event::StreamEnd { id });
        }
        self.settle_stream(id);
        Ok(())
    }

    pub(super) fn take_stream_reset(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let id = frame.header.id;
        let (code, _) = read_reason(frame.body())?;
        if self.streams.is_theirs(id) {
            self.spend_reset()?;
        }
        let Some(stream) = self.streams.get_mut(id) else {
            return self.take_late_reset(id);
        };
        let told = !stream.reset_sent;
        if told {
            let body = reason_body(FaultCode::Cancelled, "");
            self.output
                .put(Header::new(Kind::StreamReset, 0, 0, id), &[], &body);
        }
        self.drop_stream_messages(id);
        self.remove_stream(id);
        if told {
            let text = frame.payload(2..frame.len());
            events.push(Event::StreamReset { id, code, text });
        }
        Ok(())
    }

    /// One reset may cross the end of its stream; more than one for each stream carry nothing.
    fn take_late_reset(&mut self, id: u64) -> Result<(), Error> {
        if !self.streams.is_past(id) {
            return self.ignore();
        }
        self.late_resets += 1;
        if self.late_resets > self.streams.opened() {
            return self.spend_overhead();
        }
        Ok(())
    }

    fn drop_stream_messages(&mut self, id: u64) {
        self.assembly.remove(Key::Stream(id));
        self.output.lanes.remove(Key::Stream(id));
    }

    fn remove_stream(&mut self, id: u64) {
        self.streams.remove(id);
        self.room.forget_stream(id);
    }

    /// Frees the stream once neither side will say anything more of it.
    pub(super) fn settle_stream(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        let told = !stream.reset_sent;
        if stream.is_closed() {
            self.remove_stream(id);
            if told {
                self.pending.push(Event::StreamClosed { id });
            }
        }
    }

    /// The last frame of a stream's lane was written.
    pub(super) fn note_end_written(&mut self, id: u64) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.end_written = true;
            self.settle_stream(id);
        }
    }

    /// Opens a stream of ours on one of our subjects. The message it is opened with has at most
    /// 64 KiB and spends no credit.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "every command that sends takes a Body"
    )]
    pub fn open_stream(
        &mut self,
        now: Time,
        subject: u16,
        body: Body<'_>,
        metadata: &[u8],
    ) -> Result<u64, SendError> {
        self.now = now;
        let payload = body.as_slice();
        self.check_message(subject, payload.len(), metadata)?;
        if payload.len() > FRAGMENT_BYTES_MAX {
            return Err(SendError::Oversize {
                limit: FRAGMENT_BYTES_MAX as u32,
            });
        }
        let Some(id) = self.streams.open(self.peer.streams_max) else {
            return Err(SendError::Limit);
        };
        let flags = LAST | if metadata.is_empty() { 0 } else { METADATA };
        let fields = message_fields(None, None, metadata);
        self.output.put(
            Header::new(Kind::StreamOpen, flags, subject, id),
            &fields,
            payload,
        );
        Ok(id)
    }

    /// Sends a message on a stream.
    pub fn stream_send(&mut self, id: u64, body: Body<'_>) -> Result<(), SendError> {
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        let size = body.as_slice().len();
        self.check_stream_room(id, size)?;
        if let Some(stream) = self.streams.get_mut(id) {
            stream.sent.spend(size);
        }
        self.statistics.sent.streams.add(size);
        let header = Header::new(Kind::StreamData, 0, 0, id);
        self.put_message(Key::Stream(id), header, &[], body);
        Ok(())
    }

    fn check_stream_room(&mut self, id: u64, size: usize) -> Result<(), SendError> {
        let (limit, window) = (self.peer.message_bytes_max, self.peer.stream_window());
        let stream = self
            .streams
            .get_mut(id)
            .filter(|stream| stream.is_sending());
        let stream = stream.ok_or(SendError::Unknown)?;
        if size > limit as usize {
            return Err(SendError::Oversize { limit });
        }
        if !stream.sent.fits(size, window) {
            stream.wanted = Some(size);
            return Err(SendError::NoCredit);
        }
        if self.output.bytes() >= self.settings.limits.output_bytes_high {
            self.room.wait_for_output(Refused::Stream(id));
            return Err(SendError::WouldBlock);
        }
        if size == 0 && !self.may_send_empty(Refused::Stream(id)) {
            return Err(SendError::WouldBlock);
        }
        Ok(())
    }

    /// Our side of a stream is complete; the peer's goes on. Nobody is told of room on it any more.
    pub fn stream_finish(&mut self, id: u64) -> Result<(), SendError> {
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        let stream = self
            .streams
            .get_mut(id)
            .filter(|stream| stream.is_sending());
        let stream = stream.ok_or(SendError::Unknown)?;
        (stream.finished, stream.wanted) = (true, None);
        self.room.forget_stream(id);
        let header = Header::new(Kind::StreamEnd, 0, 0, id);
        if self.output.lanes.contains(Key::Stream(id)) {
            let body = Bytes::new();
            let item = Item {
                header,
                metadata: Box::default(),
                body,
                sent: 0,
            };
            self.output.lanes.push(Key::Stream(id), item);
        } else {
            self.output.put(header, &[], &[]);
            self.note_end_written(id);
        }
        Ok(())
    }

    /// Gives a stream up, both ways. Nothing more is said of it; a stream that is gone is left
    /// alone.
    pub fn stream_reset(&mut self, id: u64, code: FaultCode, text: &str) {
        self.pending
            .retain(|event| *event != Event::StreamClosed { id });
        let Some(stream) = self.streams.get_mut(id).filter(|stream| !stream.reset_sent) else {
            return;
        };
        stream.reset_sent = true;
        stream.wanted = None;
        if self.is_closed() {
            return;
        }
        self.drop_stream_messages(id);
        self.room.forget_stream(id);
        let body = reason_body(code, text);
        self.output
            .put(Header::new(Kind::StreamReset, 0, 0, id), &[], &body);
        self.settle_stream(id);
    }

    /// The application has consumed `count` messages of a stream with `bytes` of payload. The
    /// peer is told when half the window is consumed, and when nothing is left to consume.
    pub fn release_stream(&mut self, id: u64, count: u32, bytes: u64) {
        let limits = &self.settings.limits;
        let (window, message_bytes_max) = (limits.stream_window(), limits.message_bytes_max);
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        stream.received.release(count.into(), bytes);
        if stream.received.is_idle() || stream.received.is_due(window, message_bytes_max) {
            self.flush_credit_stream(id);
        }
    }

    /// Tells the peer now what has been consumed on a stream.
    pub fn flush_credit_stream(&mut self, id: u64) {
        let Some(stream) = self.streams.get_mut(id).filter(|stream| !stream.reset_sent) else {
            return;
        };
        if let Some(total) = stream.received.report() {
            self.put_credit(0, id, total);
            self.settle_stream(id);
        }
    }
}
