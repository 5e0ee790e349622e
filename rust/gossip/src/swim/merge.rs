//! Taking in what others tell.

use std::sync::Arc;

use crate::member::{Ended, Profile, Record, Standing};
use crate::time::Time;
use crate::wire::{Claim, Description, Message, State};

use super::Node;
use super::input::Origin;
use super::output::{Content, To};
use super::rumours::{Rank, Rumour};

/// What is told of a member besides its description.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    pub(super) sid: u64,
    pub(super) incarnation: u32,
    pub(super) state: State,
    pub(super) by: u64,
    pub(super) health: u8,
}

impl Node {
    #[inline]
    pub(super) fn hear_claim(&mut self, origin: Origin, claim: &Claim) {
        if claim.version != 0 {
            self.want_newer(origin, claim.sid, claim.version);
        }
        let told = Told {
            sid: claim.sid,
            incarnation: claim.incarnation,
            state: claim.state,
            by: claim.by,
            health: claim.health,
        };
        self.hear(origin, &told);
    }

    /// Takes in a state: of ourselves to refute it, of others to keep the greatest.
    pub(super) fn hear(&mut self, origin: Origin, told: &Told) {
        if told.sid == self.sid {
            return self.hear_of_self(origin, told.incarnation, told.state);
        }
        let Some(slot) = self.table.find(told.sid) else {
            return self.hear_of_unknown(origin, told);
        };
        let Some(record) = self.table.get(slot) else {
            return;
        };
        // Both are of one life, so that its generation need not be looked up.
        let known = Standing::new(0, record.incarnation, record.state);
        let state = soften(record.state, told.state, origin.hearsay);
        let heard = Standing::new(0, told.incarnation, state);
        if heard > known {
            let returns = state.is_present() && !record.state.is_present();
            if returns && !self.has_key_of(record.profile.installed, record.profile.ready) {
                return;
            }
            self.apply(origin, slot, Told { state, ..*told }, None);
        } else if heard == known && state == State::Suspect && !origin.hearsay {
            self.hear_confirmation(origin.now, slot, *told);
        }
    }

    /// Takes in a description: of a new member, a later life, or a later incarnation.
    pub(super) fn hear_alive(&mut self, origin: Origin, description: &Description<'_>) {
        let sid = description.sid;
        if sid == self.sid {
            return self.hear_of_self(origin, description.incarnation, State::Alive);
        }
        if *description.name == *self.profile().name {
            return self.hear_of_rival(origin.now, sid, description.generation);
        }
        // It comes in when we have its key or it has ours.
        if !self.has_key_of(description.installed, description.ready) && !self.has_present(sid) {
            return;
        }
        if self.bars(origin, sid, description.incarnation) {
            return;
        }
        if let Some(slot) = self.table.find(sid) {
            return self.hear_of_known(origin, slot, description);
        }
        match self.table.find_name(description.name) {
            Some(slot) => self.hear_of_later_life(origin, slot, description),
            None => self.hear_of_new(origin, description),
        }
    }

    fn hear_of_known(&mut self, origin: Origin, slot: u32, description: &Description<'_>) {
        let Some(record) = self.table.get(slot) else {
            return;
        };
        let same = record.profile.generation == description.generation
            && *record.profile.name == *description.name;
        if !same {
            return;
        }
        let newer = description.version > record.profile.version;
        let profile = newer.then(|| Arc::new(Profile::of(description)));
        let heard = Standing::new(
            description.generation,
            description.incarnation,
            State::Alive,
        );
        if heard > record.standing() {
            let told = told_alive(description);
            self.apply(origin, slot, told, profile);
        } else if let Some(profile) = profile {
            self.reports.before_change(&self.table, slot);
            self.table.update(slot, |record| record.profile = profile);
        }
    }

    fn hear_of_later_life(&mut self, origin: Origin, slot: u32, description: &Description<'_>) {
        let Some(earlier) = self.table.get(slot) else {
            return;
        };
        let known = (earlier.profile.generation, earlier.sid);
        if (description.generation, description.sid) <= known {
            return;
        }
        self.tell_overtaken(slot, description);
        self.reports.before_change(&self.table, slot);
        self.forget_life(slot, known.1, Ended::Final);
        self.welcome_back(description.sid);
        self.table
            .replace(slot, fresh_record(description, origin.now));
        self.tell(origin, slot, Rank::Arrival, told_alive(description), true);
    }

