//! What the codec, the seal and the door cost on this machine, for one full datagram of suspicions.

use std::hint::black_box;
use std::time::Instant;

use serde_json::{Value, json};
use ztransport_gossip::limits::{DATAGRAM_BYTES_MIN, ENVELOPE_BYTES, HEADER_BYTES, TAG_BYTES};
use ztransport_gossip::seal::{Keyring, Label};
use ztransport_gossip::wire::{Description, Header, Kind, Message, validate};
use ztransport_gossip::{Node, Settings, Time};

use super::{Options, quantile, summary};
use crate::world::{CLUSTER, Protection, World, address};

/// Operations in one timed batch.
const BATCH: usize = 100;
/// Time between two datagrams at the door: so long that strangers are always looked at.
const PAUSE_MS: u64 = 1;

/// Members that a liar with the key invents; it costs so many datagrams to tell of them.
const INVENTED: u64 = 20_000;

/// The first incarnation of three bytes; there are two million of them.
const INCARNATION_LONG: u32 = 1 << 14;

/// A sender and a receiver of one cluster, and the ids of the members that are suspected.
struct Bench {
    receiver: Node,
    sender: Keyring,
    sid: u64,
    suspects: Vec<u64>,
    /// The incarnation in which they are suspected.
    incarnation: u32,
    counter: u64,
    now: Time,
    runs: u32,
}

/// Nanoseconds of one operation, in each of many batches.
struct Nanos(Vec<f64>);

impl Nanos {
    fn median(&self) -> f64 {
        quantile(&mut self.0.clone(), 0.5).unwrap_or_default()
    }
}

pub(super) fn run(options: &Options) -> Result<Value, String> {
    let mut bench = Bench::new(options);
    let (rumours, bytes) = (bench.suspects.len(), bench.sealed().len());
    let mut costs = bench.work();
    let new = bench.suspects.len();
    // What the suspicions made the member say is no reply to what comes now.
    bench.drain();
    costs.extend(bench.refusals());
    let replies = bench.drain();
    let (each, refusal) = bench.refuse_invented();
    let all_ms = refusal.median() * INVENTED.div_ceil(each) as f64 / 1e6;
    let mut results = json!({
        "unit": "ns for one datagram",
        "datagram_bytes": bytes,
        "suspicions_in_a_datagram": rumours,
        "new_suspicions_in_a_datagram": new,
        "members": options.nodes,
        "replies_to_dropped": replies,
        "invented_members_in_a_datagram": each,
        "ms_to_refuse_20000_members": all_ms,
        "ns_per_rumour": per_rumour(&costs, rumours as f64, new as f64),
    });
    for (name, nanos) in costs.into_iter().chain([("refuse_invented", refusal)]) {
        results[name] = summary(nanos.0);
    }
    Ok(results)
}

/// Medians divided by the rumours in a datagram; merging is what remains without opening.
fn per_rumour(costs: &[(&str, Nanos)], rumours: f64, new: f64) -> Value {
    let median = |name: &str| {
        let found = costs.iter().find(|(known, _)| *known == name);
        found.map_or(0.0, |(_, nanos)| nanos.median())
    };
    json!({
        "encode": median("encode") / rumours,
        "validate": median("validate") / rumours,
        "merge_known": (median("open_and_merge_known") - median("open")) / rumours,
        "merge_new": (median("open_and_merge_new") - median("open")) / new,
    })
}

/// The first of `members` whose suspicions in an incarnation fill one datagram.
fn suspects(members: &[u64], incarnation: u32) -> Vec<u64> {
    let room = DATAGRAM_BYTES_MIN - ENVELOPE_BYTES;
    let mut body = Vec::new();
    let fits = members.iter().take_while(|&&sid| {
        suspect(sid, incarnation, 1).encode(&mut body);
        body.len() <= room
    });
    fits.copied().collect()
}

const fn suspect(sid: u64, incarnation: u32, accuser: u64) -> Message<'static> {
    Message::Suspect {
        sid,
        incarnation,
        accuser,
        health: 0,
    }
}

