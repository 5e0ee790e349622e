//! Arbitrary bytes at the datagram door of a member: as they come, behind a good header, and as the
//! body of a datagram that another member really sealed.
//!
//! The first byte chooses which, and how much time passes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ztransport_gossip::member::{REACH_DATAGRAM, REACH_STREAM};
use ztransport_gossip::seal::{Cipher, Keyring, Label, Sealing};
use ztransport_gossip::wire::{Address, Kind, Messages, State, validate};
use ztransport_gossip::{Identity, Node, Settings, Time};

const CLUSTER: &str = "fuzz";
const SENDER: u64 = 0x5E4D_E400;
const MEMBERS_MAX: u32 = 8;

fn sealing(none: bool) -> Sealing {
    if none {
        return Sealing::None;
    }
    Sealing::ClusterKey {
        epoch: 0,
        key: [3; 32],
        cipher: Cipher::default(),
    }
}

fn member(none: bool) -> Node {
    let identity = Identity {
        cluster: CLUSTER.to_owned(),
        name: "a".to_owned(),
        address: Address::v4([127, 0, 0, 1], 1),
        reach: REACH_DATAGRAM | REACH_STREAM,
        properties: Vec::new(),
        generation: 5,
        sealing: sealing(none),
        seed: 1,
    };
    let settings = Settings {
        members_max: MEMBERS_MAX,
        ..Settings::default()
    };
    Node::new(settings, &identity, Time::ZERO).expect("the settings are in range")
}

/// What must hold whatever came.
fn check(node: &mut Node) {
    let own = node
        .view()
        .find(node.sid())
        .and_then(|slot| node.view().get(slot));
    assert_eq!(own.map(|own| own.state), Some(State::Alive));
    assert!(node.view().len() <= MEMBERS_MAX);
    assert!(node.rumours() <= node.view().len() as usize);
    let mut out = Vec::new();
    while node.poll_transmit(&mut out).is_some() {
        assert!(out.len() <= node.settings().datagram_bytes_max);
    }
    while node.poll_event().is_some() {}
}

fn door(node: &mut Node, now: Time, datagram: &[u8]) {
    let before = (node.view().digest(), node.sid());
    let from = Address::v4([127, 0, 0, 2], 2);
    if node
        .handle_datagram(now, from, &mut datagram.to_vec())
        .is_err()
    {
        assert_eq!(
            (node.view().digest(), node.sid()),
            before,
            "a dropped datagram changed something"
        );
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, rest)) = input.split_first() else {
        return;
    };
    let none = choice & 1 != 0;
    let mut node = member(none);
    let ring = Keyring::new(Label::of(CLUSTER), &sealing(none), SENDER);
    let mut now = Time::ZERO;
    if choice & 2 != 0 {
        door(&mut node, now, rest);
        return check(&mut node);
    }
    // Bodies of a member that holds the key, parted by FE.
    let mut counter = 0;
    for body in rest.split(|&byte| byte == 0xFE) {
        assert_eq!(
            validate(body).is_ok(),
            Messages::new(body).all(|message| message.is_ok())
        );
        let mut datagram = vec![0; 18];
        datagram.extend_from_slice(body);
        counter += 1;
        let kind = [Kind::Sealed, Kind::Hello][usize::from(choice & 4 != 0)];
        let receiver = if kind == Kind::Hello { 0 } else { node.sid() };
        ring.seal(kind, 0, counter, receiver, &mut datagram);
        door(&mut node, now, &datagram);
        if node.is_departed() {
            return;
        }
        now = now.after_millis(u64::from(choice >> 3) * 100);
        node.handle_timeout(now);
        check(&mut node);
    }
});
