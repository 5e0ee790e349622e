//! Sealed datagrams over connections: as one-way messages on a subject of their own.

use std::net::SocketAddr;

use ztransport_proto::event::{Body, Event};

use crate::batch::Batch;
use crate::gossip::{
    Dialled, GOSSIP_SUBJECT, LINK_WAITING_MAX, LINKS_MAX, StreamDatagram, StreamInput,
};
use crate::keys::PeerKey;
use crate::state::Engine;

impl Engine {
    /// Sends over the connection its receiver's datagrams came over, over one that the node has
    /// pooled, or over one of the membership's own. One that finds no room is lost, as in a network.
    pub(crate) fn send_sealed(&mut self, node: usize, datagram: StreamDatagram) {
        let StreamDatagram { to, back, bytes } = datagram;
        let pooled = self
            .nodes
            .get(node)
            .and_then(|node| node.pool.get(&to.to_string()));
        let pooled = pooled
            .and_then(|slot| self.peers.get(*slot as usize))
            .map(|peer| peer.key);
        for peer in [back, pooled].into_iter().flatten() {
            if self.is_up(peer) {
                return self.send_over(node, peer, &bytes);
            }
        }
        self.send_dialled(node, to, bytes);
    }

    fn send_over(&mut self, node: usize, peer: PeerKey, bytes: &[u8]) {
        let sent = self.send(peer, GOSSIP_SUBJECT, Body::Borrowed(bytes), &[]);
        let now = self.now;
        if let Some(membership) = self.memberships.get_mut(&node) {
            membership.streams.touch(peer, now);
            membership.streams.dropped += u64::from(sent.is_err());
        }
    }

    fn send_dialled(&mut self, node: usize, to: SocketAddr, bytes: Vec<u8>) {
        let Some(membership) = self.memberships.get_mut(&node) else {
            return;
        };
        let streams = &mut membership.streams;
        let full = streams.len() >= LINKS_MAX;
        match streams.get_mut(to) {
            Some(dialled) => {
                let peer = dialled.peer;
                if self.is_up(peer) {
                    self.send_over(node, peer, &bytes);
                } else {
                    self.keep_waiting(node, to, bytes);
                }
            }
            None if full => streams.dropped += 1,
            None => self.dial_sealed(node, to, bytes),
        }
    }

    fn keep_waiting(&mut self, node: usize, to: SocketAddr, bytes: Vec<u8>) {
        let Some(membership) = self.memberships.get_mut(&node) else {
            return;
        };
        match membership.streams.get_mut(to) {
            Some(dialled) if dialled.waiting.len() < LINK_WAITING_MAX => {
                dialled.waiting.push(bytes);
            }
            _ => membership.streams.dropped += 1,
        }
    }

    fn dial_sealed(&mut self, node: usize, to: SocketAddr, bytes: Vec<u8>) {
        let Some(key) = self.nodes.get(node).map(|node| node.key) else {
            return;
        };
        let dialled = self.connect(key, &to.to_string(), false);
        let used = self.now;
        // A dial that fails at once has taken its peer along.
        let peer = dialled.ok().filter(|peer| self.peer(*peer).is_ok());
        let Some(membership) = self.memberships.get_mut(&node) else {
            return;
        };
        match peer {
            Some(peer) => membership.streams.insert(
                to,
                Dialled {
                    peer,
                    waiting: vec![bytes],
                    used,
                },
            ),
            None => membership.streams.unconnected += 1,
        }
    }

    /// A dialled peer has greeted: what waited for it leaves.
    pub(crate) fn stream_is_up(&mut self, peer: PeerKey, node: usize) {
        let Some(membership) = self.memberships.get_mut(&node) else {
            return;
        };
        for bytes in membership.streams.take_waiting(peer) {
            self.send_over(node, peer, &bytes);
        }
    }

    pub(crate) fn close_idle_streams(&mut self, node: usize) {
        let now = self.now;
        let Some(membership) = self.memberships.get_mut(&node) else {
            return;
        };
        for peer in membership.streams.idle(now) {
            self.close_peer(peer);
        }
    }

    /// Takes sealed datagrams out of a batch: they are the membership's.
    pub(crate) fn take_sealed(&mut self, slot: usize, batch: &mut Batch) {
        let node = self.links[slot].node as usize;
        if !self.memberships.contains_key(&node) {
            return;
        }
        let Some(number) = self.sealed_subject(slot, batch) else {
            return;
        };
        let from = self.links[slot].socket.peer_ip();
        let (mut count, mut sum) = (0, 0);
        let mut events = std::mem::take(&mut batch.events);
        events.retain(|event| {
            let Event::Send {
                subject,
                payload,
                metadata,
            } = event
            else {
                return true;
            };
            if *subject != number {
                return true;
            }
            let bytes = batch.bytes(payload);
            count += 1;
            sum += (bytes.len() + metadata.as_ref().map_or(0, |block| block.len())) as u64;
            self.hand_sealed(node, batch.peer, from, bytes);
            false
        });
        batch.events = events;
        if count > 0 {
            self.release(batch.peer, number, count, sum);
        }
    }

    fn hand_sealed(&self, node: usize, peer: PeerKey, from: Option<SocketAddr>, bytes: &[u8]) {
        if let (Some(membership), Some(from)) = (self.memberships.get(&node), from) {
            membership.runner.shared.datagram(StreamInput {
                peer,
                from,
                bytes: bytes.to_vec(),
            });
        }
    }

    /// The number of the subject of sealed datagrams on a link, if the batch may hold any.
    fn sealed_subject(&mut self, slot: usize, batch: &Batch) -> Option<u16> {
        let link = &mut self.links[slot];
        let codec = link.codec.as_ref()?;
        for event in &batch.events {
            let Event::Send { subject, .. } = event else {
                continue;
            };
            // Subjects are numbered in the order of their first use: each is looked at once.
            while link.subjects_seen < *subject {
                link.subjects_seen += 1;
                if codec.peer_subject(link.subjects_seen) == GOSSIP_SUBJECT {
                    link.sealed_subject = Some(link.subjects_seen);
                }
            }
        }
        link.sealed_subject
    }
}
