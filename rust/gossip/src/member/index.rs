//! From a hash to slots, shared between copies until one of them changes.

use std::sync::Arc;

const SHARDS: usize = 256;

/// Slots by hash, in 256 sorted shards. Whoever wants short shards hashes with a secret. A shard is
/// copied when it changes, which is seldom, so that a look-up goes straight to its entries; copies
/// of an index that have not changed are one, so that thousands of them stay in the caches.
#[derive(Clone, Debug)]
pub(super) struct Index {
    shards: Arc<[Shard]>,
}

type Shard = Arc<[(u64, u32)]>;

impl Index {
    pub(super) fn new() -> Self {
        Self {
            shards: vec![Shard::from([]); SHARDS].into(),
        }
    }

    const fn shard(hash: u64) -> usize {
        (hash >> 56) as usize
    }

    /// The first slot of `hash` that `fits`.
    #[inline]
    pub(super) fn find(&self, hash: u64, mut fits: impl FnMut(u32) -> bool) -> Option<u32> {
        let shard = &self.shards[Self::shard(hash)];
        let start = shard.partition_point(|&(other, _)| other < hash);
        let same = shard[start..]
            .iter()
            .take_while(|&&(other, _)| other == hash);
        same.map(|&(_, slot)| slot).find(|&slot| fits(slot))
    }

    pub(super) fn insert(&mut self, hash: u64, slot: u32) {
        let shard = &mut Arc::make_mut(&mut self.shards)[Self::shard(hash)];
        let at = shard.partition_point(|&entry| entry < (hash, slot));
        let (before, behind) = shard.split_at(at);
        *shard = [before, &[(hash, slot)], behind].concat().into();
    }

    pub(super) fn remove(&mut self, hash: u64, slot: u32) {
        let shard = &mut Arc::make_mut(&mut self.shards)[Self::shard(hash)];
        let others = shard.iter().filter(|&&entry| entry != (hash, slot));
        *shard = others.copied().collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hashes_are_told_apart() {
        let mut index = Index::new();
        for slot in [3, 1, 2] {
            index.insert(77, slot);
        }
        index.insert(78, 9);
        assert_eq!(index.find(77, |slot| slot == 2), Some(2));
        assert_eq!(index.find(77, |slot| slot == 9), None);
        let copy = index.clone();
        index.remove(77, 2);
        assert_eq!(index.find(77, |slot| slot == 2), None);
        assert_eq!(copy.find(77, |slot| slot == 2), Some(2));
    }
}
