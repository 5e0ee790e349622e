//! How a host loop is resumed: the few calls that Trio and asyncio each have for it.

use std::sync::{Mutex, PoisonError};

use pyo3::intern;
use pyo3::prelude::*;

use crate::waiters::Waiter;

/// The calls that make one loop different from the other.
enum Kind {
    Trio {
        current_task: Py<PyAny>,
        effective_deadline: Py<PyAny>,
        /// The cancel status last seen to be without a deadline.
        unbounded: Mutex<Option<Py<PyAny>>>,
        reschedule: Py<PyAny>,
        /// `Abort.SUCCEEDED`.
        aborted: Py<PyAny>,
    },
    Asyncio {
        create_future: Py<PyAny>,
        wake_flusher: Py<PyAny>,
    },
}

/// What the engine needs of the loop it lives in.
#[pyclass(frozen, module = "ztransport._ztransport")]
pub(crate) struct Host {
    kind: Kind,
    clock: Py<PyAny>,
    /// Starts a worker task: `spawn(worker, handler, argument)`.
    pub(crate) spawn: Py<PyAny>,
    /// Looks a name up: `resolve(engine, seed, host, port)`.
    pub(crate) resolve: Py<PyAny>,
    /// Logs a handler's exception: `failed(subject, error)`.
    pub(crate) failed: Py<PyAny>,
    /// Logs a slow handler: `slow(subject, milliseconds)`.
    pub(crate) slow: Py<PyAny>,
    /// Logs a dialer that was turned away: `refused(error)`.
    pub(crate) refused: Py<PyAny>,
}

#[pymethods]
impl Host {
    #[staticmethod]
    #[pyo3(signature = (*, current_task, effective_deadline, reschedule, aborted, clock, spawn, resolve, failed, slow, refused))]
    #[expect(
        clippy::too_many_arguments,
        reason = "named in Python: one for each hook"
    )]
    fn trio(
        current_task: Py<PyAny>,
        effective_deadline: Py<PyAny>,
        reschedule: Py<PyAny>,
        aborted: Py<PyAny>,
        clock: Py<PyAny>,
        spawn: Py<PyAny>,
        resolve: Py<PyAny>,
        failed: Py<PyAny>,
        slow: Py<PyAny>,
        refused: Py<PyAny>,
    ) -> Host {
        let unbounded = Mutex::default();
        let kind = Kind::Trio {
            current_task,
            effective_deadline,
            unbounded,
            reschedule,
            aborted,
        };
        Host {
            kind,
            clock,
            spawn,
            resolve,
            failed,
            slow,
            refused,
        }
    }

    #[staticmethod]
    #[pyo3(signature = (*, create_future, wake_flusher, clock, spawn, resolve, failed, slow, refused))]
    #[expect(
        clippy::too_many_arguments,
        reason = "named in Python: one for each hook"
    )]
    fn asyncio(
        create_future: Py<PyAny>,
        wake_flusher: Py<PyAny>,
        clock: Py<PyAny>,
        spawn: Py<PyAny>,
        resolve: Py<PyAny>,
        failed: Py<PyAny>,
        slow: Py<PyAny>,
        refused: Py<PyAny>,
    ) -> Host {
        Host {
            kind: Kind::Asyncio {
                create_future,
                wake_flusher,
            },
            clock,
            spawn,
            resolve,
            failed,
            slow,
            refused,
        }
    }
}

impl Host {
    /// What is resumed later: the running task, or a new future.
    pub(crate) fn sleeper(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match &self.kind {
            Kind::Trio { current_task, .. } => current_task.call0(py),
            Kind::Asyncio { create_future, .. } => create_future.call0(py),
        }
    }

    /// The loop's clock, in seconds.
    pub(crate) fn now(&self, py: Python<'_>) -> PyResult<f64> {
        self.clock.call0(py)?.extract(py)
    }

