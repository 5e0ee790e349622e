//! Tasks that run async handlers: few, reused, and each cancelled with its request.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use ztransport_proto::fault::{FaultCode, Retry};

use crate::core::Engine;
use crate::errors::{self, Fault};
use crate::message::{Key, Message, report_failure};
use crate::stream::StreamCore;
use crate::waiters::Waiter;

/// What a worker is busy with.
pub(crate) enum Job {
    Message(Py<Message>),
    Stream(Py<StreamCore>),
}

impl Job {
    pub(crate) fn key(&self) -> Option<Key> {
        match self {
            Job::Message(message) => message.get().request_key(),
            Job::Stream(_) => None,
        }
    }

    pub(crate) fn argument<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match self {
            Job::Message(message) => message.bind(py).clone().into_any(),
            Job::Stream(stream) => stream.bind(py).clone().into_any(),
        }
    }

    /// Answers for a handler that does not.
    pub(crate) fn refuse(&self, py: Python<'_>, chosen: &Fault) -> PyResult<()> {
        match self {
            Job::Message(message) => {
                message.get().fault(py, chosen)?;
                release(py, message.get())
            }
            Job::Stream(stream) => stream.get().reset(py, chosen),
        }
    }
}

#[derive(Default)]
struct State {
    job: Option<Job>,
    /// Cancels the task.
    cancel: Option<Py<PyAny>>,
    cancelled: bool,
}

/// One task of the pool, as it and the engine know it.
#[pyclass(frozen, module = "ztransport._ztransport")]
pub(crate) struct Worker {
    engine: Py<Engine>,
    state: Mutex<State>,
}

#[pymethods]
impl Worker {
    /// The task has begun and can be cancelled with `cancel`. `False`: it need not go on.
    fn start(&self, cancel: Py<PyAny>) -> bool {
        let mut state = self.state();
        state.cancel = Some(cancel);
        !state.cancelled
    }

    /// The handler returned.
    fn finish(&self, result: &Bound<'_, PyAny>) -> PyResult<()> {
        match self.take_job(result.py())? {
            Some(Job::Message(message)) => {
                message.get().answer(result)?;
                release(result.py(), message.get())
            }
            Some(Job::Stream(stream)) => stream.get().end_handler(result.py()),
            None => Ok(()),
        }
    }

    /// The handler raised.
    fn fail(&self, py: Python<'_>, error: Bound<'_, PyAny>) -> PyResult<()> {
        match self.take_job(py)? {
            Some(Job::Message(message)) => {
                message.get().refuse(py, PyErr::from_value(error))?;
                release(py, message.get())
            }
            Some(Job::Stream(stream)) => stream.get().handler_failed(py, &error),
            None => Ok(()),
        }
    }

    /// Parks the task until the next job, a pair of handler and argument; none: it should end.
    fn park(slf: &Bound<'_, Self>) -> PyResult<Option<Py<Waiter>>> {
        let py = slf.py();
        let engine = slf.get().engine.bind(py);
        let sleeper = engine.get().host(py).sleeper(py)?;
        let mut core = engine.get().lock(py)?;
        if !core.keeps_idle() {
            return Ok(None);
        }
        let waiter = core.waiters.park(engine, sleeper)?;
        core.workers
            .add_idle(waiter.get().token(), slf.clone().unbind());
        Ok(Some(waiter))
    }

    /// The task is over. A job it did not end is answered for it.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        let job = self.take_job(py)?;
        self.engine.get().lock(py)?.workers.forget_task();
        let cancelled = self.state().cancelled;
        let chosen = if cancelled {
            cancelled_fault()
        } else {
            closed_fault()
        };
        job.map_or(Ok(()), |job| job.refuse(py, &chosen))
    }
}

impl Worker {
    pub(crate) fn new(engine: &Bound<'_, Engine>) -> Worker {
        Worker {
            engine: engine.clone().unbind(),
            state: Mutex::default(),
        }
    }

    /// Notes what the task does next.
    pub(crate) fn set_job(&self, job: Job) {
        self.state().job = Some(job);
    }

    /// What the handler is called with.
    pub(crate) fn argument<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state().job.as_ref().map(|job| job.argument(py))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_job(&self, py: Python<'_>) -> PyResult<Option<Job>> {
        let job = self.state().job.take();
        if let Some(key) = job.as_ref().and_then(Job::key) {
            let done = self.engine.get().lock(py)?.workers.stop_running(key);
            drop(done);
        }
        Ok(job)
    }

    /// Cancels the task if it still runs this request.
    pub(crate) fn cancel_request(&self, py: Python<'_>, key: Key) -> PyResult<()> {
        let still = self.state().job.as_ref().and_then(Job::key) == Some(key);
        if still { self.cancel(py) } else { Ok(()) }
    }

    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.state();
        state.cancelled = true;
        let cancel = state.cancel.as_ref().map(|cancel| cancel.clone_ref(py));
        drop(state);
        cancel.map_or(Ok(()), |cancel| cancel.call0(py).map(drop))
    }
}

/// A one-way message was consumed: its sender may send another.
fn release(py: Python<'_>, message: &Message) -> PyResult<()> {
    if message.envelope.request.is_some() {
        return Ok(());
    }
    let engine = message.engine();
    let mut core = engine.lock(py)?;
    let (peer, subject) = (message.envelope.peer, message.envelope.number);
    core.engine
        .release(peer, subject, 1, message.credit_bytes(py));
    engine.finish(py, core)
}

pub(crate) fn cancelled_fault() -> Fault {
    Fault::new(FaultCode::Cancelled, Retry::Unknown, "cancelled")
}

fn closed_fault() -> Fault {
    Fault::new(FaultCode::ShuttingDown, Retry::Unknown, "the node closed")
}

impl StreamCore {
    /// A stream's handler raised: the peer is told as the caller of a request would be.
    fn handler_failed(&self, py: Python<'_>, error: &Bound<'_, PyAny>) -> PyResult<()> {
        self.reset(py, &errors::to_fault(error, false))?;
        match errors::is_ours(error)? {
            true => Ok(()),
            false => report_failure(self.link(), self.name(py), error),
        }
    }
}
