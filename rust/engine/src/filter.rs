//! What stands between a socket and the protocol: nothing, or TLS, with the same verbs.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use ztransport_proto::codec::append;
use ztransport_tls as tls;

use crate::limits::SEAL_AHEAD_BYTES_MAX;

/// A byte filter for one connection.
pub(crate) enum Filter {
    /// Bytes pass as they are.
    Plain(Plain),
    /// TLS 1.3.
    Tls(Box<tls::Filter>),
    /// A listener that takes both and has not read enough to know.
    Undecided(Box<Undecided>),
}

/// What a filter is made from once the first bytes are there.
pub(crate) struct Undecided {
    material: Arc<tls::Material>,
    alpn: tls::Alpn,
    /// A first byte that may begin a TLS record.
    first: Vec<u8>,
}

/// How a TLS record with a hello begins: its content type and the high byte of its version. A
/// cluster whose Zeebe preamble begins so is refused when its node opens.
pub(crate) const TLS_HELLO: [u8; 2] = [0x16, 0x03];

/// The plaintext filter: bytes that wait for the socket.
#[derive(Default)]
pub(crate) struct Plain {
    waiting: Vec<u8>,
    written: usize,
}

impl Filter {
    pub(crate) fn plain() -> Filter {
        Filter::Plain(Plain::default())
    }

    pub(crate) fn dial(
        material: &Arc<tls::Material>,
        host: &str,
        alpn: tls::Alpn,
    ) -> Result<Filter, tls::Error> {
        let filter = tls::Filter::dial_with(material, host, alpn)?;
        Ok(Filter::Tls(Box::new(filter)))
    }

    pub(crate) fn accept(material: &Arc<tls::Material>, alpn: tls::Alpn) -> Filter {
        Filter::Tls(Box::new(tls::Filter::accept_with(material, alpn)))
    }

    /// Takes TLS and plaintext, told apart by the first bytes.
    pub(crate) fn accept_either(material: &Arc<tls::Material>, alpn: tls::Alpn) -> Filter {
        Filter::Undecided(Box::new(Undecided {
            material: Arc::clone(material),
            alpn,
            first: Vec::new(),
        }))
    }

    /// Looks at the first bytes where it is not known yet what they are. Those that cannot tell are
    /// kept and taken out of `bytes`; they stand before the rest once it is known.
    pub(crate) fn decide(&mut self, bytes: &mut Vec<u8>) {
        let Filter::Undecided(undecided) = self else {
            return;
        };
        undecided.first.append(bytes);
        let first = &undecided.first;
        if first.len() < TLS_HELLO.len() && TLS_HELLO.starts_with(first) {
            return;
        }
        std::mem::swap(bytes, &mut undecided.first);
        *self = match bytes.starts_with(&TLS_HELLO) {
            true => Filter::accept(&undecided.material, undecided.alpn),
            false => Filter::plain(),
        };
    }

    /// Whether TLS agreed on `zt/1`; none in plaintext.
    pub(crate) fn is_alpn_agreed(&self) -> Option<bool> {
        match self {
            Filter::Plain(_) | Filter::Undecided(_) => None,
            Filter::Tls(tls) => Some(tls.is_alpn_agreed()),
        }
    }

    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Filter::Plain(_))
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match self {
            Filter::Plain(_) => false,
            Filter::Tls(tls) => tls.is_handshaking(),
            Filter::Undecided(_) => true,
        }
    }

    pub(crate) fn seal(&mut self, bytes: &[u8]) -> Result<(), tls::Error> {
        match self {
            Filter::Plain(plain) => {
                append(&mut plain.waiting, bytes);
                Ok(())
            }
            Filter::Tls(tls) => tls.seal(bytes),
            Filter::Undecided(_) => Ok(()),
        }
    }

    /// Bytes that are sealed and not yet written.
    pub(crate) fn pending_bytes(&self) -> usize {
        match self {
            Filter::Plain(plain) => plain.waiting.len() - plain.written,
            Filter::Tls(tls) => tls.pending_bytes(),
            Filter::Undecided(_) => 0,
        }
    }

    /// One write to the socket.
    pub(crate) fn write_to(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        match self {
            Filter::Plain(plain) => plain.write_to(socket),
            Filter::Tls(tls) => tls.write_to(socket),
            Filter::Undecided(_) => Ok(0),
        }
    }

    /// Says that nothing more will be sealed.
    pub(crate) fn close(&mut self) {
        if let Filter::Tls(tls) = self {
            tls.close();
        }
    }

    /// A listener has waited for the handshake for long enough: the dialer is told, if TLS can.
    pub(crate) fn give_up(&mut self) {
        if let Filter::Tls(tls) = self {
            tls.give_up();
        }
    }

    /// The peer's FIN has come.
    pub(crate) fn handle_end(&mut self) -> Result<(), tls::Error> {
        match self {
            Filter::Plain(_) | Filter::Undecided(_) => Ok(()),
            Filter::Tls(tls) => tls.handle_end(),
        }
    }

    /// Whether the peer said, inside TLS, that it will send no more.
    pub(crate) fn peer_has_closed(&self) -> bool {
        match self {
            Filter::Plain(_) | Filter::Undecided(_) => false,
            Filter::Tls(tls) => tls.peer_has_closed(),
        }
    }

    /// Whether the certificate, of which there is none in plaintext, lets its owner call itself
    /// `node_id` and have `roles`.
    pub(crate) fn check_claim(&self, node_id: &str, roles: &[String]) -> Result<(), tls::Error> {
        match self {
            Filter::Tls(tls) => tls.check_claim(node_id, roles),
            _ => Ok(()),
        }
    }

    /// Whether the peer has shown a certificate and proven that it has its key.
    pub(crate) fn is_proven(&self) -> bool {
        matches!(self, Filter::Tls(tls) if tls.is_peer_proven())
    }

    /// How long the peer's certificate is still valid, if the connection should end with it.
    pub(crate) fn expires_in(&self) -> Option<Duration> {
        match self {
            Filter::Tls(tls) => tls.expires_in(),
            _ => None,
        }
    }

    pub(crate) fn session(&self) -> Option<tls::Session> {
        match self {
            Filter::Plain(_) | Filter::Undecided(_) => None,
            Filter::Tls(tls) => tls.session(),
        }
    }
}

impl Plain {
    fn write_to(&mut self, socket: &mut dyn Write) -> io::Result<usize> {
        let count = socket.write(&self.waiting[self.written..])?;
        self.written += count;
        if self.written == self.waiting.len() {
            self.waiting.clear();
            self.written = 0;
            // An idle connection keeps no large buffer; a busy one gets it back at once.
            self.waiting.shrink_to(2 * SEAL_AHEAD_BYTES_MAX);
        }
        Ok(count)
    }
}
