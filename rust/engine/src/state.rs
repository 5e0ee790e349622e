//! The engine's whole state. What it does with it stands in the modules below this one.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use slab::Slab;
use ztransport_proto::time::Time;

use crate::batch::Notice;
use crate::error::{Failure, Refusal};
use crate::gossip::Membership;
use crate::idle::{Idle, IdleStrategy};
use crate::keys::{NodeKey, PeerKey};
use crate::limits::PEERS_MAX;
use crate::link::Link;
use crate::node::{Listener, Node};
use crate::poller::{Poller, Ready, Source};
use crate::pool::Peer;
use crate::timer::{Owner, Timer};

/// Settings of an engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineSettings {
    /// What it does while nothing is ready.
    pub idle: IdleStrategy,
}

/// The present turn and what it has used up.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) active: bool,
    pub(crate) polled: bool,
    pub(crate) started: Time,
    pub(crate) bytes: usize,
    pub(crate) messages: usize,
    pub(crate) handshakes: usize,
    pub(crate) served_established: bool,
}

impl Turn {
    pub(crate) fn over() -> Turn {
        Turn {
            active: false,
            polled: false,
            started: Time::ZERO,
            bytes: 0,
            messages: 0,
            handshakes: 0,
            served_established: false,
        }
    }
}

/// A forwarded call: whose request it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relay {
    pub(crate) from: PeerKey,
    pub(crate) id: u64,
    pub(crate) to: PeerKey,
    pub(crate) call: Option<u64>,
}

/// The engine of one host loop: every socket, the clock, and the protocol state of each peer.
///
/// Commands only queue; [`poll`](Engine::poll) reads, [`flush`](Engine::flush) writes. It never
/// blocks and knows nothing of Python.
pub struct Engine {
    pub(crate) poller: Poller,
    pub(crate) timer: Timer,
    pub(crate) nodes: Slab<Node>,
    pub(crate) listeners: Slab<Listener>,
    pub(crate) links: Slab<Link>,
    pub(crate) peers: Slab<Peer>,
    /// Memberships by the slot of their node.
    pub(crate) memberships: HashMap<usize, Membership>,
    pub(crate) relays: Slab<Relay>,
    pub(crate) relay_by_request: HashMap<(PeerKey, u64), usize>,
    /// Grows by one for everything that gets a key.
    pub(crate) serial: u32,
    pub(crate) ready: VecDeque<Ready>,
    pub(crate) ready_scratch: Vec<Ready>,
    /// Links whose carry may hold whole frames, by slot and serial.
    pub(crate) backlog: VecDeque<(u32, u32)>,
    pub(crate) notices: VecDeque<(PeerKey, NodeKey, Notice)>,
    /// Accepted links that have not greeted, oldest first, by slot and serial; stale ones are skipped.
    pub(crate) unproven: VecDeque<(u32, u32)>,
    pub(crate) draining_nodes: usize,
    /// Links with output, flushed at the end of the turn.
    pub(crate) dirty: Vec<u32>,
    pub(crate) dirty_since: Option<Time>,
    pub(crate) flush_wanted: bool,
    pub(crate) turn: Turn,
    pub(crate) now: Time,
    pub(crate) last_traffic: Time,
    /// Ciphertext as read: one buffer for all connections.
    pub(crate) cipher: Vec<u8>,
    pub(crate) idle: Idle,
    random_state: u64,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("nodes", &self.nodes.len())
            .field("peers", &self.peers.len())
            .field("links", &self.links.len())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes an engine with its poller and timer.
    ///
    /// # Errors
    /// `Os` if the system refuses a descriptor, `Configuration` if the spin is out of range.
    pub fn new(settings: EngineSettings) -> Result<Engine, Failure> {
        settings.idle.check()?;
        let poller = Poller::new().map_err(|error| Failure::os("no poller", &error))?;
        let timer = Timer::new().map_err(|error| Failure::os("no timer", &error))?;
        poller
            .add(&timer, Source::Timer, false)
            .map_err(|error| Failure::os("no timer", &error))?;
        let now = timer.now();
        Ok(Engine {
            poller,
            timer,
            nodes: Slab::new(),
            listeners: Slab::new(),
            links: Slab::new(),
            peers: Slab::new(),
            memberships: HashMap::new(),
            relays: Slab::new(),
            relay_by_request: HashMap::new(),
            serial: 0,
            ready: VecDeque::new(),
            ready_scratch: Vec::new(),
            backlog: VecDeque::new(),
            notices: VecDeque::new(),
            unproven: VecDeque::new(),
            draining_nodes: 0,
            dirty: Vec::new(),
            dirty_since: None,
            flush_wanted: false,
            turn: Turn::over(),
            now,
            last_traffic: now,
            cipher: Vec::new(),
            idle: Idle::new(settings.idle),
            random_state: seed(),
        })
    }

