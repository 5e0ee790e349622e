//! Requests, replies and one-way messages.

use std::time::Duration;

use ztransport_proto::event::{Body, SendError};
use ztransport_proto::fault::{FaultCode, Retry};
use ztransport_proto::time::Time;

use crate::closing::RELAY_BIT;
use crate::error::{Failure, FailureKind, Refusal};
use crate::keys::{CallId, PeerKey};
use crate::pool::PendingCall;
use crate::state::Engine;

/// A request as the caller gives it.
pub(crate) struct Call<'a> {
    pub(crate) subject: &'a str,
    pub(crate) body: Body<'a>,
    pub(crate) metadata: &'a [u8],
    pub(crate) deadline: Option<Time>,
    pub(crate) token: u64,
}

impl Engine {
    /// Sends a request, or queues it while the peer is dialled again or out of credit.
    ///
    /// Ends exactly once for `token`: `Event::Reply`, `Event::Fault`, `Event::Expired` or
    /// `Notice::Failed`, unless [`cancel`](Engine::cancel) comes first. Tokens have their top bit
    /// clear.
    ///
    /// # Errors
    /// `NoPeer`, `Draining`, `Oversize` beyond what the peer takes, `Limit` if the queue is full.
    pub fn request(
        &mut self,
        peer: PeerKey,
        subject: &str,
        body: Body<'_>,
        timeout: Option<Duration>,
        metadata: &[u8],
        token: u64,
    ) -> Result<CallId, Refusal> {
        debug_assert_eq!(token & RELAY_BIT, 0, "the top bit is the engine's");
        let node = self.peer(peer)?.node as usize;
        if self.nodes.get(node).is_none_or(|node| node.draining) {
            return Err(Refusal::Draining);
        }
        let deadline = self.deadline_after(timeout);
        self.call(
            peer,
            Call {
                subject,
                body,
                metadata,
                deadline,
                token,
            },
        )
    }

    /// Within a turn its own reading of the clock serves.
    pub(crate) fn renew_now(&mut self) {
        if !self.turn.active {
            self.now = self.timer.now();
        }
    }

    pub(crate) fn deadline_after(&mut self, timeout: Option<Duration>) -> Option<Time> {
        self.renew_now();
        timeout.map(|timeout| self.now.after_nanos(timeout.as_nanos() as u64))
    }

    pub(crate) fn call(&mut self, peer: PeerKey, call: Call<'_>) -> Result<CallId, Refusal> {
        let entry = self.peer(peer)?;
        match entry.link {
            Some(slot) if entry.pending.is_empty() && self.takes_new(slot) => {
                self.call_now(peer, slot as usize, call)
            }
            _ => self.queue_call(peer, call),
        }
    }

    fn call_now(&mut self, peer: PeerKey, slot: usize, call: Call<'_>) -> Result<CallId, Refusal> {
        let now = self.now;
        let Some(codec) = &mut self.links[slot].codec else {
            return self.queue_call(peer, call);
        };
        let subject = match codec.subject(call.subject) {
            Ok(subject) => subject,
            Err(SendError::Limit) if !self.links[slot].greeted => {
                return self.queue_call(peer, call);
            }
            Err(error) => return Err(refusal(error)),
        };
        // A body is cheap to keep a second handle of: it is a slice or counted.
        let body = call.body.clone();
        match codec.request(now, subject, body, call.deadline, call.metadata, call.token) {
            Ok(id) => {
                self.sent_call(slot);
                Ok(CallId(Some(id)))
            }
            Err(error) if self.may_wait(slot, error) => self.queue_call(peer, call),
            Err(error) => Err(refusal(error)),
        }
    }

    /// What is refused now and may be taken later, on this connection or the next.
    fn may_wait(&self, slot: usize, error: SendError) -> bool {
        match error {
            SendError::NoCredit
            | SendError::WouldBlock
            | SendError::GoingAway
            | SendError::Closed => true,
            // Before the peer's HELLO only the smallest limits are known.
            SendError::Oversize { .. } | SendError::Limit => !self.links[slot].greeted,
            _ => false,
        }
    }

