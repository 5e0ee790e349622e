//! Two engines on loopback, driven by one thread until a condition holds.
#![allow(dead_code)] // Each test file uses its own part.

pub mod raw;

use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ztransport_engine::{
    Batch, Engine, EngineSettings, LinkLimits, NodeKey, NodeSettings, Notice, PeerKey, Poll,
};
use ztransport_proto::event::{Body, Event};
use ztransport_proto::{Limits, Payload};
use ztransport_tls as tls;

/// A test that nothing wakes for this long has hung; it is no timing assertion.
const HUNG_SECONDS: i64 = 20;

const LONG: Duration = Duration::from_secs(30);

/// What came out of an engine, with payloads copied.
#[derive(Debug)]
pub enum Seen {
    Notice(PeerKey, Notice),
    Event(PeerKey, Event, Vec<u8>),
}

pub struct Side {
    pub engine: Engine,
    pub node: NodeKey,
    pub seen: Vec<Seen>,
    batch: Batch,
}

pub struct Certificates {
    pub server: Arc<tls::Material>,
    pub client: Arc<tls::Material>,
}

impl Side {
    pub fn new(name: &str, tls: Option<Arc<tls::Material>>) -> Side {
        Side::with(name, tls, Limits::default(), LinkLimits::default())
    }

    pub fn with(
        name: &str,
        tls: Option<Arc<tls::Material>>,
        limits: Limits,
        links: LinkLimits,
    ) -> Side {
        let mut engine = Engine::new(EngineSettings::default()).unwrap();
        let settings = NodeSettings {
            cluster: "test".to_owned(),
            node_id: name.to_owned(),
            advertise: String::new(),
            roles: Vec::new(),
            limits,
            tls,
            accept: None,
            dial: None,
            links,
            zeebe: ztransport_engine::ZeebeSettings::default(),
        };
        let node = engine.open_node(settings).unwrap();
        Side {
            engine,
            node,
            seen: Vec::new(),
            batch: Batch::new(),
        }
    }

    /// One turn; returns whether the descriptor must be waited for.
    pub fn turn(&mut self) -> bool {
        let idle = loop {
            match self.engine.poll(&mut self.batch).unwrap() {
                Poll::Work => self.keep(),
                Poll::Idle => break true,
                Poll::Yield => break false,
            }
        };
        self.engine.flush();
        idle
    }

    fn keep(&mut self) {
        let peer = self.batch.peer;
        for notice in &self.batch.notices {
            self.seen.push(Seen::Notice(peer, notice.clone()));
        }
        for event in &self.batch.events {
            let bytes = payload(event)
                .map(|p| self.batch.bytes(p).to_vec())
                .unwrap_or_default();
            self.seen.push(Seen::Event(peer, event.clone(), bytes));
        }
    }

    /// Answers every request with its own payload; gives everything else.
    pub fn echo(&mut self) -> Vec<Seen> {
        let mut rest = Vec::new();
        for seen in std::mem::take(&mut self.seen) {
            match seen {
                Seen::Event(peer, Event::Request { id, .. }, bytes) => {
                    let body = bytes::Bytes::from(bytes);
                    let _ = self.engine.reply(peer, id, Body::Owned(body));
                }
                other => rest.push(other),
            }
        }
        rest
    }

    pub fn notices(&self) -> Vec<&Notice> {
        let notice = |seen: &'_ Seen| matches!(seen, Seen::Notice(..));
        self.seen
            .iter()
            .filter(|seen| notice(seen))
            .map(|seen| match seen {
                Seen::Notice(_, notice) => notice,
                Seen::Event(..) => unreachable!("only notices are left"),
            })
            .collect()
    }
}

fn payload(event: &Event) -> Option<&Payload> {
    match event {
        Event::Request { payload, .. }
        | Event::Reply { payload, .. }
        | Event::Send { payload, .. }
        | Event::StreamOpened { payload, .. }
        | Event::StreamData { payload, .. } => Some(payload),
        Event::Fault { text, .. } | Event::GoAway { text, .. } => Some(text),
        _ => None,
    }
}

/// Drives every side until `done`, which also does the sides' work.
pub fn drive(sides: &mut [Side], mut done: impl FnMut(&mut [Side]) -> bool) {
    loop {
        let mut idle = true;
        for side in sides.iter_mut() {
            idle &= side.turn();
        }
        if done(sides) {
            return;
        }
        for side in sides.iter_mut() {
            side.engine.flush();
        }
        if idle {
            wait(sides);
        }
    }
}

