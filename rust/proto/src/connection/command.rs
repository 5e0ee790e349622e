//! Commands: requests, answers, one-way messages and GOAWAY; and bytes out.

use bytes::Bytes;

use super::Connection;
use crate::assembly::Key;
use crate::event::{Body, SendError};
use crate::fault::{FaultCode, Retry};
use crate::frame::{CONTINUED, Header, Kind, LAST, METADATA, reason_body};
use crate::lanes::{Item, message_fields};
use crate::limits::{FRAGMENT_BYTES_MAX, REQUEST_OUTPUT_FACTOR, SUBJECT_NAME_BYTES_MAX};
use crate::metadata;
use crate::request::Work;
use crate::room::Refused;
use crate::table::Phase;
use crate::time::Time;

impl Connection {
    /// Our number of a subject, announced to the peer on first use.
    pub fn subject(&mut self, name: &str) -> Result<u16, SendError> {
        if let Some(number) = self.subjects.find(name) {
            return Ok(number);
        }
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        if name.is_empty() || name.len() > SUBJECT_NAME_BYTES_MAX {
            return Err(SendError::Limit);
        }
        let number = self
            .subjects
            .insert(name, self.peer.subjects_max)
            .ok_or(SendError::Limit)?;
        let header = Header::new(Kind::Subject, 0, number, 0);
        self.output.put(header, &[], name.as_bytes());
        Ok(number)
    }

