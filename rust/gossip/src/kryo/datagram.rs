//! The datagram of Zeebe's unicast: the cluster's preamble, a length, and a message in Kryo.

use super::limits::DATAGRAM_BYTES_MAX;
use super::names::{Class, NamesRead, NamesWritten};
use super::reader::{Reader, string};
use super::record::{Host, expect_class, read_host, write_host};
use super::writer::Writer;
use crate::wire::Malformed;

const HEADER_BYTES: usize = 8;

/// The first four bytes of everything in a cluster: the hash that Java gives its name.
#[must_use]
pub fn preamble(cluster: &str) -> [u8; 4] {
    let hash = |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit));
    cluster.encode_utf16().fold(0, hash).to_be_bytes()
}

/// A message of the unicast service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Where the sender says it is.
    pub source: Option<Host>,
    /// What it is for.
    pub subject: String,
    /// The message itself.
    pub payload: Vec<u8>,
}

impl Datagram {
    /// The bytes on the wire.
    #[must_use]
    pub fn encode(&self, preamble: [u8; 4]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.varint(Class::Datagram.number());
        NamesWritten::default().next(Class::Datagram, &mut writer);
        writer.field(|out| {
            out.varint(self.payload.len() as u32 + 1);
            out.bytes(&self.payload);
        });
        writer.field(|out| write_host(self.source.as_ref(), out));
        writer.field(|out| out.string(Some(&self.subject)));
        let body = writer.finish();
        let length = (body.len() as u32).to_be_bytes();
        [&preamble[..], &length, &body].concat()
    }

    /// Reads the bytes of the wire. The length must be that of the datagram: nothing is allocated
    /// that did not arrive.
    ///
    /// # Errors
    /// [`Malformed`] for another cluster's datagram, or one that breaks a rule.
    pub fn decode(preamble: [u8; 4], bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > DATAGRAM_BYTES_MAX {
            return Err(Malformed("a datagram is longer than one can be"));
        }
        let mut reader = Reader::new(bytes);
        if reader.bytes(4)? != preamble {
            return Err(Malformed("a datagram is of another cluster"));
        }
        let length = reader.bytes(4)?;
        let body = (bytes.len() - HEADER_BYTES) as u32;
        if length != body.to_be_bytes() {
            return Err(Malformed("a datagram has another length than it says"));
        }
        let datagram = Self::read(&mut reader)?;
        reader.end()?;
        Ok(datagram)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        expect_class(reader, Class::Datagram.number())?;
        let (mut source, mut subject, mut payload) = (None, None, None);
        for name in NamesRead::default().next(Class::Datagram, reader)? {
            match name {
                "payload" => payload = reader.field(read_bytes)?,
                "source" => source = reader.field(read_host)?,
                "subject" => subject = reader.field(string)?,
                _ => reader.skip_field()?,
            }
        }
        let (subject, payload) = subject
            .zip(payload)
            .ok_or(Malformed("a datagram has no subject or no payload"))?;
        Ok(Self {
            source,
            subject,
            payload,
        })
    }
}

fn read_bytes(reader: &mut Reader<'_>) -> Result<Option<Vec<u8>>, Malformed> {
    match reader.varint()? as usize {
        0 => Ok(None),
        length => reader.bytes(length - 1).map(|bytes| Some(bytes.to_vec())),
    }
}
