//! Connections of a window: dialled before it, and known by number.

use std::collections::HashMap;

use ztransport_engine::{Batch, Engine, Notice, PeerKey};

use crate::host::Host;
use crate::names;
use crate::pattern::Negotiated;
use crate::spec::Target;

/// Connections that are dialled at once: what one listener takes without refusing.
const DIALS_AT_ONCE_MAX: usize = 64;

/// The connections, by number, and whether they still take something new.
pub(crate) struct Dialled {
    peers: Vec<PeerKey>,
    open: Vec<bool>,
    numbers: HashMap<PeerKey, u32>,
    open_count: usize,
    pub(crate) negotiated: Option<Negotiated>,
}

impl Dialled {
    /// Dials `count` connections and waits until all of them are up.
    pub(crate) fn dial(host: &mut Host, target: &Target, count: usize) -> Result<Dialled, String> {
        let mut dialled = Dialled {
            peers: Vec::with_capacity(count),
            open: vec![true; count],
            numbers: HashMap::with_capacity(count),
            open_count: count,
            negotiated: None,
        };
        while dialled.peers.len() < count {
            let some = DIALS_AT_ONCE_MAX.min(count - dialled.peers.len());
            dialled.dial_some(host, target, some)?;
        }
        let first = host.engine.peer_info(dialled.peers[0]);
        dialled.negotiated = first.as_ref().and_then(Negotiated::of);
        Ok(dialled)
    }

    fn dial_some(&mut self, host: &mut Host, target: &Target, some: usize) -> Result<(), String> {
        for _ in 0..some {
            let peer = host.engine.connect(host.node, &target.dialled, false);
            let peer = peer.map_err(|error| error.to_string())?;
            self.numbers.insert(peer, self.peers.len() as u32);
            self.peers.push(peer);
        }
        let mut missing = some;
        let mut failure = None;
        while missing > 0 {
            let again = host.turn(&mut |engine, batch| {
                missing -= newly_up(engine, batch, target, &mut failure);
            })?;
            host.engine.flush();
            failure.take().map_or(Ok(()), Err)?;
            if missing > 0 && !again {
                host.wait(None)?;
            }
        }
        Ok(())
    }

    pub(crate) fn count(&self) -> usize {
        self.peers.len()
    }

    pub(crate) fn peer(&self, number: u32) -> PeerKey {
        self.peers[number as usize]
    }

    /// The number of the connection a batch is of.
    pub(crate) fn number(&self, peer: PeerKey) -> Option<u32> {
        self.numbers.get(&peer).copied()
    }

    pub(crate) fn is_open(&self, number: u32) -> bool {
        self.open[number as usize]
    }

    pub(crate) fn is_any_open(&self) -> bool {
        self.open_count > 0
    }

    /// Sends nothing new there; returns whether something was until now.
    pub(crate) fn close(&mut self, number: u32) -> bool {
        let was_open = std::mem::replace(&mut self.open[number as usize], false);
        self.open_count -= usize::from(was_open);
        was_open
    }
}

/// Counts the connections of a batch that are up, and tells a failure.
fn newly_up(
    engine: &mut Engine,
    batch: &Batch,
    target: &Target,
    failure: &mut Option<String>,
) -> usize {
    let mut up = 0;
    for notice in &batch.notices {
        match notice {
            Notice::Up => up += 1,
            Notice::Resolve { .. } => engine.resolved(batch.peer, Ok(target.leads.clone())),
            Notice::ConnectFailed { error } => {
                *failure = Some(format!("{}: {error}", names::failure(error.kind())));
            }
            Notice::Down { error, .. } => {
                let why = error
                    .as_ref()
                    .map_or_else(String::new, |error| format!(": {error}"));
                *failure = Some(format!("ConnectionLost: a connection ended at once{why}"));
            }
            _ => {}
        }
    }
    up
}
