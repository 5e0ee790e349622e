//! Two connections and the model beside them: every operation is done to both.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ztransport_proto::{Body, FaultCode, Retry, SendError};

use crate::operations::{Operation, SUBJECTS, limits};
use crate::support::{End, Pair, pattern};

/// What one side knows of a stream.
#[derive(Default)]
pub(crate) struct Stream {
    /// Messages that arrived and are not consumed: their sizes.
    pub(crate) held: VecDeque<usize>,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) finished: bool,
}

/// What one side knows.
#[derive(Default)]
pub(crate) struct Side {
    /// Messages of the peer on each subject that have not arrived.
    pub(crate) expected: BTreeMap<u16, VecDeque<usize>>,
    pub(crate) held: BTreeMap<u16, VecDeque<usize>>,
    /// Our requests that wait: token to id.
    pub(crate) waiting: BTreeMap<u64, u64>,
    /// The answers that were given to our requests.
    pub(crate) answers: BTreeMap<u64, usize>,
    /// The peer's requests that run: id to token.
    pub(crate) running: BTreeMap<u64, u64>,
    /// Tokens of the peer's requests that have arrived.
    pub(crate) seen: BTreeSet<u64>,
    pub(crate) streams: BTreeMap<u64, Stream>,
    /// Messages of the peer on each stream that have not arrived.
    pub(crate) arriving: BTreeMap<u64, VecDeque<usize>>,
    pub(crate) refused_subjects: BTreeSet<u16>,
    pub(crate) refused_streams: BTreeSet<u64>,
    pub(crate) refused_request: bool,
    transit: Vec<u8>,
}

pub(crate) struct World {
    pub(crate) pair: Pair,
    pub(crate) sides: [Side; 2],
    token: u64,
}

pub(crate) fn nth<K: Copy + Ord, V>(map: &BTreeMap<K, V>, pick: usize) -> Option<K> {
    map.keys().nth(pick % map.len().max(1)).copied()
}

/// A message that carries its own length and, in a request, its token.
fn message(size: usize, token: u64) -> Body<'static> {
    let mut bytes = pattern(size);
    bytes[..8].copy_from_slice(&token.to_le_bytes());
    Body::Owned(bytes.into())
}

impl World {
    pub(crate) fn new() -> Self {
        let mut pair = Pair::new(limits());
        for number in 1..=SUBJECTS {
            for end in [&mut pair.dialer, &mut pair.acceptor] {
                assert_eq!(end.connection.subject(&format!("s{number}")), Ok(number));
            }
        }
        pair.exchange();
        pair.dialer.events.clear();
        pair.acceptor.events.clear();
        Self {
            pair,
            sides: Default::default(),
            token: 0,
        }
    }

    pub(crate) fn end(&mut self, side: usize) -> &mut End {
        if side == 0 {
            &mut self.pair.dialer
        } else {
            &mut self.pair.acceptor
        }
    }

    pub(crate) fn apply(&mut self, side: usize, operation: Operation) {
        match operation {
            Operation::Send { subject, size } => self.send(side, subject, size),
            Operation::Request { size, deadline_ms } => self.request(side, size, deadline_ms),
            Operation::Cancel { pick } => self.cancel(side, pick),
            Operation::Answer { pick, size, fails } => self.answer(side, pick, size, fails),
            Operation::Release { subject } => self.release(side, subject),
            Operation::Open => self.open(side),
            Operation::Data { pick, size } => self.data(side, pick, size),
            Operation::Finish { pick } => self.finish(side, pick),
            Operation::Reset { pick } => self.reset(side, pick),
            Operation::Consume { pick } => self.consume(side, pick),
            Operation::Deliver { bytes } => self.deliver(side, bytes),
            Operation::Advance { millis } => self.advance(millis),
        }
    }

