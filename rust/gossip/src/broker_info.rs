//! `brokerInfo`: the property in which a Zeebe broker says which partitions it has, and in which
//! role. Base64 around a message of the Simple Binary Encoding (template 201 of schema 0).

use std::collections::BTreeMap;

use crate::wire::Malformed;

/// The property's key.
pub const BROKER_INFO: &str = "brokerInfo";
/// Characters of the property at most.
pub const BROKER_INFO_CHARS_MAX: usize = 32 << 10;

const TEMPLATE: u16 = 201;
const SCHEMA: u16 = 0;
const FIXED_BYTES: usize = 16;
const SHORT: Malformed = Malformed("brokerInfo is cut short");

/// What a broker does in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leader,
    /// It follows.
    Follower,
    /// It does neither.
    Inactive,
    /// A number that this release does not know.
    Unknown(u8),
}

/// How a partition does on a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not well.
    Unhealthy,
    /// Well.
    Healthy,
    /// It will not recover.
    Dead,
    /// A number that this release does not know.
    Unknown(u8),
}

/// What a broker says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerInfo {
    /// The broker's number.
    pub node_id: i32,
    /// Partitions of the cluster.
    pub partitions_count: i32,
    /// Brokers of the cluster.
    pub cluster_size: i32,
    /// Brokers that have each partition.
    pub replication_factor: i32,
    /// The broker's release.
    pub version: String,
    /// Addresses by what they are for; `commandApi` takes commands.
    pub addresses: BTreeMap<String, String>,
    /// The broker's role by partition.
    pub roles: BTreeMap<i32, Role>,
    /// Terms by partition, of those the broker leads.
    pub terms: BTreeMap<i32, i64>,
    /// Health by partition.
    pub health: BTreeMap<i32, Health>,
}

impl BrokerInfo {
    /// Reads the property. Fields that later versions put behind known ones are passed over.
    ///
    /// # Errors
    /// [`Malformed`] if it is no Base64, of another template, or cut short.
    pub fn decode(property: &[u8]) -> Result<Self, Malformed> {
        let bytes = from_base64(property)?;
        let mut reader = Reader(&bytes);
        let [block, template, schema] = [reader.u16()?, reader.u16()?, reader.u16()?];
        if (template, schema) != (TEMPLATE, SCHEMA) {
            return Err(Malformed("brokerInfo is of another template"));
        }
        reader.u16()?; // Its version: what it has is told by the lengths.
        let mut info = Self::read_fixed(reader.bytes(block.into())?)?;
        info.read_addresses(&mut reader)?;
        reader.group(|entry| {
            info.roles.insert(entry.i32()?, role(entry.u8()?));
            Ok(())
        })?;
        reader.group(|entry| {
            info.terms.insert(entry.i32()?, entry.i64()?);
            Ok(())
        })?;
        info.version = reader.text()?;
        if !reader.0.is_empty() {
            reader.group(|entry| {
                info.health.insert(entry.i32()?, health(entry.u8()?));
                Ok(())
            })?;
        }
        Ok(info)
    }

    fn read_fixed(block: &[u8]) -> Result<Self, Malformed> {
        if block.len() < FIXED_BYTES {
            return Err(SHORT);
        }
        let mut fixed = Reader(block);
        Ok(Self {
            node_id: fixed.i32()?,
            partitions_count: fixed.i32()?,
            cluster_size: fixed.i32()?,
            replication_factor: fixed.i32()?,
            ..Self::default()
        })
    }

    fn read_addresses(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let (block, count) = (reader.u16()?, reader.u8()?);
        for _ in 0..count {
            reader.bytes(block.into())?;
            let name = reader.text()?;
            self.addresses.insert(name, reader.text()?);
        }
        Ok(())
    }
}

const fn role(number: u8) -> Role {
    match number {
        0 => Role::Leader,
        1 => Role::Follower,
        2 => Role::Inactive,
        other => Role::Unknown(other),
    }
}

const fn health(number: u8) -> Health {
    match number {
        0 => Health::Unhealthy,
        1 => Health::Healthy,
        2 => Health::Dead,
        other => Health::Unknown(other),
    }
}

/// Little-endian fields from the front of a slice.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_le_bytes)
    }

    fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_le_bytes)
    }

    fn text(&mut self) -> Result<String, Malformed> {
        let length = u32::from_le_bytes(self.array()?) as usize;
        let bytes = self.bytes(length)?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    /// A repeating group: the length of an entry, the number of entries, and the entries.
    fn group(
        &mut self,
        mut read: impl FnMut(&mut Reader<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        let (block, count) = (self.u16()?, self.u8()?);
        for _ in 0..count {
            read(&mut Reader(self.bytes(block.into())?))?;
        }
        Ok(())
    }
}

fn from_base64(text: &[u8]) -> Result<Vec<u8>, Malformed> {
    if text.len() > BROKER_INFO_CHARS_MAX {
        return Err(Malformed("brokerInfo is larger than is taken"));
    }
    let end = text.len() - text.iter().rev().take_while(|byte| **byte == b'=').count();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for &character in &text[..end] {
        bits = bits << 6 | sextet(character)?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
        bits &= 0xFF;
    }
    Ok(bytes)
}

fn sextet(character: u8) -> Result<u32, Malformed> {
    let value = match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return Err(Malformed("brokerInfo is not Base64")),
    };
    Ok(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broker 1 that leads partition 1 in term 7 and follows in partition 2, laid out by hand.
    const PROPERTY: &[u8] =
        b"EADJAAAABAABAAAAAgAAAAMAAAADAAAAAAABCgAAAGNvbW1hbmRBcGkPAAAAMTI3LjAuMC\
        4xOjI2NTAxBQACAQAAAAACAAAAAQwAAQEAAAAHAAAAAAAAAAUAAAA4LjUuOAUAAgEAAAAB\
        AgAAAAI=";

    fn info() -> BrokerInfo {
        BrokerInfo {
            node_id: 1,
            partitions_count: 2,
            cluster_size: 3,
            replication_factor: 3,
            version: "8.5.8".into(),
            addresses: BTreeMap::from([("commandApi".into(), "127.0.0.1:26501".into())]),
            roles: BTreeMap::from([(1, Role::Leader), (2, Role::Follower)]),
            terms: BTreeMap::from([(1, 7)]),
            health: BTreeMap::from([(1, Health::Healthy), (2, Health::Dead)]),
        }
    }

    #[test]
    fn partitions_roles_terms_and_health_are_read() {
        assert_eq!(BrokerInfo::decode(PROPERTY), Ok(info()));
    }

    #[test]
    fn what_is_cut_or_changed_is_refused_or_read() {
        for end in (0..PROPERTY.len() - 4).step_by(4) {
            let whole = BrokerInfo::decode(&PROPERTY[..end]);
            // Health is a later version's: without it the message is whole.
            assert!(whole.is_err() || whole.is_ok_and(|info| info.health.is_empty()));
        }
        for at in 0..PROPERTY.len() {
            let mut changed = PROPERTY.to_vec();
            changed[at] = b'/';
            let _ = BrokerInfo::decode(&changed);
        }
        assert!(BrokerInfo::decode(b"not base 64!").is_err());
        assert!(BrokerInfo::decode(&[b'A'; BROKER_INFO_CHARS_MAX + 1]).is_err());
    }
}
