//! Peers that speak something else: plaintext, other protocols, older TLS.

use ztransport_tls::{Error, ErrorKind, Filter};

use crate::authority::Authority;
use crate::pair::drain;

const UNEXPECTED_MESSAGE: [u8; 7] = [21, 3, 3, 0, 2, 2, 10];
const PROTOCOL_VERSION: [u8; 7] = [21, 3, 3, 0, 2, 2, 70];

fn listener() -> Filter {
    Filter::accept(&Authority::new("ca").issue().material())
}

fn dialer() -> Filter {
    Filter::dial(&Authority::new("ca").issue().material(), "localhost").unwrap()
}

/// The error of a stream that arrives in pieces, and what was written after it.
fn refusal(mut filter: Filter, stream: &[u8], piece: usize) -> (Error, Vec<u8>) {
    let mut plain = Vec::new();
    let error = stream
        .chunks(piece)
        .find_map(|input| filter.handle_input(input, &mut plain).err())
        .unwrap();
    assert!(plain.is_empty());
    let again = filter.handle_input(stream, &mut plain).unwrap_err();
    assert_eq!(again, error, "the first error is final");
    (error, drain(&mut filter))
}

#[test]
fn plaintext_peer_is_told_so_on_its_first_bytes() {
    let streams: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0x80, 0x2e, 1, 0, 2],
        &[22, 2, 0, 0],
        &[24, 3, 3, 0],
    ];
    for stream in streams {
        for piece in [1, 2, stream.len()] {
            let (error, written) = refusal(listener(), stream, piece);
            assert_eq!(*error.kind(), ErrorKind::PlaintextPeer);
            assert_eq!(written, UNEXPECTED_MESSAGE);
        }
    }
}

#[test]
fn dialer_that_meets_plaintext_says_so() {
    for piece in [1, 2, 100] {
        let mut dialer = dialer();
        let hello = drain(&mut dialer);
        let (error, written) = refusal(dialer, b"HTTP/1.1 400 Bad Request\r\n\r\n", piece);
        assert_eq!(*error.kind(), ErrorKind::PlaintextPeer);
        assert!(!hello.is_empty() && written.is_empty());
    }
}

#[test]
fn hello_of_tls12_alone_is_refused_with_alert_70() {
    for extensions in [hello_extensions(&[]), hello_extensions(&[0x0303, 0x0302])] {
        let (error, written) = refusal(listener(), &hello(&extensions), 100);
        assert_eq!(*error.kind(), ErrorKind::ProtocolVersionRefused);
        assert_eq!(written, PROTOCOL_VERSION);
    }
}

#[test]
fn dialer_that_meets_tls12_says_so_and_tells_it() {
    let mut meeting = dialer();
    drain(&mut meeting);
    let mut server_hello = vec![3, 3];
    server_hello.extend([9; 32]);
    server_hello.extend([0, 0xc0, 0x2b, 0]);
    let (error, written) = refusal(meeting, &handshake_record(2, &server_hello), 100);
    assert_eq!(*error.kind(), ErrorKind::ProtocolVersionRefused);
    assert_eq!(written, PROTOCOL_VERSION);
}

#[test]
fn dialer_that_is_told_alert_70_raises_protocol_version_refused() {
    let mut told = dialer();
    drain(&mut told);
    let (error, _) = refusal(told, &PROTOCOL_VERSION, 100);
    assert_eq!(*error.kind(), ErrorKind::ProtocolVersionRefused);
    assert!(error.told_by_peer());
}

#[test]
fn first_records_that_are_no_hello_are_refused_with_an_alert() {
    let streams: [&[u8]; 5] = [
        &[23, 3, 3, 0, 3, 1, 2, 3],
        &[21, 3, 3, 0, 2, 2, 40],
        &[22, 3, 1, 0, 4, 2, 0, 0, 0],
        &[22, 3, 3, 0xff, 0xff],
        &[22, 3, 3, 0, 0],
    ];
    for stream in streams {
        let (_, written) = refusal(listener(), stream, 100);
        assert_eq!(written[..6], UNEXPECTED_MESSAGE[..6], "{stream:?}");
    }
}

#[test]
fn hello_that_announces_more_than_64_kib_is_refused_at_once() {
    let (error, written) = refusal(listener(), &[22, 3, 1, 0, 4, 1, 1, 0, 0], 100);
    assert_eq!(*error.kind(), ErrorKind::Protocol);
    assert_eq!(written.len(), 7);
}

/// A ClientHello record with one TLS 1.2 suite and these extensions.
fn hello(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    handshake_record(1, &body)
}

/// supported_groups and signature_algorithms, and supported_versions if there are any.
fn hello_extensions(versions: &[u16]) -> Vec<u8> {
    let mut extensions = vec![0, 10, 0, 4, 0, 2, 0, 29, 0, 13, 0, 4, 0, 2, 4, 3];
    if !versions.is_empty() {
        let bytes = 2 * versions.len() as u8;
        extensions.extend([0, 43, 0, bytes + 1, bytes]);
        extensions.extend(versions.iter().flat_map(|version| version.to_be_bytes()));
    }
    extensions
}

fn handshake_record(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![22, 3, 3];
    record.extend((body.len() as u16 + 4).to_be_bytes());
    record.extend([kind, 0]);
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}
