//! T12: records that cost work and bring nothing.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::{Connection, ConnectionTrafficSecrets};
use ztransport_tls::{BLANK_RECORDS_MAX, ErrorKind, Filter};

use crate::authority::Authority;
use crate::pair::drain;
use crate::peer;

struct Flood {
    listener: Filter,
    plain: Vec<u8>,
    dialer: Connection,
}

impl Flood {
    fn established() -> Self {
        let authority = Authority::new("ca");
        let mut config = peer::client_config(&authority, &[b"zt/1"]);
        config.enable_secret_extraction = true;
        let mut flood = Self {
            listener: Filter::accept(&authority.issue().material()),
            plain: Vec::new(),
            dialer: peer::dial(config).into(),
        };
        let outcome = peer::exchange(&mut flood.listener, &mut flood.plain, &mut flood.dialer);
        assert_eq!(outcome, (None, None));
        flood
    }

    fn key_updates(&mut self, count: u32) -> Vec<u8> {
        for _ in 0..count {
            self.dialer.refresh_traffic_keys().unwrap();
        }
        peer::written(&mut self.dialer)
    }

    fn data(&mut self) -> Vec<u8> {
        std::io::Write::write_all(&mut self.dialer.writer(), b"data").unwrap();
        peer::written(&mut self.dialer)
    }

    fn take(&mut self, cipher: &[u8]) -> Option<ErrorKind> {
        let outcome = self.listener.handle_input(cipher, &mut self.plain);
        outcome.err().map(|error| error.kind().clone())
    }
}

#[test]
fn thirty_two_key_updates_in_a_row_pass_and_one_more_is_fatal() {
    let mut flood = Flood::established();
    for _ in 0..3 {
        let updates = flood.key_updates(BLANK_RECORDS_MAX);
        assert_eq!(flood.take(&updates), None);
        let data = flood.data();
        assert_eq!(flood.take(&data), None);
    }
    assert_eq!(flood.plain, b"datadatadata");
    let updates = flood.key_updates(BLANK_RECORDS_MAX + 1);
    assert_eq!(flood.take(&updates), Some(ErrorKind::Protocol));
}

/// Every KeyUpdate asks for one in return; one answers them all.
#[test]
fn key_updates_are_answered_once_per_flush() {
    let mut flood = Flood::established();
    let updates = flood.key_updates(BLANK_RECORDS_MAX);
    assert_eq!(flood.take(&updates), None);
    assert_eq!(flood.listener.pending_bytes(), 0);
    flood.listener.seal(b"answer").unwrap();
    let answer = drain(&mut flood.listener);
    let overhead = ztransport_tls::RECORD_OVERHEAD_BYTES;
    assert_eq!(answer.len(), (overhead + 5) + (overhead + 6));
    assert_eq!(peer::give(&mut flood.dialer, &answer), None);
}

/// Each kind alone stays within what rustls itself allows, so it is the sum that counts.
#[test]
fn key_updates_and_empty_records_count_together() {
    for (empty, expected) in [(12, None), (13, Some(ErrorKind::Protocol))] {
        let mut flood = Flood::established();
        let mut records = flood.key_updates(20);
        let secrets = flood.dialer.dangerous_extract_secrets().unwrap();
        records.extend(empty_records(&secrets.tx, empty));
        flood.dialer = peer::dial(peer::client_config(&Authority::new("unused"), &[])).into();
        assert_eq!(flood.take(&records), expected);
    }
}

#[test]
fn close_notify_after_as_many_blank_records_as_allowed_is_still_heard() {
    let mut flood = Flood::established();
    let mut records = flood.key_updates(BLANK_RECORDS_MAX);
    flood.dialer.send_close_notify();
    records.extend(peer::written(&mut flood.dialer));
    assert_eq!(flood.take(&records), None);
    assert_eq!(flood.listener.handle_end(), Ok(()));
}

/// Application data records without data, from `secrets.0` on (RFC 8446 sections 5.2 and 5.3).
fn empty_records((first, secrets): &(u64, ConnectionTrafficSecrets), count: u64) -> Vec<u8> {
    let ConnectionTrafficSecrets::Aes128Gcm { key, iv } = secrets else {
        panic!("the test's only cipher suite is AES-128-GCM");
    };
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key.as_ref()).unwrap());
    let mut records = Vec::new();
    for sequence in *first..*first + count {
        let mut nonce: [u8; 12] = iv.as_ref().try_into().unwrap();
        for (byte, mask) in nonce[4..].iter_mut().zip(sequence.to_be_bytes()) {
            *byte ^= mask;
        }
        let header = [23, 3, 3, 0, 17];
        let mut body = vec![23];
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, Aad::from(header), &mut body)
            .unwrap();
        records.extend(header);
        records.extend(body);
    }
    records
}
