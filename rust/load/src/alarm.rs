//! The end of a wait as a descriptor, set once for each send.
//!
//! A time-out given with every wait would be set and taken back for every message that arrives
//! before it. Where the kernel is a guest, each of these leaves it, for longer than a send takes.
//! And a wait's time-out may be gathered with others that end within 50 microseconds of it, more
//! than the gap between two sends; this is not.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Readable from a time of [`now_nanos`](crate::clock::now_nanos) on.
pub(crate) struct Alarm {
    descriptor: OwnedFd,
    at: Option<u64>,
}

impl Alarm {
    pub(crate) fn new() -> Result<Alarm, String> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)
            .map_err(|error| format!("the kernel gives no timer: {error}"))?;
        Ok(Alarm {
            descriptor,
            at: None,
        })
    }

    /// Readable from then on, or never. Setting what is set already costs nothing.
    pub(crate) fn set(&mut self, at: Option<u64>) -> Result<(), String> {
        if self.at == at {
            return Ok(());
        }
        let timer = Itimerspec {
            it_interval: time(0),
            // A time of 0 would take the timer off.
            it_value: at.map_or(time(0), |at| time(at.max(1))),
        };
        timerfd_settime(&self.descriptor, TimerfdTimerFlags::ABSTIME, &timer)
            .map_err(|error| format!("the kernel sets no timer: {error}"))?;
        self.at = at;
        Ok(())
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn time(nanos: u64) -> Timespec {
    Timespec {
        tv_sec: (nanos / NANOS_PER_SECOND) as i64,
        tv_nsec: (nanos % NANOS_PER_SECOND) as i64,
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, poll};

    use super::*;
    use crate::clock::now_nanos;

    fn is_readable(alarm: &Alarm) -> bool {
        let now = time(0);
        poll(&mut [PollFd::new(alarm, PollFlags::IN)], Some(&now)) == Ok(1)
    }

    #[test]
    fn an_alarm_is_readable_from_its_time_on_and_until_it_is_set_anew() {
        let mut alarm = Alarm::new().unwrap();
        assert!(!is_readable(&alarm));
        let past = now_nanos() - 1;
        for (at, readable) in [
            (Some(past), true),
            (Some(u64::MAX / 2), false),
            (Some(0), true),
        ] {
            alarm.set(at).unwrap();
            assert_eq!(is_readable(&alarm), readable, "{at:?}");
            alarm.set(at).unwrap();
            assert_eq!(is_readable(&alarm), readable, "{at:?} again");
        }
        alarm.set(None).unwrap();
        assert!(!is_readable(&alarm));
    }
}
