//! A bounded reader of little-endian fields, and a copy that is always fast.

/// Reads fields from the front of a slice. `None` means that the slice is too short; nothing is
/// consumed then.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[inline]
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    #[inline]
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `count` bytes.
    #[inline]
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*bytes)
    }

    /// The next byte.
    #[inline]
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next two bytes.
    #[inline]
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next four bytes.
    #[inline]
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next eight bytes.
    #[inline]
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Bytes copied at once: below the length from which the C library copies with one repeated
/// string instruction.
const COPY_BYTES: usize = 2 * 1024;

/// Appends `bytes`, which may be long.
///
/// On some processors the repeated string instruction is 15 times slower when target and source
/// lie less than 32 bytes apart modulo a page, which fragments in page-aligned buffers often do.
/// Shorter pieces are copied with vector instructions and are as fast for every distance.
#[inline]
pub fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() <= COPY_BYTES {
        return out.extend_from_slice(bytes);
    }
    out.reserve(bytes.len());
    bytes
        .chunks(COPY_BYTES)
        .for_each(|piece| out.extend_from_slice(piece));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_read_whole_or_not_at_all() {
        let bytes = [9, 0, 0, 0, 0, 0, 0, 0];
        for end in 0..=bytes.len() {
            let reader = || Reader::new(&bytes[..end]);
            assert_eq!(reader().u8(), (end >= 1).then_some(9));
            assert_eq!(reader().u16(), (end >= 2).then_some(9));
            assert_eq!(reader().u32(), (end >= 4).then_some(9));
            assert_eq!(reader().u64(), (end >= 8).then_some(9));
            assert_eq!(reader().bytes(5).is_some(), end >= 5);
        }
    }

    #[test]
    fn a_short_read_consumes_nothing() {
        let mut reader = Reader::new(&[7, 0, 0]);
        assert_eq!((reader.u32(), reader.rest().len()), (None, 3));
        assert_eq!((reader.u16(), reader.rest()), (Some(7), &[0][..]));
    }

    #[test]
    fn every_length_is_appended_whole() {
        for length in [0, 1, 2_047, 2_048, 2_049, 4_096, 70_000] {
            let bytes: Vec<u8> = (0..length).map(|index| index as u8).collect();
            let mut out = vec![9];
            append(&mut out, &bytes);
            assert_eq!((out[0], &out[1..]), (9, &bytes[..]));
        }
    }
}
