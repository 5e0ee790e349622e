//! A member as it stands in a message.

use std::collections::BTreeMap;

use super::limits::{PROPERTIES_BYTES_MAX, PROPERTIES_MAX, STRING_UNITS_MAX};
use super::names::{Class, NamesRead, NamesWritten};
use super::reader::{Reader, int, long, string};
use super::writer::Writer;
use crate::wire::Malformed;

const STRING: u32 = 3;
const PROPERTIES: u32 = 54;
const NULL: u32 = 0;
const NOT_NULL: u8 = 1;

/// Where a member takes requests and datagrams.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host {
    /// A name or a numeric address.
    pub name: String,
    /// Of TCP and UDP alike.
    pub port: u16,
}

/// What a member is held for; a later one outranks an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It answers.
    Alive,
    /// It did not answer.
    Suspect,
    /// It is gone.
    Dead,
}

/// The release a member runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// First number.
    pub major: i32,
    /// Second number.
    pub minor: i32,
    /// Third number.
    pub patch: i32,
    /// What stands behind a hyphen.
    pub build: Option<String>,
    /// What stands behind a plus sign.
    pub metadata: Option<String>,
}

/// What is said of a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Its name in the cluster.
    pub id: String,
    /// Where it is reached.
    pub address: Option<Host>,
    /// The machine it says it runs on.
    pub host: Option<String>,
    /// The rack it says it stands in.
    pub rack: Option<String>,
    /// The zone it says it stands in.
    pub zone: Option<String>,
    /// Raised by the member alone; begins at the wall clock's milliseconds.
    pub incarnation: i64,
    /// When this life of it began, in milliseconds of its wall clock.
    pub timestamp: i64,
    /// What it is held for; none of a contact point that was never heard.
    pub standing: Option<Standing>,
    /// The release it runs.
    pub release: Option<Release>,
    /// What it says of itself.
    pub properties: BTreeMap<String, String>,
}

impl Record {
    /// Whether properties can be sent, or which rule they break.
    ///
    /// # Errors
    /// [`Malformed`] with the rule.
    pub fn check_properties(properties: &BTreeMap<String, String>) -> Result<(), Malformed> {
        if properties.len() > PROPERTIES_MAX {
            return Err(Malformed("a member has more properties than are taken"));
        }
        let bytes: usize = properties.iter().map(|(k, v)| k.len() + v.len()).sum();
        let is_long = |text: &String| text.encode_utf16().count() > STRING_UNITS_MAX;
        if bytes > PROPERTIES_BYTES_MAX || properties.iter().any(|(k, v)| is_long(k) || is_long(v))
        {
            return Err(Malformed("a member's properties are larger than is taken"));
        }
        Ok(())
    }

    pub(super) fn write(&self, writer: &mut Writer, names: &mut NamesWritten) {
        names.next(Class::Record, writer);
        writer.field(|out| write_host(self.address.as_ref(), out));
        writer.field(|out| out.string(self.host.as_deref()));
        writer.field(|out| write_member_id(&self.id, out, names));
        writer.field(|out| write_member_id(&self.id, out, names));
        writer.field(|out| out.long(self.incarnation));
        writer.field(|out| write_properties(&self.properties, out));
        writer.field(|out| out.string(self.rack.as_deref()));
        let ordinal = self.standing.map_or(0, |standing| standing as u32 + 1);
        writer.field(|out| out.varint(ordinal));
        writer.field(|out| out.long(self.timestamp));
        writer.field(|out| write_release(self.release.as_ref(), out, names));
        writer.field(|out| out.string(self.zone.as_deref()));
    }

    pub(super) fn read(reader: &mut Reader<'_>, names: &mut NamesRead) -> Result<Self, Malformed> {
        let mut record = Self::default();
        for name in names.next(Class::Record, reader)? {
            record.read_field(name, reader, names)?;
        }
        if record.id.is_empty() {
            return Err(Malformed("a member has no id"));
        }
        Ok(record)
    }

    fn read_field(
        &mut self,
        name: &str,
        reader: &mut Reader<'_>,
        names: &mut NamesRead,
    ) -> Result<(), Malformed> {
        match name {
            "address" => self.address = reader.field(read_host)?,
            "host" => self.host = reader.field(string)?,
            "id" => self.id = reader.field(|input| read_member_id(input, names))?,
            "incarnationNumber" => self.incarnation = reader.field(long)?,
            "properties" => self.properties = reader.field(read_properties)?,
            "rack" => self.rack = reader.field(string)?,
            "state" => self.standing = reader.field(read_standing)?,
            "timestamp" => self.timestamp = reader.field(long)?,
            "version" => self.release = reader.field(|input| read_release(input, names))?,
            "zone" => self.zone = reader.field(string)?,
            _ => reader.skip_field()?,
        }
        Ok(())
    }
}

