//! What arrived: requests, replies, heartbeats, and what is refused of them.

use super::asked::Answered;
use super::input::{Came, WRONG_DIRECTION};
use super::wire::{Head, Kind};
use super::{Connection, heartbeat};
use crate::error::{Error, Reason};
use crate::event::{Body, Event, Payload};
use crate::fault::{FaultCode, Retry};
use crate::limits::{SUBJECT_NAME_BYTES_MAX, TEXT_BYTES_MAX};
use crate::table::Role;

/// What a reply says of itself (W-75).
pub(super) mod status {
    pub(in super::super) const OK: u8 = 0;
    pub(in super::super) const NO_HANDLER: u8 = 1;
    pub(in super::super) const HANDLER_EXCEPTION: u8 = 2;
    pub(in super::super) const PROTOCOL_EXCEPTION: u8 = 3;
}

impl Connection {
    #[inline]
    pub(super) fn take_request(
        &mut self,
        head: &Head,
        came: Came<'_>,
        subject: &[u8],
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let Ok(name) = str::from_utf8(subject) else {
            return Err(Error::new(Reason::BadSubject, "a subject is not UTF-8"));
        };
        if let Some(number) = self.peer_names.find(name).filter(|_| !self.leaving) {
            self.start(head, number, came, events);
        } else {
            self.take_new(head, name, came, events);
        }
        Ok(())
    }

    #[inline]
    fn start(&mut self, head: &Head, subject: u16, came: Came<'_>, events: &mut Vec<Event>) {
        let payload = came.into_payload();
        self.statistics.received.requests.add(head.length);
        let id = self.served.begin(head.id, subject, head.length);
        events.push(Event::Request {
            id,
            subject,
            deadline: None,
            metadata: None,
            payload,
        });
    }

    /// A request on a subject that was not used before, on one of the heartbeats', or while nothing
    /// new is taken.
    fn take_new(&mut self, head: &Head, name: &str, came: Came<'_>, events: &mut Vec<Event>) {
        match name {
            heartbeat::SETUP_SUBJECT => self.answer_setup(head, came.as_slice()),
            heartbeat::BEAT_SUBJECT => self.answer_beat(head),
            _ if self.leaving => self.decline(head, "the node is shutting down"),
            _ if name.is_empty() || name.len() > SUBJECT_NAME_BYTES_MAX => {
                self.answer_now(head, name.as_bytes(), status::NO_HANDLER);
            }
            _ => match self
                .peer_names
                .insert(name, self.settings.limits.subjects_max)
            {
                Some(subject) => {
                    events.push(Event::SubjectAnnounced { subject });
                    self.start(head, subject, came, events);
                }
                None => self.decline(head, "more subjects on one connection than subjects_max"),
            },
        }
    }

    fn decline(&mut self, head: &Head, text: &'static str) {
        self.statistics.dropped_unstarted += 1;
        self.answer_now(head, text.as_bytes(), status::HANDLER_EXCEPTION);
    }

    /// Answers without asking the application. The answer has its place in the window like others.
    fn answer_now(&mut self, head: &Head, payload: &[u8], status: u8) {
        let id = self.served.begin(head.id, 0, head.length);
        self.put_reply(id, head.id, &Body::Borrowed(payload), status);
    }

    fn answer_setup(&mut self, head: &Head, payload: &[u8]) {
        let answer = self.heartbeat.answer_setup(payload);
        self.answer_now(head, &answer, status::OK);
    }

    /// Listeners of Zeebe 8.7 send heartbeats of their own, which nobody answers.
    pub(super) fn take_listeners_beat(&mut self, subject: &[u8]) -> Result<(), Error> {
        if subject != heartbeat::BEAT_SUBJECT.as_bytes() {
            return Err(Error::new(Reason::WrongState, WRONG_DIRECTION));
        }
        let limits = &self.settings.limits;
        let timeout_ms = limits.liveness_timeout_ms;
        let interval_ms = limits.zeebe_heartbeat_interval_ms.min(timeout_ms / 3);
        let interval_ms = (interval_ms > 0).then_some(interval_ms);
        self.heartbeat.listener_beats(interval_ms, timeout_ms);
        self.statistics.received.pings += 1;
        Ok(())
    }

