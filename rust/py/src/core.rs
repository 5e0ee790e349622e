//! The engine of one host loop, and the tables the binding keeps beside it.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Instant;

use pyo3::prelude::*;
use ztransport_engine as engine;
use ztransport_engine::{Batch, EngineSettings, IdleStrategy, NodeKey, PeerKey};
use ztransport_proto::time::Time;

use crate::dispatch;
use crate::errors;
use crate::hooks::Host;
use crate::peers::PeerEntry;
use crate::pool::Workers;
use crate::routes::NodeEntry;
use crate::stream::StreamCore;
use crate::waiters::{Entry, Waiter, Waiters};

/// Forks of this process so far, as counted in the children.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// Everything that only one thread touches, one call at a time.
pub(crate) struct Core {
    pub(crate) engine: engine::Engine,
    pub(crate) waiters: Waiters,
    pub(crate) peers: HashMap<PeerKey, PeerEntry>,
    pub(crate) nodes: HashMap<NodeKey, NodeEntry>,
    pub(crate) streams: HashMap<(PeerKey, u64), Py<StreamCore>>,
    pub(crate) workers: Workers,
    /// Here between turns; a turn takes it.
    pub(crate) batch: Option<Batch>,
    /// The engine's clock as of the last batch, and when that was.
    pub(crate) read_at: (Time, Instant),
    /// The flusher's token while it is parked.
    pub(crate) flusher: Option<u64>,
}

/// The engine of one loop. It belongs to the thread and the process it was made in.
#[pyclass(frozen, module = "ztransport._ztransport")]
pub(crate) struct Engine {
    core: Mutex<Core>,
    host: Py<Host>,
    thread: usize,
    forks: u32,
    descriptor: Arc<OwnedFd>,
    /// Grows whenever a handler or a subscription comes or goes.
    pub(crate) generation: AtomicU64,
}

#[pymethods]
impl Engine {
    /// `spin_us` bounds every idle spin; 0 sleeps at once, and none spins only in a rally.
    #[new]
    fn new(py: Python<'_>, host: Py<Host>, spin_us: Option<u32>) -> PyResult<Engine> {
        let idle = match spin_us {
            None => IdleStrategy::Adaptive,
            Some(0) => IdleStrategy::Sleep,
            Some(max_us) => IdleStrategy::Spin { max_us },
        };
        let made = engine::Engine::new(EngineSettings { idle });
        let made = made.map_err(|failure| errors::failure(py, &failure, None))?;
        Ok(Engine::around(made, host))
    }

    /// The descriptor that is readable whenever `turn` has work.
    fn fileno(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Does everything that is ready. `True`: let others run, then call again without waiting.
    fn turn(slf: &Bound<'_, Self>) -> PyResult<bool> {
        dispatch::turn(slf)
    }

    /// Writes what calls outside of a turn have queued.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        self.lock(py)?.engine.flush();
        Ok(())
    }

    /// Parks the task that flushes until there is something to flush.
    fn park_flusher(slf: &Bound<'_, Self>) -> PyResult<Py<Waiter>> {
        let sleeper = slf.get().host(slf.py()).sleeper(slf.py())?;
        let mut core = slf.get().lock(slf.py())?;
        let waiter = core.waiters.park(slf, sleeper)?;
        core.flusher = Some(waiter.get().token());
        Ok(waiter)
    }

    /// Whether a spin makes sense now.
    fn may_spin(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.lock(py)?.engine.spin_nanos().is_some())
    }

    /// Whether work came during a bounded spin of at most `seconds_max`; at once `False` unless
    /// spinning makes sense now.
    #[pyo3(signature = (seconds_max = f64::INFINITY))]
    fn spin(&self, py: Python<'_>, seconds_max: f64) -> PyResult<bool> {
        // After a fork there is nothing to look for, and nobody to tell.
        let Ok(core) = self.lock(py) else {
            return Ok(false);
        };
        let Some(bound_ns) = core.engine.spin_nanos() else {
            return Ok(false);
        };
        drop(core);
        let bound_ns = (seconds_max * 1e9).min(bound_ns as f64) as u64;
        let began = Instant::now();
        let descriptor = self.descriptor.as_fd();
        let found = py.detach(|| engine::spin(descriptor, bound_ns));
        let took_ns = began.elapsed().as_nanos() as u64;
        self.lock(py)?.engine.note_spin(took_ns, found);
        Ok(found)
    }

    /// The child of a fork counts it, so that engines from before it refuse to work there.
    #[staticmethod]
    fn forked() {
        FORKS.fetch_add(1, Ordering::Relaxed);
    }

    /// Drops what the engine holds of Python; it is not used any more.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let mut core = self.lock(py)?;
        let held = (
            std::mem::take(&mut core.peers),
            std::mem::take(&mut core.nodes),
            std::mem::take(&mut core.streams),
            std::mem::take(&mut core.workers),
            std::mem::take(&mut core.waiters),
        );
        drop(core);
        drop(held);
        Ok(())
    }
}

