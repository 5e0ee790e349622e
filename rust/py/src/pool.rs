//! Who runs the next job: idle tasks first, then new ones, and only so many in one turn.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use ztransport_engine::PeerKey;
use ztransport_proto::fault::{FaultCode, Retry};

use crate::core::{Core, Engine};
use crate::errors::Fault;
use crate::message::Key;
use crate::message::Message;
use crate::routes::Handler;
use crate::stream::StreamCore;
use crate::waiters::Waiter;
use crate::workers::{Job, Worker, cancelled_fault};

/// Idle tasks that are kept for the next requests.
const WORKERS_IDLE_MAX: usize = 64;
/// Tasks of one engine at most; a request beyond them is answered `Overloaded`.
const WORKERS_MAX: usize = 65_536;
/// New tasks and cancellations of one turn: each costs the host loop as much as many messages, so
/// a burst of them is spread over turns and everybody else's messages go between.
const WORKER_CHANGES_PER_TURN: usize = 64;

/// All tasks of one engine.
#[derive(Default)]
pub(crate) struct Workers {
    idle: Vec<(u64, Py<Worker>)>,
    /// Which worker runs which request.
    running: HashMap<Key, Py<Worker>>,
    count: usize,
    waiting: VecDeque<Start>,
    /// Those of the waiting requests that still want an answer.
    wanted: HashSet<Key>,
    /// Workers to be cancelled if they still run this request.
    cancelling: VecDeque<(Py<Worker>, Key)>,
    /// New tasks and cancellations that this turn may still have.
    changes_left: usize,
}

/// A job that waits for a task.
struct Start {
    handler: Arc<Handler>,
    job: Job,
}

impl Workers {
    pub(crate) fn add_idle(&mut self, token: u64, worker: Py<Worker>) {
        self.idle.push((token, worker));
    }

    pub(crate) fn forget_task(&mut self) {
        self.count -= 1;
    }

    /// The request is answered. What is returned is to be dropped without the guard.
    pub(crate) fn stop_running(&mut self, key: Key) -> Option<Py<Worker>> {
        self.running.remove(&key)
    }
}

impl Core {
    /// Whether one more task may stay for the next job.
    pub(crate) fn keeps_idle(&mut self) -> bool {
        if self.workers.idle.len() >= WORKERS_IDLE_MAX {
            self.drop_stale_workers();
        }
        self.workers.idle.len() < WORKERS_IDLE_MAX
    }

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

/// Gives a message to an async handler.
pub(crate) fn begin_message(
    engine: &Bound<'_, Engine>,
    handler: &Arc<Handler>,
    message: &Bound<'_, Message>,
) -> PyResult<()> {
    begin(engine, handler, Job::Message(message.clone().unbind()))
}

/// Gives a stream to its handler.
pub(crate) fn begin_stream(
    engine: &Bound<'_, Engine>,
    handler: &Arc<Handler>,
    stream: &Bound<'_, StreamCore>,
) -> PyResult<()> {
    begin(engine, handler, Job::Stream(stream.clone().unbind()))
}

fn too_many() -> Fault {
    let text = "too many handlers are running";
    Fault::new(FaultCode::Overloaded, Retry::NotStarted, text)
}

/// Starts a job in an idle task or a new one, or lets it wait for the next turn.
fn begin(engine: &Bound<'_, Engine>, handler: &Arc<Handler>, job: Job) -> PyResult<()> {
    let py = engine.py();
    let mut core = engine.get().lock(py)?;
    let task = if core.workers.waiting.is_empty() {
        core.task(engine)?
    } else {
        None
    };
    if let Some(task) = task {
        let replaced = core.assign(py, &task, job);
        drop(core);
        drop(replaced);
        return task.run(engine, handler);
    }
    if core.workers.count + core.workers.waiting.len() >= WORKERS_MAX {
        drop(core);
        return job.refuse(py, &too_many());
    }
    core.workers.wanted.extend(job.key());
    core.workers.waiting.push_back(Start {
        handler: Arc::clone(handler),
        job,
    });
    Ok(())
}

/// An idle task, or one to be spawned.
struct Task {
    waiter: Option<Py<Waiter>>,
    worker: Py<Worker>,
}

impl Task {
    fn run(&self, engine: &Bound<'_, Engine>, handler: &Arc<Handler>) -> PyResult<()> {
        let py = engine.py();
        let function = handler.function.bind(py);
        let Some(argument) = self.worker.get().argument(py) else {
            return Ok(());
        };
        let host = engine.get().host(py);
        match &self.waiter {
            Some(waiter) => {
                let pair = PyTuple::new(py, [function, &argument])?;
                host.resume(py, waiter, Ok(pair.into_any().unbind()))
            }
            None => host
                .spawn
                .bind(py)
                .call1((&self.worker, function, argument))
                .map(drop),
        }
    }
}

impl Core {
    /// A task for one more job; none if this turn may not have another.
    fn task(&mut self, engine: &Bound<'_, Engine>) -> PyResult<Option<Task>> {
        if let Some((waiter, worker)) = self.idle_worker() {
            return Ok(Some(Task {
                waiter: Some(waiter),
                worker,
            }));
        }
        if self.workers.changes_left == 0 || self.workers.count >= WORKERS_MAX {
            return Ok(None);
        }
        let worker = Py::new(engine.py(), Worker::new(engine))?;
        self.workers.changes_left -= 1;
        self.workers.count += 1;
        Ok(Some(Task {
            waiter: None,
            worker,
        }))
    }

