//! Deadlines: what is due at a time, and when to come back.

use super::Connection;
use crate::error::Error;
use crate::event::Event;
use crate::frame::{Header, Kind};
use crate::limits::LATE_MS;
use crate::time::Time;

impl Connection {
    /// Does what is due `now`. Give it all input that is there first: silence counts only until
    /// now. A call long after [`poll_timeout`](Self::poll_timeout) shows that the driver itself
    /// stood still, and that time is not held against the peer.
    pub fn handle_timeout(&mut self, now: Time, events: &mut Vec<Event>) -> Result<(), Error> {
        if self.is_closed() {
            return Ok(());
        }
        self.forgive_lateness(now);
        self.now = now;
        let result = self.check_peer(now);
        match &result {
            Ok(()) => self.do_what_is_due(events),
            Err(error) => self.fail(error),
        }
        result
    }

    fn forgive_lateness(&mut self, now: Time) {
        let late = self
            .next_deadline()
            .map_or(0, |deadline| now.saturating_since(deadline));
        if late > u64::from(LATE_MS) * 1_000_000 {
            self.forgive(late, now);
        }
    }

    fn forgive(&mut self, nanos: u64, now: Time) {
        self.liveness.forgive(nanos, now);
        self.assembly.forgive(nanos, now);
    }

    fn check_peer(&mut self, now: Time) -> Result<(), Error> {
        self.liveness.check(now)?;
        self.assembly.check_pace(now)
    }

    fn do_what_is_due(&mut self, events: &mut Vec<Event>) {
        while let Some((id, token)) = self.asked.pop_expired(self.now) {
            self.statistics.expired += 1;
            self.put_cancel(id);
            events.push(Event::Expired { token });
        }
        while let Some(id) = self.taken.pop_expired(self.now) {
            events.push(Event::Cancelled { id });
        }
        if self.liveness.is_ping_due(self.now) {
            self.ping();
        }
        self.push_due(events);
    }

    /// The time of a ping is also the time to give back memory that was not needed since the last.
    fn ping(&mut self) {
        if let Some(value) = self.liveness.ping(self.now) {
            let header = Header::new(Kind::Ping, 0, 0, 0);
            if self.output.is_empty() {
                self.output.shrink();
                self.taken.shrink();
                self.asked.shrink();
            }
            self.output.put_control(header, &value.to_le_bytes());
            self.statistics.sent.pings += 1;
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next, unless there is input before.
    /// Ask only after all output has been taken. [`Time::ZERO`] means that events wait already.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        if self.is_closed() {
            return None;
        }
        if self.has_due() {
            Some(Time::ZERO)
        } else {
            self.next_deadline()
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        let deadlines = [
            self.liveness.next_deadline(),
            self.assembly.next_deadline(),
            self.asked.next_deadline(),
            self.taken.next_deadline(),
            self.room.next_deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }
}
