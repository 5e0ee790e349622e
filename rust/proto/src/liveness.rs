//! Signs of life: HELLO in time, pings and their answers, and frames that make progress.

use crate::assembly::Pace;
use crate::error::{Error, Reason};
use crate::limits::Limits;
use crate::time::Time;

/// A frame of which bytes are missing.
#[derive(Clone, Copy, Debug)]
struct Partial {
    began: Time,
    bytes: usize,
}

/// What is known of the peer's life.
#[derive(Debug)]
pub(crate) struct Liveness {
    pace: Pace,
    timeout_ms: u32,
    interval_ms: u32,
    /// When HELLO must have come; `None` once it has.
    hello_by: Option<Time>,
    heard: Time,
    /// Bytes of the last input that were not consumed: seeing them again is no news.
    leftover: usize,
    partial: Option<Partial>,
    ping_at: Time,
    ping: Option<(u64, Time)>,
    pings: u64,
    rtt_ns: u64,
    /// Whether the peer's bytes have ended, so that silence means nothing.
    ended: bool,
}

impl Liveness {
    /// A peer that has said nothing.
    #[must_use]
    pub(crate) fn new(limits: &Limits, pace: Pace, now: Time) -> Self {
        Self {
            pace,
            timeout_ms: limits.liveness_timeout_ms,
            interval_ms: limits.ping_interval_ms,
            hello_by: Some(now.after_millis(limits.hello_timeout_ms.into())),
            heard: now,
            leftover: 0,
            partial: None,
            ping_at: now,
            ping: None,
            pings: 0,
            rtt_ns: 0,
            ended: false,
        }
    }

    /// HELLO has come from a peer that takes us for dead after `timeout_ms` of silence.
    pub(crate) fn greet(&mut self, timeout_ms: u32, now: Time) {
        self.interval_ms = self.interval_ms.min(timeout_ms / 3);
        self.hello_by = None;
        self.ping_at = now.after_millis(self.interval_ms.into());
    }

    /// Input of `bytes` is there.
    #[inline]
    pub(crate) fn hear(&mut self, now: Time, bytes: usize) {
        if bytes > self.leftover {
            self.heard = now;
        }
    }

    /// Input was read: `leftover` bytes remain. They are part of one frame when `partial` says so,
    /// and of the same one as before unless `progress` was made.
    #[inline]
    pub(crate) fn leave(&mut self, now: Time, leftover: usize, partial: bool, progress: bool) {
        self.leftover = leftover;
        if !partial || leftover == 0 {
            self.partial = None;
            return;
        }
        let before = self.partial.filter(|_| !progress);
        let began = before.map_or(now, |partial| partial.began);
        self.partial = Some(Partial {
            began,
            bytes: leftover,
        });
    }

    /// The peer's bytes have ended.
    pub(crate) fn end(&mut self) {
        (self.ended, self.partial, self.hello_by) = (true, None, None);
    }

    /// The last `nanos` were not the peer's.
    pub(crate) fn forgive(&mut self, nanos: u64, now: Time) {
        self.heard = self.heard.after_nanos(nanos).min(now);
        self.hello_by = self.hello_by.map(|by| by.after_nanos(nanos));
        if let Some(partial) = &mut self.partial {
            partial.began = partial.began.after_nanos(nanos).min(now);
        }
    }

    /// The next time at which something here is due.
    #[must_use]
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        if self.ended {
            return None;
        }
        let partial = self
            .partial
            .map(|partial| self.pace.deadline(partial.began, partial.bytes));
        let next = self
            .hello_by
            .unwrap_or_else(|| self.ping_at.min(self.silent_at()));
        Some(partial.map_or(next, |partial| partial.min(next)))
    }

    fn silent_at(&self) -> Time {
        self.heard.after_millis(self.timeout_ms.into())
    }

    /// Ends in an error when the peer is silent or slow.
    pub(crate) fn check(&self, now: Time) -> Result<(), Error> {
        if self.ended {
            return Ok(());
        }
        if self.hello_by.is_some_and(|by| by <= now) {
            return Err(Error::new(Reason::NoHello, "no HELLO came in time"));
        }
        if self.hello_by.is_none() && self.silent_at() <= now {
            return Err(Error::new(
                Reason::Silent,
                "nothing was heard of the peer for too long",
            ));
        }
        let deadline = |partial: Partial| self.pace.deadline(partial.began, partial.bytes);
        if self.partial.is_some_and(|partial| deadline(partial) <= now) {
            return Err(Error::new(Reason::SlowFrame, "a frame comes too slowly"));
        }
        Ok(())
    }

    /// Whether the time between two pings has passed. The caller then asks for the ping to send.
    #[must_use]
    pub(crate) fn is_ping_due(&self, now: Time) -> bool {
        let watched = self.hello_by.is_none() && !self.ended;
        watched && self.ping_at <= now
    }

    /// The value of the ping to send now, unless the last one is not answered.
    pub(crate) fn ping(&mut self, now: Time) -> Option<u64> {
        self.ping_at = now.after_millis(self.interval_ms.into());
        if self.ping.is_some() {
            return None;
        }
        self.pings += 1;
        self.ping = Some((self.pings, now));
        Some(self.pings)
    }

    /// A pong has come; `false` when it answers nothing.
    pub(crate) fn pong(&mut self, value: u64, now: Time) -> bool {
        let Some((_, sent)) = self.ping.take_if(|(waiting, _)| *waiting == value) else {
            return false;
        };
        let sample = now.saturating_since(sent).max(1);
        self.rtt_ns = match self.rtt_ns {
            0 => sample,
            rtt => rtt - rtt / 8 + sample / 8,
        };
        true
    }

    /// The smoothed round-trip time in nanoseconds, 0 while unknown.
    #[must_use]
    pub(crate) const fn rtt_ns(&self) -> u64 {
        self.rtt_ns
    }
}
