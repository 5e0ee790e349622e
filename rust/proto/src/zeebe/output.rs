//! What waits to be sent: bytes in order, packed as they leave.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::compression::{Compression, Packer};
use super::wire::{self, Kind};
use crate::codec::append;
use crate::event::Body;
use crate::limits::OUTPUT_CHUNK_BYTES;

/// Memory that an idle output keeps.
const IDLE_BYTES: usize = 4 * 1024;

/// The output of a connection. Its positions count bytes before they are packed.
#[derive(Debug)]
pub(super) struct Output {
    ready: Vec<u8>,
    /// Bytes at the front of `ready` that have left.
    head: usize,
    /// Payloads that leave from where they lie, in order.
    kept: VecDeque<Kept>,
    /// Their bytes.
    kept_bytes: usize,
    taken: u64,
    /// The bytes before this position are never packed: the handshake.
    plain_until: u64,
    packer: Option<Packer>,
    packed: Vec<u8>,
    packed_bytes: u64,
    /// How much was given to the driver last.
    lent: usize,
}

/// The rest of a payload that is not copied, and its position. What stands before and behind it is
/// in `ready`.
#[derive(Debug)]
struct Kept {
    at: u64,
    rest: Bytes,
}

impl Output {
    pub(super) fn new(compression: Compression, plain_bytes: usize) -> Self {
        Self {
            ready: Vec::new(),
            head: 0,
            kept: VecDeque::new(),
            kept_bytes: 0,
            taken: 0,
            plain_until: plain_bytes as u64,
            packer: Packer::new(compression),
            packed: Vec::new(),
            packed_bytes: 0,
            lent: 0,
        }
    }

