//! The door for datagrams: every check before the first effect.

use std::collections::btree_map::Entry;

use crate::error::Drop;
use crate::limits::{DATAGRAM_BYTES_CEILING, ENVELOPE_BYTES, GREETINGS_MAX};
use crate::member::Ended;
use crate::seal::{ReplayWindow, SenderKey};
use crate::time::Time;
use crate::wire::{Address, Header, Kind, Message, Messages, validate};

use super::output::{Content, To, Via};
use super::{Node, Peer};

/// When and how a datagram came, before it has proven from whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) now: Time,
    pub(super) from: Address,
    pub(super) via: Via,
}

/// From whom a message came and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) now: Time,
    pub(super) sid: u64,
    pub(super) address: Address,
    /// The way it came, which is the way back.
    pub(super) via: Via,
    /// Part of an answer in anti-entropy: no news.
    pub(super) hearsay: bool,
}

impl Node {
    /// Takes a UDP datagram, which is opened in place.
    ///
    /// # Errors
    /// Why it was dropped; then nothing changed but the counter of that reason.
    pub fn handle_datagram(
        &mut self,
        now: Time,
        from: Address,
        datagram: &mut [u8],
    ) -> Result<(), Drop> {
        let via = Via::Datagram;
        self.handle(Arrival { now, from, via }, datagram)
    }

    /// Takes what came over a connection of the transport. What answers it says [`Via::Stream`], as
    /// datagrams may be what does not get through.
    ///
    /// # Errors
    /// As [`Node::handle_datagram`].
    pub fn handle_streamed(
        &mut self,
        now: Time,
        from: Address,
        datagram: &mut [u8],
    ) -> Result<(), Drop> {
        let via = Via::Stream;
        self.handle(Arrival { now, from, via }, datagram)
    }

    fn handle(&mut self, arrival: Arrival, datagram: &mut [u8]) -> Result<(), Drop> {
        self.statistics.datagrams_received += 1;
        self.statistics.bytes_received += datagram.len() as u64;
        let result = self.take_datagram(arrival, datagram);
        self.tend_leave(arrival.now);
        if let Err(reason) = result {
            self.statistics.drop(reason);
        }
        result
    }

    fn take_datagram(&mut self, arrival: Arrival, bytes: &mut [u8]) -> Result<(), Drop> {
        if !(ENVELOPE_BYTES..=DATAGRAM_BYTES_CEILING).contains(&bytes.len()) {
            return Err(Drop::Length);
        }
        let header = Header::decode(bytes).ok_or(Drop::Header)?;
        self.admit(&header)?;
        match header.kind {
            Kind::Sealed | Kind::Plain => self.take_sealed(arrival, &header, bytes),
            Kind::Hello | Kind::PlainHello => self.take_hello(arrival, &header, bytes),
            Kind::HelloReply | Kind::PlainHelloReply => {
                self.take_hello_reply(arrival, &header, bytes)
            }
        }
    }

    /// What the header alone decides.
    pub(super) fn admit(&self, header: &Header) -> Result<(), Drop> {
        if header.kind.is_plain() == self.keyring.is_sealed() {
            return Err(Drop::Header);
        }
        if !header.kind.is_plain() && !self.keyring.holds(header.epoch) {
            return Err(Drop::Epoch);
        }
        let sealed = header.kind == Kind::Sealed;
        if sealed && self.retires(header.epoch) && !self.has_present(header.sid) {
            return Err(Drop::Epoch);
        }
        if header.sid == self.sid {
            return Err(Drop::Reflected);
        }
        if self.departed {
            return Err(Drop::Departed);
        }
        Ok(())
    }

    fn take_sealed(
        &mut self,
        arrival: Arrival,
        header: &Header,
        bytes: &mut [u8],
    ) -> Result<(), Drop> {
        match self.retired.get(header.sid) {
            Some(Ended::Final) => return Err(Drop::Retired),
            Some(Ended::Dead { counter, .. }) if header.counter <= counter => {
                return Err(Drop::Replay);
            }
            _ => {}
        }
        if header.kind.is_plain() {
            let body = self.keyring.open(None, header, self.sid, bytes);
            return self.take_body(arrival, header, body.ok_or(Drop::Forged)?, None);
        }
        let fresh = self.key_for(arrival.now, header)?;
        let cached = self
            .peers
            .get(&header.sid)
            .and_then(|peer| peer.key.as_ref());
        let key = fresh.as_ref().or(cached);
        let body = self.keyring.open(key, header, self.sid, bytes);
        self.take_body(arrival, header, body.ok_or(Drop::Forged)?, fresh)
    }

