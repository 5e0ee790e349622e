//! One turn: everything that is ready is read and handed out, within bounds.

use crate::batch::{Batch, Poll};
use crate::error::Failure;
use crate::limits::{OUTPUT_AGE_NANOS_MAX, TURN_BYTES_MAX, TURN_MESSAGES_MAX, TURN_NANOS_MAX};
use crate::poller::{Ready, Source};
use crate::state::{Engine, Turn};

impl Engine {
    /// Finds the next work of this turn.
    ///
    /// Call it until it says `Idle` or `Yield`, doing the work in `batch` each time; commands may
    /// be given in between. Then call [`flush`](Engine::flush).
    ///
    /// # Errors
    /// `Os` if the poller itself fails; the engine is unusable then.
    pub fn poll(&mut self, batch: &mut Batch) -> Result<Poll, Failure> {
        batch.clear();
        self.now = self.timer.now();
        self.begin_turn();
        loop {
            if self.is_turn_over() {
                self.end_turn(batch);
                return Ok(Poll::Yield);
            }
            self.parse_rest(batch);
            if !batch.is_empty() || self.take_notices(batch) {
                return Ok(Poll::Work);
            }
            let Some(ready) = self.next_ready(batch)? else {
                if batch.is_empty() {
                    self.end_turn(batch);
                    return Ok(Poll::Idle);
                }
                return Ok(Poll::Work);
            };
            self.handle_ready(ready, batch);
            if !batch.is_empty() {
                return Ok(Poll::Work);
            }
        }
    }

    fn begin_turn(&mut self) {
        if !self.turn.active {
            self.turn = Turn {
                active: true,
                started: self.now,
                ..Turn::over()
            };
        }
    }

    fn is_turn_over(&self) -> bool {
        self.turn.bytes >= TURN_BYTES_MAX
            || self.turn.messages >= TURN_MESSAGES_MAX
            || self.now.saturating_since(self.turn.started) >= TURN_NANOS_MAX
    }

    fn end_turn(&mut self, batch: &mut Batch) {
        self.keep_rest(batch);
        let length = self.now.saturating_since(self.turn.started);
        for (_, node) in &mut self.nodes {
            node.counters.turns += 1;
            node.counters.turn_nanos_max = node.counters.turn_nanos_max.max(length);
        }
        self.turn.active = false;
        let Turn {
            messages, started, ..
        } = self.turn;
        self.idle.note_turn(messages, started, self.now);
        self.beat();
        if !self.notices.is_empty() {
            self.wake();
        }
        self.arm();
    }

    fn take_notices(&mut self, batch: &mut Batch) -> bool {
        let Some((peer, node, notice)) = self.notices.pop_front() else {
            return false;
        };
        (batch.peer, batch.node) = (peer, node);
        batch.notices.push(notice);
        // Drained notices carry no peer: the node tells them apart.
        while let Some((next, owner, _)) = self.notices.front()
            && (*next, *owner) == (peer, node)
            && let Some((_, _, notice)) = self.notices.pop_front()
        {
            batch.notices.push(notice);
        }
        true
    }

    /// The next ready source: due timers first, then links with unparsed frames, then sockets,
    /// which are asked for once in a turn.
    fn next_ready(&mut self, batch: &mut Batch) -> Result<Option<Ready>, Failure> {
        self.run_timers(batch);
        if !batch.is_empty() {
            return Ok(None);
        }
        if let Some((slot, serial)) = self.backlog.pop_front() {
            let source = Source::Link(slot, serial);
            return Ok(Some(Ready {
                source,
                readable: false,
                writable: false,
            }));
        }
        if self.ready.is_empty() && !self.turn.polled {
            self.turn.polled = true;
            self.wait_ready()?;
        }
        Ok(self.ready.pop_front())
    }

    /// Asks the poller. Established links come before handshakes, which cost more and can wait.
    fn wait_ready(&mut self) -> Result<(), Failure> {
        let mut found = std::mem::take(&mut self.ready_scratch);
        found.clear();
        self.poller
            .wait(&mut found)
            .map_err(|error| Failure::os("the poller failed", &error))?;
        for proven in [true, false] {
            for ready in &found {
                if self.is_proven(ready.source) == proven {
                    self.ready.push_back(*ready);
                }
            }
        }
        self.ready_scratch = found;
        Ok(())
    }

    fn is_proven(&self, source: Source) -> bool {
        match source {
            Source::Link(slot, _) => self
                .links
                .get(slot as usize)
                .is_some_and(|link| link.greeted),
            Source::Listener(_) => false,
            Source::Timer | Source::Gossip(_) => true,
        }
    }

    fn handle_ready(&mut self, ready: Ready, batch: &mut Batch) {
        match ready.source {
            // The due deadlines have been run already: only the wake-up is left to take.
            Source::Timer => self.timer.acknowledge(),
            Source::Listener(slot) => self.accept_ready(slot as usize),
            Source::Gossip(slot) => self.pump_membership(slot as usize),
            Source::Link(slot, serial) => {
                let current = self
                    .links
                    .get(slot as usize)
                    .is_some_and(|l| l.serial == serial);
                if current {
                    self.handle_link(slot as usize, ready, batch);
                }
            }
        }
    }

    /// Writes everything that waits, one write for each connection. Ends a turn.
    pub fn flush(&mut self) {
        self.flush_wanted = false;
        self.dirty_since = None;
        let mut dirty = std::mem::take(&mut self.dirty);
        for slot in dirty.drain(..) {
            let slot = slot as usize;
            if self.links.get(slot).is_some_and(|link| link.dirty) {
                self.links[slot].dirty = false;
                self.flush_link(slot);
                self.schedule_link(slot);
            }
        }
        self.dirty = dirty;
        if self.draining_nodes > 0 {
            self.check_drained();
        }
        if !self.turn.active {
            self.arm();
        }
    }

    /// Whether output was queued outside of a turn since this was last asked.
    pub fn wants_flush(&mut self) -> bool {
        std::mem::take(&mut self.flush_wanted)
    }

    /// Whether output has waited for longer than a turn should keep it.
    pub fn flush_overdue(&mut self) -> bool {
        self.now = self.timer.now();
        self.has_aged_output()
    }

    pub(crate) fn has_aged_output(&self) -> bool {
        self.dirty_since
            .is_some_and(|since| self.now.saturating_since(since) > OUTPUT_AGE_NANOS_MAX)
    }
}
