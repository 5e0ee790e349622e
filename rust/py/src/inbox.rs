//! A subscription's buffer: one-way messages wait here until they are taken.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use ztransport_engine::{NodeKey, PeerKey};

use crate::core::Engine;
use crate::errors;
use crate::message::Message;
use crate::waiters::Waiter;

/// Messages of one peer and subject that one credit gives back.
#[derive(Clone, Copy)]
struct Share {
    peer: PeerKey,
    subject: u16,
    count: u32,
    bytes: u64,
}

#[derive(Default)]
struct State {
    items: Vec<Py<PyAny>>,
    /// What the items cost their senders, in order.
    shares: Vec<Share>,
    bytes: u64,
    /// The consumer wants payloads and not messages.
    payloads_only: bool,
    reader: Option<u64>,
    closed: bool,
}

/// The buffer of one subscription; the face's subscription class is below it.
///
/// A sender gets its credit back when its messages are taken, so what is buffered for one sender
/// never exceeds its window, and all together not more than `buffer_bytes_max`.
#[pyclass(frozen, subclass, module = "ztransport._ztransport")]
pub(crate) struct Inbox {
    engine: Py<Engine>,
    node: NodeKey,
    subject: Py<PyString>,
    buffer_bytes_max: u64,
    state: Mutex<State>,
}

#[pymethods]
impl Inbox {
    #[new]
    fn new(
        node: &Bound<'_, crate::node::NodeCore>,
        subject: Py<PyString>,
        buffer_bytes_max: u64,
    ) -> Inbox {
        let engine = node.get().engine.clone_ref(node.py());
        let buffer_bytes_max = buffer_bytes_max.max(node.get().subject_window_bytes);
        Inbox {
            engine,
            node: node.get().key,
            subject,
            buffer_bytes_max,
            state: Mutex::default(),
        }
    }

    #[getter]
    fn subject(&self, py: Python<'_>) -> Py<PyString> {
        self.subject.clone_ref(py)
    }

    /// Bytes that wait to be taken.
    #[getter]
    fn buffered_bytes(&self) -> u64 {
        self.state().bytes
    }

    /// All messages that wait; none if there are none yet.
    fn _messages<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        self.check_messages(py)?;
        self.take_all(py, false)
    }

    /// All payloads that wait; none if there are none yet.
    fn _payloads<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        self.take_all(py, true)
    }

    /// What to wait for until there is something to take.
    fn _readable(&self, py: Python<'_>) -> PyResult<Py<Waiter>> {
        let engine = self.engine.bind(py);
        let sleeper = engine.get().host(py).sleeper(py)?;
        let mut core = engine.get().lock(py)?;
        let mut state = self.state();
        if state
            .reader
            .is_some_and(|token| core.waiters.get(token).is_some())
        {
            return Err(errors::configuration(
                py,
                "a subscription has one reader at a time",
            ));
        }
        let waiter = core.waiters.park(engine, sleeper)?;
        state.reader = Some(waiter.get().token());
        Ok(waiter)
    }

    /// Ends the subscription; what waits is dropped and its senders get their credit back.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let mut core = self.engine.get().lock(py)?;
        let node = core.nodes.get_mut(&self.node);
        let subject = self.subject.bind(py).to_str()?;
        let own = node.and_then(|node| node.routes.unsubscribe(subject));
        drop(core);
        drop(own);
        self.engine.get().generation.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        let unread = (
            std::mem::take(&mut state.items),
            std::mem::take(&mut state.shares),
        );
        state.bytes = 0;
        drop(state);
        self.release(py, &unread.1)?;
        self.end(py)
    }
}

