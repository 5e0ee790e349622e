//! A descriptor that one thread makes readable for another.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// An eventfd that is written once until it is acknowledged, however often it is rung.
#[derive(Debug)]
pub(crate) struct Wake {
    descriptor: OwnedFd,
    rung: AtomicBool,
}

impl Wake {
    pub(crate) fn new() -> io::Result<Wake> {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        Ok(Wake {
            descriptor: eventfd(0, flags)?,
            rung: AtomicBool::new(false),
        })
    }

    /// Makes the descriptor readable.
    pub(crate) fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            // A counter that is full is readable, which is all that is wanted.
            let _ = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
        }
    }

    /// Takes the wake-up off. What it was rung for must be looked at afterwards, not before.
    pub(crate) fn acknowledge(&self) {
        // There may be nothing to read: then nobody has rung.
        let _ = rustix::io::read(&self.descriptor, &mut [0; 8]);
        self.rung.store(false, Ordering::Release);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn is_readable(wake: &Wake) -> bool {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut fds = [PollFd::new(wake, PollFlags::IN)];
        poll(&mut fds, Some(&now)).unwrap() == 1
    }

    #[test]
    fn a_wake_is_readable_from_ring_to_acknowledgement() {
        let wake = Wake::new().unwrap();
        assert!(!is_readable(&wake));
        (0..3).for_each(|_| wake.ring());
        assert!(is_readable(&wake));
        wake.acknowledge();
        assert!(!is_readable(&wake));
        wake.ring();
        assert!(is_readable(&wake));
    }
}
