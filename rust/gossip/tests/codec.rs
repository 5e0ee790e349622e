//! Bodies and envelopes, without a member.

mod pair;

use proptest::prelude::*;
use ztransport_gossip::error::Misuse;
use ztransport_gossip::limits::{DATAGRAM_BYTES_MIN, ENVELOPE_BYTES, INCARNATION_MAX};
use ztransport_gossip::seal::{Cipher, Keyring, Label, Sealing};
use ztransport_gossip::wire::{
    Address, Description, Header, Kind, Message, Messages, Properties, State, Summaries, Summary,
    validate,
};

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    message.encode(&mut out);
    out
}

fn description<'a>(name: &'a str, properties: &'a [u8]) -> Description<'a> {
    Description {
        sid: 7,
        generation: 1 << 41,
        incarnation: 300,
        version: 200,
        reach: 0x83,
        installed: 255,
        ready: 254,
        address: Address::v4([1, 2, 3, 4], 5_000),
        name,
        properties: Properties::new(properties).expect("properties as they should be"),
    }
}

fn every_message<'a>(bytes: &'a [u8; 1024], summaries: &'a [u8]) -> Vec<Message<'a>> {
    vec![
        Message::Ping { seq: 1, digest: 2 },
        Message::Ack {
            seq: 3,
            digest: u64::MAX,
        },
        Message::PingReq { seq: 4, target: 5 },
        Message::Nack { seq: 6 },
        Message::Alive(description("a", &[])),
        Message::Suspect {
            sid: 8,
            incarnation: 9,
            accuser: 10,
            health: 3,
        },
        Message::Dead {
            sid: 8,
            incarnation: INCARNATION_MAX,
            reporter: 1,
        },
        Message::Left {
            sid: 8,
            incarnation: 0,
        },
        Message::Refute {
            sid: 8,
            incarnation: 128,
            version: 127,
        },
        Message::Digest {
            half: 1,
            buckets: bytes,
        },
        Message::Part {
            last: true,
            more: false,
        },
        Message::Summaries(Summaries::new(summaries).expect("summaries as they should be")),
        Message::Want(&bytes[..16]),
        Message::Hello {
            generation: 77,
            name: "é",
        },
        Message::HelloReply {
            echo: 1,
            status: 1,
            generation: 2,
        },
    ]
}

fn some_summaries() -> Vec<u8> {
    let mut out = Vec::new();
    for (sid, state) in [
        (1, State::Alive),
        (2, State::Suspect),
        (3, State::Dead),
        (4, State::Left),
    ] {
        let summary = Summary {
            sid,
            state,
            incarnation: 5,
            version: 4,
        };
        Summaries::put(&mut out, &summary);
    }
    out
}

#[test]
fn g_12_every_message_comes_back_as_it_was_written() {
    let (bytes, summaries) = ([9; 1024], some_summaries());
    let messages = every_message(&bytes, &summaries);
    let mut body = Vec::new();
    for message in &messages {
        assert_eq!(Messages::new(&encoded(message)).next(), Some(Ok(*message)));
        message.encode(&mut body);
        body.extend_from_slice(&[200, 3, 1, 2, 3]);
    }
    let read: Vec<Message<'_>> = Messages::new(&body).map(Result::unwrap).collect();
    assert_eq!(
        read, messages,
        "messages of unknown type between them are skipped"
    );
}

#[test]
fn g_12_a_message_cut_anywhere_is_malformed() {
    let (bytes, summaries) = ([9; 1024], some_summaries());
    for message in every_message(&bytes, &summaries) {
        let whole = encoded(&message);
        for end in 1..whole.len() {
            assert!(validate(&whole[..end]).is_err(), "{message:?} cut at {end}");
        }
    }
}

#[test]
fn g_12_further_fields_are_skipped() {
    let message = Message::Suspect {
        sid: 8,
        incarnation: 9,
        accuser: 10,
        health: 3,
    };
    let mut longer = encoded(&message);
    longer[1] += 2;
    longer.extend_from_slice(&[1, 2]);
    assert_eq!(Messages::new(&longer).next(), Some(Ok(message)));
}

#[test]
fn g_15_one_bad_message_spoils_the_body() {
    let mut body = encoded(&Message::Left {
        sid: 8,
        incarnation: 1,
    });
    assert!(validate(&body).is_ok());
    body.extend_from_slice(&encoded(&Message::Refute {
        sid: 1,
        incarnation: 1,
        version: 2,
    }));
    assert!(validate(&body).is_err());
    for bad in [
        encoded(&Message::Left {
            sid: 0,
            incarnation: 1,
        }),
        vec![8, 13, 1, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x08],
        vec![11, 1, 4],
        vec![13, 7, 0, 0, 0, 0, 0, 0, 0],
        vec![1],
    ] {
        assert!(validate(&bad).is_err(), "{bad:x?}");
    }
}

