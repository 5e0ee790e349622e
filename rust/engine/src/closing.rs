//! How connections end: lost, refused with a reason, or closed in order.

use ztransport_proto::Dialect;
use ztransport_proto::fault::Retry;
use ztransport_proto::table::Role;
use ztransport_proto::time::Time;

use crate::batch::Notice;
use crate::error::{Failure, FailureKind};
use crate::keys::PeerKey;
use crate::link::{Flushed, Link, Phase};
use crate::poller::Source;
use crate::pool::DialState;
use crate::state::Engine;
use crate::timer::Owner;

/// The engine's own tokens, for forwarded calls, have this bit.
pub(crate) const RELAY_BIT: u64 = 1 << 63;

impl Engine {
    /// The connection is over because of `failure`. What is already queued for the peer, such as
    /// an alert or a fault, is still sent, and the peer gets time to read it.
    pub(crate) fn refuse_link(&mut self, slot: usize, failure: Failure) {
        self.detach(slot, Some(failure));
        self.linger(slot);
    }

    /// The connection broke: nothing can be sent any more.
    pub(crate) fn lose_link(&mut self, slot: usize, failure: Failure) {
        self.detach(slot, Some(failure));
        self.drop_link(slot);
    }

    /// This side wants no more of the link: the peer is told to stop what runs for us.
    pub(crate) fn close_link(&mut self, slot: usize) {
        let now = self.now;
        let link = &mut self.links[slot];
        link.failure.get_or_insert_with(Failure::closed);
        if let Some(codec) = &mut link.codec {
            codec.cancel_all(now);
        }
        self.finish_link(slot);
    }

    /// Everything was said: close in order.
    pub(crate) fn finish_link(&mut self, slot: usize) {
        self.detach(slot, None);
        self.linger(slot);
    }

    /// Takes the link away from its peer and tells the peer's user.
    pub(crate) fn detach(&mut self, slot: usize, failure: Option<Failure>) {
        let Some(link) = self.links.get_mut(slot) else {
            return;
        };
        let failure = failure.or_else(|| link.failure.take());
        if link.phase == Phase::Lingering {
            link.peer = None;
            return;
        }
        let failure = failure.map(|failure| failure.at(|| self.place_of(slot)));
        self.tell_refused(slot, failure.as_ref());
        let link = &mut self.links[slot];
        let (peer, node) = (link.peer.take(), link.node);
        self.settle_proof(slot);
        self.count_end(slot, node, failure.as_ref());
        let Some(peer) = peer else { return };
        self.fail_outstanding(slot, peer, failure.as_ref());
        let Some(entry) = self.peers.get_mut(peer as usize) else {
            return;
        };
        entry.link = None;
        if entry.dial.is_some() {
            self.dialled_peer_down(peer, failure);
        } else {
            self.remove_peer(
                peer,
                Notice::Down {
                    error: failure,
                    gone: true,
                },
            );
        }
    }

    /// Where the peer of a link is, and who it says it is.
    fn place_of(&self, slot: usize) -> String {
        let link = &self.links[slot];
        let peer = link.peer.and_then(|peer| self.peers.get(peer as usize));
        let dialled = peer.and_then(|peer| peer.dial.as_ref());
        let address = dialled.map_or_else(|| link.address(), |dial| dial.address.to_string());
        let hello = link.codec.as_ref().and_then(Dialect::peer);
        match hello.filter(|hello| !hello.node_id.is_empty()) {
            Some(hello) => format!("{address} (node {})", hello.node_id.escape_debug()),
            None => address,
        }
    }

    /// Whoever listens has no call that could raise why a dialer was refused: it is told.
    fn tell_refused(&mut self, slot: usize, failure: Option<&Failure>) {
        let link = &self.links[slot];
        let Some(error) = failure.filter(|_| link.role == Role::Acceptor) else {
            return;
        };
        let is_refusal = match error.kind() {
            FailureKind::Tls(_) | FailureKind::TlsPeer | FailureKind::WrongCluster => true,
            FailureKind::Closed | FailureKind::ShuttingDown => false,
            // Somebody who only looks whether the port is open says nothing.
            FailureKind::ConnectionLost => !link.greeted && link.bytes_received > 0,
            _ => !link.greeted,
        };
        if is_refusal {
            let (node, error) = (link.node, error.clone());
            self.notify_key(PeerKey::default(), node, Notice::Refused { error });
        }
    }

