//! Telling changes by datagram.

use super::settings::{DATAGRAMS_MAX, GOSSIP_BYTES_MAX, RUMOUR_ROUNDS};
use super::{GOSSIP, Node};
use crate::kryo::{Datagram, Host, Record, Standing, decode_list, encode_list, encode_record};
use crate::time::Time;

use super::merge::Word;

/// News of one member, the latest alone.
#[derive(Debug)]
pub(super) struct Rumour {
    record: Record,
    /// Rounds in which it is still told.
    rounds: u32,
}

impl Node {
    /// Takes a datagram. One of another cluster, for something else, or malformed changes nothing.
    pub fn handle_datagram(&mut self, now: Time, bytes: &[u8]) {
        let datagram = Datagram::decode(self.preamble, bytes);
        let datagram = datagram.ok().filter(|datagram| datagram.subject == GOSSIP);
        let records = datagram.and_then(|datagram| decode_list(&datagram.payload).ok());
        let Some(records) = records else {
            self.statistics.datagrams_dropped += 1;
            return;
        };
        self.statistics.datagrams_taken += 1;
        for record in records {
            self.learn(now, record, Word::Hearsay);
        }
    }

    /// The next datagram, and where to it goes.
    pub fn poll_transmit(&mut self) -> Option<(Host, Vec<u8>)> {
        self.datagrams.pop_front()
    }

    /// Makes a record news.
    pub(super) fn spread(&mut self, now: Time, record: Record) {
        let room = 2 * self.settings.members_max as usize;
        if self.rumours.len() >= room && !self.rumours.contains_key(&record.id) {
            return;
        }
        let rounds = RUMOUR_ROUNDS;
        self.rumours
            .insert(record.id.clone(), Rumour { record, rounds });
        self.wake_gossip(now);
    }

    fn wake_gossip(&mut self, now: Time) {
        let next = now.after_millis(self.settings.gossip_interval_ms.into());
        self.gossip_at.get_or_insert(next);
    }

    /// A round: removes who was suspected for too long, and tells a few members what is new.
    pub(super) fn tend_gossip(&mut self, now: Time) {
        if self.gossip_at.is_none_or(|at| now < at) {
            return;
        }
        self.gossip_at = None;
        self.reap(now);
        if std::mem::take(&mut self.dispute) {
            let own = self.own.clone();
            self.broadcast(&own);
        }
        self.tell_rumours();
        let suspected = |record: &Record| record.standing == Some(Standing::Suspect);
        if !self.rumours.is_empty() || self.members().any(suspected) {
            self.wake_gossip(now);
        }
    }

    fn tell_rumours(&mut self) {
        let receivers = self.pick(self.settings.gossip_fanout as usize, None);
        // Without anybody to tell, news waits.
        if receivers.is_empty() || self.rumours.is_empty() {
            return;
        }
        let records: Vec<Record> = self.rumours.values().map(|r| r.record.clone()).collect();
        let records: Vec<&Record> = records.iter().collect();
        for receiver in receivers {
            self.tell(receiver.address.as_ref(), &records);
        }
        self.rumours.retain(|_, rumour| {
            rumour.rounds -= 1;
            rumour.rounds > 0
        });
    }

    /// Tells all members of one record.
    pub(super) fn broadcast(&mut self, record: &Record) {
        let addresses = self.members().map(|member| member.address.clone());
        let addresses: Vec<Option<Host>> = addresses.collect();
        for address in addresses {
            self.tell(address.as_ref(), &[record]);
        }
    }

    /// Sends records in as few datagrams as they need.
    pub(super) fn tell(&mut self, to: Option<&Host>, records: &[&Record]) {
        let Some(to) = to else {
            return;
        };
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for &record in records {
            let length = encode_record(record).len();
            if bytes + length > GOSSIP_BYTES_MAX && !batch.is_empty() {
                self.send(to, &batch);
                (batch, bytes) = (Vec::new(), 0);
            }
            batch.push(record);
            bytes += length;
        }
        if !batch.is_empty() {
            self.send(to, &batch);
        }
    }

    fn send(&mut self, to: &Host, records: &[&Record]) {
        if self.datagrams.len() >= DATAGRAMS_MAX {
            return;
        }
        let datagram = Datagram {
            source: self.own.address.clone(),
            subject: GOSSIP.into(),
            payload: encode_list(records.iter().copied()),
        };
        self.statistics.datagrams_sent += 1;
        self.datagrams
            .push_back((to.clone(), datagram.encode(self.preamble)));
    }

    /// Up to `count` members, each at most once, without `but`.
    pub(super) fn pick(&mut self, count: usize, but: Option<&str>) -> Vec<Record> {
        let candidates = self.members().filter(|record| Some(&*record.id) != but);
        let mut candidates: Vec<Record> = candidates.cloned().collect();
        let count = count.min(candidates.len());
        for place in 0..count {
            let rest = (candidates.len() - place) as u64;
            let other = place + self.random.below(rest) as usize;
            candidates.swap(place, other);
        }
        candidates.truncate(count);
        candidates
    }
}
