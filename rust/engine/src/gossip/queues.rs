//! What the thread and the host loop hand to each other.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ztransport_gossip::Time;
use ztransport_gossip::limits::KEY_BYTES;
use ztransport_gossip::member::Profile;
use ztransport_gossip::wire::{Address, State};

use super::status::MemberStatus;
use super::wake::Wake;
use super::{COMMANDS_MAX, STREAM_INPUT_MAX};
use crate::keys::PeerKey;

/// What the host loop asks of the thread.
pub(crate) enum Command {
    /// The seeds as far as they could be looked up.
    Seeds(Vec<Address>),
    /// Other properties, encoded and checked.
    Properties(Vec<u8>),
    /// The next cluster key.
    InstallKey(u8, [u8; KEY_BYTES]),
    /// Leave for good.
    Leave,
}

/// A sealed datagram for a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StreamDatagram {
    /// Where the receiver listens.
    pub(crate) to: SocketAddr,
    /// The connection its datagrams have come over, if any have.
    pub(crate) back: Option<PeerKey>,
    pub(crate) bytes: Vec<u8>,
}

/// A sealed datagram from a connection.
pub(crate) struct StreamInput {
    pub(crate) peer: PeerKey,
    pub(crate) from: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// A member as this one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What it says of itself.
    pub profile: Arc<Profile>,
    /// Its state.
    pub state: State,
    /// Its latest incarnation known.
    pub incarnation: u32,
}

/// How a membership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By leaving.
    Left,
    /// Another member has the name and would not give it up.
    NameLost,
    /// The members it asked to join retire the key it has.
    KeyRetired,
    /// The thread failed.
    Failed,
}

/// To the thread.
#[derive(Default)]
pub(crate) struct Inlet {
    pub(crate) commands: VecDeque<Command>,
    pub(crate) datagrams: VecDeque<StreamInput>,
    pub(crate) dropped: u64,
}

/// To the host loop.
#[derive(Default)]
pub(crate) struct Outlet {
    pub(crate) changes: VecDeque<Seen>,
    pub(crate) streams: VecDeque<StreamDatagram>,
    pub(crate) streams_dropped: u64,
    /// The seeds' names should be looked up.
    pub(crate) resolve: bool,
    /// Something in the status is worth a look.
    pub(crate) news: bool,
    /// More changes wait in the node for room here.
    pub(crate) held: bool,
    pub(crate) end: Option<End>,
}

/// Everything that both sides touch.
pub(crate) struct Shared {
    inlet: Mutex<Inlet>,
    outlet: Mutex<Outlet>,
    status: Mutex<MemberStatus>,
    /// Wakes the thread.
    pub(crate) wake: Wake,
    /// Wakes the host loop.
    pub(crate) bell: Wake,
    epoch: Instant,
    /// When the host loop gave its last sign of life, in nanoseconds since the epoch.
    heard: AtomicU64,
    stopping: AtomicBool,
}

impl Shared {
    pub(crate) fn new() -> io::Result<Shared> {
        Ok(Shared {
            inlet: Mutex::default(),
            outlet: Mutex::default(),
            status: Mutex::default(),
            wake: Wake::new()?,
            bell: Wake::new()?,
            epoch: Instant::now(),
            heard: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        })
    }

    pub(crate) fn inlet(&self) -> MutexGuard<'_, Inlet> {
        self.inlet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn outlet(&self) -> MutexGuard<'_, Outlet> {
        self.outlet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> MutexGuard<'_, MemberStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Time {
        Time::from_nanos(self.epoch.elapsed().as_nanos() as u64)
    }

    /// The host loop turns.
    pub(crate) fn beat(&self) {
        self.heard.store(self.now().as_nanos(), Ordering::Relaxed);
    }

    pub(crate) fn heard(&self) -> Time {
        Time::from_nanos(self.heard.load(Ordering::Relaxed))
    }

    /// Hands the thread a command; `false` if too many wait.
    pub(crate) fn command(&self, command: Command) -> bool {
        let mut inlet = self.inlet();
        let room = inlet.commands.len() < COMMANDS_MAX;
        if room {
            inlet.commands.push_back(command);
        }
        drop(inlet);
        self.wake.ring();
        room
    }

    /// Hands the thread a sealed datagram from a connection, or drops it if too many wait.
    pub(crate) fn datagram(&self, input: StreamInput) {
        let mut inlet = self.inlet();
        if inlet.datagrams.len() < STREAM_INPUT_MAX {
            inlet.datagrams.push_back(input);
        } else {
            inlet.dropped += 1;
        }
        drop(inlet);
        self.wake.ring();
    }

    /// Ends the thread without a word.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.wake.ring();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The membership has ended, if it has not before.
    pub(crate) fn end(&self, end: End) {
        self.outlet().end.get_or_insert(end);
        self.bell.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_takes_only_so_many_commands_and_datagrams() {
        let shared = Shared::new().unwrap();
        assert!((0..COMMANDS_MAX).all(|_| shared.command(Command::Leave)));
        assert!(!shared.command(Command::Leave));
        for _ in 0..=STREAM_INPUT_MAX {
            shared.datagram(StreamInput {
                peer: PeerKey::default(),
                from: "127.0.0.1:1".parse().unwrap(),
                bytes: Vec::new(),
            });
        }
        let inlet = shared.inlet();
        assert_eq!(
            (inlet.datagrams.len(), inlet.dropped),
            (STREAM_INPUT_MAX, 1)
        );
    }

    #[test]
    fn the_first_end_counts() {
        let shared = Shared::new().unwrap();
        shared.end(End::NameLost);
        shared.end(End::Left);
        assert_eq!(shared.outlet().end, Some(End::NameLost));
    }
}
