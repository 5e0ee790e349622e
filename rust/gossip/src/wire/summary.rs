//! States of members as anti-entropy tells them.

use super::cursor::{Reader, put_varint};
use super::decode::{incarnation, sid};
use super::{Malformed, State};

/// One member's state as anti-entropy tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The member.
    pub sid: u64,
    /// Its state.
    pub state: State,
    /// The incarnation the state belongs to.
    pub incarnation: u32,
    /// The incarnation in which its description changed last.
    pub version: u32,
}

/// States of members, one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct Summaries<'a> {
    reader: Reader<'a>,
}

impl PartialEq for Summaries<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.reader.rest() == other.reader.rest()
    }
}

impl Eq for Summaries<'_> {}

impl<'a> Summaries<'a> {
    /// Checks encoded summaries.
    ///
    /// # Errors
    /// The first rule they break.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        while !reader.rest().is_empty() {
            summary(&mut reader)?;
        }
        Ok(Self {
            reader: Reader::new(bytes),
        })
    }

    /// As they are on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.reader.rest()
    }

    /// Appends one more to encoded summaries.
    pub fn put(out: &mut Vec<u8>, summary: &Summary) {
        out.extend_from_slice(&summary.sid.to_le_bytes());
        out.push(summary.state as u8);
        put_varint(out, summary.incarnation);
        put_varint(out, summary.version);
    }
}

impl Iterator for Summaries<'_> {
    type Item = Summary;

    fn next(&mut self) -> Option<Summary> {
        summary(&mut self.reader).ok()
    }
}

fn summary(reader: &mut Reader<'_>) -> Result<Summary, Malformed> {
    let (sid, state) = (sid(reader)?, reader.u8()?);
    let unknown = Malformed("a member's state is not known");
    Ok(Summary {
        sid,
        state: *State::ALL.get(usize::from(state)).ok_or(unknown)?,
        incarnation: incarnation(reader)?,
        version: incarnation(reader)?,
    })
}