impl Bench {
    fn new(options: &Options) -> Self {
        // There is no room for anybody else.
        let settings = Settings {
            members_max: options.nodes,
            ..Settings::default()
        };
        let mut world = World::formed(options.nodes, options.seed, &settings, Protection::Sealed);
        let sids: Vec<u64> = world.hosts.iter().map(|host| host.node.sid()).collect();
        let sid = sids[1];
        Self {
            receiver: world.hosts.swap_remove(0).node,
            sender: Keyring::new(Label::of(CLUSTER), &Protection::Sealed.sealing(), sid),
            sid,
            suspects: suspects(&sids[2..], 1),
            incarnation: 1,
            counter: 0,
            now: Time::ZERO,
            runs: options.runs.max(1),
        }
    }

    /// What is done for members.
    fn work(&mut self) -> Vec<(&'static str, Nanos)> {
        vec![
            ("encode_ping", self.encode_ping()),
            ("encode", self.encode()),
            ("validate", self.validate()),
            ("seal", self.seal()),
            ("open", self.open()),
            ("open_and_merge_known", self.merge_known()),
            ("open_and_merge_new", self.merge_new()),
        ]
    }

    /// What is done for others.
    fn refusals(&mut self) -> [(&'static str, Nanos); 4] {
        [
            ("drop_bad_header", self.door(|datagram| datagram[0] ^= 1)),
            (
                "drop_forged_member",
                self.door(|datagram| datagram[40] ^= 1),
            ),
            (
                "drop_forged_stranger",
                self.door(|datagram| datagram[5] ^= 1),
            ),
            ("drop_replay", self.replay()),
        ]
    }

    /// Times batches of `act`, which works on what was made beforehand.
    fn time<T>(
        &mut self,
        mut prepare: impl FnMut(&mut Self) -> Vec<T>,
        mut act: impl FnMut(&mut Self, &mut T),
    ) -> Nanos {
        let mut nanos = Vec::new();
        for _ in 0..self.runs {
            let mut work = prepare(self);
            let begun = Instant::now();
            work.iter_mut().for_each(|one| act(self, one));
            nanos.push(begun.elapsed().as_nanos() as f64 / work.len() as f64);
        }
        Nanos(nanos)
    }

    fn body(&self, out: &mut Vec<u8>) {
        for &sid in &self.suspects {
            black_box(suspect(sid, self.incarnation, self.sid)).encode(out);
        }
    }

    fn sealed(&mut self) -> Vec<u8> {
        let mut out = vec![0; HEADER_BYTES];
        self.body(&mut out);
        self.seal_body(out)
    }

    fn seal_body(&mut self, mut out: Vec<u8>) -> Vec<u8> {
        self.counter += 1;
        let receiver = self.receiver.sid();
        self.sender
            .seal(Kind::Sealed, 0, self.counter, receiver, &mut out);
        out
    }

    /// Full datagrams, changed before they come to the door.
    fn batch(&mut self, change: impl Fn(&mut Vec<u8>)) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = (0..BATCH).map(|_| self.sealed()).collect();
        all.iter_mut().for_each(change);
        all
    }

    fn take(&mut self, datagram: &mut [u8]) {
        self.now = self.now.after_millis(PAUSE_MS);
        // Dropping is what some of these are for.
        let _ = self
            .receiver
            .handle_datagram(self.now, address(1), black_box(datagram));
    }

    fn door(&mut self, change: impl Fn(&mut Vec<u8>)) -> Nanos {
        self.time(|bench| bench.batch(&change), |bench, one| bench.take(one))
    }

    /// How many datagrams the receiver wants to send.
    fn drain(&mut self) -> usize {
        let mut out = Vec::new();
        std::iter::from_fn(|| self.receiver.poll_transmit(&mut out)).count()
    }

    fn encode_ping(&mut self) -> Nanos {
        let ping = Message::Ping { seq: 1, digest: 2 };
        let mut out = Vec::with_capacity(DATAGRAM_BYTES_MIN);
        let encode = |_: &mut Self, (): &mut ()| {
            out.clear();
            black_box(&ping).encode(&mut out);
            black_box(&out);
        };
        self.time(|_| vec![(); 50 * BATCH], encode)
    }