    fn count_end(&mut self, slot: usize, node: u32, failure: Option<&Failure>) {
        let link = &self.links[slot];
        let Some(node) = self.nodes.get_mut(node as usize) else {
            return;
        };
        let in_order = link.retired.unwrap_or("closed_in_order");
        node.count_closed(failure.map_or(in_order, Failure::reason));
        node.counters.bytes_received += link.bytes_received;
        node.counters.bytes_sent += link.bytes_sent;
        if let Some(codec) = &link.codec {
            node.counters.ended.merge(&codec.statistics());
        }
        if link.role == Role::Acceptor {
            node.accepted_open = node.accepted_open.saturating_sub(1);
        }
    }

    /// Ends every call that waits for an answer on this link.
    fn fail_outstanding(&mut self, slot: usize, peer: u32, failure: Option<&Failure>) {
        let Some(codec) = &mut self.links[slot].codec else {
            return;
        };
        let unconfirmed = codec.statistics().unconfirmed;
        let outstanding = codec.take_outstanding();
        let error = failure.cloned().unwrap_or_else(|| {
            Failure::new(
                FailureKind::ConnectionLost,
                "the peer closed before it answered",
            )
        });
        if let Some(entry) = self.peers.get_mut(peer as usize) {
            entry.lost.unconfirmed += unconfirmed;
        }
        for (token, retry) in outstanding {
            self.fail_token(peer, token, retry, &error);
        }
    }

    pub(crate) fn fail_token(&mut self, peer: u32, token: u64, retry: Retry, error: &Failure) {
        if token & RELAY_BIT == 0 {
            self.notify(
                peer,
                Notice::Failed {
                    token,
                    retry,
                    error: error.clone(),
                },
            );
        } else {
            self.fail_relay(token, retry, error);
        }
    }

    fn dialled_peer_down(&mut self, peer: u32, failure: Option<Failure>) {
        let is_kept = self.is_kept(peer);
        let entry = &mut self.peers[peer as usize];
        // It would be dialled again, were it not for its node, which leaves.
        let is_closed = entry.is_kept() && !is_kept;
        let Some(dial) = &mut entry.dial else { return };
        let (is_up, was_up) = (dial.state == DialState::Up, dial.was_up);
        dial.last_failure.clone_from(&failure);
        let down = |error, gone| Notice::Down { error, gone };
        match was_up {
            _ if is_kept => {
                self.dial_again(peer);
                if is_up {
                    self.notify(peer, down(failure, false));
                }
            }
            true if is_closed => self.remove_peer(peer, down(Some(Failure::closed()), true)),
            true => self.remove_peer(peer, down(failure, true)),
            false => {
                let error = failure.unwrap_or_else(Failure::closed);
                self.remove_peer(peer, Notice::ConnectFailed { error });
            }
        }
    }

    /// Takes a peer out for good; its queued calls end first.
    pub(crate) fn remove_peer(&mut self, peer: u32, notice: Notice) {
        let error = match &notice {
            Notice::ConnectFailed { error }
            | Notice::Down {
                error: Some(error), ..
            } => error.clone(),
            _ => Failure::closed(),
        };
        while let Some(call) = self
            .peers
            .get_mut(peer as usize)
            .and_then(|p| p.pending.pop())
        {
            self.fail_token(peer, call.token, Retry::NotStarted, &error);
        }
        self.notify(peer, notice);
        let entry = self.peers.remove(peer as usize);
        if let Some(membership) = self.memberships.get_mut(&(entry.node as usize)) {
            membership.streams.forget(entry.key);
        }
        self.forget_succession(&entry);
        let Some(node) = self.nodes.get_mut(entry.node as usize) else {
            return;
        };
        if let Some(dial) = entry.dial.filter(|dial| dial.pooled) {
            node.pool.remove(&dial.pool_name());
        }
    }