fn wait(sides: &[Side]) {
    let mut descriptors: Vec<_> = sides
        .iter()
        .map(|side| PollFd::from_borrowed_fd(side.engine.as_fd(), PollFlags::IN))
        .collect();
    let limit = Timespec {
        tv_sec: HUNG_SECONDS,
        tv_nsec: 0,
    };
    let ready = poll(&mut descriptors, Some(&limit)).unwrap();
    assert!(
        ready > 0,
        "nothing happened for {HUNG_SECONDS} s: {:#?}",
        sides.iter().map(|s| &s.seen).collect::<Vec<_>>()
    );
}

/// A server and a client, the client connected; the server is the first.
pub fn connected(server: Side, client: Side, address: &str) -> ([Side; 2], PeerKey) {
    let mut sides = [server, client];
    let node = sides[0].node;
    let address = sides[0].engine.listen(node, address).unwrap();
    let node = sides[1].node;
    let peer = sides[1].engine.connect(node, &address, true).unwrap();
    drive(&mut sides, |sides| {
        let failed = sides[1].notices().iter().find_map(|notice| match notice {
            Notice::ConnectFailed { error } => Some(error.to_string()),
            _ => None,
        });
        assert_eq!(failed, None);
        sides[1].engine.is_up(peer) && !sides[0].seen.is_empty()
    });
    sides[0].seen.clear();
    sides[1].seen.clear();
    (sides, peer)
}

/// Asks a peer with more time than any test takes.
pub fn ask(side: &mut Side, peer: PeerKey, token: u64) {
    let body = Body::Borrowed(b"x");
    let asked = side
        .engine
        .request(peer, "echo", body, Some(LONG), &[], token);
    asked.unwrap();
}

/// The tokens that were answered.
pub fn answers(side: &Side) -> Vec<u64> {
    let token = |seen: &Seen| match seen {
        Seen::Event(_, Event::Reply { token, .. }, _) => Some(*token),
        _ => None,
    };
    side.seen.iter().filter_map(token).collect()
}

/// The key a peer has after all that was seen.
pub fn current(side: &Side, peer: PeerKey) -> PeerKey {
    side.seen.iter().fold(peer, |peer, seen| match seen {
        Seen::Notice(next, Notice::Replaced { old }) if *old == peer => *next,
        _ => peer,
    })
}

/// A clock that stands still, in seconds since 1970.
#[derive(Debug)]
pub struct Standing(pub u64);

impl rustls::time_provider::TimeProvider for Standing {
    fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
        let since = Duration::from_secs(self.0);
        Some(rustls::pki_types::UnixTime::since_unix_epoch(since))
    }
}

/// A CA, a server certificate for loopback and a client certificate.
pub fn certificates() -> Certificates {
    certificates_for(
        &["127.0.0.1", "::1", "localhost"],
        tls::ClientAuth::Required,
    )
}

pub fn certificates_for(names: &[&str], client_auth: tls::ClientAuth) -> Certificates {
    let authority = authority();
    let server = leaf(&authority, names);
    let client = leaf(&authority, &["client"]);
    Certificates {
        server: material(server, &authority.1, client_auth),
        client: material(client, &authority.1, tls::ClientAuth::None),
    }
}

pub type Authority = (rcgen::Issuer<'static, rcgen::KeyPair>, String);

pub fn authority() -> Authority {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (rcgen::Issuer::new(params, key), pem)
}

pub fn leaf(authority: &Authority, names: &[&str]) -> (String, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let params = rcgen::CertificateParams::new(names).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    (
        params.signed_by(&key, &authority.0).unwrap().pem(),
        key.serialize_pem(),
    )
}

pub fn material(
    leaf: (String, String),
    trust: &str,
    client_auth: tls::ClientAuth,
) -> Arc<tls::Material> {
    let options = tls::Options {
        certificate_chain: Some(tls::Source::Bytes(leaf.0.into_bytes())),
        private_key: Some(tls::Source::Bytes(leaf.1.into_bytes())),
        trust: vec![tls::TrustSource::Source(tls::Source::Bytes(
            trust.as_bytes().to_vec(),
        ))],
        client_auth,
        ..tls::Options::default()
    };
    tls::Material::load(&options).unwrap()
}
