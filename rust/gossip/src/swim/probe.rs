//! Asking members in turn whether they are there.

use crate::limits::Settings;
use crate::member::REACH_STREAM;
use crate::random::{Permutation, Random};
use crate::time::Time;
use crate::wire::State;

use super::Node;
use super::input::Origin;
use super::output::{Content, To, Via};

/// The probe under way.
#[derive(Clone, Debug)]
struct Probe {
    slot: u32,
    sid: u64,
    seq: u32,
    sent: Time,
    /// When to ask others for help; `None` once they were asked.
    help_at: Option<Time>,
    /// Helpers that have not answered in any way.
    silent: u32,
    helpers: u32,
}

/// Whose turn it is, and the probe under way.
#[derive(Clone, Debug)]
pub(super) struct Prober {
    pass: Permutation,
    index: u32,
    current: Option<Probe>,
    /// A suspected member to be asked out of turn.
    doubted: Option<u32>,
    next: Time,
    seq: u32,
    /// The longest round trip lately, in nanoseconds: it fades by 1/64 with each answer.
    round_trip: u64,
}

impl Prober {
    /// Members begin at different times within the interval.
    pub(super) fn new(settings: &Settings, random: &mut Random, now: Time) -> Self {
        let interval = u64::from(settings.probe_interval_ms) * 1_000_000;
        Self {
            pass: Permutation::new(1, 0),
            index: 1,
            current: None,
            doubted: None,
            next: now.after_nanos(random.below(interval)),
            seq: random.word() as u32,
            round_trip: 0,
        }
    }

    /// A number for a ping.
    pub(super) const fn number(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }

    pub(super) fn deadline(&self) -> Time {
        let help_at = self.current.as_ref().and_then(|probe| probe.help_at);
        help_at.map_or(self.next, |help_at| help_at.min(self.next))
    }

    /// A helper is there, and the target did not answer it yet.
    pub(super) fn nack(&mut self, seq: u32) {
        if let Some(probe) = self.current.as_mut().filter(|probe| probe.seq == seq) {
            probe.silent = probe.silent.saturating_sub(1);
        }
    }

    /// Three times the longest round trip lately, within the configured bounds.
    fn timeout(&self, settings: &Settings) -> u64 {
        let bounds = (settings.probe_timeout_ms_min, settings.probe_timeout_ms_max);
        let (min, max) = (
            u64::from(bounds.0) * 1_000_000,
            u64::from(bounds.1) * 1_000_000,
        );
        match self.round_trip {
            0 => max,
            longest => (3 * longest).clamp(min, max),
        }
    }

    fn measure(&mut self, nanos: u64) {
        self.round_trip = nanos.max(self.round_trip - self.round_trip / 64);
    }
}

impl Node {
    /// Ends the probe under way and begins the next; or asks for help.
    pub(super) fn tend_probe(&mut self, now: Time) {
        if self.leaving {
            self.prober.current = None;
        }
        if self.prober.next <= now {
            self.end_probe(now);
            let interval = u64::from(self.settings.probe_interval_ms) * 1_000_000;
            self.prober.next = now.after_nanos(self.health.stretch(interval));
            self.tend_rotation(now);
            self.begin_probe(now);
        } else {
            self.ask_for_help(now);
        }
    }

    fn begin_probe(&mut self, now: Time) {
        let Some(slot) = self.next_target(now).filter(|_| !self.leaving) else {
            return;
        };
        let Some(sid) = self.table.get(slot).map(|record| record.sid) else {
            return;
        };
        let seq = self.prober.number();
        let timeout = self.health.stretch(self.prober.timeout(&self.settings));
        self.prober.current = Some(Probe {
            slot,
            sid,
            seq,
            sent: now,
            help_at: Some(now.after_nanos(timeout)),
            silent: 0,
            helpers: 0,
        });
        self.statistics.probes += 1;
        self.send_to_slot(slot, Content::Ping(seq));
    }

