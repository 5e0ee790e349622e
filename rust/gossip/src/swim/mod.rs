//! The membership protocol: SWIM (Das, Gupta, Motivala, DSN 2002) with Lifeguard's corrections
//! (Dadgar, Phillips, Currey, DSN 2018) and anti-entropy by digests.

mod event;
mod exchange;
mod health;
mod input;
mod join;
mod life;
mod merge;
#[cfg(test)]
mod model;
mod output;
mod parts;
mod probe;
mod relay;
mod returns;
mod rotation;
mod rumours;
mod slots;
mod spread;
mod statistics;
mod suspects;
mod suspicion;
mod sync;
mod timers;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::error::Misuse;
use crate::limits::{
    GREETINGS_PER_SECOND, NAME_BYTES_MAX, OBJECTIONS_PER_SECOND, STRANGERS_PER_SECOND,
    SYNC_DATAGRAMS_PER_SECOND, SYNCS_PER_SECOND, Settings,
};
use crate::member::{Profile, Record, Retired, Table};
use crate::random::{Random, mix};
use crate::seal::{Keyring, Label, ReplayWindow, Sealing, SenderKey, TokenBucket};
use crate::time::Time;
use crate::wire::{Address, Properties, State};

use event::Reports;
use exchange::Sync;
use health::Health;
use join::Join;
use output::Outgoing;
use probe::Prober;
use relay::Relay;
use rotation::Turnover;
use rumours::Rumours;
use suspicion::Suspicions;

pub use event::{Event, Happened};
pub use output::{Transmit, Via};
pub use rotation::Rotation;
pub use statistics::Statistics;

/// Who a member is and where it takes datagrams.
#[derive(Debug)]
pub struct Identity {
    /// The cluster's name: members of others cannot open our datagrams.
    pub cluster: String,
    /// The member's name, 1 to 255 bytes, one of its kind in the cluster.
    pub name: String,
    /// Where others send to.
    pub address: Address,
    /// How it is reached: `REACH_DATAGRAM`, `REACH_STREAM` or both.
    pub reach: u8,
    /// Encoded [`Properties`].
    pub properties: Vec<u8>,
    /// Which life of the name this is: milliseconds of wall-clock time at the start. A clock that
    /// stepped back is corrected by what others remember.
    pub generation: u64,
    /// How datagrams are protected.
    pub sealing: Sealing,
    /// 64 bits of operating-system entropy, different for every start: the member's id comes from
    /// it, and with it the key it seals under.
    pub seed: u64,
}

/// What is needed to open a sender's datagrams once each.
struct Peer {
    key: Option<SenderKey>,
    window: ReplayWindow,
}

/// One member of a cluster.
///
/// Mutate, drain, wait: after `handle_*` or a command, take what `poll_transmit` and `poll_event`
/// give until they give nothing, then wait until `poll_timeout` or the next datagram. Before
/// `handle_timeout`, hand in what waits in the socket.
///
/// A node must not be used by two processes: after `fork` both would seal different datagrams under
/// the same nonce. The driver refuses that, as a process id cannot be named here.
pub struct Node {
    settings: Settings,
    keyring: Keyring,
    random: Random,
    /// Our id in this life.
    sid: u64,
    /// Of the last datagram sent in this life.
    counter: u64,
    /// Lives that count: this one, and those before it that were not long ago.
    lives: u32,
    /// When this life began.
    renewed: Time,
    table: Table,
    /// Our own slot.
    own: u32,
    peers: BTreeMap<u64, Peer>,
    retired: Retired,
    strangers: TokenBucket,
    greetings: TokenBucket,
    answers: TokenBucket,
    /// Datagrams of answers.
    told: TokenBucket,
    objections: TokenBucket,
    rumours: Rumours,
    suspicions: Suspicions,
    health: Health,
    prober: Prober,
    relays: Vec<Relay>,
    /// When the next round of gossip is due, while there are rumours.
    gossip_at: Option<Time>,
    /// When the last round was.
    gossiped: Option<Time>,
    sync: Sync,
    join: Join,
    turnover: Turnover,
    output: VecDeque<Outgoing>,
    reports: Reports,
    /// Until when leaving waits for somebody to tell it to.
    leave_by: Option<Time>,
    leaving: bool,
    departed: bool,
    statistics: Statistics,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("name", &self.profile().name)
            .field("sid", &format_args!("{:016x}", self.sid))
            .field("present", &self.table.present())
            .finish_non_exhaustive()
    }
}

impl Node {
    /// A member that knows nobody yet.
    ///
    /// # Errors
    /// [`Misuse`] for settings out of range, a name of the wrong length, or properties that break
    /// a rule.
    pub fn new(settings: Settings, identity: &Identity, now: Time) -> Result<Self, Misuse> {
        let label = Label::of(&identity.cluster);
        let table = Table::new(label.word(), mix(identity.seed ^ 1));
        Self::with_view(settings, identity, table, now)
    }

