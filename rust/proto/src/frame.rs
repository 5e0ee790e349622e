//! The frames of ZT/1: header, types, flags and the bodies with fields.

use crate::codec::Reader;
use crate::error::{Error, Reason};
use crate::fault::{FaultCode, Retry};
use crate::limits::{HEADER_BYTES, PREFACE_BYTES, TEXT_BYTES_MAX};

/// The first bytes of a dialer (W-1). The line ends catch a path that rewrites text.
pub const PREFACE: [u8; PREFACE_BYTES] = *b"ZT/1\r\n\x1a\n";

/// Flag: the message ends with this frame.
pub const LAST: u8 = 1;
/// Flag: a metadata block stands before the payload.
pub const METADATA: u8 = 1 << 1;
/// Flag: not the first fragment of its message.
pub const CONTINUED: u8 = 1 << 2;

/// What a frame is for (W-6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The first frame of each side.
    Hello = 0x01,
    /// Gives a subject its number.
    Subject = 0x02,
    /// Asks.
    Request = 0x03,
    /// Answers a request.
    Reply = 0x04,
    /// Answers a request with a failure, or with id 0 ends the connection.
    Fault = 0x05,
    /// Asks to stop a request.
    Cancel = 0x06,
    /// A one-way message.
    Send = 0x07,
    /// Opens a stream.
    StreamOpen = 0x08,
    /// A message on a stream.
    StreamData = 0x09,
    /// The sender's side of a stream is complete.
    StreamEnd = 0x0a,
    /// A stream is given up, both ways.
    StreamReset = 0x0b,
    /// How much of a subject or stream has been consumed.
    Credit = 0x0c,
    /// Asks for a sign of life.
    Ping = 0x0d,
    /// Gives it.
    Pong = 0x0e,
    /// The sender takes nothing new.
    GoAway = 0x0f,
}

impl Kind {
    /// Every type, in the order of their numbers, which are 1 to 15.
    pub const ALL: [Self; 15] = [
        Self::Hello,
        Self::Subject,
        Self::Request,
        Self::Reply,
        Self::Fault,
        Self::Cancel,
        Self::Send,
        Self::StreamOpen,
        Self::StreamData,
        Self::StreamEnd,
        Self::StreamReset,
        Self::Credit,
        Self::Ping,
        Self::Pong,
        Self::GoAway,
    ];

    /// The type for a number from the wire; `None` for a number that is not defined.
    #[must_use]
    pub fn from_wire(kind: u8) -> Option<Self> {
        Self::ALL.get(usize::from(kind).wrapping_sub(1)).copied()
    }
}

/// The first type that a receiver may skip; all below are critical (W-7).
pub const SKIPPABLE_MIN: u8 = 0x80;

/// The 16 bytes before every body (W-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the body.
    pub length: u32,
    /// The type: see [`Kind`].
    pub kind: u8,
    /// The flags.
    pub flags: u8,
    /// A subject's number, or 0.
    pub subject: u16,
    /// The id of a request or stream, or 0.
    pub id: u64,
}

impl Header {
    /// The header of a frame; its length is set when it is written.
    #[inline]
    #[must_use]
    pub const fn new(kind: Kind, flags: u8, subject: u16, id: u64) -> Self {
        Self {
            length: 0,
            kind: kind as u8,
            flags,
            subject,
            id,
        }
    }

    /// Reads the 16 bytes; every value is a header.
    #[inline]
    #[must_use]
    pub const fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Self {
        let all = u128::from_le_bytes(*bytes);
        Self {
            length: all as u32,
            kind: (all >> 32) as u8,
            flags: (all >> 40) as u8,
            subject: (all >> 48) as u16,
            id: (all >> 64) as u64,
        }
    }

    /// The 16 bytes.
    #[inline]
    #[must_use]
    pub const fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let low = self.length as u64
            | (self.kind as u64) << 32
            | (self.flags as u64) << 40
            | (self.subject as u64) << 48;
        (low as u128 | (self.id as u128) << 64).to_le_bytes()
    }

    /// Whether a flag is set.
    #[inline]
    #[must_use]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Appends a whole frame.
pub fn put(out: &mut Vec<u8>, header: Header, body: &[u8]) {
    let length = body.len() as u32;
    out.extend_from_slice(&Header { length, ..header }.to_bytes());
    out.extend_from_slice(body);
}

/// The body of FAULT.
pub fn fault_body(code: FaultCode, retry: Retry, text: &str) -> Vec<u8> {
    let mut body = code.to_wire().to_le_bytes().to_vec();
    body.push(retry.to_wire());
    body.extend_from_slice(cut(text).as_bytes());
    body
}

