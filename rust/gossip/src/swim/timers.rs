//! When to be called again.

use crate::time::Time;

use super::Node;

impl Node {
    /// When [`Node::handle_timeout`] wants to be called; `None` once nothing more is to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.departed {
            return None;
        }
        let others = [
            self.gossip_at,
            self.suspicions.next(),
            self.relay_deadline(),
            self.turnover.deadline(),
            self.sync.follows_at(),
            self.leave_by.filter(|_| !self.leaving),
            Some(self.join.deadline()),
        ];
        let first = self.prober.deadline();
        Some(others.into_iter().flatten().fold(first, Time::min))
    }

    /// Does what is due. Called late by more than a probe's longest time-out, it takes the host for
    /// having stood still, and holds nothing against the others.
    pub fn handle_timeout(&mut self, now: Time) {
        let Some(due) = self.poll_timeout().filter(|&due| due <= now) else {
            return;
        };
        let late = now.saturating_since(due);
        if late > u64::from(self.settings.probe_timeout_ms_max) * 1_000_000 {
            self.stood_still(late);
        }
        if self.prober.deadline() <= now {
            self.tend_probe(now);
        }
        self.bury_expired(now);
        self.tend_relays(now);
        self.tend_join(now);
        self.tend_turnover(now);
        self.catch_up(now);
        self.tend_leave(now);
        if self.gossip_at.is_some_and(|at| at <= now) {
            self.gossip(now);
        }
    }
}
