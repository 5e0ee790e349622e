//! The loop: accept, dial, pass on.

use std::convert::Infallible;
use std::io;
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::epoll;
use slab::Slab;
use socket2::{Domain, Socket, Type};
use ztransport_tls as tls;

use crate::delay::{Held, Line};
use crate::pair::{End, Interest, Pair};
use crate::side::Side;

const READ_BYTES_MAX: usize = 64 << 10;
const READY_MAX: usize = 256;
const BACKLOG_MAX: i32 = 1024;
const LISTENER: u64 = 2;
const TIMER: u64 = 3;
const KIND_BITS: u32 = 2;
const HUNG_UP: epoll::EventFlags = epoll::EventFlags::HUP.union(epoll::EventFlags::ERR);

/// One listening address, where it leads, and the certificate with which TLS ends here.
pub struct Leg {
    /// Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Dialled once for each accepted connection.
    pub upstream: SocketAddr,
    /// `None` passes bytes on as they are.
    pub material: Option<Arc<tls::Material>>,
}

/// A relay with its listening sockets.
pub struct Relay {
    epoll: OwnedFd,
    listeners: Vec<(TcpListener, Leg)>,
    pairs: Slab<Pair>,
    line: Line,
    serial: u64,
    room: Vec<u8>,
    plain: Vec<u8>,
}

