//! A peer whose connection ends while the next one is being dialled.
#![allow(clippy::unwrap_used, unreachable_pub, missing_docs)] // A test says what failed by panicking.

mod pair;

use std::net::SocketAddr;
use std::time::Duration;

use pair::{Seen, Side, answers, ask, current, drive};
use ztransport_engine::{FailureKind, LinkLimits, Notice, PeerKey};
use ztransport_proto::Limits;
use ztransport_proto::event::{Body, Event};

/// A server that drains and still has one call to answer, a client that asked it, and the
/// client's key of it.
struct Leaving {
    sides: [Side; 2],
    peer: PeerKey,
    address: String,
}

impl Leaving {
    fn new(address: &str) -> Leaving {
        let links = LinkLimits {
            redial_base_ms: 1,
            redial_cap_ms: 1,
            ..LinkLimits::default()
        };
        let client = Side::with("client", None, Limits::default(), links);
        let (mut sides, peer) = pair::connected(Side::new("server", None), client, address);
        let address = sides[1].engine.peer_info(peer).unwrap().address;
        ask(&mut sides[1], peer, 0);
        drive(&mut sides, |sides| is_asked(&sides[0]));
        let node = sides[0].node;
        sides[0].engine.drain_node(node);
        Leaving {
            sides,
            peer,
            address,
        }
    }

    /// The server answers and is gone.
    fn answer(&mut self) {
        self.sides[0].echo();
        drive(&mut self.sides, |sides| {
            let down = |n: &&Notice| matches!(n, Notice::Down { gone: false, .. });
            sides[1].notices().iter().any(down)
        });
        assert_eq!(answers(&self.sides[1]), [0]);
    }

    /// Waits until the call with this token has failed, and tells why.
    fn failure(&mut self, token: u64) -> String {
        let mut text = None;
        drive(&mut self.sides, |sides| {
            text = sides[1].notices().iter().find_map(|notice| match notice {
                Notice::Failed {
                    token: of, error, ..
                } if *of == token => Some((error.kind().clone(), error.to_string())),
                _ => None,
            });
            text.is_some()
        });
        let (kind, text) = text.unwrap();
        assert_eq!(kind, FailureKind::DeadlineExceeded);
        text
    }
}

/// Asks with a deadline that passes while the call waits.
fn ask_briefly(side: &mut Side, peer: PeerKey, token: u64) {
    let (body, brief) = (Body::Borrowed(b"x"), Some(Duration::from_millis(1)));
    let asked = side.engine.request(peer, "echo", body, brief, &[], token);
    asked.unwrap();
}

fn is_asked(side: &Side) -> bool {
    let asked = |seen: &Seen| matches!(seen, Seen::Event(_, Event::Request { .. }, _));
    side.seen.iter().any(asked)
}

fn redials(side: &Side, peer: PeerKey) -> u64 {
    side.engine.peer_statistics(peer).unwrap().redials
}

fn dialled(side: &Side) -> u64 {
    side.engine.node_statistics(side.node).unwrap().dialled
}

/// A node that takes the place of one that is gone, at its address.
fn restarted(address: &str) -> Side {
    let mut side = Side::new("server", None);
    side.engine.listen(side.node, address).unwrap();
    side
}

fn is_answered(sides: &mut [Side], token: u64) -> bool {
    sides[0].echo();
    answers(&sides[1]).contains(&token)
}

/// The attempt that was to bring a successor becomes the peer's own.
#[test]
fn a_peer_whose_node_restarts_keeps_its_key_and_its_calls() {
    let mut leaving = Leaving::new("127.0.0.1:0");
    let peer = leaving.peer;
    let late = restarted(&leaving.address);
    drive(&mut leaving.sides, |sides| dialled(&sides[1]) == 2);
    leaving.answer();
    let [_, mut client] = leaving.sides;
    ask(&mut client, peer, 1);
    let mut sides = [late, client];
    drive(&mut sides, |sides| is_answered(sides, 1));
    assert_eq!(current(&sides[1], peer), peer);
    assert_eq!((redials(&sides[1], peer), dialled(&sides[1])), (1, 2));
    assert!(sides[1].engine.is_up(peer));
}

