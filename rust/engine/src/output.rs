//! How output leaves: gathered for a turn, written at its end.

use ztransport_proto::Dialect;

use crate::error::{Failure, FailureKind};
use crate::limits::OUTPUT_BYTES_MID_TURN;
use crate::link::{Flushed, Phase};
use crate::state::Engine;

impl Engine {
    /// Something was queued on this link.
    pub(crate) fn mark_dirty(&mut self, slot: usize) {
        let Some(link) = self.links.get_mut(slot) else {
            return;
        };
        let queued = link.codec.as_ref().map_or(0, Dialect::output_bytes);
        if queued >= OUTPUT_BYTES_MID_TURN && link.blocked_since.is_none() {
            return self.flush_link(slot);
        }
        if link.dirty {
            return;
        }
        link.dirty = true;
        if self.dirty.is_empty() {
            self.dirty_since = Some(self.now);
            self.flush_wanted = !self.turn.active;
        }
        self.dirty.push(slot as u32);
    }

    /// Writes what one link has, and watches for room if the socket is full.
    pub(crate) fn flush_link(&mut self, slot: usize) {
        let now = self.now;
        let Some(link) = self.links.get_mut(slot) else {
            return;
        };
        match link.phase {
            Phase::Connecting => {}
            Phase::Lingering => self.flush_lingering(slot),
            Phase::Handshaking | Phase::Open if link.finished => {}
            Phase::Handshaking | Phase::Open => match link.flush(now) {
                Ok(Flushed::All) if Engine::is_done(link) => self.finish_link(slot),
                Ok(flushed) => {
                    self.watch(slot, flushed == Flushed::Blocked);
                    self.resume_reading(slot);
                }
                Err(failure) => self.stop_writing(slot, failure),
            },
        }
    }

    /// Writing failed. What the peer said before it closed may still be there to read, and tells
    /// more than the errno: so reading goes on for a moment.
    fn stop_writing(&mut self, slot: usize, failure: Failure) {
        let link = &mut self.links[slot];
        let linger_ms = self
            .nodes
            .get(link.node as usize)
            .map_or(0, |n| n.settings.links.linger_ms);
        link.finished = true;
        link.failure = Some(failure);
        link.blocked_since = None;
        link.phase_deadline = Some(self.now.after_millis(linger_ms));
        self.watch(slot, false);
        self.schedule_link(slot);
    }

    /// The socket has room again, or the connect has ended.
    pub(crate) fn handle_writable(&mut self, slot: usize) {
        match self.links[slot].phase {
            Phase::Connecting => self.connected(slot),
            _ => {
                self.flush_link(slot);
                self.schedule_link(slot);
            }
        }
    }

    /// The peer left written bytes unread for too long.
    pub(crate) fn is_stalled(&self, slot: usize) -> bool {
        let link = &self.links[slot];
        let Some(since) = link.blocked_since else {
            return false;
        };
        let stall_ms = self
            .nodes
            .get(link.node as usize)
            .map_or(0, |n| n.settings.links.write_stall_ms);
        self.now >= since.after_millis(stall_ms)
    }

    pub(crate) fn slow_consumer(&mut self, slot: usize) {
        let text = "the peer did not read what was sent to it in time: it is overloaded or stuck";
        self.abandon_link(slot, Failure::new(FailureKind::SlowConsumer, text));
    }

    /// Cuts off a peer that does not listen: there is no use in telling it anything.
    pub(crate) fn abandon_link(&mut self, slot: usize, failure: Failure) {
        self.links[slot].socket.abandon();
        self.lose_link(slot, failure);
    }
}
