//! The pairs of a metadata block.
//!
//! One pair is `key length:u8 value length:u16 key value`; keys have at least one byte.

/// Appends one pair to a block; `false` and no change when the key is empty or one of them is
/// too long for its length field.
pub fn append(block: &mut Vec<u8>, key: &[u8], value: &[u8]) -> bool {
    let (Ok(key_bytes), Ok(value_bytes)) = (u8::try_from(key.len()), u16::try_from(value.len()))
    else {
        return false;
    };
    if key_bytes == 0 {
        return false;
    }
    block.push(key_bytes);
    block.extend_from_slice(&value_bytes.to_le_bytes());
    block.extend_from_slice(key);
    block.extend_from_slice(value);
    true
}

/// The pairs of a block, in order. They stop before the first that is malformed.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a [u8],
}

/// Reads the pairs of a block.
#[must_use]
pub const fn pairs(block: &[u8]) -> Pairs<'_> {
    Pairs { rest: block }
}

/// Whether a block holds at least one pair and nothing but pairs.
#[must_use]
pub fn is_well_formed(block: &[u8]) -> bool {
    let mut pairs = pairs(block);
    !block.is_empty() && {
        pairs.by_ref().for_each(drop);
        pairs.rest.is_empty()
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (lengths, rest) = self.rest.split_first_chunk::<3>()?;
        let key_bytes = usize::from(lengths[0]);
        let value_bytes = usize::from(u16::from_le_bytes([lengths[1], lengths[2]]));
        let (key, rest) = rest.split_at_checked(key_bytes)?;
        let (value, rest) = rest.split_at_checked(value_bytes)?;
        if key.is_empty() {
            return None;
        }
        self.rest = rest;
        Some((key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_back_as_they_were_appended() {
        let mut block = Vec::new();
        assert!(append(&mut block, b"traceparent", b"00-1"));
        assert!(append(&mut block, b"k", b""));
        assert!(is_well_formed(&block));
        let read: Vec<_> = pairs(&block).collect();
        assert_eq!(read, [(&b"traceparent"[..], &b"00-1"[..]), (b"k", b"")]);
    }

    #[test]
    fn w_17_a_block_cut_anywhere_is_malformed() {
        let mut block = Vec::new();
        append(&mut block, b"key", b"value");
        for end in 0..block.len() {
            assert!(!is_well_formed(&block[..end]), "cut at {end}");
        }
    }

    #[test]
    fn lengths_at_their_limits() {
        let mut block = Vec::new();
        assert!(!append(&mut block, b"", b"v"));
        assert!(!append(&mut block, &[1; 256], b"v"));
        assert!(!append(&mut block, b"k", &[1; 65_536]));
        assert!(block.is_empty());
        assert!(append(&mut block, &[1; 255], &[1; 65_535]));
        assert!(is_well_formed(&block));
    }
}
