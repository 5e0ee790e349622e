//! Members that were forgotten as dead and live: behind a partition that lasted longer than deaths
//! are remembered.

use crate::member::Ended;
use crate::seal::ReplayWindow;
use crate::wire::{Message, State};

use super::input::Origin;
use super::merge::Told;
use super::output::Content;
use super::{Node, Peer};

impl Node {
    /// Whether the life `sid` is not to be taken in as of `incarnation`. Who was forgotten as dead
    /// has to refute that first, as it would have had to before.
    pub(super) fn bars(&mut self, origin: Origin, sid: u64, incarnation: u32) -> bool {
        match self.retired.get(sid) {
            None => false,
            Some(Ended::Final) => true,
            Some(Ended::Dead {
                incarnation: last, ..
            }) if incarnation <= last => {
                self.object(origin, sid, last);
                true
            }
            Some(Ended::Dead { .. }) => false,
        }
    }

    /// Takes in a state of somebody who is not in the view: only that of a member which was
    /// forgotten matters, if others hold it for alive.
    pub(super) fn hear_of_unknown(&mut self, origin: Origin, told: &Told) {
        if told.state != State::Alive || self.retired.get(told.sid).is_none() {
            return;
        }
        let barred = self.bars(origin, told.sid, told.incarnation);
        // In anti-entropy descriptions are asked for together.
        if !barred && !origin.hearsay && self.objections.take(origin.now) {
            self.want(origin, &told.sid.to_le_bytes());
        }
    }

    /// Tells whoever holds a forgotten member for alive what it has to refute. It counts as no
    /// confirmation, as we have not asked the member.
    fn object(&mut self, origin: Origin, sid: u64, incarnation: u32) {
        if !self.objections.take(origin.now) {
            return;
        }
        let accusation = Message::Suspect {
            sid,
            incarnation,
            accuser: self.sid,
            health: self.health.score().max(1) as u8,
        };
        let mut body = Vec::new();
        accusation.encode(&mut body);
        self.answer(origin, Content::Body(body));
    }

    /// Sends our refutation to who accused us, if it would not hear it otherwise.
    pub(super) fn refute_to_unknown(&mut self, origin: Origin) {
        if self.table.find(origin.sid).is_none() && self.objections.take(origin.now) {
            let mut body = Vec::new();
            self.write_self(&mut body);
            self.answer(origin, Content::Body(body));
        }
    }

    /// How to remember the life in `slot` once its record is forgotten.
    pub(super) fn end_of(&self, slot: u32) -> Ended {
        match self.table.get(slot) {
            Some(record) if record.state == State::Dead => Ended::Dead {
                incarnation: record.incarnation,
                counter: self
                    .peers
                    .get(&record.sid)
                    .map_or(0, |peer| peer.window.highest()),
            },
            _ => Ended::Final,
        }
    }

    /// Counts `sid` among those that may be present again; copies of what it sent before stay
    /// worthless.
    pub(super) fn welcome_back(&mut self, sid: u64) {
        let Some(Ended::Dead { counter, .. }) = self.retired.get(sid) else {
            return;
        };
        self.retired.remove(sid);
        self.sync.hurry();
        if self.keyring.is_sealed() {
            let window = ReplayWindow::after(counter);
            self.peers.entry(sid).or_insert(Peer { key: None, window });
        }
    }
}
