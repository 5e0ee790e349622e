//! From a probe without an answer to a death.

use crate::time::Time;
use crate::wire::State;

use super::Node;
use super::input::Origin;
use super::merge::Told;
use super::output::Via;
use super::rumours::{Rank, Rumour};
use super::suspicion::Suspicion;

impl Node {
    /// Suspects the member in `slot`, which did not answer us.
    pub(super) fn accuse(&mut self, now: Time, slot: u32) {
        let Some(record) = self.table.get(slot) else {
            return;
        };
        let told = Told {
            sid: record.sid,
            incarnation: record.incarnation,
            state: State::Suspect,
            by: self.sid,
            health: self.health.score() as u8,
        };
        self.hear(self.own_origin(now), &told);
    }

    fn own_origin(&self, now: Time) -> Origin {
        Origin {
            now,
            sid: self.sid,
            address: self.profile().address,
            via: Via::Datagram,
            hearsay: false,
        }
    }

    pub(super) fn start_suspicion(&mut self, now: Time, slot: u32, accuser: u64) {
        let present = self.table.present();
        let min = self.settings.suspicion_nanos_min(present);
        let needed = self.settings.confirmations.min(present.saturating_sub(2));
        let ceiling = if needed == 0 {
            1
        } else {
            self.settings.suspicion_ceiling
        };
        self.statistics.suspicions += 1;
        // Both are validated to be small.
        let suspicion = Suspicion::new(now, accuser, min, ceiling as u8, needed as u8);
        self.suspicions.start(slot, suspicion);
    }

    /// A further accusation. That of a member in poor health is heard, and counts for nothing.
    pub(super) fn hear_confirmation(&mut self, now: Time, slot: u32, told: Told) {
        if told.health > 0 || !self.suspicions.confirm(slot, told.by) {
            return;
        }
        let rumour = Rumour {
            rank: Rank::Confirmation,
            whole: false,
            by: told.by,
            health: told.health,
        };
        self.repeat(now, slot, rumour);
    }

    /// Declares dead who did not refute in time.
    pub(super) fn bury_expired(&mut self, now: Time) {
        while let Some(slot) = self.suspicions.expired(now) {
            self.suspicions.end(slot);
            let Some(record) = self.table.get(slot) else {
                continue;
            };
            let told = Told {
                sid: record.sid,
                incarnation: record.incarnation,
                state: State::Dead,
                by: self.sid,
                health: 0,
            };
            self.statistics.deaths += 1;
            self.hear(self.own_origin(now), &told);
        }
    }

    /// Forgets members that ended long ago.
    pub(super) fn reap(&mut self, now: Time) {
        let keep = u64::from(self.settings.remember_ms) * 1_000_000;
        let own = self.own;
        let ended = self
            .table
            .iter()
            .filter(|(_, record)| !record.state.is_present());
        let old: Vec<u32> = ended
            .filter(|(slot, record)| *slot != own && now.saturating_since(record.since) >= keep)
            .map(|(slot, _)| slot)
            .collect();
        old.into_iter().for_each(|slot| self.forget(slot));
    }
}
