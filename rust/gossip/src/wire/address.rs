//! Where a member takes datagrams: numbers only, as names are the driver's to resolve.

use std::fmt;

use super::Malformed;
use super::cursor::Reader;

const V4_MAPPED: [u8; 12] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF];

/// An IP address and a port. An IPv4 address is kept in its IPv6-mapped form (RFC 4291 2.5.5.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    octets: [u8; 16],
    port: u16,
}

impl Address {
    /// An IPv4 address.
    #[must_use]
    pub const fn v4(octets: [u8; 4], port: u16) -> Self {
        let [a, b, c, d] = octets;
        let octets = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, a, b, c, d];
        Self { octets, port }
    }

    /// An IPv6 address; a mapped one means the IPv4 address.
    #[must_use]
    pub const fn v6(octets: [u8; 16], port: u16) -> Self {
        Self { octets, port }
    }

    /// The 16 octets, mapped for IPv4.
    #[must_use]
    pub const fn octets(&self) -> [u8; 16] {
        self.octets
    }

    /// The four octets of an IPv4 address.
    #[must_use]
    pub fn v4_octets(&self) -> Option<[u8; 4]> {
        let rest = self.octets.strip_prefix(&V4_MAPPED)?;
        rest.try_into().ok()
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self.v4_octets() {
            Some(octets) => {
                out.push(4);
                out.extend_from_slice(&octets);
            }
            None => {
                out.push(6);
                out.extend_from_slice(&self.octets);
            }
        }
        out.extend_from_slice(&self.port.to_le_bytes());
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        match reader.u8()? {
            4 => Ok(Self::v4(reader.array()?, reader.u16()?)),
            6 => {
                let address = Self::v6(reader.array()?, reader.u16()?);
                let mapped = Malformed("an IPv4 address is written as IPv6");
                address.v4_octets().map_or(Ok(address), |_| Err(mapped))
            }
            _ => Err(Malformed("an address is neither IPv4 nor IPv6")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.v4_octets() {
            Some([a, b, c, d]) => write!(f, "{a}.{b}.{c}.{d}:{}", self.port),
            None => write!(
                f,
                "[{}]:{}",
                std::net::Ipv6Addr::from(self.octets),
                self.port
            ),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g_13_an_address_has_one_form() {
        let mut six = [0; 16];
        six[15] = 1;
        for (address, bytes, text) in [
            (Address::v4([127, 0, 0, 1], 80), 7, "127.0.0.1:80"),
            (Address::v6(six, 443), 19, "[::1]:443"),
        ] {
            let mut out = Vec::new();
            address.encode(&mut out);
            assert_eq!((out.len(), address.to_string().as_str()), (bytes, text));
            assert_eq!(Address::decode(&mut Reader::new(&out)), Ok(address));
        }
        let mut mapped = vec![6];
        mapped.extend_from_slice(&Address::v4([1, 2, 3, 4], 5).octets());
        mapped.extend_from_slice(&[0, 0]);
        assert!(Address::decode(&mut Reader::new(&mapped)).is_err());
        assert!(Address::decode(&mut Reader::new(&[5; 20])).is_err());
    }
}
