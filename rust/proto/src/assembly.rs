//! Messages put together from fragments.

use std::collections::HashMap;

use crate::codec::append;
use crate::error::{Error, Reason};
use crate::event::Metadata;
use crate::time::{NANOS_PER_SECOND, Time};

/// What a fragment belongs to. One message at most is under way for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A request by its id.
    Request(u64),
    /// The answer to a request by its id.
    Reply(u64),
    /// One-way messages of a subject by its number.
    Send(u16),
    /// Messages of a stream by its id.
    Stream(u64),
}

/// How slowly a frame or a message may come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The time for which nothing is asked.
    pub(crate) grace_ms: u32,
    /// The average that must be kept after it.
    pub(crate) bytes_per_second_min: u32,
}

impl Pace {
    /// When something that began at `began` and of which `bytes` have come is too slow.
    #[must_use]
    pub(crate) fn deadline(&self, began: Time, bytes: usize) -> Time {
        let per_second = u128::from(self.bytes_per_second_min.max(1));
        let nanos = bytes as u128 * u128::from(NANOS_PER_SECOND) / per_second;
        let earned = began.after_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        earned.max(began.after_millis(self.grace_ms.into()))
    }
}

/// A message of which fragments are missing.
#[derive(Debug)]
pub(crate) struct Message {
    /// What has come.
    pub(crate) bytes: Vec<u8>,
    /// What came with the first fragment.
    pub(crate) metadata: Option<Metadata>,
    /// The subject of the first fragment.
    pub(crate) subject: u16,
    /// The deadline of the first fragment.
    pub(crate) deadline: Option<Time>,
    total: usize,
    began: Time,
}

impl Message {
    /// A message whose length is announced as `total`. Its memory is reserved at once and is used
    /// only as its bytes arrive.
    #[must_use]
    pub(crate) fn new(total: usize, first: &[u8], now: Time) -> Self {
        let mut bytes = Vec::with_capacity(total);
        append(&mut bytes, first);
        Self {
            bytes,
            metadata: None,
            subject: 0,
            deadline: None,
            total,
            began: now,
        }
    }
}

/// All messages of which fragments are missing.
#[derive(Debug)]
pub(crate) struct Assembly {
    messages: HashMap<Key, Message>,
    announced: u64,
    announced_max: u64,
    pace: Pace,
    /// A time before which no message is too slow.
    next: Option<Time>,
}

impl Assembly {
    /// Room for messages of `announced_max` bytes together.
    #[must_use]
    pub(crate) fn new(announced_max: u64, pace: Pace) -> Self {
        Self {
            messages: HashMap::new(),
            announced: 0,
            announced_max,
            pace,
            next: None,
        }
    }

    /// Whether a message is under way.
    #[must_use]
    pub(crate) fn contains(&self, key: Key) -> bool {
        self.messages.contains_key(&key)
    }

    /// Whether no message is under way.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Announced bytes of the messages that are under way.
    #[must_use]
    pub(crate) const fn announced(&self) -> u64 {
        self.announced
    }

    /// Begins a message.
    pub(crate) fn begin(&mut self, key: Key, message: Message) -> Result<(), Error> {
        if self.contains(key) {
            return Err(Error::new(
                Reason::BadFrame,
                "a message begins before the last one ended",
            ));
        }
        let announced = self.announced + message.total as u64;
        if announced > self.announced_max {
            return Err(Error::new(
                Reason::AssemblyFull,
                "too many bytes in unfinished messages",
            ));
        }
        self.announced = announced;
        let deadline = self.pace.deadline(message.began, message.bytes.len());
        self.next = Some(self.next.map_or(deadline, |next| next.min(deadline)));
        self.messages.insert(key, message);
        Ok(())
    }

    /// Adds a fragment; the message comes back when it is complete. There must be one under way.
    pub(crate) fn extend(
        &mut self,
        key: Key,
        bytes: &[u8],
        last: bool,
    ) -> Result<Option<Message>, Error> {
        let Some(message) = self.messages.get_mut(&key) else {
            return Err(Error::new(
                Reason::BadFrame,
                "a fragment continues no message",
            ));
        };
        let length = message.bytes.len() + bytes.len();
        if length > message.total || last != (length == message.total) {
            return Err(Error::new(
                Reason::BadFrame,
                "fragments differ from the announced length",
            ));
        }
        append(&mut message.bytes, bytes);
        Ok(if last { self.remove(key) } else { None })
    }

