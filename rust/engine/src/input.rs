//! How input arrives: read, opened, parsed, and handed out link by link.

use ztransport_proto::Dialect;
use ztransport_proto::codec::append;
use ztransport_proto::dialect::Door;
use ztransport_proto::event::Event;
use ztransport_proto::table::{Role, State};

use crate::batch::{Batch, Notice};
use crate::error::{Failure, FailureKind};
use crate::filter::Filter;
use crate::limits::{
    BATCH_MESSAGES_MAX, HANDSHAKES_PER_BUSY_TURN, HANDSHAKES_PER_IDLE_TURN, READ_BYTES_PER_TURN,
};
use crate::link::{Link, Phase};
use crate::poller::Ready;
use crate::pool::{DialState, Peer};
use crate::state::Engine;

/// Carried bytes a link keeps room for while it is idle.
const CARRY_BYTES_KEPT: usize = 4 * 1024;

impl Engine {
    pub(crate) fn handle_link(&mut self, slot: usize, ready: Ready, batch: &mut Batch) {
        if ready.writable
            && (self.links[slot].watching || self.links[slot].phase == Phase::Connecting)
        {
            self.handle_writable(slot);
        }
        let Some(link) = self.links.get(slot) else {
            return;
        };
        let (phase, ended, paused) = (link.phase, link.ended, link.paused);
        match phase {
            Phase::Connecting => {}
            Phase::Lingering if ready.readable => self.discard(slot),
            Phase::Lingering => {}
            Phase::Handshaking if self.is_handshake_deferred() => {}
            _ if (ended || paused) && ready.readable => self.hang_up(slot),
            _ => self.read_link(slot, ready.readable, batch),
        }
    }

    /// Handshakes share a turn with established links instead of displacing them: what is left
    /// unread makes the descriptor readable again at once.
    fn is_handshake_deferred(&mut self) -> bool {
        let budget = if self.turn.served_established {
            HANDSHAKES_PER_BUSY_TURN
        } else {
            HANDSHAKES_PER_IDLE_TURN
        };
        self.turn.handshakes += 1;
        self.turn.handshakes > budget
    }

    /// Reads one share of a link's socket and parses it.
    fn read_link(&mut self, slot: usize, readable: bool, batch: &mut Batch) {
        self.keep_rest(batch);
        let link = &mut self.links[slot];
        batch.input.clear();
        append(&mut batch.input, &link.carry);
        link.carry.clear();
        link.carry.shrink_to(CARRY_BYTES_KEPT);
        (batch.base, batch.parsed) = (0, 0);
        batch.link = Some((slot as u32, link.serial));
        self.turn.served_established |= link.greeted;
        let read = if readable {
            self.fill(slot, batch)
        } else {
            Ok(false)
        };
        self.parse_rest(batch);
        match read {
            // Frames that are still to be parsed come first: the end will be read again after them.
            Ok(true) if batch.link.is_none() && !self.is_paused(slot) => {
                self.input_ended(slot, batch);
            }
            Ok(_) => {}
            Err(failure) => self.input_failed(slot, failure),
        }
    }

