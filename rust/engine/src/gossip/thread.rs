//! The thread of one membership: waits for its socket, its host loop or its node's deadline.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ztransport_gossip::Time;

use super::datagrams::{Datagrams, ROOM_BYTES};
use super::driver::{Change, Driver, Network};
use super::pulse::Pulse;
use super::queues::{Command, End, Outlet, Shared, StreamDatagram, StreamInput};
use super::{CHANGES_MAX, RECEIVE_MAX, STACK_BYTES, STREAM_OUTPUT_MAX};

const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// The longest wait: a member that has left still looks whether it is to end.
const WAIT_NANOS_MAX: u64 = 60 * NANOS_PER_SECOND;

/// The running thread. It ends when this is dropped, in the process that made it.
pub(crate) struct Runner {
    pub(crate) shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    process: u32,
}

impl Runner {
    pub(crate) fn start(
        driver: Driver,
        socket: Option<Datagrams>,
        resolves: bool,
        shared: Shared,
    ) -> std::io::Result<Runner> {
        let shared = Arc::new(shared);
        let theirs = Arc::clone(&shared);
        let builder = std::thread::Builder::new()
            .name("zt-gossip".to_owned())
            .stack_size(STACK_BYTES);
        let thread = builder.spawn(move || {
            let failing = Failing(Arc::clone(&theirs));
            Member::new(driver, socket, resolves, theirs).run();
            std::mem::forget(failing);
        })?;
        Ok(Runner {
            shared,
            thread: Some(thread),
            process: std::process::id(),
        })
    }

    /// Whether this is the process that made it. In a child of it there is no thread, and two
    /// processes must not seal under the same nonces.
    pub(crate) fn is_own(&self) -> bool {
        self.process == std::process::id()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        if !self.is_own() {
            return;
        }
        self.shared.stop();
        if let Some(thread) = self.thread.take() {
            // Its own panic was told already.
            let _ = thread.join();
        }
    }
}

/// Tells the host loop if the thread unwinds.
struct Failing(Arc<Shared>);

impl Drop for Failing {
    fn drop(&mut self) {
        self.0.end(End::Failed);
    }
}

struct Member {
    driver: Driver,
    socket: Option<Datagrams>,
    /// When the names of seeds are looked up next, if any seed has one.
    resolve_at: Option<Time>,
    pulse: Pulse,
    shared: Arc<Shared>,
    room: Box<[u8; ROOM_BYTES]>,
    ready: Ready,
    converged: bool,
    unsent: u64,
}

/// What a wait has ended for.
#[derive(Clone, Copy)]
struct Ready {
    /// The host loop has something for us.
    inlet: bool,
    /// Datagrams wait in the socket.
    socket: bool,
}

/// Sends at once what goes by UDP, and gathers what goes over connections.
struct Outbox<'a> {
    socket: Option<&'a Datagrams>,
    unsent: &'a mut u64,
    streams: VecDeque<StreamDatagram>,
}

impl Network for Outbox<'_> {
    fn datagram(&mut self, to: SocketAddr, bytes: &[u8]) {
        let sent = self.socket.is_some_and(|socket| socket.send(to, bytes));
        *self.unsent += u64::from(!sent);
    }

    fn stream(&mut self, datagram: StreamDatagram) {
        self.streams.push_back(datagram);
    }
}

impl Member {
    fn new(
        driver: Driver,
        socket: Option<Datagrams>,
        resolves: bool,
        shared: Arc<Shared>,
    ) -> Member {
        let now = shared.now();
        Member {
            pulse: Pulse::new(driver.node.settings().probe_interval_ms, now),
            driver,
            socket,
            resolve_at: resolves.then_some(now),
            shared,
            room: Box::new([0; ROOM_BYTES]),
            ready: Ready {
                inlet: true,
                socket: true,
            },
            converged: false,
            unsent: 0,
        }
    }

    fn run(mut self) {
        while !self.shared.is_stopping() {
            let now = self.shared.now();
            let resolve = self.resolve(now);
            let ask = self.feel_pulse(now);
            let streams = self.turn(now);
            self.tell(now, streams, resolve, ask);
            self.wait();
        }
    }

    /// What was asked, what has arrived, what is due, and what is to be said to all that.
    fn turn(&mut self, now: Time) -> VecDeque<StreamDatagram> {
        let (commands, inputs) = match self.ready.inlet {
            true => self.take_inlet(),
            false => Default::default(),
        };
        for command in commands {
            self.driver.command(now, command);
        }
        let mut outbox = Outbox {
            socket: self.socket.as_ref(),
            unsent: &mut self.unsent,
            streams: VecDeque::new(),
        };
        for input in inputs {
            self.driver.stream_datagram(now, input, &mut outbox);
        }
        if let Some(socket) = self.socket.as_ref().filter(|_| self.ready.socket) {
            for _ in 0..RECEIVE_MAX {
                let Some((length, from)) = socket.receive(&mut self.room) else {
                    break;
                };
                self.driver.datagram(now, from, &mut self.room[..length]);
            }
        }
        self.driver.node.handle_timeout(now);
        self.driver.transmit(now, &mut outbox);
        outbox.streams
    }

