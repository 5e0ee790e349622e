//! Messages in: first fragments and the fragments behind them.

use std::ops::Range;

use super::Connection;
use super::deliver::Arrived;
use super::input::Frame;
use crate::assembly::{Key, Message};
use crate::codec::Reader;
use crate::error::{Error, Reason};
use crate::event::{Event, Metadata, Payload};
use crate::frame::{CONTINUED, Header, Kind, LAST, METADATA};
use crate::limits::{FRAGMENT_BYTES_MAX, FRAGMENT_BYTES_MIN};
use crate::metadata;
use crate::time::Time;

/// The fields of a first fragment.
pub(super) struct First {
    deadline: Option<Time>,
    /// Payload bytes of the whole message.
    total: usize,
    metadata: Range<usize>,
    payload: Range<usize>,
}

impl First {
    /// What the message counts in a window.
    pub(super) fn bytes(&self) -> usize {
        self.total + self.metadata.len()
    }
}

pub(super) fn key_of(kind: Kind, header: &Header) -> Key {
    match kind {
        Kind::Request => Key::Request(header.id),
        Kind::Reply => Key::Reply(header.id),
        Kind::Send => Key::Send(header.subject),
        _ => Key::Stream(header.id),
    }
}

impl Connection {
    /// A fragment or a whole message that did not go the short way.
    pub(super) fn take_message(
        &mut self,
        kind: Kind,
        frame: Frame<'_>,
        declined: bool,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        if frame.header.has(CONTINUED) {
            return self.take_continued(kind, frame, declined, events);
        }
        let first = self.read_first(kind, &frame)?;
        if !self.admit(kind, &frame.header, &first)? {
            return Ok(());
        }
        if frame.header.has(LAST) {
            let arrived = Arrived {
                subject: frame.header.subject,
                deadline: first.deadline,
                metadata: block(&frame, &first),
                payload: frame.payload(first.payload),
            };
            return self.deliver(kind, frame.header.id, arrived, declined, events);
        }
        self.begin(kind, &frame, &first)
    }

    fn begin(&mut self, kind: Kind, frame: &Frame<'_>, first: &First) -> Result<(), Error> {
        let payload = &frame.body()[first.payload.clone()];
        let mut message = Message::new(first.total, payload, self.now);
        message.subject = frame.header.subject;
        message.deadline = first.deadline;
        message.metadata = block(frame, first);
        self.assembly.begin(key_of(kind, &frame.header), message)
    }

    fn read_first(&self, kind: Kind, frame: &Frame<'_>) -> Result<First, Error> {
        let mut reader = Reader::new(frame.body());
        let fields = self.read_fields(kind, &frame.header, &mut reader);
        let (deadline_ms, total, metadata_bytes) = fields
            .ok_or_else(|| Error::new(Reason::BadFrame, "a message is cut before its payload"))?;
        let rest = reader.rest().len();
        if metadata_bytes > rest {
            return Err(Error::new(
                Reason::BadFrame,
                "metadata is longer than its frame",
            ));
        }
        let start = frame.len() - rest;
        let payload = start + metadata_bytes..frame.len();
        let first = First {
            deadline: self.deadline(deadline_ms),
            total: total.unwrap_or(payload.len()),
            metadata: start..payload.start,
            payload,
        };
        self.check_first(frame, &first)?;
        Ok(first)
    }

    /// The deadline, the total of a message with more fragments, and the length of the metadata.
    fn read_fields(
        &self,
        kind: Kind,
        header: &Header,
        reader: &mut Reader<'_>,
    ) -> Option<(u32, Option<usize>, usize)> {
        let deadline_ms = if kind == Kind::Request {
            reader.u32()?
        } else {
            0
        };
        let total = if header.has(LAST) {
            None
        } else {
            Some(reader.u32()? as usize)
        };
        let metadata_bytes = if header.has(METADATA) {
            reader.u16()?.into()
        } else {
            0
        };
        Some((deadline_ms, total, metadata_bytes))
    }

    fn check_first(&self, frame: &Frame<'_>, first: &First) -> Result<(), Error> {
        let limits = &self.settings.limits;
        check_fragment(first.payload.len(), frame.header.has(LAST))?;
        if first.total > limits.message_bytes_max as usize {
            return Err(Error::new(
                Reason::Oversize,
                "a message is longer than allowed",
            ));
        }
        if !frame.header.has(LAST) && first.total <= first.payload.len() {
            return Err(Error::new(
                Reason::BadFrame,
                "a message with more fragments has none left",
            ));
        }
        if first.metadata.len() > limits.metadata_bytes_max as usize {
            return Err(Error::new(
                Reason::Oversize,
                "metadata is longer than allowed",
            ));
        }
        let block = &frame.body()[first.metadata.clone()];
        if frame.header.has(METADATA) && !metadata::is_well_formed(block) {
            return Err(Error::new(
                Reason::BadFrame,
                "metadata is not a list of pairs",
            ));
        }
        Ok(())
    }

    fn take_continued(
        &mut self,
        kind: Kind,
        frame: Frame<'_>,
        declined: bool,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let (key, last) = (key_of(kind, &frame.header), frame.header.has(LAST));
        check_fragment(frame.len(), last)?;
        if !self.assembly.contains(key) {
            return self.take_stray(kind, frame.header.id);
        }
        let Some(message) = self.assembly.extend(key, frame.body(), last)? else {
            return Ok(());
        };
        let arrived = Arrived {
            subject: message.subject,
            deadline: message.deadline,
            metadata: message.metadata,
            payload: Payload::Whole(message.bytes),
        };
        self.deliver(kind, frame.header.id, arrived, declined, events)
    }

    /// A fragment whose message was dropped is dropped too.
    fn take_stray(&mut self, kind: Kind, id: u64) -> Result<(), Error> {
        let nothing = || Error::new(Reason::BadFrame, "a fragment continues no message");
        match kind {
            Kind::Request => self.ignore(),
            Kind::Reply if !self.asked.contains(id) => self.ignore(),
            Kind::StreamData => match self.streams.get_mut(id) {
                Some(stream) if stream.reset_sent && !stream.peer_ended => Ok(()),
                Some(_) => Err(nothing()),
                None => self.ignore(),
            },
            _ => Err(nothing()),
        }
    }
}

fn block(frame: &Frame<'_>, first: &First) -> Option<Metadata> {
    let block = &frame.body()[first.metadata.clone()];
    (!block.is_empty()).then(|| Metadata::from(block))
}

fn check_fragment(payload: usize, last: bool) -> Result<(), Error> {
    if payload > FRAGMENT_BYTES_MAX {
        return Err(Error::new(
            Reason::Oversize,
            "a fragment is longer than 64 KiB",
        ));
    }
    if !last && payload < FRAGMENT_BYTES_MIN {
        return Err(Error::new(
            Reason::BadFrame,
            "a fragment before the last is below 4 KiB",
        ));
    }
    Ok(())
}
