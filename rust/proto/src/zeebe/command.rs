//! Commands: requests, answers and one-way messages; and bytes out.

use super::deliver::status;
use super::{Connection, Stage, heartbeat, wire};
use crate::event::{Body, SendError};
use crate::fault::FaultCode;
use crate::frame;
use crate::limits::{
    REQUEST_OUTPUT_FACTOR, SUBJECT_NAME_BYTES_MAX, SUBJECTS_CEILING, ZEEBE_ASKED_COUNT_MAX,
};
use crate::room::Refused;
use crate::time::Time;

const NO_METADATA: &str = "Zeebe's protocol carries no metadata";

impl Connection {
    /// Our number of a subject.
    pub fn subject(&mut self, name: &str) -> Result<u16, SendError> {
        if let Some(number) = self.names.find(name) {
            return Ok(number);
        }
        if name.is_empty() || name.len() > SUBJECT_NAME_BYTES_MAX {
            return Err(SendError::Limit);
        }
        let number = self.names.insert(name, SUBJECTS_CEILING);
        number.ok_or(SendError::Limit)
    }

    fn check_message(&self, subject: u16, size: usize, metadata: &[u8]) -> Result<(), SendError> {
        if !metadata.is_empty() {
            return Err(SendError::Unsupported(NO_METADATA));
        }
        self.check_size(size)?;
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        let is_known = self.names.contains(subject);
        is_known.then_some(()).ok_or(SendError::Unknown)
    }

    fn check_size(&self, size: usize) -> Result<(), SendError> {
        let limit = self.settings.limits.zeebe_message_bytes_max;
        let fits = size <= limit as usize;
        fits.then_some(()).ok_or(SendError::Oversize { limit })
    }

    /// Asks the peer. The answer comes as an event with `token`. Returns the id for
    /// [`cancel`](Self::cancel). The peer never learns of the deadline.
    pub fn request(
        &mut self,
        now: Time,
        subject: u16,
        body: &Body<'_>,
        deadline: Option<Time>,
        metadata: &[u8],
        token: u64,
    ) -> Result<u64, SendError> {
        self.now = now;
        let length = body.as_slice().len();
        self.check_message(subject, length, metadata)?;
        if self.output.bytes() >= REQUEST_OUTPUT_FACTOR * self.settings.limits.output_bytes_high {
            self.room.wait_for_output(Refused::Request);
            return Err(SendError::WouldBlock);
        }
        if self.asked.len() >= ZEEBE_ASKED_COUNT_MAX {
            self.room.request_bytes = Some(length);
            return Err(SendError::NoCredit);
        }
        self.put_address();
        let id = self.asked.insert(token, deadline, self.output.written());
        self.statistics.sent.requests.add(length);
        self.output.put_request(id, body, self.names.name(subject));
        Ok(id)
    }

    /// Nobody waits for our request any more; an answer that comes nevertheless is dropped. The peer
    /// is not told, as its protocol has no words for it. Returns the token.
    pub fn cancel(&mut self, now: Time, id: u64) -> Option<u64> {
        self.now = now;
        let token = self.asked.forget(id)?;
        self.statistics.sent.cancels += 1;
        Some(token)
    }

    /// Answers a request of the peer.
    pub fn reply(&mut self, id: u64, body: &Body<'_>) -> Result<(), SendError> {
        let (wire, _) = self.find_served(id)?;
        let length = body.as_slice().len();
        self.check_size(length)?;
        self.statistics.sent.replies.add(length);
        self.put_reply(id, wire, body, status::OK);
        Ok(())
    }

