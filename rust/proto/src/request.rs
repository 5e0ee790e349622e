//! Requests in flight, in both directions.
//!
//! The low 16 bits of an id are a slot below the granted window, the others count up (W-20). So
//! either side finds a request by its index, and the window by count needs no bookkeeping.

use crate::deadlines::Deadlines;
use crate::fault::Retry;
use crate::limits::Window;
use crate::time::Time;

const SLOT_BITS: u32 = 16;

fn slot_of(id: u64) -> usize {
    (id as u16).into()
}

/// One of our requests.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// 0 while the slot is free.
    id: u64,
    token: u64,
    /// Where in the output its first byte stands.
    position: u64,
    bytes: u32,
    /// Whether somebody still waits for the answer.
    waiting: bool,
}

/// Our requests without an answer.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    slots: Vec<Asked>,
    free: Vec<u16>,
    counter: u64,
    in_flight: u32,
    waiting: u32,
    bytes: u64,
    deadlines: Deadlines,
}

impl Outgoing {
    /// Whether a request of `bytes` fits into the peer's window.
    #[inline]
    #[must_use]
    pub(crate) fn fits(&self, bytes: usize, window: Window) -> bool {
        self.in_flight < window.count && self.bytes + bytes as u64 <= window.bytes
    }

    /// Takes a slot for a request that fits and returns its id. `position` is where in the output
    /// it begins.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        token: u64,
        deadline: Option<Time>,
        bytes: usize,
        position: u64,
    ) -> u64 {
        let slot = self.free.pop().unwrap_or(self.slots.len() as u16);
        self.counter += 1;
        let id = self.counter << SLOT_BITS | u64::from(slot);
        let asked = Asked {
            id,
            token,
            position,
            bytes: bytes as u32,
            waiting: true,
        };
        match self.slots.get_mut(usize::from(slot)) {
            Some(free) => *free = asked,
            None => self.slots.push(asked),
        }
        self.in_flight += 1;
        self.waiting += 1;
        self.bytes += bytes as u64;
        self.watch(id, deadline);
        id
    }

    #[inline]
    fn watch(&mut self, id: u64, deadline: Option<Time>) {
        let (Some(deadline), slots) = (deadline, &self.slots) else {
            return;
        };
        let is_live = |id| slots.get(slot_of(id)).is_some_and(|asked| asked.id == id);
        self.deadlines
            .push(deadline, id, self.in_flight as usize, is_live);
    }

    #[inline]
    fn get_mut(&mut self, id: u64) -> Option<&mut Asked> {
        self.slots
            .get_mut(slot_of(id))
            .filter(|asked| asked.id == id && id != 0)
    }

    /// Whether this request waits for the peer's answer, cancelled or not.
    #[must_use]
    pub(crate) fn contains(&self, id: u64) -> bool {
        id != 0
            && self
                .slots
                .get(slot_of(id))
                .is_some_and(|asked| asked.id == id)
    }

    /// The answer to a request has come: its slot is free. Returns the token, or `Some(None)` when
    /// nobody waits any more, or `None` for an id that is not in flight.
    #[inline]
    pub(crate) fn answer(&mut self, id: u64) -> Option<Option<u64>> {
        let asked = self.get_mut(id)?;
        asked.id = 0;
        let (bytes, waiting, token) = (asked.bytes, asked.waiting, asked.token);
        self.free.push(id as u16);
        self.in_flight -= 1;
        self.bytes -= u64::from(bytes);
        self.waiting -= u32::from(waiting);
        Some(waiting.then_some(token))
    }

    /// Nobody waits for this request any more; its slot stays taken. Returns the token.
    pub(crate) fn forget(&mut self, id: u64) -> Option<u64> {
        let asked = self.get_mut(id).filter(|asked| asked.waiting)?;
        asked.waiting = false;
        let token = asked.token;
        self.waiting -= 1;
        Some(token)
    }

    /// The next request whose deadline has passed, forgotten: its id and token.
    pub(crate) fn pop_expired(&mut self, now: Time) -> Option<(u64, u64)> {
        loop {
            let id = self.deadlines.pop_due(now)?;
            if let Some(token) = self.forget(id) {
                return Some((id, token));
            }
        }
    }

    /// A time before which no deadline passes.
    #[inline]
    #[must_use]
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// The id of the request with this token, by looking at all.
    #[must_use]
    pub(crate) fn find_token(&self, token: u64) -> Option<u64> {
        let found = |asked: &&Asked| asked.id != 0 && asked.waiting && asked.token == token;
        self.slots.iter().find(found).map(|asked| asked.id)
    }

    /// Forgets everybody who waits. `taken` is how much output has left: what begins at or after
    /// it was never started.
    pub(crate) fn take_waiting(&mut self, taken: u64) -> Vec<(u64, Retry)> {
        let waiting = self
            .slots
            .iter_mut()
            .filter(|asked| asked.id != 0 && asked.waiting);
        let tokens = waiting.map(|asked| {
            asked.waiting = false;
            (asked.token, Retry::lost(asked.position < taken))
        });
        let tokens = tokens.collect();
        self.waiting = 0;
        tokens
    }

    /// Requests for whose answer somebody waits.
    pub(crate) fn waiting_ids(&self) -> Vec<u64> {
        let waiting = self
            .slots
            .iter()
            .filter(|asked| asked.id != 0 && asked.waiting);
        waiting.map(|asked| asked.id).collect()
    }

    /// Requests whose slot is taken.
    #[must_use]
    pub(crate) const fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Requests somebody waits for.
    #[must_use]
    pub(crate) const fn waiting(&self) -> u32 {
        self.waiting
    }

    /// Bytes of the requests whose slot is taken.
    #[must_use]
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back memory that idle slots hold.
    pub(crate) fn shrink(&mut self) {
        if self.in_flight == 0 {
            (self.slots, self.free) = (Vec::new(), Vec::new());
        }
        self.deadlines.shrink();
    }
}

