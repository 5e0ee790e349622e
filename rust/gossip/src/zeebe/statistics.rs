//! Counters of one member.

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Probes begun, those made for others and those of contact points among them.
    pub probes: u64,
    /// Probes without an answer of the member that was asked.
    pub probes_failed: u64,
    /// Syncs begun.
    pub syncs: u64,
    /// Syncs without an answer.
    pub syncs_failed: u64,
    /// Datagrams handed over to be sent.
    pub datagrams_sent: u64,
    /// Datagrams taken.
    pub datagrams_taken: u64,
    /// Datagrams dropped: of another cluster, malformed, or for something else.
    pub datagrams_dropped: u64,
    /// Requests of others that were malformed.
    pub requests_malformed: u64,
    /// Rumours about removed members that were no news.
    pub stale: u64,
    /// Rumours that were checked by a probe before they were believed.
    pub checked: u64,
    /// Rumours refused: no room, no address, or an incarnation from the future.
    pub refused: u64,
    /// Members suspected, by this one or on hearing.
    pub suspicions: u64,
    /// Members removed after they did not answer.
    pub deaths: u64,
    /// How often this member refuted what was said of it.
    pub refutations: u64,
}

impl Statistics {
    /// All counters by name.
    #[must_use]
    pub const fn by_name(&self) -> [(&'static str, u64); 14] {
        [
            ("probes", self.probes),
            ("probes_failed", self.probes_failed),
            ("syncs", self.syncs),
            ("syncs_failed", self.syncs_failed),
            ("datagrams_sent", self.datagrams_sent),
            ("datagrams_taken", self.datagrams_taken),
            ("datagrams_dropped", self.datagrams_dropped),
            ("requests_malformed", self.requests_malformed),
            ("stale", self.stale),
            ("checked", self.checked),
            ("refused", self.refused),
            ("suspicions", self.suspicions),
            ("deaths", self.deaths),
            ("refutations", self.refutations),
        ]
    }
}
