//! The messages of a body, each `type:u8 length:varint fields`.
//!
//! A known message may have further fields behind those named here; they are skipped, as are
//! whole messages of unknown type.

use crate::limits::{BUCKETS, NAME_BYTES_MAX};

use super::code::*;
use super::cursor::put_varint;
use super::summary::Summaries;
use super::{Address, Properties};

/// What is known of a member within one life and incarnation, in the order of strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum State {
    /// It answers, or nobody has found that it does not.
    Alive = 0,
    /// Somebody had no answer; it may refute.
    Suspect = 1,
    /// It did not refute in time.
    Dead = 2,
    /// It said that it leaves: final in this life.
    Left = 3,
}

impl State {
    pub(super) const ALL: [Self; 4] = [Self::Alive, Self::Suspect, Self::Dead, Self::Left];

    /// Whether the member counts as present: alive or suspected.
    #[inline]
    #[must_use]
    pub const fn is_present(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

/// All that a member says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description<'a> {
    /// Its id, of this life alone.
    pub sid: u64,
    /// Which life of the name it is; a later one has a greater number.
    pub generation: u64,
    /// How often it has spoken up in this life.
    pub incarnation: u32,
    /// The incarnation in which the fields below changed last.
    pub version: u32,
    /// How it is reached: bit 0 by datagrams, bit 1 over connections; other bits are kept.
    pub reach: u8,
    /// The newest key epoch it has installed, modulo 256.
    pub installed: u8,
    /// The newest key epoch that it has seen all members install.
    pub ready: u8,
    /// Where it takes datagrams.
    pub address: Address,
    /// Its name, 1 to 255 bytes.
    pub name: &'a str,
    /// What it tells about itself.
    pub properties: Properties<'a>,
}

/// One message of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Asks for an [`Message::Ack`] with the same number.
    Ping {
        /// Chosen by who asks.
        seq: u32,
        /// The digest of the sender's view.
        digest: u64,
    },
    /// Answers a ping, or says that one was answered that the receiver asked for.
    Ack {
        /// The number of the ping or of the request.
        seq: u32,
        /// The digest of the sender's view.
        digest: u64,
    },
    /// Asks the receiver to ping a third member.
    PingReq {
        /// Chosen by who asks.
        seq: u32,
        /// Whom to ping.
        target: u64,
    },
    /// Says that a requested ping was not answered so far.
    Nack {
        /// The number of the request.
        seq: u32,
    },
    /// A member and all it says of itself.
    Alive(Description<'a>),
    /// A member did not answer.
    Suspect {
        /// The member.
        sid: u64,
        /// Its incarnation then.
        incarnation: u32,
        /// Who had no answer.
        accuser: u64,
        /// The accuser's own health then, 0 for sound.
        health: u8,
    },
    /// A member did not refute.
    Dead {
        /// The member.
        sid: u64,
        /// Its incarnation then.
        incarnation: u32,
        /// Who waited for it.
        reporter: u64,
    },
    /// A member left by its own will.
    Left {
        /// The member.
        sid: u64,
        /// Its incarnation then.
        incarnation: u32,
    },
    /// A member is alive, and its description has not changed.
    Refute {
        /// The member.
        sid: u64,
        /// Its new incarnation.
        incarnation: u32,
        /// The incarnation in which its description changed last.
        version: u32,
    },
    /// One half of every bucket's digest: asks for what differs.
    Digest {
        /// 0 for the lower 32 bits of each, 1 for the upper.
        half: u8,
        /// The halves, little-endian.
        buckets: &'a [u8; BUCKETS * 4],
    },
    /// The datagram is a part of an answer in anti-entropy: what it tells is no news.
    Part {
        /// It is the last one.
        last: bool,
        /// There was more to tell than fits an answer.
        more: bool,
    },
    /// States of members of buckets that differ.
    Summaries(Summaries<'a>),
    /// Asks for the descriptions of members: their ids, little-endian.
    Want(&'a [u8]),
    /// Greets an address.
    Hello {
        /// Which life of the name greets.
        generation: u64,
        /// Who greets.
        name: &'a str,
    },
    /// Answers a greeting.
    HelloReply {
        /// The counter of the greeting.
        echo: u64,
        /// 0: join. 1: that life has ended, take a new one.
        status: u8,
        /// The greatest generation known for the name under another id, or 0.
        generation: u64,
    },
}

/// A greeting's fields are filled up to this, so that its answer is never longer.
const HELLO_FIELDS_MIN: usize = 8 + 1 + 8;
impl Message<'_> {
    /// Appends the message.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[self.type_code(), 0]);
        self.encode_fields(out);
        let length = out.len() - start - 2;
        if length < 0x80 {
            out[start + 1] = length as u8;
        } else {
            lengthen(out, start + 1, length);
        }
    }

    const fn type_code(&self) -> u8 {
        match self {
            Self::Ping { .. } => PING,
            Self::Ack { .. } => ACK,
            Self::PingReq { .. } => PING_REQ,
            Self::Nack { .. } => NACK,
            Self::Alive(_) => ALIVE,
            Self::Suspect { .. } => SUSPECT,
            Self::Dead { .. } => DEAD,
            Self::Left { .. } => LEFT,
            Self::Refute { .. } => REFUTE,
            Self::Digest { .. } => DIGEST,
            Self::Part { .. } => PART,
            Self::Summaries(_) => SUMMARIES,
            Self::Want(_) => WANT,
            Self::Hello { .. } => HELLO,
            Self::HelloReply { .. } => HELLO_REPLY,
        }
    }

    #[inline]
    fn encode_fields(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Ping { seq, digest } | Self::Ack { seq, digest } => put_probe(out, seq, digest),
            Self::PingReq { seq, target } => put_probe(out, seq, target),
            Self::Nack { seq } => out.extend_from_slice(&seq.to_le_bytes()),
            Self::Suspect {
                sid,
                incarnation,
                accuser,
                health,
            } => {
                put_accusation(out, sid, incarnation, accuser);
                out.push(health);
            }
            Self::Dead {
                sid,
                incarnation,
                reporter,
            } => put_accusation(out, sid, incarnation, reporter),
            Self::Left { sid, incarnation } => put_life(out, sid, incarnation),
            Self::Refute {
                sid,
                incarnation,
                version,
            } => {
                put_life(out, sid, incarnation);
                put_varint(out, version);
            }
            _ => self.encode_rare_fields(out),
        }
    }

