//! A peer as Python sees it: what can be asked of it and sent to it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use ztransport_engine::{Failure, NodeKey, PeerInfo, PeerKey, Refusal};
use ztransport_proto::event::Body;
use ztransport_proto::fault::Retry;

use crate::convert;
use crate::core::{Core, Engine};
use crate::errors;
use crate::statistics::PeerStatistics;
use crate::waiters::Waiter;

/// What a link is made from. Only the engine makes one, so peers cannot be made up.
#[pyclass(frozen, module = "ztransport._ztransport")]
pub(crate) struct Seed {
    pub(crate) engine: Py<Engine>,
    pub(crate) peer: PeerKey,
    pub(crate) node: NodeKey,
    /// The name that was looked up for a membership; none for a peer.
    pub(crate) name: Option<String>,
}

#[pymethods]
impl Seed {
    /// Answers a look-up with `(address, port)` pairs, or with why there are none.
    #[pyo3(signature = (addresses, error = None))]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn resolved(
        &self,
        py: Python<'_>,
        addresses: Vec<(String, u16)>,
        error: Option<String>,
    ) -> PyResult<()> {
        let parsed = addresses
            .iter()
            .filter_map(|(host, port)| Some(std::net::SocketAddr::new(host.parse().ok()?, *port)));
        let mut core = self.engine.get().lock(py)?;
        if let Some(name) = &self.name {
            let found: Vec<_> = parsed.collect();
            core.engine.resolved_seed(self.node, name, &found);
        } else {
            let answer = error.map_or_else(|| Ok(parsed.collect()), Err);
            core.engine.resolved(self.peer, answer);
        }
        self.engine.get().finish(py, core)
    }
}

#[derive(Default)]
struct Known {
    info: Option<PeerInfo>,
    gone: bool,
    failure: Option<Failure>,
}

/// The handle of one peer; the face's peer class is below it.
#[pyclass(frozen, subclass, weakref, module = "ztransport._ztransport")]
pub(crate) struct Link {
    pub(crate) engine: Py<Engine>,
    /// The bits of the peer's key, which is another once its connection is replaced.
    peer: AtomicU64,
    pub(crate) node: NodeKey,
    known: Mutex<Known>,
    /// Whether the peer is connected and has greeted: asked for every message that is routed.
    up: AtomicBool,
}

#[pymethods]
impl Link {
    #[new]
    fn new(seed: &Bound<'_, Seed>) -> Link {
        let py = seed.py();
        let Seed {
            engine, peer, node, ..
        } = seed.get();
        Link {
            engine: engine.clone_ref(py),
            peer: AtomicU64::new(peer.to_bits()),
            node: *node,
            known: Mutex::new(Known::default()),
            up: AtomicBool::new(false),
        }
    }

