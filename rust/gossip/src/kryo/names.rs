//! Which fields the objects of a value have: each class names them at its first object.

use super::limits::{FIELD_NAME_BYTES_MAX, FIELDS_MAX};
use super::reader::Reader;
use super::writer::Writer;
use crate::wire::Malformed;

/// A class whose objects are written field by field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Record,
    MemberId,
    Version,
    Pair,
    Datagram,
}

impl Class {
    const COUNT: usize = 5;

    /// The number it is registered under, plus two, where the class of a value is written.
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::MemberId | Self::Datagram => 502,
            Self::Record => 504,
            Self::Pair => 506,
            Self::Version => 66,
        }
    }

    /// Its fields in the order in which they are written.
    const fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Record => &[
                "address",
                "host",
                "id",
                "id",
                "incarnationNumber",
                "properties",
                "rack",
                "state",
                "timestamp",
                "version",
                "zone",
            ],
            Self::MemberId => &["identifier"],
            Self::Version => &["build", "major", "metadata", "minor", "patch"],
            Self::Pair => &["left", "right"],
            Self::Datagram => &["payload", "source", "subject"],
        }
    }
}

/// The fields as the writer of a value named them; an unknown one is `""`.
#[derive(Debug, Default)]
pub(super) struct NamesRead([Option<Vec<&'static str>>; Class::COUNT]);

impl NamesRead {
    /// The fields of the object that begins here.
    pub(super) fn next(
        &mut self,
        class: Class,
        reader: &mut Reader<'_>,
    ) -> Result<Vec<&'static str>, Malformed> {
        let known = &mut self.0[class as usize];
        if let Some(names) = known {
            return Ok(names.clone());
        }
        let names = read_names(class, reader)?;
        Ok(known.insert(names).clone())
    }
}

fn read_names(class: Class, reader: &mut Reader<'_>) -> Result<Vec<&'static str>, Malformed> {
    let count = reader.varint()? as usize;
    if count > FIELDS_MAX {
        return Err(Malformed("a class has more fields than are taken"));
    }
    let mut names = Vec::with_capacity(count);
    for _ in 0..count {
        let name = reader.string()?.unwrap_or_default();
        if name.len() > FIELD_NAME_BYTES_MAX {
            return Err(Malformed("a field's name is longer than is taken"));
        }
        let known = class.fields().iter().find(|known| **known == name);
        names.push(known.copied().unwrap_or_default());
    }
    Ok(names)
}

/// The classes that were named already.
#[derive(Debug, Default)]
pub(super) struct NamesWritten([bool; Class::COUNT]);

impl NamesWritten {
    /// Begins an object.
    pub(super) fn next(&mut self, class: Class, writer: &mut Writer) {
        if std::mem::replace(&mut self.0[class as usize], true) {
            return;
        }
        writer.varint(class.fields().len() as u32);
        for name in class.fields() {
            writer.string(Some(name));
        }
    }
}