    /// Notes what a task will do. Whatever was noted before is to be dropped without the guard.
    fn assign(&mut self, py: Python<'_>, task: &Task, job: Job) -> Option<Py<Worker>> {
        let worker = task.worker.clone_ref(py);
        let replaced = job
            .key()
            .and_then(|key| self.workers.running.insert(key, worker));
        task.worker.get().set_job(job);
        replaced
    }
}

/// A turn begins: it may have so many changes again.
pub(crate) fn begin_turn(core: &mut Core) {
    core.workers.changes_left = WORKER_CHANGES_PER_TURN;
}

/// Ends a turn with the cancellations and starts that it may have; `true` if some are left.
pub(crate) fn end_turn(engine: &Bound<'_, Engine>) -> PyResult<bool> {
    while cancel_next(engine)? || start_next(engine)? {}
    let core = engine.get().lock(engine.py())?;
    Ok(!core.workers.cancelling.is_empty() || !core.workers.waiting.is_empty())
}

fn cancel_next(engine: &Bound<'_, Engine>) -> PyResult<bool> {
    let py = engine.py();
    let mut core = engine.get().lock(py)?;
    if core.workers.changes_left == 0 {
        return Ok(false);
    }
    let Some((worker, key)) = core.workers.cancelling.pop_front() else {
        return Ok(false);
    };
    core.workers.changes_left -= 1;
    drop(core);
    worker.get().cancel_request(py, key)?;
    Ok(true)
}

fn start_next(engine: &Bound<'_, Engine>) -> PyResult<bool> {
    let py = engine.py();
    let mut core = engine.get().lock(py)?;
    let Some(start) = core.workers.waiting.pop_front() else {
        return Ok(false);
    };
    if start
        .job
        .key()
        .is_some_and(|key| !core.workers.wanted.contains(&key))
    {
        drop(core);
        start.job.refuse(py, &cancelled_fault())?;
        return Ok(true);
    }
    let Some(task) = core.task(engine)? else {
        core.workers.waiting.push_front(start);
        return Ok(false);
    };
    if let Some(key) = start.job.key() {
        core.workers.wanted.remove(&key);
    }
    let replaced = core.assign(py, &task, start.job);
    drop(core);
    drop(replaced);
    task.run(engine, &start.handler)?;
    Ok(true)
}

/// The caller has given up, or its deadline passed: the handler is cancelled, or never started.
pub(crate) fn cancel(engine: &Bound<'_, Engine>, peer: PeerKey, id: u64) -> PyResult<()> {
    let mut core = engine.get().lock(engine.py())?;
    let workers = &mut core.workers;
    workers.wanted.remove(&(peer, id));
    if let Some(worker) = workers.running.remove(&(peer, id)) {
        workers.cancelling.push_back((worker, (peer, id)));
    }
    Ok(())
}

/// The peer is gone: all that ran for it is cancelled.
pub(crate) fn cancel_all(engine: &Bound<'_, Engine>, peer: PeerKey) -> PyResult<()> {
    let mut core = engine.get().lock(engine.py())?;
    let workers = &mut core.workers;
    workers.wanted.retain(|(owner, _)| *owner != peer);
    let lost = workers.running.extract_if(|(owner, _), _| *owner == peer);
    workers
        .cancelling
        .extend(lost.map(|(key, worker)| (worker, key)));
    Ok(())
}
