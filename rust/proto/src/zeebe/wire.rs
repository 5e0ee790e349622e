//! What stands on the wire: the handshake, the address blocks and the frames. All fixed-width
//! numbers are big-endian; others have seven bits in a byte, the lowest first.

use std::net::{IpAddr, Ipv4Addr};

use crate::error::{Error, Reason};
use crate::limits::{NAME_BYTES_MAX, ZEEBE_HANDSHAKE_BYTES, ZEEBE_SUBJECT_BYTES_MAX};

/// Bytes of a varint at most, and of a varlong, whose ninth byte has eight bits.
const VARINT_BYTES_MAX: usize = 5;
const VARLONG_BYTES_MAX: usize = 9;

/// A version of the protocol. They differ in the address block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Addresses are IP octets.
    V1 = 1,
    /// Addresses are host names.
    V2 = 2,
}

impl Version {
    /// What a dialer offers, and what an acceptor answers to an offer it does not know.
    pub const LATEST: Self = Self::V2;

    const fn from_wire(version: u16) -> Option<Self> {
        match version {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }
}

/// The first bytes of every Zeebe connection: the hash of the cluster's name that Java's
/// `String.hashCode` gives, over its UTF-16 units (W-70).
#[must_use]
pub fn preamble(cluster: &str) -> [u8; 4] {
    let step = |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit));
    cluster.encode_utf16().fold(0, step).to_be_bytes()
}

pub(super) fn handshake(cluster: &str, version: Version) -> [u8; ZEEBE_HANDSHAKE_BYTES] {
    let ([a, b, c, d], [high, low]) = (preamble(cluster), (version as u16).to_be_bytes());
    [a, b, c, d, high, low]
}

/// Reads a handshake of this cluster; `None` until all of it is there. Inside: the version, `None`
/// when it is not one of ours.
pub(super) fn read_handshake(
    bytes: &[u8],
    cluster: &str,
) -> Result<Option<Option<Version>>, Error> {
    let expected = preamble(cluster);
    if bytes.iter().zip(&expected).any(|(byte, own)| byte != own) {
        let detail = "the first bytes are not the preamble of this cluster's name";
        return Err(Error::new(Reason::WrongCluster, detail));
    }
    let version = bytes.get(expected.len()..ZEEBE_HANDSHAKE_BYTES);
    Ok(version.map(|bytes| Version::from_wire(u16::from_be_bytes([bytes[0], bytes[1]]))))
}

/// Whether a frame asks or answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Request = 1,
    Reply = 2,
}

/// What stands before the payload of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) id: u64,
    /// Bytes of the payload.
    pub(super) length: usize,
    /// Bytes of the head itself.
    pub(super) bytes: usize,
}

fn bad(detail: &'static str) -> Error {
    Error::new(Reason::BadFrame, detail)
}

