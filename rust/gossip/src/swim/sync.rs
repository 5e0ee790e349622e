//! Anti-entropy: views that stay different exchange what differs, and only that.

use crate::limits::{BUCKETS, SYNC_DATAGRAMS_MAX, Settings, TAG_BYTES};
use crate::limits::{DATAGRAM_BYTES_MIN, HEADER_BYTES};
use crate::member::{Ended, Record, Table};
use crate::time::Time;
use crate::wire::{Message, State, Summaries, Summary};

use super::Node;
use super::input::Origin;
use super::merge::Told;
use super::output::{Content, To, Via};

/// Exchanges in a row that tell nothing new, before they become rarer: the first members asked may
/// lack the same.
const BARREN_FREE: u32 = 3;
/// How often the time between two exchanges doubles.
const DOUBLINGS_MAX: u32 = 4;

/// How our view compares to those of others.
#[derive(Clone, Debug)]
pub(super) struct Sync {
    /// Since when views were found equal to ours, and what our digest was.
    agrees: Option<(Time, u64)>,
    differs_since: Option<Time>,
    /// When a view differed last.
    differed: Time,
    /// When the last exchange began.
    begun: Option<Time>,
    /// We begin no exchange before.
    next: Time,
    /// Exchanges in a row that told nothing new.
    barren: u32,
    /// The exchange under way told us something.
    fruitful: bool,
    shortest: u64,
    /// Which half of the digests is compared: the other one each time, so that no pair of views
    /// stays different because their halves are equal.
    half: u8,
}

impl Sync {
    pub(super) fn new(settings: &Settings) -> Self {
        let shortest = u64::from(settings.sync_interval_ms);
        Self {
            agrees: None,
            differs_since: None,
            differed: Time::ZERO,
            begun: None,
            next: Time::ZERO,
            barren: 0,
            fruitful: false,
            shortest,
            half: 0,
        }
    }

    /// Since when the others have the view whose digest is given, as far as we heard.
    pub(super) fn agrees_since(&self, digest: u64) -> Option<Time> {
        let agrees = self.agrees.filter(|&(_, view)| view == digest);
        agrees.map(|(since, _)| since)
    }

    /// Takes the next difference seriously at once.
    pub(super) const fn hurry(&mut self) {
        self.differs_since = Some(Time::ZERO);
        self.barren = 0;
    }

    /// One equal view proves little, as others may lack the same: a difference is forgotten after
    /// `settling` nanoseconds without another.
    fn agree(&mut self, now: Time, digest: u64, settling: u64) {
        let since = self.agrees_since(digest).unwrap_or(now);
        self.agrees = Some((since, digest));
        if now.saturating_since(self.differed) >= settling {
            self.differs_since = None;
            self.barren = 0;
        }
    }

    /// Whether a difference has outlasted `settling` nanoseconds, or the last exchange told us
    /// something, and the next may begin.
    fn differ(&mut self, now: Time, settling: u64) -> bool {
        self.agrees = None;
        self.differed = now;
        let since = *self.differs_since.get_or_insert(now);
        (self.fruitful || now.saturating_since(since) >= settling) && now >= self.next
    }

    /// An exchange begins. Those that tell nothing new become rare.
    fn begin(&mut self, now: Time) {
        self.barren = if self.fruitful {
            0
        } else {
            self.barren.saturating_add(1)
        };
        self.fruitful = false;
        self.begun = Some(now);
        let doublings = self.barren.saturating_sub(BARREN_FREE).min(DOUBLINGS_MAX);
        self.next = now.after_millis(self.shortest << doublings);
        self.half ^= 1;
    }

    /// Whether to ask back, of whom has just shown us a difference, after `pause` nanoseconds.
    fn asks_back(&self, now: Time, pause: u64) -> bool {
        self.begun
            .is_none_or(|begun| now.saturating_since(begun) >= pause)
    }

    pub(super) const fn told_news(&mut self) {
        self.fruitful = true;
    }

    /// Appends the digest of every bucket.
    pub(super) fn write(&self, table: &Table, out: &mut Vec<u8>) {
        let mut buckets = [0; BUCKETS * 4];
        for (place, &bucket) in buckets.chunks_exact_mut(4).zip(table.buckets()) {
            place.copy_from_slice(&half_of(bucket, self.half).to_le_bytes());
        }
        let half = self.half;
        let buckets = &buckets;
        Message::Digest { half, buckets }.encode(out);
    }
}