    /// Somebody else suspects the member in `slot`. A few of those who hear it, about twice as many
    /// as confirm a suspicion, ask next themselves: so a death is confirmed soon whatever the size
    /// of the cluster, and a living member soon hears what it has to refute.
    pub(super) fn doubt(&mut self, slot: u32) {
        if self.is_one_of_few() {
            self.prober.doubted = Some(slot);
        }
    }

    /// Whether it falls to us, as to about twice as many members as confirm a suspicion.
    pub(super) fn is_one_of_few(&mut self) -> bool {
        let few = u64::from(2 * self.settings.confirmations);
        self.random.below(self.table.present().max(1).into()) < few
    }

    /// A doubted member, or the next in this pass over the view; each pass has an order of its own.
    fn next_target(&mut self, now: Time) -> Option<u32> {
        let doubted = self.prober.doubted.take();
        let suspected = |record: &crate::member::Record| record.state == State::Suspect;
        if let Some(slot) = doubted.filter(|&slot| self.table.get(slot).is_some_and(suspected)) {
            return Some(slot);
        }
        for _ in 0..=self.table.slots().saturating_mul(2) {
            if self.prober.index >= self.prober.pass.count() {
                self.reap(now);
                self.prober.pass = Permutation::new(self.table.slots(), self.random.word());
                self.prober.index = 0;
            }
            let slot = self.prober.pass.at(self.prober.index);
            self.prober.index += 1;
            if slot != self.own && self.is_present(slot) {
                return Some(slot);
            }
        }
        None
    }

    fn ask_for_help(&mut self, now: Time) {
        let due = |probe: &&mut Probe| probe.help_at.is_some_and(|at| at <= now);
        let Some(probe) = self.prober.current.as_mut().filter(due) else {
            return;
        };
        probe.help_at = None;
        let (slot, sid, seq) = (probe.slot, probe.sid, probe.seq);
        let helpers = self.pick_present(self.settings.helpers, Some(slot));
        if let Some(probe) = self.prober.current.as_mut() {
            probe.helpers = helpers.len() as u32;
            probe.silent = probe.helpers;
        }
        for helper in helpers {
            self.send_to_slot(helper, Content::PingReq(seq, sid));
        }
        let own = self.profile().reach;
        let both = |record: &crate::member::Record| record.profile.reach & own & REACH_STREAM != 0;
        if self.settings.stream_probes && self.table.get(slot).is_some_and(both) {
            self.send_by(Via::Stream, To::Member(slot, sid), Content::Ping(seq));
        }
    }

    /// A probe that is still open at the end of its interval has failed.
    fn end_probe(&mut self, now: Time) {
        let Some(probe) = self.prober.current.take() else {
            return;
        };
        self.statistics.probes_failed += 1;
        self.health.worsen(match probe.helpers {
            0 => 1,
            _ => probe.silent,
        });
        let same = |record: &crate::member::Record| record.sid == probe.sid;
        if self.table.get(probe.slot).is_some_and(same) && self.is_present(probe.slot) {
            self.accuse(now, probe.slot);
        }
    }

    pub(super) fn on_ack(&mut self, origin: Origin, seq: u32, digest: u64) {
        let current = self.prober.current.as_ref();
        match current.filter(|probe| probe.seq == seq) {
            Some(probe) => {
                if probe.sid == origin.sid && probe.help_at.is_some() {
                    let nanos = origin.now.saturating_since(probe.sent);
                    self.prober.measure(nanos);
                }
                self.prober.current = None;
                self.health.improve();
            }
            None => self.relay_ack(seq),
        }
        self.compare_digest(origin, digest);
    }

    /// We did not run for `nanos`: what we missed is no fault of others.
    pub(super) fn stood_still(&mut self, nanos: u64) {
        self.suspicions.extend(nanos);
        self.prober.current = None;
        self.health.worsen(1);
    }
}
