//! One timer descriptor for all deadlines, armed only when the earliest one moves earlier.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use ztransport_proto::time::Time;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Whose deadline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// A connection, by slot and serial.
    Link(u32, u32),
    /// A peer, by slot and serial.
    Peer(u32, u32),
    /// A paused listener.
    Listener(u32),
    /// Nobody: the descriptor only has to become readable.
    Wake,
}

/// The clock of the engine and the deadlines on it.
#[derive(Debug)]
pub(crate) struct Timer {
    epoch: Instant,
    descriptor: OwnedFd,
    deadlines: BinaryHeap<Reverse<(Time, Owner)>>,
    armed: Option<Time>,
}

impl Timer {
    pub(crate) fn new() -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Timer {
            epoch: Instant::now(),
            descriptor: timerfd_create(TimerfdClockId::Monotonic, flags)?,
            deadlines: BinaryHeap::new(),
            armed: None,
        })
    }

    pub(crate) fn now(&self) -> Time {
        // An engine that ran for 584 years is the only one whose clock would be cut off here.
        Time::from_nanos(self.epoch.elapsed().as_nanos() as u64)
    }

    /// Adds a deadline. Deadlines are not taken back: an owner checks whether one still holds.
    pub(crate) fn schedule(&mut self, at: Time, owner: Owner) {
        self.deadlines.push(Reverse((at, owner)));
    }

    /// The owner of the earliest deadline that has passed.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Owner> {
        let due = matches!(self.deadlines.peek(), Some(Reverse((at, _))) if *at <= now);
        due.then(|| self.deadlines.pop())
            .flatten()
            .map(|Reverse((_, owner))| owner)
    }

    /// Makes the descriptor readable when the earliest deadline passes.
    pub(crate) fn arm(&mut self, now: Time) -> io::Result<()> {
        let Some(Reverse((earliest, _))) = self.deadlines.peek() else {
            return Ok(());
        };
        let armed_in_time = self
            .armed
            .is_some_and(|armed| armed <= *earliest && armed > now);
        if armed_in_time {
            return Ok(());
        }
        let wait_nanos = earliest.as_nanos().saturating_sub(now.as_nanos()).max(1);
        self.armed = Some(*earliest);
        set(self.descriptor.as_fd(), wait_nanos)
    }

    /// Takes the wake-up off the descriptor.
    pub(crate) fn acknowledge(&mut self) {
        let mut expirations = [0; 8];
        // It may have been re-armed in between: then there is nothing to read.
        let _ = rustix::io::read(&self.descriptor, &mut expirations);
        self.armed = None;
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn set(descriptor: BorrowedFd<'_>, wait_nanos: u64) -> io::Result<()> {
    let value = Timespec {
        tv_sec: (wait_nanos / NANOS_PER_SECOND) as i64,
        tv_nsec: (wait_nanos % NANOS_PER_SECOND) as i64,
    };
    let once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let timer = Itimerspec {
        it_interval: once,
        it_value: value,
    };
    timerfd_settime(descriptor, TimerfdTimerFlags::empty(), &timer)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_deadlines_come_in_order() {
        let mut timer = Timer::new().unwrap();
        for (at, slot) in [(30, 3), (10, 1), (20, 2)] {
            timer.schedule(Time::from_nanos(at), Owner::Peer(slot, 0));
        }
        let due: Vec<_> = std::iter::from_fn(|| timer.pop_due(Time::from_nanos(25))).collect();
        assert_eq!(due, [Owner::Peer(1, 0), Owner::Peer(2, 0)]);
    }

    #[test]
    fn arming_is_skipped_while_an_earlier_wake_up_stands() {
        let mut timer = Timer::new().unwrap();
        timer.schedule(Time::from_nanos(1_000), Owner::Listener(0));
        timer.arm(Time::from_nanos(0)).unwrap();
        timer.schedule(Time::from_nanos(2_000), Owner::Listener(1));
        timer.arm(Time::from_nanos(0)).unwrap();
        assert_eq!(timer.armed, Some(Time::from_nanos(1_000)));
    }
}
