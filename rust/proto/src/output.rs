//! What waits to be sent: control frames, frames in order, and the order in which they leave.

use std::collections::VecDeque;

use crate::codec::append;
use crate::frame::{Header, put};
use crate::lanes::Lanes;
use crate::limits::{HEADER_BYTES, OUTPUT_CHUNK_BYTES, OUTPUT_MARK_BYTES};

/// Memory that an idle output keeps.
const IDLE_BYTES: usize = 4 * 1024;

/// What was given to the driver last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Lent {
    #[default]
    Nothing,
    Control(usize),
    Ready(usize),
}

/// The output of a connection.
#[derive(Debug, Default)]
pub(crate) struct Output {
    control: Vec<u8>,
    ready: Vec<u8>,
    /// Bytes at the front of `ready` that have left.
    head: usize,
    /// Bytes ever put into `ready`.
    written: u64,
    /// Bytes of them that have left.
    taken: u64,
    /// Ends of frames at which `ready` may be cut, as counts like `written`.
    marks: VecDeque<u64>,
    marked: u64,
    lent: Lent,
    control_taken: u64,
    /// The most that `ready` has held since memory was last given back.
    peak: usize,
    /// Messages whose fragments take turns.
    pub(crate) lanes: Lanes,
}

impl Output {
    /// Queues a frame that overtakes all frames in order.
    pub(crate) fn put_control(&mut self, header: Header, body: &[u8]) {
        put(&mut self.control, header, body);
    }

    /// Queues bytes before everything else; only the preface is not a frame.
    pub(crate) fn put_preface(&mut self, preface: &[u8]) {
        self.control.extend_from_slice(preface);
    }

    /// Queues a frame of which the body is `fields` and `payload`, behind those before it.
    #[inline]
    pub(crate) fn put(&mut self, header: Header, fields: &[u8], payload: &[u8]) {
        let length = fields.len() + payload.len();
        if length >= OUTPUT_MARK_BYTES {
            self.mark();
        }
        self.ready.reserve(HEADER_BYTES + length);
        self.ready.extend_from_slice(
            &Header {
                length: length as u32,
                ..header
            }
            .to_bytes(),
        );
        self.ready.extend_from_slice(fields);
        append(&mut self.ready, payload);
        self.written += (HEADER_BYTES + length) as u64;
        if self.written - self.marked >= OUTPUT_MARK_BYTES as u64 {
            self.mark();
        }
    }

    #[cold]
    fn mark(&mut self) {
        if self.written > self.marked.max(self.taken) {
            self.marks.push_back(self.written);
            self.marked = self.written;
        }
    }

    /// Bytes ever put in order: where the next frame begins.
    #[inline]
    #[must_use]
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Bytes in order that have left.
    #[inline]
    #[must_use]
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes that have left, of all kinds.
    #[must_use]
    pub(crate) const fn taken_all(&self) -> u64 {
        self.taken + self.control_taken
    }

    /// Bytes that wait.
    #[inline]
    #[must_use]
    pub(crate) const fn bytes(&self) -> usize {
        self.control.len() + self.ready.len() - self.head + self.lanes.bytes()
    }

    /// Lets fragments take their turns until one chunk is full. Tells each frame that ends a
    /// message, and where in the output it ends.
    pub(crate) fn fill(&mut self, mut ended: impl FnMut(Header, u64)) {
        while self.ready.len() - self.head < OUTPUT_CHUNK_BYTES {
            let Some(turn) = self.lanes.next_turn() else {
                break;
            };
            self.put(turn.header, &turn.fields, &turn.payload);
            if turn.last {
                ended(turn.header, self.written);
            }
        }
    }

    /// The next chunk: all control frames, else frames in order up to about 64 KiB.
    pub(crate) fn chunk(&mut self) -> &[u8] {
        if !self.control.is_empty() {
            self.lent = Lent::Control(self.control.len());
            return &self.control;
        }
        let bytes = self.chunk_bytes();
        self.lent = Lent::Ready(bytes);
        self.peak = self.peak.max(self.ready.len());
        &self.ready[self.head..self.head + bytes]
    }

    fn chunk_bytes(&self) -> usize {
        let (all, taken) = (self.ready.len() - self.head, self.taken);
        if all <= OUTPUT_CHUNK_BYTES {
            return all;
        }
        let cuts = self.marks.iter().map(|mark| (mark - taken) as usize);
        let fitting = cuts
            .clone()
            .take_while(|cut| *cut <= OUTPUT_CHUNK_BYTES)
            .last();
        fitting.or_else(|| cuts.min()).unwrap_or(all)
    }

    /// The chunk given last has left.
    pub(crate) fn consume(&mut self) {
        match std::mem::replace(&mut self.lent, Lent::Nothing) {
            Lent::Nothing => {}
            Lent::Control(bytes) => self.consume_control(bytes),
            Lent::Ready(bytes) => self.consume_ready(bytes),
        }
    }

    fn consume_control(&mut self, bytes: usize) {
        self.control_taken += bytes as u64;
        self.control.drain(..bytes);
        if self.control.is_empty() && self.control.capacity() > IDLE_BYTES {
            self.control = Vec::new();
        }
    }

    fn consume_ready(&mut self, bytes: usize) {
        self.head += bytes;
        self.taken += bytes as u64;
        if self.head == self.ready.len() {
            self.ready.clear();
            self.head = 0;
        } else if self.head >= self.ready.len() / 2 && self.head >= OUTPUT_CHUNK_BYTES {
            self.ready.drain(..self.head);
            self.head = 0;
        }
        let taken = self.taken;
        while self.marks.front().is_some_and(|mark| *mark <= taken) {
            self.marks.pop_front();
        }
    }

    /// Drops everything but control frames that wait.
    pub(crate) fn drop_messages(&mut self) {
        self.ready = Vec::new();
        (self.head, self.marked) = (0, self.written);
        self.marks.clear();
        self.lanes = Lanes::default();
        if matches!(self.lent, Lent::Ready(_)) {
            self.lent = Lent::Nothing;
        }
    }

    /// Drops everything that waits, for an acceptor that has not greeted.
    pub(crate) fn drop_all(&mut self) {
        self.drop_messages();
        self.control.clear();
        self.lent = Lent::Nothing;
    }

    /// Whether nothing waits.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes() == 0
    }

    /// Gives back memory that was not needed since the last call.
    pub(crate) fn shrink(&mut self) {
        if self.ready.is_empty() && self.ready.capacity() > 2 * self.peak.max(IDLE_BYTES) {
            self.ready = Vec::with_capacity(self.peak);
        }
        self.peak = self.ready.len();
        self.marks.shrink_to(8);
    }

    /// Bytes of memory held for frames in order.
    #[must_use]
    pub(crate) fn capacity(&self) -> usize {
        self.ready.capacity() + self.control.capacity()
    }
}
