//! Listeners: what comes in, what is turned away, and how accepting survives a system in trouble.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use ztransport_proto::dialect::Door;
use ztransport_proto::table::Role;
use ztransport_tls::Alpn;

use crate::filter::Filter;
use crate::limits::{ACCEPT_PAUSE_NANOS, ACCEPTS_PER_TURN, UNPROVEN_STALE_MAX};
use crate::link::{Link, Phase};
use crate::node::{Accept, NodeSettings, ZeebeSettings};
use crate::poller::Source;
use crate::socket::Socket;
use crate::state::Engine;
use crate::timer::Owner;

/// What a failed accept means for the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptFailure {
    /// Nobody is waiting.
    Empty,
    /// That one connection is gone; the next may be fine.
    Skip,
    /// The system has no room now: try again after a pause.
    Pause,
}

/// Every errno has an answer, so that no error can end a listener.
pub(crate) fn classify(error: &io::Error) -> AcceptFailure {
    match Errno::from_io_error(error) {
        Some(Errno::AGAIN) => AcceptFailure::Empty,
        Some(
            Errno::CONNABORTED
            | Errno::PROTO
            | Errno::INTR
            | Errno::NETDOWN
            | Errno::NOPROTOOPT
            | Errno::HOSTDOWN
            | Errno::NONET
            | Errno::HOSTUNREACH
            | Errno::NETUNREACH
            | Errno::PERM
            | Errno::TIMEDOUT,
        ) => AcceptFailure::Skip,
        _ => AcceptFailure::Pause,
    }
}

impl Engine {
    pub(crate) fn accept_ready(&mut self, listener: usize) {
        for _ in 0..ACCEPTS_PER_TURN {
            let Some(entry) = self.listeners.get(listener) else {
                return;
            };
            match entry.socket.accept() {
                Ok((socket, source)) => self.accepted(listener, socket, source),
                Err(error) => match classify(&error) {
                    AcceptFailure::Empty => return,
                    AcceptFailure::Skip => self.count_on_listener(listener, "accept_skipped"),
                    AcceptFailure::Pause => return self.pause_listener(listener),
                },
            }
        }
    }

    fn count_on_listener(&mut self, listener: usize, reason: &'static str) {
        let node = self.listeners[listener].node as usize;
        self.nodes[node].count_closed(reason);
    }

    fn pause_listener(&mut self, listener: usize) {
        self.count_on_listener(listener, "accept_paused");
        self.watch_listener(listener, false);
        let until = self.now.after_nanos(ACCEPT_PAUSE_NANOS);
        self.timer.schedule(until, Owner::Listener(listener as u32));
    }

    pub(crate) fn resume_listener(&mut self, listener: usize) {
        if self
            .listeners
            .get(listener)
            .is_some_and(|entry| entry.paused)
        {
            self.watch_listener(listener, true);
        }
    }

    fn watch_listener(&mut self, listener: usize, readable: bool) {
        let entry = &mut self.listeners[listener];
        entry.paused = !readable;
        let source = Source::Listener(listener as u32);
        let watched = self.poller.watch(&entry.socket, source, readable, false);
        debug_assert!(watched.is_ok(), "the descriptor is registered");
    }

    fn accepted(&mut self, listener: usize, socket: Socket, source: Option<std::net::IpAddr>) {
        let slot = self.listeners[listener].node;
        let Some(node) = self.nodes.get_mut(slot as usize) else {
            return;
        };
        node.counters.accepted += 1;
        match node.refuses(source) {
            Some("handshakes_max") => self.drop_oldest_unproven(),
            Some(reason) => return node.count_closed(reason),
            None => {}
        }
        let link = self.accepted_link(slot, socket, source);
        self.add_link(link);
    }

    fn accepted_link(
        &mut self,
        node: u32,
        socket: Socket,
        source: Option<std::net::IpAddr>,
    ) -> Link {
        let serial = self.next_serial();
        let entry = &mut self.nodes[node as usize];
        entry.accepted_open += 1;
        entry.count_unproven(source);
        let limits = &entry.settings;
        // A socket that refuses its options is broken: the first read will tell.
        let _ = socket.tune(Duration::from_millis(
            limits.limits.liveness_timeout_ms.into(),
        ));
        let filter = accepting_filter(limits);
        let mut link = Link::new(socket, filter, Role::Acceptor, node, serial);
        link.door = accepting(limits.zeebe);
        link.source = source;
        link.counted_unproven = true;
        link.phase_deadline = Some(self.now.after_millis(limits.links.handshake_timeout_ms));
        link
    }

