//! What is to be sent, and how it becomes bytes.

use crate::limits::{BUCKETS, ENVELOPE_BYTES, HEADER_BYTES, OUTPUT_DATAGRAMS_MAX, TAG_BYTES};
use crate::member::{REACH_DATAGRAM, REACH_STREAM, Record};
use crate::wire::{Address, Kind, Message, State};

use super::Node;
use super::rumours::{Rank, Rumour};

/// Bytes of a digest in a body: type, length, which half, and the halves.
const DIGEST_BYTES: usize = 1 + 2 + 1 + BUCKETS * 4;

/// How a datagram travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// As a UDP datagram.
    Datagram,
    /// As one message over the transport's connection to the member.
    Stream,
}

/// Where the bytes that were just written go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where the receiver takes datagrams.
    pub to: Address,
    /// How it travels.
    pub via: Via,
    /// The receiver, 0 when it is not known.
    pub sid: u64,
}

/// To whom.
#[derive(Clone, Copy, Debug)]
pub(super) enum To {
    /// A member of the view, in this life.
    Member(u32, u64),
    /// One that answered a greeting.
    Contact(u64, Address),
    /// Whoever is at an address.
    Address(Address),
}

/// What.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Ping(u32),
    Ack(u32),
    PingReq(u32, u64),
    Nack(u32),
    Gossip,
    /// The digest of our view, behind our description if the receiver may not know us.
    Digest(Introduction),
    /// A body that is ready.
    Body(Vec<u8>),
    Hello,
    /// Echo, status, generation, and the epoch of the greeting.
    HelloReply(u64, u8, u64, u8),
}

/// Whether our description goes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Introduction {
    With,
    Without,
}

/// One datagram that waits.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    to: To,
    /// How it should travel: as a datagram to whoever takes some.
    via: Via,
    pub(super) content: Content,
}

/// Where a datagram goes and how it is sealed.
struct Route {
    transmit: Transmit,
    slot: Option<u32>,
    epoch: u8,
}

impl Node {
    /// Sends as a datagram, or over a connection to whoever takes no datagrams.
    pub(super) fn send(&mut self, to: To, content: Content) {
        self.send_by(Via::Datagram, to, content);
    }

    pub(super) fn send_by(&mut self, via: Via, to: To, content: Content) {
        if self.output.len() >= OUTPUT_DATAGRAMS_MAX {
            self.statistics.output_dropped += 1;
            return;
        }
        self.output.push_back(Outgoing { to, via, content });
    }

    pub(super) fn send_to_slot(&mut self, slot: u32, content: Content) {
        if let Some(record) = self.table.get(slot) {
            let to = To::Member(slot, record.sid);
            self.send(to, content);
        }
    }

