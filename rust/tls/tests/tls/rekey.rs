//! Keys are replaced before they are used up, and nobody notices.

use std::sync::Arc;

use ztransport_tls::{Material, Options, RECORD_OVERHEAD_BYTES, RECORD_PLAINTEXT_BYTES_MAX};

use crate::authority::{Authority, load};
use crate::pair::{Pair, drain};

const KEY_UPDATE_BYTES: usize = RECORD_OVERHEAD_BYTES + 5;

fn rekeying(records: u64) -> Arc<Material> {
    load(&Options {
        rekey_records: records,
        ..Authority::new("ca").issue().options()
    })
}

/// T14, with a key life of 1,000 records.
#[test]
fn a_hundred_thousand_small_messages_over_a_hundred_keys_lose_nothing() {
    let material = rekeying(1_000);
    let mut pair = Pair::established(&material, &material);
    let (mut carried, mut expected) = (0, 0_u32);
    for round in 0..1_000_u32 {
        for message in 0..100 {
            let number = round * 100 + message;
            pair.dialer.filter.seal(&number.to_be_bytes()).unwrap();
        }
        // An answer now and then, so that the other direction's KeyUpdates travel too.
        pair.listener.filter.seal(&round.to_be_bytes()).unwrap();
        let records = drain(&mut pair.dialer.filter);
        carried += records.len();
        pair.listener.take(&records);
        pair.exchange();
        for number in pair.listener.plain.drain(..).collect::<Vec<_>>().chunks(4) {
            assert_eq!(number, expected.to_be_bytes());
            expected += 1;
        }
    }
    pair.assert_established();
    assert_eq!(expected, 100_000);
    let answers = (0..1_000_u32).flat_map(u32::to_be_bytes);
    assert!(pair.dialer.plain.into_iter().eq(answers));
    // The last key is full and not replaced before it is needed again.
    let sealed = 100_000 * (4 + RECORD_OVERHEAD_BYTES);
    assert_eq!(carried, sealed + 99 * KEY_UPDATE_BYTES);
}

#[test]
fn one_large_message_may_need_many_keys() {
    let material = rekeying(2);
    let mut pair = Pair::established(&material, &material);
    let message: Vec<u8> = (0..20 * RECORD_PLAINTEXT_BYTES_MAX + 1)
        .map(|index| (index % 251) as u8)
        .collect();
    pair.dialer.filter.seal(&message).unwrap();
    assert_eq!(
        pair.dialer.filter.pending_bytes(),
        message.len() + 21 * RECORD_OVERHEAD_BYTES + 10 * KEY_UPDATE_BYTES
    );
    pair.exchange();
    assert_eq!(pair.listener.plain, message);
}

/// The smallest life there is: a KeyUpdate before every record but the first, both ways.
#[test]
fn a_key_for_every_record_works() {
    let material = rekeying(1);
    let mut pair = Pair::established(&material, &material);
    for round in 0..100_u8 {
        pair.dialer.filter.seal(&[round]).unwrap();
        pair.listener.filter.seal(&[round]).unwrap();
        pair.exchange();
    }
    pair.assert_established();
    let sent: Vec<u8> = (0..100).collect();
    assert_eq!(pair.listener.plain, sent);
    assert_eq!(pair.dialer.plain, sent);
}
