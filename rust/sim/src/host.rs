//! One process of a simulated cluster, and how it is named and protected.

use ztransport_gossip::seal::{Cipher, Sealing};
use ztransport_gossip::wire::Address;
use ztransport_gossip::{Event, Node, Time, Via};

/// The name of every simulated cluster.
pub const CLUSTER: &str = "simulated";

/// The address of a host.
#[must_use]
pub fn address(host: u32) -> Address {
    let [_, a, b, c] = host.to_be_bytes();
    Address::v4([10, a, b, c], 1)
}

pub(crate) fn host_at(address: Address) -> u32 {
    let [_, a, b, c] = address.v4_octets().unwrap_or_default();
    u32::from_be_bytes([0, a, b, c])
}

/// One process of the cluster.
pub struct Host {
    /// The member; the last one after a crash.
    pub node: Node,
    /// Whether it runs.
    pub up: bool,
    /// When it goes on, while it is paused.
    pub paused_until: Option<Time>,
    /// How late it reads, least and most, in nanoseconds.
    pub starved: Option<(u64, u64)>,
    pub(crate) held: Vec<(u32, Via, Vec<u8>)>,
    pub(crate) armed: Option<Time>,
    pub(crate) life: u64,
}

impl Host {
    /// How often its process has started: 1 for the first time.
    #[must_use]
    pub const fn life(&self) -> u64 {
        self.life
    }
}

/// An event of one member, at a time.
pub struct Heard {
    /// Which host.
    pub host: u32,
    /// What its member says.
    pub event: Event,
}

impl Heard {
    /// The number of the host it is about.
    #[must_use]
    pub fn member(&self) -> u32 {
        host_at(self.event.profile.address)
    }
}

/// What to protect datagrams with. Large worlds model it by its length alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// In the clear, as long as sealed.
    Modelled,
    /// Really sealed.
    Sealed,
}

impl Protection {
    /// The sealing that stands for it, under the one key of all simulated clusters.
    #[must_use]
    pub fn sealing(self) -> Sealing {
        match self {
            Self::Modelled => Sealing::None,
            Self::Sealed => Sealing::ClusterKey {
                epoch: 0,
                key: [7; 32],
                cipher: Cipher::default(),
            },
        }
    }
}
