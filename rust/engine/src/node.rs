//! Nodes: one cluster name and identity with its listeners and peers, and what they counted.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ztransport_proto::hello::{Settings, are_roles};
use ztransport_proto::limits::{Limits, ROLE_BYTES_MAX, ROLES_MAX};
use ztransport_proto::statistics::Statistics as ProtocolStatistics;
use ztransport_proto::zeebe::Compression;
use ztransport_tls as tls;

use crate::error::{Failure, FailureKind};
use crate::keys::NodeKey;
use crate::limits::LinkLimits;
use crate::socket::Socket;

/// What a node is and how its connections are bounded.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Peers of another cluster are refused.
    pub cluster: String,
    /// This node's name in its greetings.
    pub node_id: String,
    /// The address told to others; empty if this node cannot be dialled.
    pub advertise: String,
    /// What this node is for, told in its greetings.
    pub roles: Vec<String>,
    /// The protocol's bounds.
    pub limits: Limits,
    /// The keys and trust of this node.
    pub tls: Option<Arc<tls::Material>>,
    /// What its listeners take; none: TLS where there are keys and trust, else plaintext.
    pub accept: Option<Accept>,
    /// How it dials; none: with TLS where there is trust, else in plaintext.
    pub dial: Option<Dialling>,
    /// The connections' bounds.
    pub links: LinkLimits,
    /// How this node speaks Zeebe's protocol.
    pub zeebe: ZeebeSettings,
}

/// What listeners take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accept {
    /// Plaintext alone.
    Plaintext,
    /// Both, told by the first bytes: for the time in which a cluster is switched, node by node.
    Permissive,
    /// TLS alone.
    Tls,
}

/// How a node dials. One that is told to use TLS never falls back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialling {
    /// In plaintext.
    Plaintext,
    /// With TLS.
    Tls,
}

/// Zeebe's protocol beside ZT/1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZeebeSettings {
    /// Whether the listeners take it. Dialling with it is always possible.
    pub is_accepted: bool,
    /// How its bytes are compressed, both ways: every node of a cluster must be told the same.
    pub compression: Compression,
}

/// A node inside the engine.
pub(crate) struct Node {
    pub(crate) key: NodeKey,
    pub(crate) settings: NodeSettings,
    /// What its connections share.
    pub(crate) protocol: Arc<Settings>,
    /// Pooled peers by address.
    pub(crate) pool: HashMap<String, u32>,
    pub(crate) draining: bool,
    pub(crate) drained: bool,
    pub(crate) accepted_open: usize,
    pub(crate) unproven: usize,
    pub(crate) unproven_by_source: HashMap<IpAddr, usize>,
    pub(crate) counters: Counters,
}

/// What a node counted since it was opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: u64,
    pub(crate) dialled: u64,
    pub(crate) tls_reloads: u64,
    pub(crate) closed: BTreeMap<&'static str, u64>,
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) turns: u64,
    pub(crate) turn_nanos_max: u64,
    /// Sums over the connections that have ended.
    pub(crate) ended: ProtocolStatistics,
}

/// A listening socket.
pub(crate) struct Listener {
    pub(crate) socket: Socket,
    pub(crate) node: u32,
    /// The file to remove when a Unix listener closes.
    pub(crate) path: Option<PathBuf>,
    pub(crate) paused: bool,
}

/// A snapshot of a node's counters.
#[derive(Clone, Debug, Default)]
pub struct NodeStatistics {
    /// Connections that are open now, both ways.
    pub connections: usize,
    /// Accepted connections that have not proven themselves yet.
    pub handshaking: usize,
    /// Of all connections, those in plaintext, by the peer's node id, or by its address where it
    /// has not told one.
    pub plaintext_connections: BTreeMap<String, usize>,
    /// Connections accepted since the node opened.
    pub accepted: u64,
    /// Connections dialled since the node opened.
    pub dialled: u64,
    /// Times other keys and trust were taken.
    pub tls_reloads: u64,
    /// Ended connections by reason.
    pub closed: BTreeMap<&'static str, u64>,
    /// Bytes read from sockets.
    pub bytes_received: u64,
    /// Bytes written to sockets.
    pub bytes_sent: u64,
    /// Turns of the engine.
    pub turns: u64,
    /// The longest turn, in nanoseconds, the handlers inside it included.
    pub turn_nanos_max: u64,
    /// The protocol's counts over all connections, ended ones included.
    pub protocol: ProtocolStatistics,
}