    /// Where to append.
    #[inline]
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.ready
    }

    /// Appends a request.
    #[inline]
    pub(super) fn put_request(&mut self, id: u64, body: &Body<'_>, subject: &str) {
        let length = body.as_slice().len();
        wire::put_head(&mut self.ready, Kind::Request, id, length);
        self.put_body(body);
        wire::put_subject(&mut self.ready, subject);
    }

    /// Appends a reply.
    #[inline]
    pub(super) fn put_reply(&mut self, id: u64, body: &Body<'_>, status: u8) {
        let length = body.as_slice().len();
        wire::put_head(&mut self.ready, Kind::Reply, id, length);
        self.put_body(body);
        self.ready.push(status);
    }

    /// A long payload that may be kept is not copied: the memory for it would be new each time.
    #[inline]
    fn put_body(&mut self, body: &Body<'_>) {
        match body {
            Body::Owned(bytes) if bytes.len() > OUTPUT_CHUNK_BYTES => {
                let (at, rest) = (self.written(), bytes.clone());
                self.kept.push_back(Kept { at, rest });
                self.kept_bytes += bytes.len();
            }
            body => append(&mut self.ready, body.as_slice()),
        }
    }

    /// Bytes ever appended.
    #[inline]
    pub(super) fn written(&self) -> u64 {
        self.taken + self.bytes() as u64
    }

    /// Bytes of them that have left.
    #[inline]
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes on the wire.
    pub(super) fn wire_bytes(&self) -> u64 {
        match self.packer {
            Some(_) => self.packed_bytes,
            None => self.taken,
        }
    }

    /// Bytes that wait.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.ready.len() - self.head + self.kept_bytes
    }

    /// What leaves next and lies in one piece.
    #[inline]
    fn front(&self) -> &[u8] {
        let ready = &self.ready[self.head..];
        match self.kept.front() {
            None => ready,
            Some(kept) if kept.at == self.taken => &kept.rest,
            Some(kept) => &ready[..(kept.at - self.taken) as usize],
        }
    }

    /// The next bytes of about 64 KiB at most; the same until they are consumed.
    pub(super) fn chunk(&mut self) -> &[u8] {
        let is_new = self.lent == 0;
        if is_new {
            self.lent = self.front().len().min(OUTPUT_CHUNK_BYTES);
        }
        if self.taken < self.plain_until {
            self.lent = self.lent.min((self.plain_until - self.taken) as usize);
        }
        if self.packer.is_none() || self.lent == 0 || self.taken < self.plain_until {
            return &self.front()[..self.lent];
        }
        if is_new {
            self.pack();
        }
        &self.packed
    }

    fn pack(&mut self) {
        let Some(mut packer) = self.packer.take() else {
            return;
        };
        let mut packed = std::mem::take(&mut self.packed);
        packer.pack(&self.front()[..self.lent], &mut packed);
        (self.packer, self.packed) = (Some(packer), packed);
    }

    /// The chunk given last has left.
    pub(super) fn consume(&mut self) {
        let lent = std::mem::take(&mut self.lent);
        let is_packed = self.taken >= self.plain_until;
        self.packed_bytes += if is_packed { self.packed.len() } else { lent } as u64;
        match self.kept.front_mut() {
            Some(kept) if kept.at == self.taken => {
                kept.at += lent as u64;
                kept.rest.advance(lent);
                self.kept_bytes -= lent;
                if kept.rest.is_empty() {
                    self.kept.pop_front();
                }
            }
            _ => self.consume_ready(lent),
        }
        self.taken += lent as u64;
    }

    fn consume_ready(&mut self, lent: usize) {
        self.head += lent;
        if self.head == self.ready.len() {
            self.ready.clear();
            self.ready.shrink_to(IDLE_BYTES.max(2 * OUTPUT_CHUNK_BYTES));
            self.head = 0;
        } else if self.head >= self.ready.len() / 2 && self.head >= OUTPUT_CHUNK_BYTES {
            self.ready.drain(..self.head);
            self.head = 0;
        }
    }

    /// Drops everything that waits.
    pub(super) fn clear(&mut self) {
        (self.ready, self.kept) = (Vec::new(), VecDeque::new());
        (self.head, self.kept_bytes, self.lent) = (0, 0, 0);
    }

    /// Bytes of memory held, without the payloads of the application's.
    pub(super) fn capacity(&self) -> usize {
        self.ready.capacity() + self.packed.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: usize = 3 * OUTPUT_CHUNK_BYTES + 1;

    /// What leaves, and in how many pieces.
    fn drain(output: &mut Output) -> (Vec<u8>, usize) {
        let (mut bytes, mut pieces) = (Vec::new(), 0);
        loop {
            let chunk = output.chunk();
            assert!(chunk.len() <= OUTPUT_CHUNK_BYTES);
            if chunk.is_empty() {
                return (bytes, pieces);
            }
            bytes.extend_from_slice(chunk);
            pieces += 1;
            output.consume();
        }
    }

    fn written(bodies: &[Body<'_>]) -> Output {
        let mut output = Output::new(Compression::None, 0);
        for (id, body) in bodies.iter().enumerate() {
            output.put_request(id as u64, body, "subject");
            output.put_reply(id as u64, body, 3);
        }
        output
    }

    #[test]
    fn kept_payloads_leave_as_copied_ones_do() {
        for lengths in [[0, 1, 2], [1, LONG, 1], [LONG, LONG, 0], [LONG; 3]] {
            let payloads = lengths.map(|length| vec![length as u8; length]);
            let borrowed = payloads.each_ref().map(|bytes| Body::Borrowed(bytes));
            let owned = payloads.clone().map(|bytes| Body::Owned(bytes.into()));
            let (mut copied, mut kept) = (written(&borrowed), written(&owned));
            assert_eq!(copied.written(), kept.written());
            assert_eq!(drain(&mut copied).0, drain(&mut kept).0, "{lengths:?}");
            assert_eq!((kept.bytes(), kept.taken()), (0, copied.taken()));
        }
    }

    #[test]
    fn a_long_payload_is_kept_and_given_back_as_it_leaves() {
        let payload = Bytes::from(vec![7; LONG]);
        let mut output = written(&[Body::Owned(payload.clone())]);
        assert!(output.capacity() < OUTPUT_CHUNK_BYTES);
        assert!(!payload.is_unique());
        // Two heads, two payloads and two tails, of which one tail and one head lie together.
        assert_eq!(
            drain(&mut output).1,
            3 + 2 * LONG.div_ceil(OUTPUT_CHUNK_BYTES)
        );
        assert!(payload.is_unique());
    }

    #[test]
    fn what_is_cleared_is_not_kept() {
        let payload = Bytes::from(vec![7; LONG]);
        let mut output = written(&[Body::Owned(payload.clone())]);
        output.consume();
        output.chunk();
        output.clear();
        assert!(payload.is_unique() && output.chunk().is_empty());
        assert_eq!(output.bytes(), 0);
    }
}
