//! One connection takes the place of another without a call noticing: the new one is dialled while
//! the old one still serves, and what was begun on the old one ends there. A successor is a peer of
//! its own only for as long as the old connection stands: when that is lost first, its attempt
//! becomes the old peer's, so that there is never more than one thing to wait for.

use ztransport_proto::fault::FaultCode;

use crate::batch::Notice;
use crate::error::Failure;
use crate::keys::PeerKey;
use crate::limits::ORDER_WAIT_MILLIS_MAX;
use crate::pool::{Dial, DialState, Peer};
use crate::state::Engine;

impl Engine {
    /// Dials the peer that will take this one's place. Until it is up this one keeps its
    /// connection; calls that may not begin there wait.
    ///
    /// Only a pooled peer that is up has a successor. Returns whether there is one.
    pub(crate) fn begin_succession(&mut self, peer: u32) -> bool {
        let Some(entry) = self.peers.get(peer as usize) else {
            return false;
        };
        let (old, node) = (entry.key, entry.node);
        let leaves = self.nodes.get(node as usize).is_none_or(|n| n.draining);
        if leaves || entry.successor.is_some() {
            return !leaves;
        }
        let dial = entry.dial.as_ref();
        let Some(dial) = dial.filter(|dial| dial.pooled && dial.state == DialState::Up) else {
            return false;
        };
        let next = Dial::new(dial.address.clone(), true, dial.protocol);
        // At `peers_max` the old connection ends first and is dialled again then.
        let Some(made) = self.add_peer(|key| Peer::new(key, node, None, Some(next))) else {
            return false;
        };
        self.peers[made.slot as usize].predecessor = Some(old);
        self.peers[peer as usize].successor = Some(made);
        self.start_dial(made.slot);
        true
    }

    /// The peer is up. If it is to take another's place, it does: it gets the pool's entry and the
    /// calls that wait. Returns what to tell of it.
    pub(crate) fn take_over(&mut self, peer: u32) -> Option<Notice> {
        let old = self.peers[peer as usize].predecessor.take()?;
        let former = self.peer_mut(old).ok()?;
        former.successor = None;
        // Without its connection it would have taken over this one's attempt.
        let link = former.link?;
        let dial = former.dial.take()?;
        let pending = std::mem::take(&mut former.pending);
        let (lost, node, behind) = (former.lost, former.node, former.behind);
        let entry = &mut self.peers[peer as usize];
        (entry.pending, entry.lost, entry.behind) = (pending, lost, behind);
        entry.lost.redials += 1;
        if let Some(node) = self.nodes.get_mut(node as usize) {
            node.pool.insert(dial.pool_name(), peer);
        }
        self.leave_link(peer, old, link as usize);
        self.schedule_pending(peer);
        self.schedule_order(peer);
        Some(Notice::Replaced { old })
    }

    /// The peer's connection is gone, and there must be another: by the attempt that is under way
    /// already, or by one after a random wait.
    pub(crate) fn dial_again(&mut self, peer: u32) {
        match self.take_successor(peer) {
            Some(next) => self.adopt(peer, next),
            None => self.back_off(peer),
        }
    }

    /// Takes out the peer that is being dialled for this one's place. Nobody knows its key yet.
    fn take_successor(&mut self, peer: u32) -> Option<Peer> {
        let next = self.peers[peer as usize].successor.take()?;
        let is_dialled = self.peer(next).ok()?.predecessor.is_some();
        is_dialled.then(|| self.peers.remove(next.slot as usize))
    }

    /// Nothing runs under the peer's own key any more: it can go on with another's attempt.
    fn adopt(&mut self, peer: u32, next: Peer) {
        let entry = &mut self.peers[peer as usize];
        let (Some(former), Some(dial)) = (entry.dial.take(), next.dial) else {
            return;
        };
        let state = dial.state;
        entry.lost.redials += 1;
        entry.link = next.link;
        entry.dial = Some(Dial {
            was_up: true,
            last_failure: dial.last_failure.or(former.last_failure),
            ..dial
        });
        if let Some(link) = next.link {
            self.links[link as usize].peer = Some(peer);
        }
        match state {
            // Whoever looks the name up would answer to the other key.
            DialState::Resolving => self.start_dial(peer),
            DialState::BackingOff(until) => self.schedule_peer(peer, until),
            _ => {}
        }
    }

