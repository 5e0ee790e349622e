//! What may happen to a datagram on its way.

use std::collections::BTreeSet;

use ztransport_gossip::random::Random;

/// A network: delays in nanoseconds, chances from 0 to 1.
#[derive(Clone, Debug)]
pub struct Network {
    /// The shortest delay.
    pub delay_min: u64,
    /// The longest; a range reorders datagrams.
    pub delay_max: u64,
    /// The chance that a datagram is lost.
    pub loss: f64,
    /// The chance that a datagram arrives twice.
    pub duplication: f64,
    /// The side of each host; hosts of different sides do not hear each other. Empty: one side.
    pub sides: Vec<u8>,
    /// Ordered pairs of hosts whose first does not reach the second.
    pub cut: BTreeSet<(u32, u32)>,
    /// The chance that a host's datagrams are lost, either way, besides `loss`. Empty: none.
    pub lossy: Vec<f64>,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            delay_min: 200_000,
            delay_max: 600_000,
            loss: 0.0,
            duplication: 0.0,
            sides: Vec::new(),
            cut: BTreeSet::new(),
            lossy: Vec::new(),
        }
    }
}

/// Whether something of this chance happens.
pub fn happens(random: &mut Random, chance: f64) -> bool {
    chance > 0.0 && (random.word() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64) < chance
}

impl Network {
    /// Whether bytes of `from` can reach `to` at all.
    #[must_use]
    pub fn connects(&self, from: u32, to: u32) -> bool {
        let side = |host: u32| self.sides.get(host as usize).copied().unwrap_or(0);
        side(from) == side(to) && (self.cut.is_empty() || !self.cut.contains(&(from, to)))
    }

    /// Whether a datagram on its way is lost.
    pub fn loses(&self, random: &mut Random, from: u32, to: u32) -> bool {
        let own = |host: u32| self.lossy.get(host as usize).copied().unwrap_or(0.0);
        happens(random, self.loss)
            || (!self.lossy.is_empty() && (happens(random, own(from)) || happens(random, own(to))))
    }

    /// How long it takes, in nanoseconds.
    pub fn delay(&self, random: &mut Random) -> u64 {
        self.delay_min + random.below(self.delay_max - self.delay_min + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_has_its_chance() {
        let network = Network {
            loss: 0.25,
            ..Network::default()
        };
        let mut random = Random::new(1);
        let lost = (0..100_000)
            .filter(|_| network.loses(&mut random, 0, 1))
            .count();
        assert!((24_000..26_000).contains(&lost), "{lost}");
    }

    #[test]
    fn sides_and_cuts_part_hosts() {
        let network = Network {
            sides: vec![0, 0, 1],
            cut: [(0, 1)].into(),
            ..Network::default()
        };
        assert!(!network.connects(0, 1) && network.connects(1, 0));
        assert!(!network.connects(0, 2) && !network.connects(2, 0));
    }
}
