//! GZIP and SNAPPY over all bytes behind the handshake, as a node is told: nothing is negotiated.

use std::io::Read;

use flate2::{Compress, Crc, Decompress, FlushCompress, FlushDecompress, Status};

use crate::error::{Error, Reason};
use crate::limits::{ZEEBE_UNPACK_BYTES, ZEEBE_UNPACK_RATIO_MAX};

/// How the bytes behind the handshake are compressed, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// One gzip member for each direction (RFC 1952), flushed after every message.
    Gzip,
    /// Snappy's framing format.
    Snappy,
}

/// What every gzip member here begins with: deflate, no flags, no time, no system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0];
/// Where the header names extra fields and where it names none.
const GZIP_FLAGS_AT: usize = 3;
const GZIP_TRAILER_BYTES: usize = 8;
const SNAPPY_HEADER_BYTES: usize = 4;
/// Bytes of a Snappy chunk at most: its checksum and 64 KiB that do not compress.
const SNAPPY_CHUNK_BYTES_MAX: usize = 4 + 32 + ZEEBE_UNPACK_BYTES + ZEEBE_UNPACK_BYTES / 6;

fn bad(detail: &'static str) -> Error {
    Error::new(Reason::BadFrame, detail)
}

/// Compresses what we send.
pub(super) enum Packer {
    Gzip { state: Compress, started: bool },
    Snappy(Box<snap::write::FrameEncoder<Vec<u8>>>),
}

impl Packer {
    pub(super) fn new(compression: Compression) -> Option<Self> {
        match compression {
            Compression::None => None,
            Compression::Gzip => Some(Self::Gzip {
                state: Compress::new(flate2::Compression::default(), false),
                started: false,
            }),
            Compression::Snappy => Some(Self::Snappy(Box::new(snap::write::FrameEncoder::new(
                Vec::new(),
            )))),
        }
    }

    /// Puts all of `bytes` into `packed`, flushed so that the peer can read all of it.
    pub(super) fn pack(&mut self, bytes: &[u8], packed: &mut Vec<u8>) {
        packed.clear();
        match self {
            Self::Gzip { state, started } => {
                if !std::mem::replace(started, true) {
                    packed.extend_from_slice(&GZIP_HEADER);
                }
                deflate(state, bytes, packed);
            }
            Self::Snappy(encoder) => {
                std::mem::swap(encoder.get_mut(), packed);
                // Writing to memory cannot fail.
                let written = std::io::Write::write_all(encoder, bytes);
                let flushed = std::io::Write::flush(encoder);
                debug_assert!(written.is_ok() && flushed.is_ok(), "memory takes all");
                std::mem::swap(encoder.get_mut(), packed);
            }
        }
    }
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Gzip { .. } => "Gzip",
            Self::Snappy(_) => "Snappy",
        })
    }
}

fn deflate(state: &mut Compress, bytes: &[u8], packed: &mut Vec<u8>) {
    let begin = state.total_in();
    loop {
        packed.reserve(bytes.len() / 2 + 64);
        let rest = &bytes[(state.total_in() - begin) as usize..];
        // Compressing fails only in a state that `Sync` never leads to.
        let done = state.compress_vec(rest, packed, FlushCompress::Sync);
        debug_assert!(done.is_ok(), "a running stream goes on");
        let is_all = state.total_in() - begin == bytes.len() as u64;
        if done.is_err() || is_all && packed.len() < packed.capacity() {
            return;
        }
    }
}

/// Unpacks what the peer sends, a bounded step at a time, and refuses what unpacks to far more than
/// it is.
pub(super) struct Unpacker {
    stream: Stream,
    /// Bytes before and after.
    packed: u64,
    unpacked: u64,
    /// What may be unpacked beyond [`ZEEBE_UNPACK_RATIO_MAX`].
    allowance: u64,
}

enum Stream {
    Gzip(Box<Gunzip>),
    Snappy(Box<snap::read::FrameDecoder<Chunk>>),
}

struct Gunzip {
    state: Decompress,
    crc: Crc,
    stage: Stage,
}

enum Stage {
    Header,
    Body,
    Trailer,
    Ended,
}

/// One chunk of a Snappy stream, whole.
#[derive(Default)]
struct Chunk {
    bytes: Vec<u8>,
    at: usize,
}

impl Read for Chunk {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = (&self.bytes[self.at..]).read(into)?;
        self.at += count;
        Ok(count)
    }
}