impl Relay {
    /// Listens on all legs. What goes upstream is held back for `delay`.
    ///
    /// # Errors
    /// Those of binding, and of the kernel's descriptors.
    pub fn bind(legs: Vec<Leg>, delay: Duration) -> io::Result<Relay> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let line = Line::new(delay)?;
        let timer = epoll::EventData::new_u64(TIMER);
        epoll::add(&epoll, &line, timer, epoll::EventFlags::IN)?;
        let mut listeners = Vec::new();
        for leg in legs {
            let listener = listen(leg.listen)?;
            let data = epoll::EventData::new_u64((listeners.len() as u64) << KIND_BITS | LISTENER);
            epoll::add(&epoll, &listener, data, epoll::EventFlags::IN)?;
            listeners.push((listener, leg));
        }
        Ok(Relay {
            epoll,
            listeners,
            pairs: Slab::new(),
            line,
            serial: 0,
            room: vec![0; READ_BYTES_MAX],
            plain: Vec::new(),
        })
    }

    /// The listening addresses, in the order of the legs.
    ///
    /// # Errors
    /// Those of the kernel.
    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let each = self.listeners.iter();
        each.map(|(listener, _)| listener.local_addr()).collect()
    }

    /// Relays until the kernel refuses something; a connection's own failure ends only it.
    ///
    /// # Errors
    /// Why it cannot go on.
    pub fn run(&mut self) -> io::Result<Infallible> {
        loop {
            let mut events = [const { MaybeUninit::uninit() }; READY_MAX];
            let ready = match epoll::wait(&self.epoll, &mut events, None) {
                Ok((ready, _)) => ready,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in ready {
                // The kernel's record is packed: its fields are copied out before they are used.
                let (data, flags) = (event.data, event.flags);
                self.turn(data.u64(), flags.intersects(HUNG_UP))?;
            }
        }
    }

    fn turn(&mut self, source: u64, is_hung_up: bool) -> io::Result<()> {
        let slot = (source >> KIND_BITS) as usize;
        match source & TIMER {
            LISTENER => self.accept(slot),
            TIMER => self.release(),
            kind => {
                let end = if kind == 0 {
                    End::Accepted
                } else {
                    End::Upstream
                };
                self.relay(slot, end, is_hung_up)
            }
        }
    }

    fn accept(&mut self, index: usize) -> io::Result<()> {
        let (listener, leg) = &self.listeners[index];
        let accepted = match listener.accept() {
            Ok((accepted, _)) => accepted,
            Err(error) if is_the_peers(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        accepted.set_nonblocking(true)?;
        accepted.set_nodelay(true)?;
        let filter = leg.material.as_ref().map(tls::Filter::accept);
        let upstream = Side::new(dial(leg.upstream)?, None);
        self.serial += 1;
        let pair = Pair::new(Side::new(accepted, filter), upstream, self.serial);
        let entry = self.pairs.vacant_entry();
        let slot = (entry.key() as u64) << KIND_BITS;
        let pair = entry.insert(pair);
        let none = epoll::EventFlags::empty();
        epoll::add(
            &self.epoll,
            &pair.accepted,
            epoll::EventData::new_u64(slot),
            none,
        )?;
        epoll::add(
            &self.epoll,
            &pair.upstream,
            epoll::EventData::new_u64(slot | 1),
            none,
        )?;
        watch(&self.epoll, (slot >> KIND_BITS) as usize, pair)
    }

    /// Takes what one side has, and gives the other side what it has room for.
    fn relay(&mut self, slot: usize, end: End, is_hung_up: bool) -> io::Result<()> {
        let Some(pair) = self.pairs.get_mut(slot) else {
            return Ok(()); // it ended earlier in this turn
        };
        self.plain.clear();
        let passed = pair.side(end).flush().and_then(|()| {
            let ended = pair.receive(end, is_hung_up, &mut self.room, &mut self.plain)?;
            if end == End::Accepted && !self.line.is_idle() {
                return hold(&mut self.line, slot, pair, &self.plain, ended);
            }
            pass(pair, end.other(), &self.plain, ended)
        });
        self.settle(slot, &passed)
    }

    /// Passes on what was held back long enough.
    fn release(&mut self) -> io::Result<()> {
        let now = self.line.await_due();
        while let Some(held) = self.line.pop_due(now) {
            let Some(pair) = self.pairs.get_mut(held.slot) else {
                continue;
            };
            if pair.serial != held.serial {
                continue;
            }
            pair.delayed_bytes -= held.bytes.len();
            let passed = pass(pair, End::Upstream, &held.bytes, held.bytes.is_empty());
            self.settle(held.slot, &passed)?;
        }
        self.line.arm(now)
    }

    /// Ends a pair that failed or is over, and watches it otherwise.
    fn settle(&mut self, slot: usize, passed: &io::Result<()>) -> io::Result<()> {
        let pair = &mut self.pairs[slot];
        if passed.is_err() || pair.is_over() {
            self.pairs.remove(slot);
            return Ok(());
        }
        watch(&self.epoll, slot, pair)
    }
}

fn pass(pair: &mut Pair, to: End, plain: &[u8], ended: bool) -> io::Result<()> {
    let side = pair.side(to);
    if !plain.is_empty() {
        side.send(plain)?;
    }
    if ended { side.end() } else { Ok(()) }
}

fn hold(
    line: &mut Line,
    slot: usize,
    pair: &mut Pair,
    plain: &[u8],
    ended: bool,
) -> io::Result<()> {
    let now = Instant::now();
    let (serial, bytes) = (pair.serial, plain.to_vec());
    if !bytes.is_empty() {
        pair.delayed_bytes += bytes.len();
        line.put(
            now,
            Held {
                slot,
                serial,
                bytes,
            },
        )?;
    }
    if ended {
        let bytes = Vec::new();
        line.put(
            now,
            Held {
                slot,
                serial,
                bytes,
            },
        )?;
    }
    Ok(())
}

fn watch(epoll: &OwnedFd, slot: usize, pair: &mut Pair) -> io::Result<()> {
    let wanted = pair.interests();
    for (index, side) in [&pair.accepted, &pair.upstream].into_iter().enumerate() {
        if side.is_over() {
            // It would be reported as hung up for ever; it may be gone from the set already.
            let _ = epoll::delete(epoll, side);
        } else if wanted[index] != pair.watched[index] {
            let data = epoll::EventData::new_u64((slot as u64) << KIND_BITS | index as u64);
            epoll::modify(epoll, side.as_fd(), data, flags(wanted[index]))?;
        }
    }
    pair.watched = wanted;
    Ok(())
}

fn flags(interest: Interest) -> epoll::EventFlags {
    let mut flags = epoll::EventFlags::empty();
    flags.set(epoll::EventFlags::IN, interest.readable);
    flags.set(epoll::EventFlags::OUT, interest.writable);
    flags
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG_MAX)?;
    Ok(socket.into())
}

/// Begins a connection; the first write waits until it stands.
fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    match socket.connect(&address.into()) {
        Err(error)
            if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) =>
        {
            Err(error)
        }
        _ => Ok(socket.into()),
    }
}

/// A connection that failed before it was accepted is its peer's affair.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
    )
}
