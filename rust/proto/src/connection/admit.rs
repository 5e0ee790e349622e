//! Whether a message may begin: ids, windows and subjects.

use super::Connection;
use super::message::{First, key_of};
use crate::error::{Error, Reason};
use crate::frame::{Header, Kind};
use crate::request::Admission;

fn over_window() -> Error {
    Error::new(Reason::OverWindow, "more than the window allows")
}

impl Connection {
    /// Whether a message may begin; `false` when it is dropped.
    pub(super) fn admit(
        &mut self,
        kind: Kind,
        header: &Header,
        first: &First,
    ) -> Result<bool, Error> {
        let uses_subject = !matches!(kind, Kind::Reply | Kind::StreamData);
        if uses_subject && !self.announced.contains(header.subject) {
            return Err(Error::new(
                Reason::BadSubject,
                "a subject was not announced",
            ));
        }
        if self.assembly.contains(key_of(kind, header)) {
            return Err(Error::new(
                Reason::BadFrame,
                "a message begins before the last one ended",
            ));
        }
        match kind {
            Kind::Request => self.admit_request(header.id, first),
            Kind::Reply if self.asked.contains(header.id) => Ok(true),
            Kind::Reply => self.ignore().map(|()| false),
            Kind::Send => self.admit_send(header.subject, first),
            Kind::StreamOpen => self.admit_stream(header.id),
            _ => self.admit_stream_data(header.id, first.bytes()),
        }
    }

    fn admit_request(&mut self, id: u64, first: &First) -> Result<bool, Error> {
        let window = self.settings.limits.request_window();
        match self
            .taken
            .admit(id, first.bytes(), window, self.output.taken())
        {
            Admission::New => Ok(true),
            Admission::Duplicate => self.ignore().map(|()| false),
            Admission::OverWindow => Err(over_window()),
        }
    }

    fn admit_send(&mut self, subject: u16, first: &First) -> Result<bool, Error> {
        let window = self.settings.limits.subject_window();
        let Some(credit) = self.announced.credit_mut(subject) else {
            return Ok(false);
        };
        if !credit.fits(first.bytes(), window) {
            return Err(over_window());
        }
        credit.take(first.bytes());
        if first.bytes() == 0 {
            self.spend_overhead()?;
        }
        Ok(true)
    }

    fn admit_stream_data(&mut self, id: u64, bytes: usize) -> Result<bool, Error> {
        let window = self.settings.limits.stream_window();
        let Some(stream) = self.streams.get_mut(id) else {
            return self.ignore().map(|()| false);
        };
        if stream.peer_ended {
            return Err(Error::new(
                Reason::WrongState,
                "a message follows the end of its stream",
            ));
        }
        if !stream.received.fits(bytes, window) {
            return Err(over_window());
        }
        stream.received.take(bytes);
        let wanted = !stream.reset_sent;
        if bytes == 0 {
            self.spend_overhead()?;
        }
        Ok(wanted)
    }
}
