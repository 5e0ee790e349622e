//! A bounded reader of little-endian fields, and canonical variable-length integers.

use super::Malformed;

pub(super) const SHORT: Malformed = Malformed("a field is cut short");

/// Reads fields from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    #[inline]
    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(SHORT)?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*bytes)
    }

    #[inline]
    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    /// Seven bits a byte, the lowest first; the shortest form alone is taken.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u32, Malformed> {
        let first = self.u8()?;
        if first < 0x80 {
            return Ok(u32::from(first));
        }
        self.varint_rest(u32::from(first & 0x7F))
    }

    fn varint_rest(&mut self, mut value: u32) -> Result<u32, Malformed> {
        for shift in [7, 14, 21, 28] {
            let byte = self.u8()?;
            let high = u32::from(byte & 0x7F);
            if shift == 28 && high > 0x0F {
                break;
            }
            value |= high << shift;
            if byte < 0x80 {
                let shortest = Malformed("a number is not in its shortest form");
                return if byte == 0 { Err(shortest) } else { Ok(value) };
            }
        }
        Err(Malformed("a number has more than 32 bits"))
    }
}

/// Appends the shortest form of `value`.
#[inline]
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g_11_numbers_have_one_form() {
        for value in [0, 1, 127, 128, 16_383, 16_384, 1 << 28, u32::MAX] {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(Reader::new(&out).varint(), Ok(value));
            for end in 0..out.len() {
                assert_eq!(Reader::new(&out[..end]).varint(), Err(SHORT));
            }
        }
        for long in [
            &[0x80, 0][..],
            &[0xFF, 0x80, 0],
            &[0xFF, 0xFF, 0xFF, 0xFF, 0x10],
        ] {
            assert!(Reader::new(long).varint().is_err(), "{long:x?}");
        }
    }
}
