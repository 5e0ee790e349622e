//! Writes Kryo's primitives, in the chunks in which the JVM writes them.

/// The value under way and, above it, the open fields. Wherever an inner field is flushed the JVM
/// flushes all around it, so that the bytes come out equal.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// Whole bytes of the value.
    done: Vec<u8>,
    /// The unflushed content of each open field, the innermost last.
    open: Vec<Vec<u8>>,
}

/// ASCII strings of this length have a form of their own.
const ASCII_BYTES: std::ops::RangeInclusive<usize> = 2..=32;

impl Writer {
    pub(super) fn finish(self) -> Vec<u8> {
        debug_assert!(self.open.is_empty(), "a field is still open");
        self.done
    }

    fn out(&mut self) -> &mut Vec<u8> {
        self.open.last_mut().unwrap_or(&mut self.done)
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.out().push(byte);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.out().extend_from_slice(bytes);
    }

    pub(super) fn varint(&mut self, value: u32) {
        put_varint(self.out(), value);
    }

    /// A flag and a number, of which six bits stand beside the flag.
    pub(super) fn flagged(&mut self, flag: bool, value: u32) {
        let flag = if flag { 0x80 } else { 0 };
        let low = value as u8 & 0x3F;
        if value < 0x40 {
            return self.byte(flag | low);
        }
        self.byte(flag | 0x40 | low);
        self.varint(value >> 6);
    }

    pub(super) fn int(&mut self, value: i32) {
        self.varint((value << 1 ^ value >> 31) as u32);
    }

    pub(super) fn long(&mut self, value: i64) {
        let mut value = (value << 1 ^ value >> 63) as u64;
        let out = self.out();
        for _ in 0..8 {
            if value < 0x80 {
                return out.push(value as u8);
            }
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    pub(super) fn string(&mut self, value: Option<&str>) {
        let Some(text) = value else {
            return self.byte(0x80);
        };
        if text.is_ascii() && ASCII_BYTES.contains(&text.len()) {
            let (last, front) = text.as_bytes().split_last().expect("at least two bytes");
            self.bytes(front);
            return self.byte(last | 0x80);
        }
        self.flagged(true, text.encode_utf16().count() as u32 + 1);
        for unit in text.encode_utf16() {
            self.unit(unit);
        }
    }

    fn unit(&mut self, unit: u16) {
        let low = |bits: u16| 0x80 | (bits & 0x3F) as u8;
        match unit {
            0..0x80 => self.byte(unit as u8),
            0x80..0x800 => self.bytes(&[0xC0 | (unit >> 6) as u8, low(unit)]),
            _ => self.bytes(&[0xE0 | (unit >> 12) as u8, low(unit >> 6), low(unit)]),
        }
    }

    /// A field with what `write` writes.
    pub(super) fn field(&mut self, write: impl FnOnce(&mut Self)) {
        self.open.push(Vec::new());
        write(self);
        self.flush();
        self.open.pop();
        self.byte(0);
    }

    /// Makes a chunk of what every open field holds, the innermost first.
    fn flush(&mut self) {
        for level in (0..self.open.len()).rev() {
            let chunk = std::mem::take(&mut self.open[level]);
            if chunk.is_empty() {
                continue;
            }
            let outer = match level {
                0 => &mut self.done,
                _ => &mut self.open[level - 1],
            };
            put_varint(outer, chunk.len() as u32);
            outer.extend_from_slice(&chunk);
        }
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::super::reader::Reader;
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for text in [
            "",
            "0",
            "ab",
            "é",
            "€ and 😀",
            &"x".repeat(32),
            &"y".repeat(33),
        ] {
            let mut writer = Writer::default();
            writer.string(Some(text));
            let bytes = writer.finish();
            assert_eq!(
                Reader::new(&bytes).string(),
                Ok(Some(text.into())),
                "{bytes:x?}"
            );
        }
        for value in [0, 1, -1, 63, -64, 64, i64::MAX, i64::MIN, 1_700_000_000_001] {
            let mut writer = Writer::default();
            writer.long(value);
            assert_eq!(Reader::new(&writer.finish()).long(), Ok(value));
        }
        for value in [0, 1, -1, 64, i32::MAX, i32::MIN] {
            let mut writer = Writer::default();
            writer.int(value);
            assert_eq!(Reader::new(&writer.finish()).int(), Ok(value));
        }
    }

    #[test]
    fn an_inner_field_cuts_the_chunks_around_it() {
        let mut writer = Writer::default();
        writer.field(|outer| {
            outer.byte(7);
            outer.field(|inner| inner.byte(8));
            outer.byte(9);
        });
        assert_eq!(writer.finish(), [3, 7, 1, 8, 2, 0, 9, 0]);
    }
}
