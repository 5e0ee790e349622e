//! Kryo's bytes as the real Zeebe writes them, and what is refused.

use std::collections::BTreeMap;

use proptest::prelude::*;
use ztransport_gossip::kryo::limits::{
    PROPERTIES_BYTES_MAX, PROPERTIES_MAX, RECORDS_MAX, VALUE_BYTES_MAX,
};
use ztransport_gossip::kryo::{
    Datagram, Host, Record, Release, Standing, decode_boolean, decode_list, decode_pair,
    decode_record, encode_boolean, encode_list, encode_pair, encode_record, preamble,
};

/// A record as a JVM wrote it: version 8.5.4, no properties, held for alive.
const RECORD: &str = "
    f8030b616464726573f3686f73f469e469e4696e6361726e6174696f6e4e756d6265f270726f706572746965f3
    726163eb73746174e574696d657374616df076657273696fee7a6f6ee5
    0e013132372e302e302eb18667000000 018000 11f603016964656e7469666965f203038230010000
    06f603030382300100 00 0682a0abfef96200 02360100 018000 010100 0680a0abfef96200
    2001056275696ce46d616a6ff26d657461646174e16d696e6ff270617463e80180 03000110 03000180
    0300010a 03000108 010000 018000";
const DATAGRAM: &str = "
    f603037061796c6f61e4736f757263e57375626a6563f4 0505010203ff00
    0e013132372e302e302eb18667000000 1861746f6d69782d6d656d626572736869702d676f737369f000";

/// What a real member of 8.5.8 sent as a probe of a contact point it did not know: two levels of
/// fields more deeply nested than in a record by itself.
const PROBE: &str = "
    fa03026c6566f472696768f459f8030b616464726573f3686f73f469e469e4696e6361726e6174696f6e4e756d62
    65f270726f706572746965f3726163eb73746174e574696d657374616df076657273696fee7a6f6ee50e01313237
    2e302e302eb1f59d000003000180130011f603016964656e7469666965f203038230020100080006f60303038230
    02010008000694ef96cec468b10100ae0136030362726f6b6572496e66ef03d5024541444a414141414241414141
    4141414167414141414d414141414441414141414141424367414141474e7662573168626d524263476b50414141
    414d5449334c6a41754d4334784f6a49324e54417842514143415141414141414341414141415177414151454141
    414142414141414141414141415541414141344c6a55754f4155414167454141414142416741414141413d03726f
    6ce503726561ec030001800300010108000694ef96cec46822002001056275696ce46d616a6ff26d657461646174
    e16d696e6ff270617463e8018004030001100403000180040300010a04030001100201000300018001000011f803
    0e013132372e302e302eb121870000030001802b0029f6032603a537643566343136382d613764652d346139312d
    623038662d3630393735636436383933350201002b0029f6032603a537643566343136382d613764652d34613931
    2d623038662d36303937356364363839333502010003000100040002360103000180030001000300010003000100
    03000180010000";
/// What the same member answered to a sync: a member of ours, and itself.
const LIST: &str = "
    2683f803000b616464726573f3686f73f469e469e4696e6361726e6174696f6e4e756d6265f270726f7065727469
    65f3726163eb73746174e574696d657374616df076657273696fee7a6f6ee50e013132372e302e302eb121870000
    0001800011f603016964656e7469666965f20303823901000006f603030382390100000680a0abfef96200083602
    03826b038276000180000101000680a0abfef962002001056275696ce46d616a6ff26d657461646174e16d696e6f
    f270617463e8018003000110030001800300010a030001100100000180000e013132372e302e302eb1f59d000000
    01800006f6030303823001000006f603030382300100000694ef96cec46800ae0136030362726f6b6572496e66ef
    03d5024541444a4141414142414141414141414167414141414d414141414441414141414141424367414141474e
    7662573168626d524263476b50414141414d5449334c6a41754d4334784f6a49324e544178425141434151414141
    41414341414141415177414151454141414142414141414141414141415541414141344c6a55754f415541416745
    4141414142416741414141413d03726f6ce503726561ec000180000101000694ef96cec468000301018003000110
    030001800300010a03000110010000018000";

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.chars().filter_map(|character| character.to_digit(16));
    let digits: Vec<u8> = digits.map(|digit| digit as u8).collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}

