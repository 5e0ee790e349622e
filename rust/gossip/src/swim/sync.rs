//! Anti-entropy: views that stay different exchange what differs, and only that.

use crate::limits::{BUCKETS, DATAGRAM_BYTES_MIN, HEADER_BYTES, TAG_BYTES};
use crate::member::Ended;
use crate::time::Time;
use crate::wire::{Message, Summaries, Summary};

use super::Node;
use super::exchange::half_of;
use super::input::Origin;
use super::merge::Told;
use super::output::{Content, To, Via};
use super::parts::Parts;

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

    /// Asks a random member what differs, while we have much to catch up with.
    pub(super) fn catch_up(&mut self, now: Time) {
        if !self.sync.follows(now) || self.leaving {
            return;
        }
        for slot in self.pick_present(1, None) {
            self.ask_member(now, slot);
        }
    }

    /// Asks the member in `slot` what differs.
    pub(super) fn ask_member(&mut self, now: Time, slot: u32) {
        if let Some(sid) = self.table.get(slot).map(|record| record.sid) {
            self.ask_contact(now, Via::Datagram, To::Member(slot, sid));
        }
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
        if !self.told.take_many(origin.now, bodies.len() as u32) {
            return;
        }
        for body in bodies {
            self.answer(origin, Content::Body(body));
        }
        if differs.contains(&true) && self.sync.asks_back(origin.now) {
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
            if self.sync.asks_on() {
                self.ask_differences(origin);
            }
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
