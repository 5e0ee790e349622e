//! All members one member knows, itself among them.

use std::sync::Arc;

use crate::limits::BUCKETS;
use crate::random::{Random, mix};
use crate::time::Time;
use crate::wire::State;

use super::index::Index;
use super::pages::Pages;
use super::{Profile, Standing};

/// One member as this one sees it.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its id.
    pub sid: u64,
    /// When its state changed last.
    pub since: Time,
    /// What it says of itself.
    pub profile: Arc<Profile>,
    /// Its latest incarnation known.
    pub incarnation: u32,
    /// Its state.
    pub state: State,
}

impl Record {
    /// Where it stands in the order of all that can be said.
    #[inline]
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing::new(self.profile.generation, self.incarnation, self.state)
    }
}

/// The view of one member: records in slots that keep their number, found by id and by name, and
/// the digest of those that are present.
#[derive(Clone, Debug)]
pub struct Table {
    slots: Pages<Option<Record>>,
    free: Vec<u32>,
    by_sid: Index,
    by_name: Index,
    digest_key: u64,
    index_key: u64,
    present: u32,
    len: u32,
    digest: u64,
    buckets: Vec<u64>,
}

impl Table {
    /// An empty view. `digest_key` is the same for all members of a cluster; `index_key` is a
    /// secret of this one.
    #[must_use]
    pub fn new(digest_key: u64, index_key: u64) -> Self {
        Self {
            slots: Pages::new(),
            free: Vec::new(),
            by_sid: Index::new(),
            by_name: Index::new(),
            digest_key,
            index_key,
            present: 0,
            len: 0,
            digest: 0,
            buckets: vec![0; BUCKETS],
        }
    }

    /// Members that are alive or suspected.
    #[inline]
    #[must_use]
    pub const fn present(&self) -> u32 {
        self.present
    }

    /// Members in any state.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// Whether nobody is known.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One above the greatest slot in use.
    #[must_use]
    pub const fn slots(&self) -> u32 {
        self.slots.len() as u32
    }

    /// The sum of a keyed hash of each present member's id, generation, incarnation and state:
    /// equal views have equal digests.
    #[inline]
    #[must_use]
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// The digest in 256 parts, by a hash of the id.
    #[must_use]
    pub fn buckets(&self) -> &[u64] {
        &self.buckets
    }

    /// The bucket of an id.
    #[inline]
    #[must_use]
    pub const fn bucket_of(&self, sid: u64) -> usize {
        (mix(sid ^ self.digest_key) >> 56) as usize
    }

    /// The record in `slot`.
    #[inline]
    #[must_use]
    pub fn get(&self, slot: u32) -> Option<&Record> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// The slot of a member.
    #[inline]
    #[must_use]
    pub fn find(&self, sid: u64) -> Option<u32> {
        let hash = mix(sid ^ self.index_key);
        self.by_sid.find(hash, |_| true)
    }

    /// The slot of the latest known life of a name.
    #[must_use]
    pub fn find_name(&self, name: &str) -> Option<u32> {
        self.by_name.find(self.name_hash(name), |slot| {
            self.get(slot)
                .is_some_and(|record| &*record.profile.name == name)
        })
    }

    fn name_hash(&self, name: &str) -> u64 {
        let words = name.as_bytes().chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_le_bytes(word)
        });
        words.fold(self.index_key ^ name.len() as u64, |hash, word| {
            mix(hash.wrapping_add(0x9E37_79B9_7F4A_7C15) ^ word)
        })
    }

    /// Adds a member whose id and name are not known, and gives its slot.
    pub fn insert(&mut self, record: Record) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots() - 1
        });
        self.put(slot, record);
        slot
    }

    /// Puts another life into the place of an earlier one of the same name.
    pub fn replace(&mut self, slot: u32, record: Record) {
        self.take(slot);
        self.put(slot, record);
    }

    /// Forgets a member.
    pub fn remove(&mut self, slot: u32) {
        if self.take(slot) {
            self.free.push(slot);
        }
    }

    fn put(&mut self, slot: u32, record: Record) {
        self.by_sid.insert(mix(record.sid ^ self.index_key), slot);
        self.by_name
            .insert(self.name_hash(&record.profile.name), slot);
        self.len += 1;
        self.count(&record, true);
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(record);
        }
    }

    fn take(&mut self, slot: u32) -> bool {
        let Some(record) = self.slots.get_mut(slot as usize).and_then(Option::take) else {
            return false;
        };
        self.by_sid.remove(mix(record.sid ^ self.index_key), slot);
        self.by_name
            .remove(self.name_hash(&record.profile.name), slot);
        self.len -= 1;
        self.count(&record, false);
        true
    }

    /// Adds a record's part to the digest and the count, or takes it away.
    fn count(&mut self, record: &Record, add: bool) {
        let print = fingerprint(self.digest_key, record);
        let one = u32::from(record.state.is_present());
        let (print, one) = if add {
            (print, one)
        } else {
            (print.wrapping_neg(), one.wrapping_neg())
        };
        self.shift(record.sid, print, one);
    }

    /// Changes the digest of an id's bucket and the count of those present.
    fn shift(&mut self, sid: u64, print: u64, present: u32) {
        let bucket = self.bucket_of(sid);
        self.digest = self.digest.wrapping_add(print);
        self.buckets[bucket] = self.buckets[bucket].wrapping_add(print);
        self.present = self.present.wrapping_add(present);
    }

    /// Changes what is known of the member in `slot`, except its id and name.
    pub fn update(&mut self, slot: u32, change: impl FnOnce(&mut Record)) {
        let place = self.slots.get_mut(slot as usize);
        let Some(record) = place.and_then(Option::as_mut) else {
            return;
        };
        let key = self.digest_key;
        let weigh = |record: &Record| {
            let present = u32::from(record.state.is_present());
            (fingerprint(key, record), present)
        };
        let (sid, before) = (record.sid, weigh(record));
        change(record);
        debug_assert!(record.sid == sid, "a life keeps its id");
        let after = weigh(record);
        let print = after.0.wrapping_sub(before.0);
        self.shift(sid, print, after.1.wrapping_sub(before.1));
    }

    /// All records with their slots.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Record)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(slot, record)| record.as_ref().map(|record| (slot as u32, record)))
    }

    /// A member that `fits`, each with nearly the same chance: a few random slots, then the next
    /// one behind a random slot.
    pub fn pick(&self, random: &mut Random, fits: impl Fn(u32, &Record) -> bool) -> Option<u32> {
        let slots = self.slots();
        if slots == 0 {
            return None;
        }
        let check = |slot: &u32| self.get(*slot).is_some_and(|record| fits(*slot, record));
        for _ in 0..16 {
            let slot = random.below(slots.into()) as u32;
            if check(&slot) {
                return Some(slot);
            }
        }
        let start = random.below(slots.into()) as u32;
        (start..slots).chain(0..start).find(check)
    }
}