/// The body of STREAM_RESET and GOAWAY.
pub fn reason_body(code: FaultCode, text: &str) -> Vec<u8> {
    let mut body = code.to_wire().to_le_bytes().to_vec();
    body.extend_from_slice(cut(text).as_bytes());
    body
}

/// The body of CREDIT: what has been consumed since the start.
#[must_use]
pub fn credit_body(count: u64, bytes: u64) -> [u8; 16] {
    (u128::from(count) | u128::from(bytes) << 64).to_le_bytes()
}

/// The text, cut between characters where it is longer than allowed (W-40).
pub(crate) fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn text_fits(text: &[u8]) -> Result<&str, Error> {
    match str::from_utf8(text) {
        Ok(text) if text.len() <= TEXT_BYTES_MAX => Ok(text),
        Ok(_) => Err(Error::new(
            Reason::Oversize,
            "a text is longer than 1,024 bytes",
        )),
        Err(_) => Err(Error::new(Reason::BadFrame, "a text is not UTF-8")),
    }
}

/// Reads the body of FAULT: code, retry class and text.
pub fn read_fault(body: &[u8]) -> Result<(FaultCode, Retry, &str), Error> {
    let mut reader = Reader::new(body);
    let code = reader.u16().map(FaultCode::from_wire);
    let retry = reader.u8().and_then(Retry::from_wire);
    let (Some(code), Some(retry)) = (code, retry) else {
        return Err(Error::new(
            Reason::BadFrame,
            "a fault has no code or no known retry class",
        ));
    };
    Ok((code, retry, text_fits(reader.rest())?))
}

/// Reads the body of STREAM_RESET and GOAWAY: code and text.
pub fn read_reason(body: &[u8]) -> Result<(FaultCode, &str), Error> {
    let mut reader = Reader::new(body);
    let Some(code) = reader.u16().map(FaultCode::from_wire) else {
        return Err(Error::new(
            Reason::BadFrame,
            "a reset or GOAWAY has no code",
        ));
    };
    Ok((code, text_fits(reader.rest())?))
}

/// Reads the body of CREDIT: count and bytes consumed.
pub fn read_credit(body: &[u8]) -> Result<(u64, u64), Error> {
    let mut reader = Reader::new(body);
    match (reader.u64(), reader.u64(), reader.rest()) {
        (Some(count), Some(bytes), []) => Ok((count, bytes)),
        _ => Err(Error::new(Reason::BadFrame, "a credit is not 16 bytes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w_4_a_header_is_little_endian_in_sixteen_bytes() {
        let header = Header {
            length: 0x0102_0304,
            kind: 5,
            flags: 6,
            subject: 0x0708,
            id: 0x0a0b,
        };
        let bytes = [4, 3, 2, 1, 5, 6, 8, 7, 0x0b, 0x0a, 0, 0, 0, 0, 0, 0];
        assert_eq!(header.to_bytes(), bytes);
        assert_eq!(Header::from_bytes(&bytes), header);
    }

    #[test]
    fn w_6_fifteen_types_are_defined() {
        for wire in 0..=u8::MAX {
            let kind = Kind::from_wire(wire);
            assert_eq!(
                kind.map(|kind| kind as u8),
                (1..=15).contains(&wire).then_some(wire)
            );
        }
    }

    #[test]
    fn w_40_text_is_cut_at_a_character() {
        let body = reason_body(FaultCode::Limit, &"é".repeat(600));
        let (code, text) = read_reason(&body).unwrap();
        assert_eq!((code, text.len()), (FaultCode::Limit, 1_024));
        assert_eq!(
            reason_body(FaultCode::Limit, &format!("a{}", "é".repeat(600))).len(),
            1_025
        );
    }

    #[test]
    fn w_40_texts_at_their_limit() {
        for (bytes, taken) in [(1_023, true), (1_024, true), (1_025, false)] {
            let body = [&[7, 0, 0][..], &vec![b'x'; bytes]].concat();
            assert_eq!(read_fault(&body).is_ok(), taken, "{bytes} bytes");
        }
        assert!(read_fault(&[7, 0, 0, 0xff]).is_err());
        assert!(read_fault(&[7, 0, 3]).is_err());
    }

    #[test]
    fn bodies_cut_at_every_byte() {
        let fault = fault_body(FaultCode::Protocol, Retry::Failed, "");
        let credit = credit_body(1, 2);
        for end in 0..=fault.len() {
            assert_eq!(read_fault(&fault[..end]).is_ok(), end == fault.len());
        }
        for end in 0..=credit.len() {
            assert_eq!(read_credit(&credit[..end]).is_ok(), end == credit.len());
        }
        assert_eq!(read_credit(&credit), Ok((1, 2)));
        assert!(read_reason(&[1]).is_err() && read_reason(&[1, 0]).is_ok());
    }
}
