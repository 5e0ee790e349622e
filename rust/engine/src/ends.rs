//! How input ends: the peer's side closed, a failure, or what still comes after a refusal.

use ztransport_proto::error::Error as ProtocolError;
use ztransport_proto::error::Reason;
use ztransport_proto::table::Role;

use crate::batch::Batch;
use crate::error::{Failure, FailureKind};
use crate::limits::{LINGER_BYTES_MAX, READ_BYTES_PER_TURN};
use crate::link::Phase;
use crate::state::Engine;

impl Engine {
    /// The peer will send no more. Answers it still waits for are sent before the link closes.
    pub(crate) fn input_ended(&mut self, slot: usize, batch: &mut Batch) {
        let now = self.now;
        let Some(link) = self.links.get_mut(slot) else {
            return;
        };
        if link.phase == Phase::Lingering {
            return;
        }
        link.ended = true;
        let leftover = link.carry.len();
        let Some(codec) = &mut link.codec else {
            let failure = link.failure.take().unwrap_or_else(ended_early);
            return self.lose_link(slot, failure);
        };
        let had_events = batch.events.len();
        let result = codec.handle_end(now, leftover, &mut batch.events);
        let running = codec.statistics().requests_running;
        if batch.events.len() > had_events {
            self.hand_out(slot, batch);
        }
        match result {
            Err(error) => self.refuse_link(slot, Failure::protocol(&error)),
            Ok(()) if running > 0 => self.keep_half_open(slot),
            Ok(()) => self.finish_link(slot),
        }
    }

    fn keep_half_open(&mut self, slot: usize) {
        let link = &mut self.links[slot];
        let writable = link.watching;
        link.watching = !writable;
        self.watch(slot, writable);
        self.schedule_link(slot);
    }

    /// A half-open link reports an error or a full hang-up: its answers cannot be delivered.
    pub(crate) fn hang_up(&mut self, slot: usize) {
        let text = "the peer went away while its answers were being made";
        self.lose_link(slot, Failure::new(FailureKind::ConnectionLost, text));
    }

    pub(crate) fn input_failed(&mut self, slot: usize, failure: Failure) {
        let Some(link) = self.links.get_mut(slot) else {
            return;
        };
        if link.phase == Phase::Lingering {
            return;
        }
        let failure = link.failure.take().unwrap_or(failure);
        match failure.kind() {
            FailureKind::ConnectionLost => self.lose_link(slot, failure),
            FailureKind::TlsPeer if link.role == Role::Acceptor => {
                self.refuse_tls_peer(slot, failure);
            }
            _ => self.refuse_link(slot, failure),
        }
    }

    /// A TLS hello came to a plaintext door: the answer is a ZT/1 fault in plaintext, by which the
    /// dialer knows what it met.
    fn refuse_tls_peer(&mut self, slot: usize, failure: Failure) {
        if let Some(codec) = &mut self.links[slot].codec {
            let detail = "TLS came to a plaintext listener";
            codec.refuse(&ProtocolError::new(Reason::BadPreface, detail));
        }
        self.refuse_link(slot, failure);
    }

    /// Reads on after everything was said, so that no reset destroys what the peer has yet to read.
    pub(crate) fn discard(&mut self, slot: usize) {
        let link = &mut self.links[slot];
        self.cipher.clear();
        let result = link.socket.read(&mut self.cipher, READ_BYTES_PER_TURN);
        match result {
            Ok(count) if count > 0 => {
                link.lingered_bytes += count;
                if link.lingered_bytes > LINGER_BYTES_MAX {
                    self.drop_link(slot);
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            _ => self.drop_link(slot),
        }
    }
}

fn ended_early() -> Failure {
    Failure::new(
        FailureKind::ConnectionLost,
        "the peer closed the connection before it greeted",
    )
}
