//! What the codec, the seal and the door cost on this machine.

use std::hint::black_box;
use std::time::Instant;

use serde_json::{Value, json};
use ztransport_gossip::limits::{DATAGRAM_BYTES_MIN, ENVELOPE_BYTES, HEADER_BYTES};
use ztransport_gossip::seal::{Keyring, Label};
use ztransport_gossip::wire::{Header, Kind, Message, validate};
use ztransport_gossip::{Node, Settings, Time};

use super::{Options, summary};
use crate::world::{CLUSTER, Protection, World, address};

/// Operations in one timed batch.
const BATCH: usize = 100;

/// Nanoseconds of one operation, over `runs` batches; what a batch works on is made beforehand.
fn time<T>(runs: u32, mut prepare: impl FnMut() -> Vec<T>, mut act: impl FnMut(T)) -> Value {
    let mut nanos = Vec::new();
    for _ in 0..runs.max(1) {
        let work = prepare();
        let count = work.len() as f64;
        let begun = Instant::now();
        work.into_iter().for_each(&mut act);
        nanos.push(begun.elapsed().as_nanos() as f64 / count);
    }
    summary(nanos)
}

/// A sender and a receiver of one cluster of 100, and a full datagram of suspicions.
struct Bench {
    receiver: Node,
    sender: Keyring,
    sid: u64,
    counter: u64,
    body: Vec<u8>,
    rumours: usize,
}

fn suspicions(world: &World) -> (Vec<u8>, usize) {
    let mut body = Vec::new();
    let accuser = world.hosts[1].node.sid();
    let room = DATAGRAM_BYTES_MIN - ENVELOPE_BYTES;
    let mut count = 0;
    for host in &world.hosts[2..] {
        let end = body.len();
        let (sid, incarnation) = (host.node.sid(), 0);
        Message::Suspect {
            sid,
            incarnation,
            accuser,
            health: 0,
        }
        .encode(&mut body);
        if body.len() > room {
            body.truncate(end);
            break;
        }
        count += 1;
    }
    (body, count)
}

impl Bench {
    fn new() -> Self {
        let mut world = World::formed(100, 1, &Settings::default(), Protection::Sealed);
        let (body, rumours) = suspicions(&world);
        let sid = world.hosts[1].node.sid();
        let sealing = Protection::Sealed.sealing();
        Self {
            sender: Keyring::new(Label::of(CLUSTER), &sealing, sid),
            receiver: world.hosts.swap_remove(0).node,
            sid,
            counter: 0,
            body,
            rumours,
        }
    }

    fn sealed(&mut self) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES];
        out.extend_from_slice(&self.body);
        self.counter += 1;
        let receiver = self.receiver.sid();
        self.sender
            .seal(Kind::Sealed, 0, self.counter, receiver, &mut out);
        out
    }

    fn batch(&mut self, change: impl Fn(&mut Vec<u8>)) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = (0..BATCH).map(|_| self.sealed()).collect();
        all.iter_mut().for_each(change);
        all
    }

    /// Time for the door to take or drop each datagram.
    fn door(&mut self, runs: u32, change: impl Fn(&mut Vec<u8>)) -> Value {
        let mut nanos = Vec::new();
        for _ in 0..runs.max(1) {
            let mut work = self.batch(&change);
            let begun = Instant::now();
            for datagram in &mut work {
                // Dropping is what some of these are for.
                let _ = self
                    .receiver
                    .handle_datagram(Time::ZERO, address(1), datagram);
            }
            nanos.push(begun.elapsed().as_nanos() as f64 / BATCH as f64);
        }
        summary(nanos)
    }
}

pub(super) fn run(options: &Options) -> Result<Value, String> {
    let mut bench = Bench::new();
    let runs = options.runs;
    let ping = Message::Ping { seq: 1, digest: 2 };
    let mut out = Vec::with_capacity(2_048);
    let encode_ping = time(
        runs,
        || vec![(); 50 * BATCH],
        |()| {
            out.clear();
            black_box(&ping).encode(&mut out);
        },
    );
    let suspect = Message::Suspect {
        sid: bench.sid,
        incarnation: 1,
        accuser: 2,
        health: 0,
    };
    let encode_full = time(
        runs,
        || vec![(); BATCH],
        |()| {
            out.clear();
            (0..58).for_each(|_| black_box(&suspect).encode(&mut out));
        },
    );
    let body = bench.body.clone();
    let validate_full = time(
        runs,
        || vec![(); BATCH],
        |()| {
            let _ = black_box(validate(black_box(&body)));
        },
    );
    let bytes = bench.sealed().len();
    Ok(json!({
        "unit": "ns for one datagram",
        "datagram_bytes": bytes,
        "suspicions_in_a_datagram": bench.rumours,
        "encode_ping": encode_ping,
        "encode_58_suspicions": encode_full,
        "validate_full": validate_full,
        "seal_full": seal(&mut bench, runs),
        "open_full": open(&mut bench, runs),
        "take_full_known": known(&mut bench, runs),
        "drop_bad_header": bench.door(runs, |datagram| datagram[0] ^= 1),
        "drop_forged_member": bench.door(runs, |datagram| datagram[40] ^= 1),
        "drop_forged_stranger": bench.door(runs, |datagram| datagram[5] ^= 1),
        "drop_replay": replay(&mut bench, runs),
        "replies": bench.replies(),
    }))
}

impl Bench {
    fn replies(&mut self) -> usize {
        let mut out = Vec::new();
        // What the suspicions themselves made the member say is no reply to any of these.
        std::iter::from_fn(|| self.receiver.poll_transmit(&mut out)).count()
    }
}

fn seal(bench: &mut Bench, runs: u32) -> Value {
    let (sender, receiver, body) = (&bench.sender, bench.receiver.sid(), &bench.body);
    let mut counter = 1 << 40;
    let mut out = Vec::with_capacity(2_048);
    time(
        runs,
        || vec![(); BATCH],
        |()| {
            out.clear();
            out.resize(HEADER_BYTES, 0);
            out.extend_from_slice(body);
            counter += 1;
            sender.seal(Kind::Sealed, 0, counter, receiver, &mut out);
            black_box(&out);
        },
    )
}

fn open(bench: &mut Bench, runs: u32) -> Value {
    let sealing = Protection::Sealed.sealing();
    let ring = Keyring::new(Label::of(CLUSTER), &sealing, 1);
    let key = ring.sender_key(0, bench.sid);
    let receiver = bench.receiver.sid();
    let prepare = || bench.batch(|_| {});
    time(runs, prepare, |mut datagram| {
        let header = Header::decode(&datagram);
        let opened =
            header.and_then(|header| ring.open(key.as_ref(), &header, receiver, &mut datagram));
        assert!(black_box(opened).is_some());
    })
}

/// Rumours that the receiver has heard already.
fn known(bench: &mut Bench, runs: u32) -> Value {
    bench.door(1, |_| {});
    bench.door(runs, |_| {})
}

fn replay(bench: &mut Bench, runs: u32) -> Value {
    let datagram = bench.sealed();
    bench.door(1, |_| {});
    bench.door(runs, |other| other.copy_from_slice(&datagram))
}
