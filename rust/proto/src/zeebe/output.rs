//! What waits to be sent: bytes in order, packed as they leave.

use super::compression::{Compression, Packer};
use crate::limits::OUTPUT_CHUNK_BYTES;

/// Memory that an idle output keeps.
const IDLE_BYTES: usize = 4 * 1024;

/// The output of a connection. Its positions count bytes before they are packed.
#[derive(Debug)]
pub(super) struct Output {
    ready: Vec<u8>,
    /// Bytes at the front of `ready` that have left.
    head: usize,
    taken: u64,
    /// The bytes before this position are never packed: the handshake.
    plain_until: u64,
    packer: Option<Packer>,
    packed: Vec<u8>,
    packed_bytes: u64,
    /// How much of `ready` was given to the driver last.
    lent: usize,
}

impl Output {
    pub(super) fn new(compression: Compression, plain_bytes: usize) -> Self {
        Self {
            ready: Vec::new(),
            head: 0,
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
        self.ready.len() - self.head
    }

    /// The next bytes of about 64 KiB at most; the same until they are consumed.
    pub(super) fn chunk(&mut self) -> &[u8] {
        let is_new = self.lent == 0;
        if is_new {
            self.lent = self.bytes().min(OUTPUT_CHUNK_BYTES);
        }
        if self.taken < self.plain_until {
            self.lent = self.lent.min((self.plain_until - self.taken) as usize);
            return &self.ready[self.head..self.head + self.lent];
        }
        let bytes = &self.ready[self.head..self.head + self.lent];
        let Some(packer) = &mut self.packer else {
            return bytes;
        };
        if bytes.is_empty() {
            return bytes;
        }
        if is_new {
            packer.pack(bytes, &mut self.packed);
        }
        &self.packed
    }

    /// The chunk given last has left.
    pub(super) fn consume(&mut self) {
        let lent = std::mem::take(&mut self.lent);
        let is_packed = self.taken >= self.plain_until;
        self.packed_bytes += if is_packed { self.packed.len() } else { lent } as u64;
        self.taken += lent as u64;
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
        self.ready = Vec::new();
        (self.head, self.lent) = (0, 0);
    }

    /// Bytes of memory held.
    pub(super) fn capacity(&self) -> usize {
        self.ready.capacity() + self.packed.capacity()
    }
}