    fn encode_rare_fields(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Alive(ref description) => description.encode(out),
            Self::Digest { half, buckets } => {
                out.push(half);
                out.extend_from_slice(buckets);
            }
            Self::Part { last, more } => {
                out.push((u8::from(last) * PART_LAST) | (u8::from(more) * PART_MORE));
            }
            Self::Summaries(summaries) => out.extend_from_slice(summaries.as_bytes()),
            Self::Want(bytes) => out.extend_from_slice(bytes),
            Self::Hello { generation, name } => {
                let start = out.len();
                out.extend_from_slice(&generation.to_le_bytes());
                put_name(out, name);
                out.resize(out.len().max(start + HELLO_FIELDS_MIN), 0);
            }
            Self::HelloReply {
                echo,
                status,
                generation,
            } => {
                out.extend_from_slice(&echo.to_le_bytes());
                out.push(status);
                out.extend_from_slice(&generation.to_le_bytes());
            }
            _ => {}
        }
    }
}

#[cold]
fn lengthen(out: &mut Vec<u8>, at: usize, length: usize) {
    let mut field = Vec::with_capacity(3);
    put_varint(&mut field, length as u32);
    out.splice(at..=at, field);
}

fn put_probe(out: &mut Vec<u8>, seq: u32, word: u64) {
    out.extend_from_slice(&seq.to_le_bytes());
    out.extend_from_slice(&word.to_le_bytes());
}

#[inline]
fn put_life(out: &mut Vec<u8>, sid: u64, incarnation: u32) {
    out.extend_from_slice(&sid.to_le_bytes());
    put_varint(out, incarnation);
}

#[inline]
fn put_accusation(out: &mut Vec<u8>, sid: u64, incarnation: u32, by: u64) {
    put_life(out, sid, incarnation);
    out.extend_from_slice(&by.to_le_bytes());
}

fn put_name(out: &mut Vec<u8>, name: &str) {
    debug_assert!(!name.is_empty() && name.len() <= NAME_BYTES_MAX);
    out.push(name.len() as u8);
    out.extend_from_slice(name.as_bytes());
}

impl<'a> Description<'a> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.sid.to_le_bytes());
        out.extend_from_slice(&self.generation.to_le_bytes());
        put_varint(out, self.incarnation);
        put_varint(out, self.version);
        out.extend_from_slice(&[self.reach, self.installed, self.ready]);
        self.address.encode(out);
        put_name(out, self.name);
        out.extend_from_slice(&(self.properties.as_bytes().len() as u16).to_le_bytes());
        out.extend_from_slice(self.properties.as_bytes());
    }
}
