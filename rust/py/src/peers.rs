//! What happens to a peer besides messages: it comes up, goes down, or cannot be reached.

use std::collections::HashSet;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyString;
use ztransport_engine::{Failure, NodeKey, Notice, PeerKey};
use ztransport_proto::fault::Retry;

use crate::core::{Core, Engine};
use crate::errors;
use crate::link::{Link, Seed};
use crate::routes::Route;
use crate::waiters::{Entry, results_list};
use crate::{cluster, pool, streams};

/// A peer as the binding knows it.
pub(crate) struct PeerEntry {
    pub(crate) link: Py<Link>,
    pub(crate) node: NodeKey,
    /// Routes by the peer's number of the subject, on the present connection.
    routes: Vec<Option<Arc<Route>>>,
    generation: u64,
    /// Wait until the peer has greeted.
    pub(crate) opening: Vec<u64>,
    /// Subjects on which a message was refused since there last was room.
    pub(crate) refused: HashSet<String>,
    /// Wait until something may be sent again.
    pub(crate) room: Vec<u64>,
    /// Wait until the peer is gone.
    pub(crate) closing: Vec<u64>,
}

impl PeerEntry {
    pub(crate) fn new(link: Py<Link>, node: NodeKey) -> PeerEntry {
        PeerEntry {
            link,
            node,
            routes: Vec::new(),
            generation: 0,
            opening: Vec::new(),
            refused: HashSet::new(),
            room: Vec::new(),
            closing: Vec::new(),
        }
    }
}

/// The link object of a new peer, of the class its node has for them.
pub(crate) fn new_link(
    engine: &Bound<'_, Engine>,
    peer: PeerKey,
    node: NodeKey,
) -> PyResult<Py<Link>> {
    let py = engine.py();
    let core = engine.get().lock(py)?;
    let class = core
        .nodes
        .get(&node)
        .map(|entry| entry.peer_class.clone_ref(py));
    drop(core);
    let class = class.ok_or_else(|| errors::closed(py, "node"))?;
    let seed = Seed {
        engine: engine.clone().unbind(),
        peer,
        node,
        name: None,
    };
    Ok(class.bind(py).call1((seed,))?.cast_into::<Link>()?.unbind())
}

impl Core {
    /// The route of a subject, resolved on first use; and a route that has become stale.
    pub(crate) fn route(
        &mut self,
        py: Python<'_>,
        peer: PeerKey,
        subject: u16,
        generation: u64,
    ) -> (Option<Arc<Route>>, Vec<Option<Arc<Route>>>) {
        let Some(entry) = self.peers.get_mut(&peer) else {
            return (None, Vec::new());
        };
        let mut stale = Vec::new();
        if entry.generation != generation {
            entry.generation = generation;
            stale = std::mem::take(&mut entry.routes);
        }
        let index = usize::from(subject);
        if let Some(Some(route)) = entry.routes.get(index) {
            return (Some(Arc::clone(route)), stale);
        }
        let Some(name) = self.engine.subject_name(peer, subject) else {
            return (None, stale);
        };
        let Some(node) = self.nodes.get(&entry.node) else {
            return (None, stale);
        };
        let route = Arc::new(node.routes.resolve(name, PyString::new(py, name).unbind()));
        if entry.routes.len() <= index {
            entry.routes.resize_with(index + 1, || None);
        }
        entry.routes[index] = Some(Arc::clone(&route));
        (Some(route), stale)
    }
}

/// Acts on one notice.
pub(crate) fn handle(
    engine: &Bound<'_, Engine>,
    peer: PeerKey,
    node: NodeKey,
    notice: Notice,
) -> PyResult<()> {
    let py = engine.py();
    match notice {
        Notice::Accepted => accepted(engine, peer, node),
        Notice::Up => up(engine, peer),
        Notice::Replaced { old } => replaced(engine, peer, old),
        Notice::Room => wake_room(engine, peer),
        Notice::ConnectFailed { error } => {
            let raised = errors::failure(py, &error, Some(Retry::NotStarted));
            gone(engine, peer, Some(&error), Some(raised))
        }
        Notice::Failed {
            token,
            retry,
            error,
        } => {
            let raised = errors::failure(py, &error, Some(retry));
            complete(engine, token, Err(raised))
        }
        Notice::Down { error, gone: true } => gone(engine, peer, error.as_ref(), None),
        Notice::Down { error, gone: false } => down(engine, peer, error.as_ref()),
        Notice::Resolve { host, port } => {
            let seed = Seed {
                engine: engine.clone().unbind(),
                peer,
                node,
                name: None,
            };
            look_up(engine, seed, host, port)
        }
        Notice::ResolveSeed { host, port } => {
            let seed = Seed {
                engine: engine.clone().unbind(),
                peer,
                node,
                name: Some(host.clone()),
            };
            look_up(engine, seed, host, port)
        }
        Notice::Members => cluster::changed(engine, node),
        Notice::Refused { error } => {
            let raised = errors::failure(py, &error, Some(Retry::NotStarted));
            let refused = &engine.get().host(py).refused;
            refused.call1(py, (raised.into_value(py),)).map(drop)
        }
        Notice::Drained => drained(engine, node),
        _ => Ok(()),
    }
}

/// Has the host loop look a name up and tell the seed.
fn look_up(engine: &Bound<'_, Engine>, seed: Seed, host: String, port: u16) -> PyResult<()> {
    let py = engine.py();
    let resolve = engine.get().host(py).resolve.bind(py);
    resolve.call1((seed, host, port)).map(drop)
}

