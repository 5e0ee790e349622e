//! What every pattern of load can do, and the parts that more than one of them needs.

use std::time::Duration;

use bytes::Bytes;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};
use ztransport_engine::{Batch, Engine, PeerInfo};
use ztransport_proto::event::Body;
use ztransport_proto::limits::FRAGMENT_BYTES_MAX;

use crate::window::Window;

/// How long an answer is waited for.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What became of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is on its way.
    Gone,
    /// There is no room: something in flight must end first.
    NoRoom,
    /// It was refused, under this name.
    Refused(&'static str),
    /// There is nobody left to send to.
    NoPeer,
}

/// A kind of load on its connections.
pub(crate) trait Pattern {
    /// Sends one operation, if there is room for it.
    fn send(&mut self, engine: &mut Engine, intended: u64, now: u64) -> Sent;

    /// Takes what has arrived.
    fn take(&mut self, engine: &mut Engine, batch: &Batch, window: &mut Window, now: u64);

    /// Ends a window: gives up what is still in flight and returns how many operations that were.
    fn finish(&mut self, engine: &mut Engine) -> u64;

    /// What TLS agreed on, if that is known and there was TLS.
    fn negotiated(&self) -> Option<Negotiated>;
}

/// What TLS agreed on.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Negotiated {
    version: String,
    cipher_suite: String,
    group: String,
}

impl Negotiated {
    pub(crate) fn of(peer: &PeerInfo) -> Option<Negotiated> {
        let session = peer.tls.as_ref()?;
        Some(Negotiated {
            version: session.version.to_owned(),
            cipher_suite: session.cipher_suite.clone(),
            group: session.group.clone(),
        })
    }
}

/// An operation under way, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    pub(crate) intended: u64,
    pub(crate) sent: u64,
    /// The connection it is on.
    pub(crate) connection: u32,
}

/// Random bytes, so that nothing on the way can compress them; the same in every window.
pub(crate) fn payload(bytes: usize) -> Bytes {
    let mut payload = vec![0; bytes];
    Xoshiro256PlusPlus::seed_from_u64(bytes as u64).fill_bytes(&mut payload);
    payload.into()
}

/// Small messages are copied at once; large ones are kept and cut into fragments.
pub(crate) fn body(payload: &Bytes) -> Body<'_> {
    if payload.len() <= FRAGMENT_BYTES_MAX {
        Body::Borrowed(payload)
    } else {
        Body::Owned(payload.clone())
    }
}