fn record() -> Record {
    Record {
        id: "0".into(),
        address: Some(Host {
            name: "127.0.0.1".into(),
            port: 26_502,
        }),
        incarnation: 1_700_000_000_001,
        timestamp: 1_700_000_000_000,
        standing: Some(Standing::Alive),
        release: Some(Release {
            major: 8,
            minor: 5,
            patch: 4,
            ..Release::default()
        }),
        ..Record::default()
    }
}

#[test]
fn a_record_has_the_bytes_of_a_jvm() {
    let golden = bytes_of(RECORD);
    assert_eq!(golden.len(), 205);
    assert_eq!(decode_record(&golden), Ok(record()));
    assert_eq!(encode_record(&record()), golden);
}

#[test]
fn a_datagram_has_the_bytes_of_a_jvm() {
    let cluster = preamble("zeebe-cluster");
    assert_eq!(cluster, [0xEB, 0x6E, 0xEC, 0x8A]);
    let body = bytes_of(DATAGRAM);
    let golden = [&cluster[..], &(body.len() as u32).to_be_bytes(), &body].concat();
    let datagram = Datagram {
        source: record().address,
        subject: "atomix-membership-gossip".into(),
        payload: vec![1, 2, 3, 255],
    };
    assert_eq!(Datagram::decode(cluster, &golden), Ok(datagram.clone()));
    assert_eq!(datagram.encode(cluster), golden);
}

#[test]
fn probes_and_lists_have_the_bytes_of_a_jvm() {
    let golden = bytes_of(PROBE);
    let (asker, asked) = decode_pair(&golden).unwrap();
    assert_eq!((&*asker.id, asker.standing), ("0", Some(Standing::Alive)));
    assert_eq!(asker.properties["role"], "real");
    let contact_point = (&asked.release, asked.standing, asked.incarnation);
    assert_eq!(contact_point, (&None, None, 0));
    assert_eq!(encode_pair(&asker, &asked), golden);

    let golden = bytes_of(LIST);
    let records = decode_list(&golden).unwrap();
    assert_eq!((&*records[0].id, &*records[1].id), ("9", "0"));
    assert_eq!(records[0].properties["k"], "v");
    assert_eq!(records[1], asker);
    assert_eq!(encode_list(records.iter()), golden);
}

#[test]
fn classes_are_named_once() {
    let golden = bytes_of(RECORD);
    let bytes = encode_pair(&record(), &record());
    let names = b"incarnationNumbe\xF2";
    let count = bytes
        .windows(names.len())
        .filter(|part| part == names)
        .count();
    assert_eq!(count, 1);
    assert!(bytes.len() < 2 * golden.len());
    assert_eq!(decode_pair(&bytes), Ok((record(), record())));
    let other = Record {
        id: "1".into(),
        ..record()
    };
    let records = [record(), other.clone(), record()];
    let bytes = encode_list(records.iter());
    assert_eq!(
        bytes[..4],
        [0x26, 0x84, 0xF8, 0x03],
        "four less one, all of one class"
    );
    assert_eq!(decode_list(&bytes), Ok(records.into()));
    assert_eq!(encode_list([].iter()), [0x26, 0x01]);
    assert_eq!(decode_list(&[0x26, 0x01]), Ok(vec![]));
    assert_eq!(
        decode_list(b"\x26\x84"),
        decode_list(b"\x26\x85"),
        "none of them is there"
    );
}

#[test]
fn answers_have_two_bytes() {
    assert_eq!(encode_boolean(true), [5, 1]);
    assert_eq!(encode_boolean(false), [5, 0]);
    assert_eq!(decode_boolean(&[5, 1]), Ok(true));
    assert!(decode_boolean(&[5, 2]).is_err());
    assert!(decode_boolean(&[5, 1, 0]).is_err());
}

#[test]
fn a_field_of_a_newer_release_is_passed_over() {
    // "nodeVersion" in front of "properties", with a long in two chunks.
    let golden = bytes_of(RECORD);
    let text = golden.windows(5).position(|part| part == b"prope").unwrap();
    let value = golden
        .windows(4)
        .position(|part| part == [2, 0x36, 1, 0])
        .unwrap();
    let mut newer = golden[..text].to_vec();
    newer[2] = 12;
    newer.extend_from_slice(b"nodeVersio\xEE");
    newer.extend_from_slice(&golden[text..value]);
    newer.extend_from_slice(&[1, 0x80, 1, 1, 0]);
    newer.extend_from_slice(&golden[value..]);
    assert_eq!(decode_record(&newer), Ok(record()));
}

