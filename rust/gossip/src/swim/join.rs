//! Getting to know the first member, and finding back those that were lost.

use std::collections::VecDeque;

use crate::error::{Drop, Misuse};
use crate::limits::{ENVELOPE_BYTES, GREETINGS_MAX, SEEDS_MAX};
use crate::time::Time;
use crate::wire::{Address, Header, Message, Messages, State, validate};

use super::input::Arrival;
use super::output::{Content, To};
use super::{Happened, Node};

/// Milliseconds from the first attempt to join to the second: the seed may just be starting.
const RETRY_MS_MIN: u64 = 100;
/// Each further wait is twice as long as the one before, up to this.
const RETRY_MS_MAX: u64 = 1_000;
/// Milliseconds in which the answers of other seeds change nothing: one view is enough.
const ASKED_MS: u64 = 80;
/// How often a member that has joined asks others what has come since: in a wave of joins the first
/// view is old at once, and rumours told among few members are spent before the others are there.
const AFTERTHOUGHTS: u32 = 3;
/// Milliseconds between them.
const AFTERTHOUGHT_MS: u64 = 200;
/// Bytes of the body of an answer: a greeting that is shorter gets none.
const REPLY_BYTES: usize = 19;
/// The greeting life has ended, as far as the answering member knows.
const STATUS_RENEW: u8 = 1;
/// The key of the greeting is being retired: its sender has to start with the next one.
const STATUS_KEY_RETIRES: u8 = 2;
/// The answering member itself has the name of the greeting.
const STATUS_NAME_TAKEN: u8 = 3;

/// Addresses to greet, and greetings without an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Join {
    seeds: Vec<Address>,
    /// Counters of our greetings, and where they went.
    greetings: VecDeque<(u64, Address)>,
    next: Time,
    /// Milliseconds between the next attempt and the one behind it.
    retry_ms: u64,
    /// When the last view was asked for.
    asked: Option<Time>,
    joined: bool,
    /// How often to ask somebody yet what has come since the first view.
    afterthoughts: u32,
}

impl Join {
    pub(super) const fn deadline(&self) -> Time {
        self.next
    }

    pub(super) fn greeted(&mut self, counter: u64, to: Address) {
        if self.greetings.len() >= GREETINGS_MAX {
            self.greetings.pop_front();
        }
        self.greetings.push_back((counter, to));
    }

    /// A view was told to its end; whether it is the first that a seed was asked for.
    pub(super) fn finished(&mut self, now: Time) -> bool {
        let first = !std::mem::replace(&mut self.joined, true) && self.asked.is_some();
        if first {
            self.afterthoughts = AFTERTHOUGHTS;
            self.next = now.after_millis(AFTERTHOUGHT_MS);
        }
        first
    }

    /// Whether a seed was told of us and has not told its view yet.
    pub(super) const fn awaits_view(&self) -> bool {
        self.asked.is_some() && !self.joined
    }

    /// Whether we await an answer to this greeting; it is answered then.
    fn awaits(&mut self, echo: u64) -> bool {
        let at = self
            .greetings
            .iter()
            .position(|&(counter, _)| counter == echo);
        at.is_some_and(|at| self.greetings.remove(at).is_some())
    }
}

impl Node {
    /// Greets the members at `seeds` until one has answered and told its view. Later, seeds that
    /// are not in the view are greeted now and then, so that parted clusters find together.
    ///
    /// # Errors
    /// [`Misuse::OutOfRange`] for more than 64 seeds, [`Misuse::Departed`] after leaving.
    pub fn join(&mut self, now: Time, seeds: &[Address]) -> Result<(), Misuse> {
        if self.leaving || self.departed {
            return Err(Misuse::Departed);
        }
        self.reseed(seeds)?;
        self.join.joined = self.join.seeds.is_empty();
        self.join.retry_ms = RETRY_MS_MIN;
        self.greet_all(now);
        Ok(())
    }