impl Engine {
    fn around(made: engine::Engine, host: Py<Host>) -> Engine {
        let descriptor = made.descriptor();
        let read_at = (made.now(), Instant::now());
        let core = Core {
            engine: made,
            waiters: Waiters::default(),
            peers: HashMap::new(),
            nodes: HashMap::new(),
            streams: HashMap::new(),
            workers: Workers::default(),
            batch: Some(Batch::new()),
            read_at,
            flusher: None,
        };
        Engine {
            core: Mutex::new(core),
            host,
            thread: this_thread(),
            forks: FORKS.load(Ordering::Relaxed),
            descriptor,
            generation: AtomicU64::new(0),
        }
    }

    pub(crate) fn host(&self, _py: Python<'_>) -> &Host {
        self.host.get()
    }

    /// The one way to the engine. The guard must be gone before anything of Python is called.
    ///
    /// # Errors
    /// `UsedAfterFork` in a child process, `WrongThread` in another thread.
    #[inline]
    pub(crate) fn lock(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, Core>> {
        if self.forks != FORKS.load(Ordering::Relaxed) {
            let text = "a node cannot be used after fork: open one in the child";
            return Err(errors::error(py, "UsedAfterFork", text, None));
        }
        match self.core.try_lock() {
            _ if self.thread != this_thread() => Err(wrong_thread(py)),
            Ok(core) => Ok(core),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => Err(wrong_thread(py)),
        }
    }

    /// Gives the engine back after a call; what it queued outside of a turn is flushed soon.
    #[inline]
    pub(crate) fn finish(&self, py: Python<'_>, mut core: MutexGuard<'_, Core>) -> PyResult<()> {
        if !core.engine.wants_flush() {
            return Ok(());
        }
        let parked = match core.flusher.take() {
            Some(token) => core.waiters.take_signal(token),
            None => None,
        };
        drop(core);
        self.host(py).wake_flusher(py, parked)
    }

    /// Withdraws whatever a token stands for; its task is gone.
    pub(crate) fn abort(&self, py: Python<'_>, token: u64) -> PyResult<()> {
        let mut core = self.lock(py)?;
        let taken = core.waiters.take(token);
        let parts = match &taken {
            Some(Entry::Call {
                peer,
                call: Some(call),
                ..
            }) => {
                core.engine.cancel(*peer, *call, token);
                Vec::new()
            }
            Some(Entry::Group { group, .. }) => core.waiters.drop_group(*group),
            _ => Vec::new(),
        };
        for part in parts {
            core.cancel_part(part);
        }
        self.finish(py, core)?;
        drop(taken);
        Ok(())
    }

    /// Resumes waiters that have left the table, each with `None`.
    pub(crate) fn resume_all(&self, py: Python<'_>, waiters: Vec<Py<Waiter>>) -> PyResult<()> {
        for waiter in waiters {
            self.host(py).resume(py, &waiter, Ok(py.None()))?;
        }
        Ok(())
    }
}

impl Core {
    /// The engine's clock now: its own reading may be as old as the last turn.
    pub(crate) fn clock(&self) -> Time {
        let (time, instant) = self.read_at;
        time.after_nanos(instant.elapsed().as_nanos() as u64)
    }

    fn cancel_part(&mut self, token: u64) {
        if let Some(Entry::Part {
            peer,
            call: Some(call),
            ..
        }) = self.waiters.take(token)
        {
            self.engine.cancel(peer, call, token);
        }
    }
}

/// A number no other living thread has: the address of something of its own.
#[inline]
fn this_thread() -> usize {
    thread_local!(static HERE: u8 = const { 0 });
    HERE.with(|here| std::ptr::from_ref(here) as usize)
}

#[cold]
fn wrong_thread(py: Python<'_>) -> PyErr {
    let text = "a node is used only in the thread its loop runs in, and not while it is in use";
    errors::error(py, "WrongThread", text, None)
}