    /// A lone call leaves at once; others are gathered until the end of the turn. After a turn that
    /// answered many, more calls are about to come: the first of them is not lone.
    fn sent_call(&mut self, slot: usize) {
        let lone = !self.turn.active
            && self.turn.messages <= 1
            && !self.links[slot].dirty
            && self.links[slot]
                .codec
                .as_ref()
                .is_some_and(|codec| codec.outstanding() == 1);
        if lone {
            self.flush_link(slot);
        } else {
            self.mark_dirty(slot);
            if !self.turn.active && self.has_aged_output() {
                self.flush();
            }
        }
        self.schedule_link(slot);
    }

    fn queue_call(&mut self, peer: PeerKey, call: Call<'_>) -> Result<CallId, Refusal> {
        let entry = &mut self.peers[peer.slot as usize];
        let limits = &self.nodes[entry.node as usize].settings;
        if call.body.as_slice().len() > limits.limits.message_bytes_max as usize {
            return Err(Refusal::Oversize {
                limit: limits.limits.message_bytes_max.into(),
            });
        }
        let earliest = entry.pending.earliest();
        let pending = PendingCall {
            subject: call.subject.into(),
            body: call.body.into_bytes(),
            metadata: call.metadata.into(),
            deadline: call.deadline,
            token: call.token,
        };
        entry.pending.push(pending, &limits.links)?;
        if entry.pending.earliest() != earliest {
            self.schedule_pending(peer.slot);
        }
        Ok(CallId(None))
    }

    /// Sends queued calls, in order, as far as there is credit.
    pub(crate) fn pump_pending(&mut self, peer: u32) {
        let now = self.now;
        while let Some(entry) = self.peers.get_mut(peer as usize) {
            let (Some(call), Some(slot)) = (entry.pending.front(), entry.link) else {
                return;
            };
            let link = &mut self.links[slot as usize];
            let Some(codec) = link.codec.as_mut().filter(|_| !link.is_closed_to_new) else {
                return;
            };
            let body = Body::Owned(call.body.clone());
            let sent = codec.subject(&call.subject).and_then(|subject| {
                codec.request(
                    now,
                    subject,
                    body,
                    call.deadline,
                    &call.metadata,
                    call.token,
                )
            });
            match sent {
                Ok(_) => {
                    entry.pending.pop();
                    self.mark_dirty(slot as usize);
                    self.schedule_link(slot as usize);
                }
                Err(error) if self.may_wait(slot as usize, error) => return,
                Err(error) => self.drop_pending(peer, error),
            }
        }
    }

    fn drop_pending(&mut self, peer: u32, error: SendError) {
        let Some(call) = self.peers[peer as usize].pending.pop() else {
            return;
        };
        let kind = match error {
            SendError::Unsupported(_) => FailureKind::Unsupported,
            error => FailureKind::Limit(limit_name(error)),
        };
        let failure = Failure::new(kind, error.to_string());
        self.fail_token(peer, call.token, Retry::NotStarted, &failure);
    }

    /// Gives up on a call. After `true` nothing is heard of its token again.
    pub fn cancel(&mut self, peer: PeerKey, call: CallId, token: u64) -> bool {
        if !self.turn.active {
            self.now = self.timer.now();
        }
        let now = self.now;
        if call.0.is_none() && self.cancel_queued(peer, token) {
            return true;
        }
        let Ok(entry) = self.peer_mut(peer) else {
            return false;
        };
        let Some(slot) = entry.link else { return false };
        let Some(codec) = &mut self.links[slot as usize].codec else {
            return false;
        };
        let Some(id) = call.0.or_else(|| codec.find_token(token)) else {
            return false;
        };
        let cancelled = codec.cancel(now, id) == Some(token);
        self.mark_dirty(slot as usize);
        cancelled
    }

    /// A call that waits may have gone over to who took the peer's place.
    fn cancel_queued(&mut self, peer: PeerKey, token: u64) -> bool {
        if self
            .peer_mut(peer)
            .is_ok_and(|entry| entry.pending.remove(token))
        {
            return true;
        }
        let mut others = self.peers.iter_mut();
        others.any(|(_, entry)| entry.dial.is_some() && entry.pending.remove(token))
    }

    /// Answers a peer's request.
    ///
    /// # Errors
    /// `Unknown` if it was answered or its caller is gone, `Oversize` beyond what the peer takes.
    pub fn reply(&mut self, peer: PeerKey, id: u64, body: Body<'_>) -> Result<(), Refusal> {
        let slot = self.answering_link(peer)?;
        let codec = self.links[slot].codec.as_mut().ok_or(Refusal::Unknown)?;
        codec.reply(id, body).map_err(refusal)?;
        self.mark_dirty(slot);
        Ok(())
    }

