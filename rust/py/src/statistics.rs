//! Snapshots of counters as Python sees them.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use ztransport_proto::statistics as proto;

use crate::routes::{Counters, Slow};

/// Messages and their payload bytes.
#[pyclass(
    frozen,
    get_all,
    skip_from_py_object,
    module = "ztransport._ztransport"
)]
#[derive(Clone, Copy)]
pub(crate) struct Count {
    messages: u64,
    bytes: u64,
}

/// Messages of one direction, by kind.
#[pyclass(
    frozen,
    get_all,
    skip_from_py_object,
    module = "ztransport._ztransport"
)]
#[derive(Clone, Copy)]
pub(crate) struct Traffic {
    requests: Count,
    replies: Count,
    faults: Count,
    sends: Count,
    streams: Count,
    cancels: u64,
    pings: u64,
    wire_bytes: u64,
}

/// A peer's counters, of its present connection unless said otherwise.
#[pyclass(
    frozen,
    get_all,
    skip_from_py_object,
    module = "ztransport._ztransport"
)]
#[derive(Clone)]
pub(crate) struct PeerStatistics {
    sent: Traffic,
    received: Traffic,
    bytes_received: u64,
    bytes_sent: u64,
    queue_bytes: u64,
    pending_calls: u64,
    redials: u64,
    unconfirmed: u64,
    requests_in_flight: u64,
    requests_running: u64,
    request_credit: u64,
    request_credit_bytes: u64,
    streams_open: u64,
    expired: u64,
    late_answers: u64,
    ignored_ids: u64,
    dropped_unstarted: u64,
    rtt_ms: f64,
}

/// Calls of one subject's sync handler that took longer than the budget.
#[pyclass(
    frozen,
    get_all,
    skip_from_py_object,
    module = "ztransport._ztransport"
)]
#[derive(Clone, Copy)]
pub(crate) struct SlowHandler {
    count: u64,
    max_ms: f64,
}

/// A node's counters since it was opened.
#[pyclass(
    frozen,
    get_all,
    skip_from_py_object,
    module = "ztransport._ztransport"
)]
#[derive(Clone)]
pub(crate) struct NodeStatistics {
    connections: u64,
    plaintext_connections: BTreeMap<String, usize>,
    handshaking: u64,
    accepted: u64,
    dialled: u64,
    tls_reloads: u64,
    tls_reload_failures: u64,
    closed: BTreeMap<&'static str, u64>,
    bytes_received: u64,
    bytes_sent: u64,
    turns: u64,
    turn_max_ms: f64,
    sent: Traffic,
    received: Traffic,
    unroutable: u64,
    overflowed: u64,
    unanswered: u64,
    handler_failures: u64,
    slow_handlers: BTreeMap<String, SlowHandler>,
}

impl From<proto::Count> for Count {
    fn from(count: proto::Count) -> Count {
        Count {
            messages: count.messages,
            bytes: count.bytes,
        }
    }
}

impl From<proto::Traffic> for Traffic {
    fn from(traffic: proto::Traffic) -> Traffic {
        Traffic {
            requests: traffic.requests.into(),
            replies: traffic.replies.into(),
            faults: traffic.faults.into(),
            sends: traffic.sends.into(),
            streams: traffic.streams.into(),
            cancels: traffic.cancels,
            pings: traffic.pings,
            wire_bytes: traffic.wire_bytes,
        }
    }
}

impl From<ztransport_engine::PeerStatistics> for PeerStatistics {
    fn from(counted: ztransport_engine::PeerStatistics) -> PeerStatistics {
        let protocol = counted.protocol;
        PeerStatistics {
            sent: protocol.sent.into(),
            received: protocol.received.into(),
            bytes_received: counted.bytes_received,
            bytes_sent: counted.bytes_sent,
            queue_bytes: counted.queue_bytes as u64,
            pending_calls: counted.pending_calls as u64,
            redials: counted.redials,
            unconfirmed: counted.unconfirmed,
            requests_in_flight: protocol.requests_in_flight,
            requests_running: protocol.requests_running,
            request_credit: protocol.request_credit,
            request_credit_bytes: protocol.request_credit_bytes,
            streams_open: protocol.streams_open,
            expired: protocol.expired,
            late_answers: protocol.late_answers,
            ignored_ids: protocol.ignored_ids,
            dropped_unstarted: protocol.dropped_unstarted,
            rtt_ms: milliseconds(protocol.rtt_ns),
        }
    }
}

impl From<&Slow> for SlowHandler {
    fn from(slow: &Slow) -> SlowHandler {
        SlowHandler {
            count: slow.count,
            max_ms: milliseconds(slow.max_ns),
        }
    }
}

impl NodeStatistics {
    pub(crate) fn new(
        counted: ztransport_engine::NodeStatistics,
        own: &Counters,
    ) -> NodeStatistics {
        let slow = own
            .slow
            .iter()
            .map(|(subject, slow)| (subject.clone(), slow.into()));
        NodeStatistics {
            connections: counted.connections as u64,
            plaintext_connections: counted.plaintext_connections,
            handshaking: counted.handshaking as u64,
            accepted: counted.accepted,
            dialled: counted.dialled,
            tls_reloads: counted.tls_reloads,
            tls_reload_failures: own.tls_reload_failures,
            closed: counted.closed,
            bytes_received: counted.bytes_received,
            bytes_sent: counted.bytes_sent,
            turns: counted.turns,
            turn_max_ms: milliseconds(counted.turn_nanos_max),
            sent: counted.protocol.sent.into(),
            received: counted.protocol.received.into(),
            unroutable: own.unroutable,
            overflowed: own.overflowed,
            unanswered: own.unanswered,
            handler_failures: own.handler_failures,
            slow_handlers: slow.collect(),
        }
    }
}

fn milliseconds(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}
