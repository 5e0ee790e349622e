//! Where records begin and end in the ciphertext (RFC 8446 section 5.1).
//!
//! rustls would find the boundaries itself, but handing it one record at a time tells how many
//! records brought no data, and spares it from moving the rest of its buffer after each of them.

/// Content type, version and length.
const HEADER_BYTES: usize = 5;

/// Longest body rustls takes: 2^14 bytes and the expansion TLS 1.2 allowed.
const BODY_BYTES_MAX: usize = (1 << 14) + 2048;

/// Follows the record boundaries of one direction.
#[derive(Debug, Default)]
pub(crate) struct Framing {
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    body_left: usize,
}

impl Framing {
    /// How many bytes of `input`, which is not empty, belong to the present record, and whether
    /// they complete it.
    ///
    /// A body longer than allowed counts as complete with its header, so that it is refused before
    /// it is waited for.
    pub(crate) fn advance(&mut self, input: &[u8]) -> (usize, bool) {
        let mut taken = 0;
        if self.body_left == 0 {
            taken = self.fill_header(input);
            if self.header_filled < HEADER_BYTES {
                return (taken, false);
            }
            self.header_filled = 0;
            self.body_left = self.body_bytes();
        }
        let body = self.body_left.min(input.len() - taken);
        self.body_left -= body;
        (taken + body, self.body_left == 0)
    }

    fn fill_header(&mut self, input: &[u8]) -> usize {
        let taken = input.len().min(HEADER_BYTES - self.header_filled);
        let filled = self.header_filled + taken;
        self.header[self.header_filled..filled].copy_from_slice(&input[..taken]);
        self.header_filled = filled;
        taken
    }

    fn body_bytes(&self) -> usize {
        let length = usize::from(u16::from_be_bytes([self.header[3], self.header[4]]));
        if length > BODY_BYTES_MAX { 0 } else { length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(length: u16) -> Vec<u8> {
        let mut record = vec![23, 3, 3];
        record.extend(length.to_be_bytes());
        record.resize(HEADER_BYTES + usize::from(length), 0);
        record
    }

    #[test]
    fn boundaries_are_the_same_however_the_stream_is_cut() {
        let stream = [record(7), record(0), record(300), record(1)].concat();
        for piece in 1..=stream.len() {
            let (mut framing, mut ends, mut offset) = (Framing::default(), Vec::new(), 0);
            for mut input in stream.chunks(piece) {
                while !input.is_empty() {
                    let (taken, complete) = framing.advance(input);
                    offset += taken;
                    input = &input[taken..];
                    ends.extend(complete.then_some(offset));
                }
            }
            assert_eq!(ends, [12, 17, 322, 328], "pieces of {piece}");
        }
    }

    #[test]
    fn longest_body_is_waited_for_and_a_longer_one_is_not() {
        let longest = record(BODY_BYTES_MAX as u16);
        assert_eq!(Framing::default().advance(&longest), (longest.len(), true));
        let cut = &longest[..longest.len() - 1];
        assert_eq!(Framing::default().advance(cut), (cut.len(), false));
        let longer = record(BODY_BYTES_MAX as u16 + 1);
        assert_eq!(Framing::default().advance(&longer), (HEADER_BYTES, true));
    }
}