    /// Takes other addresses for the seeds, which have moved. Who has joined stays joined, and greets
    /// them as it does all seeds that are not in its view.
    ///
    /// # Errors
    /// [`Misuse::OutOfRange`] for more than 64 seeds.
    pub fn reseed(&mut self, seeds: &[Address]) -> Result<(), Misuse> {
        let (count, most) = (seeds.len() as u64, SEEDS_MAX as u64);
        if count > most {
            return Err(Misuse::OutOfRange("seeds", count, 0, most));
        }
        let own = self.profile().address;
        self.join.seeds = seeds.iter().copied().filter(|&seed| seed != own).collect();
        Ok(())
    }

    /// Whether a seed has told its view since [`Node::join`].
    #[must_use]
    pub const fn is_joined(&self) -> bool {
        self.join.joined
    }

    fn greet_all(&mut self, now: Time) {
        for seed in self.join.seeds.clone() {
            self.send(To::Address(seed), Content::Hello);
        }
        self.join.next = now.after_millis(self.join.retry_ms);
        self.join.retry_ms = (2 * self.join.retry_ms).min(RETRY_MS_MAX);
    }

    pub(super) fn tend_join(&mut self, now: Time) {
        if self.join.next > now {
            return;
        }
        if !self.join.joined && !self.join.seeds.is_empty() && !self.leaving {
            return self.greet_all(now);
        }
        if self.join.afterthoughts > 0 && !self.leaving {
            return self.ask_again(now);
        }
        let interval = u64::from(self.settings.reconnect_interval_ms) * 1_000_000;
        let wait = interval / 2 + self.random.below(interval);
        let first = self.join.next == Time::ZERO;
        self.join.next = now.after_nanos(wait);
        if !first && !self.leaving {
            self.seek_lost();
        }
    }

    fn ask_again(&mut self, now: Time) {
        self.join.afterthoughts -= 1;
        self.join.next = now.after_millis(AFTERTHOUGHT_MS);
        for slot in self.pick_present(1, None) {
            self.ask_member(now, slot);
        }
    }

    /// Pings one member held for dead, which tells it so, and greets one seed that is not present.
    fn seek_lost(&mut self) {
        let dead = self
            .table
            .pick(&mut self.random, |_, record| record.state == State::Dead);
        if let Some(slot) = dead {
            let seq = self.prober.number();
            self.send_to_slot(slot, Content::Ping(seq));
        }
        let seeds = self.join.seeds.len() as u64;
        if seeds == 0 {
            return;
        }
        let seed = self.join.seeds[self.random.below(seeds) as usize];
        let present = |record: &crate::member::Record| {
            record.state.is_present() && record.profile.address == seed
        };
        if !self.table.iter().any(|(_, record)| present(record)) {
            self.send(To::Address(seed), Content::Hello);
        }
    }

    /// A greeting changes nothing here, whoever sent it and however often: it may be a copy. Its
    /// one answer is never longer than it, and answers are rationed.
    pub(super) fn take_hello(
        &mut self,
        arrival: Arrival,
        header: &Header,
        bytes: &mut [u8],
    ) -> Result<(), Drop> {
        if !self.strangers.take(arrival.now) {
            return Err(Drop::Unknown);
        }
        if bytes.len() < ENVELOPE_BYTES + REPLY_BYTES {
            return Err(Drop::Malformed);
        }
        let key = self.keyring.sender_key(header.epoch, header.sid);
        let body = self.keyring.open(key.as_ref(), header, 0, bytes);
        let body = body.ok_or(Drop::Forged)?;
        validate(body).map_err(|_| Drop::Malformed)?;
        let hello = Messages::new(body)
            .flatten()
            .find_map(|message| match message {
                Message::Hello { name, .. } => Some(name),
                _ => None,
            });
        let name = hello.ok_or(Drop::Malformed)?;
        if self.leaving || !self.greetings.take(arrival.now) {
            return Err(Drop::Greetings);
        }
        let reply = self.reply_to(name, header);
        let to = To::Contact(header.sid, arrival.from);
        self.send_by(arrival.via, to, reply);
        Ok(())
    }

