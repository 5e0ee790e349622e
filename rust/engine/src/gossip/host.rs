//! What the host loop keeps of a membership: its thread, its seeds and its connections.

use std::collections::HashMap;
use std::net::SocketAddr;

use ztransport_gossip::limits::SEEDS_MAX;
use ztransport_gossip::seal::Sealing;
use ztransport_gossip::{Misuse, Settings};
use ztransport_proto::time::Time;

use super::thread::Runner;
use super::to_wire;
use crate::address::Address;
use crate::error::{Failure, FailureKind};
use crate::keys::PeerKey;

/// Connections one membership has dialled for itself at most.
pub(crate) const LINKS_MAX: usize = 4_096;
/// Sealed datagrams that wait for one of them to come up at most; further ones are dropped.
pub(crate) const LINK_WAITING_MAX: usize = 16;
/// Such a connection is closed after so long without use.
pub(crate) const LINK_IDLE_MS: u64 = 90_000;

/// How a node becomes a member.
#[derive(Debug)]
pub struct MembershipSettings {
    /// Times and bounds of the protocol.
    pub protocol: Settings,
    /// Encoded properties.
    pub properties: Vec<u8>,
    /// How datagrams are protected.
    pub sealing: Sealing,
    /// Where other members listen: `host:port` or `[v6]:port`, at most 64.
    pub seeds: Vec<String>,
    /// Whether everything travels over connections and no UDP socket is opened.
    pub streams_only: bool,
}

/// One place where another member may listen.
#[derive(Debug)]
pub(crate) struct Seed {
    /// The name to look up, with its port; none for an address.
    pub(crate) name: Option<(String, u16)>,
    addresses: Vec<SocketAddr>,
}

/// A connection that was dialled for sealed datagrams.
pub(crate) struct Dialled {
    pub(crate) peer: PeerKey,
    /// What waits until it is up.
    pub(crate) waiting: Vec<Vec<u8>>,
    pub(crate) used: Time,
}

/// Connections dialled for sealed datagrams, by where they lead and by peer.
pub(crate) struct Streams {
    by_address: HashMap<SocketAddr, Dialled>,
    addresses: HashMap<PeerKey, SocketAddr>,
    /// Datagrams that found no room.
    pub(crate) dropped: u64,
    /// Datagrams for connections that never came up.
    pub(crate) unconnected: u64,
    swept: Time,
}

/// A membership as the host loop holds it.
pub(crate) struct Membership {
    pub(crate) runner: Runner,
    pub(crate) seeds: Vec<Seed>,
    pub(crate) streams: Streams,
    /// The newest key epoch that was asked for here.
    pub(crate) epoch: u8,
}

impl Seed {
    pub(crate) fn parse(text: &str) -> Result<Seed, Failure> {
        match Address::parse(text)? {
            Address::Ip(address) => Ok(Seed {
                name: None,
                addresses: vec![address],
            }),
            Address::Name(host, port) => Ok(Seed {
                name: Some((host, port)),
                addresses: Vec::new(),
            }),
            Address::Unix(_) => Err(Failure::new(
                FailureKind::Configuration,
                format!("{text:?} cannot be a seed: members meet at host:port"),
            )),
        }
    }

    /// All that is known of some seeds, as far as there may be so many.
    pub(crate) fn known(seeds: &[Seed]) -> Vec<ztransport_gossip::wire::Address> {
        let mut known: Vec<_> = seeds.iter().flat_map(|seed| &seed.addresses).collect();
        known.sort_unstable();
        known.dedup();
        known.truncate(SEEDS_MAX);
        known.into_iter().map(|address| to_wire(*address)).collect()
    }

    /// Takes the answer to a look-up; returns whether it tells something new.
    pub(crate) fn learn(&mut self, addresses: &[SocketAddr]) -> bool {
        // A name server gives them in another order each time.
        let mut addresses = addresses.to_vec();
        addresses.sort_unstable();
        addresses.dedup();
        let news = !addresses.is_empty() && self.addresses != addresses;
        if news {
            self.addresses = addresses;
        }
        news
    }
}