/// Reads a number in its shortest form of at most `bytes_max` bytes, and how many it has; `None`
/// when it is cut.
fn read_number(bytes: &[u8], bytes_max: usize) -> Result<Option<(u64, usize)>, Error> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(bytes_max).enumerate() {
        let is_ninth = index + 1 == VARLONG_BYTES_MAX;
        let bits = if is_ninth { *byte } else { *byte & 0x7f };
        value |= u64::from(bits) << (7 * index);
        if *byte & 0x80 == 0 || is_ninth {
            if *byte == 0 && index > 0 {
                return Err(bad("a number is not in its shortest form"));
            }
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() >= bytes_max {
        return Err(bad("a number has too many bytes"));
    }
    Ok(None)
}

fn put_number(out: &mut Vec<u8>, mut value: u64) {
    for _ in 1..VARLONG_BYTES_MAX {
        if value < 0x80 {
            break;
        }
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads the head of a frame; `None` when it is cut.
#[inline]
pub(super) fn read_head(bytes: &[u8]) -> Result<Option<Head>, Error> {
    let Some((first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let kind = match first {
        1 => Kind::Request,
        2 => Kind::Reply,
        _ => {
            let detail = "a frame is neither a request nor a reply: do both sides compress alike?";
            return Err(Error::new(Reason::UnknownFrame, detail));
        }
    };
    let Some((id, id_bytes)) = read_number(rest, VARLONG_BYTES_MAX)? else {
        return Ok(None);
    };
    let Some((length, length_bytes)) = read_number(&rest[id_bytes..], VARINT_BYTES_MAX)? else {
        return Ok(None);
    };
    if length > i32::MAX as u64 {
        return Err(bad("a payload has a negative length"));
    }
    Ok(Some(Head {
        kind,
        id,
        length: length as usize,
        bytes: 1 + id_bytes + length_bytes,
    }))
}

/// Reads the subject behind a request's payload; `None` when it is cut.
#[inline]
fn read_subject(bytes: &[u8]) -> Result<Option<&[u8]>, Error> {
    read_text(bytes, "a subject has a negative length")
}

/// How many bytes stand behind the payload of a frame of this kind; `None` when they are cut.
#[inline]
pub(super) fn tail_bytes(kind: Kind, bytes: &[u8]) -> Result<Option<usize>, Error> {
    match kind {
        Kind::Request => Ok(read_subject(bytes)?.map(|subject| 2 + subject.len())),
        Kind::Reply => Ok((!bytes.is_empty()).then_some(1)),
    }
}

/// Reads a signed 16-bit length and so many bytes.
fn read_text<'a>(bytes: &'a [u8], negative: &'static str) -> Result<Option<&'a [u8]>, Error> {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else {
        return Ok(None);
    };
    let length = u16::from_be_bytes(*length).into();
    if length > ZEEBE_SUBJECT_BYTES_MAX {
        return Err(bad(negative));
    }
    Ok(rest.get(..length))
}

/// Appends what stands before a payload of so many bytes.
#[inline]
pub(super) fn put_head(out: &mut Vec<u8>, kind: Kind, id: u64, length: usize) {
    out.reserve(1 + VARLONG_BYTES_MAX + VARINT_BYTES_MAX);
    out.push(kind as u8);
    put_number(out, id);
    put_number(out, length as u64);
}

/// Appends the subject, which stands behind a request's payload.
#[inline]
pub(super) fn put_subject(out: &mut Vec<u8>, subject: &str) {
    out.extend_from_slice(&(subject.len() as u16).to_be_bytes());
    out.extend_from_slice(subject.as_bytes());
}

/// Reads the address a peer declares, as `host:port`, and how many bytes it has; `None` when it is
/// cut. Nobody has checked it.
pub(super) fn read_address(
    bytes: &[u8],
    version: Version,
) -> Result<Option<(String, usize)>, Error> {
    let Some((host, host_bytes)) = read_host(bytes, version)? else {
        return Ok(None);
    };
    let Some((port, _)) = bytes[host_bytes..].split_first_chunk::<4>() else {
        return Ok(None);
    };
    let Ok(port) = u16::try_from(i32::from_be_bytes(*port)) else {
        return Err(bad("a declared port is out of range"));
    };
    let is_bare_v6 = host.contains(':') && !host.starts_with('[');
    let text = if is_bare_v6 {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    Ok(Some((text, host_bytes + 4)))
}

fn read_host(bytes: &[u8], version: Version) -> Result<Option<(String, usize)>, Error> {
    if version == Version::V1 {
        return read_octets(bytes);
    }
    let Some(host) = read_text(bytes, "a declared host has a negative length")? else {
        return match bytes.first_chunk::<2>() {
            Some(length) if usize::from(u16::from_be_bytes(*length)) > NAME_BYTES_MAX => {
                Err(long())
            }
            _ => Ok(None),
        };
    };
    if host.len() > NAME_BYTES_MAX {
        return Err(long());
    }
    let host = str::from_utf8(host).map_err(|_| bad("a declared host is not UTF-8"))?;
    Ok(Some((host.to_owned(), 2 + host.len())))
}

fn long() -> Error {
    Error::new(Reason::Oversize, "a declared host is longer than 255 bytes")
}

fn read_octets(bytes: &[u8]) -> Result<Option<(String, usize)>, Error> {
    let Some((count, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let address = match count {
        4 => rest.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
        16 => rest.first_chunk::<16>().map(|octets| IpAddr::from(*octets)),
        _ => return Err(bad("a declared address has neither 4 nor 16 bytes")),
    };
    Ok(address.map(|address| (address.to_string(), 1 + usize::from(*count))))
}

/// The address of a side that cannot be dialled.
pub(super) const NOWHERE: &str = "0.0.0.0:0";

/// Appends our address block. An `advertise` that is no `host:port` is told as [`NOWHERE`]; so is,
/// in version 1, a host that is no IP address.
pub(super) fn put_address(out: &mut Vec<u8>, version: Version, advertise: &str) {
    let (host, port) = split_address(advertise);
    match version {
        Version::V1 => match host.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) {
            IpAddr::V4(address) => put_octets(out, &address.octets()),
            IpAddr::V6(address) => put_octets(out, &address.octets()),
        },
        Version::V2 => {
            out.extend_from_slice(&(host.len() as u16).to_be_bytes());
            out.extend_from_slice(host.as_bytes());
        }
    }
    out.extend_from_slice(&u32::from(port).to_be_bytes());
}

fn put_octets(out: &mut Vec<u8>, octets: &[u8]) {
    out.push(octets.len() as u8);
    out.extend_from_slice(octets);
}

fn split_address(advertise: &str) -> (&str, u16) {
    let split = advertise.rsplit_once(':');
    let parsed = split.and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parsed.unwrap_or(("0.0.0.0", 0));
    (host.trim_start_matches('[').trim_end_matches(']'), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w_70_the_preamble_is_the_hash_of_the_clusters_name() {
        assert_eq!(preamble("zeebe-cluster"), [0xeb, 0x6e, 0xec, 0x8a]);
        assert_eq!(preamble(""), [0; 4]);
        // Beyond the basic plane a character is two units.
        assert_eq!(
            preamble("\u{1f600}"),
            ((0xd83d * 31_u32) + 0xde00).to_be_bytes()
        );
    }

    #[test]
    fn w_73_numbers_have_one_form() {
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (300, &[0xac, 0x02]),
            (1 << 40, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x20]),
            (
                (1 << 63) + 5,
                &[0x85, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
            ),
            (u64::MAX, &[0xff; 9]),
        ] {
            let mut out = Vec::new();
            put_number(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(read_number(&out, 9), Ok(Some((value, bytes.len()))));
            for end in 0..bytes.len() {
                assert_eq!(read_number(&bytes[..end], 9), Ok(None));
            }
        }
        let ninth_is_zero = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0];
        for long in [&[0x80, 0][..], &[0xff, 0x80, 0], &ninth_is_zero] {
            assert!(read_number(long, 9).is_err(), "{long:x?}");
        }
        assert!(read_number(&[0x80; 5], 5).is_err());
    }

    /// T19.
    #[test]
    fn w_73_a_length_has_31_bits() {
        let head = |length: &[u8]| read_head(&[&[1, 1][..], length].concat());
        let longest = head(&[0xff, 0xff, 0xff, 0xff, 0x07]).unwrap().unwrap();
        assert_eq!((longest.length, longest.bytes), (i32::MAX as usize, 7));
        for length in [
            &[0x80, 0x80, 0x80, 0x80, 0x08][..],
            &[0xff, 0xff, 0xff, 0xff, 0x0f],
        ] {
            assert_eq!(head(length).unwrap_err().kind(), Reason::BadFrame);
        }
        for kind in (0..=u8::MAX).filter(|kind| !(1..=2).contains(kind)) {
            assert_eq!(read_head(&[kind]).unwrap_err().kind(), Reason::UnknownFrame);
        }
    }

    #[test]
    fn w_71_addresses_of_both_versions() {
        for (version, advertise, hex, told) in [
            (
                Version::V2,
                "client.host:1234",
                &b"\0\x0bclient.host\0\0\x04\xd2"[..],
                "client.host:1234",
            ),
            (
                Version::V1,
                "127.0.0.1:777",
                b"\x04\x7f\0\0\x01\0\0\x03\x09",
                "127.0.0.1:777",
            ),
            (Version::V2, "[::1]:9", b"\0\x03::1\0\0\0\x09", "[::1]:9"),
            (
                Version::V1,
                "host:9",
                b"\x04\0\0\0\0\0\0\0\x09",
                "0.0.0.0:9",
            ),
            (
                Version::V2,
                "unix:/run/zt",
                b"\0\x070.0.0.0\0\0\0\0",
                "0.0.0.0:0",
            ),
        ] {
            let mut out = Vec::new();
            put_address(&mut out, version, advertise);
            assert_eq!(out, hex, "{advertise}");
            let read = read_address(&out, version);
            assert_eq!(read, Ok(Some((told.to_owned(), out.len()))));
            for end in 0..out.len() {
                assert_eq!(read_address(&out[..end], version), Ok(None));
            }
        }
    }

    #[test]
    fn w_71_an_address_that_cannot_be_is_refused() {
        let long = [&[0x01, 0x00][..], &[b'a'; 256], &[0; 4]].concat();
        for (version, bytes) in [
            (Version::V1, &b"\x05\0\0\0\0\0\0\0\0\0"[..]),
            (Version::V2, b"\xff\xffx"),
            (Version::V2, b"\0\x01x\xff\xff\xff\xff"),
            (Version::V2, b"\0\x01x\0\x01\0\0"),
            (Version::V2, b"\0\x01\xff\0\0\0\0"),
            (Version::V2, &long[..2]),
            (Version::V2, &long),
        ] {
            assert!(read_address(bytes, version).is_err(), "{bytes:x?}");
        }
    }
}
