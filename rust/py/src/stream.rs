//! Streams: messages both ways on one subject, each way with its own credit and end.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock};

use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};
use ztransport_engine::PeerKey;
use ztransport_proto::fault::{FaultCode, Retry};

use crate::convert;
use crate::errors::{self, Fault};
use crate::link::Link;
use crate::waiters::Waiter;

#[derive(Default)]
pub(crate) struct State {
    pub(crate) id: Option<u64>,
    pub(crate) chunks: VecDeque<Py<PyBytes>>,
    /// Messages and bytes that were handed out and not given back as credit yet.
    pub(crate) taken: (u32, u64),
    /// Lengths of the messages that were handed out to be acknowledged by the user.
    pub(crate) held: VecDeque<usize>,
    /// Messages that were given back.
    pub(crate) consumed: u64,
    /// Whether the peer may not know yet of all that was given back.
    pub(crate) unreported: bool,
    /// The peer sends no more.
    pub(crate) ended: bool,
    /// We send no more.
    pub(crate) finished: bool,
    /// Our user has left: what still arrives is for nobody.
    pub(crate) left: bool,
    pub(crate) failure: Option<PyErr>,
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    /// A message was refused since there last was room.
    pub(crate) refused: bool,
    pub(crate) reader: Option<u64>,
    pub(crate) room: Vec<u64>,
    pub(crate) acknowledgements: Vec<u64>,
}

/// One stream; the face's stream class is below it.
#[pyclass(frozen, subclass, module = "ztransport._ztransport")]
pub(crate) struct StreamCore {
    pub(crate) link: Py<Link>,
    /// The peer by the key it had when the stream was opened.
    pub(crate) opened_at: OnceLock<PeerKey>,
    pub(crate) subject: Py<PyString>,
    pub(crate) payload: Py<PyAny>,
    pub(crate) metadata: Box<[u8]>,
    pub(crate) state: Mutex<State>,
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
        Ok(StreamCore {
            link: peer,
            opened_at: OnceLock::new(),
            subject,
            payload,
            metadata,
            state: Mutex::default(),
        })
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
        let peer = link.peer();
        match core.engine.open_stream(peer, subject, body, &own.metadata) {
            Ok(id) => {
                own.begin((peer, id));
                core.streams.insert((peer, id), slf.clone().unbind());
                link.engine.get().finish(py, core)
            }
            Err(refusal) => {
                core.note_refusal(peer, "", &refusal);
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
        self.finish_sending(py)
    }

    /// The next message; none if there is none yet.
    fn _next(&self, py: Python<'_>) -> PyResult<Option<Py<PyBytes>>> {
        self.give_back(py)?;
        let mut state = self.state();
        let Some(chunk) = state.chunks.pop_front() else {
            return end(py, &state).map(|()| None);
        };
        state.taken = (1, chunk.bind(py).as_bytes().len() as u64);
        Ok(Some(chunk))
    }

    /// All messages that wait; none if there are none yet. Those to `hold` are not acknowledged
    /// by taking more.
    #[pyo3(signature = (hold = false))]
    fn _batch<'py>(&self, py: Python<'py>, hold: bool) -> PyResult<Option<Bound<'py, PyList>>> {
        self.give_back(py)?;
        let mut state = self.state();
        if state.chunks.is_empty() {
            return end(py, &state).map(|()| None);
        }
        let chunks = std::mem::take(&mut state.chunks);
        let lengths = chunks.iter().map(|chunk| chunk.bind(py).as_bytes().len());
        if hold {
            state.held.extend(lengths);
        } else {
            state.taken = (chunks.len() as u32, lengths.sum::<usize>() as u64);
        }
        drop(state);
        PyList::new(py, chunks).map(Some)
    }

    /// Says that the first `count` messages are consumed, of those that were held.
    #[pyo3(name = "acknowledge")]
    fn release(&self, py: Python<'_>, count: u64) -> PyResult<()> {
        let mut state = self.state();
        if state.id.is_none() {
            return Err(not_open(py));
        }
        let more = count.saturating_sub(state.consumed) as usize;
        if more > state.held.len() {
            let held = state.consumed + state.held.len() as u64;
            let text = format!("cannot acknowledge {count} messages: {held} were taken to hold");
            return Err(errors::configuration(py, &text));
        }
        let bytes: usize = state.held.drain(..more).sum();
        state.taken.0 += more as u32;
        state.taken.1 += bytes as u64;
        drop(state);
        self.give_back(py)?;
        self.report_credit(py)
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
        self.park(py, |state, token| state.room.push(token))
            .map(Some)
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
            None => self
                .park(py, |state, token| state.acknowledgements.push(token))
                .map(Some),
        }
    }

    /// The user leaves. A stream that is not over both ways is reset, unless the user has finished
    /// it: then it goes on until the peer ends it or sends something that nobody will read.
    fn _leave(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.state();
        let (ended, finished) = (state.ended, state.finished);
        drop(state);
        match (ended, finished) {
            (true, _) => self.finish_sending(py)?,
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

pub(crate) fn not_open(py: Python<'_>) -> PyErr {
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
