//! What a handler gets, and the ways to answer it.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use ztransport_engine::{Forward, PeerKey};
use ztransport_proto::event::{Body, Metadata};
use ztransport_proto::time::Time;

use crate::convert;
use crate::core::Engine;
use crate::errors::{self, Fault};
use crate::link::Link;

/// Nobody has answered yet; the handler's result will be the answer.
const OPEN: u8 = 0;
/// Answered, deferred or forwarded: the handler's result means nothing.
const CLAIMED: u8 = 1;

/// A request by its peer and id.
pub(crate) type Key = (PeerKey, u64);

/// What a message is apart from its payload.
pub(crate) struct Envelope {
    /// Whose it is: the sender by the key it had, which is another once it is replaced.
    pub(crate) peer: PeerKey,
    /// Names the request at the peer; none for a one-way message.
    pub(crate) request: Option<u64>,
    /// The peer's number of the subject.
    pub(crate) number: u16,
    pub(crate) deadline: Option<Time>,
    pub(crate) metadata: Option<Metadata>,
}

/// A request or a one-way message.
#[pyclass(frozen, freelist = 1024, module = "ztransport._ztransport")]
pub(crate) struct Message {
    pub(crate) link: Py<Link>,
    pub(crate) subject: Py<PyString>,
    payload: Py<PyBytes>,
    pub(crate) envelope: Envelope,
    state: AtomicU8,
}

#[pymethods]
impl Message {
    #[getter]
    fn payload(&self, py: Python<'_>) -> Py<PyBytes> {
        self.payload.clone_ref(py)
    }

    #[getter]
    fn subject(&self, py: Python<'_>) -> Py<PyString> {
        self.subject.clone_ref(py)
    }

    #[getter]
    fn peer(&self, py: Python<'_>) -> Py<Link> {
        self.link.clone_ref(py)
    }

    /// When the caller stops waiting, on the host loop's clock.
    #[getter]
    fn deadline(&self, py: Python<'_>) -> PyResult<Option<f64>> {
        let Some(deadline) = self.envelope.deadline else {
            return Ok(None);
        };
        let engine = self.engine();
        let now = engine.lock(py)?.clock();
        let late = now.saturating_since(deadline) as f64;
        let left = deadline.saturating_since(now) as f64 - late;
        Ok(Some(engine.host(py).now(py)? + left / 1e9))
    }

    #[getter]
    fn metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        convert::metadata_dict(py, self.metadata_block())
    }

    /// Takes the answer out of the handler's hands.
    fn defer(&self, py: Python<'_>) -> PyResult<Reply> {
        let request = self.request_key().ok_or_else(|| one_way(py))?;
        self.claim(py)?;
        Ok(Reply {
            link: self.link.clone_ref(py),
            request,
            answered: AtomicBool::new(false),
        })
    }

    /// Passes the message on; its answer goes back without another visit here.
    #[pyo3(signature = (peer, subject = None))]
    fn forward(
        &self,
        py: Python<'_>,
        peer: &Bound<'_, Link>,
        subject: Option<&str>,
    ) -> PyResult<()> {
        self.check_same_engine(py, peer)?;
        let own = self.subject.bind(py).to_str()?;
        let payload = self.payload.bind(py);
        self.claim(py)?;
        let result = self.relay(
            py,
            peer.get(),
            subject.unwrap_or(own),
            convert::body_of_bytes(payload),
        );
        if result.is_err() {
            self.state.store(OPEN, Ordering::Relaxed);
        }
        result
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let bytes = self.payload.bind(py).as_bytes().len();
        format!(
            "<Message {:?}, {bytes} bytes>",
            self.subject.bind(py).to_string()
        )
    }
}

