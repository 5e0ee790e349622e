//! Rounds of gossip.

use crate::time::Time;

use super::Node;
use super::output::Content;
use super::rumours::Rank;

/// How many times as many members are told in a round that carries fresh news of who came or left.
/// Where everybody passes such news on once to three, one in seventeen waits for the next round; to
/// six, one in four hundred. A rumour's budget counts datagrams, so that it costs no more.
const WIDE: u32 = 2;

impl Node {
    /// Has the news leave: at once when no round was due lately, so that a rumour crosses a quiet
    /// cluster at the speed of its network; with the next round otherwise.
    pub(super) fn spread_soon(&mut self, now: Time) {
        if self.gossip_at.is_some() {
            return;
        }
        let interval = u64::from(self.settings.gossip_interval_ms);
        let next = if self.settings.gossip_eager {
            let earliest = self.gossiped.map(|last| last.after_millis(interval));
            earliest.map_or(now, |earliest| earliest.max(now))
        } else {
            now.after_millis(interval)
        };
        self.gossip_at = Some(next);
    }

    /// One round: the same few rumours to a few members. Rounds end with the last rumour.
    pub(super) fn gossip(&mut self, now: Time) {
        let interval = u64::from(self.settings.gossip_interval_ms);
        self.gossiped = Some(now);
        if self.rumours.is_empty() {
            self.gossip_at = None;
            return;
        }
        self.gossip_at = Some(now.after_millis(interval));
        for slot in self.pick_present(self.fanout(), None) {
            self.send_to_slot(slot, Content::Gossip);
        }
    }

    fn fanout(&self) -> u32 {
        let fresh = self.rumours.has_unsent(Rank::Arrival)
            || self.rumours.has_unsent(Rank::Leave)
            || self.leaving && self.rumours.has_unsent(Rank::Own);
        let wide = fresh && self.settings.gossip_eager;
        self.settings.gossip_fanout * if wide { WIDE } else { 1 }
    }

    /// Up to `count` different members that are present, without ourselves and `without`.
    pub(super) fn pick_present(&mut self, count: u32, without: Option<u32>) -> Vec<u32> {
        let mut picked: Vec<u32> = Vec::with_capacity(count as usize);
        let own = self.own;
        for _ in 0..count {
            let slot = self.table.pick(&mut self.random, |slot, record| {
                record.state.is_present()
                    && slot != own
                    && Some(slot) != without
                    && !picked.contains(&slot)
            });
            match slot {
                Some(slot) => picked.push(slot),
                None => break,
            }
        }
        picked
    }
}