    fn take_inlet(&self) -> (VecDeque<Command>, VecDeque<StreamInput>) {
        self.shared.wake.acknowledge();
        let mut inlet = self.shared.inlet();
        let commands = std::mem::take(&mut inlet.commands);
        (commands, std::mem::take(&mut inlet.datagrams))
    }

    /// Whether the seeds' names should be looked up now.
    fn resolve(&mut self, now: Time) -> bool {
        let due = self.resolve_at.is_some_and(|at| at <= now);
        if due {
            self.resolve_at = Some(now.after_millis(self.driver.looks_up_after_ms()));
        }
        due
    }

    /// Reports how late the host loop is; returns whether to ask it for a sign of life.
    fn feel_pulse(&mut self, now: Time) -> bool {
        let beat = self.pulse.beat(now, self.shared.heard());
        if let Some(lag) = beat.lag {
            self.driver.node.report_lag(lag / 1_000_000);
        }
        beat.ask
    }

    /// Hands the host loop what is new, and wakes it if that is worth it.
    fn tell(&mut self, now: Time, streams: VecDeque<StreamDatagram>, resolve: bool, ask: bool) {
        let converged = self.driver.is_converged(now);
        let shared = Arc::clone(&self.shared);
        let mut outlet = shared.outlet();
        let mut ring = ask || resolve || !streams.is_empty();
        push_streams(&mut outlet, streams);
        let had_ended = outlet.end.is_some();
        let changed = self.push_changes(&mut outlet);
        if self.driver.node.is_departed() && outlet.end.is_none() {
            outlet.end = Some(End::Left);
        }
        // Whatever has ended it: nothing more happens that would ring.
        ring |= outlet.end.is_some() && !had_ended;
        let news = changed || converged != self.converged;
        outlet.resolve |= resolve;
        outlet.news |= news;
        ring |= news;
        let dropped = outlet.streams_dropped;
        drop(outlet);
        self.converged = converged;
        let turned = self.publish(dropped, changed);
        if turned {
            self.shared.outlet().news = true;
        }
        if ring || turned {
            self.shared.bell.ring();
        }
    }

    fn push_changes(&mut self, outlet: &mut Outlet) -> bool {
        let before = outlet.changes.len();
        outlet.held = false;
        loop {
            if outlet.changes.len() >= CHANGES_MAX {
                outlet.held = true;
                break;
            }
            match self.driver.poll_change() {
                Some(Change::Seen(seen)) => outlet.changes.push_back(seen),
                Some(Change::Ended(end)) => outlet.end = outlet.end.or(Some(end)),
                None => break,
            }
        }
        outlet.changes.len() > before
    }

    /// Puts down what may be looked at; returns whether a key rotation has gone on.
    fn publish(&self, streams_dropped: u64, changed: bool) -> bool {
        let node = &self.driver.node;
        let input_dropped = self.shared.inlet().dropped;
        let mut status = self.shared.status();
        status.statistics.clone_from(node.statistics());
        status.health = node.health();
        status.lag_nanos = self.pulse.lag();
        status.present = node.view().present();
        status.joined = node.is_joined();
        status.converged = self.converged;
        status.unsent = self.unsent;
        status.stream_output_dropped = streams_dropped;
        status.stream_input_dropped = input_dropped;
        // Counting who holds which key walks the whole view.
        let runs = status
            .rotation
            .as_ref()
            .is_none_or(|rotation| rotation.runs);
        if !node.is_sealed() || !(changed || runs) {
            return false;
        }
        let rotation = Some(node.rotation());
        let turned = status.rotation != rotation;
        status.rotation = rotation;
        turned
    }

    fn wait(&mut self) {
        let deadline = self.next();
        let now = self.shared.now();
        let nanos = deadline.saturating_since(now).min(WAIT_NANOS_MAX);
        let timeout = Timespec {
            tv_sec: (nanos / NANOS_PER_SECOND) as i64,
            tv_nsec: (nanos % NANOS_PER_SECOND) as i64,
        };
        let watched = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
        let wake = self.shared.wake.as_fd();
        // Without a socket the wake-up descriptor is watched twice, which does no harm.
        let socket = self.socket.as_ref().map_or(wake, AsFd::as_fd);
        let mut fds = [watched(wake), watched(socket)];
        // An interrupted wait is as good as one that has ended.
        let _ = poll(&mut fds, Some(&timeout));
        let [inlet, socket] = fds.map(|fd| !fd.revents().is_empty());
        self.ready = Ready { inlet, socket };
    }

    fn next(&self) -> Time {
        let resolve = self.resolve_at;
        let own = [
            self.driver.deadline(self.converged),
            resolve,
            Some(self.pulse.deadline()),
        ];
        let first = own.into_iter().flatten().min();
        first.unwrap_or_else(|| self.shared.now().after_nanos(WAIT_NANOS_MAX))
    }
}

fn push_streams(outlet: &mut Outlet, streams: VecDeque<StreamDatagram>) {
    for datagram in streams {
        if outlet.streams.len() < STREAM_OUTPUT_MAX {
            outlet.streams.push_back(datagram);
        } else {
            outlet.streams_dropped += 1;
        }
    }
}