    /// Sends a request and returns what to wait for.
    fn _request(
        &self,
        py: Python<'_>,
        subject: &str,
        payload: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Waiter>> {
        let body = convert::body(payload)?;
        let block = convert::metadata_block(metadata)?;
        self.request(py, subject, body, timeout, &block)
    }

    /// Sends a batch of requests; a list if all of it is refused, else what to wait for.
    fn _request_many(
        &self,
        py: Python<'_>,
        subject: &str,
        payloads: &Bound<'_, PyAny>,
        timeout: Option<f64>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let payloads: Vec<Bound<'_, PyAny>> = payloads.try_iter()?.collect::<PyResult<_>>()?;
        let bodies: Vec<Body<'_>> = payloads
            .iter()
            .map(convert::body)
            .collect::<PyResult<_>>()?;
        let block = convert::metadata_block(metadata)?;
        self.request_many(py, subject, bodies, timeout, &block)
    }

    /// Sends a one-way message now.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room or no connection.
    #[pyo3(signature = (subject, payload, metadata = None))]
    fn send_nowait(
        &self,
        py: Python<'_>,
        subject: &str,
        payload: &Bound<'_, PyAny>,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let body = convert::body(payload)?;
        let block = convert::metadata_block(metadata)?;
        let mut core = self.engine.get().lock(py)?;
        match core.engine.send(self.peer(), subject, body, &block) {
            Ok(()) => self.engine.get().finish(py, core),
            Err(refusal) => {
                core.note_refusal(self.peer(), subject, &refusal);
                Err(self.refused(py, core, &refusal))
            }
        }
    }

    /// Sends messages until there is no room; returns how many were sent.
    fn _send_many(
        &self,
        py: Python<'_>,
        subject: &str,
        payloads: &Bound<'_, PyList>,
        start: usize,
        metadata: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<usize> {
        let block = convert::metadata_block(metadata)?;
        let mut sent = start;
        while let Ok(payload) = payloads.get_item(sent) {
            let body = convert::body(&payload)?;
            let mut core = self.engine.get().lock(py)?;
            match core.engine.send(self.peer(), subject, body, &block) {
                Ok(()) => self.engine.get().finish(py, core)?,
                Err(refusal @ Refusal::WouldBlock) => {
                    core.note_refusal(self.peer(), subject, &refusal);
                    return Ok(sent);
                }
                Err(refusal) => return Err(self.refused(py, core, &refusal)),
            }
            sent += 1;
        }
        Ok(sent)
    }

    /// What to wait for before sending again after a refusal; none if there was none.
    fn _room(&self, py: Python<'_>, subject: &str) -> PyResult<Option<Py<Waiter>>> {
        let core = self.engine.get().lock(py)?;
        let known = core
            .peers
            .get(&self.peer())
            .map(|entry| entry.refused.contains(subject));
        drop(core);
        match known {
            None => Err(self.gone_error(py)),
            Some(false) => Ok(None),
            Some(true) => self.park(py, |core, peer| Some(&mut core.peers.get_mut(&peer)?.room)),
        }
    }

    /// What to wait for until the peer has greeted; none if it has.
    fn _opening(&self, py: Python<'_>) -> PyResult<Option<Py<Waiter>>> {
        if self.engine.get().lock(py)?.engine.is_up(self.peer()) {
            return Ok(None);
        }
        let waiter = self.park(py, |core, peer| {
            core.peers.get_mut(&peer).map(|entry| &mut entry.opening)
        })?;
        waiter.map(Some).ok_or_else(|| self.gone_error(py))
    }

    /// What to wait for until the peer is gone; none if it is.
    fn _closing(&self, py: Python<'_>) -> PyResult<Option<Py<Waiter>>> {
        self.park(py, |core, peer| {
            core.peers.get_mut(&peer).map(|entry| &mut entry.closing)
        })
    }

    /// Begins an orderly end.
    fn _close(&self, py: Python<'_>) -> PyResult<()> {
        let mut core = self.engine.get().lock(py)?;
        core.engine.close_peer(self.peer());
        self.engine.get().finish(py, core)
    }

    /// Whether the peer is connected and has greeted.
    #[getter]
    fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    #[getter]
    fn address(&self) -> Option<String> {
        self.info(|info| info.address.clone())
    }

    #[getter]
    fn node_id(&self) -> Option<String> {
        self.info(|info| info.node_id.clone())
    }

    #[getter]
    fn roles<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let roles = self.info(|info| info.roles.clone());
        roles.map(|roles| PyTuple::new(py, roles)).transpose()
    }

    #[getter]
    fn advertised_address(&self, py: Python<'_>) -> PyResult<Option<String>> {
        let known = || {
            self.info(|info| info.advertise.clone())
                .filter(|address| !address.is_empty())
        };
        if known().is_none() {
            // A Zeebe peer declares its address with its first message, after it has greeted.
            let info = self.engine.get().lock(py)?.engine.peer_info(self.peer());
            self.learn(info);
        }
        Ok(known())
    }

    #[getter]
    fn protocol(&self) -> Option<&'static str> {
        self.info(|info| info.protocol)
            .filter(|name| !name.is_empty())
    }

