//! Messages of more than one fragment, and messages that must stay behind them.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use crate::assembly::Key;
use crate::frame::{CONTINUED, Header, Kind, LAST, METADATA};
use crate::limits::{ASSEMBLY_BYTES_INITIAL, FRAGMENT_BYTES_MAX, HEADER_BYTES, LANES_STARTED_MAX};

/// A message in a lane.
#[derive(Debug)]
pub(crate) struct Item {
    /// Its type and where it belongs; flags are set as it is written.
    pub(crate) header: Header,
    /// Its metadata, encoded.
    pub(crate) metadata: Box<[u8]>,
    /// Its payload.
    pub(crate) body: Bytes,
    /// Payload bytes that have been written; not 0 for a message that has begun elsewhere.
    pub(crate) sent: usize,
}

impl Item {
    fn rest(&self) -> usize {
        self.body.len() - self.sent
    }

    fn cost(&self) -> usize {
        self.rest() + HEADER_BYTES
    }

    fn has_fragments(&self) -> bool {
        self.body.len() > FRAGMENT_BYTES_MAX
    }

    /// Takes the next frame off the front.
    fn next(&mut self) -> Turn {
        let (first, start) = (self.sent == 0, self.sent);
        self.sent += self.rest().min(FRAGMENT_BYTES_MAX);
        let last = self.rest() == 0;
        let mut header = self.header;
        header.flags = self.flags(first, last);
        if header.kind == Kind::Request as u8 {
            header.subject = 0;
        }
        let fields = if first { self.fields(last) } else { Vec::new() };
        Turn {
            header,
            fields,
            payload: self.body.slice(start..self.sent),
            last,
        }
    }

    fn flags(&self, first: bool, last: bool) -> u8 {
        if self.header.kind == Kind::StreamEnd as u8 {
            return 0;
        }
        let metadata = if self.metadata.is_empty() {
            0
        } else {
            METADATA
        };
        (if last { LAST } else { 0 }) | (if first { metadata } else { CONTINUED })
    }

    fn fields(&self, last: bool) -> Vec<u8> {
        let total = (!last).then_some(self.body.len() as u32);
        message_fields(None, total, &self.metadata)
    }
}

/// The fields before the payload of a first fragment (W-16).
#[must_use]
pub(crate) fn message_fields(
    deadline_ms: Option<u32>,
    total: Option<u32>,
    metadata: &[u8],
) -> Vec<u8> {
    let mut fields = Vec::with_capacity(10 + metadata.len());
    fields.extend(
        deadline_ms
            .iter()
            .chain(&total)
            .flat_map(|field| field.to_le_bytes()),
    );
    if !metadata.is_empty() {
        fields.extend_from_slice(&(metadata.len() as u16).to_le_bytes());
        fields.extend_from_slice(metadata);
    }
    fields
}

/// The next frame of a lane.
#[derive(Debug)]
pub(crate) struct Turn {
    /// Its header.
    pub(crate) header: Header,
    /// What stands before the payload.
    pub(crate) fields: Vec<u8>,
    /// The payload.
    pub(crate) payload: Bytes,
    /// Whether its message ends with it.
    pub(crate) last: bool,
}

#[derive(Debug, Default)]
struct Lane {
    items: VecDeque<Item>,
    /// Whether the first item counts as started.
    started: bool,
}

/// One queue for each subject, request, reply and stream that has something to queue. They take
/// turns, a fragment at a time.
#[derive(Debug)]
pub(crate) struct Lanes {
    lanes: HashMap<Key, Lane>,
    /// Lanes that may send, in turn.
    order: VecDeque<Key>,
    /// Lanes whose next message has fragments and waits until it may start.
    waiting: VecDeque<Key>,
    bytes: usize,
    started: usize,
    started_bytes: u64,
    started_bytes_max: u64,
}

