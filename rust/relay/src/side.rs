//! One socket of a relayed connection, in clear or behind TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use ztransport_tls as tls;

/// What arrives on a side.
pub(crate) enum Arrived {
    /// This many new bytes of plaintext, perhaps none.
    Bytes,
    /// Nothing now.
    Nothing,
    /// The end of the stream.
    End,
}

/// A socket and what is still to be written to it.
pub(crate) struct Side {
    socket: TcpStream,
    filter: Option<Box<tls::Filter>>,
    /// Bytes in clear that the socket had no room for.
    waiting: Vec<u8>,
    written: usize,
    pub(crate) has_ended: bool,
    /// The other side has ended: our FIN follows the last byte.
    ending: bool,
    finished: bool,
}

impl Side {
    pub(crate) fn new(socket: TcpStream, filter: Option<tls::Filter>) -> Side {
        Side {
            socket,
            filter: filter.map(Box::new),
            waiting: Vec::new(),
            written: 0,
            has_ended: false,
            ending: false,
            finished: false,
        }
    }

    /// Reads once and appends the plaintext to `plain`.
    pub(crate) fn receive(&mut self, room: &mut [u8], plain: &mut Vec<u8>) -> io::Result<Arrived> {
        let count = match self.socket.read(room) {
            Ok(0) => {
                self.has_ended = true;
                return Ok(Arrived::End);
            }
            Ok(count) => count,
            Err(error) if is_momentary(&error) => return Ok(Arrived::Nothing),
            Err(error) => return Err(error),
        };
        match &mut self.filter {
            None => plain.extend_from_slice(&room[..count]),
            Some(filter) => {
                let opened = filter.handle_input(&room[..count], plain);
                self.flush()?; // handshake messages and alerts leave this way
                opened.map_err(io::Error::other)?;
            }
        }
        Ok(Arrived::Bytes)
    }

    /// Writes `plain`, or keeps what the socket has no room for.
    pub(crate) fn send(&mut self, plain: &[u8]) -> io::Result<()> {
        if let Some(filter) = &mut self.filter {
            filter.seal(plain).map_err(io::Error::other)?;
            return self.flush();
        }
        let taken = if self.pending_bytes() == 0 {
            self.write_now(plain)?
        } else {
            0
        };
        self.waiting.extend_from_slice(&plain[taken..]);
        Ok(())
    }

    fn write_now(&mut self, plain: &[u8]) -> io::Result<usize> {
        match self.socket.write(plain) {
            Err(error) if is_momentary(&error) => Ok(0),
            result => result,
        }
    }

    /// Says that nothing more will be sent: TLS and the socket's stream end behind what waits.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.ending = true;
        if let Some(filter) = &mut self.filter {
            filter.close();
        }
        self.flush()
    }

    /// Writes what waits, as far as there is room.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while self.pending_bytes() > 0 {
            match self.write_once() {
                Ok(_) => {}
                Err(error) if is_momentary(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if self.ending && !self.finished {
            self.finished = true;
            self.socket.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    fn write_once(&mut self) -> io::Result<()> {
        if let Some(filter) = &mut self.filter {
            return filter.write_to(&mut self.socket).map(drop);
        }
        self.written += self.socket.write(&self.waiting[self.written..])?;
        if self.written == self.waiting.len() {
            self.waiting.clear();
            self.written = 0;
        }
        Ok(())
    }

    /// Bytes that wait for room in the socket.
    pub(crate) fn pending_bytes(&self) -> usize {
        match &self.filter {
            Some(filter) => filter.pending_bytes(),
            None => self.waiting.len() - self.written,
        }
    }

    /// Whether nothing can come or go any more.
    pub(crate) fn is_over(&self) -> bool {
        self.has_ended && self.finished
    }
}

impl AsFd for Side {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A connection that is still being made reads and writes as a full one does.
fn is_momentary(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::NotConnected
    )
}
