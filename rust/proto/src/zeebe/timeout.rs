//! Deadlines, and events that no input has caused.

use super::{Connection, Stage};
use crate::error::Error;
use crate::event::Event;
use crate::limits::{LATE_MS, ZEEBE_ASKED_COUNT_MAX};
use crate::time::Time;

impl Connection {
    /// Does what is due `now`. A call long after [`poll_timeout`](Self::poll_timeout) shows that the
    /// driver itself stood still, and that time is not held against the peer.
    pub fn handle_timeout(&mut self, now: Time, events: &mut Vec<Event>) -> Result<(), Error> {
        if self.stage == Stage::Closed {
            return Ok(());
        }
        let late = self
            .next_deadline()
            .map_or(0, |at| now.saturating_since(at));
        if late > u64::from(LATE_MS) * 1_000_000 {
            self.pulse.forgive(late, now);
        }
        self.now = now;
        let result = self.pulse.check(now, self.heartbeat.timeout_ms());
        match &result {
            Ok(()) => self.do_what_is_due(events),
            Err(_) => self.fail(),
        }
        result
    }

    fn do_what_is_due(&mut self, events: &mut Vec<Event>) {
        while let Some(token) = self.asked.pop_expired(self.now) {
            self.statistics.expired += 1;
            events.push(Event::Expired { token });
        }
        let is_due = self.heartbeat.next_beat().is_some_and(|at| at <= self.now);
        if is_due && !self.ended {
            self.put_beat();
        }
        self.push_due(events);
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, unless there is input before.
    /// [`Time::ZERO`] means that events wait already.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        match self.stage {
            Stage::Closed => None,
            _ if self.output_has_room() || self.request_has_room() => Some(Time::ZERO),
            _ => self.next_deadline(),
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        let beat = self.heartbeat.next_beat().filter(|_| !self.ended);
        let pulse = self.pulse.next_deadline(self.heartbeat.timeout_ms());
        [self.asked.next_deadline(), beat, pulse]
            .into_iter()
            .flatten()
            .min()
    }

    fn output_has_room(&self) -> bool {
        let low = self.settings.limits.output_bytes_low;
        self.room.waits_for_output() && self.output.bytes() <= low
    }

    fn request_has_room(&self) -> bool {
        self.room.request_bytes.is_some() && self.asked.len() < ZEEBE_ASKED_COUNT_MAX
    }

    #[inline]
    pub(super) fn push_due(&mut self, events: &mut Vec<Event>) {
        if self.output_has_room() {
            self.room.tell_output(events);
        }
        if self.request_has_room() {
            self.room.request_bytes = None;
            events.push(Event::RequestRoom);
        }
    }
}