    /// Answers a peer's request with a fault. The text is cut to the protocol's bound.
    ///
    /// # Errors
    /// `Unknown` if it was answered or its caller is gone.
    pub fn fault(
        &mut self,
        peer: PeerKey,
        id: u64,
        code: FaultCode,
        retry: Retry,
        text: &str,
    ) -> Result<(), Refusal> {
        let slot = self.answering_link(peer)?;
        let codec = self.links[slot].codec.as_mut().ok_or(Refusal::Unknown)?;
        codec.fault(id, code, retry, text).map_err(refusal)?;
        self.mark_dirty(slot);
        Ok(())
    }

    fn answering_link(&self, peer: PeerKey) -> Result<usize, Refusal> {
        self.link_of(peer).map_err(|_| Refusal::Unknown)
    }

    /// Sends a one-way message.
    ///
    /// # Errors
    /// `WouldBlock` without credit, room or connection: wait for `Event::Room` or `Notice::Up`.
    pub fn send(
        &mut self,
        peer: PeerKey,
        subject: &str,
        body: Body<'_>,
        metadata: &[u8],
    ) -> Result<(), Refusal> {
        let slot = self.greeted_link(peer)?;
        if self.peer(peer)?.behind.is_some() {
            return Err(Refusal::WouldBlock);
        }
        let codec = self.links[slot].codec.as_mut().ok_or(Refusal::WouldBlock)?;
        let number = codec.subject(subject).map_err(refusal)?;
        let sent = codec.send(number, body, metadata);
        self.mark_dirty(slot);
        sent.map_err(refusal)
    }

    /// Whether anything may still be begun on a link.
    fn takes_new(&self, slot: u32) -> bool {
        !self.links[slot as usize].is_closed_to_new
    }

    /// A link whose peer's limits are known, and that is not being replaced.
    pub(crate) fn greeted_link(&self, peer: PeerKey) -> Result<usize, Refusal> {
        let slot = self.link_of(peer)?;
        if self.links[slot].greeted && self.takes_new(slot as u32) {
            Ok(slot)
        } else {
            Err(Refusal::WouldBlock)
        }
    }

    /// The application has consumed one-way messages of a peer's subject.
    pub fn release(&mut self, peer: PeerKey, subject: u16, count: u32, bytes: u64) {
        self.with_codec(peer, |codec| codec.release_subject(subject, count, bytes));
    }

    /// Tells the peer what was consumed without waiting for half a window of it.
    pub fn flush_credit(&mut self, peer: PeerKey, subject: u16) {
        self.with_codec(peer, |codec| codec.flush_credit(subject));
    }

    /// Runs a command that cannot fail, if there is still a connection for it.
    pub(crate) fn with_codec(
        &mut self,
        peer: PeerKey,
        command: impl FnOnce(&mut ztransport_proto::Dialect),
    ) {
        let Ok(slot) = self.link_of(peer) else { return };
        let link = &mut self.links[slot];
        let Some(codec) = &mut link.codec else { return };
        command(codec);
        if link.has_output() {
            self.mark_dirty(slot);
        }
        self.resume_reading(slot);
    }

    /// Takes a peer's request as a one-way message, where its protocol does not tell them apart:
    /// then it is not answered, and is given back with [`release`](Engine::release).
    pub fn take_as_send(&mut self, peer: PeerKey, id: u64) -> bool {
        let Ok(slot) = self.link_of(peer) else {
            return false;
        };
        let codec = self.links[slot].codec.as_mut();
        codec.is_some_and(|codec| codec.take_as_send(id))
    }
}

pub(crate) fn refusal(error: SendError) -> Refusal {
    match error {
        SendError::NoCredit | SendError::WouldBlock => Refusal::WouldBlock,
        SendError::Unknown => Refusal::Unknown,
        SendError::Oversize { limit } => Refusal::Oversize {
            limit: limit.into(),
        },
        SendError::GoingAway | SendError::Closed => Refusal::WouldBlock,
        SendError::Unsupported(text) => Refusal::Unsupported(text),
        error => Refusal::Limit(limit_name(error)),
    }
}

fn limit_name(error: SendError) -> &'static str {
    match error {
        SendError::Oversize { .. } => "message_bytes_max",
        SendError::BadMetadata => "metadata_bytes_max",
        SendError::Limit => "subjects_max",
        _ => "unknown",
    }
}
