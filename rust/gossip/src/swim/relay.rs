//! Probes made for others.

use crate::limits::RELAYS_MAX;
use crate::time::Time;

use super::Node;
use super::input::Origin;
use super::output::Content;

/// A probe on behalf of another member.
#[derive(Clone, Debug)]
pub(super) struct Relay {
    /// Who asked, and under which number.
    asker: Origin,
    asked: u32,
    /// Our own number for it.
    seq: u32,
    /// When to say that there is no answer yet.
    nack_at: Option<Time>,
    ends: Time,
}

impl Node {
    pub(super) fn on_ping_req(&mut self, origin: Origin, asked: u32, target: u64) {
        let slot = self.table.find(target).filter(|&slot| slot != self.own);
        let Some(slot) = slot.filter(|_| self.relays.len() < RELAYS_MAX) else {
            return self.answer(origin, Content::Nack(asked));
        };
        let wait = u64::from(self.settings.probe_timeout_ms_max) * 8 / 10;
        let seq = self.prober.number();
        self.relays.push(Relay {
            asker: origin,
            asked,
            seq,
            nack_at: Some(origin.now.after_millis(wait)),
            ends: origin
                .now
                .after_millis(self.settings.probe_interval_ms.into()),
        });
        self.send_to_slot(slot, Content::Ping(seq));
    }

    /// Passes an acknowledgement on to who asked for it.
    pub(super) fn relay_ack(&mut self, seq: u32) {
        let Some(at) = self.relays.iter().position(|relay| relay.seq == seq) else {
            return;
        };
        let relay = self.relays.swap_remove(at);
        self.answer(relay.asker, Content::Ack(relay.asked));
    }

    pub(super) fn relay_deadline(&self) -> Option<Time> {
        let times = self.relays.iter();
        times.map(|relay| relay.nack_at.unwrap_or(relay.ends)).min()
    }

    pub(super) fn tend_relays(&mut self, now: Time) {
        let mut late = Vec::new();
        for relay in &mut self.relays {
            if relay.nack_at.is_some_and(|at| at <= now) {
                relay.nack_at = None;
                late.push((relay.asker, relay.asked));
            }
        }
        self.relays.retain(|relay| relay.ends > now);
        for (asker, asked) in late {
            self.answer(asker, Content::Nack(asked));
        }
    }
}
