//! Two sides joined: what one receives the other sends.

use std::io;

use crate::side::{Arrived, Side};

/// Bytes held for a side that takes nothing; above it the other side is not read.
pub const HELD_BYTES_MAX: usize = 256 << 10;

/// Which of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The one that dialled us.
    Accepted,
    /// The one we dialled.
    Upstream,
}

/// What a side is watched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// One relayed connection.
pub(crate) struct Pair {
    pub(crate) accepted: Side,
    pub(crate) upstream: Side,
    /// Tells this pair from an earlier one in its slot.
    pub(crate) serial: u64,
    /// Bytes on their way upstream that are held back for the delay.
    pub(crate) delayed_bytes: usize,
    pub(crate) watched: [Interest; 2],
}

impl Pair {
    pub(crate) fn new(accepted: Side, upstream: Side, serial: u64) -> Pair {
        Pair {
            accepted,
            upstream,
            serial,
            delayed_bytes: 0,
            watched: [Interest::default(); 2],
        }
    }

    /// Reads one side into `plain` if the other has room; returns whether its stream has ended.
    ///
    /// A side that is hung up is read to its end in any case, and fails after it.
    pub(crate) fn receive(
        &mut self,
        from: End,
        is_hung_up: bool,
        room: &mut [u8],
        plain: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let is_wanted = self.watched[from as usize].readable || is_hung_up;
        let side = self.side(from);
        if side.has_ended && is_hung_up && !side.is_over() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if side.has_ended || !is_wanted {
            return Ok(false);
        }
        Ok(matches!(side.receive(room, plain)?, Arrived::End))
    }

    pub(crate) fn side(&mut self, end: End) -> &mut Side {
        match end {
            End::Accepted => &mut self.accepted,
            End::Upstream => &mut self.upstream,
        }
    }

    /// What each side is to be watched for now.
    pub(crate) fn interests(&self) -> [Interest; 2] {
        let towards = self.upstream.pending_bytes() + self.delayed_bytes;
        let back = self.accepted.pending_bytes();
        [
            Interest {
                readable: !self.accepted.has_ended && towards < HELD_BYTES_MAX,
                writable: back > 0,
            },
            Interest {
                readable: !self.upstream.has_ended && back < HELD_BYTES_MAX,
                writable: self.upstream.pending_bytes() > 0,
            },
        ]
    }

    pub(crate) fn is_over(&self) -> bool {
        self.accepted.is_over() && self.upstream.is_over()
    }
}

impl End {
    pub(crate) fn other(self) -> End {
        match self {
            End::Accepted => End::Upstream,
            End::Upstream => End::Accepted,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A side and the peer that must stay open with it.
    fn side() -> (Side, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        socket.set_nonblocking(true).unwrap();
        (Side::new(socket, None), listener.accept().unwrap().0)
    }

    #[test]
    fn a_side_that_takes_nothing_stops_the_reading_of_the_other() {
        let ((accepted, _dialler), (upstream, _server)) = (side(), side());
        let mut pair = Pair::new(accepted, upstream, 1);
        assert!(pair.interests().iter().all(|side| side.readable));
        while pair.upstream.pending_bytes() < HELD_BYTES_MAX {
            pair.upstream.send(&[0; 4096]).unwrap();
        }
        let [accepted, upstream] = pair.interests();
        assert!(!accepted.readable && upstream.readable && upstream.writable);
    }

    #[test]
    fn what_is_delayed_counts_as_held() {
        let ((accepted, _dialler), (upstream, _server)) = (side(), side());
        let mut pair = Pair::new(accepted, upstream, 1);
        pair.delayed_bytes = HELD_BYTES_MAX - 1;
        assert!(pair.interests()[0].readable);
        pair.delayed_bytes += 1;
        assert!(!pair.interests()[0].readable);
    }
}
