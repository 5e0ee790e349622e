//! A line that gives back what was put in after a fixed time, and not earlier.

use std::collections::VecDeque;
use std::hint;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// How long before its time a stretch is waited for awake: an idle processor of a virtual machine
/// takes some 50 microseconds to answer a timer, which would be added to the delay.
const AWAKE_BEFORE: Duration = Duration::from_micros(100);

/// A stretch of one connection's stream; without bytes it is the stream's end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) slot: usize,
    pub(crate) serial: u64,
    pub(crate) bytes: Vec<u8>,
}

/// First in, first out, each `delay` after it came in.
pub(crate) struct Line {
    delay: Duration,
    held: VecDeque<(Instant, Held)>,
    timer: OwnedFd,
}

impl Line {
    pub(crate) fn new(delay: Duration) -> io::Result<Line> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Line {
            delay,
            held: VecDeque::new(),
            timer: timerfd_create(TimerfdClockId::Monotonic, flags)?,
        })
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.delay.is_zero()
    }

    pub(crate) fn put(&mut self, now: Instant, held: Held) -> io::Result<()> {
        self.held.push_back((now + self.delay, held));
        if self.held.len() == 1 {
            self.arm(now)?;
        }
        Ok(())
    }

    /// Stays awake until the oldest stretch is due, if that is soon; returns the time.
    pub(crate) fn await_due(&self) -> Instant {
        let now = Instant::now();
        match self.held.front() {
            Some((at, _)) if *at <= now + AWAKE_BEFORE => awake_until(*at),
            _ => now,
        }
    }

    /// The oldest stretch whose time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Held> {
        let due = self.held.front().is_some_and(|(at, _)| *at <= now);
        due.then(|| self.held.pop_front())
            .flatten()
            .map(|(_, held)| held)
    }

    /// Makes the descriptor readable shortly before the oldest stretch is due, if there is any.
    pub(crate) fn arm(&mut self, now: Instant) -> io::Result<()> {
        let Some((at, _)) = self.held.front() else {
            // It may have expired in between: then there is nothing to read.
            let _ = rustix::io::read(&self.timer, &mut [0; 8]);
            return Ok(());
        };
        // A wait of zero would disarm it.
        let wait = at
            .saturating_duration_since(now + AWAKE_BEFORE)
            .max(Duration::from_nanos(1));
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let value = Itimerspec {
            it_interval: zero,
            it_value: Timespec {
                tv_sec: wait.as_secs() as i64,
                tv_nsec: i64::from(wait.subsec_nanos()),
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value)?;
        Ok(())
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

fn awake_until(at: Instant) -> Instant {
    loop {
        let now = Instant::now();
        if now >= at {
            return now;
        }
        hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(slot: usize) -> Held {
        Held {
            slot,
            serial: 0,
            bytes: vec![0],
        }
    }

    #[test]
    fn nothing_leaves_before_its_time_and_the_order_stays() {
        let start = Instant::now();
        let mut line = Line::new(Duration::from_micros(200)).unwrap();
        line.put(start, held(1)).unwrap();
        line.put(start + Duration::from_micros(50), held(2))
            .unwrap();
        assert_eq!(line.pop_due(start + Duration::from_micros(199)), None);
        let at = start + Duration::from_micros(200);
        assert_eq!(line.pop_due(at), Some(held(1)));
        assert_eq!(line.pop_due(at), None);
        assert_eq!(line.pop_due(at + Duration::from_micros(50)), Some(held(2)));
    }

    #[test]
    fn what_is_due_soon_is_waited_for_awake_and_what_is_not_is_left_to_the_timer() {
        let mut line = Line::new(Duration::from_micros(50)).unwrap();
        let start = Instant::now();
        line.put(start, held(1)).unwrap();
        let due = line.await_due();
        assert!(due >= start + Duration::from_micros(50));
        assert_eq!(line.pop_due(due), Some(held(1)));

        let mut line = Line::new(Duration::from_secs(3600)).unwrap();
        line.put(Instant::now(), held(2)).unwrap();
        let now = line.await_due();
        assert_eq!(line.pop_due(now), None);
    }
}
