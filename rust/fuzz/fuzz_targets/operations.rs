//! Arbitrary sequences of operations between two honest connections: neither may ever find fault
//! with the other, messages keep their order, and at the end nothing is left.
//!
//! Every operation is three bytes: what, which, how much.
#![no_main]

use std::collections::VecDeque;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use ztransport_proto::{
    Body, Connection, Event, FaultCode, Limits, Retry, Role, SendError, Settings, Time,
};

/// Rounds after which everything must have come to its end.
const ROUNDS: usize = 64;

struct Side {
    connection: Connection,
    transit: Vec<u8>,
    inbox: Vec<u8>,
    /// Sizes of the peer's one-way messages that have not arrived.
    expected: VecDeque<usize>,
    running: Vec<u64>,
    asked: Vec<u64>,
    streams: Vec<u64>,
    held: Vec<(u64, usize)>,
    waiting: usize,
}

impl Side {
    fn new(role: Role) -> Self {
        let limits = Limits {
            message_bytes_max: 200_000,
            subject_window_bytes: 300_000,
            stream_window_bytes: 300_000,
            assembly_bytes_max: 250_000,
            streams_max: 4,
            output_bytes_high: 150_000,
            output_bytes_low: 50_000,
            ..Limits::default()
        };
        let settings = Settings {
            cluster: "orders".into(),
            node_id: "node".into(),
            advertise: String::new(),
            roles: Vec::new(),
            limits,
        };
        Self {
            connection: Connection::new(role, Arc::new(settings), Time::ZERO),
            transit: Vec::new(),
            inbox: Vec::new(),
            expected: VecDeque::new(),
            running: Vec::new(),
            asked: Vec::new(),
            streams: Vec::new(),
            held: Vec::new(),
            waiting: 0,
        }
    }

    fn note(&mut self, event: &Event, input: &[u8]) {
        match event {
            Event::Send { payload, .. } => {
                assert_eq!(
                    self.expected.pop_front(),
                    Some(payload.as_slice(input).len())
                );
                self.connection.release_subject(1, 1, payload.len() as u64);
            }
            Event::Request { id, .. } => self.running.push(*id),
            Event::Reply { .. } | Event::Fault { .. } | Event::Expired { .. } => self.waiting -= 1,
            Event::StreamOpened { id, .. } => self.streams.push(*id),
            Event::StreamData { id, payload } => self.held.push((*id, payload.len())),
            Event::StreamReset { id, .. } | Event::StreamClosed { id } => {
                self.streams.retain(|other| other != id);
            }
            _ => {}
        }
    }
}

struct World {
    sides: [Side; 2],
    now: Time,
}

fn size_of_choice(choice: u8) -> usize {
    match choice {
        0..200 => usize::from(choice) + 1,
        200..240 => 65_536 + usize::from(choice - 200) * 3_000,
        _ => 200_000,
    }
}

fn body(size: usize) -> Body<'static> {
    Body::Owned(vec![7; size].into())
}

fn refused(error: SendError) {
    assert!(matches!(
        error,
        SendError::NoCredit | SendError::WouldBlock | SendError::Limit | SendError::Unknown
    ));
}

impl World {
    fn new() -> Self {
        let sides = [Side::new(Role::Dialer), Side::new(Role::Acceptor)];
        let mut world = Self {
            sides,
            now: Time::ZERO,
        };
        (0..4).for_each(|turn| world.deliver(turn % 2, usize::MAX));
        for side in &mut world.sides {
            assert_eq!(side.connection.subject("log"), Ok(1));
        }
        world
    }

    fn deliver(&mut self, from: usize, bytes: usize) {
        let now = self.now;
        let side = &mut self.sides[from];
        while !side.connection.poll_output(now).is_empty() {
            side.transit
                .extend_from_slice(side.connection.poll_output(now));
            side.connection.consume_output();
        }
        let arrived: Vec<u8> = side
            .transit
            .drain(..bytes.min(side.transit.len()))
            .collect();
        self.receive(1 - from, &arrived);
    }

    fn receive(&mut self, at: usize, arrived: &[u8]) {
        let now = self.now;
        let side = &mut self.sides[at];
        side.inbox.extend_from_slice(arrived);
        let input = std::mem::take(&mut side.inbox);
        let mut events = Vec::new();
        let taken = side
            .connection
            .handle_input(now, &input, &mut events, usize::MAX)
            .unwrap();
        events.iter().for_each(|event| side.note(event, &input));
        side.inbox = input[taken..].to_vec();
    }

