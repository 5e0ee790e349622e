//! One-way messages of a turn: to a subscription, to a handler, or counted.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use ztransport_engine::Batch;
use ztransport_proto::event::Payload;

use crate::dispatch::Turn;
use crate::message::Envelope;

impl<'py> Turn<'_, 'py> {
    /// A one-way message: to the subscriber, else to the handler, else it is counted.
    pub(crate) fn send(
        &mut self,
        batch: &Batch,
        envelope: Envelope,
        payload: &Payload,
    ) -> PyResult<()> {
        let number = envelope.number;
        let metadata_bytes = envelope.metadata.as_ref().map_or(0, |block| block.len());
        let bytes = (payload.len() + metadata_bytes) as u64;
        if self.run.takes_payloads_of(number) {
            let payload = PyBytes::new(self.py, batch.bytes(payload));
            self.run.push(payload.into_any().unbind(), bytes);
            return Ok(());
        }
        let Some(route) = self.route(number)? else {
            return Ok(());
        };
        let Some(link) = &self.link else {
            return Ok(());
        };
        if let Some(inbox) = &route.inbox {
            if !self.run.continues(inbox, number) {
                self.end_run()?;
                self.run.begin(self.py, inbox, number);
            }
            let payload = PyBytes::new(self.py, batch.bytes(payload));
            let item = if self.run.payloads_only {
                payload.into_any()
            } else {
                let Some(link) = &self.link else {
                    return Ok(());
                };
                self.message(link, &route, envelope, payload.unbind())?
                    .into_any()
            };
            self.run.push(item.unbind(), bytes);
            return Ok(());
        }
        let link = link.clone_ref(self.py);
        self.end_run()?;
        let Some(handler) = &route.handler else {
            self.count_unroutable()?;
            return self.consume(number, bytes);
        };
        let message = self.message(&link, &route, envelope, self.bytes(batch, payload))?;
        self.call(&route, handler, &message)?;
        if handler.is_async {
            Ok(())
        } else {
            self.consume(number, bytes)
        }
    }

    /// Zeebe's protocol does not tell a one-way message from a request: where only a subscription
    /// waits it is one.
    pub(crate) fn take_as_send(&self, id: u64) -> PyResult<bool> {
        let mut core = self.engine.get().lock(self.py)?;
        Ok(core.engine.take_as_send(self.peer, id))
    }

    pub(crate) fn count_unroutable(&self) -> PyResult<()> {
        let mut core = self.engine.get().lock(self.py)?;
        let node = self.link.as_ref().map(|link| link.get().node);
        if let Some(node) = node.and_then(|node| core.nodes.get_mut(&node)) {
            node.counters.unroutable += 1;
        }
        Ok(())
    }

    /// Notes that a one-way message needs no room here any more.
    pub(crate) fn consume(&mut self, subject: u16, bytes: u64) -> PyResult<()> {
        match &mut self.consumed {
            Some((number, count, sum)) if *number == subject => {
                *count += 1;
                *sum += bytes;
            }
            _ => {
                self.release_consumed()?;
                self.consumed = Some((subject, 1, bytes));
            }
        }
        Ok(())
    }

    pub(crate) fn release_consumed(&mut self) -> PyResult<()> {
        if let Some((subject, count, bytes)) = self.consumed.take() {
            let mut core = self.engine.get().lock(self.py)?;
            core.engine.release(self.peer, subject, count, bytes);
        }
        Ok(())
    }

    /// Hands a run of messages to its subscription.
    pub(crate) fn end_run(&mut self) -> PyResult<()> {
        if self.run.is_empty() {
            return Ok(());
        }
        self.run.deliver(self.engine, self.peer)
    }
}
