//! What a member says of itself, kept.

use crate::wire::{Address, Description, Properties};

/// It takes datagrams.
pub const REACH_DATAGRAM: u8 = 1;
/// It takes the same messages over the connections of the transport.
pub const REACH_STREAM: u8 = 2;

/// All that a member says of itself, as of one incarnation. The fields are those of
/// [`Description`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "Description documents the same fields")]
pub struct Profile {
    pub sid: u64,
    pub generation: u64,
    pub version: u32,
    pub reach: u8,
    pub installed: u8,
    pub ready: u8,
    pub address: Address,
    pub name: Box<str>,
    pub properties: Box<[u8]>,
}

impl Profile {
    /// A copy of what came in a datagram.
    #[must_use]
    pub fn of(description: &Description<'_>) -> Self {
        Self {
            sid: description.sid,
            generation: description.generation,
            version: description.version,
            reach: description.reach,
            installed: description.installed,
            ready: description.ready,
            address: description.address,
            name: description.name.into(),
            properties: description.properties.as_bytes().into(),
        }
    }

    /// As it goes into a datagram, with the incarnation the member is in.
    #[must_use]
    pub fn describe(&self, incarnation: u32) -> Description<'_> {
        Description {
            sid: self.sid,
            generation: self.generation,
            incarnation,
            version: self.version,
            reach: self.reach,
            installed: self.installed,
            ready: self.ready,
            address: self.address,
            name: &self.name,
            properties: self.properties(),
        }
    }

    /// The properties, which were checked before they were kept.
    #[must_use]
    pub const fn properties(&self) -> Properties<'_> {
        Properties::kept(&self.properties)
    }
}
