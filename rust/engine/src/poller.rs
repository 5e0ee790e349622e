//! One epoll descriptor in level mode: the only thing a host loop has to wait for.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{Timespec, epoll};

use crate::limits::READY_MAX;

/// What a registered descriptor is: its slot and the serial that tells it from an earlier owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A connection.
    Link(u32, u32),
    /// A listening socket.
    Listener(u32),
    /// The timer.
    Timer,
    /// The bell of a membership, by its node's slot.
    Gossip(u32),
}

const KIND_SHIFT: u32 = 62;
const SERIAL_SHIFT: u32 = 32;
const SERIAL_MASK: u64 = (1 << (KIND_SHIFT - SERIAL_SHIFT)) - 1;

impl Source {
    /// Serials are compared modulo this mask.
    pub(crate) const SERIAL_MASK: u32 = SERIAL_MASK as u32;

    fn pack(self) -> epoll::EventData {
        let value = match self {
            Source::Link(slot, serial) => {
                u64::from(slot) | (u64::from(serial) & SERIAL_MASK) << SERIAL_SHIFT
            }
            Source::Listener(slot) => 1 << KIND_SHIFT | u64::from(slot),
            Source::Timer => 2 << KIND_SHIFT,
            Source::Gossip(slot) => 3 << KIND_SHIFT | u64::from(slot),
        };
        epoll::EventData::new_u64(value)
    }

    fn unpack(data: epoll::EventData) -> Source {
        let value = data.u64();
        match value >> KIND_SHIFT {
            0 => Source::Link(value as u32, ((value >> SERIAL_SHIFT) & SERIAL_MASK) as u32),
            1 => Source::Listener(value as u32),
            2 => Source::Timer,
            _ => Source::Gossip(value as u32),
        }
    }
}

/// A source and what it is ready for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ready {
    pub(crate) source: Source,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// The epoll set.
pub(crate) struct Poller {
    epoll: Arc<OwnedFd>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Poller {
            epoll: Arc::new(epoll),
        })
    }

    pub(crate) fn descriptor(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.epoll)
    }

    pub(crate) fn add(&self, fd: impl AsFd, source: Source, writable: bool) -> io::Result<()> {
        Ok(epoll::add(
            &self.epoll,
            fd,
            source.pack(),
            flags(true, writable),
        )?)
    }

    /// Changes what `fd` is watched for.
    pub(crate) fn watch(
        &self,
        fd: impl AsFd,
        source: Source,
        readable: bool,
        writable: bool,
    ) -> io::Result<()> {
        Ok(epoll::modify(
            &self.epoll,
            fd,
            source.pack(),
            flags(readable, writable),
        )?)
    }

    pub(crate) fn remove(&self, fd: impl AsFd) {
        // The descriptor may be gone from the set already: nothing is lost then.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Appends all that is ready now, without blocking.
    pub(crate) fn wait(&self, ready: &mut Vec<Ready>) -> io::Result<()> {
        let mut room = [const { MaybeUninit::uninit() }; READY_MAX];
        let events = match epoll::wait(&self.epoll, &mut room, Some(&NOW)) {
            Ok((events, _)) => events,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        ready.extend(events.iter().map(|event| {
            // The kernel's record is packed: its fields are copied out before they are looked at.
            let (data, flags) = (event.data, event.flags);
            Ready {
                source: Source::unpack(data),
                readable: flags.intersects(READABLE),
                writable: flags.intersects(WRITABLE),
            }
        }));
        Ok(())
    }

    /// Whether anything is ready now.
    pub(crate) fn probe(epoll: BorrowedFd<'_>) -> bool {
        let mut room = [MaybeUninit::uninit()];
        matches!(epoll::wait(epoll, &mut room, Some(&NOW)), Ok((events, _)) if !events.is_empty())
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

const NOW: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};
const READABLE: epoll::EventFlags = epoll::EventFlags::IN
    .union(epoll::EventFlags::HUP)
    .union(epoll::EventFlags::ERR);
const WRITABLE: epoll::EventFlags = epoll::EventFlags::OUT
    .union(epoll::EventFlags::HUP)
    .union(epoll::EventFlags::ERR);

fn flags(readable: bool, writable: bool) -> epoll::EventFlags {
    let mut flags = epoll::EventFlags::empty();
    flags.set(epoll::EventFlags::IN, readable);
    flags.set(epoll::EventFlags::OUT, writable);
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_survive_packing() {
        for source in [
            Source::Link(0, 0),
            Source::Link(u32::MAX, Source::SERIAL_MASK),
            Source::Listener(7),
            Source::Timer,
            Source::Gossip(9),
        ] {
            assert_eq!(Source::unpack(source.pack()), source);
        }
    }
}