    /// Seconds until `timeout` or until the deadline around the running task, whichever is less.
    #[inline]
    pub(crate) fn seconds_left(
        &self,
        task: &Bound<'_, PyAny>,
        timeout: Option<f64>,
    ) -> PyResult<f64> {
        let own = timeout.unwrap_or(f64::INFINITY);
        let Kind::Trio {
            effective_deadline,
            unbounded,
            ..
        } = &self.kind
        else {
            return Ok(own);
        };
        let status = task.getattr(intern!(task.py(), "_cancel_status")).ok();
        let unbounded = unbounded.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(status), Some(known)) = (&status, &*unbounded)
            && status.is(known)
        {
            return Ok(own);
        }
        drop(unbounded);
        self.seconds_left_in(effective_deadline.bind(task.py()), status, own)
    }

    fn seconds_left_in(
        &self,
        effective_deadline: &Bound<'_, PyAny>,
        status: Option<Bound<'_, PyAny>>,
        own: f64,
    ) -> PyResult<f64> {
        let ambient: f64 = effective_deadline.call0()?.extract()?;
        if ambient < f64::INFINITY {
            return Ok(own.min(ambient - self.now(effective_deadline.py())?));
        }
        self.set_unbounded(status.map(Bound::unbind));
        Ok(own)
    }

    /// Asking Trio for the deadline around a task costs more than the rest of a call. So a cancel
    /// status without one is remembered, by identity and until the next turn. If a deadline is set
    /// on it meanwhile, the wire carries the call's own; the scope still ends the call in time.
    fn set_unbounded(&self, status: Option<Py<PyAny>>) {
        if let Kind::Trio { unbounded, .. } = &self.kind {
            let old = std::mem::replace(
                &mut *unbounded.lock().unwrap_or_else(PoisonError::into_inner),
                status,
            );
            drop(old);
        }
    }

    /// A turn begins: scopes may have changed since the last.
    pub(crate) fn forget_scopes(&self) {
        self.set_unbounded(None);
    }

    /// Resumes a waiter with a value or an error. It must have left the table.
    #[inline]
    pub(crate) fn resume(
        &self,
        py: Python<'_>,
        waiter: &Py<Waiter>,
        outcome: PyResult<Py<PyAny>>,
    ) -> PyResult<()> {
        match &self.kind {
            Kind::Trio { reschedule, .. } => {
                waiter.get().settle(outcome);
                reschedule
                    .bind(py)
                    .call1((waiter.get().sleeper(), waiter))
                    .map(drop)
            }
            Kind::Asyncio { .. } => resolve(waiter.get().sleeper().bind(py), outcome),
        }
    }

    /// Makes the flusher run soon. Under Trio it is a parked task.
    pub(crate) fn wake_flusher(&self, py: Python<'_>, parked: Option<Py<Waiter>>) -> PyResult<()> {
        match (&self.kind, parked) {
            (Kind::Asyncio { wake_flusher, .. }, _) => wake_flusher.call0(py).map(drop),
            (Kind::Trio { .. }, Some(waiter)) => self.resume(py, &waiter, Ok(py.None())),
            (Kind::Trio { .. }, None) => Ok(()),
        }
    }

    /// What an abort function returns when nothing will be resumed any more.
    pub(crate) fn aborted(&self, py: Python<'_>) -> Py<PyAny> {
        match &self.kind {
            Kind::Trio { aborted, .. } => aborted.clone_ref(py),
            Kind::Asyncio { .. } => py.None(),
        }
    }
}

/// Completes a future unless a cancellation was faster.
fn resolve(future: &Bound<'_, PyAny>, outcome: PyResult<Py<PyAny>>) -> PyResult<()> {
    let py = future.py();
    if future.call_method0(intern!(py, "done"))?.is_truthy()? {
        return Ok(());
    }
    match outcome {
        Ok(value) => future.call_method1(intern!(py, "set_result"), (value,)),
        Err(error) => future.call_method1(intern!(py, "set_exception"), (error.into_value(py),)),
    }
    .map(drop)
}