fn accepted(engine: &Bound<'_, Engine>, peer: PeerKey, node: NodeKey) -> PyResult<()> {
    let link = new_link(engine, peer, node)?;
    let mut core = engine.get().lock(engine.py())?;
    let info = core.engine.peer_info(peer);
    link.get().learn(info);
    core.peers.insert(peer, PeerEntry::new(link, node));
    Ok(())
}

fn up(engine: &Bound<'_, Engine>, peer: PeerKey) -> PyResult<()> {
    let py = engine.py();
    let mut guard = engine.get().lock(py)?;
    let core = &mut *guard;
    let info = core.engine.peer_info(peer);
    let Some(entry) = core.peers.get_mut(&peer) else {
        return Ok(());
    };
    entry.link.get().learn(info);
    entry.link.get().set_up(true);
    let waiting = core.waiters.take_signals(&mut entry.opening);
    drop(guard);
    engine.get().resume_all(py, waiting)?;
    wake_room(engine, peer)
}

/// A new connection takes the place of a peer's: the peer is known by another key now. What was
/// begun under the old one ends there.
fn replaced(engine: &Bound<'_, Engine>, peer: PeerKey, old: PeerKey) -> PyResult<()> {
    let py = engine.py();
    let mut core = engine.get().lock(py)?;
    let Some(mut entry) = core.peers.remove(&old) else {
        return Ok(());
    };
    entry.link.get().replace(peer);
    let mut former = PeerEntry::new(entry.link.clone_ref(py), entry.node);
    former.routes = std::mem::take(&mut entry.routes);
    former.generation = entry.generation;
    core.peers.insert(old, former);
    core.peers.insert(peer, entry);
    Ok(())
}

/// The connection is gone and the peer is being dialled again.
fn down(engine: &Bound<'_, Engine>, peer: PeerKey, error: Option<&Failure>) -> PyResult<()> {
    let py = engine.py();
    let mut core = engine.get().lock(py)?;
    let stale = core.peers.get_mut(&peer).map(|entry| {
        if entry.link.get().peer() == peer {
            entry.link.get().set_up(false);
        }
        std::mem::take(&mut entry.routes)
    });
    drop(core);
    drop(stale);
    streams::lose_all(engine, peer, error)?;
    pool::cancel_all(engine, peer)?;
    wake_room(engine, peer)
}

/// The peer is gone for good. `raised` goes to those who wait for it to come up.
fn gone(
    engine: &Bound<'_, Engine>,
    peer: PeerKey,
    error: Option<&Failure>,
    raised: Option<PyErr>,
) -> PyResult<()> {
    let py = engine.py();
    down(engine, peer, error)?;
    let mut core = engine.get().lock(py)?;
    let Some(mut entry) = core.peers.remove(&peer) else {
        return Ok(());
    };
    let opening = core.waiters.take_signals(&mut entry.opening);
    let closing = core.waiters.take_signals(&mut entry.closing);
    drop(core);
    if entry.link.get().peer() != peer {
        return Ok(());
    }
    entry.link.get().lose(error);
    let raised = raised.unwrap_or_else(|| entry.link.get().gone_error(py));
    for waiter in opening {
        engine
            .get()
            .host(py)
            .resume(py, &waiter, Err(raised.clone_ref(py)))?;
    }
    engine.get().resume_all(py, closing)
}

/// Something may be sent again: whoever waits for room tries.
pub(crate) fn wake_room(engine: &Bound<'_, Engine>, peer: PeerKey) -> PyResult<()> {
    let mut guard = engine.get().lock(engine.py())?;
    let core = &mut *guard;
    let Some(entry) = core.peers.get_mut(&peer) else {
        return Ok(());
    };
    entry.refused.clear();
    let waiting = core.waiters.take_signals(&mut entry.room);
    drop(guard);
    engine.get().resume_all(engine.py(), waiting)
}

fn drained(engine: &Bound<'_, Engine>, node: NodeKey) -> PyResult<()> {
    let mut guard = engine.get().lock(engine.py())?;
    let core = &mut *guard;
    let Some(entry) = core.nodes.get_mut(&node) else {
        return Ok(());
    };
    entry.drained = true;
    let waiting = core.waiters.take_signals(&mut entry.draining);
    drop(guard);
    engine.get().resume_all(engine.py(), waiting)
}

/// Ends a call with its outcome. An answer that nobody waits for any more is dropped.
#[inline]
pub(crate) fn complete(
    engine: &Bound<'_, Engine>,
    token: u64,
    outcome: PyResult<Py<PyAny>>,
) -> PyResult<()> {
    let py = engine.py();
    let taken = engine.get().lock(py)?.waiters.take(token);
    match taken {
        Some(Entry::Call { waiter, .. }) => engine.get().host(py).resume(py, &waiter, outcome),
        Some(Entry::Part {
            group, position, ..
        }) => {
            let result = outcome.unwrap_or_else(|error| error.into_value(py).into_any());
            let done = engine
                .get()
                .lock(py)?
                .waiters
                .complete_part(group, position, result);
            let Some((waiter, results)) = done else {
                return Ok(());
            };
            engine
                .get()
                .host(py)
                .resume(py, &waiter, results_list(py, results))
        }
        _ => Ok(()),
    }
}
