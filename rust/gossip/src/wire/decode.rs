//! Reading a body: every field checked, nothing allocated.

use crate::limits::{BUCKETS, INCARNATION_MAX};

use super::code::*;
use super::cursor::{Reader, SHORT};
use super::summary::Summaries;
use super::{Address, Description, Malformed, Message, Properties, State};

impl<'a> Description<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let (sid, generation) = (sid(reader)?, reader.u64()?);
        let incarnation = incarnation(reader)?;
        let version = version(incarnation, reader)?;
        let [reach, installed, ready] = reader.array()?;
        Ok(Self {
            sid,
            generation,
            incarnation,
            version,
            reach,
            installed,
            ready,
            address: Address::decode(reader)?,
            name: name(reader)?,
            properties: properties(reader)?,
        })
    }
}

#[inline]
pub(super) fn sid(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    match reader.u64()? {
        0 => Err(Malformed("a member's id is 0")),
        sid => Ok(sid),
    }
}

#[inline]
pub(super) fn incarnation(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    match reader.varint()? {
        value if value <= INCARNATION_MAX => Ok(value),
        _ => Err(Malformed("an incarnation has more than 31 bits")),
    }
}

fn name<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    let length = reader.u8()?;
    let bytes = reader.bytes(length.into())?;
    if bytes.is_empty() {
        return Err(Malformed("a name is empty"));
    }
    std::str::from_utf8(bytes).map_err(|_| Malformed("a name is not UTF-8"))
}

fn properties<'a>(reader: &mut Reader<'a>) -> Result<Properties<'a>, Malformed> {
    let length = reader.u16()?;
    Properties::new(reader.bytes(length.into())?)
}

fn flag(byte: u8, known: u8) -> Result<u8, Malformed> {
    let unknown = Malformed("a flag is set that has no meaning");
    (byte & !known == 0).then_some(byte).ok_or(unknown)
}

/// The messages of a body from the front. After an error it ends.
#[derive(Clone, Debug)]
pub struct Messages<'a> {
    reader: Reader<'a>,
}

impl<'a> Messages<'a> {
    /// The messages of `body`.
    #[must_use]
    pub const fn new(body: &'a [u8]) -> Self {
        Self {
            reader: Reader::new(body),
        }
    }

    #[inline]
    fn message(&mut self) -> Result<Option<Message<'a>>, Malformed> {
        let code = self.reader.u8()?;
        let length = self.reader.varint()?;
        let mut fields = Reader::new(self.reader.bytes(length as usize)?);
        decode(code, &mut fields)
    }
}

/// What a rumour says of the state of one member. It is small and stays in registers, where a
/// [`Message`] is copied about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The member.
    pub sid: u64,
    /// The incarnation the state belongs to.
    pub incarnation: u32,
    /// The state.
    pub state: State,
    /// Who accuses or reports, 0 for the member itself.
    pub by: u64,
    /// The accuser's own health, 0 for sound.
    pub health: u8,
    /// Of a refutation: the incarnation in which its description changed last.
    pub version: u32,
}

impl Messages<'_> {
    /// The next message, if it is a rumour and well formed; otherwise it stays the next.
    #[inline(always)]
    pub fn next_claim(&mut self) -> Option<Claim> {
        let mut reader = self.reader;
        let state = match reader.u8().ok()? {
            SUSPECT => State::Suspect,
            DEAD => State::Dead,
            LEFT => State::Left,
            REFUTE => State::Alive,
            _ => return None,
        };
        let length = reader.varint().ok()?;
        let mut fields = Reader::new(reader.bytes(length as usize).ok()?);
        let claim = claim(state, &mut fields).ok()?;
        self.reader = reader;
        Some(claim)
    }
}

/// Inlined, as its result would be put into memory and read back in other pieces, which stalls.
#[inline(always)]
fn claim(state: State, fields: &mut Reader<'_>) -> Result<Claim, Malformed> {
    let mut claim = Claim {
        sid: sid(fields)?,
        incarnation: incarnation(fields)?,
        state,
        by: 0,
        health: 0,
        version: 0,
    };
    match state {
        State::Suspect => (claim.by, claim.health) = (sid(fields)?, fields.u8()?),
        State::Dead => claim.by = sid(fields)?,
        State::Left => {}
        State::Alive => claim.version = version(claim.incarnation, fields)?,
    }
    Ok(claim)
}