const fn half_of(bucket: u64, half: u8) -> u32 {
    (bucket >> (32 * half as u32)) as u32
}

impl Node {
    pub(super) fn compare_digest(&mut self, origin: Origin, digest: u64) {
        let settling = self.settings.dissemination_nanos(self.table.present());
        if digest == self.table.digest() {
            return self.sync.agree(origin.now, digest, settling);
        }
        if self.sync.differ(origin.now, settling) {
            self.ask_differences(origin);
        }
    }

    /// Sends our digest, which asks for what differs.
    fn ask_differences(&mut self, origin: Origin) {
        self.sync.begin(origin.now);
        self.statistics.syncs += 1;
        let to = self.back_to(origin);
        self.send_digest(origin.via, to);
    }

    /// Asks whoever it is for what differs.
    pub(super) fn ask_contact(&mut self, now: Time, via: Via, to: To) {
        self.sync.begin(now);
        self.statistics.syncs += 1;
        self.send_digest(via, to);
    }

    pub(super) fn on_digest(&mut self, origin: Origin, half: u8, theirs: &[u8; BUCKETS * 4]) {
        if !self.answers.take(origin.now) {
            return;
        }
        let theirs = |bucket: usize| {
            let bytes = theirs[bucket * 4..].first_chunk().copied();
            u32::from_le_bytes(bytes.unwrap_or_default())
        };
        let ours = self.table.buckets();
        let differs: Vec<bool> = (0..BUCKETS)
            .map(|bucket| half_of(ours[bucket], half) != theirs(bucket))
            .collect();
        let lacks = |bucket: usize| theirs(bucket) == 0;
        let bodies = self.tell_differences(&differs, lacks);
        for body in bodies {
            self.answer(origin, Content::Body(body));
        }
        let pause = u64::from(self.settings.gossip_interval_ms) * 1_000_000;
        if differs.contains(&true) && self.sync.asks_back(origin.now, pause) {
            self.ask_differences(origin);
        }
    }

    /// The bodies that tell all in buckets that differ: descriptions where the other side has
    /// nothing, states elsewhere. From a random place on, so that answers cut short differ.
    fn tell_differences(
        &mut self,
        differs: &[bool],
        lacks: impl Fn(usize) -> bool,
    ) -> Vec<Vec<u8>> {
        let mut parts = Parts::new(self.settings.datagram_bytes_max);
        let slots = self.table.slots();
        let start = self.random.below(slots.into()) as u32;
        // Ourselves first: the other side may not know who answers.
        let order = std::iter::once(self.own)
            .chain(start..slots)
            .chain(0..start);
        for record in order.filter_map(|slot| self.table.get(slot)) {
            let bucket = self.table.bucket_of(record.sid);
            if differs[bucket] && !parts.put(record, lacks(bucket)) {
                break;
            }
        }
        parts.finish()
    }

    pub(super) fn on_part(&mut self, origin: Origin, last: bool, more: bool) {
        if !last {
            return;
        }
        if more {
            self.ask_differences(origin);
        } else if self.join.finished(origin.now) {
            self.introduce(origin.now);
        }
    }

    pub(super) fn on_summaries(&mut self, origin: Origin, summaries: Summaries<'_>) {
        let mut wanted = Vec::new();
        for summary in summaries {
            if self.lacks(&summary) {
                wanted.extend_from_slice(&summary.sid.to_le_bytes());
            }
            let told = Told {
                sid: summary.sid,
                incarnation: summary.incarnation,
                state: summary.state,
                by: origin.sid,
                health: 0,
            };
            self.hear(origin, &told);
        }
        self.want(origin, &wanted);
    }

    fn lacks(&self, summary: &Summary) -> bool {
        let known = self
            .table
            .find(summary.sid)
            .and_then(|slot| self.table.get(slot));
        summary.state.is_present()
            && summary.sid != self.sid
            && self.may_be_new(summary)
            && known.is_none_or(|record| record.profile.version < summary.version)
    }

    /// Whether somebody who is not in the view may come into it.
    fn may_be_new(&self, summary: &Summary) -> bool {
        match self.retired.get(summary.sid) {
            None => true,
            Some(Ended::Final) => false,
            Some(Ended::Dead { incarnation, .. }) => summary.incarnation > incarnation,
        }
    }

