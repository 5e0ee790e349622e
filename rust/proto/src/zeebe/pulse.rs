//! Signs of life: the handshake in time, silence where heartbeats are agreed, and frames that make
//! progress.

use crate::assembly::Pace;
use crate::error::{Error, Reason};
use crate::limits::Limits;
use crate::time::Time;

/// A frame of which bytes are missing.
#[derive(Clone, Copy, Debug)]
struct Partial {
    /// Which frame it is, counted from the start.
    frame: u64,
    began: Time,
    bytes: usize,
}

/// What is known of the peer's life.
#[derive(Debug)]
pub(super) struct Pulse {
    pace: Pace,
    /// When the handshake must have come; `None` once it has.
    handshake_by: Option<Time>,
    heard: Time,
    /// Bytes of the last input that were not consumed: seeing them again is no news.
    leftover: usize,
    partial: Option<Partial>,
    /// Since when nothing is read because the window is full.
    paused: Option<Time>,
    ended: bool,
}

impl Pulse {
    pub(super) fn new(limits: &Limits, now: Time) -> Self {
        let pace = Pace {
            grace_ms: limits.assembly_grace_ms,
            bytes_per_second_min: limits.assembly_bytes_per_second_min,
        };
        Self {
            pace,
            handshake_by: Some(now.after_millis(limits.hello_timeout_ms.into())),
            heard: now,
            leftover: 0,
            partial: None,
            paused: None,
            ended: false,
        }
    }

    /// The handshake has come.
    pub(super) fn greet(&mut self) {
        self.handshake_by = None;
    }

    /// Input of `bytes` is there.
    #[inline]
    pub(super) fn hear(&mut self, now: Time, bytes: usize) {
        if bytes > self.leftover {
            self.heard = now;
        }
    }

    /// Input was read: `leftover` bytes remain; of frame number `frame` so many bytes have come.
    #[inline]
    pub(super) fn leave(&mut self, now: Time, leftover: usize, frame: u64, bytes: usize) {
        self.leftover = leftover;
        let before = self.partial.filter(|partial| partial.frame == frame);
        let began = before.map_or(now, |partial| partial.began);
        self.partial = (bytes > 0).then_some(Partial {
            frame,
            began,
            bytes,
        });
    }

    /// Reading stops or goes on: the time between is not the peer's.
    pub(super) fn pause(&mut self, now: Time, paused: bool) {
        if paused {
            self.paused.get_or_insert(now);
        } else if let Some(since) = self.paused.take() {
            self.forgive(now.saturating_since(since), now);
        }
    }

    /// The peer's bytes have ended.
    pub(super) fn end(&mut self) {
        (self.ended, self.partial, self.handshake_by) = (true, None, None);
    }

    /// The last `nanos` were not the peer's.
    pub(super) fn forgive(&mut self, nanos: u64, now: Time) {
        self.heard = self.heard.after_nanos(nanos).min(now);
        self.handshake_by = self.handshake_by.map(|by| by.after_nanos(nanos));
        if let Some(partial) = &mut self.partial {
            partial.began = partial.began.after_nanos(nanos).min(now);
        }
    }

    fn slow_at(&self) -> Option<Time> {
        let partial = self.partial?;
        Some(self.pace.deadline(partial.began, partial.bytes))
    }

    fn silent_at(&self, timeout_ms: Option<u32>) -> Option<Time> {
        Some(self.heard.after_millis(timeout_ms?.into()))
    }

    /// The next time at which something here is due.
    pub(super) fn next_deadline(&self, timeout_ms: Option<u32>) -> Option<Time> {
        if self.ended || self.paused.is_some() {
            return None;
        }
        let all = [
            self.handshake_by,
            self.slow_at(),
            self.silent_at(timeout_ms),
        ];
        all.into_iter().flatten().min()
    }

    /// Ends in an error when the peer is silent or slow.
    pub(super) fn check(&self, now: Time, timeout_ms: Option<u32>) -> Result<(), Error> {
        let is_due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        if self.ended || self.paused.is_some() {
            return Ok(());
        }
        if is_due(self.handshake_by) {
            return Err(Error::new(
                Reason::NoHello,
                "no Zeebe handshake came in time",
            ));
        }
        if is_due(self.silent_at(timeout_ms)) {
            let detail = "no heartbeat and no other byte of the peer came for too long";
            return Err(Error::new(Reason::Silent, detail));
        }
        if is_due(self.slow_at()) {
            return Err(Error::new(Reason::SlowFrame, "a frame comes too slowly"));
        }
        Ok(())
    }
}
