//! Asking members in turn whether they are there.

use super::request::Pending;
use super::{Node, PROBE_REQUEST};
use crate::kryo::{Host, Record, Standing, decode_boolean, decode_record, encode_record};
use crate::time::Time;

use super::merge::Word;

impl Node {
    /// Contact points at which no known member is, and we are not.
    pub(super) fn unknown_seeds(&self) -> impl Iterator<Item = &Host> {
        self.seeds.iter().filter(|seed| {
            let here = |record: &Record| record.address.as_ref() == Some(seed);
            !here(&self.own) && !self.members().any(here)
        })
    }

    /// Asks all contact points at the start.
    pub(super) fn greet(&mut self) {
        let seeds: Vec<Host> = self.unknown_seeds().cloned().collect();
        for seed in seeds {
            let said = contact_point(&seed);
            self.ask_probe(seed, &said, Pending::Greeting);
        }
    }

    pub(super) fn end_greeting(&mut self, now: Time, reply: Option<&[u8]>) {
        match reply.and_then(|bytes| decode_record(bytes).ok()) {
            Some(record) => self.learn(now, record, Word::Own),
            None => self.statistics.probes_failed += 1,
        }
    }

    /// Probes the next in the row: contact points without a member, then the members. The next one
    /// is due an interval after this one has ended.
    pub(super) fn tend_probe(&mut self, now: Time) {
        if self.probe_at.is_none_or(|at| now < at) {
            return;
        }
        let mut row: Vec<Record> = self.unknown_seeds().map(contact_point).collect();
        let members = self.order.iter().filter_map(|id| self.members.get(id));
        row.extend(members.map(|member| member.record.clone()));
        if row.is_empty() {
            return self.schedule_probe(now);
        }
        self.turn = self.turn.wrapping_add(1);
        let target = row.swap_remove(self.turn % row.len());
        match target.address.clone() {
            Some(to) => {
                self.probe_at = None;
                self.ask_probe(to, &target.clone(), Pending::Probe(target));
            }
            None => self.schedule_probe(now),
        }
    }

    fn schedule_probe(&mut self, now: Time) {
        self.probe_at = Some(now.after_millis(self.settings.probe_interval_ms.into()));
    }

    pub(super) fn end_probe(&mut self, now: Time, target: &Record, reply: Option<&[u8]>) {
        if !self.leaving {
            self.schedule_probe(now);
        }
        if !self.is_answered(now, &target.id, reply) && self.is_still(target) {
            self.ask_for_help(now, target);
        }
    }

    /// Whether a member is present in the incarnation that was probed.
    fn is_still(&self, target: &Record) -> bool {
        let known = self.members.get(&target.id);
        known.is_some_and(|member| member.record.incarnation == target.incarnation)
    }

    fn ask_for_help(&mut self, now: Time, suspect: &Record) {
        let count = self.settings.suspect_probes.saturating_sub(1) as usize;
        let helpers = self.pick(count, Some(&suspect.id));
        if helpers.is_empty() {
            return self.fail(now, suspect);
        }
        let group = self.token;
        for helper in helpers {
            let Some(to) = helper.address else {
                continue;
            };
            let payload = encode_record(suspect);
            let timeout_ms = self.settings.probe_timeout_ms.saturating_mul(2);
            let suspect = suspect.clone();
            let pending = Pending::Help { suspect, group };
            self.ask(to, PROBE_REQUEST, payload, timeout_ms, pending);
        }
    }

    /// The first helper that reached the member decides; the last that did not does otherwise.
    pub(super) fn end_help(
        &mut self,
        now: Time,
        suspect: &Record,
        group: u64,
        reply: Option<&[u8]>,
    ) {
        let reached = reply.is_some_and(|bytes| decode_boolean(bytes) == Ok(true));
        let of_group = |pending: &Pending| match pending {
            Pending::Help { group: other, .. } => *other == group,
            _ => false,
        };
        if reached {
            self.pending.retain(|_, pending| !of_group(pending));
        } else if !self.pending.values().any(of_group) {
            self.fail(now, suspect);
        }
    }

    fn fail(&mut self, now: Time, target: &Record) {
        let alive = |record: &Record| record.standing == Some(Standing::Alive);
        let member = self.members.get(&target.id);
        if !self.is_still(target) || member.is_none_or(|member| !alive(&member.record)) {
            return;
        }
        self.suspect(now, &target.id);
        if self.settings.broadcast_updates
            && let Some(member) = self.members.get(&target.id)
        {
            let record = member.record.clone();
            self.broadcast(&record);
        }
    }
}

/// Who is at a contact point is not known: it is probed under a name that no member has.
fn contact_point(seed: &Host) -> Record {
    Record {
        id: format!("{}:{}", seed.name, seed.port),
        address: Some(seed.clone()),
        ..Record::default()
    }
}
