//! Tasks that run async handlers: few, reused, and each cancelled with its request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use ztransport_engine::PeerKey;
use ztransport_proto::fault::{FaultCode, Retry};

use crate::core::{Core, Engine};
use crate::errors::{self, Fault};
use crate::message::{Message, report_failure};
use crate::routes::Handler;
use crate::stream::StreamCore;
use crate::waiters::Waiter;

/// Idle tasks that are kept for the next requests.
const WORKERS_IDLE_MAX: usize = 64;
/// Tasks of one engine at most; a request beyond them is answered `Overloaded`.
const WORKERS_MAX: usize = 65_536;

/// What a worker is busy with.
enum Job {
    Message(Py<Message>),
    Stream(Py<StreamCore>),
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

/// All tasks of one engine.
#[derive(Default)]
pub(crate) struct Workers {
    idle: Vec<(u64, Py<Worker>)>,
    /// Which worker runs which request.
    running: HashMap<(PeerKey, u64), Py<Worker>>,
    count: usize,
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
        if core.workers.idle.len() >= WORKERS_IDLE_MAX {
            core.drop_stale_workers();
        }
        if core.workers.idle.len() >= WORKERS_IDLE_MAX {
            return Ok(None);
        }
        let waiter = core.waiters.park(engine, sleeper)?;
        core.workers
            .idle
            .push((waiter.get().token(), slf.clone().unbind()));
        Ok(Some(waiter))
    }

    /// The task is over. A job it did not end is answered for it.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        let job = self.take_job(py)?;
        self.engine.get().lock(py)?.workers.count -= 1;
        let cancelled = self.state().cancelled;
        let chosen = match cancelled {
            true => Fault::new(FaultCode::Cancelled, Retry::Unknown, "cancelled"),
            false => Fault::new(FaultCode::ShuttingDown, Retry::Unknown, "the node closed"),
        };
        match job {
            Some(Job::Message(message)) => {
                message.get().fault(py, &chosen)?;
                release(py, message.get())
            }
            Some(Job::Stream(stream)) => stream.get().reset(py, &chosen),
            None => Ok(()),
        }
    }
}

impl Worker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_job(&self, py: Python<'_>) -> PyResult<Option<Job>> {
        let job = self.state().job.take();
        if let Some(Job::Message(message)) = &job
            && let Some(key) = key_of(message.get())
        {
            let done = self.engine.get().lock(py)?.workers.running.remove(&key);
            drop(done);
        }
        Ok(job)
    }

    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        let mut state = self.state();
        state.cancelled = true;
        let cancel = state.cancel.as_ref().map(|cancel| cancel.clone_ref(py));
        drop(state);
        cancel.map_or(Ok(()), |cancel| cancel.call0(py).map(drop))
    }
}

impl Core {
    /// Forgets idle tasks that were cancelled while they slept.
    fn drop_stale_workers(&mut self) {
        let waiters = &self.waiters;
        self.workers
            .idle
            .retain(|(token, _)| waiters.get(*token).is_some());
    }

    fn idle_worker(&mut self) -> Option<(Py<Waiter>, Py<Worker>)> {
        while let Some((token, worker)) = self.workers.idle.pop() {
            if let Some(waiter) = self.waiters.take_signal(token) {
                return Some((waiter, worker));
            }
        }
        None
    }
}

fn key_of(message: &Message) -> Option<(PeerKey, u64)> {
    message
        .envelope
        .request
        .map(|id| (message.link.get().peer, id))
}

/// A one-way message was consumed: its sender may send another.
fn release(py: Python<'_>, message: &Message) -> PyResult<()> {
    if message.envelope.request.is_some() {
        return Ok(());
    }
    let engine = message.engine();
    let mut core = engine.lock(py)?;
    let (peer, subject) = (message.link.get().peer, message.envelope.number);
    core.engine
        .release(peer, subject, 1, message.credit_bytes(py));
    engine.finish(py, core)
}

/// Gives a message to an async handler.
pub(crate) fn begin_message(
    engine: &Bound<'_, Engine>,
    handler: &Arc<Handler>,
    message: &Bound<'_, Message>,
) -> PyResult<()> {
    let job = Job::Message(message.clone().unbind());
    if begin(
        engine,
        handler,
        job,
        message.as_any(),
        key_of(message.get()),
    )? {
        return Ok(());
    }
    message.get().fault(engine.py(), &too_many())?;
    release(engine.py(), message.get())
}

/// Gives a stream to its handler.
pub(crate) fn begin_stream(
    engine: &Bound<'_, Engine>,
    handler: &Arc<Handler>,
    stream: &Bound<'_, StreamCore>,
) -> PyResult<()> {
    let job = Job::Stream(stream.clone().unbind());
    if begin(engine, handler, job, stream.as_any(), None)? {
        return Ok(());
    }
    stream.get().reset(engine.py(), &too_many())
}

fn too_many() -> Fault {
    Fault::new(
        FaultCode::Overloaded,
        Retry::NotStarted,
        "too many handlers are running",
    )
}

/// Starts a job in an idle task or a new one; `false` if there are too many.
fn begin(
    engine: &Bound<'_, Engine>,
    handler: &Arc<Handler>,
    job: Job,
    argument: &Bound<'_, PyAny>,
    key: Option<(PeerKey, u64)>,
) -> PyResult<bool> {
    let py = engine.py();
    let function = handler.function.bind(py);
    let mut core = engine.get().lock(py)?;
    let idle = core.idle_worker();
    if idle.is_none() && core.workers.count >= WORKERS_MAX {
        return Ok(false);
    }
    let (waiter, worker) = match idle {
        Some((waiter, worker)) => (Some(waiter), worker),
        None => (None, new_worker(engine)?),
    };
    worker.get().state().job = Some(job);
    core.workers.count += usize::from(waiter.is_none());
    let replaced = key.and_then(|key| core.workers.running.insert(key, worker.clone_ref(py)));
    drop(core);
    drop(replaced);
    let host = engine.get().host(py);
    match waiter {
        Some(waiter) => {
            let pair = PyTuple::new(py, [function, argument])?;
            host.resume(py, &waiter, Ok(pair.into_any().unbind()))?;
        }
        None => drop(host.spawn.bind(py).call1((worker, function, argument))?),
    }
    Ok(true)
}

fn new_worker(engine: &Bound<'_, Engine>) -> PyResult<Py<Worker>> {
    let worker = Worker {
        engine: engine.clone().unbind(),
        state: Mutex::default(),
    };
    Py::new(engine.py(), worker)
}

/// The caller has given up, or its deadline passed: the handler is cancelled.
pub(crate) fn cancel(engine: &Bound<'_, Engine>, peer: PeerKey, id: u64) -> PyResult<()> {
    let py = engine.py();
    let worker = engine.get().lock(py)?.workers.running.remove(&(peer, id));
    worker.map_or(Ok(()), |worker| worker.get().cancel(py))
}

/// The peer is gone: all that ran for it is cancelled.
pub(crate) fn cancel_all(engine: &Bound<'_, Engine>, peer: PeerKey) -> PyResult<()> {
    let py = engine.py();
    let mut core = engine.get().lock(py)?;
    let lost: Vec<_> = core
        .workers
        .running
        .extract_if(|(owner, _), _| *owner == peer)
        .collect();
    drop(core);
    for (_, worker) in lost {
        worker.get().cancel(py)?;
    }
    Ok(())
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