    fn send(&mut self, side: usize, subject: u16, size: usize) {
        match self
            .end(side)
            .connection
            .send(subject, message(size, 0), &[])
        {
            Ok(()) => self.sides[1 - side]
                .expected
                .entry(subject)
                .or_default()
                .push_back(size),
            Err(SendError::NoCredit | SendError::WouldBlock) => {
                self.sides[side].refused_subjects.insert(subject);
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    fn request(&mut self, side: usize, size: usize, deadline_ms: u64) {
        self.token += 1;
        let (token, now) = (self.token, self.pair.now);
        let deadline = (deadline_ms > 10).then(|| now.after_millis(deadline_ms));
        let body = message(size, token);
        match self
            .end(side)
            .connection
            .request(now, 1, body, deadline, &[], token)
        {
            Ok(id) => assert_eq!(self.sides[side].waiting.insert(token, id), None),
            Err(SendError::NoCredit | SendError::WouldBlock) => {
                self.sides[side].refused_request = true;
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    fn cancel(&mut self, side: usize, pick: usize) {
        let Some(token) = nth(&self.sides[side].waiting, pick) else {
            return;
        };
        let id = self.sides[side].waiting.remove(&token).unwrap();
        let now = self.pair.now;
        assert_eq!(self.end(side).connection.find_token(token), Some(id));
        assert_eq!(self.end(side).connection.cancel(now, id), Some(token));
    }

    pub(crate) fn answer(&mut self, side: usize, pick: usize, size: usize, fails: bool) {
        let Some(id) = nth(&self.sides[side].running, pick) else {
            return;
        };
        let token = self.sides[side].running.remove(&id).unwrap();
        let connection = &mut self.end(side).connection;
        if fails {
            connection
                .fault(id, FaultCode::Rejected(0x1001), Retry::Failed, "no")
                .unwrap();
        } else {
            connection.reply(id, message(size, token)).unwrap();
            self.sides[1 - side].answers.insert(token, size);
        }
    }

    pub(crate) fn release(&mut self, side: usize, subject: u16) {
        let Some(held) = self.sides[side].held.get_mut(&subject) else {
            return;
        };
        let (count, bytes) = (held.len() as u32, held.drain(..).sum::<usize>() as u64);
        self.end(side)
            .connection
            .release_subject(subject, count, bytes);
    }

    fn open(&mut self, side: usize) {
        let now = self.pair.now;
        let opened = self
            .end(side)
            .connection
            .open_stream(now, 1, message(8, 0), &[]);
        match opened {
            Ok(id) => assert!(
                self.sides[side]
                    .streams
                    .insert(id, Stream::default())
                    .is_none()
            ),
            Err(error) => assert_eq!(error, SendError::Limit),
        }
    }

    fn data(&mut self, side: usize, pick: usize, size: usize) {
        let Some(id) = nth(&self.sides[side].streams, pick) else {
            return;
        };
        let finished = self.sides[side].streams[&id].finished;
        match self.end(side).connection.stream_send(id, message(size, 0)) {
            Ok(()) => {
                assert!(!finished);
                self.sides[side].streams.get_mut(&id).unwrap().sent += 1;
                self.sides[1 - side]
                    .arriving
                    .entry(id)
                    .or_default()
                    .push_back(size);
            }
            Err(SendError::Unknown) => assert!(finished),
            Err(SendError::NoCredit | SendError::WouldBlock) => {
                self.sides[side].refused_streams.insert(id);
            }
            Err(other) => panic!("{other:?}"),
        }
    }

    pub(crate) fn finish(&mut self, side: usize, pick: usize) {
        let Some(id) = nth(&self.sides[side].streams, pick) else {
            return;
        };
        let done = self.end(side).connection.stream_finish(id);
        let stream = self.sides[side].streams.get_mut(&id).unwrap();
        assert_eq!(done.is_ok(), !stream.finished);
        stream.finished = true;
        self.sides[side].refused_streams.remove(&id);
    }

    fn reset(&mut self, side: usize, pick: usize) {
        let Some(id) = nth(&self.sides[side].streams, pick) else {
            return;
        };
        self.end(side)
            .connection
            .stream_reset(id, FaultCode::Cancelled, "");
        self.sides[side].streams.remove(&id);
        self.sides[side].refused_streams.remove(&id);
    }

    pub(crate) fn consume(&mut self, side: usize, pick: usize) {
        let Some(id) = nth(&self.sides[side].streams, pick) else {
            return;
        };
        let held = &mut self.sides[side].streams.get_mut(&id).unwrap().held;
        let (count, bytes) = (held.len() as u32, held.drain(..).sum::<usize>() as u64);
        self.end(side).connection.release_stream(id, count, bytes);
    }

    /// Moves all output into transit and lets some of what is in transit arrive.
    pub(crate) fn deliver(&mut self, side: usize, bytes: usize) {
        let now = self.pair.now;
        let said = self.end(side).write(now);
        let transit = &mut self.sides[side].transit;
        transit.extend(said);
        let arrived: Vec<u8> = transit.drain(..bytes.min(transit.len())).collect();
        self.end(1 - side).read(now, &arrived).unwrap();
        self.look();
    }

    pub(crate) fn advance(&mut self, millis: u64) {
        self.pair.now = self.pair.now.after_millis(millis);
        let now = self.pair.now;
        for side in 0..2 {
            self.end(side).timeout(now).unwrap();
        }
        self.look();
    }
}