impl Default for Lanes {
    fn default() -> Self {
        Self {
            lanes: HashMap::new(),
            order: VecDeque::new(),
            waiting: VecDeque::new(),
            bytes: 0,
            started: 0,
            started_bytes: 0,
            started_bytes_max: ASSEMBLY_BYTES_INITIAL,
        }
    }
}

impl Lanes {
    /// Sets how many bytes of unfinished messages the peer takes.
    pub(crate) fn set_started_bytes_max(&mut self, bytes: u64) {
        self.started_bytes_max = bytes;
    }

    /// Bytes that wait here.
    #[inline]
    #[must_use]
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether something waits in this lane.
    #[inline]
    #[must_use]
    pub(crate) fn contains(&self, key: Key) -> bool {
        self.bytes > 0 && self.lanes.contains_key(&key)
    }

    /// Whether a message of `bytes` in fragments may start ahead of all that wait.
    #[must_use]
    pub(crate) fn can_start(&self, bytes: usize) -> bool {
        self.waiting.is_empty() && self.has_room(bytes)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.started < LANES_STARTED_MAX
            && self.started_bytes + bytes as u64 <= self.started_bytes_max
    }

    /// Puts a message behind those of its lane. One that has begun elsewhere must have been
    /// allowed to start and must be alone in its lane.
    pub(crate) fn push(&mut self, key: Key, item: Item) {
        self.bytes += item.cost();
        let begun = item.sent > 0;
        let lane = self.lanes.entry(key).or_default();
        lane.items.push_back(item);
        if begun {
            self.start(key);
        } else if lane.items.len() == 1 {
            self.enqueue(key);
        }
    }

    fn enqueue(&mut self, key: Key) {
        let first = self.lanes.get(&key).and_then(|lane| lane.items.front());
        if first.is_some_and(Item::has_fragments) {
            self.waiting.push_back(key);
        } else {
            self.order.push_back(key);
        }
    }