impl Unpacker {
    pub(super) fn new(compression: Compression, allowance: u64) -> Option<Self> {
        let stream = match compression {
            Compression::None => return None,
            Compression::Gzip => Stream::Gzip(Box::new(Gunzip {
                state: Decompress::new(false),
                crc: Crc::new(),
                stage: Stage::Header,
            })),
            Compression::Snappy => {
                Stream::Snappy(Box::new(snap::read::FrameDecoder::new(Chunk::default())))
            }
        };
        Some(Self {
            stream,
            packed: 0,
            unpacked: 0,
            allowance,
        })
    }

    /// Appends at most [`ZEEBE_UNPACK_BYTES`] to `out` and returns how much of `input` that took.
    /// With nothing taken and nothing appended more input is needed.
    pub(super) fn unpack(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        let before = out.len();
        let taken = match &mut self.stream {
            Stream::Gzip(gunzip) => gunzip.unpack(input, out)?,
            Stream::Snappy(decoder) => unpack_chunk(decoder, input, out)?,
        };
        self.packed += taken as u64;
        self.unpacked += (out.len() - before) as u64;
        if self.unpacked > self.packed * ZEEBE_UNPACK_RATIO_MAX + self.allowance {
            let detail = "compressed bytes unpack to more than a hundred times as many";
            return Err(Error::new(Reason::Oversize, detail));
        }
        Ok(taken)
    }
}

impl std::fmt::Debug for Unpacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Unpacker");
        shown
            .field("packed", &self.packed)
            .field("unpacked", &self.unpacked);
        shown.finish_non_exhaustive()
    }
}

impl Gunzip {
    fn unpack(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        match self.stage {
            Stage::Header => self.read_header(input),
            Stage::Body => self.inflate(input, out),
            Stage::Trailer => self.read_trailer(input),
            Stage::Ended if input.is_empty() => Ok(0),
            Stage::Ended => Err(bad("bytes follow the end of the compressed stream")),
        }
    }

    fn read_header(&mut self, input: &[u8]) -> Result<usize, Error> {
        let Some(header) = input.first_chunk::<{ GZIP_HEADER.len() }>() else {
            return Ok(0);
        };
        if header[..=GZIP_FLAGS_AT] != GZIP_HEADER[..=GZIP_FLAGS_AT] {
            return Err(bad(
                "the peer's stream is not plain gzip: do both sides compress alike?",
            ));
        }
        self.stage = Stage::Body;
        Ok(header.len())
    }

