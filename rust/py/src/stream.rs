//! Streams: messages both ways on one subject, each way with its own credit and end.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use ztransport_engine::{Batch, Failure, PeerKey, Refusal};
use ztransport_proto::event::{Event, Metadata};
use ztransport_proto::fault::{FaultCode, Retry};

use crate::convert;
use crate::core::Engine;
use crate::errors::{self, Fault};
use crate::link::Link;
use crate::routes::Route;
use crate::waiters::Waiter;
use crate::workers;

#[derive(Default)]
struct State {
    id: Option<u64>,
    chunks: VecDeque<Py<PyBytes>>,
    /// Messages and bytes that were handed out and not given back as credit yet.
    taken: (u32, u64),
    /// Whether the peer may not know yet of all that was given back.
    unreported: bool,
    /// The peer sends no more.
    ended: bool,
    /// We send no more.
    finished: bool,
    /// Our user has left: what still arrives is for nobody.
    left: bool,
    failure: Option<PyErr>,
    sent: u64,
    acknowledged: u64,
    /// A message was refused since there last was room.
    refused: bool,
    reader: Option<u64>,
    room: Vec<u64>,
    acknowledgements: Vec<u64>,
}

/// One stream; the face's stream class is below it.
#[pyclass(frozen, subclass, module = "ztransport._ztransport")]
pub(crate) struct StreamCore {
    link: Py<Link>,
    subject: Py<PyString>,
    payload: Py<PyAny>,
    metadata: Box<[u8]>,
    state: Mutex<State>,
}

#[pymethods]
impl StreamCore {
    #[new]
    #[pyo3(signature = (peer, subject, payload, metadata = None))]
    fn new(
        peer: Py<Link>,
        subject: Py<PyString>,
        payload: Py<PyAny>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<StreamCore> {
        let metadata = convert::metadata_block(metadata)?.into_boxed_slice();
        Ok(StreamCore { link: peer, subject, payload, metadata, state: Mutex::default() })
    }

    #[getter]
    fn peer(&self, py: Python<'_>) -> Py<Link> {
        self.link.clone_ref(py)
    }

    #[getter]
    fn subject(&self, py: Python<'_>) -> Py<PyString> {
        self.subject.clone_ref(py)
    }

    /// What the stream was opened with.
    #[getter]
    fn payload(&self, py: Python<'_>) -> Py<PyAny> {
        self.payload.clone_ref(py)
    }

    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        convert::metadata_dict(py, &self.metadata)
    }

    /// Messages sent so far.
    #[getter]
    fn sent_count(&self) -> u64 {
        self.state().sent
    }

    /// Messages the peer has consumed, of those sent.
    #[getter]
    fn acknowledged_count(&self) -> u64 {
        self.state().acknowledged
    }

