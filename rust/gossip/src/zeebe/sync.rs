//! Fetching all that a member knows.

use super::request::Pending;
use super::settings::UNSETTLED_SYNC_MS;
use super::{Node, SYNC};
use crate::kryo::{Record, decode_list, encode_record};
use crate::time::Time;

use super::merge::Word;

/// Whose turn it is, and whether the last list was what we know.
#[derive(Debug)]
pub(super) struct Sync {
    /// When the next is due; none while one is under way, or nobody is there.
    pub(super) at: Option<Time>,
    running: bool,
    row: Vec<String>,
    pub(super) settled: bool,
    wait_ms: u32,
}

impl Sync {
    pub(super) const fn new() -> Self {
        Self {
            at: None,
            running: false,
            row: Vec::new(),
            settled: false,
            wait_ms: UNSETTLED_SYNC_MS,
        }
    }

    /// The view has changed: compares it soon. A real member waits for its next turn.
    pub(super) fn unsettle(&mut self, now: Time) {
        self.settled = false;
        self.wait_ms = UNSETTLED_SYNC_MS;
        if !self.running {
            let soon = now.after_millis(UNSETTLED_SYNC_MS.into());
            self.at = Some(self.at.map_or(soon, |at| at.min(soon)));
        }
    }

    pub(super) fn stop(&mut self) {
        self.at = None;
    }
}

impl Node {
    pub(super) fn tend_sync(&mut self, now: Time) {
        if self.sync.at.is_none_or(|at| now < at) {
            return;
        }
        self.sync.at = None;
        if let Some(member) = self.next_to_sync()
            && let Some(to) = member.address
        {
            self.sync.running = true;
            self.statistics.syncs += 1;
            let payload = encode_record(&self.own);
            let timeout_ms = self.settings.sync_timeout_ms();
            self.ask(to, SYNC, payload, timeout_ms, Pending::Sync(member.id));
        }
    }

    /// Each member once in a random order before any twice.
    fn next_to_sync(&mut self) -> Option<Record> {
        if self.sync.row.is_empty() {
            let all = self.pick(usize::MAX, None);
            self.sync.row = all.into_iter().map(|record| record.id).collect();
        }
        while let Some(id) = self.sync.row.pop() {
            if let Some(member) = self.members.get(&id) {
                return Some(member.record.clone());
            }
        }
        None
    }

    pub(super) fn end_sync(&mut self, now: Time, id: &str, reply: Option<&[u8]>) {
        self.sync.running = false;
        match reply.and_then(|bytes| decode_list(bytes).ok()) {
            Some(records) => self.compare_views(now, id, records),
            None => self.statistics.syncs_failed += 1,
        }
        if self.leaving {
            return;
        }
        let interval = self.settings.sync_interval_ms;
        let wait_ms = match self.sync.settled {
            true => interval,
            false => self.sync.wait_ms.min(interval),
        };
        self.sync.wait_ms = self.sync.wait_ms.saturating_mul(2).min(interval);
        self.sync.at = Some(now.after_millis(wait_ms.into()));
    }

    fn compare_views(&mut self, now: Time, id: &str, records: Vec<Record>) {
        let (count, own) = (records.len(), self.own.id.clone());
        let mut told = Vec::with_capacity(count);
        for record in records {
            told.push((record.id.clone(), record.incarnation, record.standing));
            let word = if record.id == id {
                Word::Own
            } else {
                Word::Hearsay
            };
            self.learn(now, record, word);
        }
        let known = |(id, incarnation, standing): &(String, i64, _)| {
            let member = self.members.get(id).map(|member| &member.record);
            let record = if *id == own { Some(&self.own) } else { member };
            record.is_some_and(|r| (r.incarnation, r.standing) == (*incarnation, *standing))
        };
        self.sync.settled = count == self.members.len() + 1 && told.iter().all(known);
    }
}