    /// Nothing of an earlier life is taken any more, and no rumour is sent to it: if it lives, and
    /// somebody took its name, it would not hear of that. So a few of us tell it once.
    fn tell_overtaken(&mut self, slot: u32, description: &Description<'_>) {
        let Some(record) = self.table.get(slot) else {
            return;
        };
        let earlier = To::Contact(record.sid, record.profile.address);
        if record.state.is_present() && self.is_one_of_few() {
            let mut body = Vec::new();
            Message::Alive(*description).encode(&mut body);
            self.send(earlier, Content::Body(body));
        }
    }

    fn hear_of_new(&mut self, origin: Origin, description: &Description<'_>) {
        if self.table.len() >= self.settings.members_max && !self.make_room() {
            self.statistics.members_refused += 1;
            return;
        }
        self.welcome_back(description.sid);
        // Whoever was alone has never told anybody of itself.
        if self.table.present() == 1 && !origin.hearsay {
            self.announce(origin.now, true);
        }
        let slot = self.table.insert(fresh_record(description, origin.now));
        self.reports.before_change_of_new(slot);
        self.tell(origin, slot, Rank::Arrival, told_alive(description), true);
    }

    /// Drops what belongs to a life that is over, but for how it ended.
    fn forget_life(&mut self, slot: u32, sid: u64, ended: Ended) {
        self.suspicions.end(slot);
        self.rumours.remove(slot);
        self.peers.remove(&sid);
        self.retired.add(sid, ended);
    }

    /// Forgets one member that has ended, to make room for one that has not.
    fn make_room(&mut self) -> bool {
        // A full view of members that are all present is not searched for each that is invented.
        if self.table.present() == self.table.len() {
            return false;
        }
        let own = self.own;
        let ended = self.table.pick(&mut self.random, |slot, record| {
            slot != own && !record.state.is_present()
        });
        if let Some(slot) = ended {
            self.forget(slot);
        }
        ended.is_some()
    }

    pub(super) fn forget(&mut self, slot: u32) {
        if let Some(sid) = self.table.get(slot).map(|record| record.sid) {
            self.reports.before_change(&self.table, slot);
            let ended = self.end_of(slot);
            self.forget_life(slot, sid, ended);
            self.table.remove(slot);
        }
    }

    /// Keeps a greater standing, with what follows from it.
    pub(super) fn apply(
        &mut self,
        origin: Origin,
        slot: u32,
        told: Told,
        profile: Option<Arc<Profile>>,
    ) {
        let was = self.table.get(slot).map(|record| record.state);
        let whole = profile.is_some() || was.is_some_and(|state| !state.is_present());
        self.reports.before_change(&self.table, slot);
        self.table.update(slot, |record| {
            record.incarnation = told.incarnation;
            record.state = told.state;
            record.since = origin.now;
            if let Some(profile) = profile {
                record.profile = profile;
            }
        });
        if told.state == State::Suspect {
            self.start_suspicion(origin.now, slot, told.by);
            if told.by != self.sid {
                self.doubt(slot);
            }
        } else {
            self.suspicions.end(slot);
        }
        if was == Some(State::Dead) && told.state == State::Alive {
            self.sync.hurry();
        }
        let whole = whole && told.state == State::Alive;
        self.tell(origin, slot, rank(told.state, whole), told, whole);
    }

    /// Passes news on; what anti-entropy told is none.
    pub(super) fn tell(&mut self, origin: Origin, slot: u32, rank: Rank, told: Told, whole: bool) {
        if origin.hearsay {
            self.sync.told_news();
            if told.state == State::Alive {
                self.sync.told_alive(origin.now);
            }
            self.rumours.remove(slot);
            return;
        }
        let rumour = Rumour {
            rank,
            whole,
            by: told.by,
            health: told.health,
        };
        self.repeat(origin.now, slot, rumour);
    }
}

const fn rank(state: State, whole: bool) -> Rank {
    match state {
        State::Alive if whole => Rank::Description,
        State::Alive => Rank::Refutation,
        State::Suspect => Rank::Suspicion,
        State::Dead => Rank::Death,
        State::Left => Rank::Leave,
    }
}

/// A death that anti-entropy tells of a member we hold for present may be the other side of a
/// healed partition: the member gets its time to refute.
fn soften(known: State, told: State, hearsay: bool) -> State {
    if hearsay && told == State::Dead && known.is_present() {
        State::Suspect
    } else {
        told
    }
}

const fn told_alive(description: &Description<'_>) -> Told {
    Told {
        sid: description.sid,
        incarnation: description.incarnation,
        state: State::Alive,
        by: 0,
        health: 0,
    }
}

fn fresh_record(description: &Description<'_>, now: Time) -> Record {
    Record {
        sid: description.sid,
        since: now,
        incarnation: description.incarnation,
        state: State::Alive,
        profile: Arc::new(Profile::of(description)),
    }
}
