//! Random sequences of operations against a model of plain dictionaries and queues: what is sent
//! arrives once and in order, every request gets one answer, every refusal is followed by room,
//! and a lost connection tells exactly who still waits.

use std::collections::VecDeque;

use proptest::prelude::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use ztransport_proto::{Event, Retry};

use crate::operations::{Operation, SUBJECTS, operations};
use crate::support::pattern;
use crate::world::{World, nth};

/// The seed of all sequences: the run is the same every time.
const SEED: [u8; 32] = *b"ztransport proto model test v1..";
const CASES: u32 = 200;

impl World {
    /// Holds everything that happened against the model.
    pub(crate) fn look(&mut self) {
        for side in 0..2 {
            for event in self.end(side).take_events() {
                self.check(side, event);
            }
        }
    }

    fn check(&mut self, side: usize, event: Event) {
        let size = |bytes: usize| (bytes >= 8).then_some(bytes);
        let our = &mut self.sides[side];
        match event {
            Event::Send {
                subject, payload, ..
            } => {
                let expected = our.expected.get_mut(&subject).and_then(VecDeque::pop_front);
                assert_eq!(expected, size(payload.len()));
                assert_eq!(payload.as_slice(&[])[8..], pattern(payload.len())[8..]);
                our.held
                    .entry(subject)
                    .or_default()
                    .push_back(payload.len());
            }
            Event::Request { id, payload, .. } => {
                let token = u64::from_le_bytes(payload.as_slice(&[])[..8].try_into().unwrap());
                assert!(our.seen.insert(token) && our.running.insert(id, token).is_none());
            }
            Event::Cancelled { id } => assert!(our.running.contains_key(&id)),
            Event::Reply { token, payload } => {
                assert!(our.waiting.remove(&token).is_some());
                assert_eq!(our.answers.remove(&token), Some(payload.len()));
                assert_eq!(payload.as_slice(&[])[8..], pattern(payload.len())[8..]);
            }
            Event::Fault { token, .. } | Event::Expired { token } => {
                assert!(our.waiting.remove(&token).is_some());
            }
            Event::Room { subject } => drop(our.refused_subjects.remove(&subject)),
            Event::RequestRoom => our.refused_request = false,
            other => self.check_stream(side, other),
        }
    }

    fn check_stream(&mut self, side: usize, event: Event) {
        let our = &mut self.sides[side];
        match event {
            Event::StreamOpened { id, .. } => drop(our.streams.entry(id).or_default()),
            Event::StreamData { id, payload } => {
                let stream = our.streams.get_mut(&id).unwrap();
                let expected = our.arriving.get_mut(&id).and_then(VecDeque::pop_front);
                assert_eq!(expected, Some(payload.len()));
                stream.held.push_back(payload.len());
            }
            Event::StreamEnd { id } => {
                assert!(our.arriving.get(&id).is_none_or(VecDeque::is_empty));
            }
            Event::StreamAcknowledged { id, count } => {
                let stream = our.streams.get_mut(&id).unwrap();
                assert!(stream.acknowledged < count && count <= stream.sent);
                stream.acknowledged = count;
            }
            Event::StreamRoom { id } => drop(our.refused_streams.remove(&id)),
            Event::StreamClosed { id } => {
                let stream = our.streams.remove(&id).unwrap();
                assert!(stream.finished && our.arriving.get(&id).is_none_or(VecDeque::is_empty));
                assert_eq!(stream.sent, stream.acknowledged);
            }
            Event::StreamReset { id, .. } => {
                our.streams.remove(&id);
                our.refused_streams.remove(&id);
            }
            other => panic!("{other:?}"),
        }
    }

    /// Answers, consumes and ends everything: then nothing may be left.
    fn settle(&mut self) {
        for _ in 0..40 {
            for side in 0..2 {
                (0..4).for_each(|pick| self.consume(side, pick));
                (0..8).for_each(|pick| self.finish_if_open(side, pick));
                (1..=SUBJECTS).for_each(|subject| self.release(side, subject));
                while !self.sides[side].running.is_empty() {
                    self.answer(side, 0, 10, false);
                }
                self.deliver(side, usize::MAX);
            }
            self.advance(500);
        }
        [0, 1, 0]
            .into_iter()
            .for_each(|side| self.deliver(side, usize::MAX));
        for side in 0..2 {
            let our = &self.sides[side];
            assert!(
                our.waiting.is_empty() && our.streams.is_empty(),
                "side {side} has work left"
            );
            assert!(
                our.expected.values().all(VecDeque::is_empty),
                "side {side} lost a message"
            );
            assert!(our.refused_subjects.is_empty() && our.refused_streams.is_empty());
            assert!(!our.refused_request, "side {side} waits for room for ever");
            let connection = &self.end(side).connection;
            assert!(connection.is_drained(), "{:?}", connection.statistics());
            assert_eq!(
                connection.statistics().unconfirmed,
                0,
                "side {side} unconfirmed"
            );
            assert_eq!(
                connection.statistics().ignored_ids,
                0,
                "side {side} ignored"
            );
        }
    }

    fn finish_if_open(&mut self, side: usize, pick: usize) {
        let open = nth(&self.sides[side].streams, pick)
            .filter(|id| !self.sides[side].streams[id].finished);
        if open.is_some() {
            self.finish(side, pick);
        }
    }

    /// The connection is lost: exactly those who wait are told, and nobody may ask again whose
    /// request has arrived.
    fn lose(&mut self) {
        for side in 0..2 {
            let lost = self.end(side).connection.take_outstanding();
            let tokens: Vec<u64> = self.sides[side].waiting.keys().copied().collect();
            let mut told: Vec<u64> = lost.iter().map(|(token, _)| *token).collect();
            told.sort_unstable();
            assert_eq!(told, tokens);
            let safe = lost.iter().filter(|(_, retry)| *retry == Retry::NotStarted);
            assert!(
                safe.clone()
                    .all(|(token, _)| !self.sides[1 - side].seen.contains(token))
            );
        }
    }
}

fn run(strategy: impl Strategy<Value = Vec<(usize, Operation)>>, end: fn(&mut World)) {
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &SEED);
    let outcome = TestRunner::new_with_rng(config, rng).run(&strategy, |operations| {
        let mut world = World::new();
        for (side, operation) in operations {
            world.apply(side, operation);
        }
        end(&mut world);
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("seed {SEED:?}: {failure}");
    }
}

#[test]
fn w_60_random_operations_end_with_nothing_lost() {
    run(operations(), World::settle);
}

#[test]
fn t16_a_lost_connection_tells_who_waits() {
    run(operations(), World::lose);
}
