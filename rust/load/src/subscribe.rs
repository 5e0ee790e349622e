//! The subscribers of a window and what they were delivered.

use ztransport_engine::{Batch, Engine, Notice, PeerKey};
use ztransport_proto::event::{Body, Event};

use crate::dialled::Dialled;
use crate::names;
use crate::spec::STAMP_BYTES;
use crate::window::Window;

const SUBJECT: &str = "subscribe";

/// One subscriber's stream.
#[derive(Clone, Copy, Debug, Default)]
struct Subscription {
    id: u64,
    /// Whether the broker has said where it begins.
    stands: bool,
    /// Messages of this window.
    delivered: u64,
}

pub(crate) struct Subscriptions {
    subscribers: Dialled,
    subscriptions: Vec<Subscription>,
}

impl Subscriptions {
    /// Asks for a subscription on each connection.
    pub(crate) fn new(
        engine: &mut Engine,
        subscribers: Dialled,
        topic: &str,
    ) -> Result<Subscriptions, String> {
        let mut subscriptions = Vec::with_capacity(subscribers.count());
        for number in 0..subscribers.count() as u32 {
            let (peer, body) = (subscribers.peer(number), Body::Borrowed(topic.as_bytes()));
            let opened = engine.open_stream(peer, SUBJECT, body, &[]);
            let id = opened.map_err(|error| format!("{}: subscribe", names::refusal(error)))?;
            subscriptions.push(Subscription {
                id,
                ..Subscription::default()
            });
        }
        Ok(Subscriptions {
            subscribers,
            subscriptions,
        })
    }

    pub(crate) fn all_stand(&self) -> bool {
        self.subscriptions.iter().all(|one| one.stands)
    }

    pub(crate) fn number(&self, peer: PeerKey) -> Option<u32> {
        self.subscribers.number(peer)
    }

    pub(crate) fn is_any_open(&self) -> bool {
        self.subscribers.is_any_open()
    }

    /// How many of the window's messages every subscriber that is left has; none without any.
    pub(crate) fn delivered_everywhere(&self) -> Option<u64> {
        let open = |number: &usize| self.subscribers.is_open(*number as u32);
        (0..self.subscriptions.len())
            .filter(open)
            .map(|number| self.subscriptions[number].delivered)
            .min()
    }

    /// Counts the deliveries of a batch. `sent` messages of the window were expected.
    pub(crate) fn take(
        &mut self,
        engine: &mut Engine,
        batch: &Batch,
        number: u32,
        window: &mut Window,
        (now, sent): (u64, u64),
    ) {
        for notice in &batch.notices {
            if let Notice::Down { error, .. } = notice {
                let failure = error.as_ref().map(|error| names::failure(error.kind()));
                self.ended(number, failure.unwrap_or(names::LOST), window, sent);
            }
        }
        let (mut count, mut bytes) = (0, 0);
        for event in &batch.events {
            match event {
                Event::StreamData { payload, .. } => {
                    count += 1;
                    bytes += payload.len() as u64;
                    self.delivered(number, batch.bytes(payload), window, now);
                }
                Event::StreamEnd { .. } => self.ended(number, names::LEAVING, window, sent),
                Event::StreamReset { code, .. } => {
                    self.ended(number, names::fault(*code), window, sent);
                }
                _ => {}
            }
        }
        if count > 0 {
            let id = self.subscriptions[number as usize].id;
            engine.release_stream(batch.peer, id, count, bytes);
        }
    }

    /// The first chunk says where the subscription begins; a message of an earlier window tells
    /// by its time that it is none of this one.
    fn delivered(&mut self, number: u32, message: &[u8], window: &mut Window, now: u64) {
        let subscription = &mut self.subscriptions[number as usize];
        if !subscription.stands {
            subscription.stands = true;
        } else if let Some((intended, sent)) = stamp(message)
            && intended >= window.begin()
        {
            subscription.delivered += 1;
            window.tally.completed(intended, sent, now);
        }
    }

    /// A subscriber gets nothing more; what it misses has failed. Counted once.
    fn ended(&mut self, number: u32, name: &'static str, window: &mut Window, sent: u64) {
        if self.subscribers.is_open(number) {
            self.subscribers.close(number);
            let missed = sent.saturating_sub(self.subscriptions[number as usize].delivered);
            // A subscriber that is lost while it misses nothing is an error all the same.
            window.tally.failed(name, missed.max(1));
        }
    }

    /// The window is over: the broker may forget what was delivered.
    pub(crate) fn finish(&mut self, engine: &mut Engine) {
        for (number, subscription) in self.subscriptions.iter_mut().enumerate() {
            subscription.delivered = 0;
            let peer = self.subscribers.peer(number as u32);
            engine.flush_credit_stream(peer, subscription.id);
        }
        engine.flush();
    }
}

/// When a message was intended and when it was sent.
fn stamp(message: &[u8]) -> Option<(u64, u64)> {
    let stamp = message.first_chunk::<STAMP_BYTES>()?;
    let (intended, sent) = stamp.split_at(8);
    let nanos = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
    Some((nanos(intended)?, nanos(sent)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_and_a_short_message_has_none() {
        let mut message = 7_u64.to_le_bytes().to_vec();
        message.extend_from_slice(&9_u64.to_le_bytes());
        assert_eq!(stamp(&message), Some((7, 9)));
        message.push(1);
        assert_eq!(stamp(&message), Some((7, 9)));
        assert_eq!(stamp(&message[..15]), None);
    }
}