    /// Registers a link with the poller. Plaintext links start their protocol at once.
    pub(crate) fn add_link(&mut self, link: Link) -> Option<u32> {
        let (unproven, connecting, serial) = (
            link.counted_unproven,
            link.phase == Phase::Connecting,
            link.serial,
        );
        let slot = self.links.insert(link);
        let source = Source::Link(slot as u32, serial);
        if self
            .poller
            .add(&self.links[slot].socket, source, connecting)
            .is_err()
        {
            self.drop_link(slot);
            return None;
        }
        if unproven {
            self.remember_unproven(slot as u32, serial);
        }
        if !connecting && !self.links[slot].filter.is_handshaking() {
            self.open_codec(slot);
        }
        self.schedule_link(slot);
        Some(slot as u32)
    }

    /// Keeps the order of arrival; entries of links that have greeted or gone are swept out once
    /// they outnumber the rest.
    fn remember_unproven(&mut self, slot: u32, serial: u32) {
        let standing = self
            .nodes
            .iter()
            .map(|(_, node)| node.unproven)
            .sum::<usize>();
        if self.unproven.len() > 2 * standing + UNPROVEN_STALE_MAX {
            let links = &self.links;
            self.unproven
                .retain(|&(slot, serial)| stands(links, slot, serial));
        }
        self.unproven.push_back((slot, serial));
    }

    /// Makes room for a newcomer: whoever has had the longest time to prove itself goes.
    fn drop_oldest_unproven(&mut self) {
        while let Some((slot, serial)) = self.unproven.pop_front() {
            if stands(&self.links, slot, serial) {
                let text = "too many handshakes are under way: the oldest made room";
                let kind = crate::error::FailureKind::Limit("handshakes_max");
                return self.lose_link(slot as usize, crate::error::Failure::new(kind, text));
            }
        }
    }
}

fn accepting_filter(settings: &NodeSettings) -> Filter {
    let alpn = absent(settings.zeebe);
    match (settings.accepts(), &settings.tls) {
        (Accept::Tls, Some(tls)) => Filter::accept(tls, alpn),
        (Accept::Permissive, Some(tls)) => Filter::accept_either(tls, alpn),
        // Neither of the others is let open without keys and trust.
        _ => Filter::plain(),
    }
}

/// Zeebe's dialers know nothing of ALPN.
fn absent(zeebe: ZeebeSettings) -> Alpn {
    match zeebe.is_accepted {
        true => Alpn::MayBeAbsent,
        false => Alpn::Expected,
    }
}

fn accepting(zeebe: ZeebeSettings) -> Door {
    match zeebe.is_accepted {
        true => Door::Both(zeebe.compression),
        false => Door::Zt,
    }
}

fn stands(links: &slab::Slab<Link>, slot: u32, serial: u32) -> bool {
    links
        .get(slot as usize)
        .is_some_and(|link| link.serial == serial && link.counted_unproven)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T7: whatever errno an accept can give, the listener goes on.
    #[test]
    fn t7_no_errno_ends_a_listener() {
        for errno in 1..=133 {
            let verdict = classify(&io::Error::from_raw_os_error(errno));
            let expected = match errno {
                libc_names::EAGAIN => AcceptFailure::Empty,
                libc_names::EMFILE | libc_names::ENFILE | libc_names::ENOMEM => {
                    AcceptFailure::Pause
                }
                libc_names::ECONNABORTED | libc_names::EPROTO => AcceptFailure::Skip,
                _ => continue,
            };
            assert_eq!(verdict, expected, "errno {errno}");
        }
    }

    mod libc_names {
        pub(super) const EAGAIN: i32 = 11;
        pub(super) const ENOMEM: i32 = 12;
        pub(super) const ENFILE: i32 = 23;
        pub(super) const EMFILE: i32 = 24;
        pub(super) const EPROTO: i32 = 71;
        pub(super) const ECONNABORTED: i32 = 103;
    }
}