#[test]
fn g_16_what_fits_a_datagram() {
    let suspect = encoded(&Message::Suspect {
        sid: 1,
        incarnation: 1,
        accuser: 2,
        health: 0,
    });
    let room = DATAGRAM_BYTES_MIN - ENVELOPE_BYTES;
    assert_eq!((suspect.len(), room / suspect.len()), (20, 58));
    let ping = encoded(&Message::Ping { seq: 1, digest: 1 });
    assert_eq!(ENVELOPE_BYTES + ping.len(), 48);
    let name = "n".repeat(255);
    let properties = Properties::encode([("k", vec![1; 764])]).unwrap();
    let longest = encoded(&Message::Alive(Description {
        incarnation: INCARNATION_MAX,
        version: INCARNATION_MAX,
        address: Address::v6([9; 16], 1),
        ..description(&name, &properties)
    }));
    assert!(ping.len() + longest.len() <= room, "{}", longest.len());
}

proptest! {
    #[test]
    fn g_15_arbitrary_bytes_are_read_alike_twice(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        let read: Vec<_> = Messages::new(&body).collect();
        prop_assert_eq!(validate(&body).is_ok(), read.iter().all(Result::is_ok));
        for message in read.into_iter().flatten() {
            let again = encoded(&message);
            prop_assert_eq!(Messages::new(&again).next(), Some(Ok(message)));
        }
    }
}

fn ring(sid: u64, cluster: &str, key: u8, cipher: Cipher) -> Keyring {
    let sealing = Sealing::ClusterKey {
        epoch: 3,
        key: [key; 32],
        cipher,
    };
    Keyring::new(Label::of(cluster), &sealing, sid)
}

fn opens(to: &Keyring, from: u64, receiver: u64, datagram: &[u8]) -> bool {
    let mut bytes = datagram.to_vec();
    let header = Header::decode(&bytes).expect("a header as it should be");
    let key = to.sender_key(header.epoch, from);
    to.open(key.as_ref(), &header, receiver, &mut bytes)
        .is_some()
}

fn sealed(ring: &Keyring, counter: u64) -> Vec<u8> {
    let mut out = vec![0; 18];
    out.extend_from_slice(b"body");
    ring.seal(Kind::Sealed, 3, counter, 22, &mut out);
    out
}

#[test]
fn g_4_each_sender_has_a_key_of_its_own() {
    for cipher in [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm] {
        let (one, other) = (ring(11, "c", 1, cipher), ring(22, "c", 1, cipher));
        let datagram = sealed(&one, 1);
        assert_eq!(datagram.len(), 4 + ENVELOPE_BYTES);
        assert!(opens(&other, 11, 22, &datagram));
        assert!(
            !opens(&other, 12, 22, &datagram),
            "the key of another sender"
        );
        assert!(
            !opens(&ring(22, "c", 2, cipher), 11, 22, &datagram),
            "another cluster key"
        );
        assert_ne!(sealed(&one, 2)[18..], datagram[18..], "another nonce");
    }
    let datagram = sealed(&ring(11, "c", 1, Cipher::Aes256Gcm), 1);
    assert!(
        !opens(&ring(22, "c", 1, Cipher::default()), 11, 22, &datagram),
        "another cipher"
    );
}

#[test]
fn g_5_only_the_receiver_in_the_cluster_opens_it_unchanged() {
    let cipher = Cipher::default();
    let (one, other) = (ring(11, "c", 1, cipher), ring(22, "c", 1, cipher));
    let datagram = sealed(&one, 9);
    assert!(
        !opens(&other, 11, 23, &datagram),
        "sealed for another member or life"
    );
    assert!(
        !opens(&ring(22, "d", 1, cipher), 11, 22, &datagram),
        "another cluster"
    );
    for at in 4..datagram.len() {
        let mut bad = datagram.clone();
        bad[at] ^= 1;
        assert!(!opens(&other, 11, 22, &bad), "byte {at}");
    }
}

#[test]
fn g_10_no_key_is_an_error_unless_none_is_said() {
    let key = [1; 32];
    let choose = |key: Option<&[u8]>, word| Sealing::choose(key.map(|key| (0, key)), word).err();
    assert_eq!(choose(None, None), Some(Misuse::NoSealing));
    assert_eq!(choose(None, Some("cluster-key")), Some(Misuse::NoSealing));
    assert_eq!(choose(Some(&key), Some("none")), Some(Misuse::KeyAndNone));
    assert_eq!(choose(Some(&key[..31]), None), Some(Misuse::KeyLength(31)));
    assert_eq!(
        choose(None, Some("no")),
        Some(Misuse::UnknownSealing("no".to_owned()))
    );
    assert_eq!(
        (choose(Some(&key), None), choose(None, Some("none"))),
        (None, None)
    );
    let shown = format!("{:?}", Sealing::choose(Some((0, &key)), None));
    assert!(!shown.contains("[1, 1"), "{shown}");
}
