//! Forwarded calls: a request goes on to another peer and its answer comes back, without a visit
//! to the binding.

use bytes::Bytes;
use ztransport_proto::event::{Body, Event, Payload};
use ztransport_proto::fault::{FaultCode, Retry};
use ztransport_proto::time::Time;

use crate::batch::Batch;
use crate::calls::Call;
use crate::closing::RELAY_BIT;
use crate::error::{Failure, FailureKind, Refusal};
use crate::keys::PeerKey;
use crate::state::{Engine, Relay};

/// A request to pass on.
#[derive(Debug)]
pub struct Forward<'a> {
    /// Who asked.
    pub from: PeerKey,
    /// The id of the request.
    pub id: u64,
    /// Who will answer.
    pub to: PeerKey,
    /// The subject to ask there.
    pub subject: &'a str,
    /// The message.
    pub body: Body<'a>,
    /// Its metadata.
    pub metadata: &'a [u8],
    /// Its deadline, as its event told it.
    pub deadline: Option<Time>,
}

impl Engine {
    /// Passes a request on. Its reply, fault, cancellation and deadline are relayed; nothing more
    /// comes to the caller of this method.
    ///
    /// # Errors
    /// Those of [`request`](Engine::request); the request is still unanswered then.
    pub fn forward(&mut self, forward: Forward<'_>) -> Result<(), Refusal> {
        let Forward {
            from,
            id,
            to,
            subject,
            body,
            metadata,
            deadline,
        } = forward;
        let index = self.relays.insert(Relay {
            from,
            id,
            to,
            call: None,
        });
        let token = RELAY_BIT | index as u64;
        self.renew_now();
        match self.call(
            to,
            Call {
                subject,
                body,
                metadata,
                deadline,
                token,
            },
        ) {
            Ok(call) => {
                self.relays[index].call = call.0;
                self.relay_by_request.insert((from, id), index);
                Ok(())
            }
            Err(refusal) => {
                self.relays.remove(index);
                Err(refusal)
            }
        }
    }

    /// Passes on what belongs to forwarded calls and takes it out of the batch.
    pub(crate) fn relay_events(&mut self, peer: u32, batch: &mut Batch) {
        if self.relays.is_empty() {
            return;
        }
        let key = self.peers[peer as usize].key;
        let mut events = std::mem::take(&mut batch.events);
        events.retain(|event| !self.relay_event(key, event, batch));
        batch.events = events;
    }

    /// Returns whether the event was a forwarded call's.
    fn relay_event(&mut self, peer: PeerKey, event: &Event, batch: &Batch) -> bool {
        match event {
            Event::Reply { token, payload } if token & RELAY_BIT != 0 => {
                self.relay_reply(*token, batch, payload);
            }
            Event::Fault {
                token,
                code,
                retry,
                text,
            } if token & RELAY_BIT != 0 => {
                let text = String::from_utf8_lossy(batch.bytes(text));
                self.end_relay(*token, *code, *retry, &text);
            }
            Event::Expired { token } if token & RELAY_BIT != 0 => {
                let text = "the deadline passed at the node that forwarded the request";
                self.end_relay(*token, FaultCode::DeadlineExceeded, Retry::Unknown, text);
            }
            Event::Cancelled { id } => return self.relay_cancel(peer, *id),
            _ => return false,
        }
        true
    }

    fn relay_reply(&mut self, token: u64, batch: &Batch, payload: &Payload) {
        let Some(relay) = self.take_relay(token) else {
            return;
        };
        let body = match payload {
            Payload::Span { .. } => Body::Borrowed(batch.bytes(payload)),
            Payload::Whole(bytes) => Body::Owned(Bytes::copy_from_slice(bytes)),
        };
        if let Err(Refusal::Oversize { limit }) = self.reply(relay.from, relay.id, body) {
            let text = format!("the reply is longer than the {limit} bytes the caller takes");
            // The caller may be gone by now: then nobody waits for the fault.
            let _ = self.fault(relay.from, relay.id, FaultCode::Limit, Retry::Failed, &text);
        }
    }

    fn end_relay(&mut self, token: u64, code: FaultCode, retry: Retry, text: &str) {
        if let Some(relay) = self.take_relay(token) {
            // The caller may be gone by now: then nobody waits for the fault.
            let _ = self.fault(relay.from, relay.id, code, retry, text);
        }
    }

    /// The caller cancelled: so does the node that forwarded, and frees the caller's slot.
    fn relay_cancel(&mut self, from: PeerKey, id: u64) -> bool {
        let Some(index) = self.relay_by_request.get(&(from, id)).copied() else {
            return false;
        };
        let relay = self.relays[index];
        let token = RELAY_BIT | index as u64;
        self.cancel(relay.to, crate::keys::CallId(relay.call), token);
        self.end_relay(token, FaultCode::Cancelled, Retry::Unknown, "");
        true
    }

    /// The forwarded call ends without an answer.
    pub(crate) fn fail_relay(&mut self, token: u64, retry: Retry, error: &Failure) {
        let code = match error.kind() {
            FailureKind::DeadlineExceeded => FaultCode::DeadlineExceeded,
            FailureKind::ShuttingDown => FaultCode::ShuttingDown,
            FailureKind::Limit(_) => FaultCode::Overloaded,
            _ => FaultCode::Unavailable,
        };
        self.end_relay(token, code, retry, error.cause());
    }

    fn take_relay(&mut self, token: u64) -> Option<Relay> {
        let relay = self.relays.try_remove((token & !RELAY_BIT) as usize)?;
        self.relay_by_request.remove(&(relay.from, relay.id));
        Some(relay)
    }
}
