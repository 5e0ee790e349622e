//! One turn: what arrived goes to handlers, subscriptions, streams and waiting tasks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use ztransport_engine::{Batch, PeerKey, Poll};
use ztransport_proto::event::{Event, Payload};
use ztransport_proto::fault::{FaultCode, Retry};

use crate::core::Engine;
use crate::errors::{self, Fault};
use crate::inbox::Run;
use crate::link::Link;
use crate::message::{self, Envelope, Message};
use crate::routes::{Handler, Route};
use crate::{convert, peers, pool, streams};

/// How often, between handlers, the age of the output is looked at.
const OVERDUE_CHECK: Duration = Duration::from_micros(40);

/// Runs one turn and writes what it produced. `True` if there is more to do.
pub(crate) fn turn(engine: &Bound<'_, Engine>) -> PyResult<bool> {
    let py = engine.py();
    let mut core = engine.get().lock(py)?;
    pool::begin_turn(&mut core);
    let Some(mut batch) = core.batch.take() else {
        return Err(PyRuntimeError::new_err(
            "a turn is running: a handler cannot run another",
        ));
    };
    drop(core);
    engine.get().host(py).forget_scopes();
    let mut turn = Turn::new(engine);
    let more = turn.run(&mut batch);
    let more = pool::end_turn(engine).and_then(|left| Ok(more? || left));
    let mut core = engine.get().lock(py)?;
    core.batch = Some(batch);
    core.engine.flush();
    drop(core);
    turn.fatal.map_or(more, Err)
}

/// What one turn keeps between two messages.
pub(crate) struct Turn<'a, 'py> {
    pub(crate) engine: &'a Bound<'py, Engine>,
    pub(crate) py: Python<'py>,
    pub(crate) peer: PeerKey,
    pub(crate) link: Option<Py<Link>>,
    /// The route of the last message: the next is often for the same subject.
    pub(crate) last: Option<(u16, u64, Arc<Route>)>,
    pub(crate) run: Run,
    /// Consumed one-way messages whose credit was not given back yet.
    pub(crate) consumed: Option<(u16, u32, u64)>,
    pub(crate) handler_began: Instant,
    pub(crate) overdue_checked: Instant,
    /// An exception that must not be swallowed, such as `KeyboardInterrupt`.
    pub(crate) fatal: Option<PyErr>,
}

impl<'a, 'py> Turn<'a, 'py> {
    fn new(engine: &'a Bound<'py, Engine>) -> Turn<'a, 'py> {
        let now = Instant::now();
        Turn {
            engine,
            py: engine.py(),
            peer: PeerKey::default(),
            link: None,
            last: None,
            run: Run::default(),
            consumed: None,
            handler_began: now,
            overdue_checked: now,
            fatal: None,
        }
    }

    fn run(&mut self, batch: &mut Batch) -> PyResult<bool> {
        loop {
            let polled = self.engine.get().lock(self.py)?.engine.poll(batch);
            match polled.map_err(|failure| errors::failure(self.py, &failure, None))? {
                Poll::Idle => return Ok(false),
                Poll::Yield => return Ok(true),
                Poll::Work => self.work(batch)?,
            }
        }
    }

    fn work(&mut self, batch: &mut Batch) -> PyResult<()> {
        for notice in std::mem::take(&mut batch.notices) {
            peers::handle(self.engine, batch.peer, batch.node, notice)?;
        }
        // Only now: the notices may have made the peer.
        self.handler_began = Instant::now();
        self.begin(batch.peer)?;
        let mut events = std::mem::take(&mut batch.events);
        let mut result = Ok(());
        for event in events.drain(..) {
            result = self.handle(batch, event);
            if result.is_err() {
                break;
            }
        }
        events.clear();
        batch.events = events;
        result
            .and_then(|()| self.end_run())
            .and_then(|()| self.release_consumed())
    }

    /// Turns to another peer.
    fn begin(&mut self, peer: PeerKey) -> PyResult<()> {
        self.peer = peer;
        self.last = None;
        let mut core = self.engine.get().lock(self.py)?;
        core.read_at = (core.engine.now(), self.handler_began);
        let link = core
            .peers
            .get(&peer)
            .map(|entry| entry.link.clone_ref(self.py));
        drop(core);
        self.link = link;
        Ok(())
    }

    fn handle(&mut self, batch: &Batch, event: Event) -> PyResult<()> {
        match event {
            Event::Send {
                subject,
                metadata,
                payload,
            } => {
                let envelope = Envelope {
                    peer: self.peer,
                    request: None,
                    number: subject,
                    deadline: None,
                    metadata,
                };
                self.send(batch, envelope, &payload)
            }
            Event::Reply { token, payload } => {
                let value = PyBytes::new(self.py, batch.bytes(&payload))
                    .into_any()
                    .unbind();
                peers::complete(self.engine, token, Ok(value))
            }
            Event::Request {
                id,
                subject,
                deadline,
                metadata,
                payload,
            } => {
                let envelope = Envelope {
                    peer: self.peer,
                    request: Some(id),
                    number: subject,
                    deadline,
                    metadata,
                };
                self.request(batch, id, envelope, &payload)
            }
            other => self.handle_rare(batch, other),
        }
    }

