//! Non-blocking stream sockets: TCP over IPv4 and IPv6, and Unix.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use socket2::{Domain, Protocol, SockAddr, Type};

use crate::limits::{LISTEN_BACKLOG, NOT_SENT_LOW_WATER_BYTES};

/// A connected, connecting or listening socket.
#[derive(Debug)]
pub(crate) struct Socket(socket2::Socket);

impl Socket {
    /// Starts to connect. The socket becomes writable when that has ended, well or badly.
    pub(crate) fn connect(address: &SockAddr) -> io::Result<Socket> {
        let socket = Socket::new(address)?;
        match socket.0.connect(address) {
            Ok(()) => Ok(socket),
            Err(error) if in_progress(&error) => Ok(socket),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn listen(address: &SockAddr) -> io::Result<Socket> {
        let socket = Socket::new(address)?;
        if !address.is_unix() {
            socket.0.set_reuse_address(true)?;
        }
        if address.is_ipv6() {
            socket.0.set_only_v6(true)?;
        }
        socket.0.bind(address)?;
        socket.0.listen(LISTEN_BACKLOG)?;
        Ok(socket)
    }

    fn new(address: &SockAddr) -> io::Result<Socket> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let protocol = (address.domain() != Domain::UNIX).then_some(Protocol::TCP);
        Ok(Socket(socket2::Socket::new(
            address.domain(),
            kind,
            protocol,
        )?))
    }

    /// Takes one waiting connection and the address it comes from (none on a Unix socket).
    pub(crate) fn accept(&self) -> io::Result<(Socket, Option<IpAddr>)> {
        let (socket, from) = self.0.accept()?;
        socket.set_nonblocking(true)?;
        Ok((Socket(socket), from.as_socket().map(|from| from.ip())))
    }

    /// Sets what every TCP connection needs; Unix sockets need nothing.
    pub(crate) fn tune(&self, dead_after: Duration) -> io::Result<()> {
        if self.0.domain()? == Domain::UNIX {
            return Ok(());
        }
        self.0.set_tcp_nodelay(true)?;
        self.0.set_tcp_notsent_lowat(NOT_SENT_LOW_WATER_BYTES)?;
        self.0.set_tcp_user_timeout(Some(dead_after))
    }

    /// How an attempt to connect ended.
    pub(crate) fn connected(&self) -> io::Result<()> {
        match self.0.take_error()? {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Appends what has arrived, at most the room that is reserved here.
    pub(crate) fn read(&self, into: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        into.reserve(room);
        loop {
            match rustix::io::read(&self.0, spare_capacity(into)) {
                Err(rustix::io::Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
    }

    /// Closing will reset the connection and give its unsent bytes back at once: for a peer that
    /// does not read, the kernel would keep them for minutes.
    pub(crate) fn abandon(&self) {
        // Only a socket that is broken already refuses this.
        let _ = self.0.set_linger(Some(Duration::ZERO));
    }

    pub(crate) fn finish_writing(&self) {
        // A peer that is gone cannot be told so: the read side finds out.
        let _ = self.0.shutdown(Shutdown::Write);
    }

    pub(crate) fn local_ip(&self) -> Option<SocketAddr> {
        self.0.local_addr().ok()?.as_socket()
    }

    pub(crate) fn peer_ip(&self) -> Option<SocketAddr> {
        self.0.peer_addr().ok()?.as_socket()
    }
}

impl io::Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        (&self.0).write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn in_progress(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    matches!(errno, Some(rustix::io::Errno::INPROGRESS))
}
