//! The peer's requests: each keeps its place until its answer has left, so that a peer that asks
//! and never reads is held to the window.

use std::collections::VecDeque;

use crate::limits::Window;

const SLOT_BITS: u32 = 16;

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Ours; 0 while the slot is free.
    id: u64,
    /// The peer's, which need not be unique.
    wire: u64,
    subject: u16,
    bytes: u32,
}

/// Messages and their bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    count: u64,
    bytes: u64,
}

impl Load {
    fn fits(&self, bytes: usize, window: Window) -> bool {
        let is_first = self.count == 0;
        let fits = self.bytes + bytes as u64 <= window.bytes;
        self.count < u64::from(window.count) && (fits || is_first)
    }

    fn add(&mut self, bytes: u32) {
        self.count += 1;
        self.bytes += u64::from(bytes);
    }

    fn remove(&mut self, count: u64, bytes: u64) {
        self.count = self.count.saturating_sub(count);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Served {
    slots: Vec<Entry>,
    free: Vec<u16>,
    counter: u64,
    /// Requests without an answer, and answers that have not left.
    held: Load,
    /// Requests the application has.
    running: usize,
    /// Answers in the output: where they end, and the bytes of what they answer.
    leaving: VecDeque<(u64, u32)>,
    /// Messages that were taken as one-way and are not consumed.
    unconsumed: Load,
    /// Requests of the present input: each of them may yet be taken as one-way.
    undecided: Load,
}

impl Served {
    /// The requests given out before are decided: new input begins.
    pub(super) fn decide(&mut self) {
        self.undecided = Load::default();
    }

    /// Whether a request of `bytes` may begin. A lone one always may, whatever its size.
    #[inline]
    pub(super) fn fits(&self, bytes: usize, requests: Window, sends: Window) -> bool {
        let sent = Load {
            count: self.unconsumed.count + self.undecided.count,
            bytes: self.unconsumed.bytes + self.undecided.bytes,
        };
        self.held.fits(bytes, requests) && sent.fits(bytes, sends)
    }

    /// A request is given to the application under the id that is returned.
    #[inline]
    pub(super) fn begin(&mut self, wire: u64, subject: u16, bytes: usize) -> u64 {
        let bytes = bytes as u32;
        let slot = self.free.pop().unwrap_or(self.slots.len() as u16);
        self.counter += 1;
        let id = self.counter << SLOT_BITS | u64::from(slot);
        let entry = Entry {
            id,
            wire,
            subject,
            bytes,
        };
        match self.slots.get_mut(usize::from(slot)) {
            Some(free) => *free = entry,
            None => self.slots.push(entry),
        }
        self.running += 1;
        self.held.add(bytes);
        self.undecided.add(bytes);
        id
    }

    /// The id and subject that a running request has on the wire.
    #[inline]
    pub(super) fn find(&self, id: u64) -> Option<(u64, u16)> {
        let entry = self.slots.get(usize::from(id as u16))?;
        (entry.id == id && id != 0).then_some((entry.wire, entry.subject))
    }

    fn end(&mut self, id: u64) -> Option<Entry> {
        let entry = self.slots.get_mut(usize::from(id as u16))?;
        let ended = (entry.id == id && id != 0).then_some(*entry)?;
        entry.id = 0;
        self.free.push(id as u16);
        self.running -= 1;
        Some(ended)
    }

    /// The answer is in the output and ends at `position`.
    #[inline]
    pub(super) fn answer(&mut self, id: u64, position: u64) {
        if let Some(entry) = self.end(id) {
            self.leaving.push_back((position, entry.bytes));
        }
    }

    /// So much output has left.
    #[inline]
    pub(super) fn note_taken(&mut self, taken: u64) {
        while let Some((end, bytes)) = self.leaving.front()
            && *end <= taken
        {
            self.held.remove(1, u64::from(*bytes));
            self.leaving.pop_front();
        }
    }

    /// The application takes a running request as a one-way message: it is never answered.
    pub(super) fn take_as_send(&mut self, id: u64) -> bool {
        let Some(entry) = self.end(id) else {
            return false;
        };
        self.held.remove(1, entry.bytes.into());
        self.unconsumed.add(entry.bytes);
        true
    }

    /// The application has consumed one-way messages.
    pub(super) fn release(&mut self, count: u32, bytes: u64) {
        self.unconsumed.remove(count.into(), bytes);
    }

    /// Requests the application has.
    #[inline]
    pub(super) fn running(&self) -> usize {
        self.running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Window = Window {
        count: 10,
        bytes: 1_000,
    };
    const NARROW: Window = Window {
        count: 2,
        bytes: 100,
    };

    #[test]
    fn w_80_a_place_is_free_when_its_answer_has_left() {
        let mut served = Served::default();
        let (one, two) = (served.begin(7, 1, 10), served.begin(7, 2, 10));
        assert!(!served.fits(0, NARROW, WIDE));
        assert_eq!(
            (served.find(one), served.find(two)),
            (Some((7, 1)), Some((7, 2)))
        );
        served.answer(one, 50);
        assert_eq!((served.find(one), served.running()), (None, 1));
        served.note_taken(49);
        assert!(!served.fits(0, NARROW, WIDE));
        served.note_taken(50);
        assert!(served.fits(0, NARROW, WIDE));
        served.answer(one, 60);
        assert_eq!(served.running(), 1);
    }

    #[test]
    fn w_80_bytes_of_requests_at_their_limit() {
        let mut served = Served::default();
        assert!(served.fits(101, NARROW, WIDE));
        served.begin(1, 1, 60);
        for (bytes, fits) in [(39, true), (40, true), (41, false)] {
            assert_eq!(served.fits(bytes, NARROW, WIDE), fits, "{bytes} bytes");
        }
    }

    #[test]
    fn w_81_a_message_taken_as_one_way_waits_to_be_consumed() {
        let mut served = Served::default();
        for wire in 0..2 {
            let id = served.begin(wire, 1, 10);
            assert!(served.take_as_send(id) && !served.take_as_send(id));
        }
        assert_eq!(served.running(), 0);
        served.decide();
        assert!(served.fits(0, NARROW, WIDE) && !served.fits(0, WIDE, NARROW));
        served.release(1, 10);
        assert!(served.fits(0, WIDE, NARROW));
    }

    #[test]
    fn what_may_yet_be_one_way_counts_as_it() {
        let mut served = Served::default();
        for wire in 0..2 {
            served.begin(wire, 1, 10);
        }
        assert!(!served.fits(10, WIDE, NARROW));
        served.decide();
        assert!(served.fits(10, WIDE, NARROW));
    }
}
