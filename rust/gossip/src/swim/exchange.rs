//! When views are compared, and when exchanges of what differs begin.

use crate::limits::{BUCKETS, SYNC_DATAGRAMS_MAX, Settings};
use crate::member::Table;
use crate::time::Time;
use crate::wire::Message;

/// Exchanges in a row that tell nothing new, before they become rarer: the first members asked may
/// lack the same.
const BARREN_FREE: u32 = 3;
/// How often the time between two exchanges doubles.
const DOUBLINGS_MAX: u32 = 4;
/// Members that one exchange told us are alive, after which the next ones follow it closely.
const ALIVE_PLENTY: u32 = 256;

/// How our view compares to those of others.
#[derive(Clone, Debug)]
pub(super) struct Sync {
    /// Since when views were found equal to ours, and what our digest was.
    agrees: Option<(Time, u64)>,
    differs_since: Option<Time>,
    /// When a view differed last.
    differed: Time,
    /// When the last exchange began.
    begun: Option<Time>,
    /// We begin no exchange before.
    next: Time,
    /// Exchanges in a row that told nothing new.
    barren: u32,
    /// The exchange under way told us something.
    fruitful: bool,
    /// Of how many members it told us that they are alive.
    alive: u32,
    /// When the next exchange follows while we catch up.
    follows_at: Option<Time>,
    shortest: u64,
    /// Nanoseconds from one exchange to the next while we catch up.
    pause: u64,
    /// Which half of the digests is compared: the other one each time, so that no pair of views
    /// stays different because their halves are equal.
    half: u8,
}

impl Sync {
    pub(super) fn new(settings: &Settings) -> Self {
        let shortest = u64::from(settings.sync_interval_ms);
        let pause = u64::from(settings.gossip_interval_ms) * 1_000_000;
        Self {
            agrees: None,
            differs_since: None,
            differed: Time::ZERO,
            begun: None,
            next: Time::ZERO,
            barren: 0,
            fruitful: false,
            alive: 0,
            follows_at: None,
            shortest,
            pause,
            half: 0,
        }
    }

    /// Since when the others have the view whose digest is given, as far as we heard.
    pub(super) fn agrees_since(&self, digest: u64) -> Option<Time> {
        let agrees = self.agrees.filter(|&(_, view)| view == digest);
        agrees.map(|(since, _)| since)
    }

    /// Takes the next difference seriously at once.
    pub(super) const fn hurry(&mut self) {
        self.differs_since = Some(Time::ZERO);
        self.barren = 0;
    }

    /// One equal view proves little, as others may lack the same: a difference is forgotten after
    /// `settling` nanoseconds without another.
    pub(super) fn agree(&mut self, now: Time, digest: u64, settling: u64) {
        let since = self.agrees_since(digest).unwrap_or(now);
        self.agrees = Some((since, digest));
        if now.saturating_since(self.differed) >= settling {
            self.differs_since = None;
            self.follows_at = None;
            self.barren = 0;
        }
    }

    /// Whether a difference has outlasted `settling` nanoseconds, or the last exchange told us
    /// something, and the next may begin.
    pub(super) fn differ(&mut self, now: Time, settling: u64) -> bool {
        self.agrees = None;
        self.differed = now;
        let since = *self.differs_since.get_or_insert(now);
        (self.fruitful || now.saturating_since(since) >= settling) && now >= self.next
    }

    /// An exchange begins. Those that tell nothing new become rare.
    pub(super) fn begin(&mut self, now: Time) {
        self.barren = if self.fruitful {
            0
        } else {
            self.barren.saturating_add(1)
        };
        (self.fruitful, self.alive) = (false, 0);
        self.begun = Some(now);
        self.follows_at = self.follows_at.map(|_| now.after_nanos(self.pause));
        let doublings = self.barren.saturating_sub(BARREN_FREE).min(DOUBLINGS_MAX);
        self.next = now.after_millis(self.shortest << doublings);
        self.half ^= 1;
    }

    /// Whether to ask back, of whom has just shown us a difference.
    pub(super) fn asks_back(&self, now: Time) -> bool {
        self.begun
            .is_none_or(|begun| now.saturating_since(begun) >= self.pause)
    }

    pub(super) const fn told_news(&mut self) {
        self.fruitful = true;
    }

