//! The waiter table: from a token to what is resumed.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use slab::Slab;
use ztransport_engine::{CallId, PeerKey};

use crate::core::Engine;

/// Tokens carry the slot below and a serial number above; the engine owns the top bit.
const SERIAL_SHIFT: u32 = 32;
const SERIAL_MASK: u32 = (1 << 31) - 1;

/// One sleep of one task, and its outcome.
///
/// Under Trio it is the abort function of the sleep and stands for the `Outcome` it ends with, of
/// which Trio calls nothing but `unwrap`: that spares two objects for each request.
#[pyclass(frozen, freelist = 1024, module = "ztransport._ztransport")]
pub(crate) struct Waiter {
    engine: Py<Engine>,
    token: u64,
    sleeper: Py<PyAny>,
    outcome: Mutex<Option<PyResult<Py<PyAny>>>>,
}

#[pymethods]
impl Waiter {
    /// The future to wait for, under asyncio.
    #[getter]
    fn future(&self, py: Python<'_>) -> Py<PyAny> {
        self.sleeper.clone_ref(py)
    }

    /// Trio's abort function.
    fn __call__(&self, py: Python<'_>, _raise_cancel: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        self.cancel(py)?;
        Ok(self.engine.get().host(py).aborted(py))
    }

    /// Nobody waits any more: withdraws what the waiter waits for.
    fn cancel(&self, py: Python<'_>) -> PyResult<()> {
        self.engine.get().abort(py, self.token)
    }

    /// The outcome, once.
    fn unwrap(&self) -> PyResult<Py<PyAny>> {
        let taken = self
            .outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        taken.unwrap_or_else(|| Err(PyRuntimeError::new_err("this outcome was used before")))
    }
}

impl Waiter {
    pub(crate) fn sleeper(&self) -> &Py<PyAny> {
        &self.sleeper
    }

    pub(crate) fn token(&self) -> u64 {
        self.token
    }

    pub(crate) fn settle(&self, outcome: PyResult<Py<PyAny>>) {
        *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
    }
}

/// What a token stands for.
pub(crate) enum Entry {
    /// One request.
    Call {
        waiter: Py<Waiter>,
        peer: PeerKey,
        call: Option<CallId>,
    },
    /// One request of a batch.
    Part {
        group: usize,
        position: usize,
        peer: PeerKey,
        call: Option<CallId>,
    },
    /// The whole batch.
    Group { waiter: Py<Waiter>, group: usize },
    /// Anything else: room, data, an end.
    Signal { waiter: Py<Waiter> },
}

/// The results of a batch, in order; none where one is missing.
type Results = Vec<Option<Py<PyAny>>>;

/// A batch of requests that one task waits for.
struct Group {
    token: u64,
    results: Results,
    parts: Vec<u64>,
    left: usize,
}

struct Slot {
    serial: u32,
    entry: Entry,
}

/// Every sleep of one engine.
#[derive(Default)]
pub(crate) struct Waiters {
    slots: Slab<Slot>,
    groups: Slab<Group>,
    serial: u32,
}

impl Waiters {
    /// Adds an entry made with its own token.
    pub(crate) fn insert<E>(
        &mut self,
        make: impl FnOnce(u64) -> Result<Entry, E>,
    ) -> Result<u64, E> {
        self.serial = self.serial.wrapping_add(1) & SERIAL_MASK;
        let vacant = self.slots.vacant_entry();
        let token = u64::from(self.serial) << SERIAL_SHIFT | vacant.key() as u64;
        vacant.insert(Slot {
            serial: self.serial,
            entry: make(token)?,
        });
        Ok(token)
    }

    /// Parks a sleeper for a signal.
    pub(crate) fn park(
        &mut self,
        engine: &Bound<'_, Engine>,
        sleeper: Py<PyAny>,
    ) -> PyResult<Py<Waiter>> {
        let token = self.insert(|token| {
            new_waiter(engine, token, sleeper).map(|waiter| Entry::Signal { waiter })
        })?;
        self.waiter(engine.py(), token)
            .ok_or_else(|| PyRuntimeError::new_err("a fresh waiter is in the table"))
    }

    fn waiter(&self, py: Python<'_>, token: u64) -> Option<Py<Waiter>> {
        match self.get(token)? {
            Entry::Call { waiter, .. } | Entry::Group { waiter, .. } | Entry::Signal { waiter } => {
                Some(waiter.clone_ref(py))
            }
            Entry::Part { .. } => None,
        }
    }

