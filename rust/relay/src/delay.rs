//! A line that gives back what was put in after a fixed time, and not earlier.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

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

    /// The oldest stretch whose time has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Held> {
        let due = self.held.front().is_some_and(|(at, _)| *at <= now);
        due.then(|| self.held.pop_front())
            .flatten()
            .map(|(_, held)| held)
    }

    /// Makes the descriptor readable when the oldest stretch is due, if there is any.
    pub(crate) fn arm(&mut self, now: Instant) -> io::Result<()> {
        let Some((at, _)) = self.held.front() else {
            // It may have expired in between: then there is nothing to read.
            let _ = rustix::io::read(&self.timer, &mut [0; 8]);
            return Ok(());
        };
        // A wait of zero would disarm it.
        let wait = at
            .saturating_duration_since(now)
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
}