impl Inbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_messages(&self, py: Python<'_>) -> PyResult<()> {
        if !self.state().payloads_only {
            return Ok(());
        }
        let text = "this subscription is read as payloads: its messages are not kept";
        Err(errors::configuration(py, text))
    }

    /// Nothing will come any more: wakes the reader.
    pub(crate) fn end(&self, py: Python<'_>) -> PyResult<()> {
        let mut core = self.engine.get().lock(py)?;
        let mut state = self.state();
        state.closed = true;
        let waiter = state
            .reader
            .take()
            .and_then(|token| core.waiters.take_signal(token));
        drop((state, core));
        self.engine
            .get()
            .resume_all(py, waiter.into_iter().collect())
    }

    fn take_all<'py>(
        &self,
        py: Python<'py>,
        as_payloads: bool,
    ) -> PyResult<Option<Bound<'py, PyList>>> {
        let mut state = self.state();
        let was_messages = !state.payloads_only;
        state.payloads_only = as_payloads;
        if state.items.is_empty() {
            let closed = state.closed;
            return if closed {
                Err(PyStopAsyncIteration::new_err(()))
            } else {
                Ok(None)
            };
        }
        let items = std::mem::take(&mut state.items);
        let shares = std::mem::take(&mut state.shares);
        state.bytes = 0;
        drop(state);
        self.release(py, &shares)?;
        if as_payloads && was_messages {
            return payloads(py, items).map(Some);
        }
        PyList::new(py, items).map(Some)
    }

    fn release(&self, py: Python<'_>, shares: &[Share]) -> PyResult<()> {
        let mut core = self.engine.get().lock(py)?;
        for share in shares {
            core.engine
                .release(share.peer, share.subject, share.count, share.bytes);
        }
        self.engine.get().finish(py, core)
    }
}

/// The payloads of messages that were buffered before anybody asked for payloads.
fn payloads(py: Python<'_>, items: Vec<Py<PyAny>>) -> PyResult<Bound<'_, PyList>> {
    let payload = |item: Py<PyAny>| match item.bind(py).cast::<Message>() {
        Ok(message) => message.get().payload_ref().clone_ref(py).into_any(),
        Err(_) => item,
    };
    PyList::new(py, items.into_iter().map(payload))
}

/// Messages that arrived one after the other for the same subscription.
#[derive(Default)]
pub(crate) struct Run {
    inbox: Option<Arc<Py<Inbox>>>,
    subject: u16,
    items: Vec<Py<PyAny>>,
    bytes: u64,
    pub(crate) payloads_only: bool,
}

impl Run {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether the next payload of a subject goes where the last one did. Nothing of Python runs
    /// within a run, so nobody can have unsubscribed meanwhile.
    #[inline]
    pub(crate) fn takes_payloads_of(&self, subject: u16) -> bool {
        self.payloads_only && self.subject == subject && !self.items.is_empty()
    }

    #[inline]
    pub(crate) fn continues(&self, inbox: &Arc<Py<Inbox>>, subject: u16) -> bool {
        self.subject == subject
            && self
                .inbox
                .as_ref()
                .is_some_and(|own| Arc::ptr_eq(own, inbox))
    }

    pub(crate) fn begin(&mut self, py: Python<'_>, inbox: &Arc<Py<Inbox>>, subject: u16) {
        self.payloads_only = inbox.bind(py).get().state().payloads_only;
        self.inbox = Some(Arc::clone(inbox));
        self.subject = subject;
    }

    #[inline]
    pub(crate) fn push(&mut self, item: Py<PyAny>, bytes: u64) {
        self.items.push(item);
        self.bytes += bytes;
    }

    /// Moves the run into its buffer and wakes the reader.
    pub(crate) fn deliver(&mut self, engine: &Bound<'_, Engine>, peer: PeerKey) -> PyResult<()> {
        let py = engine.py();
        let Some(inbox) = self.inbox.take() else {
            return Ok(());
        };
        let share = Share {
            peer,
            subject: self.subject,
            count: self.items.len() as u32,
            bytes: std::mem::take(&mut self.bytes),
        };
        let mut state = inbox.get().state();
        if state.bytes + share.bytes > inbox.get().buffer_bytes_max || state.closed {
            drop(state);
            return self.overflow(engine, inbox.get(), share);
        }
        state.bytes += share.bytes;
        state.shares.push(share);
        state.items.append(&mut self.items);
        let reader = state.reader.take();
        drop(state);
        let Some(token) = reader else { return Ok(()) };
        let waiter = engine.get().lock(py)?.waiters.take_signal(token);
        engine.get().resume_all(py, waiter.into_iter().collect())
    }

    /// More senders than the buffer has room for: the run is dropped and counted.
    #[cold]
    fn overflow(
        &mut self,
        engine: &Bound<'_, Engine>,
        inbox: &Inbox,
        share: Share,
    ) -> PyResult<()> {
        self.items.clear();
        let mut core = engine.get().lock(engine.py())?;
        if let Some(node) = core.nodes.get_mut(&inbox.node) {
            node.counters.overflowed += u64::from(share.count);
        }
        core.engine
            .release(share.peer, share.subject, share.count, share.bytes);
        Ok(())
    }
}