    /// Gives a message up.
    pub(crate) fn remove(&mut self, key: Key) -> Option<Message> {
        let message = self.messages.remove(&key)?;
        self.announced -= message.total as u64;
        if self.messages.is_empty() {
            self.next = None;
            self.messages.shrink_to(8);
        }
        Some(message)
    }

    /// A time before which no message is too slow.
    #[inline]
    #[must_use]
    pub(crate) const fn next_deadline(&self) -> Option<Time> {
        self.next
    }

    /// Ends in an error when a message is too slow.
    pub(crate) fn check_pace(&mut self, now: Time) -> Result<(), Error> {
        if self.next.is_none_or(|next| next > now) {
            return Ok(());
        }
        let deadline = |message: &Message| self.pace.deadline(message.began, message.bytes.len());
        self.next = self.messages.values().map(deadline).min();
        if self.next.is_some_and(|next| next <= now) {
            return Err(Error::new(
                Reason::SlowFrame,
                "a message in fragments comes too slowly",
            ));
        }
        Ok(())
    }

    /// The last `nanos` were not the peer's.
    pub(crate) fn forgive(&mut self, nanos: u64, now: Time) {
        for message in self.messages.values_mut() {
            message.began = message.began.after_nanos(nanos).min(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        grace_ms: 10_000,
        bytes_per_second_min: 4_096,
    };

    fn message(total: usize) -> Message {
        Message::new(total, &[0; 10], Time::ZERO)
    }

    /// W-54.
    #[test]
    fn t27_announced_bytes_at_their_limit() {
        for (total, taken) in [(89, true), (90, true), (91, false)] {
            let mut assembly = Assembly::new(100, PACE);
            assembly.begin(Key::Send(1), message(10)).unwrap();
            let begun = assembly.begin(Key::Send(2), message(total));
            assert_eq!(
                begun.map_err(|error| error.kind()).is_ok(),
                taken,
                "{total} bytes"
            );
        }
    }

    #[test]
    fn t27_what_is_given_up_makes_room() {
        let mut assembly = Assembly::new(100, PACE);
        for _ in 0..1_000 {
            assembly.begin(Key::Request(7), message(100)).unwrap();
            assert!(assembly.remove(Key::Request(7)).is_some());
        }
        assert_eq!((assembly.announced(), assembly.next_deadline()), (0, None));
    }

    #[test]
    fn w_18_a_message_ends_exactly_at_its_length() {
        for (bytes, last, fits) in [
            (9, true, false),
            (10, true, true),
            (11, true, false),
            (9, false, true),
            (10, false, false),
        ] {
            let mut assembly = Assembly::new(100, PACE);
            assembly.begin(Key::Reply(1), message(20)).unwrap();
            let extended = assembly.extend(Key::Reply(1), &vec![0; bytes], last);
            assert_eq!(extended.is_ok(), fits, "{bytes} bytes, last {last}");
        }
    }

    #[test]
    fn t20_the_pace_is_asked_for_after_the_grace() {
        let at = |millis| Time::ZERO.after_millis(millis);
        assert_eq!(PACE.deadline(Time::ZERO, 0), at(10_000));
        assert_eq!(PACE.deadline(Time::ZERO, 40_960), at(10_000));
        assert_eq!(PACE.deadline(Time::ZERO, 45_056), at(11_000));
    }

    #[test]
    fn t20_a_slow_message_is_found_when_it_falls_behind() {
        let mut assembly = Assembly::new(1 << 20, PACE);
        assembly.begin(Key::Send(1), message(100_000)).unwrap();
        assembly.extend(Key::Send(1), &[0; 45_046], false).unwrap();
        assert!(assembly.check_pace(Time::ZERO.after_millis(10_999)).is_ok());
        let error = assembly
            .check_pace(Time::ZERO.after_millis(11_000))
            .unwrap_err();
        assert_eq!(error.reason(), "slow_frame");
    }
}
