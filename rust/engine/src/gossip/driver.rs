//! Drives the pure node: commands, datagrams of either kind and a time in; datagrams of either kind
//! and a deadline out. Without a clock or a socket, so that tests run it in virtual time.

use std::collections::HashMap;
use std::net::SocketAddr;

use ztransport_gossip::wire::Header;
use ztransport_gossip::{Node, Time, Transmit, Via};

use super::BACKS_MAX;
use super::address::{to_ip, to_wire};
use super::queues::{Command, Seen, StreamDatagram, StreamInput};
use crate::keys::PeerKey;

/// A greeting that has had no answer for so long is sent over a connection too: the seed may take
/// no datagrams, or none of ours arrive.
const GREET_BOTH_WAYS_AFTER_MS: u64 = 500;

/// Where datagrams go.
pub(crate) trait Network {
    fn datagram(&mut self, to: SocketAddr, bytes: &[u8]);
    fn stream(&mut self, datagram: StreamDatagram);
}

/// A member and what is remembered of its connections.
pub(crate) struct Driver {
    pub(crate) node: Node,
    /// Without UDP everything travels over connections.
    streams_only: bool,
    /// Over which connection a sender's datagrams came last, once they were found to be its.
    backs: HashMap<u64, PeerKey>,
    /// When a seed was first greeted.
    greeted: Option<Time>,
    buffer: Vec<u8>,
    /// What was told last of ourselves: incarnation, version and id.
    told_own: (u32, u32, u64),
}

impl Driver {
    pub(crate) fn new(node: Node, streams_only: bool) -> Driver {
        Driver {
            node,
            streams_only,
            backs: HashMap::new(),
            greeted: None,
            buffer: Vec::new(),
            told_own: (0, 0, 0),
        }
    }

    /// Does what the host loop asks. What it can refuse was checked before it was handed over, but
    /// for having ended meanwhile, which is told otherwise.
    pub(crate) fn command(&mut self, now: Time, command: Command) {
        let done = match command {
            Command::Seeds(seeds) => {
                self.greeted.get_or_insert(now);
                self.node.join(now, &seeds)
            }
            Command::Properties(encoded) => self.node.update_properties(now, &encoded),
            Command::InstallKey(epoch, key) => self.node.install_key(now, epoch, &key),
            Command::Leave => {
                self.node.leave(now);
                Ok(())
            }
        };
        debug_assert!(done.is_ok() || self.node.is_departed(), "{done:?}");
    }

    /// Takes a UDP datagram, which is opened in place. Why one is dropped is counted by the node.
    pub(crate) fn datagram(&mut self, now: Time, from: SocketAddr, bytes: &mut [u8]) {
        let _ = self.node.handle_datagram(now, to_wire(from), bytes);
    }

    /// Takes a datagram from a connection; what answers it goes back over the same one.
    pub(crate) fn stream_datagram(
        &mut self,
        now: Time,
        mut input: StreamInput,
        network: &mut impl Network,
    ) {
        self.transmit(now, network);
        let sender = Header::decode(&input.bytes).map(|header| header.sid);
        let from = to_wire(input.from);
        let taken = self.node.handle_datagram(now, from, &mut input.bytes);
        if let (Ok(()), Some(sender)) = (taken, sender) {
            self.remember(sender, input.peer);
            self.answer(now, sender, input.peer, network);
        }
    }

    fn remember(&mut self, sender: u64, peer: PeerKey) {
        if self.backs.len() >= BACKS_MAX && !self.backs.contains_key(&sender) {
            self.forget_strangers();
        }
        if self.backs.len() < BACKS_MAX {
            self.backs.insert(sender, peer);
        }
    }

    fn forget_strangers(&mut self) {
        let view = self.node.view();
        let present = |sender: &u64| {
            let record = view.find(*sender).and_then(|slot| view.get(slot));
            record.is_some_and(|record| record.state.is_present())
        };
        self.backs.retain(|sender, _| present(sender));
    }

    fn answer(&mut self, now: Time, sender: u64, peer: PeerKey, network: &mut impl Network) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(transmit) = self.node.poll_transmit(&mut buffer) {
            if transmit.sid == sender {
                let to = to_ip(transmit.to);
                network.stream(StreamDatagram {
                    to,
                    back: Some(peer),
                    bytes: buffer.clone(),
                });
            } else {
                self.carry(now, transmit, &buffer, network);
            }
        }
        self.buffer = buffer;
    }

    /// Sends what the node has to say.
    pub(crate) fn transmit(&mut self, now: Time, network: &mut impl Network) {
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(transmit) = self.node.poll_transmit(&mut buffer) {
            self.carry(now, transmit, &buffer, network);
        }
        self.buffer = buffer;
    }

    fn carry(&self, now: Time, transmit: Transmit, bytes: &[u8], network: &mut impl Network) {
        let streamed = self.streams_only || transmit.via == Via::Stream;
        if !streamed {
            network.datagram(to_ip(transmit.to), bytes);
        }
        if streamed || self.greets_both_ways(now, &transmit) {
            network.stream(StreamDatagram {
                to: to_ip(transmit.to),
                back: self.backs.get(&transmit.sid).copied(),
                bytes: bytes.to_vec(),
            });
        }
    }

    /// Only a greeting has no receiver. The same one may come twice: it changes nothing.
    fn greets_both_ways(&self, now: Time, transmit: &Transmit) -> bool {
        let late =
            |greeted: Time| now.saturating_since(greeted) >= GREET_BOTH_WAYS_AFTER_MS * 1_000_000;
        transmit.sid == 0 && self.greeted.is_some_and(late)
    }

    /// When the member wants to be called, or is converged, whichever comes first.
    pub(crate) fn deadline(&self, converged: bool) -> Option<Time> {
        let converges = self.node.converges_at().filter(|_| !converged);
        [self.node.poll_timeout(), converges]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether the member has joined and all it hears from have the same view.
    pub(crate) fn is_converged(&self, now: Time) -> bool {
        self.node.is_joined() && self.node.is_converged(now)
    }

    /// The next member that has changed; ourselves first.
    pub(crate) fn poll_change(&mut self) -> Option<Change> {
        if let Some(own) = self.own_change() {
            return Some(Change::Seen(own));
        }
        let event = self.node.poll_event()?;
        if event.happened == ztransport_gossip::Happened::NameLost {
            return Some(Change::NameLost);
        }
        let view = self.node.view();
        let record = view.find(event.profile.sid).and_then(|slot| view.get(slot));
        Some(Change::Seen(match record {
            Some(record) => Seen {
                profile: event.profile,
                state: record.state,
                incarnation: record.incarnation,
            },
            // That life is forgotten already, as another one took its place.
            None => Seen {
                state: ztransport_gossip::wire::State::Dead,
                incarnation: event.profile.version,
                profile: event.profile,
            },
        }))
    }

    fn own_change(&mut self) -> Option<Seen> {
        let view = self.node.view();
        let record = view.find(self.node.sid()).and_then(|slot| view.get(slot))?;
        let now = (record.incarnation, record.profile.version, record.sid);
        if now == self.told_own {
            return None;
        }
        self.told_own = now;
        Some(Seen {
            profile: record.profile.clone(),
            state: record.state,
            incarnation: record.incarnation,
        })
    }
}

/// What the host loop is told.
pub(crate) enum Change {
    /// A member, as it is now.
    Seen(Seen),
    /// Our name is another's.
    NameLost,
}
