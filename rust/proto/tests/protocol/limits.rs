//! Lengths at their limits, and the limits a node may be given.

use ztransport_proto::frame::{CONTINUED, Header, Kind, LAST, METADATA};
use ztransport_proto::limits::FRAME_BODY_BYTES_MAX;
use ztransport_proto::{Body, Event, Limits, SendError, Time};

use crate::support::{Pair, frame, pattern, victim_with_subject};

fn header(kind: Kind, flags: u8, length: u32) -> Vec<u8> {
    let (subject, id) = if kind == Kind::Send { (1, 0) } else { (0, 0) };
    Header {
        length,
        ..Header::new(kind, flags, subject, id)
    }
    .to_bytes()
    .to_vec()
}

#[test]
fn t19_a_length_is_refused_on_the_header() {
    let most = FRAME_BODY_BYTES_MAX as u32;
    for (length, reason) in [
        (u32::MAX, Some("oversize")),
        (1 << 31, Some("oversize")),
        (most + 1, Some("oversize")),
        (most, None),
        (most - 1, None),
    ] {
        let mut end = victim_with_subject(Limits::default());
        let result = end.read(Time::ZERO, &header(Kind::Send, LAST, length));
        assert_eq!(
            result.err().map(|error| error.reason()),
            reason,
            "length {length}"
        );
        assert_eq!(end.connection.statistics().assembly_bytes, 0);
    }
}

#[test]
fn t19_a_length_of_nothing_is_refused_where_something_must_be() {
    for kind in [
        Kind::Subject,
        Kind::Ping,
        Kind::Pong,
        Kind::GoAway,
        Kind::Fault,
    ] {
        let mut end = victim_with_subject(Limits::default());
        let reason = end
            .read(Time::ZERO, &header(kind, 0, 0))
            .unwrap_err()
            .reason();
        assert_eq!(reason, "bad_frame", "{kind:?}");
    }
}

#[test]
fn t19_the_longest_frame_is_taken() {
    let mut block = Vec::new();
    assert!(ztransport_proto::metadata::append(
        &mut block,
        b"k",
        &[0; 4_096 - 4]
    ));
    let length = (block.len() as u16).to_le_bytes();
    let body = [&length[..], &block, &pattern(65_536)].concat();
    let mut end = victim_with_subject(Limits::default());
    end.read(Time::ZERO, &frame(Kind::Send, LAST | METADATA, 1, 0, &body))
        .unwrap();
    assert!(matches!(
        end.event(),
        Event::Send {
            metadata: Some(_),
            ..
        }
    ));
}

#[test]
fn t19_the_total_of_a_message_at_its_limit() {
    let limit = Limits::default().message_bytes_max;
    for (total, taken) in [
        (limit - 1, true),
        (limit, true),
        (limit + 1, false),
        (u32::MAX, false),
    ] {
        let mut end = victim_with_subject(Limits::default());
        let body = [&total.to_le_bytes()[..], &[0; 4_096]].concat();
        let result = end.read(Time::ZERO, &frame(Kind::Send, 0, 1, 0, &body));
        assert_eq!(result.is_ok(), taken, "total {total}");
    }
}

#[test]
fn w_18_the_longest_message_arrives() {
    let limits = Limits {
        message_bytes_max: 300_000,
        ..Limits::default()
    };
    for (bytes, taken) in [(299_999, true), (300_000, true), (300_001, false)] {
        let mut pair = Pair::with_subject(limits.clone());
        let sent = pair
            .dialer
            .connection
            .send(1, Body::Owned(pattern(bytes).into()), &[]);
        let refused = Err(SendError::Oversize { limit: 300_000 });
        assert_eq!(sent, if taken { Ok(()) } else { refused });
        pair.exchange();
        assert_eq!(pair.acceptor.take_events().len(), usize::from(taken));
    }
}

#[test]
fn w_16_a_fragment_at_its_limits() {
    for (bytes, taken) in [
        (4_095, false),
        (4_096, true),
        (65_536, true),
        (65_537, false),
    ] {
        let mut end = victim_with_subject(Limits::default());
        let body = [&200_000_u32.to_le_bytes()[..], &pattern(bytes)].concat();
        let first = end.read(Time::ZERO, &frame(Kind::Send, 0, 1, 0, &body));
        assert_eq!(first.is_ok(), taken, "first of {bytes} bytes");
        let mut end = victim_with_subject(Limits::default());
        let body = [&200_000_u32.to_le_bytes()[..], &pattern(4_096)].concat();
        end.read(Time::ZERO, &frame(Kind::Send, 0, 1, 0, &body))
            .unwrap();
        let next = end.read(
            Time::ZERO,
            &frame(Kind::Send, CONTINUED, 1, 0, &pattern(bytes)),
        );
        assert_eq!(next.is_ok(), taken, "next of {bytes} bytes");
    }
}