    /// Writes the next datagram into `out`, whose former content is lost, and says where it goes.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> Option<Transmit> {
        while let Some(outgoing) = self.output.pop_front() {
            let Some(transmit) = self.write(&outgoing, out) else {
                continue;
            };
            self.statistics.datagrams_sent += 1;
            self.statistics.bytes_sent += out.len() as u64;
            return Some(transmit);
        }
        None
    }

    fn write(&mut self, outgoing: &Outgoing, out: &mut Vec<u8>) -> Option<Transmit> {
        if self.departed {
            return None;
        }
        let route = self.route(outgoing)?;
        out.clear();
        out.resize(HEADER_BYTES, 0);
        self.write_body(&outgoing.content, &route, out);
        if out.len() == HEADER_BYTES {
            return None;
        }
        self.counter += 1;
        let kind = match outgoing.content {
            Content::Hello => Kind::Hello,
            Content::HelloReply(..) => Kind::HelloReply,
            _ => Kind::Sealed,
        };
        let receiver = route.transmit.sid;
        self.keyring
            .seal(kind, route.epoch, self.counter, receiver, out);
        debug_assert!(out.len() <= self.settings.datagram_bytes_max);
        Some(route.transmit)
    }

    fn route(&self, outgoing: &Outgoing) -> Option<Route> {
        let newest = self.keyring.newest();
        let via = outgoing.via;
        let direct = |to, sid, epoch| Route {
            transmit: Transmit { to, via, sid },
            slot: None,
            epoch,
        };
        match (outgoing.to, &outgoing.content) {
            (To::Member(slot, sid), _) => self.route_to_member(slot, sid, via),
            (To::Contact(sid, to), &Content::HelloReply(_, _, _, epoch)) => {
                self.keyring_holds(epoch).then(|| direct(to, sid, epoch))
            }
            (To::Contact(sid, to), _) => Some(direct(to, sid, newest)),
            (To::Address(to), _) => Some(direct(to, 0, newest)),
        }
    }

    fn keyring_holds(&self, epoch: u8) -> bool {
        !self.keyring.is_sealed() || self.keyring.holds(epoch)
    }

    fn route_to_member(&self, slot: u32, sid: u64, via: Via) -> Option<Route> {
        let record = self.table.get(slot).filter(|record| record.sid == sid)?;
        let both = record.profile.reach & self.profile().reach;
        let via = match via {
            Via::Datagram if both & REACH_DATAGRAM != 0 => Via::Datagram,
            Via::Datagram if both & REACH_STREAM == 0 => return None,
            _ => Via::Stream,
        };
        let to = record.profile.address;
        Some(Route {
            transmit: Transmit { to, via, sid },
            slot: Some(slot),
            epoch: self.epoch_for(record),
        })
    }

    /// The newest key that the receiver has: during a rotation nobody is left out. Once we are
    /// ready all members have the newest, whatever we still know of those that ended.
    pub(super) fn epoch_for(&self, record: &Record) -> u8 {
        let oldest = self.keyring.oldest();
        if record.profile.installed == oldest && !self.retires(oldest) {
            oldest
        } else {
            self.keyring.newest()
        }
    }

    fn write_body(&mut self, content: &Content, route: &Route, out: &mut Vec<u8>) {
        let digest = self.table.digest();
        match *content {
            Content::Ping(seq) => Message::Ping { seq, digest }.encode(out),
            Content::Ack(seq) => Message::Ack { seq, digest }.encode(out),
            Content::PingReq(seq, target) => Message::PingReq { seq, target }.encode(out),
            Content::Nack(seq) => Message::Nack { seq }.encode(out),
            Content::Gossip => {}
            Content::Digest(introduction) => return self.write_digest(introduction, out),
            Content::Body(ref body) => return out.extend_from_slice(body),
            Content::Hello => return self.write_hello(route, out),
            Content::HelloReply(echo, status, generation, _) => {
                let reply = Message::HelloReply {
                    echo,
                    status,
                    generation,
                };
                return reply.encode(out);
            }
        }
        if self.settings.piggyback || matches!(content, Content::Gossip) {
            self.write_rumours(route.slot, out);
        }
    }

    fn write_digest(&mut self, introduction: Introduction, out: &mut Vec<u8>) {
        if introduction == Introduction::With {
            self.write_self(out);
        }
        self.sync.write(&self.table, out);
    }

    pub(super) fn write_self(&self, out: &mut Vec<u8>) {
        let record = self.record();
        Message::Alive(record.profile.describe(record.incarnation)).encode(out);
    }

    /// Sends a digest. Whoever does not know us gets to know us first, in the same datagram if our
    /// description leaves room for it.
    pub(super) fn send_digest(&mut self, via: Via, to: To) {
        if matches!(to, To::Member(..)) {
            return self.send_by(via, to, Content::Digest(Introduction::Without));
        }
        let mut description = Vec::new();
        self.write_self(&mut description);
        if ENVELOPE_BYTES + description.len() + DIGEST_BYTES <= self.settings.datagram_bytes_max {
            return self.send_by(via, to, Content::Digest(Introduction::With));
        }
        self.send_by(via, to, Content::Body(description));
        self.send_by(via, to, Content::Digest(Introduction::Without));
    }

    fn write_hello(&mut self, route: &Route, out: &mut Vec<u8>) {
        self.join.greeted(self.counter + 1, route.transmit.to);
        let profile = self.profile();
        let hello = Message::Hello {
            generation: profile.generation,
            name: &profile.name,
        };
        hello.encode(out);
    }

    /// Fills up with rumours: what the receiver has to refute, then the others in their order.
    fn write_rumours(&mut self, receiver: Option<u32>, out: &mut Vec<u8>) {
        if let Some(slot) = receiver {
            self.write_accusation(slot, out);
        }
        if self.rumours.is_empty() {
            return;
        }
        let limit = self.settings.datagram_bytes_max - TAG_BYTES;
        let mut rumours = std::mem::take(&mut self.rumours);
        let take = |slot, rumour| {
            let end = out.len();
            self.write_rumour(slot, rumour, out);
            let fits = out.len() <= limit;
            if !fits {
                out.truncate(end);
            }
            fits
        };
        let sent = rumours.offer(receiver, take, |rank| self.sends_max(rank));
        self.rumours = rumours;
        self.statistics.rumours_sent += sent;
        if self.leaving && self.rumours.get(self.own).is_none() {
            self.departed_after_output();
        }
    }

    /// What is held against the receiver, so that it can refute.
    fn write_accusation(&self, slot: u32, out: &mut Vec<u8>) {
        let Some(record) = self.table.get(slot) else {
            return;
        };
        if record.state == State::Alive {
            return;
        }
        let rumour = Rumour {
            rank: Rank::Suspicion,
            whole: false,
            by: self.suspicions.accuser(slot).unwrap_or(self.sid),
            health: 0,
        };
        self.write_rumour(slot, rumour, out);
    }

    fn write_rumour(&self, slot: u32, rumour: Rumour, out: &mut Vec<u8>) {
        let Some(record) = self.table.get(slot) else {
            return;
        };
        let (sid, incarnation) = (record.sid, record.incarnation);
        let by = if rumour.by == 0 { self.sid } else { rumour.by };
        let message = match record.state {
            State::Alive if rumour.whole => Message::Alive(record.profile.describe(incarnation)),
            State::Alive => Message::Refute {
                sid,
                incarnation,
                version: record.profile.version,
            },
            State::Suspect => Message::Suspect {
                sid,
                incarnation,
                accuser: by,
                health: rumour.health,
            },
            State::Dead => Message::Dead {
                sid,
                incarnation,
                reporter: by,
            },
            State::Left => Message::Left { sid, incarnation },
        };
        message.encode(out);
    }
}
