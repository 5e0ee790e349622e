//! Requests: one, or many that one task waits for.

use pyo3::prelude::*;
use ztransport_engine::Refusal;
use ztransport_proto::event::Body;

use crate::convert;
use crate::errors;
use crate::link::Link;
use crate::waiters::{Entry, Waiter, new_waiter, results_list};

impl Link {
    pub(crate) fn request(
        &self,
        py: Python<'_>,
        subject: &str,
        body: Body<'_>,
        timeout: Option<f64>,
        metadata: &[u8],
    ) -> PyResult<Py<Waiter>> {
        let engine = self.engine.bind(py);
        let host = engine.get().host(py);
        let sleeper = host.sleeper(py)?;
        let timeout = convert::timeout(host.seconds_left(sleeper.bind(py), timeout)?);
        let mut core = engine.get().lock(py)?;
        let mut made = None;
        let token = core.waiters.insert(|token| {
            let waiter = new_waiter(engine, token, sleeper)?;
            made = Some(waiter.clone_ref(py));
            Ok::<_, PyErr>(Entry::Call {
                waiter,
                peer: self.peer(),
                call: None,
            })
        })?;
        match core
            .engine
            .request(self.peer(), subject, body, timeout, metadata, token)
        {
            Ok(call) => core.waiters.set_call(token, call),
            Err(refusal) => {
                let unused = core.waiters.take(token);
                let refused = self.refused(py, core, &refusal);
                drop(unused);
                return Err(refused);
            }
        }
        engine.get().finish(py, core)?;
        made.ok_or_else(|| errors::closed(py, "peer"))
    }

    pub(crate) fn request_many(
        &self,
        py: Python<'_>,
        subject: &str,
        bodies: Vec<Body<'_>>,
        timeout: Option<f64>,
        metadata: &[u8],
    ) -> PyResult<Py<PyAny>> {
        if bodies.is_empty() {
            return results_list(py, Vec::new());
        }
        let engine = self.engine.bind(py);
        let host = engine.get().host(py);
        let sleeper = host.sleeper(py)?;
        let timeout = convert::timeout(host.seconds_left(sleeper.bind(py), timeout)?);
        let mut core = engine.get().lock(py)?;
        let (group, waiter) = core.waiters.open_group(engine, sleeper, bodies.len())?;
        let mut refused = Vec::new();
        for (position, body) in bodies.into_iter().enumerate() {
            let token = core.waiters.add_part(group, position, self.peer());
            match core
                .engine
                .request(self.peer(), subject, body, timeout, metadata, token)
            {
                Ok(call) => core.waiters.set_call(token, call),
                Err(refusal) => refused.push((token, refusal)),
            }
        }
        engine.get().finish(py, core)?;
        self.refuse_parts(py, waiter, group, refused)
    }

    /// Enters what was refused at once into the results of a batch.
    fn refuse_parts(
        &self,
        py: Python<'_>,
        waiter: Py<Waiter>,
        group: usize,
        refused: Vec<(u64, Refusal)>,
    ) -> PyResult<Py<PyAny>> {
        for (token, refusal) in refused {
            let mut core = self.engine.get().lock(py)?;
            let Some(Entry::Part { position, .. }) = core.waiters.take(token) else {
                continue;
            };
            let error = self.refused(py, core, &refusal).into_value(py).into_any();
            let mut core = self.engine.get().lock(py)?;
            let done = core.waiters.complete_part(group, position, error);
            drop(core);
            if let Some((_, results)) = done {
                return results_list(py, results);
            }
        }
        Ok(waiter.into_any())
    }
}