    fn start(&mut self, key: Key) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        lane.started = true;
        self.started += 1;
        self.started_bytes += lane.items.front().map_or(0, |item| item.body.len() as u64);
        self.order.push_back(key);
    }

    fn start_waiting(&mut self) {
        while let Some(&key) = self.waiting.front() {
            let first = self.lanes.get(&key).and_then(|lane| lane.items.front());
            if !self.has_room(first.map_or(0, |item| item.body.len())) {
                break;
            }
            self.waiting.pop_front();
            self.start(key);
        }
    }

    /// The next frame, from the lane whose turn it is.
    pub(crate) fn next_turn(&mut self) -> Option<Turn> {
        self.start_waiting();
        let key = self.order.pop_front()?;
        let item = self.lanes.get_mut(&key)?.items.front_mut()?;
        let before = item.cost();
        let turn = item.next();
        self.bytes -= before - item.cost();
        if turn.last {
            self.end_item(key);
        } else {
            self.order.push_back(key);
        }
        Some(turn)
    }

    fn end_item(&mut self, key: Key) {
        let Some(lane) = self.lanes.get_mut(&key) else {
            return;
        };
        let started = std::mem::take(&mut lane.started);
        let ended = lane.items.pop_front();
        let is_empty = lane.items.is_empty();
        if let Some(item) = ended {
            self.bytes -= item.cost();
            self.unstart(started, item.body.len());
        }
        if is_empty {
            self.lanes.remove(&key);
        } else {
            self.enqueue(key);
        }
    }

    fn unstart(&mut self, started: bool, bytes: usize) {
        if started {
            self.started -= 1;
            self.started_bytes -= bytes as u64;
        }
    }

    /// Drops all that waits in a lane.
    pub(crate) fn remove(&mut self, key: Key) {
        let Some(lane) = self.lanes.remove(&key) else {
            return;
        };
        self.bytes -= lane.items.iter().map(Item::cost).sum::<usize>();
        self.unstart(
            lane.started,
            lane.items.front().map_or(0, |item| item.body.len()),
        );
        self.order.retain(|other| *other != key);
        self.waiting.retain(|other| *other != key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(kind: Kind, id: u64, bytes: usize) -> Item {
        let header = Header::new(kind, 0, 0, id);
        Item {
            header,
            metadata: Box::default(),
            body: Bytes::from(vec![0; bytes]),
            sent: 0,
        }
    }

    fn lanes(bytes_max: u64) -> Lanes {
        let mut lanes = Lanes::default();
        lanes.set_started_bytes_max(bytes_max);
        lanes
    }

    fn drain(lanes: &mut Lanes) -> Vec<(u64, u8, usize)> {
        let turns = std::iter::from_fn(|| lanes.next_turn());
        turns
            .map(|turn| (turn.header.id, turn.header.flags, turn.payload.len()))
            .collect()
    }

    #[test]
    fn w_19_fragments_take_turns() {
        let mut lanes = lanes(1 << 20);
        lanes.push(
            Key::Reply(1),
            item(Kind::Reply, 1, 2 * FRAGMENT_BYTES_MAX + 1),
        );
        lanes.push(Key::Reply(2), item(Kind::Reply, 2, FRAGMENT_BYTES_MAX + 2));
        let frames = [
            (1, 0, 65_536),
            (2, 0, 65_536),
            (1, 4, 65_536),
            (2, 5, 2),
            (1, 5, 1),
        ];
        assert_eq!(drain(&mut lanes), frames);
        assert_eq!(
            (lanes.bytes(), lanes.started, lanes.started_bytes),
            (0, 0, 0)
        );
    }

    #[test]
    fn w_19_a_lane_keeps_its_order() {
        let mut lanes = lanes(1 << 20);
        lanes.push(
            Key::Stream(1),
            item(Kind::StreamData, 1, FRAGMENT_BYTES_MAX + 1),
        );
        lanes.push(Key::Stream(1), item(Kind::StreamData, 1, 5));
        lanes.push(Key::Stream(1), item(Kind::StreamEnd, 1, 0));
        assert_eq!(
            drain(&mut lanes),
            [(1, 0, 65_536), (1, 5, 1), (1, 1, 5), (1, 0, 0)]
        );
    }

    #[test]
    fn w_19_messages_start_in_order_and_within_the_peers_limit() {
        let mut lanes = lanes(200_000);
        for (id, bytes) in [(1, 120_000), (2, 120_000), (3, 70_000)] {
            lanes.push(Key::Reply(id), item(Kind::Reply, id, bytes));
        }
        let ids: Vec<u64> = drain(&mut lanes).iter().map(|(id, ..)| *id).collect();
        assert_eq!(ids, [1, 1, 2, 3, 2, 3]);
    }

    #[test]
    fn w_19_what_is_removed_gives_its_room_back() {
        let mut lanes = lanes(200_000);
        lanes.push(Key::Reply(1), item(Kind::Reply, 1, 150_000));
        lanes.push(Key::Reply(2), item(Kind::Reply, 2, 150_000));
        assert_eq!(lanes.next_turn().map(|turn| turn.header.id), Some(1));
        lanes.remove(Key::Reply(1));
        assert_eq!(drain(&mut lanes).len(), 3);
        assert_eq!(
            (lanes.bytes(), lanes.started, lanes.started_bytes),
            (0, 0, 0)
        );
    }

    #[test]
    fn w_19_only_so_many_messages_are_under_way() {
        let mut lanes = lanes(1 << 30);
        for id in 0..20 {
            lanes.push(
                Key::Reply(id),
                item(Kind::Reply, id, FRAGMENT_BYTES_MAX + 1),
            );
        }
        let ids: Vec<u64> = (0..17)
            .filter_map(|_| lanes.next_turn())
            .map(|t| t.header.id)
            .collect();
        assert_eq!(ids[..16], (0..16).collect::<Vec<_>>());
        assert_eq!(ids[16], 0);
    }
}