/// The same while the successor waits to be dialled again.
#[test]
fn a_peer_whose_node_comes_back_late_is_dialled_on() {
    let folder = std::env::temp_dir().join(format!("zt-succession-late-{}", std::process::id()));
    let mut leaving = Leaving::new(&format!("unix:{}", folder.display()));
    let peer = leaving.peer;
    leaving.answer();
    drive(&mut leaving.sides, |sides| redials(&sides[1], peer) >= 3);
    let late = restarted(&leaving.address);
    let [_, mut client] = leaving.sides;
    ask(&mut client, peer, 1);
    let mut sides = [late, client];
    drive(&mut sides, |sides| is_answered(sides, 1));
    assert_eq!(current(&sides[1], peer), peer);
}

/// Whoever was asked to look the name up for the successor would answer to a key that is dead.
#[test]
fn a_name_is_looked_up_anew_for_the_peer_itself() {
    let mut server = Side::new("server", None);
    let address = server.engine.listen(server.node, "127.0.0.1:0").unwrap();
    let port = address.rsplit(':').next().unwrap();
    let mut client = Side::new("client", None);
    let name = format!("localhost:{port}");
    let peer = client.engine.connect(client.node, &name, true).unwrap();
    let mut sides = [server, client];
    let resolve = |sides: &mut [Side], which: &dyn Fn(PeerKey) -> bool| {
        let is_asked =
            |seen: &Seen| matches!(seen, Seen::Notice(of, Notice::Resolve { .. }) if which(*of));
        drive(sides, |sides| sides[1].seen.iter().any(is_asked));
        sides[1].seen.retain(|seen| !is_asked(seen));
    };
    let found: SocketAddr = address.parse().unwrap();
    resolve(&mut sides, &|of| of == peer);
    sides[1].engine.resolved(peer, Ok(vec![found]));
    drive(&mut sides, |sides| sides[1].engine.is_up(peer));
    let node = sides[0].node;
    ask(&mut sides[1], peer, 0);
    drive(&mut sides, |sides| is_asked(&sides[0]));
    sides[0].engine.drain_node(node);
    resolve(&mut sides, &|of| of != peer);
    sides[0].echo();
    resolve(&mut sides, &|of| of == peer);
    let [_, mut client] = sides;
    let late = restarted(&address);
    client.engine.resolved(peer, Ok(vec![found]));
    ask(&mut client, peer, 1);
    let mut sides = [late, client];
    drive(&mut sides, |sides| is_answered(sides, 1));
}

/// Before the old connection is gone, and after.
#[test]
fn a_deadline_told_of_the_goaway_and_not_of_the_last_attempt() {
    let folder = std::env::temp_dir().join(format!("zt-succession-told-{}", std::process::id()));
    let mut leaving = Leaving::new(&format!("unix:{}", folder.display()));
    let peer = leaving.peer;
    drive(&mut leaving.sides, |sides| {
        let leaves = |seen: &Seen| matches!(seen, Seen::Event(_, Event::GoAway { .. }, _));
        sides[1].seen.iter().any(leaves)
    });
    ask_briefly(&mut leaving.sides[1], peer, 1);
    let text = leaving.failure(1);
    assert!(text.contains("cannot be reached"), "{text}");
    leaving.answer();
    drive(&mut leaving.sides, |sides| redials(&sides[1], peer) >= 3);
    ask_briefly(&mut leaving.sides[1], peer, 2);
    let text = leaving.failure(2);
    assert!(
        text.contains("cannot be reached") && !text.contains("shutting down"),
        "{text}"
    );
}

/// What a draining node has lost it needs no more.
#[test]
fn a_draining_node_dialled_again() {
    let (mut sides, first) = pair::connected(
        Side::new("server", None),
        Side::new("client", None),
        "127.0.0.1:0",
    );
    let mut other = Side::new("other", None);
    let address = other.engine.listen(other.node, "127.0.0.1:0").unwrap();
    let node = sides[1].node;
    let second = sides[1].engine.connect(node, &address, true).unwrap();
    let [server, client] = sides;
    let mut sides = [server, client, other];
    ask(&mut sides[1], second, 0);
    drive(&mut sides, |sides| {
        is_asked(&sides[2]) && sides[1].engine.is_up(second)
    });
    sides[1].engine.drain_node(node);
    let is_down = |peer: PeerKey| move |seen: &Seen| matches!(seen, Seen::Notice(of, Notice::Down { gone: true, .. }) if *of == peer);
    drive(&mut sides, |sides| sides[1].seen.iter().any(is_down(first)));
    sides[2].echo();
    drive(&mut sides, |sides| {
        sides[1]
            .notices()
            .iter()
            .any(|n| matches!(n, Notice::Drained))
    });
    assert_eq!((answers(&sides[1]), dialled(&sides[1])), (vec![0], 2));
}
