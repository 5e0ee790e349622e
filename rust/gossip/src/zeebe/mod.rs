//! The membership protocol of Zeebe 8.5: SWIM over the requests of its cluster messaging, and gossip
//! by datagram.
//!
//! A [`Node`] is driven like the node of `swim`: datagrams, requests, replies, commands and a time
//! go in; datagrams, requests, events and a next deadline come out. What a real member does that
//! harms nobody it does too; what it adds is written where it is added.

mod event;
mod gossip;
mod leave;
mod merge;
mod probe;
mod request;
pub mod settings;
mod statistics;
mod sync;
mod tombs;

use std::collections::{BTreeMap, VecDeque};

use crate::error::Misuse;
use crate::kryo::{Host, Record, Release, Standing, preamble};
use crate::limits::NAME_BYTES_MAX;
use crate::random::Random;
use crate::time::Time;

use event::Reports;
use gossip::Rumour;
use request::Pending;
use settings::SEEDS_MAX;
use sync::Sync;
use tombs::Tombs;

pub use event::Event;
pub use request::{Answer, Refused, Request};
pub use settings::Settings;
pub use statistics::Statistics;

/// What is asked of members, by subject.
pub const PROBE: &str = "atomix-membership-probe";
/// Somebody asks us to probe for it.
pub const PROBE_REQUEST: &str = "atomix-membership-probe-request";
/// Somebody asks for all we know.
pub const SYNC: &str = "atomix-membership-sync";
/// What datagrams are for.
pub const GOSSIP: &str = "atomix-membership-gossip";

/// Who a member is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The cluster's name.
    pub cluster: String,
    /// The member's id, 1 to 255 bytes; a broker's is its number.
    pub id: String,
    /// Where it takes requests over TCP and datagrams over UDP.
    pub address: Host,
    /// The release it says it runs. Members take one that changes for another member.
    pub release: Release,
    /// What it says of itself.
    pub properties: BTreeMap<String, String>,
    /// Contact points.
    pub seeds: Vec<Host>,
    /// Milliseconds of wall-clock time at the start: its first incarnation.
    pub wall_ms: i64,
    /// Chooses whom to ask.
    pub seed: u64,
}

/// Another member that is present.
#[derive(Debug)]
struct Member {
    /// Alive or suspected.
    record: Record,
    /// How long it has been in this standing.
    since: Time,
}

/// One member of a cluster of Zeebe's.
///
/// Mutate, drain, wait: after `handle_*` or a command take what `poll_request`, `poll_transmit` and
/// `poll_event` give, then wait until `poll_timeout` or for input. The driver ends every request
/// with `handle_reply`, once, and at the latest after its timeout.
#[derive(Debug)]
pub struct Node {
    settings: Settings,
    preamble: [u8; 4],
    random: Random,
    /// What we say of ourselves.
    own: Record,
    started: Time,
    /// The wall clock at the start.
    wall_ms: i64,
    seeds: Vec<Host>,
    members: BTreeMap<String, Member>,
    tombs: Tombs,
    /// Members in the order in which they are probed.
    order: Vec<String>,
    turn: usize,
    probe_at: Option<Time>,
    gossip_at: Option<Time>,
    sync: Sync,
    rumours: BTreeMap<String, Rumour>,
    /// Whether all are to hear our own record in the next round.
    dispute: bool,
    pending: BTreeMap<u64, Pending>,
    token: u64,
    requests: VecDeque<Request>,
    datagrams: VecDeque<(Host, Vec<u8>)>,
    reports: Reports,
    leaving: bool,
    statistics: Statistics,
}

impl Node {
    /// A member that knows its contact points and asks them at once.
    ///
    /// # Errors
    /// [`Misuse`] for settings out of range, an id of the wrong length, too many contact points, or
    /// properties that break a rule.
    pub fn new(settings: Settings, identity: Identity, now: Time) -> Result<Self, Misuse> {
        settings.validate()?;
        check(&identity)?;
        let own = own_record(&identity);
        let mut node = Self {
            tombs: Tombs::new(settings.members_max as usize),
            preamble: preamble(&identity.cluster),
            random: Random::new(identity.seed),
            started: now,
            wall_ms: identity.wall_ms,
            seeds: identity.seeds,
            members: BTreeMap::new(),
            order: Vec::new(),
            turn: 0,
            probe_at: Some(now.after_millis(settings.probe_interval_ms.into())),
            gossip_at: None,
            sync: Sync::new(),
            rumours: BTreeMap::new(),
            dispute: false,
            pending: BTreeMap::new(),
            token: 0,
            requests: VecDeque::new(),
            datagrams: VecDeque::new(),
            reports: Reports::default(),
            leaving: false,
            statistics: Statistics::default(),
            settings,
            own,
        };
        node.greet();
        Ok(node)
    }

    /// What we say of ourselves.
    #[must_use]
    pub const fn own(&self) -> &Record {
        &self.own
    }

    /// The other members that are present.
    pub fn members(&self) -> impl Iterator<Item = &Record> {
        self.members.values().map(|member| &member.record)
    }

    /// Counters since the start.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Whether the last list that a member sent is what we know, ourselves included; or we are
    /// alone and have nobody to ask.
    #[must_use]
    pub fn is_converged(&self) -> bool {
        let alone = self.members.is_empty() && self.unknown_seeds().next().is_none();
        alone || self.sync.settled
    }

    /// When `handle_timeout` is due; none once we have left.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let deadlines = [self.probe_at, self.gossip_at, self.sync.at];
        deadlines.into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time) {
        if self.leaving {
            return;
        }
        self.tend_gossip(now);
        self.tend_probe(now);
        self.tend_sync(now);
    }

    /// Says something else of ourselves, in a new incarnation.
    ///
    /// # Errors
    /// [`Misuse`] for properties that break a rule, or after a leave.
    pub fn update_properties(
        &mut self,
        now: Time,
        properties: BTreeMap<String, String>,
    ) -> Result<(), Misuse> {
        if self.leaving {
            return Err(Misuse::Departed);
        }
        Record::check_properties(&properties).map_err(|error| Misuse::Properties(error.0))?;
        if self.own.properties != properties {
            self.own.properties = properties;
            self.own.incarnation += 1;
            self.spread(now, self.own.clone());
            self.sync.unsettle(now);
        }
        Ok(())
    }

    /// Milliseconds of wall-clock time, by the start's and the time since.
    fn wall_now(&self, now: Time) -> i64 {
        self.wall_ms + (now.saturating_since(self.started) / 1_000_000) as i64
    }
}

fn check(identity: &Identity) -> Result<(), Misuse> {
    let length = identity.id.len();
    if !(1..=NAME_BYTES_MAX).contains(&length) {
        return Err(Misuse::NameLength(length));
    }
    let seeds = identity.seeds.len() as u64;
    if seeds > SEEDS_MAX as u64 {
        return Err(Misuse::OutOfRange("seeds", seeds, 0, SEEDS_MAX as u64));
    }
    Record::check_properties(&identity.properties).map_err(|error| Misuse::Properties(error.0))
}

fn own_record(identity: &Identity) -> Record {
    Record {
        id: identity.id.clone(),
        address: Some(identity.address.clone()),
        incarnation: identity.wall_ms,
        timestamp: identity.wall_ms,
        standing: Some(Standing::Alive),
        release: Some(identity.release.clone()),
        properties: identity.properties.clone(),
        ..Record::default()
    }
}
