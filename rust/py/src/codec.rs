//! The gossip codec by itself: bodies as lists of tuples.
//!
//! A message is its type code and its fields, in the order of docs/GOSSIP.md, G-12.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyList, PyTuple};
use ztransport_gossip::limits::{BUCKETS, DATAGRAM_BYTES_CEILING, ENVELOPE_BYTES, NAME_BYTES_MAX};
use ztransport_gossip::wire::{
    Address, Description, Message, Messages, Properties, State, Summaries, Summary, validate,
};

use crate::cluster::{encoded, misuse, properties_dict, state_name};
use crate::errors;

const STATES: [State; 4] = [State::Alive, State::Suspect, State::Dead, State::Left];

pub(crate) fn malformed(py: Python<'_>, text: &str) -> PyErr {
    errors::error(py, "ProtocolError", text, None)
}

/// The bytes of a body. What cannot be decoded again cannot be encoded.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
pub(crate) fn gossip_encode<'py>(
    py: Python<'py>,
    messages: Vec<Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut out = Vec::new();
    for message in &messages {
        let put = put(message, &mut out);
        put.map_err(|error| unfit(py, error))?;
    }
    let room = DATAGRAM_BYTES_CEILING - ENVELOPE_BYTES;
    if out.len() > room {
        let text = format!("a body has at most {room} bytes, this one {}", out.len());
        return Err(errors::error(py, "LimitExceeded", &text, None));
    }
    validate(&out).map_err(|error| errors::configuration(py, error.0))?;
    Ok(PyBytes::new(py, &out))
}

/// What was found about a field of ours; Python's own words for the rest, without their class.
fn unfit(py: Python<'_>, error: PyErr) -> PyErr {
    match errors::is_ours(error.value(py)) {
        Ok(true) => error,
        _ => errors::configuration(py, &error.value(py).to_string()),
    }
}

/// The messages of a body; those of unknown type are left out.
#[pyfunction]
pub(crate) fn gossip_decode<'py>(py: Python<'py>, body: &[u8]) -> PyResult<Bound<'py, PyList>> {
    validate(body).map_err(|error| malformed(py, error.0))?;
    let found = PyList::empty(py);
    for message in Messages::new(body).flatten() {
        found.append(taken(py, message)?)?;
    }
    Ok(found)
}

fn put(given: &Bound<'_, PyTuple>, out: &mut Vec<u8>) -> PyResult<()> {
    let code: u8 = given.get_item(0)?.extract()?;
    match code {
        1 | 2 => {
            let (_, seq, digest): (u8, u32, u64) = given.extract()?;
            match code {
                1 => Message::Ping { seq, digest }.encode(out),
                _ => Message::Ack { seq, digest }.encode(out),
            }
        }
        3 => {
            let (_, seq, target): (u8, u32, u64) = given.extract()?;
            Message::PingReq { seq, target }.encode(out);
        }
        4 => {
            let (_, seq): (u8, u32) = given.extract()?;
            Message::Nack { seq }.encode(out);
        }
        5 => put_alive(given, out)?,
        6 => {
            let (_, sid, incarnation, accuser, health): (u8, u64, u32, u64, u8) =
                given.extract()?;
            Message::Suspect {
                sid,
                incarnation,
                accuser,
                health,
            }
            .encode(out);
        }
        7 => {
            let (_, sid, incarnation, reporter): (u8, u64, u32, u64) = given.extract()?;
            Message::Dead {
                sid,
                incarnation,
                reporter,
            }
            .encode(out);
        }
        8 => {
            let (_, sid, incarnation): (u8, u64, u32) = given.extract()?;
            Message::Left { sid, incarnation }.encode(out);
        }
        9 => {
            let (_, sid, incarnation, version): (u8, u64, u32, u32) = given.extract()?;
            Message::Refute {
                sid,
                incarnation,
                version,
            }
            .encode(out);
        }
        _ => put_rare(code, given, out)?,
    }
    Ok(())
}

fn put_rare(code: u8, given: &Bound<'_, PyTuple>, out: &mut Vec<u8>) -> PyResult<()> {
    let py = given.py();
    match code {
        10 => {
            let (_, half, buckets): (u8, u8, PyBackedBytes) = given.extract()?;
            let buckets: &[u8; BUCKETS * 4] = (&*buckets)
                .try_into()
                .map_err(|_| errors::configuration(py, "a digest has 1,024 bytes"))?;
            Message::Digest { half, buckets }.encode(out);
        }
        11 => {
            let (_, last, more): (u8, bool, bool) = given.extract()?;
            Message::Part { last, more }.encode(out);
        }
        12 => put_summaries(given, out)?,
        13 => {
            let (_, sids): (u8, Vec<u64>) = given.extract()?;
            let bytes: Vec<u8> = sids.iter().flat_map(|sid| sid.to_le_bytes()).collect();
            Message::Want(&bytes).encode(out);
        }
        14 => {
            let (_, generation, name): (u8, u64, String) = given.extract()?;
            let name = checked_name(py, &name)?;
            Message::Hello { generation, name }.encode(out);
        }
        15 => {
            let (_, echo, status, generation): (u8, u64, u8, u64) = given.extract()?;
            Message::HelloReply {
                echo,
                status,
                generation,
            }
            .encode(out);
        }
        _ => return Err(errors::configuration(py, "a message is of no known type")),
    }
    Ok(())
}

