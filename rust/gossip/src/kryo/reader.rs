//! Reads Kryo's primitives. Every length is checked against what is there before it is used.

use std::borrow::Cow;

use super::limits::STRING_UNITS_MAX;
use crate::wire::Malformed;

const SHORT: Malformed = Malformed("a value is cut short");
const LONG_STRING: Malformed = Malformed("a string is longer than is taken");

/// Values from the front of a slice.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(SHORT)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    /// Whether nothing is left, where nothing may be.
    pub(super) const fn end(&self) -> Result<(), Malformed> {
        match self.rest {
            [] => Ok(()),
            _ => Err(Malformed("bytes follow where a value should end")),
        }
    }

    /// Seven bits a byte, the lowest first, at most five bytes.
    pub(super) fn varint(&mut self) -> Result<u32, Malformed> {
        let first = self.byte()?;
        self.continued(u32::from(first & 0x7F), first & 0x80 != 0, 7)
    }

    /// The further bytes of a number whose first byte held `shift` bits of it.
    fn continued(&mut self, first: u32, more: bool, first_shift: u32) -> Result<u32, Malformed> {
        let (mut value, mut more, mut shift) = (u64::from(first), more, first_shift);
        while more {
            if shift >= u32::BITS {
                return Err(Malformed("a number has more than 32 bits"));
            }
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            more = byte & 0x80 != 0;
            shift += 7;
        }
        u32::try_from(value).map_err(|_| Malformed("a number has more than 32 bits"))
    }

    /// A number whose first byte has a flag in its highest bit, and six bits of the number.
    pub(super) fn flagged(&mut self) -> Result<(bool, u32), Malformed> {
        let first = self.byte()?;
        let value = self.continued(u32::from(first & 0x3F), first & 0x40 != 0, 6)?;
        Ok((first & 0x80 != 0, value))
    }

    /// At most nine bytes, of which the ninth holds eight bits.
    fn varlong(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..56).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Ok(value | u64::from(self.byte()?) << 56)
    }

    /// A signed number of 64 bits.
    pub(super) fn long(&mut self) -> Result<i64, Malformed> {
        let value = self.varlong()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A signed number of 32 bits.
    pub(super) fn int(&mut self) -> Result<i32, Malformed> {
        let value = self.varint()?;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    /// Four bytes, the lowest first.
    pub(super) fn fixed_int(&mut self) -> Result<i32, Malformed> {
        let bytes = self.bytes(4)?;
        Ok(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    /// A string or null, in either form.
    pub(super) fn string(&mut self) -> Result<Option<String>, Malformed> {
        if self.rest.first().is_some_and(|first| first & 0x80 == 0) {
            return self.ascii().map(Some);
        }
        match self.flagged()?.1 as usize {
            0 => Ok(None),
            units => self.units(units - 1).map(Some),
        }
    }

    /// ASCII whose last byte has its highest bit set.
    fn ascii(&mut self) -> Result<String, Malformed> {
        let last = self.rest.iter().take(STRING_UNITS_MAX + 1);
        let last = last.enumerate().find(|(_, byte)| **byte & 0x80 != 0);
        let length = match last {
            Some((index, _)) => index + 1,
            None if self.rest.len() > STRING_UNITS_MAX => return Err(LONG_STRING),
            None => return Err(SHORT),
        };
        if length > STRING_UNITS_MAX {
            return Err(LONG_STRING);
        }
        let bytes = self.bytes(length)?;
        Ok(bytes.iter().map(|byte| char::from(byte & 0x7F)).collect())
    }

    /// So many UTF-16 units of one to three bytes each. A surrogate without its other half becomes
    /// the replacement character.
    fn units(&mut self, count: usize) -> Result<String, Malformed> {
        if count > STRING_UNITS_MAX {
            return Err(LONG_STRING);
        }
        if count > self.rest.len() {
            return Err(SHORT);
        }
        let mut units = Vec::with_capacity(count);
        for _ in 0..count {
            units.push(self.unit()?);
        }
        Ok(String::from_utf16_lossy(&units))
    }

    fn unit(&mut self) -> Result<u16, Malformed> {
        let first = u16::from(self.byte()?);
        match first >> 4 {
            0..=7 => Ok(first),
            12 | 13 => Ok((first & 0x1F) << 6 | self.low_bits()?),
            14 => Ok((first & 0x0F) << 12 | self.low_bits()? << 6 | self.low_bits()?),
            _ => Err(Malformed("a string is not in Kryo's UTF-8")),
        }
    }

    fn low_bits(&mut self) -> Result<u16, Malformed> {
        self.byte().map(|byte| u16::from(byte & 0x3F))
    }

    /// A field: chunks up to an empty one, read as if they were one.
    pub(super) fn field<T>(
        &mut self,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        let content = self.chunks()?;
        let mut reader = Reader::new(&content);
        let value = read(&mut reader)?;
        reader.end()?;
        Ok(value)
    }

    /// The content of the chunks; copied only if there are several.
    fn chunks(&mut self) -> Result<Cow<'a, [u8]>, Malformed> {
        let first = self.chunk()?;
        let mut content = Cow::Borrowed(first);
        if first.is_empty() {
            return Ok(content);
        }
        loop {
            match self.chunk()? {
                [] => return Ok(content),
                more => content.to_mut().extend_from_slice(more),
            }
        }
    }

    fn chunk(&mut self) -> Result<&'a [u8], Malformed> {
        let size = self.varint()? as usize;
        self.bytes(size)
    }

    /// Passes over a field that is not known.
    pub(super) fn skip_field(&mut self) -> Result<(), Malformed> {
        while !self.chunk()?.is_empty() {}
        Ok(())
    }
}

/// [`Reader::string`] of whatever reader a field has.
pub(super) fn string(input: &mut Reader<'_>) -> Result<Option<String>, Malformed> {
    input.string()
}

/// [`Reader::int`] of whatever reader a field has.
pub(super) fn int(input: &mut Reader<'_>) -> Result<i32, Malformed> {
    input.int()
}

/// [`Reader::long`] of whatever reader a field has.
pub(super) fn long(input: &mut Reader<'_>) -> Result<i64, Malformed> {
    input.long()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_in_time() {
        let read = |bytes: &[u8]| Reader::new(bytes).varint();
        assert_eq!(read(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]), Ok(u32::MAX));
        assert!(read(&[0xFF, 0xFF, 0xFF, 0xFF, 0x10]).is_err());
        assert!(read(&[0x80; 9]).is_err());
        assert_eq!(read(&[0x80]), Err(SHORT));
        let long = |bytes: &[u8]| Reader::new(bytes).long();
        assert_eq!(long(&[0xFF; 9]), Ok(i64::MIN));
        assert_eq!(long(&[1]), Ok(-1));
        assert_eq!(long(&[0xFF; 8]), Err(SHORT));
    }

    #[test]
    fn strings_in_all_forms() {
        let read = |bytes: &[u8]| Reader::new(bytes).string();
        assert_eq!(read(&[0x80]), Ok(None));
        assert_eq!(read(&[0x81]), Ok(Some(String::new())));
        assert_eq!(read(b"\x820"), Ok(Some("0".into())));
        assert_eq!(read(b"who\xE9"), Ok(Some("whoi".into())));
        assert_eq!(read(b"\x82\xE2\x82\xAC"), Ok(Some("€".into())));
        // A character beyond the basic plane is two units of three bytes.
        let pair = b"\x83\xED\xA0\xBD\xED\xB8\x80";
        assert_eq!(read(pair), Ok(Some("😀".into())));
        assert_eq!(read(b"\x82\xED\xA0\xBD"), Ok(Some("\u{FFFD}".into())));
        assert!(read(b"\x82\xFF").is_err());
    }

    #[test]
    fn a_length_is_checked_before_room_is_made() {
        // 2^31 - 2 units are claimed, and none is there.
        assert_eq!(
            Reader::new(&[0xFF, 0xFF, 0xFF, 0xFF, 0x07]).string(),
            Err(LONG_STRING)
        );
        assert_eq!(Reader::new(&[0xBF, b'x']).string(), Err(SHORT));
        let mut at = vec![b'a'; STRING_UNITS_MAX];
        *at.last_mut().unwrap() |= 0x80;
        assert_eq!(
            Reader::new(&at).string().unwrap().unwrap().len(),
            STRING_UNITS_MAX
        );
        at.insert(0, b'a');
        assert_eq!(Reader::new(&at).string(), Err(LONG_STRING));
    }

    #[test]
    fn fields_come_in_any_chunks() {
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes);
            let value = reader.field(string)?;
            reader.end().map(|()| value)
        };
        for bytes in [
            &b"\x03ab\xE3\0"[..],
            b"\x01a\x01b\x01\xE3\0",
            b"\x02ab\x01\xE3\0",
        ] {
            assert_eq!(read(bytes), Ok(Some("abc".into())));
        }
        assert!(read(b"\x03ab\xE3").is_err(), "without an end");
        assert!(read(b"\x04ab\xE3x\0").is_err(), "more than the value");
        assert!(read(b"\0").is_err(), "no value");
    }
}
