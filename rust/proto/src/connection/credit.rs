//! Credit in both directions, and room for those who were refused.

use super::Connection;
use super::input::Frame;
use crate::credit::Total;
use crate::error::{Error, Reason};
use crate::event::Event;
use crate::frame::{Header, Kind, credit_body, read_credit};
use crate::room::Refused;

fn bad_credit() -> Error {
    Error::new(
        Reason::BadCredit,
        "a credit goes back or exceeds what was sent",
    )
}

impl Connection {
    pub(super) fn take_credit(
        &mut self,
        frame: Frame<'_>,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let (count, bytes) = read_credit(frame.body())?;
        let credit = Total { count, bytes };
        match frame.header {
            Header { subject: 0, id, .. } => self.take_stream_credit(id, credit, events),
            Header { subject, .. } => self.take_subject_credit(subject, credit, events),
        }
    }

    fn take_subject_credit(
        &mut self,
        number: u16,
        credit: Total,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let window = self.peer.subject_window();
        let Some(subject) = self.subjects.get_mut(number) else {
            return Err(Error::new(Reason::BadSubject, "a credit is for no subject"));
        };
        let messages = subject.credit.advance(credit).ok_or_else(bad_credit)?;
        if messages == 0 {
            return self.spend_overhead();
        }
        self.confirmed += messages;
        let fits = |bytes: &mut usize| subject.credit.fits(*bytes, window);
        if subject.wanted.take_if(fits).is_some() {
            events.push(Event::Room { subject: number });
        }
        Ok(())
    }

    fn take_stream_credit(
        &mut self,
        id: u64,
        credit: Total,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let window = self.peer.stream_window();
        let Some(stream) = self.streams.get_mut(id) else {
            return self.ignore();
        };
        let messages = stream.sent.advance(credit).ok_or_else(bad_credit)?;
        let told = !stream.reset_sent;
        let fits = |bytes: &mut usize| stream.sent.fits(*bytes, window);
        let room = stream.wanted.take_if(fits).is_some();
        if messages == 0 {
            return self.spend_overhead();
        }
        if told {
            events.push(Event::StreamAcknowledged {
                id,
                count: credit.count,
            });
        }
        if told && room {
            events.push(Event::StreamRoom { id });
        }
        self.settle_stream(id);
        Ok(())
    }

    /// The peer's HELLO has come: what did not fit into the initial windows may fit now.
    pub(super) fn raise_windows(&mut self, events: &mut Vec<Event>) {
        let fitting = self.subjects.take_fitting(self.peer.subject_window());
        events.extend(fitting.into_iter().map(|subject| Event::Room { subject }));
        let window = self.peer.stream_window();
        for id in self.streams.ids().collect::<Vec<_>>() {
            let Some(stream) = self.streams.get_mut(id) else {
                continue;
            };
            let fits = |bytes: &mut usize| stream.sent.fits(*bytes, window);
            if stream.wanted.take_if(fits).is_some() {
                events.push(Event::StreamRoom { id });
            }
        }
    }

    /// The application has consumed `count` messages of the peer on a subject, with `bytes` of
    /// payload and metadata. The peer is told when half the window is consumed, or when it pings.
    pub fn release_subject(&mut self, subject: u16, count: u32, bytes: u64) {
        let limits = &self.settings.limits;
        let (window, message_bytes_max) = (limits.subject_window(), limits.message_bytes_max);
        let Some(credit) = self.announced.credit_mut(subject) else {
            return;
        };
        credit.release(count.into(), bytes);
        if credit.is_due(window, message_bytes_max) {
            self.flush_credit(subject);
        }
    }

    /// Tells the peer now what has been consumed on a subject.
    pub fn flush_credit(&mut self, subject: u16) {
        let Some(credit) = self.announced.credit_mut(subject) else {
            return;
        };
        if let Some(total) = credit.report() {
            self.put_credit(subject, 0, total);
        }
    }

    pub(super) fn report_subjects(&mut self) {
        let reports = self.announced.iter_mut();
        let reports = reports.filter_map(|(number, credit)| Some((number, credit.report()?)));
        for (subject, total) in reports.collect::<Vec<_>>() {
            self.put_credit(subject, 0, total);
        }
    }

    pub(super) fn put_credit(&mut self, subject: u16, id: u64, total: Total) {
        if !self.is_closed() {
            let body = credit_body(total.count, total.bytes);
            self.output
                .put_control(Header::new(Kind::Credit, 0, subject, id), &body);
        }
    }

    /// Gives the events that commands and the departure of output have caused. They make
    /// [`poll_timeout`](Self::poll_timeout) say [`Time::ZERO`](crate::time::Time::ZERO).
    pub fn poll_events(&mut self, events: &mut Vec<Event>) {
        self.push_due(events);
    }

    /// Whether events wait that no input has caused.
    pub(super) fn has_due(&self) -> bool {
        !self.pending.is_empty() || self.output_has_room() || self.request_has_room()
    }

    fn output_has_room(&self) -> bool {
        let low = self.settings.limits.output_bytes_low;
        self.room.waits_for_output() && self.output.bytes() <= low
    }

    fn request_has_room(&self) -> bool {
        let window = self.peer.request_window();
        let fits = |bytes| self.asked.fits(bytes, window);
        self.room.request_bytes.is_some_and(fits)
            || self
                .room
                .start_bytes
                .is_some_and(|bytes| self.output.lanes.can_start(bytes))
    }

    #[inline]
    pub(super) fn push_due(&mut self, events: &mut Vec<Event>) {
        events.append(&mut self.pending);
        if self.output_has_room() {
            self.room.tell_output(events);
        }
        if self.request_has_room() {
            (self.room.request_bytes, self.room.start_bytes) = (None, None);
            events.push(Event::RequestRoom);
        }
        self.room.tell_time(self.now, events);
    }

    /// Whether a message without content may be sent now; else its sender is told when.
    pub(super) fn may_send_empty(&mut self, refused: Refused) -> bool {
        let may = self.own_overhead.spend(self.now, 0);
        if !may {
            self.room
                .wait_for_time(refused, self.own_overhead.next_token());
        }
        may
    }
}
