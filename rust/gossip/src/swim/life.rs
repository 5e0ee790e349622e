//! What a member does about itself: refute, change, take a new life, leave.

use std::sync::Arc;

use crate::error::Misuse;
use crate::limits::{INCARNATION_MAX, LEAVE_WAIT_MS, LIFE_BACK_MS, LIVES_MAX};
use crate::member::{Ended, Profile, Record};
use crate::time::Time;
use crate::wire::{Properties, State};

use super::input::Origin;
use super::rumours::{Rank, Rumour};
use super::{Happened, Node, new_sid};

impl Node {
    /// What others say of us. An accusation of this incarnation is refuted by the next one; an
    /// older one is answered with what we are.
    pub(super) fn hear_of_self(&mut self, origin: Origin, incarnation: u32, state: State) {
        let now = origin.now;
        let own = self.incarnation();
        if self.leaving || (state == State::Alive && incarnation <= own) {
            return;
        }
        if state == State::Left || incarnation >= INCARNATION_MAX {
            let generation = self.profile().generation;
            return self.renew(now, generation);
        }
        if incarnation < own {
            return self.repeat_self(now);
        }
        self.statistics.refutations += 1;
        self.health.worsen(1);
        self.set_self(|record| record.incarnation = incarnation + 1);
        self.announce(now, false);
        self.refute_to_unknown(origin);
    }

    /// Somebody has our name. If it is a later life than ours, we become a later one still: clocks
    /// may step back between two starts.
    pub(super) fn hear_of_rival(&mut self, now: Time, sid: u64, generation: u64) {
        let own = (self.profile().generation, self.sid);
        if self.leaving || self.retired.is_final(sid) {
            return;
        }
        if (generation, sid) > own {
            self.renew(now, generation);
        } else {
            self.repeat_self(now);
        }
    }

    fn repeat_self(&mut self, now: Time) {
        if self.rumours.get(self.own).is_none() {
            self.announce(now, true);
        }
    }

    pub(super) fn set_self(&mut self, change: impl FnOnce(&mut Record)) {
        self.table.update(self.own, change);
    }

    /// Tells the others what we are now; the whole of it in haste.
    pub(super) fn announce(&mut self, now: Time, whole: bool) {
        let rumour = Rumour {
            rank: Rank::Own,
            whole,
            by: 0,
            health: 0,
        };
        self.repeat(now, self.own, rumour);
    }

    /// Takes a new life: a new id, a generation above `generation`, and a new sealing key. What was
    /// said of the old life says nothing of the new one. A member that has to do so again and again
    /// shares its name with another, and gives it up.
    pub(super) fn renew(&mut self, now: Time, generation: u64) {
        self.count_life(now);
        if self.lives > LIVES_MAX {
            return self.end(Happened::NameLost);
        }
        let sid = new_sid(&mut self.random);
        self.retired.add(self.sid, Ended::Final);
        let profile = Profile {
            sid,
            generation: generation.max(self.profile().generation).saturating_add(1),
            version: 0,
            ..self.profile().clone()
        };
        let record = Record {
            sid,
            since: now,
            incarnation: 0,
            state: State::Alive,
            profile: Arc::new(profile),
        };
        self.table.replace(self.own, record);
        self.keyring.rename(sid);
        (self.sid, self.counter) = (sid, 0);
        self.announce(now, true);
    }

    /// Names are fought for within seconds. What took a life once in a long while is forgotten.
    fn count_life(&mut self, now: Time) {
        let back = now.saturating_since(self.renewed) / (LIFE_BACK_MS * 1_000_000);
        let taken = u64::from(self.lives).saturating_sub(back).max(1);
        self.lives = taken as u32 + 1;
        self.renewed = now;
    }

    /// Is no member any more, and tells the program alone.
    pub(super) fn end(&mut self, happened: Happened) {
        self.report_end(happened);
        self.departed = true;
    }

    /// Changes what we say of ourselves: a new incarnation of the description.
    pub(super) fn redescribe(&mut self, now: Time, change: impl FnOnce(&mut Profile)) {
        let mut profile = self.profile().clone();
        change(&mut profile);
        self.set_self(|record| {
            record.incarnation += 1;
            profile.version = record.incarnation;
            record.profile = Arc::new(profile);
        });
        self.announce(now, true);
    }

    /// Tells all members other properties.
    ///
    /// # Errors
    /// [`Misuse`] for properties that break a rule, and after leaving.
    pub fn update_properties(&mut self, now: Time, encoded: &[u8]) -> Result<(), Misuse> {
        Properties::new(encoded).map_err(|error| Misuse::Properties(error.0))?;
        if self.leaving || self.departed {
            return Err(Misuse::Departed);
        }
        if self.incarnation() >= INCARNATION_MAX {
            let generation = self.profile().generation;
            self.renew(now, generation);
        }
        self.redescribe(now, |profile| profile.properties = encoded.into());
        Ok(())
    }

    /// Says what we are to members we have just come to know, as one more to pass it on.
    pub(super) fn introduce(&mut self, now: Time) {
        let rumour = Rumour {
            rank: Rank::Arrival,
            whole: true,
            by: 0,
            health: 0,
        };
        self.repeat(now, self.own, rumour);
    }

    /// Leaves for good: told to the others until the budget of the rumour is spent, then
    /// [`Node::is_departed`]. Alone, it departs at once; while the answer to its joining is awaited,
    /// it waits for that for up to two seconds, as others may know it already.
    pub fn leave(&mut self, now: Time) {
        if self.leaving || self.leave_by.is_some() {
            return;
        }
        self.leave_by = Some(if self.is_known_unknowingly() {
            now.after_millis(LEAVE_WAIT_MS)
        } else {
            now
        });
        self.tend_leave(now);
    }

    /// Whether we told a seed of us and know nobody yet whom we could tell that we leave.
    fn is_known_unknowingly(&self) -> bool {
        self.table.present() == 1 && self.join.awaits_view()
    }

    /// Leaves if that is due, and nothing is worth waiting for any more.
    pub(super) fn tend_leave(&mut self, now: Time) {
        let due = |by: Time| by <= now || !self.is_known_unknowingly();
        if self.leaving || !self.leave_by.is_some_and(due) {
            return;
        }
        self.leaving = true;
        self.set_self(|record| record.state = State::Left);
        if self.table.present() == 0 {
            self.departed = true;
            return;
        }
        // Whatever was told a moment ago, this is told now: we shall not be here for long.
        self.gossiped = None;
        self.announce(now, true);
    }

    /// The last word of a member that leaves is in the datagram being written.
    pub(super) const fn departed_after_output(&mut self) {
        self.departed = true;
    }
}
