//! Names for what an engine holds. A key never comes to mean something else.

/// A peer, dialled or accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PeerKey {
    pub(crate) slot: u32,
    pub(crate) serial: u32,
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
