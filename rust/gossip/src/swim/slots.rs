//! Maps by slot.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Slots are dense numbers that a member gives out itself, so that nobody else chooses what is
/// hashed: one multiplication spreads them. The order of such a map means nothing, and no rule may
/// depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SlotHasher(u64);

impl Hasher for SlotHasher {
    #[inline]
    fn write_u32(&mut self, slot: u32) {
        self.0 = u64::from(slot).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        });
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// Something for some slots.
pub(super) type BySlot<T> = HashMap<u32, T, BuildHasherDefault<SlotHasher>>;