    /// Why the last attempt to reach a peer, or who is to take its place, came to nothing.
    pub(crate) fn last_failure(&self, peer: u32) -> Option<&Failure> {
        let entry = self.peers.get(peer as usize)?;
        let next = entry.successor.and_then(|next| self.peer(next).ok());
        let dials = [Some(entry), next].into_iter().flatten();
        dials
            .filter_map(|peer| peer.dial.as_ref()?.last_failure.as_ref())
            .next_back()
    }

    /// The old connection finishes what runs. One-way messages keep their order: none is sent on
    /// the new connection before the old one has delivered its own.
    fn leave_link(&mut self, peer: u32, old: PeerKey, link: usize) {
        let codec = self.links[link].codec.as_ref();
        let unconfirmed = codec.map_or(0, |codec| codec.statistics().unconfirmed);
        if unconfirmed > 0 {
            let until = self.now.after_millis(ORDER_WAIT_MILLIS_MAX);
            self.peers[peer as usize].behind = Some(until);
            self.peers[old.slot as usize].successor = Some(self.peers[peer as usize].key);
        }
        self.links[link].retired.get_or_insert("connection_age");
        self.say_goaway(link, "the connection is being replaced");
    }

    fn schedule_order(&mut self, peer: u32) {
        if let Some(until) = self.peers[peer as usize].behind {
            self.schedule_peer(peer, until);
        }
    }

    /// One-way messages have waited long enough for those on the connection before.
    pub(crate) fn end_order(&mut self, peer: u32) {
        let now = self.now;
        let entry = self.peers.get_mut(peer as usize);
        if entry.is_some_and(|entry| entry.behind.take_if(|until| *until <= now).is_some()) {
            self.notify(peer, Notice::Room);
        }
    }

    /// Takes nothing new on a link and tells its peer, which closes it when what runs has ended.
    pub(crate) fn say_goaway(&mut self, slot: usize, text: &str) {
        let link = &mut self.links[slot];
        let retire_ms = self
            .nodes
            .get(link.node as usize)
            .map_or(0, |node| node.settings.links.retire_timeout_ms);
        link.phase_deadline
            .get_or_insert(self.now.after_millis(retire_ms));
        if let Some(codec) = &mut link.codec {
            codec.goaway(FaultCode::ShuttingDown, text);
            link.leaving |= codec.leaves_alone();
        }
        self.mark_dirty(slot);
        self.schedule_link(slot);
    }

    /// A peer whose user closes it, or whose node leaves, needs no successor.
    pub(crate) fn drop_successor(&mut self, peer: u32) {
        let Some(next) = self
            .peers
            .get(peer as usize)
            .and_then(|peer| peer.successor)
        else {
            return;
        };
        let is_dialled = self.peer(next).is_ok_and(|next| next.predecessor.is_some());
        if is_dialled {
            self.peers[peer as usize].successor = None;
            self.peers[next.slot as usize].predecessor = None;
            self.close_peer(next);
        }
    }

    /// A peer is removed: nobody takes its place, it takes nobody's, and whose messages had to
    /// wait for its own may send.
    pub(crate) fn forget_succession(&mut self, removed: &Peer) {
        if let Some(Ok(old)) = removed.predecessor.map(|old| self.peer_mut(old)) {
            old.successor = None;
        }
        let Some(Ok(next)) = removed.successor.map(|next| self.peer_mut(next)) else {
            return;
        };
        next.predecessor = None;
        if next.behind.take().is_some() {
            let slot = next.key.slot;
            self.notify(slot, Notice::Room);
        }
    }
}
