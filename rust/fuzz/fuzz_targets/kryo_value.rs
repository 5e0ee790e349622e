//! Arbitrary bytes at every door of Zeebe's membership: datagrams, requests, replies, `brokerInfo`.
//!
//! The first byte chooses the door, the rest arrives. What is taken must survive being written and
//! read again, and the view must stay within its bound.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use ztransport_gossip::Time;
use ztransport_gossip::broker_info::BrokerInfo;
use ztransport_gossip::kryo::{
    Datagram, Host, Record, Release, decode_list, decode_pair, decode_record, encode_list,
    encode_pair, encode_record, preamble,
};
use ztransport_gossip::zeebe::{Answer, GOSSIP, Identity, Node, PROBE, PROBE_REQUEST, SYNC, Settings};

const CLUSTER: &str = "zeebe-cluster";
const MEMBERS_MAX: u32 = 8;

fn member() -> Node {
    let settings = Settings {
        members_max: MEMBERS_MAX,
        ..Settings::default()
    };
    let host = |port| Host {
        name: "127.0.0.1".into(),
        port,
    };
    let identity = Identity {
        cluster: CLUSTER.into(),
        id: "0".into(),
        address: host(1),
        release: Release::default(),
        properties: BTreeMap::new(),
        seeds: vec![host(2)],
        wall_ms: 1_700_000_000_000,
        seed: 7,
    };
    Node::new(settings, identity, Time::ZERO).unwrap()
}

/// What is read is written, and read again it is the same.
fn round_trip(bytes: &[u8]) {
    if let Ok(record) = decode_record(bytes) {
        assert_eq!(decode_record(&encode_record(&record)), Ok(record));
    }
    if let Ok((left, right)) = decode_pair(bytes) {
        assert_eq!(decode_pair(&encode_pair(&left, &right)), Ok((left, right)));
    }
    if let Ok(records) = decode_list(bytes) {
        let again = decode_list(&encode_list(records.iter()));
        assert_eq!(again, Ok(records));
    }
}

/// Does for a while what a driver does; every request fails.
fn drive(node: &mut Node) {
    for second in 1..20 {
        let now = Time::ZERO.after_millis(second * 1_000);
        node.handle_timeout(now);
        while let Some(request) = node.poll_request() {
            node.handle_reply(now, request.token, None);
        }
        while let Some((_, bytes)) = node.poll_transmit() {
            assert!(Datagram::decode(preamble(CLUSTER), &bytes).is_ok());
        }
        while node.poll_event().is_some() {}
        let members: Vec<&Record> = node.members().collect();
        assert!(members.len() < MEMBERS_MAX as usize);
    }
}

fuzz_target!(|data: &[u8]| {
    let [door, bytes @ ..] = data else {
        return;
    };
    round_trip(bytes);
    let _ = BrokerInfo::decode(bytes);
    let (mut node, now) = (member(), Time::ZERO);
    match door % 6 {
        0 => node.handle_datagram(now, bytes),
        1 => {
            let datagram = Datagram {
                source: None,
                subject: GOSSIP.into(),
                payload: bytes.to_vec(),
            };
            node.handle_datagram(now, &datagram.encode(preamble(CLUSTER)));
        }
        2 => {
            let greeting = node.poll_request().unwrap();
            node.handle_reply(now, greeting.token, Some(bytes));
        }
        other => {
            let subject = [PROBE, SYNC, PROBE_REQUEST][usize::from(other) - 3];
            if let Ok(Answer::After(request)) = node.handle_request(now, subject, bytes) {
                let answer = node.handle_reply(now, request.token, Some(bytes));
                assert_eq!(answer.map(|answer| answer.len()), Some(2));
            }
        }
    }
    drive(&mut node);
});
