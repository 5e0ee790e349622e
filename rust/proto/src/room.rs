//! Who was refused for want of room, and when to tell them that it is there.

use crate::event::Event;
use crate::time::Time;

/// Who was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A message on our subject.
    Subject(u16),
    /// A message on a stream.
    Stream(u64),
    /// A request.
    Request,
}

impl Refused {
    fn event(self) -> Event {
        match self {
            Self::Subject(subject) => Event::Room { subject },
            Self::Stream(id) => Event::StreamRoom { id },
            Self::Request => Event::RequestRoom,
        }
    }
}

/// Everyone who was refused; each is told once.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Refused because the output was full.
    output: Vec<Refused>,
    /// Refused because messages without content must not come faster.
    empty: Vec<Refused>,
    empty_at: Option<Time>,
    /// Bytes of a request that did not fit into the window.
    pub(crate) request_bytes: Option<usize>,
    /// Bytes of a request that could not start among the fragments of others.
    pub(crate) start_bytes: Option<usize>,
}

impl Room {
    /// The output was full.
    pub(crate) fn wait_for_output(&mut self, refused: Refused) {
        if !self.output.contains(&refused) {
            self.output.push(refused);
        }
    }

    /// A message without content must wait until `at`.
    pub(crate) fn wait_for_time(&mut self, refused: Refused, at: Time) {
        self.empty_at = Some(at);
        if !self.empty.contains(&refused) {
            self.empty.push(refused);
        }
    }

    /// Whether somebody waits for the output.
    #[inline]
    #[must_use]
    pub(crate) fn waits_for_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// When messages without content may be sent again, if somebody waits for that.
    #[inline]
    #[must_use]
    pub(crate) const fn next_deadline(&self) -> Option<Time> {
        self.empty_at
    }

    /// Tells those who waited for the output.
    pub(crate) fn tell_output(&mut self, events: &mut Vec<Event>) {
        events.extend(self.output.drain(..).map(Refused::event));
    }

    /// Tells those whose time has come.
    pub(crate) fn tell_time(&mut self, now: Time, events: &mut Vec<Event>) {
        if self.empty_at.take_if(|at| *at <= now).is_some() {
            events.extend(self.empty.drain(..).map(Refused::event));
        }
    }

    /// A stream is gone: nothing more is said of it.
    pub(crate) fn forget_stream(&mut self, id: u64) {
        self.output
            .retain(|refused| *refused != Refused::Stream(id));
        self.empty.retain(|refused| *refused != Refused::Stream(id));
    }
}