#[inline]
fn version(incarnation: u32, fields: &mut Reader<'_>) -> Result<u32, Malformed> {
    match self::incarnation(fields)? {
        version if version <= incarnation => Ok(version),
        _ => Err(Malformed("a description is newer than its member")),
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while !self.reader.rest().is_empty() {
            match self.message() {
                Ok(None) => {}
                Ok(Some(message)) => return Some(Ok(message)),
                Err(error) => {
                    self.reader = Reader::new(&[]);
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

#[inline]
fn decode<'a>(code: u8, fields: &mut Reader<'a>) -> Result<Option<Message<'a>>, Malformed> {
    Ok(Some(match code {
        PING | ACK => probe(code, fields)?,
        SUSPECT => claim(State::Suspect, fields)?.into(),
        DEAD => claim(State::Dead, fields)?.into(),
        LEFT => claim(State::Left, fields)?.into(),
        REFUTE => claim(State::Alive, fields)?.into(),
        ALIVE => Message::Alive(Description::decode(fields)?),
        _ => return decode_rare(code, fields),
    }))
}

fn probe<'a>(code: u8, fields: &mut Reader<'a>) -> Result<Message<'a>, Malformed> {
    let (seq, digest) = (fields.u32()?, fields.u64()?);
    Ok(match code {
        PING => Message::Ping { seq, digest },
        _ => Message::Ack { seq, digest },
    })
}

impl From<Claim> for Message<'_> {
    #[inline]
    fn from(claim: Claim) -> Self {
        let (sid, incarnation) = (claim.sid, claim.incarnation);
        match claim.state {
            State::Suspect => Self::Suspect {
                sid,
                incarnation,
                accuser: claim.by,
                health: claim.health,
            },
            State::Dead => Self::Dead {
                sid,
                incarnation,
                reporter: claim.by,
            },
            State::Left => Self::Left { sid, incarnation },
            State::Alive => Self::Refute {
                sid,
                incarnation,
                version: claim.version,
            },
        }
    }
}

fn decode_rare<'a>(code: u8, fields: &mut Reader<'a>) -> Result<Option<Message<'a>>, Malformed> {
    Ok(Some(match code {
        PING_REQ => Message::PingReq {
            seq: fields.u32()?,
            target: sid(fields)?,
        },
        NACK => Message::Nack { seq: fields.u32()? },
        DIGEST => {
            let half = flag(fields.u8()?, 1)?;
            let buckets = fields.bytes(BUCKETS * 4)?;
            let buckets = buckets.first_chunk().ok_or(SHORT)?;
            Message::Digest { half, buckets }
        }
        PART => {
            let flags = flag(fields.u8()?, PART_LAST | PART_MORE)?;
            Message::Part {
                last: flags & PART_LAST != 0,
                more: flags & PART_MORE != 0,
            }
        }
        SUMMARIES => Message::Summaries(Summaries::new(fields.rest())?),
        WANT => Message::Want(wanted(fields.rest())?),
        HELLO => Message::Hello {
            generation: fields.u64()?,
            name: name(fields)?,
        },
        HELLO_REPLY => Message::HelloReply {
            echo: fields.u64()?,
            status: fields.u8()?,
            generation: fields.u64()?,
        },
        _ => return Ok(None),
    }))
}

fn wanted(bytes: &[u8]) -> Result<&[u8], Malformed> {
    let whole = bytes.len().is_multiple_of(8);
    whole.then_some(bytes).ok_or(SHORT)
}

/// Checks a whole body without allocating.
///
/// # Errors
/// The first rule it breaks.
#[inline]
pub fn validate(body: &[u8]) -> Result<(), Malformed> {
    Messages::new(body).try_for_each(|message| message.map(|_| ()))
}
