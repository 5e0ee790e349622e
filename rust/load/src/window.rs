//! One window without sockets and clock: when to send, what is in flight, and what came of it.
//!
//! The receiver never paces an open loop: every send has its time before the window begins, and
//! what could not go then keeps that time and is late.

use crate::tally::Tally;

/// How long after a window's end sends that are late may still go, in nanoseconds.
pub(crate) const OVERRUN_NANOS_MAX: u64 = 2_000_000_000;
/// How long the answers to the last sends are waited for, in nanoseconds.
pub(crate) const DRAIN_NANOS_MAX: u64 = 7_000_000_000;

/// How long a send of an open plan may wait to leave together with the next ones, in nanoseconds.
/// At high rates a system call a message would measure the generator; the wait is in the send delay.
pub(crate) const GATHER_NANOS_MAX: u64 = 50_000;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send now what was intended for then.
    Send { intended: u64 },
    /// Look again when something has arrived, and not later than then.
    At(u64),
    /// Nothing more will be sent.
    Over,
}

/// When sends are intended.
#[derive(Debug)]
pub(crate) enum Plan {
    /// Whenever there is room.
    Closed,
    /// At these times after the begin, in order.
    Open {
        /// Nanoseconds.
        times: Vec<u64>,
    },
}

/// The state of a window. Times are nanoseconds of one clock.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) tally: Tally,
    plan: Plan,
    begin: u64,
    end: u64,
    in_flight: usize,
    in_flight_max: usize,
    /// Of an open plan's times: how many were sent, and how many the generator has turned to.
    sent: usize,
    tried: usize,
    /// When the last send went.
    sent_at: Option<u64>,
}

impl Window {
    /// A window that begins now and in which at most `in_flight_max` operations of an open plan
    /// are under way at once.
    pub(crate) fn new(plan: Plan, now: u64, length: u64, in_flight_max: usize) -> Window {
        Window {
            tally: Tally::new(matches!(plan, Plan::Open { .. })),
            plan,
            begin: now,
            end: now + length,
            in_flight: 0,
            in_flight_max,
            sent: 0,
            tried: 0,
            sent_at: None,
        }
    }

    pub(crate) fn begin(&self) -> u64 {
        self.begin
    }

    pub(crate) fn next(&mut self, now: u64) -> Next {
        let Plan::Open { times } = &self.plan else {
            return self.next_closed(now);
        };
        let Some(offset) = times.get(self.sent) else {
            return Next::Over;
        };
        let intended = self.begin + offset;
        if intended > now {
            Next::At(intended)
        } else if now > self.end + OVERRUN_NANOS_MAX {
            Next::Over
        } else if self.in_flight >= self.in_flight_max {
            self.held(now)
        } else {
            self.gathering(intended, now)
                .map_or(Next::Send { intended }, Next::At)
        }
    }

    /// Until when a send that is due waits for company, if it does.
    fn gathering(&self, intended: u64, now: u64) -> Option<u64> {
        let sent_at = self.sent_at.filter(|&sent_at| sent_at != now)?;
        Some(sent_at.min(intended) + GATHER_NANOS_MAX).filter(|&until| now < until)
    }

    fn next_closed(&self, now: u64) -> Next {
        if now < self.end {
            Next::Send { intended: now }
        } else {
            Next::Over
        }
    }

    /// There was no room for a send: all that are due have met the cap.
    pub(crate) fn held(&mut self, now: u64) -> Next {
        let Plan::Open { times } = &self.plan else {
            return Next::At(self.end);
        };
        while let Some(intended) = times.get(self.tried).map(|offset| self.begin + offset)
            && intended <= now
        {
            self.tally.tried(intended, now);
            self.tally.capped += 1;
            self.tried += 1;
        }
        // The next one is tried when it is due, so that its delay is the generator's own.
        let next = times.get(self.tried).map(|offset| self.begin + offset);
        Next::At(next.unwrap_or(self.end + OVERRUN_NANOS_MAX + 1))
    }

    /// The send that was next has gone.
    pub(crate) fn sent(&mut self, intended: u64, now: u64) {
        self.tally.sent += 1;
        self.in_flight += 1;
        self.sent_at = Some(now);
        if matches!(self.plan, Plan::Open { .. }) {
            if self.tried == self.sent {
                self.tally.tried(intended, now);
                self.tried += 1;
            }
            self.sent += 1;
        }
    }

