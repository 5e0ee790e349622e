//! Frames in that are not messages: HELLO, SUBJECT, FAULT, CANCEL, PING, PONG and GOAWAY.

use super::Connection;
use super::input::Frame;
use crate::assembly::Key;
use crate::codec::Reader;
use crate::error::{Error, Reason};
use crate::event::{Event, SendError};
use crate::fault::FaultCode;
use crate::frame::{Header, Kind, read_fault, read_reason};
use crate::hello::Hello;
use crate::request::Work;
use crate::table::{Phase, Role};

impl Connection {
    pub(super) fn take_hello(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let hello = Hello::decode(frame.body())?;
        if hello.cluster != self.settings.cluster {
            let detail = format!("this node is not in cluster {:?}", hello.cluster);
            return Err(Error::new(Reason::WrongCluster, detail));
        }
        self.liveness.greet(hello.liveness_timeout_ms, self.now);
        self.output
            .lanes
            .set_started_bytes_max(hello.assembly_bytes_max);
        *self.peer = hello;
        self.greeted = true;
        self.phase = Phase::Open;
        if self.role == Role::Acceptor {
            self.refusal = None;
            self.put_hello();
        }
        if let Some(body) = self.goaway_held.take() {
            self.put_goaway(&body);
        }
        events.push(Event::Greeted);
        self.raise_windows(events);
        Ok(())
    }

    pub(super) fn put_goaway(&mut self, body: &[u8]) {
        self.phase = Phase::Leaving;
        self.output
            .put_control(Header::new(Kind::GoAway, 0, 0, 0), body);
    }

    pub(super) fn take_subject(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let subject = frame.header.subject;
        let Ok(name) = str::from_utf8(frame.body()) else {
            return Err(Error::new(
                Reason::BadSubject,
                "a subject's name is not UTF-8",
            ));
        };
        if !self
            .announced
            .insert(subject, name, self.settings.limits.subjects_max)
        {
            return Err(Error::new(
                Reason::BadSubject,
                "a subject's number is not the next one",
            ));
        }
        events.push(Event::SubjectAnnounced { subject });
        Ok(())
    }

    pub(super) fn take_fault(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let id = frame.header.id;
        let (code, retry, text) = read_fault(frame.body())?;
        if id == 0 {
            return Err(Error::from_peer(code, self.greeted, text.to_owned()));
        }
        self.assembly.remove(Key::Reply(id));
        self.statistics.received.faults.add(frame.len());
        if let Some(token) = self.take_answer(id)? {
            let text = frame.payload(3..frame.len());
            events.push(Event::Fault {
                token,
                code,
                retry,
                text,
            });
        }
        Ok(())
    }

    /// As many cancels as requests are free; more of them carry nothing.
    pub(super) fn take_cancel(&mut self, id: u64, events: &mut Vec<Event>) -> Result<(), Error> {
        self.statistics.received.cancels += 1;
        if self.statistics.received.cancels > self.taken.begun() {
            self.spend_overhead()?;
        }
        if !self.taken.is_past(id) {
            return self.ignore();
        }
        match self.taken.work(id) {
            Work::Arriving => {
                self.assembly.remove(Key::Request(id));
                self.decline(id, FaultCode::Cancelled, "");
            }
            Work::Running => {
                self.taken.cancel(id);
                events.push(Event::Cancelled { id });
            }
            Work::Free | Work::Cancelled | Work::Answering => {}
        }
        Ok(())
    }

    /// A ping is answered, and the peer learns all that has been consumed.
    pub(super) fn take_ping(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        self.spend_overhead()?;
        self.statistics.received.pings += 1;
        self.output
            .put_control(Header::new(Kind::Pong, 0, 0, 0), frame.body());
        self.report_subjects();
        Ok(())
    }

    pub(super) fn take_pong(&mut self, frame: Frame<'_>) -> Result<(), Error> {
        let value = Reader::new(frame.body()).u64();
        if value.is_some_and(|value| self.liveness.pong(value, self.now)) {
            return Ok(());
        }
        self.spend_overhead()
    }

    pub(super) fn take_goaway(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let (code, _) = read_reason(frame.body())?;
        if self.peer_leaves {
            return self.spend_overhead();
        }
        self.peer_leaves = true;
        self.refusal.get_or_insert(SendError::GoingAway);
        events.push(Event::GoAway {
            code,
            text: frame.payload(2..frame.len()),
        });
        Ok(())
    }
}
