//! Names for what an engine holds. A key never comes to mean something else.

/// A peer, dialled or accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PeerKey {
    pub(crate) slot: u32,
    pub(crate) serial: u32,
}

impl PeerKey {
    /// The key as a number, to be kept in one atomic cell.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        u64::from(self.slot) << 32 | u64::from(self.serial)
    }

    /// The key behind a number of [`to_bits`](Self::to_bits).
    #[must_use]
    pub fn from_bits(bits: u64) -> PeerKey {
        PeerKey {
            slot: (bits >> 32) as u32,
            serial: bits as u32,
        }
    }
}

/// A node: one cluster name, one identity, any number of peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeKey {
    pub(crate) slot: u32,
    pub(crate) serial: u32,
}

/// A call that was sent or is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId(pub(crate) Option<u64>);
