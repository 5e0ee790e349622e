//! A bell: any number of tasks wait until it rings.

use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use crate::core::Engine;
use crate::waiters::Waiter;

/// Resumes everybody who waits for it each time it rings, on either host loop.
#[pyclass(frozen, module = "ztransport._ztransport")]
pub(crate) struct Bell {
    engine: Py<Engine>,
    waiting: Mutex<Vec<u64>>,
}

#[pymethods]
impl Bell {
    #[new]
    pub(crate) fn new(engine: Py<Engine>) -> Bell {
        Bell {
            engine,
            waiting: Mutex::default(),
        }
    }

    /// What to wait for until it rings next.
    fn wait(&self, py: Python<'_>) -> PyResult<Py<Waiter>> {
        let engine = self.engine.bind(py);
        let sleeper = engine.get().host(py).sleeper(py)?;
        let mut core = engine.get().lock(py)?;
        let waiter = core.waiters.park(engine, sleeper)?;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has given up is gone from the table, and needs no room here.
        waiting.retain(|token| core.waiters.get(*token).is_some());
        waiting.push(waiter.get().token());
        Ok(waiter)
    }

    /// Resumes everybody who waits.
    pub(crate) fn ring(&self, py: Python<'_>) -> PyResult<()> {
        let engine = self.engine.get();
        let mut core = engine.lock(py)?;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let resumed = core.waiters.take_signals(&mut waiting);
        drop((waiting, core));
        engine.resume_all(py, resumed)
    }
}