impl Message {
    pub(crate) fn new(
        link: Py<Link>,
        subject: Py<PyString>,
        payload: Py<PyBytes>,
        envelope: Envelope,
    ) -> Message {
        Message {
            link,
            subject,
            payload,
            envelope,
            state: AtomicU8::new(OPEN),
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.link.get().engine.get()
    }

    pub(crate) fn payload_ref(&self) -> &Py<PyBytes> {
        &self.payload
    }

    /// Bytes that count against the sender's credit.
    pub(crate) fn credit_bytes(&self, py: Python<'_>) -> u64 {
        (self.payload.bind(py).as_bytes().len() + self.metadata_block().len()) as u64
    }

    fn metadata_block(&self) -> &[u8] {
        self.envelope.metadata.as_deref().unwrap_or_default()
    }

    /// The request this is; none for a one-way message.
    pub(crate) fn request_key(&self) -> Option<Key> {
        Some((self.envelope.peer, self.envelope.request?))
    }

    /// The right to answer, given once.
    fn claim(&self, py: Python<'_>) -> PyResult<()> {
        match self.state.swap(CLAIMED, Ordering::Relaxed) {
            OPEN => Ok(()),
            _ => Err(already_answered(py)),
        }
    }

    /// Whether the handler's result is the answer; asked once.
    fn is_mine_to_answer(&self) -> Option<Key> {
        match self.state.swap(CLAIMED, Ordering::Relaxed) {
            OPEN => self.request_key(),
            _ => None,
        }
    }

    fn check_same_engine(&self, py: Python<'_>, peer: &Bound<'_, Link>) -> PyResult<()> {
        if self.link.get().engine.is(&peer.get().engine) {
            return Ok(());
        }
        Err(errors::error(
            py,
            "NotSupported",
            "the two peers live in different loops",
            None,
        ))
    }

    fn relay(&self, py: Python<'_>, to: &Link, subject: &str, body: Body<'_>) -> PyResult<()> {
        let block = self.metadata_block();
        let from = self.envelope.peer;
        let mut core = self.engine().lock(py)?;
        let result = match self.envelope.request {
            None => core.engine.send(to.peer(), subject, body, block),
            Some(id) => {
                let (to, metadata, deadline) = (to.peer(), block, self.envelope.deadline);
                core.engine.forward(Forward {
                    from,
                    id,
                    to,
                    subject,
                    body,
                    metadata,
                    deadline,
                })
            }
        };
        match result {
            Ok(()) => self.engine().finish(py, core),
            Err(refusal) => Err(to.refused(py, core, &refusal)),
        }
    }

    /// Answers with what the handler returned.
    #[inline]
    pub(crate) fn answer(&self, result: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = result.py();
        let Some(key) = self.is_mine_to_answer() else {
            return Ok(());
        };
        if result.is_none() {
            return reply(py, self.link.get(), key, Body::Borrowed(&[]));
        }
        match convert::body(result) {
            Ok(body) => reply(py, self.link.get(), key, body),
            Err(error) => {
                fault(py, self.link.get(), key, &Fault::handler_failure())?;
                self.report(py, error)
            }
        }
    }

    /// Answers with what the handler raised.
    pub(crate) fn refuse(&self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        let value = error.value(py).as_any();
        if let Some(key) = self.is_mine_to_answer() {
            let chosen = errors::to_fault(value, self.exposes_errors(py)?);
            fault(py, self.link.get(), key, &chosen)?;
        }
        if errors::is_ours(value)? {
            Ok(())
        } else {
            self.report(py, error)
        }
    }

    /// Answers with a fault that is not the handler's choice.
    pub(crate) fn fault(&self, py: Python<'_>, chosen: &Fault) -> PyResult<()> {
        match self.is_mine_to_answer() {
            Some(key) => fault(py, self.link.get(), key, chosen),
            None => Ok(()),
        }
    }

    fn exposes_errors(&self, py: Python<'_>) -> PyResult<bool> {
        let core = self.engine().lock(py)?;
        Ok(core
            .nodes
            .get(&self.link.get().node)
            .is_some_and(|node| node.expose_errors))
    }

    fn report(&self, py: Python<'_>, error: PyErr) -> PyResult<()> {
        report_failure(
            self.link.get(),
            self.subject.bind(py),
            error.into_value(py).bind(py).as_any(),
        )
    }
}

/// Counts and logs a handler's own failure.
pub(crate) fn report_failure(
    link: &Link,
    subject: &Bound<'_, PyString>,
    error: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let (py, engine) = (error.py(), link.engine.get());
    if let Some(node) = engine.lock(py)?.nodes.get_mut(&link.node) {
        node.counters.handler_failures += 1;
    }
    engine
        .host(py)
        .failed
        .bind(py)
        .call1((subject, error))
        .map(drop)
}

/// The answer of a request, to be given once, at any time.
#[pyclass(frozen, module = "ztransport._ztransport")]
pub(crate) struct Reply {
    link: Py<Link>,
    request: Key,
    answered: AtomicBool,
}

#[pymethods]
impl Reply {
    /// Answers with a payload.
    fn send(&self, payload: &Bound<'_, PyAny>) -> PyResult<()> {
        let body = convert::body(payload)?;
        self.claim(payload.py())?;
        reply(payload.py(), self.link.get(), self.request, body)
    }