    fn pass(&mut self, millis: u64) {
        self.now = self.now.after_millis(millis);
        for side in &mut self.sides {
            let mut events = Vec::new();
            side.connection
                .handle_timeout(self.now, &mut events)
                .unwrap();
            events.iter().for_each(|event| side.note(event, &[]));
        }
    }

    fn apply(&mut self, what: u8, which: u8, much: u8) {
        let at = usize::from(which & 1);
        let pick = usize::from(which >> 1);
        let size = size_of_choice(much);
        match what % 12 {
            0 => self.send(at, size),
            1 => self.request(at, size, u64::from(which)),
            2 => self.cancel(at, pick),
            3 | 4 => self.answer(at, pick, size),
            5 => self.open(at),
            6 => self.stream(at, pick, |connection, id| {
                connection.stream_send(id, body(size))
            }),
            7 => self.stream(at, pick, Connection::stream_finish),
            8 => self.reset(at, pick),
            9 => self.consume(at),
            10 => self.deliver(at, size.pow(2)),
            // Together never so long that bytes on their way look like a dead peer.
            _ => self.pass(u64::from(much) / 20),
        }
    }

    fn send(&mut self, at: usize, size: usize) {
        match self.sides[at].connection.send(1, body(size), &[]) {
            Ok(()) => self.sides[1 - at].expected.push_back(size),
            Err(error) => refused(error),
        }
    }

    fn request(&mut self, at: usize, size: usize, millis: u64) {
        let deadline = (millis > 100).then(|| self.now.after_millis(millis));
        let side = &mut self.sides[at];
        match side
            .connection
            .request(self.now, 1, body(size), deadline, &[], 0)
        {
            Ok(id) => {
                side.asked.push(id);
                side.waiting += 1;
            }
            Err(error) => refused(error),
        }
    }

    fn cancel(&mut self, at: usize, pick: usize) {
        let side = &mut self.sides[at];
        let Some(id) = side.asked.get(pick).copied() else {
            return;
        };
        if side.connection.cancel(self.now, id).is_some() {
            side.waiting -= 1;
        }
    }

    fn answer(&mut self, at: usize, pick: usize, size: usize) {
        let side = &mut self.sides[at];
        if side.running.is_empty() {
            return;
        }
        let id = side.running.swap_remove(pick % side.running.len());
        if size.is_multiple_of(2) {
            side.connection.reply(id, body(size)).unwrap();
        } else {
            side.connection
                .fault(id, FaultCode::HandlerFailure, Retry::Failed, "no")
                .unwrap();
        }
    }

    fn open(&mut self, at: usize) {
        let side = &mut self.sides[at];
        match side.connection.open_stream(self.now, 1, body(1), &[]) {
            Ok(id) => side.streams.push(id),
            Err(error) => refused(error),
        }
    }

    fn stream(
        &mut self,
        at: usize,
        pick: usize,
        command: impl FnOnce(&mut Connection, u64) -> Result<(), SendError>,
    ) {
        let side = &mut self.sides[at];
        let Some(id) = side.streams.get(pick).copied() else {
            return;
        };
        command(&mut side.connection, id).unwrap_or_else(refused);
    }

    fn reset(&mut self, at: usize, pick: usize) {
        let side = &mut self.sides[at];
        if pick < side.streams.len() {
            let id = side.streams.swap_remove(pick);
            side.connection.stream_reset(id, FaultCode::Cancelled, "");
        }
    }

    fn consume(&mut self, at: usize) {
        let side = &mut self.sides[at];
        for (id, size) in side.held.drain(..) {
            side.connection.release_stream(id, 1, size as u64);
        }
    }

    /// Ends everything: then nothing may be left.
    fn settle(&mut self) {
        for _ in 0..ROUNDS {
            for at in 0..2 {
                self.consume(at);
                while !self.sides[at].running.is_empty() {
                    self.answer(at, 0, 2);
                }
                for id in self.sides[at].streams.clone() {
                    let _ = self.sides[at].connection.stream_finish(id);
                }
                self.deliver(at, usize::MAX);
            }
            self.pass(10);
        }
        (0..4).for_each(|turn| self.deliver(turn % 2, usize::MAX));
        for side in &self.sides {
            assert!(
                side.connection.is_drained(),
                "{:?}",
                side.connection.statistics()
            );
            assert!(side.expected.is_empty() && side.waiting == 0);
            assert_eq!(side.connection.statistics().ignored_ids, 0);
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut world = World::new();
    for operation in data.chunks_exact(3).take(400) {
        world.apply(operation[0], operation[1], operation[2]);
    }
    world.settle();
});