    #[getter]
    fn inbound(&self) -> Option<bool> {
        self.info(|info| info.inbound)
    }

    /// The session's facts as a dictionary; none in plaintext.
    fn _tls<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let session = self.info(|info| info.tls.clone()).flatten();
        session
            .map(|session| crate::material::session_dict(py, &session))
            .transpose()
    }

    /// Counters of the present connection; the last known ones stay when it is gone.
    fn statistics(&self, py: Python<'_>) -> PyResult<PeerStatistics> {
        let core = self.engine.get().lock(py)?;
        let counted = core.engine.peer_statistics(self.peer());
        drop(core);
        counted
            .map(PeerStatistics::from)
            .ok_or_else(|| self.gone_error(py))
    }

    fn __repr__(&self) -> String {
        let known = self.info(|info| format!("{} at {}", info.node_id, info.address));
        format!("<Peer {}>", known.as_deref().unwrap_or("being dialled"))
    }
}

impl Core {
    /// Remembers that a subject has to wait for room. The empty name stands for opening streams.
    pub(crate) fn note_refusal(&mut self, peer: PeerKey, subject: &str, refusal: &Refusal) {
        if *refusal == Refusal::WouldBlock
            && let Some(entry) = self.peers.get_mut(&peer)
        {
            entry.refused.insert(subject.to_owned());
        }
    }
}

impl Link {
    fn info<T>(&self, read: impl FnOnce(&PeerInfo) -> T) -> Option<T> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.info.as_ref().map(read)
    }

    /// The key by which the engine knows the peer now.
    #[inline]
    pub(crate) fn peer(&self) -> PeerKey {
        PeerKey::from_bits(self.peer.load(Ordering::Relaxed))
    }

    /// Another connection has taken the place of this peer's.
    pub(crate) fn replace(&self, peer: PeerKey) {
        self.peer.store(peer.to_bits(), Ordering::Relaxed);
    }

    /// Notes who the peer is on its present connection.
    pub(crate) fn learn(&self, info: Option<PeerInfo>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if info.is_some() {
            known.info = info;
        }
    }

    /// Notes that the peer has greeted, or that its connection is gone.
    pub(crate) fn set_up(&self, up: bool) {
        self.up.store(up, Ordering::Relaxed);
    }

    /// Notes that the peer is gone for good.
    pub(crate) fn lose(&self, failure: Option<&Failure>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.gone = true;
        known.failure = failure.cloned();
    }

    /// Why the peer cannot be used any more.
    pub(crate) fn gone_error(&self, py: Python<'_>) -> PyErr {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let failure = known.failure.clone();
        drop(known);
        match failure {
            Some(failure) => errors::failure(py, &failure, Some(Retry::NotStarted)),
            None => errors::closed(py, "peer"),
        }
    }

    /// The exception for a refused command, the guard being given back first.
    pub(crate) fn refused(
        &self,
        py: Python<'_>,
        core: std::sync::MutexGuard<'_, Core>,
        refusal: &Refusal,
    ) -> PyErr {
        drop(core);
        match refusal {
            Refusal::NoPeer => self.gone_error(py),
            other => errors::refusal(py, other),
        }
    }

    fn park(
        &self,
        py: Python<'_>,
        list: impl FnOnce(&mut Core, PeerKey) -> Option<&mut Vec<u64>>,
    ) -> PyResult<Option<Py<Waiter>>> {
        let engine = self.engine.bind(py);
        let sleeper = engine.get().host(py).sleeper(py)?;
        let mut core = engine.get().lock(py)?;
        let waiter = core.waiters.park(engine, sleeper)?;
        let token = waiter.get().token();
        match list(&mut core, self.peer()) {
            Some(list) => list.push(token),
            None => {
                core.waiters.take(token);
                return Ok(None);
            }
        }
        Ok(Some(waiter))
    }
}
