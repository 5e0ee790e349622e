//! The UDP socket of a member.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket, Type};
use ztransport_gossip::limits::DATAGRAM_BYTES_CEILING;

use super::RECEIVE_BUFFER_BYTES;

/// Room for the longest datagram that is taken and one byte: what fills it was cut and is refused.
pub(crate) const ROOM_BYTES: usize = DATAGRAM_BYTES_CEILING + 1;

/// A bound, non-blocking UDP socket.
#[derive(Debug)]
pub(crate) struct Datagrams(UdpSocket);

impl Datagrams {
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Datagrams> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // The kernel may allow less room: then a flood costs more datagrams.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        socket.bind(&address.into())?;
        Ok(Datagrams(socket.into()))
    }

    /// The next datagram that waits; none if the socket is empty.
    pub(crate) fn receive(&self, room: &mut [u8; ROOM_BYTES]) -> Option<(usize, SocketAddr)> {
        loop {
            match self.0.recv_from(room) {
                Ok(received) => return Some(received),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
    }

    /// Whether a datagram has left. One that has not is lost, as in the network.
    pub(crate) fn send(&self, to: SocketAddr, bytes: &[u8]) -> bool {
        matches!(self.0.send_to(bytes, to), Ok(sent) if sent == bytes.len())
    }
}

impl AsFd for Datagrams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
