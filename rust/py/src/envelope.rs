//! The envelope of a gossip datagram by itself.

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use ztransport_gossip::limits::{
    COUNTER_MAX, DATAGRAM_BYTES_CEILING, ENVELOPE_BYTES, HEADER_BYTES,
};
use ztransport_gossip::seal::{Cipher, Keyring, Label, Sealing};
use ztransport_gossip::wire::{Header, Kind};

use crate::cluster::misuse;
use crate::codec::malformed;
use crate::errors;

const KINDS: [(&str, Kind); 3] = [
    ("sealed", Kind::Sealed),
    ("hello", Kind::Hello),
    ("hello_reply", Kind::HelloReply),
];

/// One datagram: header, sealed body and tag.
#[pyfunction]
#[pyo3(signature = (body, *, key, cluster, sender, counter, receiver, epoch, kind, cipher))]
#[expect(clippy::too_many_arguments, reason = "named in Python")]
#[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
pub(crate) fn gossip_seal<'py>(
    py: Python<'py>,
    body: &[u8],
    key: Option<PyBackedBytes>,
    cluster: &str,
    sender: u64,
    counter: u64,
    receiver: u64,
    epoch: u8,
    kind: &str,
    cipher: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let kind = KINDS.iter().find(|(name, _)| *name == kind);
    let Some((_, kind)) = kind else {
        return Err(errors::configuration(
            py,
            "kind is sealed, hello or hello_reply",
        ));
    };
    if sender == 0 || !(1..=COUNTER_MAX).contains(&counter) {
        let text = format!("sender is not 0 and counter is 1 to {COUNTER_MAX}");
        return Err(errors::configuration(py, &text));
    }
    if body.len() + ENVELOPE_BYTES > DATAGRAM_BYTES_CEILING {
        let text = format!("a datagram has at most {DATAGRAM_BYTES_CEILING} bytes");
        return Err(errors::error(py, "LimitExceeded", &text, None));
    }
    let keyring = keyring(py, key.as_deref(), cluster, sender, epoch, cipher)?;
    let mut out = vec![0; HEADER_BYTES];
    out.extend_from_slice(body);
    keyring.seal(*kind, epoch, counter, receiver, &mut out);
    Ok(PyBytes::new(py, &out))
}

/// Kind, epoch, sender, counter and body of a datagram that was sealed for `receiver`.
#[pyfunction]
#[pyo3(signature = (datagram, *, key, cluster, receiver, epoch, cipher))]
#[expect(clippy::needless_pass_by_value, reason = "extracted from Python")]
pub(crate) fn gossip_open<'py>(
    py: Python<'py>,
    datagram: &[u8],
    key: Option<PyBackedBytes>,
    cluster: &str,
    receiver: u64,
    epoch: u8,
    cipher: &str,
) -> PyResult<(&'static str, u8, u64, u64, Bound<'py, PyBytes>)> {
    let header = Header::decode(datagram);
    let header = header.ok_or_else(|| malformed(py, "the header is not gossip's"))?;
    if header.kind.is_plain() != key.is_none() {
        let text = "the datagram is in the clear, and a sealed one is expected, or the reverse";
        return Err(malformed(py, text));
    }
    if key.is_some() && header.epoch != epoch {
        let text = format!("the datagram is of key epoch {}, not {epoch}", header.epoch);
        return Err(malformed(py, &text));
    }
    // The keyring only has to know the key: what it would seal with is not used.
    let keyring = keyring(py, key.as_deref(), cluster, header.sid, epoch, cipher)?;
    let sender = keyring.sender_key(epoch, header.sid);
    let mut bytes = datagram.to_vec();
    let body = keyring.open(sender.as_ref(), &header, receiver, &mut bytes);
    let body = body.ok_or_else(|| {
        malformed(
            py,
            "the tag does not fit: forged, or sealed for somebody else",
        )
    })?;
    let name = KINDS
        .iter()
        .find(|(_, kind)| *kind == header.kind || kind.in_the_clear() == header.kind);
    let name = name.map_or("sealed", |(name, _)| *name);
    let body = PyBytes::new(py, body);
    Ok((name, header.epoch, header.sid, header.counter, body))
}

fn keyring(
    py: Python<'_>,
    key: Option<&[u8]>,
    cluster: &str,
    sid: u64,
    epoch: u8,
    cipher: &str,
) -> PyResult<Keyring> {
    let word = if key.is_some() { "cluster-key" } else { "none" };
    let chosen = Sealing::choose(key.map(|key| (epoch, key)), Some(word));
    let mut sealing = chosen.map_err(|error| misuse(py, &error))?;
    if let Sealing::ClusterKey { cipher: place, .. } = &mut sealing {
        *place = match cipher {
            "chacha20-poly1305" => Cipher::ChaCha20Poly1305,
            "aes-256-gcm" => Cipher::Aes256Gcm,
            _ => {
                let text = "cipher is chacha20-poly1305 or aes-256-gcm";
                return Err(errors::configuration(py, text));
            }
        };
    }
    Ok(Keyring::new(Label::of(cluster), &sealing, sid))
}