#[test]
fn a_contact_point_has_next_to_nothing() {
    let bare = Record {
        id: "c0ffee".into(),
        ..Record::default()
    };
    assert_eq!(decode_record(&encode_record(&bare)), Ok(bare.clone()));
    assert!(
        decode_record(&encode_record(&Record::default())).is_err(),
        "no id"
    );
}

#[test]
fn nothing_is_allocated_that_did_not_arrive() {
    let cluster = preamble("zeebe-cluster");
    // The eight bytes that cost a real member its memory.
    let claim = [&cluster[..], &[0x7F, 0xFF, 0xFF, 0xFF]].concat();
    assert!(Datagram::decode(cluster, &claim).is_err());
    assert!(Datagram::decode(preamble("other"), &claim).is_err());
    // Lists, names, properties and byte arrays of two thousand millions.
    let many = [0xFF, 0xFF, 0xFF, 0xFF, 0x07];
    for head in [&[0x26][..], &[0xF8, 0x03], &[0xFA, 0x03], &[0x05]] {
        let bytes = [head, &many[..]].concat();
        assert!(decode_list(&bytes).is_err());
        assert!(decode_record(&bytes).is_err());
        assert!(decode_pair(&bytes).is_err());
    }
    assert!(decode_list(&vec![0; VALUE_BYTES_MAX + 1]).is_err());
}

#[test]
fn every_cut_is_refused() {
    let whole = encode_pair(&record(), &record());
    for end in 0..whole.len() {
        assert!(decode_pair(&whole[..end]).is_err(), "cut at {end}");
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(decode_pair(&longer).is_err());
}

#[test]
fn counts_at_their_limits() {
    let properties = |count: usize| -> BTreeMap<String, String> {
        (0..count).map(|n| (n.to_string(), String::new())).collect()
    };
    let sized = |bytes: usize| {
        let first = bytes / 2;
        let pair = |key: &str, bytes: usize| (key.to_owned(), "v".repeat(bytes - 1));
        BTreeMap::from([pair("a", first), pair("b", bytes - first)])
    };
    let taken = |properties: BTreeMap<String, String>| {
        let ours = Record::check_properties(&properties).is_ok();
        let theirs = decode_record(&encode_record(&Record {
            properties,
            ..record()
        }));
        assert_eq!(ours, theirs.is_ok());
        ours
    };
    assert!(taken(properties(PROPERTIES_MAX - 1)) && taken(properties(PROPERTIES_MAX)));
    assert!(!taken(properties(PROPERTIES_MAX + 1)));
    assert!(taken(sized(PROPERTIES_BYTES_MAX - 1)) && taken(sized(PROPERTIES_BYTES_MAX)));
    assert!(!taken(sized(PROPERTIES_BYTES_MAX + 1)));
    let records = |count| decode_list(&encode_list(vec![record(); count].iter()));
    assert_eq!(records(RECORDS_MAX).unwrap().len(), RECORDS_MAX);
    assert!(records(RECORDS_MAX + 1).is_err());
}

fn texts() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..40).prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded(
        id in "[a-z]{1,40}", name in "[a-z.]{1,60}", port: u16, incarnation: i64, timestamp: i64,
        properties in proptest::collection::btree_map(texts(), texts(), 0..8),
        zone in proptest::option::of(texts()), patch: i32,
    ) {
        let made = Record {
            id, incarnation, timestamp, properties, zone,
            address: Some(Host { name, port }),
            standing: Some(Standing::Suspect),
            release: Some(Release { patch, build: Some("SNAPSHOT".into()), ..Release::default() }),
            ..Record::default()
        };
        let bytes = encode_list([made.clone(), record()].iter());
        prop_assert_eq!(decode_list(&bytes), Ok(vec![made, record()]));
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode_pair(&bytes);
        let _ = decode_list(&bytes);
        let _ = decode_record(&bytes);
    }

    #[test]
    fn a_changed_byte_does_no_harm(at in 0_usize..205, value: u8) {
        let mut bytes = bytes_of(RECORD);
        bytes[at] = value;
        let _ = decode_record(&bytes);
    }
}
