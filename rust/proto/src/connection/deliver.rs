//! What is done with a message when all of it is there.

use super::Connection;
use crate::assembly::Key;
use crate::error::{Error, Reason};
use crate::event::{Event, Metadata, Payload};
use crate::fault::{FaultCode, Retry};
use crate::frame::{Header, Kind, fault_body};
use crate::time::Time;

/// A message that is complete.
pub(super) struct Arrived {
    pub(super) subject: u16,
    pub(super) deadline: Option<Time>,
    pub(super) metadata: Option<Metadata>,
    pub(super) payload: Payload,
}

impl Arrived {
    fn bytes(&self) -> usize {
        self.payload.len() + self.metadata.as_ref().map_or(0, |block| block.len())
    }
}

impl Connection {
    pub(super) fn deliver(
        &mut self,
        kind: Kind,
        id: u64,
        arrived: Arrived,
        declined: bool,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let (subject, bytes) = (arrived.subject, arrived.bytes());
        if bytes == 0 && matches!(kind, Kind::Send | Kind::StreamData) {
            self.empties += 1;
        }
        let received = &mut self.statistics.received;
        match kind {
            Kind::Request => {
                received.requests.add(bytes);
                self.start_request(id, arrived, events);
            }
            Kind::Reply => return self.deliver_reply(id, arrived.payload, events),
            Kind::Send => {
                received.sends.add(bytes);
                let (metadata, payload) = (arrived.metadata, arrived.payload);
                events.push(Event::Send {
                    subject,
                    metadata,
                    payload,
                });
            }
            Kind::StreamOpen => self.start_stream(id, arrived, declined, events),
            _ => {
                received.streams.add(bytes);
                let payload = arrived.payload;
                events.push(Event::StreamData { id, payload });
            }
        }
        Ok(())
    }

    /// A request that crossed our GOAWAY is served: its sender could not know (W-44).
    fn start_request(&mut self, id: u64, arrived: Arrived, events: &mut Vec<Event>) {
        let Arrived {
            subject,
            deadline,
            metadata,
            payload,
        } = arrived;
        if deadline.is_some_and(|deadline| deadline <= self.now) {
            return self.decline(
                id,
                FaultCode::DeadlineExceeded,
                "the deadline passed on the way",
            );
        }
        self.taken.start(id, deadline);
        events.push(Event::Request {
            id,
            subject,
            deadline,
            metadata,
            payload,
        });
    }

    /// Answers a request that the application never gets.
    pub(super) fn decline(&mut self, id: u64, code: FaultCode, text: &str) {
        self.statistics.dropped_unstarted += 1;
        self.put_fault(id, code, Retry::NotStarted, text);
    }

    pub(super) fn put_fault(&mut self, id: u64, code: FaultCode, retry: Retry, text: &str) {
        let body = fault_body(code, retry, text);
        self.output
            .put(Header::new(Kind::Fault, 0, 0, id), &[], &body);
        self.statistics.sent.faults.add(body.len());
        self.taken.answer(id, self.output.written());
    }

    fn deliver_reply(
        &mut self,
        id: u64,
        payload: Payload,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        self.statistics.received.replies.add(payload.len());
        if let Some(token) = self.take_answer(id)? {
            events.push(Event::Reply { token, payload });
        }
        Ok(())
    }

    /// The answer to a request has come; the token is there if somebody waits.
    pub(super) fn take_answer(&mut self, id: u64) -> Result<Option<u64>, Error> {
        if self.output.lanes.contains(Key::Request(id)) {
            return Err(Error::new(
                Reason::WrongState,
                "an answer comes before all of its request",
            ));
        }
        match self.asked.answer(id) {
            None => self.ignore().map(|()| None),
            Some(None) => {
                self.statistics.late_answers += 1;
                Ok(None)
            }
            Some(token) => Ok(token),
        }
    }
}