type Told = (
    u8,
    u64,
    u64,
    u32,
    u32,
    u8,
    u8,
    u8,
    String,
    String,
    BTreeMap<String, PyBackedBytes>,
);

fn put_alive(given: &Bound<'_, PyTuple>, out: &mut Vec<u8>) -> PyResult<()> {
    let py = given.py();
    let told: Told = given.extract()?;
    let address: SocketAddr = told
        .8
        .parse()
        .map_err(|_| errors::configuration(py, "an address is an IP address and a port"))?;
    let properties = encoded(py, &told.10)?;
    let properties =
        Properties::new(&properties).map_err(|error| errors::configuration(py, error.0))?;
    let description = Description {
        sid: told.1,
        generation: told.2,
        incarnation: told.3,
        version: told.4,
        reach: told.5,
        installed: told.6,
        ready: told.7,
        address: wire_address(address),
        name: checked_name(py, &told.9)?,
        properties,
    };
    Message::Alive(description).encode(out);
    Ok(())
}

fn wire_address(address: SocketAddr) -> Address {
    match address {
        SocketAddr::V4(v4) => Address::v4(v4.ip().octets(), v4.port()),
        SocketAddr::V6(v6) => Address::v6(v6.ip().octets(), v6.port()),
    }
}

fn checked_name<'a>(py: Python<'_>, name: &'a str) -> PyResult<&'a str> {
    let length = name.len();
    if (1..=NAME_BYTES_MAX).contains(&length) {
        return Ok(name);
    }
    Err(misuse(py, &ztransport_gossip::Misuse::NameLength(length)))
}

fn put_summaries(given: &Bound<'_, PyTuple>, out: &mut Vec<u8>) -> PyResult<()> {
    let py = given.py();
    let (_, told): (u8, Vec<(u64, String, u32, u32)>) = given.extract()?;
    let mut bytes = Vec::new();
    for (sid, name, incarnation, version) in told {
        let state = STATES.into_iter().find(|state| state_name(*state) == name);
        let state = state
            .ok_or_else(|| errors::configuration(py, "a state is alive, suspect, dead or left"))?;
        let summary = Summary {
            sid,
            state,
            incarnation,
            version,
        };
        Summaries::put(&mut bytes, &summary);
    }
    let summaries = Summaries::new(&bytes).map_err(|error| errors::configuration(py, error.0))?;
    Message::Summaries(summaries).encode(out);
    Ok(())
}

fn taken<'py>(py: Python<'py>, message: Message<'_>) -> PyResult<Bound<'py, PyTuple>> {
    match message {
        Message::Ping { seq, digest } => (1, seq, digest).into_pyobject(py),
        Message::Ack { seq, digest } => (2, seq, digest).into_pyobject(py),
        Message::PingReq { seq, target } => (3, seq, target).into_pyobject(py),
        Message::Nack { seq } => (4, seq).into_pyobject(py),
        Message::Alive(description) => taken_alive(py, &description),
        Message::Suspect {
            sid,
            incarnation,
            accuser,
            health,
        } => (6, sid, incarnation, accuser, health).into_pyobject(py),
        Message::Dead {
            sid,
            incarnation,
            reporter,
        } => (7, sid, incarnation, reporter).into_pyobject(py),
        Message::Left { sid, incarnation } => (8, sid, incarnation).into_pyobject(py),
        Message::Refute {
            sid,
            incarnation,
            version,
        } => (9, sid, incarnation, version).into_pyobject(py),
        rare => taken_rare(py, rare),
    }
}

fn taken_rare<'py>(py: Python<'py>, message: Message<'_>) -> PyResult<Bound<'py, PyTuple>> {
    match message {
        Message::Digest { half, buckets } => {
            (10, half, PyBytes::new(py, buckets)).into_pyobject(py)
        }
        Message::Part { last, more } => (11, last, more).into_pyobject(py),
        Message::Summaries(summaries) => {
            let told =
                summaries.map(|one| (one.sid, state_name(one.state), one.incarnation, one.version));
            (12, PyTuple::new(py, told.collect::<Vec<_>>())?).into_pyobject(py)
        }
        Message::Want(bytes) => {
            let sids = bytes.chunks_exact(8).map(|chunk| {
                chunk
                    .iter()
                    .rev()
                    .fold(0_u64, |word, byte| word << 8 | u64::from(*byte))
            });
            (13, PyTuple::new(py, sids.collect::<Vec<_>>())?).into_pyobject(py)
        }
        Message::Hello { generation, name } => (14, generation, name).into_pyobject(py),
        Message::HelloReply {
            echo,
            status,
            generation,
        } => (15, echo, status, generation).into_pyobject(py),
        _ => Ok(PyTuple::empty(py)),
    }
}

fn taken_alive<'py>(
    py: Python<'py>,
    description: &Description<'_>,
) -> PyResult<Bound<'py, PyTuple>> {
    let fields = (
        5,
        description.sid,
        description.generation,
        description.incarnation,
        description.version,
        description.reach,
        description.installed,
        description.ready,
        description.address.to_string(),
        description.name,
        properties_dict(py, &description.properties)?,
    );
    fields.into_pyobject(py)
}
