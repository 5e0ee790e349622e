//! The clear part of a datagram.

use crate::limits::{COUNTER_MAX, HEADER_BYTES};

/// The first byte of every datagram.
pub(super) const MAGIC: u8 = 0x5A;
const VERSION: u8 = 1;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Messages between members, sealed.
    Sealed = 0,
    /// A greeting to an address whose member is not known, sealed for nobody.
    Hello = 1,
    /// Its answer, sealed for who greeted.
    HelloReply = 2,
    /// The same three in the clear.
    Plain = 3,
    /// A greeting in the clear.
    PlainHello = 4,
    /// Its answer in the clear.
    PlainHelloReply = 5,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Sealed,
        Self::Hello,
        Self::HelloReply,
        Self::Plain,
        Self::PlainHello,
        Self::PlainHelloReply,
    ];

    /// Whether it is in the clear.
    #[must_use]
    pub const fn is_plain(self) -> bool {
        self as u8 >= Self::Plain as u8
    }

    /// The kind that means the same in the clear.
    #[must_use]
    pub const fn in_the_clear(self) -> Self {
        match self {
            Self::Sealed | Self::Plain => Self::Plain,
            Self::Hello | Self::PlainHello => Self::PlainHello,
            Self::HelloReply | Self::PlainHelloReply => Self::PlainHelloReply,
        }
    }
}

/// Who sent a datagram, under which key, and which of the sender's datagrams it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the datagram is.
    pub kind: Kind,
    /// The epoch of the key that seals it, modulo 256.
    pub epoch: u8,
    /// The sender's id, not 0.
    pub sid: u64,
    /// Ascends with every datagram of the sender: 1 to 2^48 - 1.
    pub counter: u64,
}

impl Header {
    /// The bytes of the header.
    #[inline]
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0] = MAGIC;
        out[1] = VERSION << 4 | self.kind as u8;
        out[2] = self.epoch;
        out[4..12].copy_from_slice(&self.sid.to_le_bytes());
        out[12..18].copy_from_slice(&self.counter.to_le_bytes()[..6]);
        out
    }

    /// Reads the header of a datagram. `None` stands for another magic byte, version, kind or
    /// flag, or an id or counter of 0.
    #[inline]
    #[must_use]
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        let bytes = datagram.first_chunk::<HEADER_BYTES>()?;
        if bytes[0] != MAGIC || bytes[1] >> 4 != VERSION || bytes[3] != 0 {
            return None;
        }
        let kind = *Kind::ALL.get(usize::from(bytes[1] & 0x0F))?;
        let sid = u64::from_le_bytes(*bytes[4..].first_chunk()?);
        let counter = u64::from_le_bytes(*bytes[10..].first_chunk()?) >> 16;
        (sid != 0 && counter != 0).then_some(Self {
            kind,
            epoch: bytes[2],
            sid,
            counter,
        })
    }
}

const _: () = assert!(COUNTER_MAX >> 48 == 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g_2_a_header_has_eighteen_bytes() {
        for (kind, counter) in Kind::ALL
            .into_iter()
            .zip([1, 2, 255, 256, 1 << 40, COUNTER_MAX])
        {
            let header = Header {
                kind,
                epoch: 7,
                sid: 0x0123_4567_89AB_CDEF,
                counter,
            };
            let bytes = header.encode();
            assert_eq!(Header::decode(&bytes), Some(header));
            assert_eq!(bytes[..4], [0x5A, 0x10 | kind as u8, 7, 0]);
            assert_eq!(Header::decode(&bytes[..17]), None);
        }
    }

    #[test]
    fn g_3_a_header_of_another_make_is_refused() {
        let header = Header {
            kind: Kind::Sealed,
            epoch: 0,
            sid: 1,
            counter: 1,
        };
        let good = header.encode();
        for (at, value) in [(0, 0x5B), (1, 0x20), (1, 0x06), (1, 0x16), (3, 1), (4, 0)] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(Header::decode(&bad), None, "byte {at} as {value:#x}");
        }
        let mut uncounted = good;
        uncounted[12] = 0;
        assert_eq!(Header::decode(&uncounted), None);
    }
}
