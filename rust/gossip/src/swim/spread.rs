//! Rounds of gossip.

use crate::limits::HASTE_FACTOR;
use crate::time::Time;

use super::Node;
use super::output::Content;
use super::rumours::{Rank, Rumour};

impl Node {
    /// Takes up a rumour about the member in `slot`, and has it leave: at once when no round was
    /// due lately, so that a rumour crosses a quiet cluster at the speed of its network; with the
    /// next round otherwise.
    pub(super) fn repeat(&mut self, now: Time, slot: u32, rumour: Rumour) {
        let haste = if rumour.is_hasty() {
            (2 * self.sends_max(rumour.rank)).div_ceil(3)
        } else {
            0
        };
        self.rumours.push(slot, rumour, haste);
        let next = if self.settings.gossip_eager {
            let earliest = self.gossiped.map(|last| last.after_millis(self.pace_ms()));
            earliest.map_or(now, |earliest| earliest.max(now))
        } else {
            now.after_millis(self.settings.gossip_interval_ms.into())
        };
        self.gossip_at = Some(self.gossip_at.map_or(next, |due| due.min(next)));
    }

    /// Milliseconds from one round to the next: few while a rumour is in haste.
    fn pace_ms(&self) -> u64 {
        let interval = u64::from(self.settings.gossip_interval_ms);
        if self.settings.gossip_eager && self.rumours.are_in_haste() {
            interval / HASTE_FACTOR
        } else {
            interval
        }
    }

    /// Datagrams of ours that carry a rumour of this rank. A further accusation only has to reach
    /// somebody who has heard of the others.
    pub(super) fn sends_max(&self, rank: Rank) -> u16 {
        let count = self.table.present();
        match rank {
            Rank::Own | Rank::Leave | Rank::Death | Rank::Refutation => {
                self.settings.sends_max(true, count)
            }
            Rank::Suspicion | Rank::Arrival | Rank::Description => {
                self.settings.sends_max(false, count)
            }
            Rank::Confirmation => self.settings.sends_max(false, count).div_ceil(3),
        }
    }

    /// One round: the same few rumours to a few members. Rounds end with the last rumour, and are
    /// put off when what was in haste is no more.
    pub(super) fn gossip(&mut self, now: Time) {
        if self.rumours.is_empty() {
            self.gossip_at = None;
            return;
        }
        let earliest = self.gossiped.map(|last| last.after_millis(self.pace_ms()));
        if let Some(later) = earliest.filter(|&earliest| earliest > now) {
            self.gossip_at = Some(later);
            return;
        }
        self.gossiped = Some(now);
        self.gossip_at = Some(now.after_millis(self.pace_ms()));
        for slot in self.pick_present(self.settings.gossip_fanout, None) {
            self.send_to_slot(slot, Content::Gossip);
        }
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