    /// Appends opened bytes to the batch; returns whether the peer has ended its side.
    fn fill(&mut self, slot: usize, batch: &mut Batch) -> Result<bool, Failure> {
        let link = &mut self.links[slot];
        let sink = match &link.filter {
            Filter::Plain(_) => &mut batch.input,
            Filter::Tls(_) | Filter::Undecided(_) => {
                self.cipher.clear();
                &mut self.cipher
            }
        };
        let count = match link.socket.read(sink, READ_BYTES_PER_TURN) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(broken(&error)),
        };
        link.bytes_received += count as u64;
        self.turn.bytes += count;
        if count == 0 {
            link.filter
                .handle_end()
                .map_err(|error| Failure::tls(&error))?;
            return Ok(true);
        }
        self.last_traffic = self.now;
        self.open(slot, batch)
    }

    /// Takes what was read through the filter.
    fn open(&mut self, slot: usize, batch: &mut Batch) -> Result<bool, Failure> {
        self.decide_filter(slot, batch);
        let link = &mut self.links[slot];
        if let Filter::Undecided(_) = link.filter {
            return Ok(false);
        }
        if let Filter::Tls(tls) = &mut link.filter {
            let opened = tls.handle_input(&self.cipher, &mut batch.input);
            if link.phase == Phase::Handshaking && !tls.is_handshaking() {
                self.open_codec(slot);
            }
            opened.map_err(|error| Failure::tls(&error))?;
        } else if !link.heard
            && let Err(failure) = check_first_bytes(link.role, &batch.input)
        {
            batch.input.clear();
            return Err(failure);
        }
        let link = &mut self.links[slot];
        link.heard = true;
        if link.filter.pending_bytes() > 0 {
            self.mark_dirty(slot);
        }
        Ok(false)
    }

    /// The first bytes tell what a permissive listener has met; plaintext begins its protocol.
    fn decide_filter(&mut self, slot: usize, batch: &mut Batch) {
        let link = &mut self.links[slot];
        if !matches!(link.filter, Filter::Undecided(_)) {
            return;
        }
        link.filter.decide(&mut self.cipher);
        if link.filter.is_plain() {
            append(&mut batch.input, &self.cipher);
            self.open_codec(slot);
        }
    }

    /// The bytes below the protocol are ready: start it.
    pub(crate) fn open_codec(&mut self, slot: usize) {
        let link = &mut self.links[slot];
        let Some(node) = self.nodes.get(link.node as usize) else {
            return;
        };
        let door = door_of(link);
        let codec = Dialect::new(link.role, door, node.protocol.clone(), self.now);
        link.codec = Some(codec);
        link.phase = Phase::Open;
        link.phase_deadline = None;
        if let (Role::Dialer, Some(peer)) = (link.role, link.peer) {
            self.mark_dirty(slot);
            self.pump_pending(peer);
        }
        self.schedule_link(slot);
    }

    /// Parses on where the last batch of this turn stopped.
    pub(crate) fn parse_rest(&mut self, batch: &mut Batch) {
        let Some((slot, serial)) = batch.link else {
            return;
        };
        let slot = slot as usize;
        let Some(link) = self
            .links
            .get_mut(slot)
            .filter(|link| link.serial == serial)
        else {
            batch.link = None;
            return;
        };
        let Some(codec) = &mut link.codec else {
            batch.link = None;
            return;
        };
        batch.base = batch.parsed;
        let input = &batch.input[batch.base..];
        let parsed = codec.handle_input(self.now, input, &mut batch.events, BATCH_MESSAGES_MAX);
        let full = batch.events.len() >= BATCH_MESSAGES_MAX;
        let paused = codec.is_full();
        if paused != link.paused {
            link.paused = paused;
            self.watch_again(slot);
        }
        batch.parsed += *parsed.as_ref().unwrap_or(&input.len());
        if !full || parsed.is_err() {
            self.carry_rest(batch);
        }
        self.turn.messages += batch.events.len();
        self.hand_out(slot, batch);
        match parsed {
            Ok(_) => self.after_input(slot, batch),
            Err(error) => self.refuse_link(slot, Failure::protocol(&error)),
        }
    }

    fn after_input(&mut self, slot: usize, batch: &mut Batch) {
        let Some(link) = self.links.get(slot) else {
            return;
        };
        let all_parsed = batch.link.is_none() && !link.paused;
        let closed = all_parsed && link.filter.peer_has_closed() && !link.ended;
        let done = Engine::is_done(link);
        if link.has_output() {
            self.mark_dirty(slot);
        }
        if done {
            self.finish_link(slot);
        } else if closed {
            self.input_ended(slot, batch);
        }
        self.schedule_link(slot);
    }

    fn is_paused(&self, slot: usize) -> bool {
        self.links.get(slot).is_some_and(|link| link.paused)
    }

    /// Reads on where the codec has room again.
    pub(crate) fn resume_reading(&mut self, slot: usize) {
        let Some(link) = self.links.get_mut(slot).filter(|link| link.paused) else {
            return;
        };
        if link.codec.as_ref().is_some_and(Dialect::is_full) {
            return;
        }
        link.paused = false;
        self.backlog.push_back((slot as u32, link.serial));
        self.watch_again(slot);
        self.wake();
    }

    /// Gives an unfinished batch back to its link, to be parsed on in the next turn.
    pub(crate) fn keep_rest(&mut self, batch: &mut Batch) {
        if let Some(link) = self.carry_rest(batch) {
            self.backlog.push_back(link);
        }
    }

    /// Gives the unparsed rest back to its link, to be parsed when more has come.
    fn carry_rest(&mut self, batch: &mut Batch) -> Option<(u32, u32)> {
        let (slot, serial) = batch.link.take()?;
        let link = self.links.get_mut(slot as usize)?;
        if link.serial != serial || link.phase == Phase::Lingering {
            return None;
        }
        append(&mut link.carry, batch.unparsed());
        Some((slot, serial))
    }

    /// Sets whose batch it is, and takes out what is the engine's own business.
    pub(crate) fn hand_out(&mut self, slot: usize, batch: &mut Batch) {
        if batch.events.is_empty() {
            return;
        }
        if self.links.get(slot).is_some_and(|link| !link.greeted) {
            self.take_greeting(slot, batch);
        }
        let Some(peer) = self.links.get(slot).and_then(|link| link.peer) else {
            batch.events.clear();
            return;
        };
        (batch.peer, batch.node) = self.keys_of(peer);
        self.note_goaway(slot, batch);
        self.take_sealed(slot, batch);
        self.relay_events(peer, batch);
        if !self.peers[peer as usize].pending.is_empty() {
            self.pump_pending(peer);
        }
    }

    fn keys_of(&self, peer: u32) -> (crate::keys::PeerKey, crate::keys::NodeKey) {
        let entry = &self.peers[peer as usize];
        let node = self.nodes.get(entry.node as usize).map(|node| node.key);
        (entry.key, node.unwrap_or_default())
    }

    /// The greeting is the engine's own business: it makes the peer.
    fn take_greeting(&mut self, slot: usize, batch: &mut Batch) {
        let greeting = batch
            .events
            .iter()
            .position(|event| *event == Event::Greeted);
        if let Some(greeting) = greeting {
            batch.events.remove(greeting);
            self.greeted(slot, batch);
        }
    }

    /// A peer that says GOAWAY waits for us to close: that way no call of ours can cross its end.
    fn note_goaway(&mut self, slot: usize, batch: &Batch) {
        let goaway = |event: &Event| matches!(event, Event::GoAway { .. });
        let link = &mut self.links[slot];
        let draining = link
            .codec
            .as_ref()
            .is_some_and(|codec| codec.state() == State::Draining);
        if draining && !link.leaving && batch.events.iter().any(goaway) {
            link.leaving = true;
            let text = "the peer is shutting down";
            link.failure = Some(Failure::new(FailureKind::ShuttingDown, text));
            if let Some(peer) = link.peer {
                self.begin_succession(peer);
            }
        }
    }

    fn greeted(&mut self, slot: usize, batch: &mut Batch) {
        if let Err(failure) = self.check_claim(slot) {
            return self.refuse_claim(slot, failure);
        }
        // Its handshake may have begun before the lists that are in force now.
        if self.refuse_revoked(slot) {
            return;
        }
        self.settle_proof(slot);
        self.limit_life(slot);
        let link = &mut self.links[slot];
        link.greeted = true;
        let node = link.node;
        let peer = link.peer;
        self.displace_unproven(slot);
        match peer {
            Some(peer) => {
                if let Some(dial) = &mut self.peers[peer as usize].dial {
                    (dial.state, dial.was_up, dial.attempts) = (DialState::Up, true, 0);
                    dial.last_failure = None;
                }
                batch.notices.extend(self.take_over(peer));
                batch.notices.push(Notice::Up);
                let key = self.peers[peer as usize].key;
                self.stream_is_up(key, node as usize);
            }
            None => {
                let key = self.add_peer(|key| Peer::new(key, node, Some(slot as u32), None));
                self.links[slot].peer = key.map(|key| key.slot);
                batch.notices.push(Notice::Accepted);
            }
        }
    }
}

/// What may follow the handshake: with TLS the agreed protocol, and without one only Zeebe's.
fn door_of(link: &Link) -> Door {
    match (link.door, link.filter.is_alpn_agreed()) {
        (Door::Both(_), Some(true)) => Door::Zt,
        (Door::Both(compression), Some(false)) => Door::Zeebe(compression),
        (door, _) => door,
    }
}

fn broken(error: &std::io::Error) -> Failure {
    Failure::new(
        FailureKind::ConnectionLost,
        format!("the connection broke while reading: {error}"),
    )
}

/// A TLS record on a plaintext connection: a hello to a listener, an alert to a dialer.
fn check_first_bytes(role: Role, input: &[u8]) -> Result<(), Failure> {
    let (content, text) = match role {
        Role::Acceptor => (
            0x16,
            "the peer dials with TLS and this listener takes plaintext",
        ),
        Role::Dialer => (
            0x15,
            "the listener takes TLS and this side dialled in plaintext",
        ),
    };
    if input.len() >= 2 && input[0] == content && input[1] == 0x03 {
        let remedy = "give both sides TLS, or neither; in between a listener can be permissive";
        return Err(Failure::new(FailureKind::TlsPeer, text).remedied(remedy));
    }
    Ok(())
}
