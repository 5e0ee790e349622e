//! What happens when a deadline passes.

use ztransport_proto::Reason;
use ztransport_proto::table::Role;

use crate::batch::Batch;
use crate::error::{Failure, FailureKind};
use crate::link::Phase;
use crate::state::Engine;
use crate::timer::Owner;

impl Engine {
    /// Runs the deadlines that have passed, until one of them gives the batch work.
    pub(crate) fn run_timers(&mut self, batch: &mut Batch) {
        while batch.is_empty() {
            let Some(owner) = self.timer.pop_due(self.now) else {
                return;
            };
            match owner {
                Owner::Link(slot, serial) => self.link_due(slot as usize, serial, batch),
                Owner::Peer(slot, serial) => self.peer_due(slot, serial),
                Owner::Listener(slot) => self.resume_listener(slot as usize),
                Owner::Wake => {}
            }
        }
    }

    fn link_due(&mut self, slot: usize, serial: u32, batch: &mut Batch) {
        let Some(link) = self
            .links
            .get_mut(slot)
            .filter(|link| link.serial == serial)
        else {
            return;
        };
        link.wake_at = None;
        let phase_over = link
            .phase_deadline
            .is_some_and(|deadline| deadline <= self.now);
        if phase_over {
            self.phase_timed_out(slot);
        } else if self.is_life_over(slot) {
            self.end_life(slot);
        } else if self.is_stalled(slot) {
            self.slow_consumer(slot);
        } else {
            self.codec_due(slot, batch);
        }
        self.schedule_link(slot);
    }

    fn phase_timed_out(&mut self, slot: usize) {
        let link = &mut self.links[slot];
        match link.phase {
            Phase::Connecting => self.connect_timed_out(slot),
            Phase::Handshaking => self.handshake_timed_out(slot),
            Phase::Lingering => self.drop_link(slot),
            Phase::Open if link.retired.is_some() && !link.finished => {
                link.failure = Some(overdue());
                self.close_link(slot);
            }
            Phase::Open => {
                let failure = link.failure.take().unwrap_or_else(Failure::closed);
                self.lose_link(slot, failure);
            }
        }
    }

    /// A dialer has no means to tell why it goes, before the listener has answered.
    fn handshake_timed_out(&mut self, slot: usize) {
        let text = "the TLS handshake did not finish in time";
        let remedy = "look whether the peer is stuck, or does not speak TLS at all";
        let failure = Failure::new(FailureKind::HandshakeTimeout, text).remedied(remedy);
        match self.links[slot].role {
            Role::Dialer => self.lose_link(slot, failure),
            Role::Acceptor => {
                self.links[slot].filter.give_up();
                self.refuse_link(slot, failure);
            }
        }
    }

    fn codec_due(&mut self, slot: usize, batch: &mut Batch) {
        let now = self.now;
        let Some(codec) = self.links[slot]
            .codec
            .as_mut()
            .filter(|c| c.poll_timeout().is_some_and(|at| at <= now))
        else {
            return;
        };
        batch.base = 0;
        let result = codec.handle_timeout(now, &mut batch.events);
        self.hand_out(slot, batch);
        match result {
            Ok(()) => self.mark_dirty(slot),
            Err(error) if error.kind() == Reason::Silent => {
                self.abandon_link(slot, Failure::protocol(&error));
            }
            Err(error) => self.refuse_link(slot, Failure::protocol(&error)),
        }
    }
}

fn overdue() -> Failure {
    let text = "the connection was replaced, and what ran on it did not end in time: raise retire_timeout_ms";
    Failure::new(FailureKind::ConnectionLost, text)
}