impl Streams {
    pub(crate) fn new(now: Time) -> Streams {
        Streams {
            by_address: HashMap::new(),
            addresses: HashMap::new(),
            dropped: 0,
            unconnected: 0,
            swept: now,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_address.len()
    }

    pub(crate) fn get_mut(&mut self, address: SocketAddr) -> Option<&mut Dialled> {
        self.by_address.get_mut(&address)
    }

    pub(crate) fn insert(&mut self, address: SocketAddr, dialled: Dialled) {
        self.addresses.insert(dialled.peer, address);
        self.by_address.insert(address, dialled);
    }

    /// The peer is gone; what waited for it is lost.
    pub(crate) fn forget(&mut self, peer: PeerKey) {
        if let Some(address) = self.addresses.remove(&peer) {
            let lost = self.by_address.remove(&address);
            self.unconnected += lost.map_or(0, |dialled| dialled.waiting.len() as u64);
        }
    }

    /// What waits for a peer that has come up.
    pub(crate) fn take_waiting(&mut self, peer: PeerKey) -> Vec<Vec<u8>> {
        let address = self.addresses.get(&peer);
        let dialled = address.and_then(|address| self.by_address.get_mut(address));
        dialled.map_or_else(Vec::new, |dialled| std::mem::take(&mut dialled.waiting))
    }

    /// Something has come from a peer.
    pub(crate) fn touch(&mut self, peer: PeerKey, now: Time) {
        let address = self.addresses.get(&peer);
        if let Some(dialled) = address.and_then(|address| self.by_address.get_mut(address)) {
            dialled.used = now;
        }
    }

    /// Those that were not used for long, looked for now and then.
    pub(crate) fn idle(&mut self, now: Time) -> Vec<PeerKey> {
        let idle_nanos = LINK_IDLE_MS * 1_000_000;
        if now.saturating_since(self.swept) < idle_nanos / 8 {
            return Vec::new();
        }
        self.swept = now;
        let idle = |dialled: &&Dialled| now.saturating_since(dialled.used) >= idle_nanos;
        self.by_address
            .values()
            .filter(idle)
            .map(|dialled| dialled.peer)
            .collect()
    }

    pub(crate) fn peers(&self) -> Vec<PeerKey> {
        self.addresses.keys().copied().collect()
    }
}

/// What our own program did wrong, as a failure.
pub(crate) fn misuse(misuse: &Misuse) -> Failure {
    let kind = match misuse {
        Misuse::Departed => FailureKind::Closed,
        _ => FailureKind::Configuration,
    };
    Failure::new(kind, misuse.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialled(serial: u32, used: Time) -> Dialled {
        Dialled {
            peer: PeerKey { slot: 0, serial },
            waiting: vec![vec![1], vec![2]],
            used,
        }
    }

    #[test]
    fn what_waits_is_handed_out_once_or_lost_with_the_peer() {
        let mut streams = Streams::new(Time::ZERO);
        let [first, second] = ["127.0.0.1:1", "127.0.0.1:2"].map(|text| text.parse().unwrap());
        streams.insert(first, dialled(1, Time::ZERO));
        streams.insert(second, dialled(2, Time::ZERO));
        let peer = PeerKey { slot: 0, serial: 1 };
        assert_eq!(streams.take_waiting(peer), [[1], [2]]);
        assert!(streams.take_waiting(peer).is_empty());
        streams.forget(peer);
        streams.forget(PeerKey { slot: 0, serial: 2 });
        assert_eq!((streams.len(), streams.dropped), (0, 0));
        assert_eq!(streams.unconnected, 2, "of the one that did not come up");
    }

    #[test]
    fn only_unused_connections_are_idle() {
        let mut streams = Streams::new(Time::ZERO);
        let [old, new] = ["127.0.0.1:1", "127.0.0.1:2"].map(|text| text.parse().unwrap());
        let now = Time::from_nanos(LINK_IDLE_MS * 1_000_000);
        streams.insert(old, dialled(1, Time::ZERO));
        streams.insert(new, dialled(2, Time::ZERO));
        streams.touch(PeerKey { slot: 0, serial: 2 }, now);
        assert_eq!(streams.idle(now), [PeerKey { slot: 0, serial: 1 }]);
        assert!(streams.idle(now).is_empty(), "not looked for again so soon");
    }

    #[test]
    fn a_seed_is_an_address_or_a_name() {
        let mut seed = Seed::parse("broker-0.cluster:26502").unwrap();
        assert_eq!(seed.name, Some(("broker-0.cluster".to_owned(), 26_502)));
        assert!(Seed::known(std::slice::from_ref(&seed)).is_empty());
        let both = ["10.0.0.2:26502", "10.0.0.1:26502"].map(|text| text.parse().unwrap());
        let [second, first] = both;
        assert!(
            seed.learn(&both) && !seed.learn(&[first, second]),
            "in any order"
        );
        let found = [first];
        assert!(seed.learn(&found) && !seed.learn(&found) && !seed.learn(&[]));
        let twice = [seed, Seed::parse("10.0.0.1:26502").unwrap()];
        assert_eq!(Seed::known(&twice), [to_wire(found[0])]);
        assert!(Seed::parse("unix:/tmp/x").is_err());
    }
}
