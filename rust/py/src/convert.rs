//! Bytes, metadata and times across the border.

use std::time::Duration;

use bytes::Bytes;
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyMapping};
use ztransport_proto::event::Body;
use ztransport_proto::metadata;

use crate::errors;

/// Payloads up to this size are copied into the output during the call; larger ones are kept.
const BORROW_BYTES_MAX: usize = 64 * 1024;

/// The longest wait that is told to the engine. Longer ones are cut: a day outlives any request.
const TIMEOUT_SECONDS_MAX: f64 = 86_400.0;

/// The shortest: the wire counts milliseconds, and 0 means no deadline there.
const TIMEOUT_SECONDS_MIN: f64 = 0.001;

/// The bytes of a Python object: `bytes` as they are, anything writable copied now.
///
/// # Errors
/// `TypeError` or `BufferError` if it is not bytes-like.
#[inline]
pub(crate) fn body<'a>(object: &'a Bound<'_, PyAny>) -> PyResult<Body<'a>> {
    match object.cast::<PyBytes>() {
        Ok(bytes) => Ok(body_of_bytes(bytes)),
        Err(_) => copied(object),
    }
}

#[inline]
pub(crate) fn body_of_bytes<'a>(bytes: &'a Bound<'_, PyBytes>) -> Body<'a> {
    let slice = bytes.as_bytes();
    if slice.len() <= BORROW_BYTES_MAX {
        return Body::Borrowed(slice);
    }
    Body::Owned(Bytes::from_owner(PyBackedBytes::from(bytes.clone())))
}

#[cold]
fn copied(object: &Bound<'_, PyAny>) -> PyResult<Body<'static>> {
    let buffer = PyBuffer::<u8>::get(object)?;
    Ok(Body::Owned(Bytes::from(buffer.to_vec(object.py())?)))
}

/// The wire form of a mapping of `str` to bytes-like values; empty for `None`.
///
/// # Errors
/// `ConfigurationError` if a key is empty or a key or value is too long.
#[inline]
pub(crate) fn metadata_block(mapping: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<u8>> {
    match mapping {
        None => Ok(Vec::new()),
        Some(mapping) => metadata_of(mapping),
    }
}

#[cold]
fn metadata_of(mapping: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let mut block = Vec::new();
    for pair in mapping.cast::<PyMapping>()?.items()? {
        let (key, value): (String, Bound<'_, PyAny>) = pair.extract()?;
        if !metadata::append(&mut block, key.as_bytes(), body(&value)?.as_slice()) {
            let text = format!("the metadata pair {key:?} has an empty key or is too long");
            return Err(errors::configuration(mapping.py(), &text));
        }
    }
    Ok(block)
}

/// The pairs of a block as a fresh dictionary. Bytes of a key that are no UTF-8 are replaced.
pub(crate) fn metadata_dict<'py>(py: Python<'py>, block: &[u8]) -> PyResult<Bound<'py, PyDict>> {
    let pairs = PyDict::new(py);
    for (key, value) in metadata::pairs(block) {
        pairs.set_item(String::from_utf8_lossy(key), PyBytes::new(py, value))?;
    }
    Ok(pairs)
}

/// Seconds as a bounded duration; infinity is no bound.
#[inline]
pub(crate) fn timeout(seconds: f64) -> Option<Duration> {
    (seconds < TIMEOUT_SECONDS_MAX)
        .then(|| Duration::from_secs_f64(seconds.max(TIMEOUT_SECONDS_MIN)))
}

/// Text from a peer: UTF-8 by the protocol, but nothing here depends on it.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
