//! How a stream ends.

use ztransport_tls::{Error, ErrorKind, Fault, Filter};

use crate::authority::{Authority, Node};
use crate::pair::{Pair, drain};

fn established(node: &Node) -> Pair {
    let material = node.material();
    Pair::established(&material, &material)
}

#[test]
fn close_notify_is_a_clean_end() {
    let mut pair = established(&Authority::new("ca").issue());
    pair.dialer.filter.seal(b"last words").unwrap();
    pair.dialer.filter.close();
    pair.dialer.filter.close();
    pair.exchange();
    assert_eq!(pair.listener.plain, b"last words");
    assert!(pair.listener.filter.peer_has_closed());
    assert_eq!(pair.listener.filter.handle_end(), Ok(()));
}

#[test]
fn the_other_half_stays_open_after_close_notify() {
    let mut pair = established(&Authority::new("ca").issue());
    pair.dialer.filter.close();
    pair.exchange();
    pair.listener.filter.seal(b"answer").unwrap();
    pair.listener.filter.close();
    pair.exchange();
    assert_eq!(pair.dialer.plain, b"answer");
    assert_eq!(pair.dialer.filter.handle_end(), Ok(()));
    let error = pair.dialer.filter.seal(b"too late").unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Closed);
}

#[test]
fn input_behind_close_notify_is_ignored() {
    let mut pair = established(&Authority::new("ca").issue());
    pair.dialer.filter.close();
    let mut bytes = drain(&mut pair.dialer.filter);
    bytes.extend(b"anything at all");
    pair.listener.take(&bytes);
    pair.listener.take(b"and more of it");
    assert_eq!(pair.listener.error, None);
    assert!(pair.listener.plain.is_empty());
    assert_eq!(pair.listener.filter.handle_end(), Ok(()));
}

/// T15: a stream of three records and its close_notify, cut at every offset.
#[test]
fn end_without_close_notify_is_truncated_at_every_offset() {
    let node = Authority::new("ca").issue();
    let payloads: [&[u8]; 3] = [b"one", &[2; 300], b"three"];
    let mut pair = established(&node);
    for payload in payloads {
        pair.dialer.filter.seal(payload).unwrap();
    }
    pair.dialer.filter.close();
    let length = drain(&mut pair.dialer.filter).len();
    let overhead = ztransport_tls::RECORD_OVERHEAD_BYTES;
    for cut in 0..=length {
        let mut pair = established(&node);
        let mut stream = Vec::new();
        for payload in payloads {
            pair.dialer.filter.seal(payload).unwrap();
        }
        pair.dialer.filter.close();
        stream.extend(drain(&mut pair.dialer.filter));
        pair.listener.take(&stream[..cut]);

        let mut whole = Vec::new();
        let mut end = 0;
        for payload in payloads {
            end += payload.len() + overhead;
            whole.extend_from_slice(if end <= cut { payload } else { &[] });
        }
        assert_eq!(pair.listener.plain, whole, "cut at {cut}");
        let expected = match cut == length {
            true => Ok(()),
            false => Err(Error::from(ErrorKind::Truncated)),
        };
        assert_eq!(pair.listener.filter.handle_end(), expected, "cut at {cut}");
    }
}

#[test]
fn end_within_the_handshake_is_truncated() {
    let material = Authority::new("ca").issue().material();
    let mut fresh = [
        Filter::accept(&material),
        Filter::dial(&material, "localhost").unwrap(),
    ];
    for filter in &mut fresh {
        let error = filter.handle_end().unwrap_err();
        assert_eq!(error.fault(), Fault::Closed);
        assert_eq!(filter.seal(b"x"), Err(error));
    }
}

#[test]
fn tampered_record_is_refused_with_an_alert() {
    let mut pair = established(&Authority::new("ca").issue());
    pair.dialer.filter.seal(b"payload").unwrap();
    let mut record = drain(&mut pair.dialer.filter);
    record[9] ^= 1;
    pair.listener.take(&record);
    assert_eq!(pair.listener.kind(), Some(&ErrorKind::Protocol));
    assert!(pair.listener.plain.is_empty());
    let alert = drain(&mut pair.listener.filter);
    pair.dialer.take(&alert);
    assert_eq!(pair.dialer.kind(), Some(&ErrorKind::PeerAlert(20)));
}

#[test]
fn close_before_the_hello_ends_the_listener() {
    let material = Authority::new("ca").issue().material();
    let mut pair = Pair::new(&material, &material);
    pair.listener.filter.close();
    pair.exchange();
    assert!(pair.listener.filter.is_handshaking());
    assert_eq!(pair.listener.error, None);
    assert!(pair.dialer.filter.handle_end().is_err());
}

/// The alert is in the clear, and the only one that a cancelled handshake has.
#[test]
fn a_listener_that_waited_too_long_says_so_before_there_are_keys() {
    let material = Authority::new("ca").issue().material();
    let mut pair = Pair::new(&material, &material);
    let hello = drain(&mut pair.dialer.filter);
    pair.listener.take(&hello[..hello.len() / 2]);
    pair.listener.filter.give_up();
    let told = drain(&mut pair.listener.filter);
    assert_eq!(told, [21, 3, 3, 0, 2, 2, 90]);
    pair.listener.take(&hello[hello.len() / 2..]);
    pair.dialer.take(&told);
    for end in [&pair.listener, &pair.dialer] {
        assert_eq!(end.kind(), Some(&ErrorKind::HandshakeTimeout));
    }
    let error = pair.dialer.error.unwrap();
    assert!(error.told_by_peer() && error.cause().contains("was given up"));
}

/// Behind ServerHello rustls sends no alert of our choice: an orderly end before any greeting.
#[test]
fn a_listener_that_waited_too_long_closes_in_order_once_there_are_keys() {
    let material = Authority::new("ca").issue().material();
    let mut pair = Pair::new(&material, &material);
    pair.listener.take(&drain(&mut pair.dialer.filter));
    pair.listener.filter.give_up();
    pair.listener.filter.close();
    pair.dialer.take(&drain(&mut pair.listener.filter));
    assert_eq!(pair.dialer.error, None);
    assert!(pair.dialer.filter.peer_has_closed() && pair.dialer.plain.is_empty());
    assert!(pair.listener.filter.is_handshaking());
}
