//! T11: the outcome does not depend on how the stream is cut.

use std::sync::Arc;

use ztransport_tls::{ClientAuth, ErrorKind, Filter, Material, Options};

use crate::authority::{Authority, load};
use crate::pair::{End, Pair, drain};
use crate::peer;

/// What can be compared between two handshakes: keys and random bytes differ, lengths do not.
#[derive(Debug, PartialEq)]
struct Outcome {
    error: Option<ErrorKind>,
    written_bytes: usize,
    plain: Vec<u8>,
    is_handshaking: bool,
}

fn outcome(end: &mut End, pieces: &[&[u8]]) -> Outcome {
    for piece in pieces {
        end.take(piece);
    }
    Outcome {
        written_bytes: drain(&mut end.filter).len(),
        error: end.kind().cloned(),
        plain: std::mem::take(&mut end.plain),
        is_handshaking: end.filter.is_handshaking(),
    }
}

fn accept_hello(listening: &Arc<Material>, pieces: &[&[u8]]) -> Outcome {
    outcome(&mut End::new(Filter::accept(listening)), pieces)
}

fn assert_same_for_every_split(stream: &[u8], mut outcome: impl FnMut(&[&[u8]]) -> Outcome) {
    let expected = outcome(&[stream]);
    for split in 0..=stream.len() {
        let (first, second) = stream.split_at(split);
        assert_eq!(outcome(&[first, second]), expected, "split at {split}");
    }
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(outcome(&bytes), expected, "byte by byte");
}

#[test]
fn client_hello_split_anywhere_has_the_same_outcome() {
    let authority = Authority::new("ca");
    let node = authority.issue();
    let listening = node.material();
    let classical = load(&Options {
        groups: vec!["X25519".to_owned()],
        ..node.options()
    });
    let mut hybrid = Filter::dial(&listening, "localhost").unwrap();
    let mut classical = Filter::dial(&classical, "localhost").unwrap();
    let mut silent = peer::dial(peer::client_config(&authority, &[])).into();
    let recorded = [
        (drain(&mut hybrid), None),
        (drain(&mut classical), None),
        (peer::written(&mut silent), Some(ErrorKind::ALPNRefused)),
    ];
    for (hello, error) in recorded {
        assert_eq!(accept_hello(&listening, &[&hello]).error, error);
        assert_same_for_every_split(&hello, |pieces| accept_hello(&listening, pieces));
    }
}

/// The hello in records of one byte each.
#[test]
fn client_hello_in_tiny_records_has_the_same_outcome() {
    let listening = Authority::new("ca").issue().material();
    let mut dialer = Filter::dial(&listening, "localhost").unwrap();
    let hello = drain(&mut dialer);
    let records: Vec<u8> = hello[5..]
        .iter()
        .flat_map(|byte| [22, 3, 1, 0, 1, *byte])
        .collect();
    let expected = accept_hello(&listening, &[&hello]);
    assert_eq!(accept_hello(&listening, &[&records]), expected);
}

/// The dialer's certificate, its Finished and the first frame behind it, in one flight.
#[test]
fn second_flight_split_anywhere_has_the_same_outcome() {
    let material = load(&Options {
        client_auth: ClientAuth::Required,
        ..Authority::new("ca").issue().options()
    });
    let second_flight = || {
        let mut pair = Pair::new(&material, &material);
        pair.dialer.filter.seal(b"first frame").unwrap();
        let hello = drain(&mut pair.dialer.filter);
        pair.listener.take(&hello);
        let flight = drain(&mut pair.listener.filter);
        pair.dialer.take(&flight);
        let stream = drain(&mut pair.dialer.filter);
        (pair, stream)
    };
    let (mut pair, stream) = second_flight();
    let expected = outcome(&mut pair.listener, &[&stream]);
    assert_eq!(expected.plain, b"first frame");
    assert!(!expected.is_handshaking);
    for split in 0..=stream.len() {
        let (mut pair, stream) = second_flight();
        let (first, second) = stream.split_at(split);
        let split_outcome = outcome(&mut pair.listener, &[first, second]);
        assert_eq!(split_outcome, expected, "split at {split}");
    }
    let (mut pair, stream) = second_flight();
    let bytes: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(outcome(&mut pair.listener, &bytes), expected);
}

/// Records of every size class, in pieces of many sizes.
#[test]
fn data_cut_anyhow_is_the_same_data() {
    let material = Authority::new("ca").issue().material();
    let mut pair = Pair::established(&material, &material);
    let message: Vec<u8> = (0..100_000).map(|index| (index % 241) as u8).collect();
    for piece in [1, 2, 5, 4_095, 4_096, 4_097, 16_406, 16_407, 1 << 20] {
        for size in [1, 100, 16_383, 16_384, 16_385, 100_000] {
            pair.dialer.filter.seal(&message[..size]).unwrap();
        }
        let stream = drain(&mut pair.dialer.filter);
        for cut in stream.chunks(piece) {
            pair.listener.take(cut);
        }
        assert_eq!(pair.listener.error, None);
        let mut rest = &std::mem::take(&mut pair.listener.plain)[..];
        for size in [1, 100, 16_383, 16_384, 16_385, 100_000] {
            let (now, later) = rest.split_at(size);
            assert_eq!(now, &message[..size], "pieces of {piece}");
            rest = later;
        }
        assert!(rest.is_empty());
    }
}
