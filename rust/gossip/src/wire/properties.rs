//! A member's properties: a small map from short texts to bytes.

use crate::error::Misuse;
use crate::limits::PROPERTIES_BYTES_MAX;

use super::Malformed;
use super::cursor::Reader;

/// Encoded properties: pairs `key_length:u8 value_length:u16 key value` with ascending UTF-8 keys,
/// at most 768 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Properties<'a> {
    bytes: &'a [u8],
}

impl<'a> Properties<'a> {
    /// Checks encoded properties.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.len() > PROPERTIES_BYTES_MAX {
            return Err(Malformed("properties have more than 768 bytes"));
        }
        let mut reader = Reader::new(bytes);
        let mut last: Option<&[u8]> = None;
        while !reader.rest().is_empty() {
            let key = pair(&mut reader)?.0;
            if key.is_empty() || last.is_some_and(|last| last >= key) {
                return Err(Malformed("property keys are empty or do not ascend"));
            }
            std::str::from_utf8(key).map_err(|_| Malformed("a property key is not UTF-8"))?;
            last = Some(key);
        }
        Ok(Self { bytes })
    }

    /// Properties that were checked when they came.
    #[inline]
    pub(crate) const fn kept(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Encodes pairs in any order.
    ///
    /// # Errors
    /// [`Misuse::Properties`] for a key that is empty, too long or there twice, a value above
    /// 65,535 bytes, or more than 768 bytes in all.
    pub fn encode<K: AsRef<str>, V: AsRef<[u8]>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Vec<u8>, Misuse> {
        let mut pairs: Vec<(K, V)> = pairs.into_iter().collect();
        pairs.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
        let mut out = Vec::new();
        for (key, value) in &pairs {
            put_pair(&mut out, key.as_ref(), value.as_ref())?;
        }
        Self::check(&out).map(|()| out)
    }

    fn check(bytes: &[u8]) -> Result<(), Misuse> {
        Properties::new(bytes)
            .map(|_| ())
            .map_err(|error| Misuse::Properties(error.0))
    }

    /// The pairs in the order of their keys.
    #[must_use]
    pub const fn pairs(&self) -> Pairs<'a> {
        Pairs {
            reader: Reader::new(self.bytes),
        }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&'a [u8]> {
        let mut pairs = self.pairs();
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// As they are on the wire.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

fn put_pair(out: &mut Vec<u8>, key: &str, value: &[u8]) -> Result<(), Misuse> {
    let long = |_| Misuse::Properties("a key has at most 255 bytes, a value at most 65,535");
    out.push(u8::try_from(key.len()).map_err(long)?);
    out.extend_from_slice(&u16::try_from(value.len()).map_err(long)?.to_le_bytes());
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(value);
    Ok(())
}

fn pair<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), Malformed> {
    let (key, value) = (reader.u8()?, reader.u16()?);
    Ok((reader.bytes(key.into())?, reader.bytes(value.into())?))
}

/// The pairs of checked properties.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, value) = pair(&mut self.reader).ok()?;
        std::str::from_utf8(key).ok().map(|key| (key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g_14_properties_come_back_in_the_order_of_their_keys() {
        let bytes = Properties::encode([("role", "broker"), ("a", ""), ("é", "x")]).unwrap();
        let properties = Properties::new(&bytes).unwrap();
        let keys: Vec<&str> = properties.pairs().map(|(key, _)| key).collect();
        assert_eq!(keys, ["a", "role", "é"]);
        assert_eq!(properties.get("role"), Some(&b"broker"[..]));
        assert_eq!(properties.get("b"), None);
        for end in 1..bytes.len() {
            let cut = Properties::new(&bytes[..end]);
            assert!(cut.is_err() || cut.unwrap().pairs().count() < 3);
        }
    }

    #[test]
    fn g_14_properties_at_their_limit() {
        let value = |bytes: usize| Properties::encode([("k", vec![7; bytes])]);
        assert!(value(PROPERTIES_BYTES_MAX - 4).is_ok());
        assert!(value(PROPERTIES_BYTES_MAX - 3).is_err());
        assert!(Properties::encode([("k".repeat(256), "")]).is_err());
        assert!(Properties::encode([("k", ""), ("k", "")]).is_err());
        assert!(Properties::encode([("", "")]).is_err());
        assert!(Properties::new(&[1, 0, 0, 0xFF]).is_err());
    }
}
