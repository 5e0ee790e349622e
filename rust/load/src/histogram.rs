//! Histograms of nanoseconds: their bounds, and the bytes they are stored as.
//!
//! The bytes are HdrHistogram's V2 encoding, compressed: what every HdrHistogram reads.

use std::io::Read;

use flate2::read::ZlibDecoder;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

/// Counts of values in nanoseconds.
pub type Histogram = hdrhistogram::Histogram<u64>;

/// The least value told apart from 0, in nanoseconds.
pub const VALUE_NANOS_MIN: u64 = 1;
/// The greatest value, one hour in nanoseconds; what is greater counts as this.
pub const VALUE_NANOS_MAX: u64 = 3_600_000_000_000;
/// Significant decimal digits of a value.
pub const DIGITS: u8 = 3;
/// Bytes of an encoded histogram, compressed or not. All counts of one with our bounds take a
/// third of this.
pub const ENCODED_BYTES_MAX: usize = 1 << 20;

const COOKIE_V2: u32 = 0x1c84_9313;
const COOKIE_V2_COMPRESSED: u32 = 0x1c84_9314;
/// Cookie, payload bytes, normalising offset, digits, two bounds and a ratio.
const HEADER_BYTES: usize = 40;

/// An empty histogram of the bounds above.
#[must_use]
pub fn empty() -> Histogram {
    Histogram::new_with_bounds(VALUE_NANOS_MIN, VALUE_NANOS_MAX, DIGITS)
        .expect("the bounds are constants that fit one another")
}

/// The bytes of a histogram.
///
/// # Errors
/// In words, if a count does not fit the encoding.
pub fn encode(histogram: &Histogram) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let written = V2DeflateSerializer::new().serialize(histogram, &mut bytes);
    written.map_err(|error| format!("the histogram cannot be encoded: {error}"))?;
    Ok(bytes)
}

/// Reads a histogram in V2 encoding, compressed or not.
///
/// # Errors
/// In words, if the bytes are no histogram, are cut off, or would take more than
/// [`ENCODED_BYTES_MAX`].
pub fn decode(bytes: &[u8]) -> Result<Histogram, String> {
    let plain = inflated(bytes)?;
    check_header(&plain)?;
    Deserializer::new()
        .deserialize(&mut plain.as_slice())
        .map_err(|error| format!("no histogram: {error}"))
}

fn inflated(bytes: &[u8]) -> Result<Vec<u8>, String> {
    if bytes.len() > ENCODED_BYTES_MAX {
        return Err(too_long());
    }
    match word(bytes, 0) {
        Some(COOKIE_V2) => Ok(bytes.to_vec()),
        Some(COOKIE_V2_COMPRESSED) => inflate(bytes),
        _ => Err("no histogram: the first bytes are not those of the V2 encoding".to_owned()),
    }
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let body = bytes.get(8..).unwrap_or_default();
    if word(bytes, 4) != u32::try_from(body.len()).ok() {
        return Err("no histogram: it is cut off or something follows it".to_owned());
    }
    let mut plain = Vec::new();
    let read = ZlibDecoder::new(body)
        .take(ENCODED_BYTES_MAX as u64 + 1)
        .read_to_end(&mut plain);
    read.map_err(|error| format!("no histogram: {error}"))?;
    if plain.len() > ENCODED_BYTES_MAX {
        return Err(too_long());
    }
    Ok(plain)
}

/// The decoder believes the announced length and reserves it, so it must be the true one.
fn check_header(plain: &[u8]) -> Result<(), String> {
    let announced = word(plain, 4).map(|bytes| bytes as usize);
    if word(plain, 0) != Some(COOKIE_V2) || announced != plain.len().checked_sub(HEADER_BYTES) {
        return Err("no histogram: its length is not what its header says".to_owned());
    }
    Ok(())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(four.try_into().ok()?))
}

fn too_long() -> String {
    format!("no histogram: it takes more than {ENCODED_BYTES_MAX} bytes")
}

/// The sum of two histograms, wide enough for both.
///
/// # Errors
/// In words, if their ranges cannot be held together.
pub fn merge(one: &Histogram, other: &Histogram) -> Result<Histogram, String> {
    let mut sum = one.clone();
    sum.auto(true);
    sum.add(other)
        .map_err(|error| format!("the histograms cannot be merged: {error}"))?;
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::V2Serializer;

    use super::*;

    fn sample() -> Histogram {
        let mut histogram = empty();
        for value in (1..2_000_000_000).step_by(999_331) {
            histogram.record(value).unwrap();
        }
        histogram
    }

    #[test]
    fn both_encodings_come_back_equal() {
        let histogram = sample();
        assert_eq!(decode(&encode(&histogram).unwrap()), Ok(histogram.clone()));
        let mut plain = Vec::new();
        V2Serializer::new()
            .serialize(&histogram, &mut plain)
            .unwrap();
        assert_eq!(decode(&plain), Ok(histogram));
    }

    #[test]
    fn a_full_histogram_is_within_the_bound() {
        let mut histogram = empty();
        for value in 0..3_600_000 {
            histogram.record(value * 1_000_000).unwrap();
        }
        (0..60_000_u64).for_each(|value| histogram.record(value * value).unwrap());
        let mut plain = Vec::new();
        V2Serializer::new()
            .serialize(&histogram, &mut plain)
            .unwrap();
        assert!(plain.len() < ENCODED_BYTES_MAX / 2, "{}", plain.len());
    }

    #[test]
    fn an_announced_length_is_not_believed() {
        let mut plain = Vec::new();
        V2Serializer::new()
            .serialize(&sample(), &mut plain)
            .unwrap();
        plain[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        assert!(decode(&plain).unwrap_err().contains("length"));
    }

    #[test]
    fn what_inflates_beyond_the_bound_is_refused() {
        use std::io::Write;
        let level = flate2::Compression::best();
        let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), level);
        packer.write_all(&vec![0; ENCODED_BYTES_MAX + 1]).unwrap();
        let body = packer.finish().unwrap();
        let mut bytes = COOKIE_V2_COMPRESSED.to_be_bytes().to_vec();
        bytes.extend_from_slice(&(body.len() as u32).to_be_bytes());
        bytes.extend_from_slice(&body);
        assert!(decode(&bytes).unwrap_err().contains("more than"));
    }

    #[test]
    fn the_sum_of_parts_is_the_whole() {
        let (mut even, mut odd) = (empty(), empty());
        let mut whole = empty();
        for value in 1..10_000 {
            whole.record(value).unwrap();
            let part = if value % 2 == 0 { &mut even } else { &mut odd };
            part.record(value).unwrap();
        }
        assert_eq!(merge(&even, &odd), Ok(whole));
    }
}