    /// Asks for a description that is newer than ours.
    pub(super) fn want_newer(&mut self, origin: Origin, sid: u64, version: u32) {
        let slot = self.table.find(sid);
        let known = slot.and_then(|slot| self.table.get(slot));
        if known.is_some_and(|record| record.profile.version < version) && sid != self.sid {
            self.want(origin, &sid.to_le_bytes());
        }
    }

    pub(super) fn want(&mut self, origin: Origin, sids: &[u8]) {
        let room = DATAGRAM_BYTES_MIN - HEADER_BYTES - TAG_BYTES - 8;
        for sids in sids.chunks(room / 8 * 8) {
            let mut body = Vec::new();
            Message::Want(sids).encode(&mut body);
            self.answer(origin, Content::Body(body));
        }
    }

    pub(super) fn on_want(&mut self, origin: Origin, sids: &[u8]) {
        let mut parts = Parts::new(self.settings.datagram_bytes_max);
        for sid in sids.chunks_exact(8) {
            let sid = u64::from_le_bytes(sid.try_into().unwrap_or_default());
            let slot = self.table.find(sid);
            if let Some(record) = slot.and_then(|slot| self.table.get(slot)) {
                parts.put(record, true);
            }
        }
        for body in parts.finish_some() {
            self.answer(origin, Content::Body(body));
        }
    }
}

/// Bodies being filled, each beginning with [`Message::Part`].
struct Parts {
    limit: usize,
    bodies: Vec<Vec<u8>>,
    body: Vec<u8>,
    /// Summaries for the body being filled.
    summaries: Vec<u8>,
    more: bool,
}

/// Bytes of the type and length of the summaries in a body.
const SUMMARIES_HEAD: usize = 4;
const SUMMARY_BYTES_MAX: usize = 19;

impl Parts {
    const fn new(datagram_bytes_max: usize) -> Self {
        Self {
            limit: datagram_bytes_max - HEADER_BYTES - TAG_BYTES,
            bodies: Vec::new(),
            body: Vec::new(),
            summaries: Vec::new(),
            more: false,
        }
    }

    /// Adds a member; false when there is no more room.
    fn put(&mut self, record: &Record, whole: bool) -> bool {
        if self.more {
            return false;
        }
        let present = record.state.is_present();
        let mut described = Vec::new();
        if whole && present {
            Message::Alive(record.profile.describe(record.incarnation)).encode(&mut described);
        }
        let filled = self.body.len() + self.summaries.len() + SUMMARIES_HEAD;
        if filled + described.len() + SUMMARY_BYTES_MAX > self.limit {
            self.close(false);
            if self.bodies.len() >= SYNC_DATAGRAMS_MAX - 1 {
                self.more = true;
                return false;
            }
        }
        if self.body.is_empty() {
            part(false, false).encode(&mut self.body);
        }
        self.body.extend_from_slice(&described);
        if described.is_empty() || record.state == State::Suspect {
            Summaries::put(&mut self.summaries, &summary(record));
        }
        true
    }

    fn close(&mut self, last: bool) {
        if self.body.is_empty() || last {
            let mut body = Vec::new();
            part(last, self.more && last).encode(&mut body);
            body.extend_from_slice(self.body.get(body.len()..).unwrap_or_default());
            self.body = body;
        }
        if !self.summaries.is_empty()
            && let Ok(summaries) = Summaries::new(&self.summaries)
        {
            Message::Summaries(summaries).encode(&mut self.body);
        }
        self.summaries.clear();
        self.bodies.push(std::mem::take(&mut self.body));
    }

    /// All bodies, the last one marked.
    fn finish(mut self) -> Vec<Vec<u8>> {
        self.close(true);
        self.bodies
    }

    /// The bodies of an answer that is not the end of an exchange.
    fn finish_some(mut self) -> Vec<Vec<u8>> {
        if !self.body.is_empty() {
            self.close(false);
        }
        self.bodies
    }
}

const fn part(last: bool, more: bool) -> Message<'static> {
    Message::Part { last, more }
}

fn summary(record: &Record) -> Summary {
    Summary {
        sid: record.sid,
        state: record.state,
        incarnation: record.incarnation,
        version: record.profile.version,
    }
}