    /// Opens the stream at the peer.
    fn _open(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, own) = (slf.py(), slf.get());
        if own.state().id.is_some() {
            return Ok(());
        }
        let link = own.link.get();
        let payload = own.payload.bind(py);
        let subject = own.subject.bind(py).to_str()?;
        let body = convert::body(payload)?;
        let mut core = link.engine.get().lock(py)?;
        match core.engine.open_stream(link.peer, subject, body, &own.metadata) {
            Ok(id) => {
                own.state().id = Some(id);
                core.streams.insert((link.peer, id), slf.clone().unbind());
                link.engine.get().finish(py, core)
            }
            Err(refusal) => {
                core.note_refusal(link.peer, "", &refusal);
                Err(link.refused(py, core, &refusal))
            }
        }
    }

    /// Sends a message now.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room.
    fn send_nowait(&self, payload: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.send(payload)? {
            true => Ok(()),
            false => Err(errors::would_block(payload.py())),
        }
    }

    /// Sends messages until there is no room; returns how many were sent.
    fn _send_many(&self, payloads: &Bound<'_, PyList>, start: usize) -> PyResult<usize> {
        let mut sent = start;
        while let Ok(payload) = payloads.get_item(sent)
            && self.send(&payload)?
        {
            sent += 1;
        }
        Ok(sent)
    }

    /// Says that this side sends no more.
    fn _finish(&self, py: Python<'_>) -> PyResult<()> {
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

    /// The next message; none if there is none yet.
    fn _next(&self, py: Python<'_>) -> PyResult<Option<Py<PyBytes>>> {
        self.give_back(py)?;
        let mut state = self.state();
        let Some(chunk) = state.chunks.pop_front() else { return end(py, &state).map(|()| None) };
        state.taken = (1, chunk.bind(py).as_bytes().len() as u64);
        Ok(Some(chunk))
    }

    /// All messages that wait; none if there are none yet.
    fn _batch<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        self.give_back(py)?;
        let mut state = self.state();
        if state.chunks.is_empty() {
            return end(py, &state).map(|()| None);
        }
        let chunks = std::mem::take(&mut state.chunks);
        let bytes = chunks.iter().map(|chunk| chunk.bind(py).as_bytes().len() as u64).sum();
        state.taken = (chunks.len() as u32, bytes);
        drop(state);
        PyList::new(py, chunks).map(Some)
    }

    /// What to wait for until there is something to take.
    fn _readable(&self, py: Python<'_>) -> PyResult<Py<Waiter>> {
        self.report_credit(py)?;
        self.park(py, |state, token| state.reader = Some(token))
    }

    /// What to wait for before sending again after a refusal; none if there was none.
    fn _room(&self, py: Python<'_>) -> PyResult<Option<Py<Waiter>>> {
        self.check_open(py)?;
        if !self.state().refused {
            return Ok(None);
        }
        self.park(py, |state, token| state.room.push(token)).map(Some)
    }

    /// What to wait for until the peer has consumed `count` messages; none if it has.
    fn _acknowledged(&self, py: Python<'_>, count: u64) -> PyResult<Option<Py<Waiter>>> {
        let state = self.state();
        if state.acknowledged >= count {
            return Ok(None);
        }
        let failure = state.failure.as_ref().map(|error| error.clone_ref(py));
        drop(state);
        match failure {
            Some(error) => Err(error),
            None => self.park(py, |state, token| state.acknowledgements.push(token)).map(Some),
        }
    }

    /// The user leaves. A stream that is not over both ways is reset, unless the user has finished
    /// it: then it goes on until the peer ends it or sends something that nobody will read.
    fn _leave(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.state();
        let (ended, finished) = (state.ended, state.finished);
        drop(state);
        match (ended, finished) {
            (true, _) => self._finish(py)?,
            (false, true) => {}
            (false, false) => {
                let left = Fault::new(FaultCode::Cancelled, Retry::Unknown, "the user has left");
                return self.reset(py, &left);
            }
        }
        self.state().left = true;
        self.drop_unread(py)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("<Stream {:?}>", self.subject.bind(py).to_string())
    }
}

impl StreamCore {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn engine(&self) -> &Engine {
        self.link.get().engine.get()
    }

    pub(crate) fn link(&self) -> &Link {
        self.link.get()
    }

    pub(crate) fn name<'a, 'py>(&'a self, py: Python<'py>) -> &'a Bound<'py, PyString> {
        self.subject.bind(py)
    }

    fn peer_key(&self) -> PeerKey {
        self.link.get().peer
    }

    /// Sends a message unless there is no room.
    fn send(&self, payload: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = payload.py();
        let body = convert::body(payload)?;
        let Some(id) = self.state().id else { return Err(not_open(py)) };
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

    fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.state();
        match &state.failure {
            Some(error) => Err(error.clone_ref(py)),
            None if state.id.is_none() => Err(not_open(py)),
            None if state.finished => Err(errors::closed(py, "stream's sending side")),
            None => Ok(()),
        }
    }

    fn park(&self, py: Python<'_>, note: impl FnOnce(&mut State, u64)) -> PyResult<Py<Waiter>> {
        let engine = self.link.get().engine.bind(py);
        let sleeper = engine.get().host(py).sleeper(py)?;
        let mut core = engine.get().lock(py)?;
        let waiter = core.waiters.park(engine, sleeper)?;
        note(&mut self.state(), waiter.get().token());
        Ok(waiter)
    }