/// What became of a request of the peer so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// The slot is free.
    Free,
    /// Its fragments are arriving.
    Arriving,
    /// The application has it.
    Running,
    /// The application has it and nobody waits for the answer.
    Cancelled,
    /// Its answer is being sent in fragments.
    Answering,
}

/// One request of the peer.
#[derive(Clone, Copy, Debug)]
struct Taken {
    id: u64,
    deadline: Option<Time>,
    bytes: u32,
    work: Work,
    /// How much output must have left before the peer can know that the slot is free.
    free_at: u64,
}

const UNUSED: Taken = Taken {
    id: 0,
    deadline: None,
    bytes: 0,
    work: Work::Free,
    free_at: 0,
};

/// Whether a request of the peer may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It has its slot.
    New,
    /// Its id does not ascend.
    Duplicate,
    /// Its slot, the count or the bytes are over the window.
    OverWindow,
}

/// The peer's requests without an answer.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    slots: Vec<Taken>,
    counter: u64,
    running: u32,
    bytes: u64,
    begun: u64,
    deadlines: Deadlines,
}

impl Incoming {
    /// Admits a request that begins. `taken` is how much output has left.
    #[inline]
    pub(crate) fn admit(&mut self, id: u64, bytes: usize, window: Window, taken: u64) -> Admission {
        if id >> SLOT_BITS <= self.counter {
            return Admission::Duplicate;
        }
        let slot = slot_of(id);
        let over = slot >= window.count as usize || self.bytes + bytes as u64 > window.bytes;
        if over || !self.is_free(slot, taken) {
            return Admission::OverWindow;
        }
        self.counter = id >> SLOT_BITS;
        self.begun += 1;
        self.running += 1;
        self.bytes += bytes as u64;
        let bytes = bytes as u32;
        self.slots[slot] = Taken {
            id,
            bytes,
            work: Work::Arriving,
            ..UNUSED
        };
        Admission::New
    }

    #[inline]
    fn is_free(&mut self, slot: usize, taken: u64) -> bool {
        if slot >= self.slots.len() {
            self.slots.resize(slot + 1, UNUSED);
        }
        let entry = &self.slots[slot];
        entry.work == Work::Free && entry.free_at <= taken
    }

    #[inline]
    fn get_mut(&mut self, id: u64) -> Option<&mut Taken> {
        let live = |entry: &&mut Taken| entry.id == id && entry.work != Work::Free;
        self.slots.get_mut(slot_of(id)).filter(live)
    }

    /// What became of this request so far.
    #[inline]
    #[must_use]
    pub(crate) fn work(&self, id: u64) -> Work {
        let entry = self.slots.get(slot_of(id)).filter(|entry| entry.id == id);
        entry.map_or(Work::Free, |entry| entry.work)
    }

    /// Whether a request with this id can have been seen before.
    #[must_use]
    pub(crate) const fn is_past(&self, id: u64) -> bool {
        id >> SLOT_BITS <= self.counter
    }

    /// The request is complete and the application gets it.
    #[inline]
    pub(crate) fn start(&mut self, id: u64, deadline: Option<Time>) {
        let Some(entry) = self.get_mut(id) else {
            return;
        };
        (entry.work, entry.deadline) = (Work::Running, deadline);
        let (Some(deadline), slots) = (deadline, &self.slots) else {
            return;
        };
        let is_live = |id| {
            let entry = slots.get(slot_of(id));
            entry.is_some_and(|entry| entry.id == id && entry.work == Work::Running)
        };
        self.deadlines
            .push(deadline, id, self.running as usize, is_live);
    }

    /// Nobody waits for the answer any more; `false` when the application does not have it.
    pub(crate) fn cancel(&mut self, id: u64) -> bool {
        let running = self.get_mut(id).filter(|entry| entry.work == Work::Running);
        running.map(|entry| entry.work = Work::Cancelled).is_some()
    }

    /// The next running request whose deadline has passed, cancelled.
    pub(crate) fn pop_expired(&mut self, now: Time) -> Option<u64> {
        loop {
            let id = self.deadlines.pop_due(now)?;
            if self.cancel(id) {
                return Some(id);
            }
        }
    }

    /// A time before which no deadline passes.
    #[inline]
    #[must_use]
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// The answer will leave in fragments.
    pub(crate) fn begin_answer(&mut self, id: u64) {
        if let Some(entry) = self.get_mut(id) {
            entry.work = Work::Answering;
        }
    }

    /// The answer is in the output and ends at `position`; the slot is free once that has left.
    #[inline]
    pub(crate) fn answer(&mut self, id: u64, position: u64) {
        let Some(entry) = self.get_mut(id) else {
            return;
        };
        (entry.work, entry.free_at) = (Work::Free, position);
        let bytes = entry.bytes;
        self.running -= 1;
        self.bytes -= u64::from(bytes);
    }

    /// Requests without an answer.
    #[must_use]
    pub(crate) const fn running(&self) -> u32 {
        self.running
    }

    /// Requests that were admitted since the start.
    #[must_use]
    pub(crate) const fn begun(&self) -> u64 {
        self.begun
    }

    /// Gives back memory that idle slots hold. All output must have left.
    pub(crate) fn shrink(&mut self) {
        if self.running == 0 {
            self.slots = Vec::new();
        }
        self.deadlines.shrink();
    }
}
