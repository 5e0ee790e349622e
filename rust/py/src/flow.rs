//! What moves on a stream: messages, credit, ends, and whom each of them wakes.

use std::sync::{MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use ztransport_engine::{PeerKey, Refusal};
use ztransport_proto::fault::{FaultCode, Retry};

use crate::convert;
use crate::core::Engine;
use crate::errors::{self, Fault};
use crate::link::Link;
use crate::message::Key;
use crate::stream::{State, StreamCore, not_open};
use crate::waiters::Waiter;

impl StreamCore {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.link.get().engine.get()
    }

    pub(crate) fn link(&self) -> &Link {
        self.link.get()
    }

    pub(crate) fn name<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyString> {
        self.subject.bind(py)
    }

    /// The peer by the key it had when the stream was opened.
    pub(crate) fn peer_key(&self) -> PeerKey {
        let opened_at = self.opened_at.get().copied();
        opened_at.unwrap_or_else(|| self.link.get().peer())
    }

    /// Sends a message unless there is no room.
    pub(crate) fn send(&self, payload: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = payload.py();
        let body = convert::body(payload)?;
        let Some(id) = self.state().id else {
            return Err(not_open(py));
        };
        let mut core = self.engine().lock(py)?;
        match core.engine.stream_send(self.peer_key(), id, body) {
            Ok(()) => {
                self.state().sent += 1;
                self.engine().finish(py, core)?;
                Ok(true)
            }
            Err(Refusal::WouldBlock) => {
                self.state().refused = true;
                Ok(false)
            }
            Err(refusal) => {
                drop(core);
                self.check_open(py)?;
                Err(errors::refusal(py, &refusal))
            }
        }
    }

    pub(crate) fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.state();
        match &state.failure {
            Some(error) => Err(error.clone_ref(py)),
            None if state.id.is_none() => Err(not_open(py)),
            None if state.finished => Err(errors::closed(py, "stream's sending side")),
            None => Ok(()),
        }
    }

    pub(crate) fn park(
        &self,
        py: Python<'_>,
        note: impl FnOnce(&mut State, u64),
    ) -> PyResult<Py<Waiter>> {
        let engine = self.link.get().engine.bind(py);
        let sleeper = engine.get().host(py).sleeper(py)?;
        let mut core = engine.get().lock(py)?;
        let waiter = core.waiters.park(engine, sleeper)?;
        note(&mut self.state(), waiter.get().token());
        Ok(waiter)
    }

    /// What was handed out before is consumed now.
    pub(crate) fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.state();
        let (count, bytes) = std::mem::take(&mut state.taken);
        let Some(id) = state.id.filter(|_| count > 0) else {
            return Ok(());
        };
        state.unreported = true;
        state.consumed += u64::from(count);
        drop(state);
        let mut core = self.engine().lock(py)?;
        core.engine
            .release_stream(self.peer_key(), id, count, bytes);
        self.engine().finish(py, core)
    }

    /// Before the reader sleeps the peer learns of all that was consumed.
    pub(crate) fn report_credit(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.state();
        let unreported = std::mem::take(&mut state.unreported);
        let Some(id) = state.id.filter(|_| unreported) else {
            return Ok(());
        };
        drop(state);
        let mut core = self.engine().lock(py)?;
        core.engine.flush_credit_stream(self.peer_key(), id);
        self.engine().finish(py, core)
    }

    /// Gives the stream up, both ways.
    pub(crate) fn reset(&self, py: Python<'_>, why: &Fault) -> PyResult<()> {
        let mut core = self.engine().lock(py)?;
        let mut state = self.state();
        state
            .failure
            .get_or_insert_with(|| errors::closed(py, "stream"));
        let Some(id) = state.id else { return Ok(()) };
        drop(state);
        let Some(own) = core.streams.remove(&(self.peer_key(), id)) else {
            return Ok(());
        };
        core.engine
            .stream_reset(self.peer_key(), id, why.code, &why.text);
        self.engine().finish(py, core)?;
        drop(own);
        self.wake_everyone(py)
    }

    /// This side sends no more.
    pub(crate) fn finish_sending(&self, py: Python<'_>) -> PyResult<()> {
        let mut core = self.engine().lock(py)?;
        let mut state = self.state();
        if let (Some(id), false) = (state.id, state.finished) {
            state.finished = true;
            // A stream that was reset meanwhile needs no end.
            core.engine.stream_finish(self.peer_key(), id).ok();
        }
        drop(state);
        self.engine().finish(py, core)
    }

    /// Ends a handler's stream in order: it has sent all it wants to.
    pub(crate) fn end_handler(&self, py: Python<'_>) -> PyResult<()> {
        self.finish_sending(py)?;
        self.state().left = true;
        self.drop_unread(py)
    }

    pub(crate) fn drop_unread(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.state();
        if !state.held.is_empty() {
            drop(state);
            let text = "messages were left without acknowledgement";
            let why = Fault::new(FaultCode::Cancelled, Retry::Unknown, text);
            return self.reset(py, &why);
        }
        let unread = std::mem::take(&mut state.chunks);
        let bytes: u64 = unread
            .iter()
            .map(|chunk| chunk.bind(py).as_bytes().len() as u64)
            .sum();
        state.taken.0 += unread.len() as u32;
        state.taken.1 += bytes;
        drop(state);
        self.give_back(py)?;
        self.report_credit(py)
    }

    /// Wakes whoever waits for anything of this stream.
    pub(crate) fn wake_everyone(&self, py: Python<'_>) -> PyResult<()> {
        let mut core = self.engine().lock(py)?;
        let mut state = self.state();
        let mut tokens = std::mem::take(&mut state.room);
        tokens.append(&mut state.acknowledgements);
        tokens.extend(state.reader.take());
        drop(state);
        let waiting = core.waiters.take_signals(&mut tokens);
        drop(core);
        self.engine().resume_all(py, waiting)
    }

    pub(crate) fn wake_room(&self, py: Python<'_>) -> PyResult<()> {
        let mut core = self.engine().lock(py)?;
        let mut state = self.state();
        state.refused = false;
        let waiting = core.waiters.take_signals(&mut state.room);
        drop(state);
        drop(core);
        self.engine().resume_all(py, waiting)
    }

    pub(crate) fn wake_reader(&self, py: Python<'_>) -> PyResult<()> {
        let Some(token) = self.state().reader.take() else {
            return Ok(());
        };
        let waiter = self.engine().lock(py)?.waiters.take_signal(token);
        self.engine().resume_all(py, waiter.into_iter().collect())
    }

    /// The engine knows the stream by this id from now on.
    pub(crate) fn begin(&self, key: Key) {
        self.opened_at.get_or_init(|| key.0);
        self.state().id = Some(key.1);
    }

    /// The peer sends no more.
    pub(crate) fn end_received(&self, py: Python<'_>) -> PyResult<()> {
        self.state().ended = true;
        self.wake_reader(py)
    }

    /// Both sides have ended and all is consumed.
    pub(crate) fn closed(&self, py: Python<'_>) -> PyResult<()> {
        let sent = self.state().sent;
        self.acknowledge(py, sent)
    }

    pub(crate) fn fail(&self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        self.state().failure.get_or_insert(error);
        self.wake_everyone(py)
    }

    pub(crate) fn received(&self, py: Python<'_>, chunk: Py<PyBytes>) -> PyResult<()> {
        let mut state = self.state();
        if state.left {
            drop(state);
            let why = Fault::new(
                FaultCode::Cancelled,
                Retry::Unknown,
                "nobody reads this stream",
            );
            return self.reset(py, &why);
        }
        state.chunks.push_back(chunk);
        drop(state);
        self.wake_reader(py)
    }

    pub(crate) fn acknowledge(&self, py: Python<'_>, count: u64) -> PyResult<()> {
        let mut core = self.engine().lock(py)?;
        let mut state = self.state();
        state.acknowledged = state.acknowledged.max(count);
        let waiting = core.waiters.take_signals(&mut state.acknowledgements);
        drop(state);
        drop(core);
        self.engine().resume_all(py, waiting)
    }
}