/// A record's part of the digest.
fn fingerprint(digest_key: u64, record: &Record) -> u64 {
    if !record.state.is_present() {
        return 0;
    }
    let told = u64::from(record.incarnation) << 8 | record.state as u64;
    let life = mix(record.sid ^ digest_key) ^ record.profile.generation;
    mix(mix(life) ^ told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Address;

    fn record(sid: u64, name: &str) -> Record {
        let profile = Profile {
            sid,
            generation: 1,
            version: 0,
            reach: 1,
            installed: 0,
            ready: 0,
            address: Address::v4([127, 0, 0, 1], sid as u16),
            name: name.into(),
            properties: Box::default(),
        };
        Record {
            sid,
            since: Time::ZERO,
            profile: Arc::new(profile),
            incarnation: 0,
            state: State::Alive,
        }
    }

    #[test]
    fn members_are_found_by_id_and_name() {
        let mut table = Table::new(1, 2);
        let slots: Vec<u32> = (1..=300)
            .map(|sid| table.insert(record(sid, &format!("member number {sid}"))))
            .collect();
        for (sid, slot) in (1..=300).zip(slots) {
            assert_eq!(table.find(sid), Some(slot));
            assert_eq!(table.find_name(&format!("member number {sid}")), Some(slot));
        }
        table.remove(7);
        assert_eq!(
            (table.find(8), table.find_name("member number 8")),
            (None, None)
        );
        assert_eq!(table.insert(record(301, "x")), 7);
        table.replace(7, record(302, "x"));
        assert_eq!((table.find(301), table.find_name("x")), (None, Some(7)));
        assert_eq!((table.len(), table.present()), (300, 300));
    }

    #[test]
    fn g_40_equal_views_have_equal_digests() {
        let mut one = Table::new(5, 1);
        let mut other = Table::new(5, 2);
        for sid in 1..=50 {
            one.insert(record(sid, &sid.to_string()));
        }
        for sid in (1..=50).rev() {
            other.insert(record(sid, &sid.to_string()));
        }
        assert_eq!(
            (one.digest(), one.buckets()),
            (other.digest(), other.buckets())
        );
        let (slot, twin) = (one.find(9).unwrap(), other.find(9).unwrap());
        one.update(slot, |record| record.state = State::Suspect);
        assert_ne!(one.digest(), other.digest());
        let differ = one
            .buckets()
            .iter()
            .zip(other.buckets())
            .filter(|(a, b)| a != b);
        assert_eq!(differ.count(), 1);
        other.update(twin, |record| record.state = State::Suspect);
        assert_eq!(one.digest(), other.digest());
        one.update(slot, |record| record.state = State::Dead);
        other.remove(twin);
        assert_eq!(
            (one.digest(), one.present()),
            (other.digest(), other.present())
        );
    }

    #[test]
    fn picks_are_spread() {
        let mut table = Table::new(0, 0);
        for sid in 1..=20 {
            table.insert(record(sid, &sid.to_string()));
        }
        let mut random = Random::new(1);
        let mut seen = [0; 20];
        (0..2_000).for_each(|_| {
            let slot = table.pick(&mut random, |slot, _| slot != 3).unwrap();
            seen[slot as usize] += 1;
        });
        assert!(seen[3] == 0 && seen.iter().filter(|&&count| count > 50).count() == 19);
        assert_eq!(table.pick(&mut random, |_, _| false), None);
    }
}
