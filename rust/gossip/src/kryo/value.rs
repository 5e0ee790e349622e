//! Whole values: what a request, a reply or the payload of a datagram is.

use super::limits::{RECORD_BYTES_MIN, RECORDS_MAX, VALUE_BYTES_MAX};
use super::names::{Class, NamesRead, NamesWritten};
use super::reader::Reader;
use super::record::{Record, expect_class};
use super::writer::Writer;
use crate::wire::Malformed;

const ARRAY_LIST: u32 = 38;
const BOOLEAN: u32 = 5;

fn whole<T>(
    bytes: &[u8],
    read: impl FnOnce(&mut Reader<'_>, &mut NamesRead) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    if bytes.len() > VALUE_BYTES_MAX {
        return Err(Malformed("a value is larger than is taken"));
    }
    let mut reader = Reader::new(bytes);
    let value = read(&mut reader, &mut NamesRead::default())?;
    reader.end()?;
    Ok(value)
}

fn written(write: impl FnOnce(&mut Writer, &mut NamesWritten)) -> Vec<u8> {
    let mut writer = Writer::default();
    write(&mut writer, &mut NamesWritten::default());
    writer.finish()
}

/// A record by itself.
#[must_use]
pub fn encode_record(record: &Record) -> Vec<u8> {
    written(|out, names| write_classed(record, out, names))
}

/// A record by itself: what answers a probe.
///
/// # Errors
/// [`Malformed`] for anything else.
pub fn decode_record(bytes: &[u8]) -> Result<Record, Malformed> {
    whole(bytes, read_classed)
}

/// Two records: a probe.
#[must_use]
pub fn encode_pair(left: &Record, right: &Record) -> Vec<u8> {
    written(|out, names| {
        out.varint(Class::Pair.number());
        names.next(Class::Pair, out);
        out.field(|inner| write_classed(left, inner, names));
        out.field(|inner| write_classed(right, inner, names));
    })
}

/// Two records: who asks, and what it knows of who is asked.
///
/// # Errors
/// [`Malformed`] for anything else.
pub fn decode_pair(bytes: &[u8]) -> Result<(Record, Record), Malformed> {
    whole(bytes, |reader, names| {
        expect_class(reader, Class::Pair.number())?;
        let (mut left, mut right) = (None, None);
        for name in names.next(Class::Pair, reader)? {
            match name {
                "left" => left = Some(reader.field(|input| read_classed(input, names))?),
                "right" => right = Some(reader.field(|input| read_classed(input, names))?),
                _ => reader.skip_field()?,
            }
        }
        let both = left.zip(right);
        both.ok_or(Malformed("a pair has one side only"))
    })
}

/// Some records: gossip, or what answers a sync.
#[must_use]
pub fn encode_list<'a>(records: impl ExactSizeIterator<Item = &'a Record>) -> Vec<u8> {
    written(|out, names| {
        out.varint(ARRAY_LIST);
        let count = records.len() as u32;
        if count == 0 {
            return out.varint(1);
        }
        out.flagged(true, count + 1);
        out.varint(Class::Record.number());
        out.byte(0);
        for record in records {
            record.write(out, names);
        }
    })
}

/// Some records.
///
/// # Errors
/// [`Malformed`] for anything else, or more records than are taken.
pub fn decode_list(bytes: &[u8]) -> Result<Vec<Record>, Malformed> {
    whole(bytes, |reader, names| {
        expect_class(reader, ARRAY_LIST)?;
        let (same_class, count) = reader.flagged()?;
        let count = (count as usize).checked_sub(1);
        let count = count.ok_or(Malformed("a list is null"))?;
        if count > RECORDS_MAX || count > reader.rest().len() / RECORD_BYTES_MIN {
            return Err(Malformed("a list is longer than is taken or there"));
        }
        let nullable = same_class && read_list_head(reader)?;
        let mut records = Vec::with_capacity(count);
        for _ in 0..count {
            let classed = !same_class;
            records.extend(read_element(reader, names, classed, nullable)?);
        }
        Ok(records)
    })
}

/// The class of all elements; whether there are nulls among them.
fn read_list_head(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
    expect_class(reader, Class::Record.number())?;
    match reader.byte()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed("a flag is neither true nor false")),
    }
}

fn read_element(
    reader: &mut Reader<'_>,
    names: &mut NamesRead,
    classed: bool,
    nullable: bool,
) -> Result<Option<Record>, Malformed> {
    if classed {
        return read_classed(reader, names).map(Some);
    }
    if nullable && reader.byte()? == 0 {
        return Ok(None);
    }
    Record::read(reader, names).map(Some)
}

/// Whether a probe for somebody else was answered.
#[must_use]
pub fn encode_boolean(value: bool) -> Vec<u8> {
    vec![BOOLEAN as u8, u8::from(value)]
}

/// Whether a probe for us was answered.
///
/// # Errors
/// [`Malformed`] for anything else.
pub fn decode_boolean(bytes: &[u8]) -> Result<bool, Malformed> {
    match bytes {
        [5, 0] => Ok(false),
        [5, 1] => Ok(true),
        _ => Err(Malformed("an answer is neither true nor false")),
    }
}

fn write_classed(record: &Record, out: &mut Writer, names: &mut NamesWritten) {
    out.varint(Class::Record.number());
    record.write(out, names);
}

fn read_classed(reader: &mut Reader<'_>, names: &mut NamesRead) -> Result<Record, Malformed> {
    expect_class(reader, Class::Record.number())?;
    Record::read(reader, names)
}