    /// Answers a request of the peer with a failure. Zeebe knows three: the peer is told of a handler
    /// that is missing or failed, or of a broken protocol. `text` is cut at 1,024 bytes.
    pub fn fault(&mut self, id: u64, code: FaultCode, text: &str) -> Result<(), SendError> {
        let (wire, subject) = self.find_served(id)?;
        self.statistics.sent.faults.add(text.len());
        let (status, said) = match code {
            FaultCode::NoHandler => (status::NO_HANDLER, self.peer_names.name(subject).to_owned()),
            FaultCode::Protocol => (status::PROTOCOL_EXCEPTION, text.to_owned()),
            FaultCode::HandlerFailure => (status::HANDLER_EXCEPTION, text.to_owned()),
            _ if text.is_empty() => (status::HANDLER_EXCEPTION, code.to_string()),
            _ => (status::HANDLER_EXCEPTION, format!("{code}: {text}")),
        };
        let body = Body::Borrowed(frame::cut(&said).as_bytes());
        self.put_reply(id, wire, &body, status);
        Ok(())
    }

    fn find_served(&self, id: u64) -> Result<(u64, u16), SendError> {
        if self.stage == Stage::Closed {
            return Err(SendError::Closed);
        }
        self.served.find(id).ok_or(SendError::Unknown)
    }

    /// Sends a one-way message: a request whose answer, if there is one, is dropped.
    pub fn send(
        &mut self,
        subject: u16,
        body: &Body<'_>,
        metadata: &[u8],
    ) -> Result<(), SendError> {
        let length = body.as_slice().len();
        self.check_message(subject, length, metadata)?;
        if self.output.bytes() >= self.settings.limits.output_bytes_high {
            self.room.wait_for_output(Refused::Subject(subject));
            return Err(SendError::WouldBlock);
        }
        self.statistics.sent.sends.add(length);
        self.put_address();
        let id = self.asked.abandon();
        self.output.put_request(id, body, self.names.name(subject));
        Ok(())
    }

    /// The application takes a request of the peer as a one-way message, since on the wire they are
    /// the same: it is never answered. Its room comes back with
    /// [`release_subject`](Self::release_subject).
    pub fn take_as_send(&mut self, id: u64) -> bool {
        self.served.take_as_send(id)
    }

    /// The application has consumed one-way messages.
    pub fn release_subject(&mut self, count: u32, bytes: u64) {
        self.served.release(count, bytes);
        self.look_for_room();
    }

    /// Takes nothing new from now on; what is in flight goes on. The peer is not told: a request
    /// that comes is answered with a failure.
    pub fn goaway(&mut self) {
        self.leaving = true;
    }

    pub(super) fn put_heartbeat(&mut self, subject: &str, payload: &[u8]) {
        self.put_address();
        let id = self.asked.abandon();
        self.heartbeat.asked(id);
        self.heartbeat.write(self.now);
        self.output
            .put_request(id, &Body::Borrowed(payload), subject);
    }

    pub(super) fn put_beat(&mut self) {
        self.statistics.sent.pings += 1;
        self.put_heartbeat(heartbeat::BEAT_SUBJECT, &[]);
    }

    /// Our address stands before our first message.
    #[inline]
    pub(super) fn put_address(&mut self) {
        if !std::mem::replace(&mut self.address_sent, true) {
            wire::put_address(self.output.end(), self.version, &self.settings.advertise);
        }
    }

    /// The next bytes to send, about 64 KiB at most. Empty means that nothing waits.
    pub fn poll_output(&mut self, now: Time) -> &[u8] {
        self.now = self.now.max(now);
        self.output.chunk()
    }

    /// The bytes that [`poll_output`](Self::poll_output) gave last are on their way.
    pub fn consume_output(&mut self) {
        self.output.consume();
        self.heartbeat.write(self.now);
        self.served.note_taken(self.output.taken());
        self.look_for_room();
    }

    /// Requests that waited may be parsed when others made room.
    fn look_for_room(&mut self) {
        if self.full {
            let limits = &self.settings.limits;
            let (requests, sends) = (limits.request_window(), limits.subject_window());
            self.served.decide();
            self.full = !self.served.fits(0, requests, sends);
        }
    }

    /// Bytes that wait to be sent.
    #[inline]
    #[must_use]
    pub fn output_bytes(&self) -> usize {
        self.output.bytes()
    }
}