    fn encode(&mut self) -> Nanos {
        let mut out = Vec::with_capacity(DATAGRAM_BYTES_MIN);
        let encode = |bench: &mut Self, (): &mut ()| {
            out.clear();
            bench.body(&mut out);
            black_box(&out);
        };
        self.time(|_| vec![(); BATCH], encode)
    }

    fn validate(&mut self) -> Nanos {
        let mut body = Vec::new();
        self.body(&mut body);
        let check =
            |_: &mut Self, (): &mut ()| assert!(black_box(validate(black_box(&body))).is_ok());
        self.time(|_| vec![(); BATCH], check)
    }

    fn seal(&mut self) -> Nanos {
        let bodies = |bench: &mut Self| {
            let mut body = vec![0; HEADER_BYTES];
            bench.body(&mut body);
            body.reserve(ENVELOPE_BYTES);
            vec![body; BATCH]
        };
        self.time(bodies, |bench, out| {
            bench.counter += 1;
            let (counter, receiver) = (bench.counter, bench.receiver.sid());
            bench.sender.seal(Kind::Sealed, 0, counter, receiver, out);
            black_box(out);
        })
    }

    fn open(&mut self) -> Nanos {
        let ring = Keyring::new(Label::of(CLUSTER), &Protection::Sealed.sealing(), 1);
        let key = ring.sender_key(0, self.sid);
        let open = |bench: &mut Self, datagram: &mut Vec<u8>| {
            let receiver = bench.receiver.sid();
            let header = Header::decode(datagram);
            let opened =
                header.and_then(|header| ring.open(key.as_ref(), &header, receiver, datagram));
            assert!(black_box(opened).is_some());
        };
        self.time(|bench| bench.batch(|_| {}), open)
    }

    /// Every datagram suspects all its members in a later incarnation than the one before. Later
    /// incarnations are longer, so that fewer suspicions fit.
    fn merge_new(&mut self) -> Nanos {
        self.suspects = suspects(&self.suspects, INCARNATION_LONG);
        self.incarnation = INCARNATION_LONG;
        let fresh = |bench: &mut Self| {
            let next = |_| {
                bench.incarnation += 1;
                bench.sealed()
            };
            (0..BATCH).map(next).collect()
        };
        self.time(fresh, |bench, one: &mut Vec<u8>| bench.take(one))
    }

    /// Rumours that the receiver has heard already.
    fn merge_known(&mut self) -> Nanos {
        let mut first = self.sealed();
        self.take(&mut first);
        self.door(|_| {})
    }

    /// A full datagram of descriptions of members that do not exist, and how many they are.
    fn invented(&mut self) -> (u64, Vec<u8>) {
        let own = self.receiver.profile().clone();
        let mut out = vec![0; HEADER_BYTES];
        let first = self.counter << 16;
        for number in 0.. {
            let (sid, end) = (first + number, out.len());
            let name = format!("invented-{sid:016x}");
            let described = Description {
                sid,
                name: &name,
                ..own.describe(0)
            };
            Message::Alive(described).encode(&mut out);
            if out.len() + TAG_BYTES > DATAGRAM_BYTES_MIN {
                out.truncate(end);
                return (number, self.seal_body(out));
            }
        }
        unreachable!("datagrams are bounded")
    }

    /// What telling a full view of members that do not exist costs it, and how many are told at
    /// once.
    fn refuse_invented(&mut self) -> (u64, Nanos) {
        let (each, _) = self.invented();
        let told = |bench: &mut Self| (0..BATCH).map(|_| bench.invented().1).collect();
        let present = self.receiver.view().len();
        let nanos = self.time(told, |bench, one: &mut Vec<u8>| bench.take(one));
        assert_eq!(self.receiver.view().len(), present, "nobody was taken in");
        (each, nanos)
    }

    fn replay(&mut self) -> Nanos {
        let datagram = self.sealed();
        self.take(&mut datagram.clone());
        self.door(|other| other.copy_from_slice(&datagram))
    }
}
