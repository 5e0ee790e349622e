//! Peers: what a user talks to. A dialled peer outlives its connections, an accepted one does not.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use ztransport_proto::time::Time;

use crate::address::Address;
use crate::error::{Failure, FailureKind, Refusal};
use crate::keys::PeerKey;
use crate::limits::LinkLimits;

/// A peer and what waits for its connection.
pub(crate) struct Peer {
    pub(crate) key: PeerKey,
    pub(crate) node: u32,
    /// The present connection.
    pub(crate) link: Option<u32>,
    /// How to get the next one; none for an accepted peer.
    pub(crate) dial: Option<Dial>,
    pub(crate) pending: Pending,
    pub(crate) lost: Lost,
    /// Who is being dialled to take this one's place, and from the other end.
    pub(crate) successor: Option<PeerKey>,
    pub(crate) predecessor: Option<PeerKey>,
    /// One-way messages wait for others to arrive, on the connection that was replaced: until it
    /// has ended, or until then.
    pub(crate) behind: Option<Time>,
}

impl Peer {
    pub(crate) fn new(key: PeerKey, node: u32, link: Option<u32>, dial: Option<Dial>) -> Peer {
        Peer {
            key,
            node,
            link,
            dial,
            pending: Pending::default(),
            lost: Lost::default(),
            successor: None,
            predecessor: None,
            behind: None,
        }
    }

    /// Whether a dialled peer is dialled again and again: it was up before, or is to take the
    /// place of one that was.
    pub(crate) fn is_kept(&self) -> bool {
        let keeps = |dial: &Dial| {
            dial.pooled
                && dial.state != DialState::Closing
                && (dial.was_up || self.predecessor.is_some())
        };
        self.dial.as_ref().is_some_and(keeps)
    }
}

/// Counts that outlive a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lost {
    pub(crate) redials: u64,
    /// One-way messages sent on connections that ended before the peer confirmed them.
    pub(crate) unconfirmed: u64,
}

/// What a dialer speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// ZT/1.
    #[default]
    Zt,
    /// Zeebe's cluster messaging.
    Zeebe,
}

/// How a peer is dialled, again and again.
pub(crate) struct Dial {
    pub(crate) address: Address,
    pub(crate) pooled: bool,
    pub(crate) protocol: Protocol,
    /// Addresses left to try in this attempt.
    pub(crate) candidates: VecDeque<SocketAddr>,
    pub(crate) state: DialState,
    /// Attempts since the peer was last up.
    pub(crate) attempts: u32,
    /// Whether the peer was ever up: before that, a failure is the end.
    pub(crate) was_up: bool,
    pub(crate) last_failure: Option<Failure>,
}

/// What a dialled peer is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DialState {
    /// The host loop looks the name up.
    Resolving,
    /// A link is connecting, shaking hands or greeting.
    Dialling,
    /// The peer has greeted.
    Up,
    /// The next attempt starts then.
    BackingOff(Time),
    /// The user closed it.
    Closing,
}

impl Dial {
    pub(crate) fn new(address: Address, pooled: bool, protocol: Protocol) -> Dial {
        Dial {
            address,
            pooled,
            protocol,
            candidates: VecDeque::new(),
            state: DialState::Resolving,
            attempts: 0,
            was_up: false,
            last_failure: None,
        }
    }

    /// Its name in the pool.
    pub(crate) fn pool_name(&self) -> String {
        match self.protocol {
            Protocol::Zt => self.address.to_string(),
            Protocol::Zeebe => format!("zeebe {}", self.address),
        }
    }

    /// The upper bound of the wait before the next attempt.
    pub(crate) fn back_off_ms(&self, limits: &LinkLimits) -> u64 {
        let doubled = limits
            .redial_base_ms
            .saturating_mul(1 << self.attempts.min(20));
        doubled.min(limits.redial_cap_ms)
    }
}

/// A call that waits for a connection or for credit.
pub(crate) struct PendingCall {
    pub(crate) subject: Box<str>,
    pub(crate) body: Bytes,
    pub(crate) metadata: Box<[u8]>,
    pub(crate) deadline: Option<Time>,
    pub(crate) token: u64,
}

/// The queue of such calls, bounded by count and bytes.
#[derive(Default)]
pub(crate) struct Pending {
    calls: VecDeque<PendingCall>,
    bytes: usize,
    /// No call in the queue has an earlier deadline.
    earliest: Option<Time>,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn earliest(&self) -> Option<Time> {
        self.earliest
    }