    /// An operation is done.
    pub(crate) fn completed(&mut self, intended: u64, sent: u64, now: u64) {
        self.tally.completed(intended, sent, now);
        self.ended(1);
    }

    /// Operations have failed.
    pub(crate) fn failed(&mut self, name: &'static str, count: u64) {
        self.tally.failed(name, count);
        self.ended(count);
    }

    /// Operations are not in flight any more.
    pub(crate) fn ended(&mut self, count: u64) {
        self.in_flight = self.in_flight.saturating_sub(count as usize);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Intended sends that have not gone.
    pub(crate) fn unsent(&self) -> u64 {
        match &self.plan {
            Plan::Closed => 0,
            Plan::Open { times } => (times.len() - self.sent) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::schedule::{Arrivals, intended};

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1_000 * MS;

    /// A server that takes `service` for each operation, in order, and stands still in `stopped`.
    struct Server {
        service: u64,
        stopped: std::ops::Range<u64>,
        free_at: u64,
        /// Intended, sent and done, in the order of done.
        working: VecDeque<(u64, u64, u64)>,
    }

    impl Server {
        fn new(service: u64, stopped: std::ops::Range<u64>) -> Server {
            Server {
                service,
                stopped,
                free_at: 0,
                working: VecDeque::new(),
            }
        }

        fn take(&mut self, intended: u64, now: u64) {
            let mut begin = self.free_at.max(now);
            if self.stopped.contains(&begin) {
                begin = self.stopped.end;
            }
            self.free_at = begin + self.service;
            self.working.push_back((intended, now, self.free_at));
        }

        fn next_done(&self) -> Option<u64> {
            self.working.front().map(|&(.., done)| done)
        }
    }

    /// Runs a window against a server in virtual time; the generator looks up only at `wakes`.
    fn simulate(window: &mut Window, server: &mut Server, asleep: &std::ops::Range<u64>) {
        let mut now = window.begin();
        loop {
            while server.next_done().is_some_and(|done| done <= now) {
                let (intended, sent, done) = server.working.pop_front().unwrap();
                window.completed(intended, sent, done);
            }
            let wait = match window.next(now) {
                Next::Send { intended } => {
                    server.take(intended, now);
                    window.sent(intended, now);
                    continue;
                }
                Next::At(at) => Some(at),
                Next::Over => None,
            };
            let Some(then) = [wait, server.next_done()].into_iter().flatten().min() else {
                return;
            };
            now = if asleep.contains(&then) {
                asleep.end
            } else {
                then
            };
        }
    }

    fn open(rate: f64, seconds: f64, in_flight_max: usize) -> Window {
        let times = intended(Arrivals::Poisson, rate, 7, seconds).unwrap();
        let length = (seconds * 1e9) as u64;
        Window::new(Plan::Open { times }, SECOND, length, in_flight_max)
    }

    #[test]
    fn a_stopped_server_shows_in_response_and_hides_in_service() {
        let (seconds, stop) = (10.0, 1.4);
        let mut window = open(3_000.0, seconds, 64);
        let stopped = 4 * SECOND..4 * SECOND + (stop * 1e9) as u64;
        simulate(&mut window, &mut Server::new(100_000, stopped), &(0..0));
        // A send intended u after the stop began waits for the rest of the stop and for what was
        // intended before it: stop - u + 0.3 u. One in a hundred sends waits longer than this:
        let theory = stop - 0.01 * seconds * (1.0 - 0.3);
        let response = window.tally.response().value_at_quantile(0.99) as f64 / 1e9;
        assert!(
            (response / theory - 1.0).abs() < 0.1,
            "{response} s, not {theory} s"
        );
        assert!(window.tally.service().value_at_quantile(0.99) < 20 * MS);
        assert!(window.tally.capped > 3_000, "{}", window.tally.capped);
        assert!(
            window.tally.send_delay().max() < MS,
            "the generator was not late"
        );
        assert_eq!(window.tally.completed, window.tally.sent);
    }

    #[test]
    fn a_generator_that_sleeps_shows_in_send_delay() {
        let mut window = open(3_000.0, 1.0, 64);
        let asleep = SECOND + 100 * MS..SECOND + 200 * MS;
        simulate(&mut window, &mut Server::new(1_000, 0..0), &asleep);
        let delay = window.tally.send_delay();
        assert!(delay.value_at_quantile(0.95) > 40 * MS);
        assert_eq!(delay.len(), window.tally.sent);
        assert!(window.tally.service().max() < MS);
    }

    #[test]
    fn every_send_without_a_cap_is_its_delay_and_its_service() {
        let mut window = open(1_000.0, 1.0, usize::MAX);
        simulate(&mut window, &mut Server::new(MS / 2, 0..0), &(0..0));
        let total =
            |histogram: &crate::histogram::Histogram| histogram.mean() * histogram.len() as f64;
        let tally = &window.tally;
        let parts = total(tally.service()) + total(tally.send_delay());
        assert!((parts / total(tally.response()) - 1.0).abs() < 0.002);
    }

    #[test]
    fn the_receiver_does_not_pace_an_open_loop() {
        let (mut quick, mut slow) = (
            open(1_000.0, 2.0, usize::MAX),
            open(1_000.0, 2.0, usize::MAX),
        );
        simulate(&mut quick, &mut Server::new(1_000, 0..0), &(0..0));
        simulate(&mut slow, &mut Server::new(3 * MS, 0..0), &(0..0));
        assert_eq!(quick.tally.sent, slow.tally.sent);
        assert!(slow.tally.send_delay().max() <= GATHER_NANOS_MAX);
    }

    #[test]
    fn sends_that_are_due_soon_after_one_leave_together() {
        let times = vec![0, 10_000, 20_000, 90_000];
        let mut window = Window::new(Plan::Open { times }, SECOND, MS, 10);
        let mut sends = Vec::new();
        let mut now = SECOND;
        loop {
            match window.next(now) {
                Next::Send { intended } => {
                    window.sent(intended, now);
                    sends.push((intended - SECOND, now - SECOND));
                }
                Next::At(at) => now = at,
                Next::Over => break,
            }
        }
        let gathered = [
            (0, 0),
            (10_000, 50_000),
            (20_000, 50_000),
            (90_000, 100_000),
        ];
        assert_eq!(sends, gathered);
    }

    #[test]
    fn the_cap_holds_at_n_and_what_it_held_is_counted_once() {
        let times = vec![0, 1, 2, 3];
        let mut window = Window::new(Plan::Open { times }, 100, 10, 2);
        for at in [100, 101] {
            assert_eq!(window.next(105), Next::Send { intended: at });
            window.sent(at, 105);
        }
        for _ in 0..3 {
            assert!(matches!(window.next(105), Next::At(_)));
        }
        assert_eq!((window.tally.capped, window.in_flight()), (2, 2));
        window.completed(100, 105, 106);
        assert_eq!(window.next(106), Next::At(102 + GATHER_NANOS_MAX));
        let late = 102 + GATHER_NANOS_MAX;
        assert_eq!(window.next(late), Next::Send { intended: 102 });
        window.sent(102, late);
        assert_eq!(
            (window.tally.capped, window.tally.send_delay().len()),
            (2, 4)
        );
        assert_eq!(window.unsent(), 1);
    }

    #[test]
    fn a_server_that_never_answers_ends_the_window() {
        let mut window = open(1_000.0, 1.0, 10);
        let mut now = window.begin();
        loop {
            now = match window.next(now) {
                Next::Send { intended } => {
                    window.sent(intended, now);
                    now
                }
                Next::At(at) => at,
                Next::Over => break,
            };
        }
        assert_eq!(now, window.begin() + SECOND + OVERRUN_NANOS_MAX + 1);
        assert_eq!((window.tally.sent, window.in_flight()), (10, 10));
        assert!(window.unsent() > 900);
    }

    #[test]
    fn a_closed_loop_obeys_littles_law() {
        let mut window = Window::new(Plan::Closed, SECOND, SECOND, 0);
        let mut server = Server::new(MS, 0..0);
        let mut now = SECOND;
        let mut room = 8;
        loop {
            match window.next(now) {
                Next::Send { intended } if room > 0 => {
                    server.take(intended, now);
                    window.sent(intended, now);
                    room -= 1;
                    continue;
                }
                _ => {}
            }
            let Some((intended, sent, done)) = server.working.pop_front() else {
                break;
            };
            now = done;
            room += 1;
            window.completed(intended, sent, now);
        }
        let seconds = (now - SECOND) as f64 / 1e9;
        let mean = window.tally.in_flight_mean(seconds);
        assert!((mean / 8.0 - 1.0).abs() < 0.05, "{mean} in flight, not 8");
        assert_eq!(window.tally.response(), window.tally.service());
        assert!(window.tally.send_delay().is_empty());
    }
}
