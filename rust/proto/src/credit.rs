//! Windows by count and by bytes, at both ends.
//!
//! Both numbers of a credit count from the start, so that a credit can be repeated or merged and
//! means the same.

use crate::limits::Window;

/// Messages and bytes since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Total {
    /// Messages.
    pub(crate) count: u64,
    /// Their bytes, metadata included.
    pub(crate) bytes: u64,
}

impl Total {
    #[inline]
    fn add(&mut self, count: u64, bytes: u64) {
        self.count += count;
        self.bytes += bytes;
    }

    /// Whether another message of `bytes` fits into `window` when `self` is sent and `past` is not
    /// on its way any more.
    #[inline]
    fn fits(&self, past: &Self, bytes: u64, window: Window) -> bool {
        self.count - past.count < u64::from(window.count)
            && self.bytes - past.bytes + bytes <= window.bytes
    }
}

/// The sender's end of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sender {
    sent: Total,
    consumed: Total,
}

impl Sender {
    /// Whether a message of `bytes` may be sent.
    #[inline]
    #[must_use]
    pub(crate) fn fits(&self, bytes: usize, window: Window) -> bool {
        self.sent.fits(&self.consumed, bytes as u64, window)
    }

    /// Counts a message as sent; it must fit.
    #[inline]
    pub(crate) fn spend(&mut self, bytes: usize) {
        self.sent.add(1, bytes as u64);
    }

    /// Whether the peer has consumed all that was sent.
    #[must_use]
    pub(crate) fn is_settled(&self) -> bool {
        self.sent == self.consumed
    }

    /// Takes a credit. Returns how many messages it is for, or `None` for a credit that goes back
    /// or exceeds what was sent.
    pub(crate) fn advance(&mut self, credit: Total) -> Option<u64> {
        let (old, sent) = (self.consumed, self.sent);
        let in_order = old.count <= credit.count && old.bytes <= credit.bytes;
        if !in_order || credit.count > sent.count || credit.bytes > sent.bytes {
            return None;
        }
        self.consumed = credit;
        Some(credit.count - old.count)
    }
}

/// The receiver's end of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Receiver {
    received: Total,
    released: Total,
    reported: Total,
}

impl Receiver {
    /// Whether a message of `bytes` fits into what the peer was told.
    #[inline]
    #[must_use]
    pub(crate) fn fits(&self, bytes: usize, window: Window) -> bool {
        self.received.fits(&self.reported, bytes as u64, window)
    }

    /// Counts a message as received; it must fit.
    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) {
        self.received.add(1, bytes as u64);
    }

    /// Counts messages as consumed by the application, at most what was received.
    pub(crate) fn release(&mut self, count: u64, bytes: u64) {
        let count = count.min(self.received.count - self.released.count);
        let bytes = bytes.min(self.received.bytes - self.released.bytes);
        self.released.add(count, bytes);
        if self.released.count == self.received.count {
            self.released = self.received;
        }
    }

    /// Whether all that was received has been consumed.
    #[must_use]
    pub(crate) fn is_idle(&self) -> bool {
        self.released == self.received
    }

    /// Whether the peer knows of all that was received that it is consumed.
    #[must_use]
    pub(crate) fn is_settled(&self) -> bool {
        self.reported == self.received
    }

    /// Whether the peer should be told now: half the window is unreported, or so much that the
    /// greatest message could be kept waiting by what is unreported.
    #[must_use]
    pub(crate) fn is_due(&self, window: Window, message_bytes_max: u32) -> bool {
        let spare = window.bytes.saturating_sub(message_bytes_max.into());
        let unreported = self.released.bytes - self.reported.bytes;
        self.released.count - self.reported.count >= u64::from(window.count / 2).max(1)
            || unreported > (window.bytes / 2).min(spare)
    }

    /// The credit to send, unless the peer knows it already.
    pub(crate) fn report(&mut self) -> Option<Total> {
        let news = self.released != self.reported;
        self.reported = self.released;
        news.then_some(self.released)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window {
        count: 3,
        bytes: 10,
    };

    #[test]
    fn w_30_a_window_at_its_limits() {
        for (bytes, fits) in [(9, true), (10, true), (11, false)] {
            assert_eq!(Sender::default().fits(bytes, WINDOW), fits, "{bytes} bytes");
            assert_eq!(
                Receiver::default().fits(bytes, WINDOW),
                fits,
                "{bytes} bytes"
            );
        }
        let (mut sender, mut receiver) = (Sender::default(), Receiver::default());
        for (count, fits) in [(1, true), (2, true), (3, true), (4, false)] {
            assert_eq!(sender.fits(0, WINDOW), fits, "{count} messages");
            assert_eq!(receiver.fits(0, WINDOW), fits, "{count} messages");
            sender.spend(0);
            receiver.take(0);
        }
    }

    #[test]
    fn w_31_credit_neither_goes_back_nor_ahead() {
        let mut sender = Sender::default();
        (0..3).for_each(|_| sender.spend(2));
        assert_eq!(sender.advance(Total { count: 2, bytes: 4 }), Some(2));
        assert_eq!(sender.advance(Total { count: 2, bytes: 4 }), Some(0));
        for (count, bytes) in [(1, 4), (2, 3), (4, 6), (3, 7)] {
            assert_eq!(
                sender.advance(Total { count, bytes }),
                None,
                "{count} {bytes}"
            );
        }
        assert_eq!(sender.advance(Total { count: 3, bytes: 6 }), Some(1));
        assert!(sender.is_settled());
    }

    #[test]
    fn w_32_credit_is_due_at_half_the_window() {
        let window = Window {
            count: 10,
            bytes: 1_000,
        };
        for (count, bytes, due) in [(4, 0, false), (5, 0, true), (1, 500, false), (1, 501, true)] {
            let mut receiver = Receiver::default();
            (0..6).for_each(|_| receiver.take(150));
            receiver.release(count, bytes);
            assert_eq!(
                receiver.is_due(window, 100),
                due,
                "{count} messages, {bytes} bytes"
            );
        }
    }

    #[test]
    fn w_32_the_greatest_message_is_never_kept_waiting() {
        let window = Window {
            count: 10,
            bytes: 100,
        };
        let mut receiver = Receiver::default();
        receiver.take(1);
        receiver.take(1);
        receiver.release(1, 1);
        assert!(receiver.is_due(window, 100));
        assert_eq!(receiver.report(), Some(Total { count: 1, bytes: 1 }));
        assert_eq!(receiver.report(), None);
    }

    #[test]
    fn all_messages_released_are_all_bytes_released() {
        let mut receiver = Receiver::default();
        receiver.take(7);
        receiver.release(9, 3);
        assert!(receiver.is_idle());
        assert_eq!(receiver.report(), Some(Total { count: 1, bytes: 7 }));
    }
}