    fn inflate(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Error> {
        let (start, state) = (out.len(), &mut self.state);
        let (read, written) = (state.total_in(), state.total_out());
        out.resize(start + ZEEBE_UNPACK_BYTES, 0);
        let status = state
            .decompress(input, &mut out[start..], FlushDecompress::None)
            .map_err(|_| bad("the compressed stream is damaged"))?;
        out.truncate(start + (state.total_out() - written) as usize);
        self.crc.update(&out[start..]);
        if status == Status::StreamEnd {
            self.stage = Stage::Trailer;
        }
        Ok((state.total_in() - read) as usize)
    }

    fn read_trailer(&mut self, input: &[u8]) -> Result<usize, Error> {
        let Some(trailer) = input.first_chunk::<GZIP_TRAILER_BYTES>() else {
            return Ok(0);
        };
        let sums = [self.crc.sum(), self.crc.amount()]
            .into_iter()
            .flat_map(u32::to_le_bytes);
        if !sums.eq(*trailer) {
            return Err(bad("the compressed stream does not match its checksum"));
        }
        self.stage = Stage::Ended;
        Ok(trailer.len())
    }
}

/// Unpacks the next chunk once all of it is there.
fn unpack_chunk(
    decoder: &mut snap::read::FrameDecoder<Chunk>,
    input: &[u8],
    out: &mut Vec<u8>,
) -> Result<usize, Error> {
    let Some([_, low, middle, high]) = input.first_chunk::<SNAPPY_HEADER_BYTES>() else {
        return Ok(0);
    };
    let length = u32::from_le_bytes([*low, *middle, *high, 0]) as usize;
    if length > SNAPPY_CHUNK_BYTES_MAX {
        let detail = "a Snappy chunk is longer than any may be: do both sides compress alike?";
        return Err(Error::new(Reason::Oversize, detail));
    }
    let Some(chunk) = input.get(..SNAPPY_HEADER_BYTES + length) else {
        return Ok(0);
    };
    let source = decoder.get_mut();
    (source.bytes, source.at) = (chunk.to_vec(), 0);
    // A chunk never has more than 64 KiB inside: the decoder refuses it.
    decoder
        .read_to_end(out)
        .map_err(|_| bad("the peer's stream is not Snappy: do both sides compress alike?"))?;
    Ok(chunk.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Compression; 2] = [Compression::Gzip, Compression::Snappy];

    fn unpack_all(unpacker: &mut Unpacker, mut input: &[u8]) -> Result<(Vec<u8>, usize), Error> {
        let mut out = Vec::new();
        loop {
            let before = out.len();
            let taken = unpacker.unpack(input, &mut out)?;
            assert!(out.len() - before <= ZEEBE_UNPACK_BYTES);
            input = &input[taken..];
            if taken == 0 && out.len() == before {
                return Ok((out, input.len()));
            }
        }
    }

    #[test]
    fn w_84_what_is_packed_unpacks_after_every_flush() {
        for compression in BOTH {
            let mut packer = Packer::new(compression).unwrap();
            let mut unpacker = Unpacker::new(compression, 1 << 20).unwrap();
            let mut packed = Vec::new();
            for length in [0, 1, 17, 1_000, 65_536, 300_000] {
                let bytes: Vec<u8> = (0..length as u32)
                    .map(|n| (n.wrapping_mul(n) >> 3) as u8)
                    .collect();
                packer.pack(&bytes, &mut packed);
                let (out, rest) = unpack_all(&mut unpacker, &packed).unwrap();
                assert_eq!((out == bytes, rest), (true, 0), "{compression:?} {length}");
            }
        }
    }

    #[test]
    fn w_84_a_packed_stream_may_be_cut_anywhere() {
        for compression in BOTH {
            let mut packed = Vec::new();
            Packer::new(compression)
                .unwrap()
                .pack(b"some text, some text, some text", &mut packed);
            for end in 0..=packed.len() {
                let mut unpacker = Unpacker::new(compression, 0).unwrap();
                let (mut out, rest) = unpack_all(&mut unpacker, &packed[..end]).unwrap();
                let (more, rest) = unpack_all(&mut unpacker, &packed[end - rest..]).unwrap();
                out.extend(more);
                assert_eq!((out.len(), rest), (31, 0), "{compression:?} cut at {end}");
            }
        }
    }

    /// T26.
    #[test]
    fn t26_a_bomb_is_refused_before_it_has_unpacked() {
        for compression in BOTH {
            let mut packed = Vec::new();
            Packer::new(compression)
                .unwrap()
                .pack(&vec![0; 20 << 20], &mut packed);
            let mut unpacker = Unpacker::new(compression, 1 << 20).unwrap();
            let result = unpack_all(&mut unpacker, &packed);
            // Snappy packs nothing to less than a twentieth.
            assert_eq!(result.is_err(), compression == Compression::Gzip);
            assert!(unpacker.unpacked <= 2 << 20 || compression == Compression::Snappy);
        }
    }

    #[test]
    fn w_84_a_stream_that_is_something_else_is_refused() {
        let mut gzip = Unpacker::new(Compression::Gzip, 0).unwrap();
        assert!(gzip.unpack(&[1; 10], &mut Vec::new()).is_err());
        for bytes in [
            &[1, 1, 1, 0x78][..],
            &[0, 0xff, 0xff, 0xff],
            &[2, 1, 0, 0, 0],
        ] {
            let mut snappy = Unpacker::new(Compression::Snappy, 0).unwrap();
            assert!(snappy.unpack(bytes, &mut Vec::new()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn w_84_a_gzip_member_may_end_and_nothing_follows_it() {
        let (mut body, mut state) = (
            vec![0; 64],
            Compress::new(flate2::Compression::fast(), false),
        );
        state
            .compress(b"end", &mut body, FlushCompress::Finish)
            .unwrap();
        body.truncate(state.total_out() as usize);
        let mut crc = Crc::new();
        crc.update(b"end");
        let sums = [crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat();
        let whole = [&GZIP_HEADER[..], &body, &sums].concat();
        let mut unpacker = Unpacker::new(Compression::Gzip, 0).unwrap();
        assert_eq!(
            unpack_all(&mut unpacker, &whole).unwrap(),
            (b"end".to_vec(), 0)
        );
        assert!(unpacker.unpack(b"x", &mut Vec::new()).is_err());
        let damaged = [&GZIP_HEADER[..], &body, &[0; 8]].concat();
        assert!(unpack_all(&mut Unpacker::new(Compression::Gzip, 0).unwrap(), &damaged).is_err());
    }
}