    /// Whether a message that begins something may be sent at all.
    pub(super) fn check_message(
        &self,
        subject: u16,
        size: usize,
        metadata: &[u8],
    ) -> Result<(), SendError> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        if !self.subjects.contains(subject) {
            return Err(SendError::Unknown);
        }
        self.check_size(size)?;
        let too_long = metadata.len() > self.peer.metadata_bytes_max as usize;
        if too_long || !metadata.is_empty() && !metadata::is_well_formed(metadata) {
            return Err(SendError::BadMetadata);
        }
        Ok(())
    }

    fn check_size(&self, size: usize) -> Result<(), SendError> {
        let limit = self.peer.message_bytes_max;
        if size > limit as usize {
            Err(SendError::Oversize { limit })
        } else {
            Ok(())
        }
    }

    /// Asks the peer. The answer comes as an event with `token`. Returns the id for
    /// [`cancel`](Self::cancel).
    pub fn request(
        &mut self,
        now: Time,
        subject: u16,
        body: Body<'_>,
        deadline: Option<Time>,
        metadata: &[u8],
        token: u64,
    ) -> Result<u64, SendError> {
        self.now = now;
        let size = body.as_slice().len();
        self.check_message(subject, size, metadata)?;
        self.check_request_room(size, size + metadata.len())?;
        let bytes = size + metadata.len();
        let id = self
            .asked
            .insert(token, deadline, bytes, self.output.written());
        self.statistics.sent.requests.add(bytes);
        self.put_request(subject, id, body, deadline, metadata);
        Ok(id)
    }

    #[inline]
    fn check_request_room(&mut self, size: usize, bytes: usize) -> Result<(), SendError> {
        if self.output.bytes() >= REQUEST_OUTPUT_FACTOR * self.settings.limits.output_bytes_high {
            self.room.wait_for_output(Refused::Request);
            return Err(SendError::WouldBlock);
        }
        if !self.asked.fits(bytes, self.peer.request_window()) {
            self.room.request_bytes = Some(bytes);
            return Err(SendError::NoCredit);
        }
        if size > FRAGMENT_BYTES_MAX && !self.output.lanes.can_start(size) {
            self.room.start_bytes = Some(size);
            return Err(SendError::WouldBlock);
        }
        Ok(())
    }

    /// The first frame goes into the output at once, so that ids ascend on the wire.
    #[inline]
    fn put_request(
        &mut self,
        subject: u16,
        id: u64,
        body: Body<'_>,
        deadline: Option<Time>,
        metadata: &[u8],
    ) {
        let deadline_ms = deadline.map_or(0, |deadline| {
            let nanos = deadline.saturating_since(self.now);
            nanos.div_ceil(1_000_000).clamp(1, u32::MAX.into()) as u32
        });
        let payload = body.as_slice();
        if payload.len() <= FRAGMENT_BYTES_MAX && metadata.is_empty() {
            let header = Header::new(Kind::Request, LAST, subject, id);
            return self.output.put(header, &deadline_ms.to_le_bytes(), payload);
        }
        let (first, rest) = payload.split_at(payload.len().min(FRAGMENT_BYTES_MAX));
        let flags = if metadata.is_empty() { 0 } else { METADATA };
        let flags = flags | if rest.is_empty() { LAST } else { 0 };
        let total = (!rest.is_empty()).then_some(payload.len() as u32);
        let fields = message_fields(Some(deadline_ms), total, metadata);
        self.output.put(
            Header::new(Kind::Request, flags, subject, id),
            &fields,
            first,
        );
        if !rest.is_empty() {
            let header = Header::new(Kind::Request, CONTINUED, 0, id);
            let (body, sent) = (body.into_bytes(), FRAGMENT_BYTES_MAX);
            let item = Item {
                header,
                metadata: Box::default(),
                body,
                sent,
            };
            self.output.lanes.push(Key::Request(id), item);
        }
    }

    /// Cancels our request: nobody waits any more, and the peer is told. Its place in the window
    /// stays taken until the peer has answered. Returns the token, or `None` when nobody waited.
    pub fn cancel(&mut self, now: Time, id: u64) -> Option<u64> {
        self.now = now;
        let token = self.asked.forget(id)?;
        self.put_cancel(id);
        Some(token)
    }

    /// Tells the peer that nobody waits for any answer: this side is about to close. Who waits is
    /// told by [`take_outstanding`](Self::take_outstanding).
    pub fn cancel_all(&mut self, now: Time) {
        self.now = now;
        for id in self.asked.waiting_ids() {
            self.put_cancel(id);
        }
    }

    /// CANCEL keeps its place behind what was sent of the request, and nothing of it follows.
    pub(super) fn put_cancel(&mut self, id: u64) {
        if !self.is_closed() {
            self.output.lanes.remove(Key::Request(id));
            self.output
                .put(Header::new(Kind::Cancel, 0, 0, id), &[], &[]);
            self.statistics.sent.cancels += 1;
        }
    }

    /// Answers a request of the peer. If nobody waits any more, only that it ended is told.
    pub fn reply(&mut self, id: u64, body: Body<'_>) -> Result<(), SendError> {
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        match self.taken.work(id) {
            Work::Running => {}
            Work::Cancelled => {
                self.put_fault(id, FaultCode::Cancelled, Retry::Failed, "");
                return Ok(());
            }
            _ => return Err(SendError::Unknown),
        }
        let size = body.as_slice().len();
        self.check_size(size)?;
        self.statistics.sent.replies.add(size);
        if size > FRAGMENT_BYTES_MAX {
            self.taken.begin_answer(id);
            self.put_message(
                Key::Reply(id),
                Header::new(Kind::Reply, 0, 0, id),
                &[],
                body,
            );
        } else {
            self.output
                .put(Header::new(Kind::Reply, LAST, 0, id), &[], body.as_slice());
            self.taken.answer(id, self.output.written());
        }
        Ok(())
    }

    /// Answers a request of the peer with a failure. `text` is cut at 1,024 bytes.
    pub fn fault(
        &mut self,
        id: u64,
        code: FaultCode,
        retry: Retry,
        text: &str,
    ) -> Result<(), SendError> {
        if self.is_closed() {
            return Err(SendError::Closed);
        }
        if !matches!(self.taken.work(id), Work::Running | Work::Cancelled) {
            return Err(SendError::Unknown);
        }
        self.put_fault(id, code, retry, text);
        Ok(())
    }

    /// Sends a one-way message.
    #[inline]
    pub fn send(&mut self, subject: u16, body: Body<'_>, metadata: &[u8]) -> Result<(), SendError> {
        let size = body.as_slice().len();
        self.check_message(subject, size, metadata)?;
        let bytes = size + metadata.len();
        self.check_send_room(subject, bytes)?;
        if let Some(used) = self.subjects.get_mut(subject) {
            used.credit.spend(bytes);
        }
        self.statistics.sent.sends.add(bytes);
        let header = Header::new(Kind::Send, 0, subject, 0);
        self.put_message(Key::Send(subject), header, metadata, body);
        Ok(())
    }

    #[inline]
    fn check_send_room(&mut self, subject: u16, bytes: usize) -> Result<(), SendError> {
        let window = self.peer.subject_window();
        let used = self.subjects.get_mut(subject).ok_or(SendError::Unknown)?;
        if !used.credit.fits(bytes, window) {
            used.wanted = Some(bytes);
            return Err(SendError::NoCredit);
        }
        if self.output.bytes() >= self.settings.limits.output_bytes_high {
            self.room.wait_for_output(Refused::Subject(subject));
            return Err(SendError::WouldBlock);
        }
        if bytes == 0 && !self.may_send_empty(Refused::Subject(subject)) {
            return Err(SendError::WouldBlock);
        }
        Ok(())
    }

    /// Writes a message in one frame, or leaves it to its lane when it has more or when the lane
    /// holds earlier ones.
    #[inline]
    pub(super) fn put_message(
        &mut self,
        key: Key,
        header: Header,
        metadata: &[u8],
        body: Body<'_>,
    ) {
        let payload = body.as_slice();
        if payload.len() > FRAGMENT_BYTES_MAX || self.output.lanes.contains(key) {
            return self.queue_message(key, header, metadata, body.into_bytes());
        }
        if metadata.is_empty() {
            return self.output.put(
                Header {
                    flags: LAST,
                    ..header
                },
                &[],
                payload,
            );
        }
        let fields = message_fields(None, None, metadata);
        self.output.put(
            Header {
                flags: LAST | METADATA,
                ..header
            },
            &fields,
            payload,
        );
    }

    #[cold]
    fn queue_message(&mut self, key: Key, header: Header, metadata: &[u8], body: Bytes) {
        self.output.lanes.push(
            key,
            Item {
                header,
                metadata: metadata.into(),
                body,
                sent: 0,
            },
        );
    }

    /// Takes nothing new from now on; what is in flight goes on.
    pub fn goaway(&mut self, code: FaultCode, text: &str) {
        if matches!(self.phase, Phase::Leaving | Phase::Closed) || self.goaway_held.is_some() {
            return;
        }
        let body = reason_body(code, text);
        if self.greeted {
            self.put_goaway(&body);
        } else {
            self.goaway_held = Some(body);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// The next bytes to send, control frames first. They end at a frame's end and are about
    /// 64 KiB at most, or one frame. Empty means that nothing waits.
    pub fn poll_output(&mut self, now: Time) -> &[u8] {
        self.now = self.now.max(now);
        if self.output.lanes.bytes() > 0 {
            self.fill_output();
        }
        self.output.chunk()
    }

    fn fill_output(&mut self) {
        let mut ended = Vec::new();
        self.output
            .fill(|header, position| ended.push((header, position)));
        for (header, position) in ended {
            if header.kind == Kind::Reply as u8 {
                self.taken.answer(header.id, position);
            } else if header.kind == Kind::StreamEnd as u8 {
                self.note_end_written(header.id);
            }
        }
    }

    /// The bytes that [`poll_output`](Self::poll_output) gave last are on their way.
    pub fn consume_output(&mut self) {
        self.output.consume();
    }

    /// Bytes that wait to be sent.
    #[inline]
    #[must_use]
    pub const fn output_bytes(&self) -> usize {
        self.output.bytes()
    }
}
