//! Bodies of answers in anti-entropy.

use crate::limits::{HEADER_BYTES, SYNC_DATAGRAMS_MAX, TAG_BYTES};
use crate::member::Record;
use crate::wire::{Message, State, Summaries, Summary};

/// Bodies being filled, each beginning with [`Message::Part`].
pub(super) struct Parts {
    limit: usize,
    bodies: Vec<Vec<u8>>,
    body: Vec<u8>,
    /// Summaries for the body being filled.
    summaries: Vec<u8>,
    more: bool,
}

/// Bytes of the type and length of the summaries in a body.
const SUMMARIES_HEAD: usize = 4;
const SUMMARY_BYTES_MAX: usize = 19;

impl Parts {
    pub(super) const fn new(datagram_bytes_max: usize) -> Self {
        Self {
            limit: datagram_bytes_max - HEADER_BYTES - TAG_BYTES,
            bodies: Vec::new(),
            body: Vec::new(),
            summaries: Vec::new(),
            more: false,
        }
    }

    /// Adds a member; false when there is no more room.
    pub(super) fn put(&mut self, record: &Record, whole: bool) -> bool {
        if self.more {
            return false;
        }
        let present = record.state.is_present();
        let mut described = Vec::new();
        if whole && present {
            Message::Alive(record.profile.describe(record.incarnation)).encode(&mut described);
        }
        let filled = self.body.len() + self.summaries.len() + SUMMARIES_HEAD;
        if filled + described.len() + SUMMARY_BYTES_MAX > self.limit {
            self.close(false);
            if self.bodies.len() >= SYNC_DATAGRAMS_MAX - 1 {
                self.more = true;
                return false;
            }
        }
        if self.body.is_empty() {
            part(false, false).encode(&mut self.body);
        }
        self.body.extend_from_slice(&described);
        if described.is_empty() || record.state == State::Suspect {
            Summaries::put(&mut self.summaries, &summary(record));
        }
        true
    }

    fn close(&mut self, last: bool) {
        if self.body.is_empty() || last {
            let mut body = Vec::new();
            part(last, self.more && last).encode(&mut body);
            body.extend_from_slice(self.body.get(body.len()..).unwrap_or_default());
            self.body = body;
        }
        if !self.summaries.is_empty()
            && let Ok(summaries) = Summaries::new(&self.summaries)
        {
            Message::Summaries(summaries).encode(&mut self.body);
        }
        self.summaries.clear();
        self.bodies.push(std::mem::take(&mut self.body));
    }

    /// All bodies, the last one marked.
    pub(super) fn finish(mut self) -> Vec<Vec<u8>> {
        self.close(true);
        self.bodies
    }

    /// The bodies of an answer that is not the end of an exchange.
    pub(super) fn finish_some(mut self) -> Vec<Vec<u8>> {
        if !self.body.is_empty() {
            self.close(false);
        }
        self.bodies
    }
}

const fn part(last: bool, more: bool) -> Message<'static> {
    Message::Part { last, more }
}

fn summary(record: &Record) -> Summary {
    Summary {
        sid: record.sid,
        state: record.state,
        incarnation: record.incarnation,
        version: record.profile.version,
    }
}