    /// The sender's key unless it is cached. A strange sender is looked at only so often, as each
    /// costs a derivation.
    fn key_for(&mut self, now: Time, header: &Header) -> Result<Option<SenderKey>, Drop> {
        if let Some(peer) = self.peers.get(&header.sid) {
            if !peer.window.is_new(header.counter) {
                return Err(Drop::Replay);
            }
            let cached = peer.key.as_ref().map(SenderKey::epoch);
            if cached == Some(header.epoch) {
                return Ok(None);
            }
        } else if self.table.find(header.sid).is_none() && !self.strangers.take(now) {
            return Err(Drop::Unknown);
        }
        Ok(self.keyring.sender_key(header.epoch, header.sid))
    }

    fn take_body(
        &mut self,
        arrival: Arrival,
        header: &Header,
        body: &[u8],
        fresh: Option<SenderKey>,
    ) -> Result<(), Drop> {
        validate(body).map_err(|_| Drop::Malformed)?;
        let peers_max = self.settings.members_max as usize + GREETINGS_MAX;
        if self.peers.len() >= peers_max && !self.peers.contains_key(&header.sid) {
            return Err(Drop::Stranger);
        }
        let met = !self.peers.contains_key(&header.sid);
        if !header.kind.is_plain() {
            self.remember(header, fresh);
        }
        let origin = Origin {
            now: arrival.now,
            sid: header.sid,
            address: arrival.from,
            via: arrival.via,
            hearsay: false,
        };
        self.act(origin, body);
        if met {
            self.get_to_know(origin);
        }
        Ok(())
    }

    /// Asks who it is when somebody writes whose rumour has not come yet: what it asks of us is
    /// answered meanwhile, so that a wave of joins causes no suspicions.
    fn get_to_know(&mut self, origin: Origin) {
        if self.table.find(origin.sid).is_none() {
            self.want(origin, &origin.sid.to_le_bytes());
        }
    }

    /// Commits the counter of a datagram that has proven its sender, and keeps the sender's key.
    pub(super) fn remember(&mut self, header: &Header, fresh: Option<SenderKey>) {
        let window = match self.retired.get(header.sid) {
            Some(Ended::Dead { counter, .. }) => ReplayWindow::after(counter),
            _ => ReplayWindow::default(),
        };
        let peer = match self.peers.entry(header.sid) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Peer { key: None, window }),
        };
        peer.window.commit(header.counter);
        if fresh.is_some() {
            peer.key = fresh;
        }
    }

    fn act(&mut self, mut origin: Origin, body: &[u8]) {
        let mut messages = Messages::new(body);
        loop {
            // Most are rumours, and most of those are known.
            while let Some(claim) = messages.next_claim() {
                self.hear_claim(origin, &claim);
            }
            match messages.next() {
                Some(Ok(Message::Part { last, more })) => {
                    origin.hearsay = true;
                    self.on_part(origin, last, more);
                }
                Some(Ok(message)) => self.on_message(origin, &message),
                _ => return,
            }
        }
    }

    fn on_message(&mut self, origin: Origin, message: &Message<'_>) {
        match *message {
            Message::Ping { seq, digest } => self.on_ping(origin, seq, digest),
            Message::Ack { seq, digest } => self.on_ack(origin, seq, digest),
            Message::PingReq { seq, target } => self.on_ping_req(origin, seq, target),
            Message::Nack { seq } => self.prober.nack(seq),
            Message::Alive(ref description) => self.hear_alive(origin, description),
            Message::Digest { half, buckets } => self.on_digest(origin, half, buckets),
            Message::Summaries(summaries) => self.on_summaries(origin, summaries),
            Message::Want(sids) => self.on_want(origin, sids),
            // Rumours were taken as claims, and what only greetings carry does not come this way.
            Message::Suspect { .. }
            | Message::Dead { .. }
            | Message::Left { .. }
            | Message::Refute { .. }
            | Message::Part { .. }
            | Message::Hello { .. }
            | Message::HelloReply { .. } => {}
        }
    }

    fn on_ping(&mut self, origin: Origin, seq: u32, digest: u64) {
        self.answer(origin, Content::Ack(seq));
        self.compare_digest(origin, digest);
    }

    /// Sends back to who sent, the way it came: to its address of record when it is a member.
    pub(super) fn answer(&mut self, origin: Origin, content: Content) {
        let to = self.back_to(origin);
        self.send_by(origin.via, to, content);
    }

    pub(super) fn back_to(&self, origin: Origin) -> To {
        match self.table.find(origin.sid) {
            Some(slot) => To::Member(slot, origin.sid),
            None => To::Contact(origin.sid, origin.address),
        }
    }
}
