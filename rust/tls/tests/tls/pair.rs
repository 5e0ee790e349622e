//! A dialer and a listener, joined in memory.

use std::sync::Arc;

use ztransport_tls::{Error, ErrorKind, Filter, Material};

/// Two filters, what each has opened, and the error each met first.
pub(crate) struct Pair {
    pub(crate) dialer: End,
    pub(crate) listener: End,
}

pub(crate) struct End {
    pub(crate) filter: Filter,
    pub(crate) plain: Vec<u8>,
    pub(crate) error: Option<Error>,
}

impl Pair {
    pub(crate) fn new(dialer: &Arc<Material>, listener: &Arc<Material>) -> Self {
        Self::to_host(dialer, listener, "localhost")
    }

    pub(crate) fn to_host(dialer: &Arc<Material>, listener: &Arc<Material>, host: &str) -> Self {
        Self {
            dialer: End::new(Filter::dial(dialer, host).unwrap()),
            listener: End::new(Filter::accept(listener)),
        }
    }

    /// A pair whose handshake is over.
    pub(crate) fn established(dialer: &Arc<Material>, listener: &Arc<Material>) -> Self {
        let mut pair = Self::new(dialer, listener);
        pair.exchange();
        pair.assert_established();
        pair
    }

    /// Carries bytes both ways until neither side has any; returns how many those were.
    pub(crate) fn exchange(&mut self) -> usize {
        let mut carried = 0;
        loop {
            let to_listener = drain(&mut self.dialer.filter);
            self.listener.take(&to_listener);
            let to_dialer = drain(&mut self.listener.filter);
            self.dialer.take(&to_dialer);
            match to_listener.len() + to_dialer.len() {
                0 => return carried,
                bytes => carried += bytes,
            }
        }
    }

    pub(crate) fn assert_established(&self) {
        for end in [&self.dialer, &self.listener] {
            assert_eq!(end.error, None);
            assert!(!end.filter.is_handshaking());
            assert_eq!(end.filter.session().unwrap().version, "TLSv1.3");
        }
    }
}

impl End {
    pub(crate) fn new(filter: Filter) -> Self {
        Self {
            filter,
            plain: Vec::new(),
            error: None,
        }
    }

    /// Hands over input like a driver that stops at the first error.
    pub(crate) fn take(&mut self, cipher: &[u8]) {
        if self.error.is_none() {
            self.error = self.filter.handle_input(cipher, &mut self.plain).err();
        }
    }

    pub(crate) fn kind(&self) -> Option<&ErrorKind> {
        self.error.as_ref().map(Error::kind)
    }
}

/// Takes all that waits to be written, checking the count of it on the way.
pub(crate) fn drain(filter: &mut Filter) -> Vec<u8> {
    let mut bytes = Vec::new();
    while filter.pending_bytes() > 0 {
        assert!(filter.write_to(&mut bytes).unwrap() > 0);
    }
    assert_eq!(filter.write_to(&mut bytes).unwrap(), 0);
    bytes
}
