//! A node as Python sees it.

use std::sync::atomic::Ordering;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use ztransport_engine::{Accept, Dialling, NodeKey, NodeSettings, Protocol, ZeebeSettings};
use ztransport_proto::zeebe::Compression;

use crate::core::Engine;
use crate::errors;
use crate::inbox::Inbox;
use crate::limits;
use crate::link::Link;
use crate::material::Material;
use crate::peers::{PeerEntry, new_link};
use crate::routes::{Counters, Handler, NodeEntry, Routes};
use crate::statistics::NodeStatistics;
use crate::waiters::Waiter;

/// One node; the face's node class is below it.
#[pyclass(frozen, subclass, weakref, module = "ztransport._ztransport")]
pub(crate) struct NodeCore {
    pub(crate) engine: Py<Engine>,
    pub(crate) key: NodeKey,
    cluster: String,
    node_id: String,
    /// What one sender may have waiting in a subscription.
    pub(crate) subject_window_bytes: u64,
}

#[pymethods]
impl NodeCore {
    #[new]
    #[pyo3(signature = (engine, *, cluster, node_id, advertise, roles, limits, material, peer_class, stream_class, handler_budget_ms, expose_errors, accept, dial, protocols, zeebe_compression))]
    #[expect(
        clippy::too_many_arguments,
        reason = "named in Python: one for each setting"
    )]
    #[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
    fn new(
        engine: &Bound<'_, Engine>,
        cluster: String,
        node_id: String,
        advertise: String,
        roles: Vec<String>,
        limits: &Bound<'_, PyDict>,
        material: Option<&Bound<'_, Material>>,
        peer_class: Py<PyAny>,
        stream_class: Py<PyAny>,
        handler_budget_ms: u64,
        expose_errors: bool,
        accept: Option<&str>,
        dial: Option<&str>,
        protocols: Vec<String>,
        zeebe_compression: &str,
    ) -> PyResult<NodeCore> {
        let py = engine.py();
        let (protocol, links) = limits::from_dict(limits)?;
        let subject_window_bytes = protocol.subject_window_bytes;
        let settings = NodeSettings {
            cluster: cluster.clone(),
            node_id: node_id.clone(),
            advertise,
            roles,
            limits: protocol,
            tls: material.map(|material| material.get().inner.clone()),
            accept: accept.map(|name| accepted(py, name)).transpose()?,
            dial: dial.map(|name| dialling(py, name)).transpose()?,
            links,
            zeebe: zeebe(py, &protocols, zeebe_compression)?,
        };
        let entry = NodeEntry {
            routes: Routes::default(),
            counters: Counters::default(),
            peer_class,
            stream_class,
            handler_budget_ns: handler_budget_ms.saturating_mul(1_000_000),
            expose_errors,
            members_changed: None,
            draining: Vec::new(),
            drained: false,
        };
        let mut core = engine.get().lock(py)?;
        let opened = core.engine.open_node(settings);
        let key = opened.map_err(|failure| errors::failure(py, &failure, None))?;
        core.nodes.insert(key, entry);
        let engine = engine.clone().unbind();
        Ok(NodeCore {
            engine,
            key,
            cluster,
            node_id,
            subject_window_bytes,
        })
    }

    #[getter]
    fn engine(&self, py: Python<'_>) -> Py<Engine> {
        self.engine.clone_ref(py)
    }

    #[getter]
    fn cluster(&self) -> &str {
        &self.cluster
    }

    #[getter]
    fn node_id(&self) -> &str {
        &self.node_id
    }

    /// The address others are told, and whether Zeebe's protocol is taken there.
    fn _advertised(&self, py: Python<'_>) -> PyResult<(String, bool)> {
        let core = self.engine.get().lock(py)?;
        let told = core.engine.advertised(self.key);
        let told = told.map(|(address, zeebe)| (address.to_owned(), zeebe));
        drop(core);
        told.ok_or_else(|| errors::closed(py, "node"))
    }

    /// Listens and returns the address that was bound.
    fn _listen(&self, py: Python<'_>, address: &str) -> PyResult<String> {
        let mut core = self.engine.get().lock(py)?;
        let bound = core.engine.listen(self.key, address);
        drop(core);
        bound.map_err(|failure| errors::failure(py, &failure, None))
    }

    /// Begins to dial and returns the peer; a pooled one may be up already.
    fn _dial(
        &self,
        py: Python<'_>,
        address: &str,
        pooled: bool,
        protocol: &str,
    ) -> PyResult<Py<Link>> {
        let engine = self.engine.bind(py);
        let protocol = dialled_protocol(py, protocol)?;
        let mut core = engine.get().lock(py)?;
        let dialled = core
            .engine
            .connect_with(self.key, address, pooled, protocol);
        let known = dialled.as_ref().ok().and_then(|peer| core.peers.get(peer));
        if let Some(entry) = known {
            return Ok(entry.link.clone_ref(py));
        }
        engine.get().finish(py, core)?;
        let peer = dialled.map_err(|failure| errors::failure(py, &failure, None))?;
        let link = new_link(engine, peer, self.key)?;
        let mut core = engine.get().lock(py)?;
        link.get().learn(core.engine.peer_info(peer));
        core.peers
            .insert(peer, PeerEntry::new(link.clone_ref(py), self.key));
        Ok(link)
    }

    /// Sets a subject's handler.
    fn _handle(
        &self,
        py: Python<'_>,
        subject: String,
        function: Py<PyAny>,
        is_async: bool,
    ) -> PyResult<()> {
        self.set(py, |routes| {
            routes.set(subject, Handler { function, is_async })
        })
    }

    /// Sets the handler of all subjects that begin with `prefix`.
    fn _handle_prefix(
        &self,
        py: Python<'_>,
        prefix: String,
        function: Py<PyAny>,
        is_async: bool,
    ) -> PyResult<()> {
        self.set(py, |routes| {
            routes.set_prefix(prefix, Handler { function, is_async })
        })
    }

    /// Sets a subject's stream handler.
    fn _handle_stream(&self, py: Python<'_>, subject: String, function: Py<PyAny>) -> PyResult<()> {
        self.set(py, |routes| {
            routes.set_stream(
                subject,
                Handler {
                    function,
                    is_async: true,
                },
            )
        })
    }

    /// Gives a subject's one-way messages to an inbox.
    fn _subscribe(&self, py: Python<'_>, subject: &str, inbox: Py<Inbox>) -> PyResult<()> {
        let mut core = self.engine.get().lock(py)?;
        let node = core.nodes.get_mut(&self.key);
        let added = node.map(|node| node.routes.subscribe(subject, inbox));
        drop(core);
        self.engine.get().generation.fetch_add(1, Ordering::Relaxed);
        match added {
            Some(true) => Ok(()),
            Some(false) => {
                let text = format!("{subject:?} has a subscriber: close that one first");
                Err(errors::configuration(py, &text))
            }
            None => Err(errors::closed(py, "node")),
        }
    }

    /// Takes nothing new and finishes what runs.
    fn _drain(&self, py: Python<'_>) -> PyResult<()> {
        let mut core = self.engine.get().lock(py)?;
        core.engine.drain_node(self.key);
        self.engine.get().finish(py, core)
    }

    /// What to wait for until the drain is over; none if it is.
    fn _drained(&self, py: Python<'_>) -> PyResult<Option<Py<Waiter>>> {
        let engine = self.engine.bind(py);
        let sleeper = engine.get().host(py).sleeper(py)?;
        let mut guard = engine.get().lock(py)?;
        let core = &mut *guard;
        let Some(node) = core.nodes.get_mut(&self.key).filter(|node| !node.drained) else {
            return Ok(None);
        };
        let waiter = core.waiters.park(engine, sleeper)?;
        node.draining.push(waiter.get().token());
        Ok(Some(waiter))
    }

    /// Cuts everything; what still waits fails in the next turn.
    fn _close(&self, py: Python<'_>) -> PyResult<()> {
        let mut core = self.engine.get().lock(py)?;
        core.engine.close_node(self.key);
        let entry = core.nodes.remove(&self.key);
        drop(core);
        let Some(entry) = entry else { return Ok(()) };
        for inbox in entry.routes.inboxes() {
            inbox.get().end(py)?;
        }
        self.engine.get().generation.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Takes other keys and trust; returns how many connections that ended.
    fn _publish_tls(&self, py: Python<'_>, material: &Bound<'_, Material>) -> PyResult<usize> {
        let mut core = self.engine.get().lock(py)?;
        let material = material.get().inner.clone();
        let published = core.engine.reload_tls(self.key, material);
        self.engine.get().finish(py, core)?;
        published.map_err(|failure| errors::failure(py, &failure, None))
    }

    /// Counts keys and trust that could not be taken.
    fn _count_tls_failure(&self, py: Python<'_>) -> PyResult<()> {
        let mut core = self.engine.get().lock(py)?;
        if let Some(node) = core.nodes.get_mut(&self.key) {
            node.counters.tls_reload_failures += 1;
        }
        Ok(())
    }

    /// Counters since the node was opened.
    fn statistics(&self, py: Python<'_>) -> PyResult<NodeStatistics> {
        let core = self.engine.get().lock(py)?;
        let counted = core.engine.node_statistics(self.key);
        let own = core.nodes.get(&self.key);
        let both = counted
            .zip(own)
            .map(|(counted, own)| NodeStatistics::new(counted, &own.counters));
        drop(core);
        both.ok_or_else(|| errors::closed(py, "node"))
    }
}