    /// Counts a member that an exchange told us is alive, which we did not know. After many there
    /// is much to catch up with: parted halves have met, or we are new.
    pub(super) fn told_alive(&mut self, now: Time) {
        self.alive += 1;
        if self.alive == ALIVE_PLENTY {
            let paused = self
                .begun
                .map_or(now, |begun| begun.after_nanos(self.pause));
            self.follows_at = Some(paused.max(now));
        }
    }

    /// Whether to ask on at once after an answer that was cut short: if there was, on average, a
    /// member in each of its datagrams that we did not know to be alive.
    pub(super) const fn asks_on(&self) -> bool {
        self.follows_at.is_none() && self.alive >= SYNC_DATAGRAMS_MAX as u32
    }

    /// When the next exchange follows the one under way.
    pub(super) const fn follows_at(&self) -> Option<Time> {
        self.follows_at
    }

    /// Whether the next exchange follows now. A few in a row that tell nothing are the last.
    pub(super) fn follows(&mut self, now: Time) -> bool {
        if self.follows_at.is_none_or(|at| at > now) {
            return false;
        }
        self.follows_at = self
            .follows_at
            .filter(|_| self.fruitful || self.barren < BARREN_FREE);
        self.follows_at.is_some()
    }

    /// Appends the digest of every bucket.
    pub(super) fn write(&self, table: &Table, out: &mut Vec<u8>) {
        let mut buckets = [0; BUCKETS * 4];
        for (place, &bucket) in buckets.chunks_exact_mut(4).zip(table.buckets()) {
            place.copy_from_slice(&half_of(bucket, self.half).to_le_bytes());
        }
        let half = self.half;
        let buckets = &buckets;
        Message::Digest { half, buckets }.encode(out);
    }
}

pub(super) const fn half_of(bucket: u64, half: u8) -> u32 {
    (bucket >> (32 * half as u32)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that has begun an exchange at 0 and was told of `alive` members 20 ms later.
    fn told(alive: u32) -> Sync {
        let mut sync = Sync::new(&Settings::default());
        sync.begin(Time::ZERO);
        (0..alive).for_each(|_| sync.told_alive(ms(20)));
        sync
    }

    fn ms(millis: u64) -> Time {
        Time::ZERO.after_millis(millis)
    }

    #[test]
    fn g_43_exchanges_follow_those_that_tell_of_many() {
        assert_eq!(told(ALIVE_PLENTY - 1).follows_at(), None);
        let mut sync = told(ALIVE_PLENTY);
        assert_eq!(sync.follows_at(), Some(ms(200)));
        assert!(!sync.follows(ms(199)) && sync.follows(ms(200)));
        sync.begin(ms(200));
        assert_eq!(sync.follows_at(), Some(ms(400)), "not sooner after another");
    }

    #[test]
    fn g_43_a_slow_answer_is_followed_at_once() {
        let mut sync = Sync::new(&Settings::default());
        sync.begin(Time::ZERO);
        (0..ALIVE_PLENTY).for_each(|_| sync.told_alive(ms(900)));
        assert_eq!(sync.follows_at(), Some(ms(900)));
    }

    #[test]
    fn g_43_a_few_exchanges_without_news_are_the_last() {
        let mut sync = told(ALIVE_PLENTY);
        sync.told_news();
        let mut followed = 0;
        for at in (200..).step_by(200).take(20) {
            if sync.follows(ms(at)) {
                sync.begin(ms(at));
                followed += 1;
            }
        }
        // The first of them begins after one that told something.
        assert_eq!((followed, sync.follows_at()), (BARREN_FREE + 1, None));
    }

    #[test]
    fn g_43_equal_views_end_it() {
        let mut sync = told(ALIVE_PLENTY);
        assert!(!sync.differ(ms(100), 1_000_000));
        sync.agree(ms(100), 7, 1_000_000);
        assert!(sync.follows_at().is_some(), "others differed just now");
        sync.agree(ms(101), 7, 1_000_000);
        assert_eq!(sync.follows_at(), None);
    }

    #[test]
    fn g_41_an_answer_cut_short_is_asked_on_if_it_told_of_as_many_as_it_had_datagrams() {
        let cut = SYNC_DATAGRAMS_MAX as u32;
        let asked_on = [cut - 1, cut, ALIVE_PLENTY - 1].map(|alive| told(alive).asks_on());
        assert_eq!(asked_on, [false, true, true]);
        assert!(!told(ALIVE_PLENTY).asks_on(), "the next one follows anyway");
    }
}