pub(super) fn write_host(host: Option<&Host>, out: &mut Writer) {
    let Some(host) = host else {
        return out.byte(0);
    };
    out.byte(NOT_NULL);
    out.string(Some(&host.name));
    out.bytes(&u32::from(host.port).to_le_bytes());
}

pub(super) fn read_host(reader: &mut Reader<'_>) -> Result<Option<Host>, Malformed> {
    if is_null(reader)? {
        return Ok(None);
    }
    let name = reader.string()?.filter(|name| !name.is_empty());
    let name = name.ok_or(Malformed("an address has no host"))?;
    let port = u16::try_from(reader.fixed_int()?);
    let port = port.map_err(|_| Malformed("a port is not below 65,536"))?;
    Ok(Some(Host { name, port }))
}

fn is_null(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    match reader.byte()? {
        0 => Ok(true),
        NOT_NULL => Ok(false),
        _ => Err(Malformed("a value is neither null nor there")),
    }
}

fn write_member_id(id: &str, out: &mut Writer, names: &mut NamesWritten) {
    out.varint(Class::MemberId.number());
    names.next(Class::MemberId, out);
    out.field(|inner| {
        inner.varint(STRING);
        inner.string(Some(id));
    });
}

fn read_member_id(reader: &mut Reader<'_>, names: &mut NamesRead) -> Result<String, Malformed> {
    expect_class(reader, Class::MemberId.number())?;
    let mut id = String::new();
    for name in names.next(Class::MemberId, reader)? {
        match name {
            "identifier" => id = reader.field(read_text)?,
            _ => reader.skip_field()?,
        }
    }
    Ok(id)
}

pub(super) fn expect_class(reader: &mut Reader<'_>, number: u32) -> Result<(), Malformed> {
    match reader.varint()? {
        found if found == number => Ok(()),
        _ => Err(Malformed("a value is of another class than its place")),
    }
}

fn read_text(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    expect_class(reader, STRING)?;
    let text = reader.string()?;
    text.ok_or(Malformed("a text is null"))
}

fn read_standing(reader: &mut Reader<'_>) -> Result<Option<Standing>, Malformed> {
    match reader.varint()? {
        0 => Ok(None),
        1 => Ok(Some(Standing::Alive)),
        2 => Ok(Some(Standing::Suspect)),
        3 => Ok(Some(Standing::Dead)),
        _ => Err(Malformed("a member's state is not known")),
    }
}

fn write_properties(properties: &BTreeMap<String, String>, out: &mut Writer) {
    out.varint(PROPERTIES);
    out.varint(properties.len() as u32 + 1);
    for text in properties.iter().flat_map(|(key, value)| [key, value]) {
        out.varint(STRING);
        out.string(Some(text));
    }
}

fn read_properties(reader: &mut Reader<'_>) -> Result<BTreeMap<String, String>, Malformed> {
    let mut properties = BTreeMap::new();
    match reader.varint()? {
        NULL => return Ok(properties),
        PROPERTIES => {}
        _ => return Err(Malformed("the properties are of another class")),
    }
    let count = reader.varint()? as usize;
    if !(1..=PROPERTIES_MAX + 1).contains(&count) {
        return Err(Malformed("a member has more properties than are taken"));
    }
    for _ in 1..count {
        let key = read_text(reader)?;
        properties.insert(key, read_text(reader)?);
    }
    Record::check_properties(&properties)?;
    Ok(properties)
}

fn write_release(release: Option<&Release>, out: &mut Writer, names: &mut NamesWritten) {
    let Some(release) = release else {
        return out.byte(0);
    };
    out.byte(NOT_NULL);
    names.next(Class::Version, out);
    out.field(|inner| inner.string(release.build.as_deref()));
    out.field(|inner| inner.int(release.major));
    out.field(|inner| inner.string(release.metadata.as_deref()));
    out.field(|inner| inner.int(release.minor));
    out.field(|inner| inner.int(release.patch));
}

fn read_release(
    reader: &mut Reader<'_>,
    names: &mut NamesRead,
) -> Result<Option<Release>, Malformed> {
    if is_null(reader)? {
        return Ok(None);
    }
    let mut release = Release::default();
    for name in names.next(Class::Version, reader)? {
        match name {
            "build" => release.build = reader.field(string)?,
            "major" => release.major = reader.field(int)?,
            "metadata" => release.metadata = reader.field(string)?,
            "minor" => release.minor = reader.field(int)?,
            "patch" => release.patch = reader.field(int)?,
            _ => reader.skip_field()?,
        }
    }
    Ok(Some(release))
}