    /// What was handed out before is consumed now.
    fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.state();
        let (count, bytes) = std::mem::take(&mut state.taken);
        let Some(id) = state.id.filter(|_| count > 0) else { return Ok(()) };
        state.unreported = true;
        drop(state);
        let mut core = self.engine().lock(py)?;
        core.engine.release_stream(self.peer_key(), id, count, bytes);
        self.engine().finish(py, core)
    }

    /// Before the reader sleeps the peer learns of all that was consumed.
    fn report_credit(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.state();
        let unreported = std::mem::take(&mut state.unreported);
        let Some(id) = state.id.filter(|_| unreported) else { return Ok(()) };
        drop(state);
        let mut core = self.engine().lock(py)?;
        core.engine.flush_credit_stream(self.peer_key(), id);
        self.engine().finish(py, core)
    }

    /// Gives the stream up, both ways.
    pub(crate) fn reset(&self, py: Python<'_>, why: &Fault) -> PyResult<()> {
        let mut core = self.engine().lock(py)?;
        let mut state = self.state();
        state.failure.get_or_insert_with(|| errors::closed(py, "stream"));
        let Some(id) = state.id else { return Ok(()) };
        drop(state);
        let Some(own) = core.streams.remove(&(self.peer_key(), id)) else { return Ok(()) };
        core.engine.stream_reset(self.peer_key(), id, why.code, &why.text);
        self.engine().finish(py, core)?;
        drop(own);
        self.wake_everyone(py)
    }

    /// Ends a handler's stream in order: it has sent all it wants to.
    pub(crate) fn end_handler(&self, py: Python<'_>) -> PyResult<()> {
        self._finish(py)?;
        self.state().left = true;
        self.drop_unread(py)
    }

    fn drop_unread(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.state();
        let unread = std::mem::take(&mut state.chunks);
        let bytes: u64 = unread.iter().map(|chunk| chunk.bind(py).as_bytes().len() as u64).sum();
        state.taken.0 += unread.len() as u32;
        state.taken.1 += bytes;
        drop(state);
        self.give_back(py)?;
        self.report_credit(py)
    }

    /// Wakes whoever waits for anything of this stream.
    fn wake_everyone(&self, py: Python<'_>) -> PyResult<()> {
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

    fn wake_reader(&self, py: Python<'_>) -> PyResult<()> {
        let Some(token) = self.state().reader.take() else { return Ok(()) };
        let waiter = self.engine().lock(py)?.waiters.take_signal(token);
        self.engine().resume_all(py, waiter.into_iter().collect())
    }

    fn fail(&self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        self.state().failure.get_or_insert(error);
        self.wake_everyone(py)
    }

    fn received(&self, py: Python<'_>, chunk: Py<PyBytes>) -> PyResult<()> {
        let mut state = self.state();
        if state.left {
            drop(state);
            let why = Fault::new(FaultCode::Cancelled, Retry::Unknown, "nobody reads this stream");
            return self.reset(py, &why);
        }
        state.chunks.push_back(chunk);
        drop(state);
        self.wake_reader(py)
    }

    fn acknowledge(&self, py: Python<'_>, count: u64) -> PyResult<()> {
        let mut core = self.engine().lock(py)?;
        let mut state = self.state();
        state.acknowledged = state.acknowledged.max(count);
        let waiting = core.waiters.take_signals(&mut state.acknowledgements);
        drop(state);
        drop(core);
        self.engine().resume_all(py, waiting)
    }
}

fn not_open(py: Python<'_>) -> PyErr {
    errors::configuration(py, "use the stream inside its `async with` block")
}

/// Why there is nothing more to take: the end, or a failure. Fine if there may be more later.
fn end(py: Python<'_>, state: &State) -> PyResult<()> {
    match &state.failure {
        _ if state.ended => Err(PyStopAsyncIteration::new_err(())),
        Some(error) => Err(error.clone_ref(py)),
        None if state.id.is_none() => Err(not_open(py)),
        None => Ok(()),
    }
}

