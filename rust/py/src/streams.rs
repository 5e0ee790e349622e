//! Streams by their ids: opened by a peer, fed with what arrives, lost with their connection.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use ztransport_engine::{Batch, Failure, PeerKey};
use ztransport_proto::event::{Event, Metadata};
use ztransport_proto::fault::{FaultCode, Retry};

use crate::core::Engine;
use crate::link::Link;
use crate::message::Key;
use crate::routes::Route;
use crate::stream::StreamCore;
use crate::{convert, errors, pool};

/// A peer opened a stream: its handler gets it, or the peer is told that there is none.
pub(crate) fn accept(
    py: Python<'_>,
    link: &Py<Link>,
    route: &Route,
    key: Key,
    payload: Py<PyBytes>,
    metadata: Option<Metadata>,
) -> PyResult<()> {
    let own = link.get();
    let mut core = own.engine.get().lock(py)?;
    let class = core
        .nodes
        .get(&own.node)
        .map(|node| node.stream_class.clone_ref(py));
    let (Some(handler), Some(class)) = (&route.stream, class) else {
        let text = format!("no stream handler for {}", route.subject.bind(py));
        core.engine
            .stream_reset(key.0, key.1, FaultCode::NoHandler, &text);
        return Ok(());
    };
    drop(core);
    let pairs = metadata
        .map(|block| convert::metadata_dict(py, &block))
        .transpose()?;
    let made = class
        .bind(py)
        .call1((link, &route.subject, payload, pairs))?;
    let stream = made.cast_into::<StreamCore>()?;
    stream.get().begin(key);
    let mut core = own.engine.get().lock(py)?;
    core.streams.insert(key, stream.clone().unbind());
    drop(core);
    pool::begin_stream(own.engine.bind(py), handler, &stream)
}

/// Acts on what happened to a stream; what belongs to none that is known is over.
pub(crate) fn handle(
    engine: &Bound<'_, Engine>,
    peer: PeerKey,
    batch: &Batch,
    event: Event,
) -> PyResult<()> {
    let py = engine.py();
    match event {
        Event::StreamData { id, payload } => match find(engine, peer, id)? {
            Some(stream) => stream
                .get()
                .received(py, PyBytes::new(py, batch.bytes(&payload)).unbind()),
            None => Ok(()),
        },
        Event::StreamEnd { id } => with(engine, peer, id, |stream| stream.end_received(py)),
        Event::StreamRoom { id } => with(engine, peer, id, |stream| stream.wake_room(py)),
        Event::StreamAcknowledged { id, count } => {
            with(engine, peer, id, |stream| stream.acknowledge(py, count))
        }
        Event::StreamReset { id, code, text } => {
            let text = convert::text(batch.bytes(&text));
            let error = errors::fault(py, code, Retry::Unknown, &text);
            forget(engine, peer, id)?.map_or(Ok(()), |stream| stream.get().fail(py, error))
        }
        Event::StreamClosed { id } => {
            forget(engine, peer, id)?.map_or(Ok(()), |stream| stream.get().closed(py))
        }
        _ => Ok(()),
    }
}

fn find(engine: &Bound<'_, Engine>, peer: PeerKey, id: u64) -> PyResult<Option<Py<StreamCore>>> {
    let core = engine.get().lock(engine.py())?;
    Ok(core
        .streams
        .get(&(peer, id))
        .map(|stream| stream.clone_ref(engine.py())))
}

fn with(
    engine: &Bound<'_, Engine>,
    peer: PeerKey,
    id: u64,
    act: impl FnOnce(&StreamCore) -> PyResult<()>,
) -> PyResult<()> {
    find(engine, peer, id)?.map_or(Ok(()), |stream| act(stream.get()))
}

fn forget(engine: &Bound<'_, Engine>, peer: PeerKey, id: u64) -> PyResult<Option<Py<StreamCore>>> {
    Ok(engine.get().lock(engine.py())?.streams.remove(&(peer, id)))
}

/// The connection is gone, and with it all of the peer's streams.
pub(crate) fn lose_all(
    engine: &Bound<'_, Engine>,
    peer: PeerKey,
    error: Option<&Failure>,
) -> PyResult<()> {
    let py = engine.py();
    let mut core = engine.get().lock(py)?;
    let lost: Vec<_> = core
        .streams
        .extract_if(|(owner, _), _| *owner == peer)
        .collect();
    drop(core);
    for (_, stream) in lost {
        let raised = match error {
            Some(failure) => errors::failure(py, failure, Some(Retry::Unknown)),
            None => errors::error(py, "ConnectionLost", "the connection has ended", None),
        };
        stream.get().fail(py, raised)?;
    }
    Ok(())
}
