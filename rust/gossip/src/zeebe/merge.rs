//! What becomes of a record: Zeebe's rule, and what a lie or a late rumour cannot do.

use super::settings::AHEAD_MS_MAX;
use super::{Member, Node};
use crate::kryo::{Record, Standing};
use crate::swim::Happened;
use crate::time::Time;

/// Who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// The member itself, in a request or a reply.
    Own,
    /// Somebody, or whoever can reach our UDP port.
    Hearsay,
}

impl Node {
    /// Takes a record in.
    pub(super) fn learn(&mut self, now: Time, record: Record, word: Word) {
        if self.leaving {
            return;
        }
        let (Some(standing), Some(_)) = (record.standing, &record.address) else {
            self.statistics.refused += 1;
            return;
        };
        // An incarnation is a clock's milliseconds: one from the future could never be topped.
        if !(0..=self.wall_now(now) + AHEAD_MS_MAX).contains(&record.incarnation) {
            self.statistics.refused += 1;
        } else if record.id == self.own.id {
            self.hear_of_ourselves(now, &record);
        } else if let Some(member) = self.members.get(&record.id) {
            let known = (member.record.incarnation, member.record.timestamp);
            self.learn_of_known(now, record, standing, known, word);
        } else if standing == Standing::Alive {
            self.learn_of_unknown(now, record, word);
        }
    }

    /// Zeebe adds whatever is said to be alive. Here a late rumour of a removed member is checked:
    /// only the member itself can bring an incarnation back that was over.
    fn learn_of_unknown(&mut self, now: Time, record: Record, word: Word) {
        if word == Word::Hearsay && self.tombs.covers(&record.id, record.incarnation) {
            self.statistics.stale += 1;
            self.check(record, None);
        } else if self.members.len() + 1 >= self.settings.members_max as usize {
            self.statistics.refused += 1;
        } else {
            self.add(now, record);
        }
    }

    fn learn_of_known(
        &mut self,
        now: Time,
        record: Record,
        standing: Standing,
        (incarnation, timestamp): (i64, i64),
        word: Word,
    ) {
        let later = record.incarnation > incarnation;
        let rank = self.members.get(&record.id).and_then(|m| m.record.standing);
        let progressed = record.incarnation == incarnation && Some(standing) > rank;
        match standing {
            Standing::Dead if later || progressed => {
                // Only the member itself raises its incarnation: so this is its farewell.
                let left = later || word == Word::Own;
                let happened = if left {
                    Happened::Left
                } else {
                    Happened::Failed
                };
                if word == Word::Hearsay && rank == Some(Standing::Alive) {
                    self.check(record, Some(happened));
                } else {
                    self.remove(now, &record, happened);
                }
            }
            _ if later => self.replace(now, record),
            Standing::Suspect if progressed => self.suspect(now, &record.id),
            // What others told of a new life lacked what only the member knows.
            _ if word == Word::Own
                && record.incarnation == incarnation
                && record.timestamp > timestamp =>
            {
                self.replace(now, record);
            }
            _ => {}
        }
    }

    /// A real member believes a death at once. Here one that is told of a member we hold for alive
    /// is checked; so nobody is removed by a datagram, and one that did leave is gone as soon.
    fn check(&mut self, record: Record, removed: Option<Happened>) {
        if self.begin_check(record, removed) {
            self.statistics.checked += 1;
        }
    }

    fn add(&mut self, now: Time, record: Record) {
        self.reports.before_change(&record.id, None);
        self.tombs.remove(&record.id);
        let place = self.random.below(self.order.len() as u64 + 1) as usize;
        self.order.insert(place, record.id.clone());
        self.spread(now, record.clone());
        let member = Member { record, since: now };
        self.members.insert(member.record.id.clone(), member);
        self.sync.unsettle(now);
    }

    /// Takes what a member says of itself in a later incarnation. What members pass on of a new
    /// life has the address and the release of the old one; so those go by the later start.
    fn replace(&mut self, now: Time, mut record: Record) {
        let Some(member) = self.members.get_mut(&record.id) else {
            return;
        };
        let old = &mut member.record;
        self.reports.before_change(&record.id, Some(&*old));
        if record.timestamp < old.timestamp {
            record.timestamp = old.timestamp;
            record.address.clone_from(&old.address);
            record.release.clone_from(&old.release);
        }
        if old.standing != record.standing {
            member.since = now;
            let suspected = record.standing == Some(Standing::Suspect);
            self.statistics.suspicions += u64::from(suspected);
        }
        *old = record.clone();
        self.spread(now, record);
        self.sync.unsettle(now);
    }

    /// Suspects a member in its present incarnation.
    pub(super) fn suspect(&mut self, now: Time, id: &str) {
        let Some(member) = self.members.get_mut(id) else {
            return;
        };
        self.reports.before_change(id, Some(&member.record));
        member.record.standing = Some(Standing::Suspect);
        member.since = now;
        self.statistics.suspicions += 1;
        let record = member.record.clone();
        if self.settings.notify_suspect {
            self.tell(record.address.as_ref(), &[&record]);
        }
        self.spread(now, record);
    }

    /// Ends a member's life in `record.incarnation`.
    pub(super) fn remove(&mut self, now: Time, record: &Record, happened: Happened) {
        let Some(member) = self.members.remove(&record.id) else {
            return;
        };
        self.reports.before_change(&record.id, Some(&member.record));
        self.reports.ended(&record.id, happened);
        self.statistics.deaths += u64::from(happened == Happened::Failed);
        self.order.retain(|id| *id != record.id);
        self.tombs.insert(&record.id, record.incarnation);
        let dead = Record {
            incarnation: record.incarnation,
            standing: Some(Standing::Dead),
            ..member.record
        };
        self.spread(now, dead);
        self.sync.unsettle(now);
    }

    /// Removes those that have been suspected for too long.
    pub(super) fn reap(&mut self, now: Time) {
        let patience = u64::from(self.settings.failure_timeout_ms) * 1_000_000;
        let expired = |member: &&Member| {
            member.record.standing == Some(Standing::Suspect)
                && now.saturating_since(member.since) >= patience
        };
        let expired = self.members.values().filter(expired);
        let expired: Vec<Record> = expired.map(|member| member.record.clone()).collect();
        for record in expired {
            self.remove(now, &record, Happened::Failed);
        }
    }

    /// A real member ignores what is said of it until it is probed; here it is refuted at once.
    pub(super) fn hear_of_ourselves(&mut self, now: Time, record: &Record) {
        let accused = record.standing.is_some_and(|said| said > Standing::Alive);
        if record.incarnation > self.own.incarnation {
            self.own.incarnation = record.incarnation + 1;
        } else if accused && record.incarnation == self.own.incarnation {
            self.own.incarnation += 1;
        } else {
            return;
        }
        self.refute(now);
    }

    /// Tells of our new incarnation.
    pub(super) fn refute(&mut self, now: Time) {
        self.statistics.refutations += 1;
        self.dispute |= self.settings.broadcast_disputes;
        self.spread(now, self.own.clone());
    }
}
