//! Heartbeats as Zeebe 8.7 has them: ordinary requests on two subjects of its own. Their payloads
//! are little-endian SBE messages of schema 10.

use crate::codec::Reader;
use crate::limits::LIVENESS_TIMEOUT_MS_MIN;
use crate::time::Time;

/// Asks whether there shall be heartbeats.
pub(super) const SETUP_SUBJECT: &str = "internal-heartbeat-setup";
/// A heartbeat.
pub(super) const BEAT_SUBJECT: &str = "internal-heartbeat";

const SCHEMA: u16 = 10;
const SCHEMA_VERSION: u16 = 2;
const SETUP_REQUEST: u16 = 1;
const SETUP_RESPONSE: u16 = 2;
const YES: u8 = 1;

fn message(template: u16, block: &[u8]) -> Vec<u8> {
    let header = [block.len() as u16, template, SCHEMA, SCHEMA_VERSION];
    let header = header.into_iter().flat_map(u16::to_le_bytes);
    header.chain(block.iter().copied()).collect()
}

/// The block of a message of this kind, whatever its version.
fn block(bytes: &[u8], template: u16) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    let length = reader.u16()?;
    let is_ours = reader.u16()? == template && reader.u16()? == SCHEMA;
    reader.u16()?;
    reader.bytes(length.into()).filter(|_| is_ours)
}

/// A dialer's offer: it takes the listener for dead after `timeout_ms` of silence. It wants no
/// wall-clock times in heartbeats.
pub(super) fn setup_request(timeout_ms: u32) -> Vec<u8> {
    let [a, b, c, d] = timeout_ms.to_le_bytes();
    message(SETUP_REQUEST, &[a, b, c, d, 0])
}

/// The dialer's timeout; `None` for what cannot be read or offers none.
fn read_setup_request(bytes: &[u8]) -> Option<u32> {
    let timeout_ms = Reader::new(block(bytes, SETUP_REQUEST)?).u32()?;
    (timeout_ms != 0).then_some(timeout_ms)
}

fn accepts(bytes: &[u8]) -> bool {
    block(bytes, SETUP_RESPONSE).and_then(<[u8]>::first) == Some(&YES)
}

/// The heartbeats of one connection.
#[derive(Debug, Default)]
pub(super) struct Heartbeat {
    /// The request whose answer is still to come: the offer or a heartbeat.
    asked: Option<u64>,
    /// Dialer: the time between two, once they are agreed.
    interval_ms: Option<u32>,
    /// Dialer: whether the listener leaves heartbeats unanswered.
    is_unanswered: bool,
    /// Acceptor: the silence that was offered.
    offered_ms: Option<u32>,
    /// Silence that ends the connection.
    timeout_ms: Option<u32>,
    /// When something was last written.
    wrote: Option<Time>,
}

impl Heartbeat {
    /// Acceptor: answers an offer. Silence counts from the first heartbeat on.
    pub(super) fn answer_setup(&mut self, request: &[u8]) -> Vec<u8> {
        let timeout_ms = read_setup_request(request);
        self.offered_ms = timeout_ms.map(|millis| millis.max(LIVENESS_TIMEOUT_MS_MIN));
        message(SETUP_RESPONSE, &[u8::from(timeout_ms.is_some()), 0])
    }

    /// Acceptor: a heartbeat has come.
    pub(super) fn beat(&mut self) {
        self.timeout_ms = self.offered_ms;
    }

    /// Dialer: the listener sends heartbeats of its own accord, and wants the like; nobody answers
    /// any of them.
    pub(super) fn listener_beats(&mut self, interval_ms: Option<u32>, timeout_ms: u32) {
        (self.is_unanswered, self.asked) = (true, None);
        (self.interval_ms, self.timeout_ms) = (interval_ms, Some(timeout_ms));
    }

    /// Dialer: a request of ours on one of the two subjects has this id.
    pub(super) fn asked(&mut self, id: u64) {
        self.asked = (!self.is_unanswered).then_some(id);
    }

    /// Dialer: whether a reply is to one of them.
    #[inline]
    pub(super) fn is_asked(&self, id: u64) -> bool {
        self.asked == Some(id)
    }

    /// Dialer: takes that reply. `interval_ms` and `timeout_ms` hold from the answer to the offer on.
    pub(super) fn answered(&mut self, ok: bool, reply: &[u8], interval_ms: u32, timeout_ms: u32) {
        self.asked = None;
        if self.interval_ms.is_none() && ok && accepts(reply) {
            (self.interval_ms, self.timeout_ms) = (Some(interval_ms), Some(timeout_ms));
        }
    }

    /// Output leaves.
    #[inline]
    pub(super) fn write(&mut self, now: Time) {
        self.wrote = Some(now);
    }

    /// Dialer: when the next heartbeat must leave. While one is not answered there is none.
    pub(super) fn next_beat(&self) -> Option<Time> {
        let (interval_ms, wrote) = self.interval_ms.zip(self.wrote)?;
        let beat = wrote.after_millis(interval_ms.into());
        self.asked.is_none().then_some(beat)
    }

    /// Silence that ends the connection, in milliseconds.
    #[inline]
    pub(super) fn timeout_ms(&self) -> Option<u32> {
        self.timeout_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w_82_the_offer_and_its_answer_byte_by_byte() {
        let offer = setup_request(15_000);
        assert_eq!(offer, b"\x05\0\x01\0\x0a\0\x02\0\x98\x3a\0\0\0");
        let mut acceptor = Heartbeat::default();
        assert_eq!(
            acceptor.answer_setup(&offer),
            b"\x02\0\x02\0\x0a\0\x02\0\x01\0"
        );
        assert_eq!(acceptor.timeout_ms(), None);
        acceptor.beat();
        assert_eq!(acceptor.timeout_ms(), Some(15_000));
        // The first release had no second field.
        let old = b"\x04\0\x01\0\x0a\0\x01\0\x98\x3a\0\0";
        assert_eq!(Heartbeat::default().answer_setup(old)[8], 1);
    }

    #[test]
    fn w_82_what_offers_nothing_is_declined() {
        for offer in [
            &b""[..],
            b"\x05\0\x01\0\x0a\0\x02\0\0\0\0\0\0",
            b"\x05\0\x01\0\x0b\0\x02\0\x98\x3a\0\0\0",
            b"\x05\0\x09\0\x0a\0\x02\0\x98\x3a\0\0\0",
            b"\x05\0\x01\0\x0a\0\x02\0\x98\x3a\0\0",
        ] {
            let mut acceptor = Heartbeat::default();
            assert_eq!(acceptor.answer_setup(offer)[8], 0, "{offer:x?}");
            acceptor.beat();
            assert_eq!(acceptor.timeout_ms(), None);
        }
    }
}