/// A snapshot of a peer's counters.
#[derive(Clone, Debug, Default)]
pub struct PeerStatistics {
    /// The protocol's counts on the present connection.
    pub protocol: ProtocolStatistics,
    /// Bytes read from the present socket.
    pub bytes_received: u64,
    /// Bytes written to the present socket.
    pub bytes_sent: u64,
    /// Bytes that wait to be written.
    pub queue_bytes: usize,
    /// Calls that wait for a connection or for credit.
    pub pending_calls: usize,
    /// Times the peer was dialled again.
    pub redials: u64,
    /// One-way messages that were sent and never confirmed, over all connections.
    pub unconfirmed: u64,
}

/// Who a peer is.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// The address that was dialled, or the one the peer came from.
    pub address: String,
    /// The node id the peer greeted with.
    pub node_id: String,
    /// The address the peer says it can be dialled at; empty if it cannot.
    pub advertise: String,
    /// What the peer says it is for.
    pub roles: Vec<String>,
    /// What it speaks: `zt/1` or `zeebe`; empty while there is no connection.
    pub protocol: &'static str,
    /// What TLS agreed on; none in plaintext.
    pub tls: Option<tls::Session>,
    /// Whether the peer came in through a listener.
    pub inbound: bool,
}

impl NodeSettings {
    /// What its listeners take.
    pub(crate) fn accepts(&self) -> Accept {
        let by_keys = match self.tls {
            Some(_) => Accept::Tls,
            None => Accept::Plaintext,
        };
        self.accept.unwrap_or(by_keys)
    }

    /// The keys and trust to dial with; none: in plaintext.
    pub(crate) fn dials_with(&self) -> Option<&Arc<tls::Material>> {
        match self.dial {
            Some(Dialling::Plaintext) => None,
            _ => self.tls.as_ref(),
        }
    }

    /// Errs where TLS is asked for and there is nothing to do it with, and for roles out of bounds.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if !are_roles(&self.roles) {
            let text = format!("roles are at most {ROLES_MAX} of 1 to {ROLE_BYTES_MAX} bytes each");
            return Err(Failure::new(FailureKind::Configuration, text));
        }
        let asked = match (self.accept, self.dial) {
            (Some(Accept::Tls), _) => "accept=\"tls\"",
            (Some(Accept::Permissive), _) => "accept=\"permissive\"",
            (_, Some(Dialling::Tls)) => "dial=\"tls\"",
            _ => return Ok(()),
        };
        if self.tls.is_some() {
            return Ok(());
        }
        let text = format!("{asked} needs a TLS configuration: give one, or choose plaintext");
        Err(Failure::new(FailureKind::Configuration, text))
    }
}

impl Node {
    pub(crate) fn new(key: NodeKey, settings: NodeSettings) -> Node {
        Node {
            key,
            protocol: Arc::new(protocol(&settings)),
            settings,
            pool: HashMap::new(),
            draining: false,
            drained: false,
            accepted_open: 0,
            unproven: 0,
            unproven_by_source: HashMap::new(),
            counters: Counters::default(),
        }
    }

    /// Tells later peers where this node can be dialled, unless its user has said so.
    pub(crate) fn advertise(&mut self, bound: &str) {
        if self.settings.advertise.is_empty() {
            bound.clone_into(&mut self.settings.advertise);
            self.protocol = Arc::new(protocol(&self.settings));
        }
    }

    /// Why another connection from `source` must be turned away before any cryptography.
    pub(crate) fn refuses(&self, source: Option<IpAddr>) -> Option<&'static str> {
        let limits = &self.settings.links;
        let from_source = source
            .and_then(|source| self.unproven_by_source.get(&source))
            .copied()
            .unwrap_or(0);
        if self.draining {
            Some("shutting_down")
        } else if self.accepted_open >= limits.connections_max {
            Some("connections_max")
        } else if self.unproven >= limits.handshakes_max {
            Some("handshakes_max")
        } else if from_source >= limits.handshakes_per_source_max {
            Some("handshakes_per_source_max")
        } else {
            None
        }
    }

    pub(crate) fn count_unproven(&mut self, source: Option<IpAddr>) {
        self.unproven += 1;
        if let Some(source) = source {
            *self.unproven_by_source.entry(source).or_insert(0) += 1;
        }
    }

    pub(crate) fn forget_unproven(&mut self, source: Option<IpAddr>) {
        self.unproven -= 1;
        let Some(source) = source else { return };
        if let Some(count) = self.unproven_by_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.unproven_by_source.remove(&source);
            }
        }
    }

    pub(crate) fn count_closed(&mut self, reason: &'static str) {
        *self.counters.closed.entry(reason).or_insert(0) += 1;
    }
}

fn protocol(settings: &NodeSettings) -> Settings {
    Settings {
        cluster: settings.cluster.clone(),
        node_id: settings.node_id.clone(),
        advertise: settings.advertise.clone(),
        roles: settings.roles.clone(),
        limits: settings.limits.clone(),
    }
}