    fn reply_to(&self, name: &str, header: &Header) -> Content {
        if self.retires(header.epoch) {
            return Content::HelloReply(header.counter, STATUS_KEY_RETIRES, 0, header.epoch);
        }
        let known = self
            .table
            .find_name(name)
            .and_then(|slot| self.table.get(slot));
        let other = known.filter(|record| record.sid != header.sid);
        let generation = other.map_or(0, |record| record.profile.generation);
        let ended =
            known.is_some_and(|record| record.sid == header.sid && record.state == State::Left);
        let status = if known.is_some_and(|record| record.sid == self.sid) {
            STATUS_NAME_TAKEN
        } else if ended || self.retired.is_final(header.sid) {
            STATUS_RENEW
        } else {
            0
        };
        Content::HelloReply(header.counter, status, generation, header.epoch)
    }

    pub(super) fn take_hello_reply(
        &mut self,
        arrival: Arrival,
        header: &Header,
        bytes: &mut [u8],
    ) -> Result<(), Drop> {
        if self.join.greetings.is_empty() {
            return Err(Drop::Stranger);
        }
        let fresh = if header.kind.is_plain() {
            None
        } else {
            self.key_for_reply(arrival.now, header)?
        };
        let body = self.keyring.open(fresh.as_ref(), header, self.sid, bytes);
        let body = body.ok_or(Drop::Forged)?;
        validate(body).map_err(|_| Drop::Malformed)?;
        let reply = Messages::new(body)
            .flatten()
            .find_map(|message| match message {
                Message::HelloReply {
                    echo,
                    status,
                    generation,
                } => Some((echo, status, generation)),
                _ => None,
            });
        let (echo, status, generation) = reply.ok_or(Drop::Malformed)?;
        if !self.join.awaits(echo) {
            return Err(Drop::Replay);
        }
        self.remember(header, fresh);
        match status {
            STATUS_KEY_RETIRES => self.refused_for_key(header.epoch),
            STATUS_NAME_TAKEN if self.gives_way(generation) => self.end(Happened::NameLost),
            _ => self.greeted_back(arrival, header.sid, (status, generation)),
        }
        Ok(())
    }

    /// Whether we are the later of two with one name, and known to nobody yet.
    fn gives_way(&self, generation: u64) -> bool {
        self.is_alone() && generation < self.profile().generation
    }

    /// Whether nobody has let us join yet.
    pub(super) fn is_alone(&self) -> bool {
        !self.is_joined() && self.table.present() == 1
    }

    fn key_for_reply(
        &mut self,
        now: Time,
        header: &Header,
    ) -> Result<Option<crate::seal::SenderKey>, Drop> {
        let peer = self.peers.get(&header.sid);
        if peer.is_some_and(|peer| !peer.window.is_new(header.counter)) {
            return Err(Drop::Replay);
        }
        if peer.is_none() && !self.strangers.take(now) {
            return Err(Drop::Unknown);
        }
        Ok(self.keyring.sender_key(header.epoch, header.sid))
    }

    fn greeted_back(&mut self, arrival: Arrival, sid: u64, told: (u8, u64)) {
        let (status, generation) = told;
        let own = self.profile().generation;
        if status == STATUS_RENEW || generation >= own {
            self.renew(arrival.now, generation.max(own));
            return self.send_by(arrival.via, To::Address(arrival.from), Content::Hello);
        }
        let lately = |asked: Time| arrival.now.saturating_since(asked) < ASKED_MS * 1_000_000;
        if self.join.asked.is_some_and(lately) {
            return;
        }
        self.join.asked = Some(arrival.now);
        self.ask_contact(arrival.now, arrival.via, To::Contact(sid, arrival.from));
    }
}