    fn answer_beat(&mut self, head: &Head) {
        self.heartbeat.beat();
        self.statistics.received.pings += 1;
        self.answer_now(head, &[], status::OK);
    }

    #[inline]
    pub(super) fn take_reply(
        &mut self,
        head: &Head,
        came: Came<'_>,
        status: u8,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        if status > status::PROTOCOL_EXCEPTION {
            return Err(Error::new(
                Reason::BadFrame,
                "a reply has an unknown status",
            ));
        }
        match self.asked.answer(head.id) {
            Answered::Waiting(token) => self.answered(token, status, came, events),
            Answered::Late if self.heartbeat.is_asked(head.id) => {
                self.beat_answered(status, came.as_slice());
            }
            Answered::Late => self.statistics.late_answers += 1,
            Answered::Unknown => return self.ignore(),
        }
        Ok(())
    }

    #[inline]
    fn answered(&mut self, token: u64, status: u8, came: Came<'_>, events: &mut Vec<Event>) {
        let bytes = came.as_slice().len();
        if status == status::OK {
            self.statistics.received.replies.add(bytes);
            let payload = came.into_payload();
            events.push(Event::Reply { token, payload });
        } else {
            self.statistics.received.faults.add(bytes);
            events.push(fault(token, status, came.as_slice()));
        }
    }

    fn beat_answered(&mut self, status: u8, payload: &[u8]) {
        let limits = &self.settings.limits;
        let (is_ok, timeout_ms) = (status == status::OK, limits.liveness_timeout_ms);
        let interval_ms = limits.zeebe_heartbeat_interval_ms.min(timeout_ms / 3);
        self.heartbeat
            .answered(is_ok, payload, interval_ms, timeout_ms);
    }

    /// An answer to nothing.
    #[cold]
    fn ignore(&mut self) -> Result<(), Error> {
        self.statistics.ignored_ids += 1;
        if self.statistics.ignored_ids > self.settings.limits.unknown_ids_max.into() {
            return Err(Error::new(
                Reason::UnknownIds,
                "too many replies to unknown ids",
            ));
        }
        Ok(())
    }

    /// A payload longer than we take is dropped as it comes: who sent or asked for it is told at once
    /// and the connection goes on.
    pub(super) fn refuse_long(&mut self, head: &Head, events: &mut Vec<Event>) {
        let limit = self.settings.limits.zeebe_message_bytes_max;
        let text = format!(
            "{} bytes are more than the {limit} of zeebe_message_bytes_max",
            head.length
        );
        match (head.kind, self.role) {
            (Kind::Request, Role::Acceptor) => {
                self.statistics.dropped_unstarted += 1;
                let id = self.served.begin(head.id, 0, 0);
                let body = Body::Borrowed(text.as_bytes());
                self.put_reply(id, head.id, &body, status::HANDLER_EXCEPTION);
            }
            _ => {
                if let Answered::Waiting(token) = self.asked.answer(head.id) {
                    let (code, retry) = (FaultCode::Limit, Retry::Failed);
                    let text = Payload::Whole(text.into());
                    events.push(Event::Fault {
                        token,
                        code,
                        retry,
                        text,
                    });
                }
            }
        }
    }

    /// Puts an answer to the request that the peer calls `wire` into the output.
    #[inline]
    pub(super) fn put_reply(&mut self, id: u64, wire: u64, body: &Body<'_>, status: u8) {
        self.put_address();
        self.output.put_reply(wire, body, status);
        self.served.answer(id, self.output.written());
    }
}

/// The fault that a status means. Without a handler the peer says which subject it has none for.
#[cold]
fn fault(token: u64, status: u8, said: &[u8]) -> Event {
    let said = String::from_utf8_lossy(&said[..said.len().min(TEXT_BYTES_MAX)]);
    let (code, retry, text) = match status {
        status::NO_HANDLER => {
            let text = format!("no handler for {said}");
            (FaultCode::NoHandler, Retry::NotStarted, text)
        }
        status::HANDLER_EXCEPTION => (FaultCode::HandlerFailure, Retry::Failed, said.into_owned()),
        _ => (FaultCode::Protocol, Retry::Unknown, said.into_owned()),
    };
    let text = Payload::Whole(text.into_bytes());
    Event::Fault {
        token,
        code,
        retry,
        text,
    }
}