    /// The same descriptor, for whoever waits for it without the engine at hand.
    #[must_use]
    pub fn descriptor(&self) -> Arc<OwnedFd> {
        self.poller.descriptor()
    }

    /// The descriptor that is readable whenever [`poll`](Engine::poll) has work.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.poller.as_fd()
    }

    /// The engine's clock, as of this turn.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The bound of an idle spin that makes sense now; none if the host loop should block.
    #[must_use]
    pub fn spin_nanos(&self) -> Option<u64> {
        let quiet = self.timer.now().saturating_since(self.last_traffic);
        self.idle.spin_nanos(quiet)
    }

    /// Tells what became of such a spin: how long it lasted, and whether work came.
    pub fn note_spin(&mut self, nanos: u64, found: bool) {
        let draw = self.random_below(u64::MAX);
        self.idle.note_spin(nanos, found, draw);
    }

    pub(crate) fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1) & Source::SERIAL_MASK;
        self.serial
    }

    pub(crate) fn peer(&self, key: PeerKey) -> Result<&Peer, Refusal> {
        let peer = self.peers.get(key.slot as usize).ok_or(Refusal::NoPeer)?;
        if peer.key == key {
            Ok(peer)
        } else {
            Err(Refusal::NoPeer)
        }
    }

    pub(crate) fn peer_mut(&mut self, key: PeerKey) -> Result<&mut Peer, Refusal> {
        let peer = self
            .peers
            .get_mut(key.slot as usize)
            .ok_or(Refusal::NoPeer)?;
        if peer.key == key {
            Ok(peer)
        } else {
            Err(Refusal::NoPeer)
        }
    }

    /// Inserts a peer and gives it its key.
    pub(crate) fn add_peer(&mut self, make: impl FnOnce(PeerKey) -> Peer) -> Option<PeerKey> {
        if self.peers.len() >= PEERS_MAX {
            return None;
        }
        let serial = self.next_serial();
        let entry = self.peers.vacant_entry();
        let key = PeerKey {
            slot: entry.key() as u32,
            serial,
        };
        entry.insert(make(key));
        Some(key)
    }

    pub(crate) fn node_slot(&self, key: NodeKey) -> Result<usize, Failure> {
        match self.nodes.get(key.slot as usize) {
            Some(node) if node.key == key => Ok(key.slot as usize),
            _ => Err(Failure::closed()),
        }
    }

    pub(crate) fn notify(&mut self, peer: u32, notice: Notice) {
        let Some(entry) = self.peers.get(peer as usize) else {
            return;
        };
        let (key, node) = (entry.key, entry.node);
        self.notify_key(key, node, notice);
    }

    pub(crate) fn notify_key(&mut self, key: PeerKey, node: u32, notice: Notice) {
        let node = self
            .nodes
            .get(node as usize)
            .map(|node| node.key)
            .unwrap_or_default();
        self.notices.push_back((key, node, notice));
        self.wake();
    }

    /// Makes the descriptor readable soon: there is work that no socket will announce.
    pub(crate) fn wake(&mut self) {
        if !self.turn.active {
            self.timer.schedule(self.now, Owner::Wake);
            self.arm();
        }
    }

    pub(crate) fn arm(&mut self) {
        // Only a closed timer descriptor could fail here, and it lives as long as the engine.
        let armed = self.timer.arm(self.now);
        debug_assert!(armed.is_ok(), "the timer descriptor is open");
    }

    /// A number below `bound` for spreading re-dials; not for secrets.
    pub(crate) fn random_below(&mut self, bound: u64) -> u64 {
        // xorshift64* (Vigna, 2016).
        self.random_state ^= self.random_state >> 12;
        self.random_state ^= self.random_state << 25;
        self.random_state ^= self.random_state >> 27;
        self.random_state.wrapping_mul(0x2545_F491_4F6C_DD1D) % bound.max(1)
    }
}

/// An engine belongs to one thread at a time, and may be made in one and used in another.
const _: fn() = || {
    fn is_send<T: Send>() {}
    is_send::<Engine>();
};

fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
        | 1
}