    /// Answers with an error, or with a code and a text.
    #[pyo3(signature = (reason, text = ""))]
    fn fault(&self, reason: &Bound<'_, PyAny>, text: &str) -> PyResult<()> {
        let chosen = errors::chosen_fault(reason, text)?;
        self.claim(reason.py())?;
        fault(reason.py(), self.link.get(), self.request, &chosen)
    }
}

impl Reply {
    fn claim(&self, py: Python<'_>) -> PyResult<()> {
        match self.answered.swap(true, Ordering::Relaxed) {
            false => Ok(()),
            true => Err(already_answered(py)),
        }
    }

    /// Nobody can answer any more: the caller is told instead of waiting for its deadline.
    fn forget(&self, py: Python<'_>) -> PyResult<()> {
        let link = self.link.get();
        if let Some(node) = link.engine.get().lock(py)?.nodes.get_mut(&link.node) {
            node.counters.unanswered += 1;
        }
        fault(py, link, self.request, &Fault::handler_failure())
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !*self.answered.get_mut() {
            // In another thread or process there is no engine to tell, and nobody to tell it to.
            Python::attach(|py| self.forget(py).ok());
        }
    }
}

/// Answers a request; a caller that has gone meanwhile is no error.
#[inline]
fn reply(py: Python<'_>, link: &Link, key: Key, body: Body<'_>) -> PyResult<()> {
    let engine = link.engine.get();
    let mut core = engine.lock(py)?;
    match core.engine.reply(key.0, key.1, body) {
        Err(refusal @ ztransport_engine::Refusal::Oversize { .. }) => {
            drop(core);
            let error = errors::refusal(py, &refusal).into_value(py);
            fault(
                py,
                link,
                key,
                &errors::to_fault(error.bind(py).as_any(), false),
            )
        }
        Ok(()) | Err(_) => engine.finish(py, core),
    }
}

pub(crate) fn fault(py: Python<'_>, link: &Link, key: Key, chosen: &Fault) -> PyResult<()> {
    let engine = link.engine.get();
    let mut core = engine.lock(py)?;
    // The caller may be gone: then nobody needs the fault.
    core.engine
        .fault(key.0, key.1, chosen.code, chosen.retry, &chosen.text)
        .ok();
    engine.finish(py, core)
}

fn already_answered(py: Python<'_>) -> PyErr {
    let text = "a request is answered, deferred or forwarded exactly once";
    errors::error(py, "AlreadyAnswered", text, None)
}

fn one_way(py: Python<'_>) -> PyErr {
    errors::error(py, "NotSupported", "a one-way message has no answer", None)
}