/// A peer opened a stream: its handler gets it, or the peer is told that there is none.
pub(crate) fn accept(
    py: Python<'_>,
    link: &Py<Link>,
    route: &Route,
    id: u64,
    payload: Py<PyBytes>,
    metadata: Option<Metadata>,
) -> PyResult<()> {
    let own = link.get();
    let mut core = own.engine.get().lock(py)?;
    let class = core.nodes.get(&own.node).map(|node| node.stream_class.clone_ref(py));
    let (Some(handler), Some(class)) = (&route.stream, class) else {
        let text = format!("no stream handler for {}", route.subject.bind(py));
        core.engine.stream_reset(own.peer, id, FaultCode::NoHandler, &text);
        return Ok(());
    };
    drop(core);
    let pairs = metadata.map(|block| convert::metadata_dict(py, &block)).transpose()?;
    let made = class.bind(py).call1((link, &route.subject, payload, pairs))?;
    let stream = made.cast_into::<StreamCore>()?;
    stream.get().state().id = Some(id);
    let mut core = own.engine.get().lock(py)?;
    core.streams.insert((own.peer, id), stream.clone().unbind());
    drop(core);
    workers::begin_stream(own.engine.bind(py), handler, &stream)
}

/// Acts on what happened to a stream; what belongs to none that is known is over.
pub(crate) fn handle(
    engine: &Bound<'_, Engine>,
    peer: PeerKey,
    batch: &Batch,
    event: Event,
) -> PyResult<()> {
    let py = engine.py();
    match event {
        Event::StreamData { id, payload } => match find(engine, peer, id)? {
            Some(stream) => stream.get().received(py, PyBytes::new(py, batch.bytes(&payload)).unbind()),
            None => Ok(()),
        },
        Event::StreamEnd { id } => with(engine, peer, id, |stream| {
            stream.state().ended = true;
            stream.wake_reader(py)
        }),
        Event::StreamRoom { id } => with(engine, peer, id, |stream| stream.wake_room(py)),
        Event::StreamAcknowledged { id, count } => {
            with(engine, peer, id, |stream| stream.acknowledge(py, count))
        }
        Event::StreamReset { id, code, text } => {
            let text = convert::text(batch.bytes(&text));
            let error = errors::fault(py, code, Retry::Unknown, &text);
            forget(engine, peer, id)?.map_or(Ok(()), |stream| stream.get().fail(py, error))
        }
        Event::StreamClosed { id } => {
            let closed = |stream: Py<StreamCore>| {
                let sent = stream.get().state().sent;
                stream.get().acknowledge(py, sent)
            };
            forget(engine, peer, id)?.map_or(Ok(()), closed)
        }
        _ => Ok(()),
    }
}

impl StreamCore {
    fn wake_room(&self, py: Python<'_>) -> PyResult<()> {
        let mut core = self.engine().lock(py)?;
        let mut state = self.state();
        state.refused = false;
        let waiting = core.waiters.take_signals(&mut state.room);
        drop(state);
        drop(core);
        self.engine().resume_all(py, waiting)
    }
}

fn find(engine: &Bound<'_, Engine>, peer: PeerKey, id: u64) -> PyResult<Option<Py<StreamCore>>> {
    let core = engine.get().lock(engine.py())?;
    Ok(core.streams.get(&(peer, id)).map(|stream| stream.clone_ref(engine.py())))
}

fn with(
    engine: &Bound<'_, Engine>,
    peer: PeerKey,
    id: u64,
    act: impl FnOnce(&StreamCore) -> PyResult<()>,
) -> PyResult<()> {
    find(engine, peer, id)?.map_or(Ok(()), |stream| act(stream.get()))
}

fn forget(engine: &Bound<'_, Engine>, peer: PeerKey, id: u64) -> PyResult<Option<Py<StreamCore>>> {
    Ok(engine.get().lock(engine.py())?.streams.remove(&(peer, id)))
}

/// The connection is gone, and with it all of the peer's streams.
pub(crate) fn lose_all(
    engine: &Bound<'_, Engine>,
    peer: PeerKey,
    error: Option<&Failure>,
) -> PyResult<()> {
    let py = engine.py();
    let mut core = engine.get().lock(py)?;
    let lost: Vec<_> = core.streams.extract_if(|(owner, _), _| *owner == peer).collect();
    drop(core);
    for (_, stream) in lost {
        let raised = match error {
            Some(failure) => errors::failure(py, failure, Some(Retry::Unknown)),
            None => errors::error(py, "ConnectionLost", "the connection has ended", None),
        };
        stream.get().fail(py, raised)?;
    }
    Ok(())
}