    /// A member that starts with a view, as another member of the cluster holds it. The views of
    /// members in one process share memory until they differ.
    ///
    /// # Errors
    /// As [`Node::new`].
    pub fn with_view(
        settings: Settings,
        identity: &Identity,
        mut table: Table,
        now: Time,
    ) -> Result<Self, Misuse> {
        settings.validate()?;
        let mut random = Random::new(identity.seed);
        let profile = own_profile(identity, new_sid(&mut random))?;
        let sid = profile.sid;
        let label = Label::of(&identity.cluster);
        let keyring = Keyring::new(label, &identity.sealing, sid);
        let own = place_own(&mut table, profile, now);
        Ok(Self {
            prober: Prober::new(&settings, &mut random, now),
            sync: Sync::new(&settings),
            health: Health::new(settings.health_max),
            settings,
            keyring,
            random,
            sid,
            counter: 0,
            lives: 1,
            renewed: now,
            table,
            own,
            peers: BTreeMap::new(),
            retired: Retired::default(),
            strangers: TokenBucket::new(STRANGERS_PER_SECOND, now),
            greetings: TokenBucket::new(GREETINGS_PER_SECOND, now),
            answers: TokenBucket::new(SYNCS_PER_SECOND, now),
            told: TokenBucket::new(SYNC_DATAGRAMS_PER_SECOND, now),
            objections: TokenBucket::new(OBJECTIONS_PER_SECOND, now),
            rumours: Rumours::default(),
            suspicions: Suspicions::default(),
            relays: Vec::new(),
            gossip_at: None,
            gossiped: None,
            join: Join::default(),
            turnover: Turnover::default(),
            output: VecDeque::new(),
            reports: Reports::default(),
            leave_by: None,
            leaving: false,
            departed: false,
            statistics: Statistics::default(),
        })
    }

    /// Our id in this life.
    #[must_use]
    pub const fn sid(&self) -> u64 {
        self.sid
    }

    /// Our incarnation.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.record().incarnation
    }

    /// What we say of ourselves.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.record().profile
    }

    fn record(&self) -> &Record {
        self.table
            .get(self.own)
            .expect("a member's own record is never removed")
    }

    /// All members known, ourselves and those that ended among them.
    #[must_use]
    pub const fn view(&self) -> &Table {
        &self.table
    }

    /// Our local health: 0 is sound.
    #[must_use]
    pub const fn health(&self) -> u32 {
        self.health.score()
    }

    /// The settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Counters since the start.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Rumours that are still repeated.
    #[must_use]
    pub fn rumours(&self) -> usize {
        self.rumours.len()
    }

    /// Whether all that we hear from has the same view, for as long as a rumour needs to spread.
    #[must_use]
    pub fn is_converged(&self, now: Time) -> bool {
        self.converges_at().is_some_and(|at| at <= now)
    }

    /// When [`Node::is_converged`] becomes true if nothing changes; `None` while views differ.
    #[must_use]
    pub fn converges_at(&self) -> Option<Time> {
        if self.table.present() == 1 {
            return Some(Time::ZERO);
        }
        let settling = self.settings.dissemination_nanos(self.table.present());
        self.sync
            .agrees_since(self.table.digest())
            .map(|since| since.after_nanos(settling))
    }

    /// Whether datagrams are sealed at all.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.keyring.is_sealed()
    }

    /// Whether our leaving has been told, or our name was lost: nothing more will be sent.
    #[must_use]
    pub const fn is_departed(&self) -> bool {
        self.departed
    }

    /// Says that the host of this member stood still for `millis`: its program did not run, so what
    /// it thinks of others is worth less.
    pub fn report_lag(&mut self, millis: u64) {
        if millis >= u64::from(self.settings.probe_timeout_ms_max) {
            self.health.worsen(1);
        }
    }

    fn has_present(&self, sid: u64) -> bool {
        self.table
            .find(sid)
            .is_some_and(|slot| self.is_present(slot))
    }

    fn is_present(&self, slot: u32) -> bool {
        let record = self.table.get(slot);
        record.is_some_and(|record| record.state.is_present())
    }
}

fn new_sid(random: &mut Random) -> u64 {
    loop {
        match random.word() {
            0 => {}
            sid => return sid,
        }
    }
}

fn own_profile(identity: &Identity, sid: u64) -> Result<Profile, Misuse> {
    let length = identity.name.len();
    if !(1..=NAME_BYTES_MAX).contains(&length) {
        return Err(Misuse::NameLength(length));
    }
    Properties::new(&identity.properties).map_err(|error| Misuse::Properties(error.0))?;
    let epoch = match identity.sealing {
        Sealing::ClusterKey { epoch, .. } => epoch,
        Sealing::None => 0,
    };
    Ok(Profile {
        sid,
        generation: identity.generation,
        version: 0,
        reach: identity.reach,
        installed: epoch,
        ready: epoch,
        address: identity.address,
        name: identity.name.as_str().into(),
        properties: identity.properties.as_slice().into(),
    })
}

/// Puts ourselves into the view, unless it holds us already.
fn place_own(table: &mut Table, profile: Profile, now: Time) -> u32 {
    if let Some(slot) = table.find(profile.sid) {
        return slot;
    }
    let record = Record {
        sid: profile.sid,
        since: now,
        incarnation: 0,
        state: State::Alive,
        profile: Arc::new(profile),
    };
    table.insert(record)
}