    /// Sends what is queued and the end of our side, then reads until the peer is gone too.
    fn linger(&mut self, slot: usize) {
        let Some(link) = self.links.get_mut(slot) else {
            return;
        };
        if link.phase == Phase::Lingering {
            return;
        }
        let linger_ms = self
            .nodes
            .get(link.node as usize)
            .map_or(0, |n| n.settings.links.linger_ms);
        link.phase = Phase::Lingering;
        link.phase_deadline = Some(self.now.after_millis(linger_ms));
        link.carry = Vec::new();
        if link.finished {
            return self.drop_link(slot);
        }
        self.flush_link(slot);
        self.schedule_link(slot);
    }

    /// Writes what a lingering link still has, then closes our side once.
    pub(crate) fn flush_lingering(&mut self, slot: usize) {
        let now = self.now;
        let link = &mut self.links[slot];
        let flushed = link.flush(now);
        if flushed == Ok(Flushed::All) && !link.finished {
            link.filter.close();
            // One more write for close_notify; a socket that is full now closes without it.
            let _ = link.flush(now);
            link.finished = true;
            link.socket.finish_writing();
        }
        match flushed {
            Err(_) => self.drop_link(slot),
            Ok(flushed) => self.watch(slot, flushed == Flushed::Blocked),
        }
    }

    pub(crate) fn drop_link(&mut self, slot: usize) {
        self.settle_proof(slot);
        let link = self.links.remove(slot);
        self.poller.remove(&link.socket);
        if let Some(node) = self.nodes.get(link.node as usize)
            && node.draining
        {
            self.check_drained();
        }
    }

    /// The link is greeted or gone: it no longer counts among the unproven.
    pub(crate) fn settle_proof(&mut self, slot: usize) {
        let link = &mut self.links[slot];
        if !link.counted_unproven {
            return;
        }
        link.counted_unproven = false;
        if let Some(node) = self.nodes.get_mut(link.node as usize) {
            node.forget_unproven(link.source);
        }
    }

    /// Lets the poller watch for room to write, or stop.
    pub(crate) fn watch(&mut self, slot: usize, writable: bool) {
        let link = &mut self.links[slot];
        if link.watching == writable {
            return;
        }
        link.watching = writable;
        self.watch_again(slot);
    }

    /// Tells the poller what the link waits for now.
    pub(crate) fn watch_again(&mut self, slot: usize) {
        let link = &self.links[slot];
        let source = Source::Link(slot as u32, link.serial);
        let (reading, writable) = (!link.ended && !link.paused, link.watching);
        // The descriptor is registered for as long as the link exists.
        let watched = self.poller.watch(&link.socket, source, reading, writable);
        debug_assert!(watched.is_ok(), "the descriptor is registered");
    }

    /// Makes sure the link is looked at when its next deadline passes. One whose output waits to be
    /// flushed is scheduled then, once for all its messages.
    pub(crate) fn schedule_link(&mut self, slot: usize) {
        let Some(link) = self.links.get_mut(slot).filter(|link| !link.dirty) else {
            return;
        };
        let limits = self
            .nodes
            .get(link.node as usize)
            .map(|node| &node.settings.links);
        let stall = limits.map_or(0, |limits| limits.write_stall_ms * 1_000_000);
        let Some(at) = link.deadline(stall) else {
            return;
        };
        let at = at.max(Time::from_nanos(1));
        if link.wake_at.is_some_and(|wake| wake <= at) {
            return;
        }
        link.wake_at = Some(at);
        self.timer
            .schedule(at, Owner::Link(slot as u32, link.serial));
        if !self.turn.active {
            self.arm();
        }
    }

    /// Whether the peer wants no more of this link and everything that was begun on it, by either
    /// side, has ended.
    pub(crate) fn is_done(link: &Link) -> bool {
        let idle = link.codec.as_ref().is_none_or(Dialect::is_drained);
        (link.ended || link.leaving) && idle && !link.has_output()
    }
}
