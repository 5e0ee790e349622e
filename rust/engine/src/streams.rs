//! Streams: the same commands as the protocol's, found by peer.

use ztransport_proto::Dialect;
use ztransport_proto::event::{Body, SendError};
use ztransport_proto::fault::FaultCode;

use crate::calls::refusal;
use crate::error::Refusal;
use crate::keys::PeerKey;
use crate::state::Engine;

impl Engine {
    /// Opens a stream on a subject of the peer; `body` is what it is opened with.
    ///
    /// # Errors
    /// `WouldBlock` while the peer is down, `Limit` if it has as many streams as it takes,
    /// `Draining`, `Oversize`.
    pub fn open_stream(
        &mut self,
        peer: PeerKey,
        subject: &str,
        body: Body<'_>,
        metadata: &[u8],
    ) -> Result<u64, Refusal> {
        let now = self.timer.now();
        let node = self.peer(peer)?.node as usize;
        if self.nodes.get(node).is_none_or(|node| node.draining) {
            return Err(Refusal::Draining);
        }
        self.greeted_link(peer)?;
        self.command(peer, |codec| {
            let subject = codec.subject(subject)?;
            codec.open_stream(now, subject, body, metadata)
        })
    }

    /// Sends a message on a stream.
    ///
    /// # Errors
    /// `WouldBlock`: wait for `Event::StreamRoom`; `Unknown` once it is reset or finished.
    pub fn stream_send(&mut self, peer: PeerKey, id: u64, body: Body<'_>) -> Result<(), Refusal> {
        self.command(peer, |codec| codec.stream_send(id, body))
    }

    /// Says that this side sends no more on the stream.
    ///
    /// # Errors
    /// `Unknown` once it is reset or finished.
    pub fn stream_finish(&mut self, peer: PeerKey, id: u64) -> Result<(), Refusal> {
        self.command(peer, |codec| codec.stream_finish(id))
    }

    /// Gives the stream up, both ways.
    pub fn stream_reset(&mut self, peer: PeerKey, id: u64, code: FaultCode, text: &str) {
        self.with_codec(peer, |codec| codec.stream_reset(id, code, text));
    }

    /// The application has consumed messages of the stream: credit and acknowledgement.
    pub fn release_stream(&mut self, peer: PeerKey, id: u64, count: u32, bytes: u64) {
        self.with_codec(peer, |codec| codec.release_stream(id, count, bytes));
    }

    /// Tells the peer what was consumed without waiting for half a window of it.
    pub fn flush_credit_stream(&mut self, peer: PeerKey, id: u64) {
        self.with_codec(peer, |codec| codec.flush_credit_stream(id));
    }

    /// A stream lives as long as its connection: without one its id is unknown.
    fn command<T>(
        &mut self,
        peer: PeerKey,
        command: impl FnOnce(&mut Dialect) -> Result<T, SendError>,
    ) -> Result<T, Refusal> {
        let slot = self.link_of(peer).map_err(|_| Refusal::Unknown)?;
        let codec = self.links[slot].codec.as_mut().ok_or(Refusal::Unknown)?;
        let result = command(codec).map_err(refusal);
        self.mark_dirty(slot);
        result
    }
}