impl NodeCore {
    /// Changes the routes; what was replaced is dropped when the engine is free again.
    fn set<T>(&self, py: Python<'_>, change: impl FnOnce(&mut Routes) -> T) -> PyResult<()> {
        let mut core = self.engine.get().lock(py)?;
        let replaced = core
            .nodes
            .get_mut(&self.key)
            .map(|node| change(&mut node.routes));
        drop(core);
        self.engine.get().generation.fetch_add(1, Ordering::Relaxed);
        replaced.map(drop).ok_or_else(|| errors::closed(py, "node"))
    }
}

const PROTOCOLS: [&str; 2] = ["zt/1", "zeebe"];

fn zeebe(py: Python<'_>, protocols: &[String], compression: &str) -> PyResult<ZeebeSettings> {
    let is_known = |name: &String| PROTOCOLS.contains(&name.as_str());
    if !protocols.iter().all(is_known) || !protocols.iter().any(|name| name == PROTOCOLS[0]) {
        let text = format!("protocols hold \"zt/1\" and may hold \"zeebe\", not {protocols:?}");
        return Err(errors::configuration(py, &text));
    }
    let compression = match compression {
        "none" => Compression::None,
        "gzip" => Compression::Gzip,
        "snappy" => Compression::Snappy,
        other => {
            let text = format!("zeebe_compression is none, gzip or snappy, not {other:?}");
            return Err(errors::configuration(py, &text));
        }
    };
    Ok(ZeebeSettings {
        is_accepted: protocols.iter().any(|name| name == PROTOCOLS[1]),
        compression,
    })
}

fn accepted(py: Python<'_>, name: &str) -> PyResult<Accept> {
    match name {
        "plaintext" => Ok(Accept::Plaintext),
        "permissive" => Ok(Accept::Permissive),
        "tls" => Ok(Accept::Tls),
        other => {
            let text = format!("accept is plaintext, permissive or tls, not {other:?}");
            Err(errors::configuration(py, &text))
        }
    }
}

fn dialling(py: Python<'_>, name: &str) -> PyResult<Dialling> {
    match name {
        "plaintext" => Ok(Dialling::Plaintext),
        "tls" => Ok(Dialling::Tls),
        other => {
            let text = format!("dial is plaintext or tls, not {other:?}");
            Err(errors::configuration(py, &text))
        }
    }
}

fn dialled_protocol(py: Python<'_>, name: &str) -> PyResult<Protocol> {
    match name {
        "zt/1" => Ok(Protocol::Zt),
        "zeebe" => Ok(Protocol::Zeebe),
        other => {
            let text = format!("a protocol is \"zt/1\" or \"zeebe\", not {other:?}");
            Err(errors::configuration(py, &text))
        }
    }
}