#[test]
fn w_17_metadata_at_its_limit() {
    for (bytes, taken) in [(1_023, true), (1_024, true), (1_025, false)] {
        let limits = Limits {
            metadata_bytes_max: 1_024,
            ..Limits::default()
        };
        let mut block = Vec::new();
        assert!(ztransport_proto::metadata::append(
            &mut block,
            b"k",
            &vec![0; bytes - 4]
        ));
        let mut pair = Pair::with_subject(limits.clone());
        let sent = pair.dialer.connection.send(1, Body::Borrowed(b"x"), &block);
        assert_eq!(sent.is_ok(), taken, "{bytes} bytes");
        let mut end = victim_with_subject(limits);
        let body = [&(bytes as u16).to_le_bytes()[..], &block, b"x"].concat();
        let read = end.read(Time::ZERO, &frame(Kind::Send, LAST | METADATA, 1, 0, &body));
        assert_eq!(read.is_ok(), taken, "{bytes} bytes");
    }
}

#[test]
fn w_14_subjects_at_their_limit() {
    let limits = Limits {
        subjects_max: 17,
        ..Limits::default()
    };
    let mut pair = Pair::new(limits.clone());
    let mut end = crate::support::victim(ztransport_proto::Role::Acceptor, limits);
    for (number, taken) in (1..=16)
        .map(|number| (number, true))
        .chain([(17, true), (18, false)])
    {
        let name = format!("s{number}");
        assert_eq!(
            pair.dialer.connection.subject(&name).is_ok(),
            taken,
            "subject {number}"
        );
        let announced = end.read(
            Time::ZERO,
            &frame(Kind::Subject, 0, number, 0, name.as_bytes()),
        );
        assert_eq!(announced.is_ok(), taken, "subject {number}");
    }
}

/// Sets one limit.
type Set = fn(&mut Limits, u64);

#[rustfmt::skip]
const RANGES: [(&str, u64, u64, Set); 14] = [
    ("message_bytes_max", 65_536, 1 << 20, |limits, value| limits.message_bytes_max = value as u32),
    ("request_window_count", 64, 65_536, |limits, value| limits.request_window_count = value as u32),
    ("request_window_bytes", 4 << 20, 1 << 40, |limits, value| limits.request_window_bytes = value),
    ("subjects_max", 16, 65_535, |limits, value| limits.subjects_max = value as u32),
    ("subject_window_count", 256, u32::MAX as u64, |limits, value| limits.subject_window_count = value as u32),
    ("subject_window_bytes", 4 << 20, 1 << 40, |limits, value| limits.subject_window_bytes = value),
    ("streams_max", 4, 32_768, |limits, value| limits.streams_max = value as u32),
    ("stream_window_count", 64, u32::MAX as u64, |limits, value| limits.stream_window_count = value as u32),
    ("stream_window_bytes", 4 << 20, 1 << 40, |limits, value| limits.stream_window_bytes = value),
    ("assembly_bytes_max", 4 << 20, 1 << 40, |limits, value| limits.assembly_bytes_max = value),
    ("metadata_bytes_max", 1_024, 4_096, |limits, value| limits.metadata_bytes_max = value as u32),
    ("liveness_timeout_ms", 10_000, 86_400_000, |limits, value| limits.liveness_timeout_ms = value as u32),
    ("ping_interval_ms", 25, 7_500, |limits, value| limits.ping_interval_ms = value as u32),
    ("overhead_burst", 1_000, u32::MAX as u64, |limits, value| limits.overhead_burst = value as u32),
];

#[test]
fn every_limit_of_a_node_at_its_ends() {
    for (name, min, max, set) in RANGES {
        let validated = |value: u64| {
            let mut limits = Limits::default();
            set(&mut limits, value);
            limits.validate().map_err(|out| out.to_string())
        };
        for value in [min, min + 1, max - 1, max] {
            assert_eq!(validated(value), Ok(()), "{name} = {value}");
        }
        assert!(validated(min - 1).is_err(), "{name} = {}", min - 1);
        if name != "message_bytes_max" && max != u64::from(u32::MAX) {
            assert!(validated(max + 1).is_err(), "{name} = {}", max + 1);
        }
    }
}

#[test]
fn a_limit_out_of_range_says_how_to_mend_it() {
    let limits = Limits {
        output_bytes_low: 1 << 20,
        ..Limits::default()
    };
    let text = limits.validate().unwrap_err().to_string();
    assert_eq!(text, "output_bytes_low is 1048576: choose 0 to 1048575");
    let limits = Limits {
        message_bytes_max: (1 << 30) + 1,
        ..Limits::default()
    };
    assert!(
        limits
            .validate()
            .unwrap_err()
            .to_string()
            .starts_with("message_bytes_max")
    );
}
