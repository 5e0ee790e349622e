//! T13: what TLS 1.3 leaves no room for is refused with an alert.

use std::sync::Arc;

use ztransport_tls::{ErrorKind, Filter, Material};

use crate::authority::Authority;
use crate::pair::{Pair, drain};

const CHANGE_CIPHER_SPEC: [u8; 6] = [20, 3, 3, 0, 1, 1];
const HEARTBEAT: [u8; 8] = [24, 3, 3, 0, 3, 1, 0, 0];
const CLEAR_ALERT: [u8; 7] = [21, 3, 3, 0, 2, 1, 200];
const CLEAR_HELLO_REQUEST: [u8; 9] = [22, 3, 3, 0, 4, 0, 0, 0, 0];

fn node() -> Arc<Material> {
    Authority::new("ca").issue().material()
}

#[test]
fn clear_records_after_the_handshake_are_refused_with_an_alert() {
    let material = node();
    let records: [&[u8]; 4] = [
        &CHANGE_CIPHER_SPEC,
        &HEARTBEAT,
        &CLEAR_ALERT,
        &CLEAR_HELLO_REQUEST,
    ];
    for record in records {
        for towards_listener in [true, false] {
            let mut pair = Pair::established(&material, &material);
            let (end, other) = match towards_listener {
                true => (&mut pair.listener, &mut pair.dialer),
                false => (&mut pair.dialer, &mut pair.listener),
            };
            end.take(record);
            assert_eq!(end.kind(), Some(&ErrorKind::Protocol), "{record:?}");
            let alert = drain(&mut end.filter);
            other.take(&alert);
            assert!(
                matches!(other.kind(), Some(ErrorKind::PeerAlert(_))),
                "{record:?}"
            );
        }
    }
}

/// Two are allowed for the sake of middleboxes: one after each ClientHello.
#[test]
fn change_cipher_spec_spam_within_the_handshake_is_fatal() {
    let material = node();
    let mut dialer = Filter::dial(&material, "localhost").unwrap();
    let mut listener = Filter::accept(&material);
    let mut plain = Vec::new();
    listener
        .handle_input(&drain(&mut dialer), &mut plain)
        .unwrap();
    for _ in 0..2 {
        listener
            .handle_input(&CHANGE_CIPHER_SPEC, &mut plain)
            .unwrap();
    }
    listener
        .handle_input(&CHANGE_CIPHER_SPEC, &mut plain)
        .unwrap_err();
}

/// One filter belongs to one loop, but loops may live on different threads.
#[test]
fn filters_can_move_and_material_can_be_shared() {
    fn assert_send<T: Send>() {}
    fn assert_sync<T: Sync>() {}
    assert_send::<Filter>();
    assert_send::<Material>();
    assert_sync::<Material>();
}