    pub(crate) fn front(&self) -> Option<&PendingCall> {
        self.calls.front()
    }

    pub(crate) fn push(&mut self, call: PendingCall, limits: &LinkLimits) -> Result<(), Refusal> {
        if self.calls.len() >= limits.pending_calls_max {
            return Err(Refusal::Limit("pending_calls_max"));
        }
        if self.bytes + call.body.len() > limits.pending_bytes_max {
            return Err(Refusal::Limit("pending_bytes_max"));
        }
        self.bytes += call.body.len();
        self.earliest = [self.earliest, call.deadline].into_iter().flatten().min();
        self.calls.push_back(call);
        Ok(())
    }

    pub(crate) fn pop(&mut self) -> Option<PendingCall> {
        let call = self.calls.pop_front()?;
        self.bytes -= call.body.len();
        Some(call)
    }

    pub(crate) fn remove(&mut self, token: u64) -> bool {
        let Some(index) = self.calls.iter().position(|call| call.token == token) else {
            return false;
        };
        if let Some(call) = self.calls.remove(index) {
            self.bytes -= call.body.len();
        }
        true
    }

    /// Takes out every call whose deadline has passed.
    pub(crate) fn expire(&mut self, now: Time) -> Vec<u64> {
        if self.earliest.is_none_or(|earliest| earliest > now) {
            return Vec::new();
        }
        let (expired, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.calls)
            .into_iter()
            .partition(|call| call.deadline.is_some_and(|deadline| deadline <= now));
        self.bytes = kept.iter().map(|call| call.body.len()).sum();
        self.earliest = kept.iter().filter_map(|call| call.deadline).min();
        self.calls = kept;
        expired.into_iter().map(|call| call.token).collect()
    }
}

/// Why a call in the queue ends with its deadline; `cause` is why the last attempt to reach the
/// peer failed.
pub(crate) fn overdue(cause: Option<&Failure>) -> Failure {
    let text = match cause {
        Some(cause) => format!(
            "the deadline passed while the peer was dialled again; the last attempt failed: {cause}"
        ),
        None => "the deadline passed while the call waited for credit or a connection".to_owned(),
    };
    Failure::new(FailureKind::DeadlineExceeded, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(token: u64, bytes: usize, deadline: u64) -> PendingCall {
        PendingCall {
            subject: "s".into(),
            body: Bytes::from(vec![0; bytes]),
            metadata: Box::default(),
            deadline: Some(Time::from_nanos(deadline)),
            token,
        }
    }

    #[test]
    fn pending_calls_are_bounded_by_count_and_bytes() {
        let limits = LinkLimits {
            pending_calls_max: 2,
            pending_bytes_max: 10,
            ..LinkLimits::default()
        };
        let mut pending = Pending::default();
        pending.push(call(1, 10, 1), &limits).unwrap();
        assert_eq!(
            pending.push(call(2, 1, 1), &limits),
            Err(Refusal::Limit("pending_bytes_max"))
        );
        pending.push(call(3, 0, 1), &limits).unwrap();
        assert_eq!(
            pending.push(call(4, 0, 1), &limits),
            Err(Refusal::Limit("pending_calls_max"))
        );
    }

    #[test]
    fn expiry_takes_only_what_is_due() {
        let mut pending = Pending::default();
        for (token, deadline) in [(1, 30), (2, 10), (3, 20)] {
            pending
                .push(call(token, 5, deadline), &LinkLimits::default())
                .unwrap();
        }
        assert_eq!(pending.expire(Time::from_nanos(20)), [2, 3]);
        assert_eq!(pending.earliest(), Some(Time::from_nanos(30)));
        assert!(pending.remove(1) && !pending.remove(1) && pending.is_empty());
    }

    #[test]
    fn back_off_doubles_up_to_its_cap() {
        let mut dial = Dial::new(Address::Name("h".into(), 1), true, Protocol::Zt);
        let limits = LinkLimits {
            redial_base_ms: 50,
            redial_cap_ms: 300,
            ..LinkLimits::default()
        };
        let bounds: Vec<_> = (0..5)
            .map(|attempts| {
                dial.attempts = attempts;
                dial.back_off_ms(&limits)
            })
            .collect();
        assert_eq!(bounds, [50, 100, 200, 300, 300]);
    }
}
