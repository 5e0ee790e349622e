//! Streams of both sides.
//!
//! Bit 0 of an id tells who opened the stream, bits 1 to 15 are a slot below the granted number
//! of streams, the others count up (W-34).

use crate::credit::{Receiver, Sender};
use crate::request::Admission;
use crate::table::Role;

const SLOT_BITS: u32 = 16;

fn slot_of(id: u64) -> usize {
    usize::from(id as u16 >> 1)
}

/// One stream.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Our messages.
    pub(crate) sent: Sender,
    /// The peer's messages.
    pub(crate) received: Receiver,
    /// The size of a message that was refused for want of credit.
    pub(crate) wanted: Option<usize>,
    /// The application sends no more.
    pub(crate) finished: bool,
    /// Our END is in the output.
    pub(crate) end_written: bool,
    /// Our RESET is in the output: all that arrives is dropped.
    pub(crate) reset_sent: bool,
    /// The peer's END has come.
    pub(crate) peer_ended: bool,
}

impl Stream {
    /// Whether we may still send on it.
    #[must_use]
    pub(crate) fn is_sending(&self) -> bool {
        !self.finished && !self.reset_sent
    }

    /// Whether both sides have ended and each has consumed all of the other's (W-36).
    #[must_use]
    pub(crate) fn is_closed(&self) -> bool {
        let settled = self.sent.is_settled() && self.received.is_settled();
        self.peer_ended && self.end_written && settled
    }
}

/// One stream and the id under which it has its slot.
#[derive(Debug)]
struct Slot {
    id: u64,
    stream: Stream,
}

/// The streams that one side has opened.
#[derive(Debug, Default)]
struct Side {
    slots: Vec<Option<Box<Slot>>>,
    counter: u64,
    open: u32,
}

impl Side {
    fn get(&self, id: u64) -> Option<&Slot> {
        self.slots
            .get(slot_of(id))?
            .as_deref()
            .filter(|slot| slot.id == id)
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut Slot> {
        self.slots
            .get_mut(slot_of(id))?
            .as_deref_mut()
            .filter(|slot| slot.id == id)
    }

    fn insert(&mut self, id: u64) {
        let slot = slot_of(id);
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        self.slots[slot] = Some(Box::new(Slot {
            id,
            stream: Stream::default(),
        }));
        self.counter = id >> SLOT_BITS;
        self.open += 1;
    }

    fn remove(&mut self, id: u64) -> bool {
        let found = self.get(id).is_some();
        if found {
            self.slots[slot_of(id)] = None;
            self.open -= 1;
        }
        found
    }
}

/// All streams of a connection.
#[derive(Debug)]
pub(crate) struct Streams {
    parity: u64,
    ours: Side,
    theirs: Side,
    free: Vec<u16>,
}

impl Streams {
    /// No streams yet.
    #[must_use]
    pub(crate) fn new(role: Role) -> Self {
        let parity = u64::from(role == Role::Dialer);
        Self {
            parity,
            ours: Side::default(),
            theirs: Side::default(),
            free: Vec::new(),
        }
    }

    /// Opens a stream of ours, unless there are `max`.
    pub(crate) fn open(&mut self, max: u32) -> Option<u64> {
        if self.ours.open >= max {
            return None;
        }
        let slot = self.free.pop().unwrap_or(self.ours.slots.len() as u16);
        let id = (self.ours.counter + 1) << SLOT_BITS | u64::from(slot) << 1 | self.parity;
        self.ours.insert(id);
        Some(id)
    }

    /// Whether an id belongs to streams that the peer opens.
    #[must_use]
    pub(crate) const fn is_theirs(&self, id: u64) -> bool {
        id & 1 != self.parity
    }

    /// Admits a stream that the peer opens.
    pub(crate) fn admit(&mut self, id: u64, max: u32) -> Admission {
        if id >> SLOT_BITS <= self.theirs.counter {
            return Admission::Duplicate;
        }
        let slot = slot_of(id);
        let taken = self.theirs.slots.get(slot).is_some_and(Option::is_some);
        if taken || slot >= max as usize {
            return Admission::OverWindow;
        }
        self.theirs.insert(id);
        Admission::New
    }

    fn side(&self, id: u64) -> &Side {
        if self.is_theirs(id) {
            &self.theirs
        } else {
            &self.ours
        }
    }

    fn side_mut(&mut self, id: u64) -> &mut Side {
        if self.is_theirs(id) {
            &mut self.theirs
        } else {
            &mut self.ours
        }
    }

    /// Whether a stream with this id has existed.
    #[must_use]
    pub(crate) fn is_past(&self, id: u64) -> bool {
        id >> SLOT_BITS <= self.side(id).counter
    }

    /// The stream with this id.
    #[inline]
    pub(crate) fn get_mut(&mut self, id: u64) -> Option<&mut Stream> {
        self.side_mut(id).get_mut(id).map(|slot| &mut slot.stream)
    }

    /// Frees the slot of a stream; `false` when there is none.
    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let removed = self.side_mut(id).remove(id);
        if removed && !self.is_theirs(id) {
            self.free.push(slot_of(id) as u16);
        }
        removed
    }

    /// Streams that have their slot, of both sides.
    #[must_use]
    pub(crate) const fn open_count(&self) -> u32 {
        self.ours.open + self.theirs.open
    }

    /// Streams that have been opened since the start, of both sides.
    #[must_use]
    pub(crate) const fn opened(&self) -> u64 {
        self.ours.counter + self.theirs.counter
    }

    /// The ids of all streams.
    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.ours
            .slots
            .iter()
            .chain(&self.theirs.slots)
            .flatten()
            .map(|slot| slot.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w_34_streams_at_their_limit() {
        let (mut dialer, mut acceptor) = (Streams::new(Role::Dialer), Streams::new(Role::Acceptor));
        let ids: Vec<u64> = (0..4).map_while(|_| dialer.open(3)).collect();
        assert_eq!(ids, [0x1_0001, 0x2_0003, 0x3_0005]);
        for &id in &ids {
            assert_eq!(acceptor.admit(id, 3), Admission::New);
            assert_eq!(acceptor.admit(id, 3), Admission::Duplicate);
        }
        assert_eq!(acceptor.admit(0x4_0007, 3), Admission::OverWindow);
        assert_eq!(acceptor.admit(0x4_0001, 3), Admission::OverWindow);
    }

    #[test]
    fn w_34_a_slot_is_used_again_and_an_id_is_not() {
        let mut streams = Streams::new(Role::Acceptor);
        let first = streams.open(1).unwrap();
        assert!(streams.remove(first) && !streams.remove(first));
        let second = streams.open(1).unwrap();
        assert_eq!((first, second), (0x1_0000, 0x2_0000));
        assert!(streams.get_mut(first).is_none() && streams.get_mut(second).is_some());
        assert!(streams.is_past(first) && !streams.is_past(0x3_0000));
    }

    #[test]
    fn w_36_a_stream_closes_when_both_ended_and_all_is_consumed() {
        let mut stream = Stream {
            end_written: true,
            ..Stream::default()
        };
        assert!(!stream.is_closed());
        stream.peer_ended = true;
        assert!(stream.is_closed());
        stream.sent.spend(1);
        assert!(!stream.is_closed());
    }
}