    pub(crate) fn get(&self, token: u64) -> Option<&Entry> {
        let slot = self.slots.get(slot_of(token))?;
        (slot.serial == serial_of(token)).then_some(&slot.entry)
    }

    /// Notes which call a token stands for, so that it can be cancelled.
    pub(crate) fn set_call(&mut self, token: u64, id: CallId) {
        if let Some(slot) = self.slots.get_mut(slot_of(token))
            && let Entry::Call { call, .. } | Entry::Part { call, .. } = &mut slot.entry
        {
            *call = Some(id);
        }
    }

    /// Takes an entry out; its token means nothing any more.
    #[inline]
    pub(crate) fn take(&mut self, token: u64) -> Option<Entry> {
        let slot = self.slots.get(slot_of(token))?;
        if slot.serial != serial_of(token) {
            return None;
        }
        Some(self.slots.remove(slot_of(token)).entry)
    }

    /// Takes a signal's waiter out; none if its task has given up.
    pub(crate) fn take_signal(&mut self, token: u64) -> Option<Py<Waiter>> {
        match self.take(token)? {
            Entry::Signal { waiter } => Some(waiter),
            _ => None,
        }
    }

    /// Takes all of a list's waiters out.
    pub(crate) fn take_signals(&mut self, tokens: &mut Vec<u64>) -> Vec<Py<Waiter>> {
        tokens
            .drain(..)
            .filter_map(|token| self.take_signal(token))
            .collect()
    }

    /// Begins a batch of `count` requests.
    pub(crate) fn open_group(
        &mut self,
        engine: &Bound<'_, Engine>,
        sleeper: Py<PyAny>,
        count: usize,
    ) -> PyResult<(usize, Py<Waiter>)> {
        let group = self.groups.vacant_key();
        let token = self.insert(|token| {
            new_waiter(engine, token, sleeper).map(|waiter| Entry::Group { waiter, group })
        })?;
        let results = std::iter::repeat_with(|| None).take(count).collect();
        self.groups.insert(Group {
            token,
            results,
            parts: Vec::with_capacity(count),
            left: count,
        });
        let waiter = self.waiter(engine.py(), token);
        waiter
            .map(|waiter| (group, waiter))
            .ok_or_else(|| PyRuntimeError::new_err("a fresh waiter is in the table"))
    }

    /// Adds one request to a batch.
    pub(crate) fn add_part(&mut self, group: usize, position: usize, peer: PeerKey) -> u64 {
        let entry = Entry::Part {
            group,
            position,
            peer,
            call: None,
        };
        let token = match self.insert(|_| Ok::<_, std::convert::Infallible>(entry)) {
            Ok(token) => token,
            Err(never) => match never {},
        };
        if let Some(group) = self.groups.get_mut(group) {
            group.parts.push(token);
        }
        token
    }

    /// Notes one result of a batch; the waiter once it was the last one.
    pub(crate) fn complete_part(
        &mut self,
        group: usize,
        position: usize,
        result: Py<PyAny>,
    ) -> Option<(Py<Waiter>, Results)> {
        let entry = self.groups.get_mut(group)?;
        entry.results[position] = Some(result);
        entry.left -= 1;
        if entry.left > 0 {
            return None;
        }
        let entry = self.groups.remove(group);
        match self.take(entry.token)? {
            Entry::Group { waiter, .. } => Some((waiter, entry.results)),
            _ => None,
        }
    }

    /// Gives a batch up: the tokens that may still be in the table.
    pub(crate) fn drop_group(&mut self, group: usize) -> Vec<u64> {
        self.groups
            .try_remove(group)
            .map(|group| group.parts)
            .unwrap_or_default()
    }
}

/// A waiter for a token; it is new, so nothing has waited for it yet.
pub(crate) fn new_waiter(
    engine: &Bound<'_, Engine>,
    token: u64,
    sleeper: Py<PyAny>,
) -> PyResult<Py<Waiter>> {
    let waiter = Waiter {
        engine: engine.clone().unbind(),
        token,
        sleeper,
        outcome: Mutex::new(None),
    };
    Py::new(engine.py(), waiter)
}

/// The results of a batch, in order.
pub(crate) fn results_list(py: Python<'_>, results: Results) -> PyResult<Py<PyAny>> {
    let results = results
        .into_iter()
        .map(|result| result.unwrap_or_else(|| py.None()));
    Ok(PyList::new(py, results)?.into_any().unbind())
}

fn slot_of(token: u64) -> usize {
    (token & u64::from(u32::MAX)) as usize
}

fn serial_of(token: u64) -> u32 {
    (token >> SERIAL_SHIFT) as u32
}
