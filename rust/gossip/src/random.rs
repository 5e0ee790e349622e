//! Random numbers from a seed, and a permutation that needs no memory.

/// A hash of one word in which every bit of the input moves every bit of the output: the finalizer
/// of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
#[inline]
#[must_use]
pub const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// A stream of random words, the same for the same seed: SplitMix64. It chooses whom to ask; no
/// secret comes from it.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of `seed`.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next word.
    #[inline]
    pub const fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `bound`, which is at least 1. Its bias is below `bound` / 2^64.
    #[inline]
    pub const fn below(&mut self, bound: u64) -> u64 {
        ((self.word() as u128 * bound as u128) >> 64) as u64
    }
}

const ROUNDS: u64 = 4;

/// All numbers below a bound in a random order, each once, in constant memory: a Feistel network
/// over the least even number of bits, walked until the result is below the bound (Black and
/// Rogaway, CT-RSA 2002).
#[derive(Clone, Debug)]
pub struct Permutation {
    key: u64,
    count: u32,
    half_bits: u32,
}

impl Permutation {
    /// The order of the numbers below `count` that `key` chooses.
    #[must_use]
    pub const fn new(count: u32, key: u64) -> Self {
        let bits = u32::BITS - count.saturating_sub(1).leading_zeros();
        Self {
            key,
            count,
            half_bits: bits.div_ceil(2),
        }
    }

    /// How many numbers there are.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The number at `index`, which is below the count.
    #[inline]
    #[must_use]
    pub const fn at(&self, index: u32) -> u32 {
        let mut value = self.round_trip(index);
        while value >= self.count {
            value = self.round_trip(value);
        }
        value
    }

    const fn round_trip(&self, value: u32) -> u32 {
        let mask = (1_u64 << self.half_bits) - 1;
        let mut left = (value as u64) >> self.half_bits;
        let mut right = (value as u64) & mask;
        let mut round = 0;
        while round < ROUNDS {
            let mixed = mix(self.key ^ (right << 3 | round).wrapping_mul(0x9E37_79B9_7F4A_7C15));
            (left, right) = (right, left ^ (mixed & mask));
            round += 1;
        }
        (left << self.half_bits | right) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_holds_every_number_once() {
        for count in [1, 2, 3, 7, 64, 65, 1_000, 4_097] {
            let order = Permutation::new(count, 7 + u64::from(count));
            let mut seen = vec![false; count as usize];
            for index in 0..count {
                let value = order.at(index) as usize;
                assert!(!seen[value], "{value} comes twice among {count}");
                seen[value] = true;
            }
        }
    }

    #[test]
    fn keys_choose_different_orders() {
        let first: Vec<u32> = (0..100).map(|i| Permutation::new(100, 1).at(i)).collect();
        let second: Vec<u32> = (0..100).map(|i| Permutation::new(100, 2).at(i)).collect();
        assert_ne!(first, second);
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut random = Random::new(3);
        let mut seen = [false; 10];
        for _ in 0..1_000 {
            seen[random.below(10) as usize] = true;
        }
        assert_eq!(seen, [true; 10]);
        assert_eq!(random.below(1), 0);
    }
}