    fn handle_rare(&mut self, batch: &Batch, event: Event) -> PyResult<()> {
        self.end_run()?;
        match event {
            Event::Fault {
                token,
                code,
                retry,
                text,
            } => {
                let text = convert::text(batch.bytes(&text));
                let error = errors::fault(self.py, code, retry, &text);
                peers::complete(self.engine, token, Err(error))
            }
            Event::Expired { token } => {
                peers::complete(self.engine, token, Err(errors::expired(self.py)))
            }
            Event::Cancelled { id } => pool::cancel(self.engine, self.peer, id),
            Event::Room { .. } => peers::wake_room(self.engine, self.peer),
            Event::StreamOpened {
                id,
                subject,
                metadata,
                payload,
            } => {
                let Some(route) = self.route(subject)? else {
                    return Ok(());
                };
                let payload = self.bytes(batch, &payload);
                let Some(link) = &self.link else {
                    return Ok(());
                };
                streams::accept(self.py, link, &route, (self.peer, id), payload, metadata)
            }
            other => streams::handle(self.engine, self.peer, batch, other),
        }
    }

    pub(crate) fn bytes(&self, batch: &Batch, payload: &Payload) -> Py<PyBytes> {
        PyBytes::new(self.py, batch.bytes(payload)).unbind()
    }

    pub(crate) fn route(&mut self, subject: u16) -> PyResult<Option<Arc<Route>>> {
        let generation = self.engine.get().generation.load(Ordering::Relaxed);
        if let Some((last, made, route)) = &self.last
            && (*last, *made) == (subject, generation)
        {
            return Ok(Some(Arc::clone(route)));
        }
        let mut core = self.engine.get().lock(self.py)?;
        let (route, stale) = core.route(self.py, self.peer, subject, generation);
        drop(core);
        drop(stale);
        self.last = route.clone().map(|route| (subject, generation, route));
        Ok(route)
    }

    fn request(
        &mut self,
        batch: &Batch,
        id: u64,
        envelope: Envelope,
        payload: &Payload,
    ) -> PyResult<()> {
        self.end_run()?;
        let Some(route) = self.route(envelope.number)? else {
            return Ok(());
        };
        let Some(link) = &self.link else {
            return Ok(());
        };
        let Some(handler) = &route.handler else {
            if route.inbox.is_some() && self.take_as_send(id)? {
                let envelope = Envelope {
                    peer: self.peer,
                    request: None,
                    ..envelope
                };
                return self.send(batch, envelope, payload);
            }
            let text = format!("no handler for {}", route.subject.bind(self.py));
            let chosen = Fault::new(FaultCode::NoHandler, Retry::NotStarted, &text);
            return message::fault(self.py, link.get(), (self.peer, id), &chosen);
        };
        let message = self.message(link, &route, envelope, self.bytes(batch, payload))?;
        self.call(&route, handler, &message)
    }

    pub(crate) fn message(
        &self,
        link: &Py<Link>,
        route: &Route,
        envelope: Envelope,
        payload: Py<PyBytes>,
    ) -> PyResult<Bound<'py, Message>> {
        let (py, subject) = (self.py, route.subject.clone_ref(self.py));
        Bound::new(
            py,
            Message::new(link.clone_ref(py), subject, payload, envelope),
        )
    }

    /// Gives a message to its handler; a sync handler runs now.
    pub(crate) fn call(
        &mut self,
        route: &Route,
        handler: &Arc<Handler>,
        message: &Bound<'py, Message>,
    ) -> PyResult<()> {
        if handler.is_async {
            return pool::begin_message(self.engine, handler, message);
        }
        match handler.function.bind(self.py).call1((message,)) {
            Ok(result) => message.get().answer(&result)?,
            Err(error) => self.failed(message, error)?,
        }
        self.after_handler(route)
    }

    fn failed(&mut self, message: &Bound<'py, Message>, error: PyErr) -> PyResult<()> {
        if error.is_instance_of::<PyException>(self.py) {
            return message.get().refuse(self.py, error);
        }
        message.get().fault(self.py, &Fault::handler_failure())?;
        self.fatal = Some(error);
        Ok(())
    }

    /// Watches the handler's time, and that its peers' output does not wait for the next handlers.
    fn after_handler(&mut self, route: &Route) -> PyResult<()> {
        let now = Instant::now();
        let took_ns = (now - self.handler_began).as_nanos() as u64;
        // The next handler begins about now: one reading of the clock serves both.
        self.handler_began = now;
        if now - self.overdue_checked < OVERDUE_CHECK {
            return Ok(());
        }
        self.overdue_checked = now;
        let mut core = self.engine.get().lock(self.py)?;
        if core.engine.flush_overdue() {
            core.engine.flush();
        }
        let node = self.link.as_ref().map(|link| link.get().node);
        let Some(node) = node.and_then(|node| core.nodes.get_mut(&node)) else {
            return Ok(());
        };
        if took_ns <= node.handler_budget_ns {
            return Ok(());
        }
        node.counters
            .count_slow(route.subject.bind(self.py).to_str()?, took_ns);
        drop(core);
        let slow = self.engine.get().host(self.py).slow.bind(self.py);
        slow.call1((&route.subject, took_ns / 1_000_000)).map(drop)
    }
}
