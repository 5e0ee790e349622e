//! One-way messages, metadata and fragments.

use ztransport_proto::frame::{CONTINUED, Kind, LAST, METADATA};
use ztransport_proto::{Body, Event, Limits, SendError, Time, metadata};

use crate::support::{Pair, frame, pattern, victim_with_subject, whole};

fn fails_with(frames: &[Vec<u8>]) -> &'static str {
    let mut end = victim_with_subject(Limits::default());
    let error = end.read(Time::ZERO, &frames.concat()).unwrap_err();
    error.reason()
}

fn total(bytes: usize) -> [u8; 4] {
    (bytes as u32).to_le_bytes()
}

#[test]
fn w_14_a_subject_is_announced_once() {
    let mut pair = Pair::with_subject(Limits::default());
    assert_eq!(pair.dialer.connection.subject("log"), Ok(1));
    assert_eq!(pair.dialer.connection.subject("audit"), Ok(2));
    pair.exchange();
    assert_eq!(
        pair.acceptor.event(),
        Event::SubjectAnnounced { subject: 2 }
    );
    assert_eq!(pair.acceptor.connection.peer_subject(1), "log");
    assert_eq!(pair.acceptor.connection.peer_subject(2), "audit");
}

#[test]
fn w_14_bad_announcements_end_the_connection() {
    for (number, name, reason) in [
        (3, &b"x"[..], "bad_subject"),
        (1, b"x", "bad_subject"),
        (2, b"\xff", "bad_subject"),
        (2, b"", "bad_frame"),
    ] {
        assert_eq!(
            fails_with(&[frame(Kind::Subject, 0, number, 0, name)]),
            reason,
            "{number}"
        );
    }
}

#[test]
fn w_14_names_at_their_limit() {
    let mut pair = Pair::with_subject(Limits::default());
    for (bytes, taken) in [
        (0, false),
        (1, true),
        (254, true),
        (255, true),
        (256, false),
    ] {
        let result = pair.dialer.connection.subject(&"x".repeat(bytes));
        assert_eq!(result.is_ok(), taken, "{bytes} bytes");
    }
    pair.exchange();
    assert_eq!(pair.acceptor.events.len(), 3);
}

#[test]
fn w_15_a_message_on_an_unknown_subject_ends_the_connection() {
    for kind in [Kind::Send, Kind::Request, Kind::StreamOpen] {
        let id = if kind == Kind::Send { 0 } else { 0x1_0001 };
        let frames = [frame(kind, LAST, 2, id, &[0; 4])];
        assert_eq!(fails_with(&frames), "bad_subject", "{kind:?}");
    }
}

#[test]
fn w_15_one_way_messages_keep_their_order() {
    let mut pair = Pair::with_subject(Limits::default());
    let sizes = [1, 65_536, 200_000, 3, 65_537, 0, 7];
    for size in sizes {
        let body = Body::Owned(pattern(size).into());
        pair.dialer.connection.send(1, body, &[]).unwrap();
    }
    pair.exchange();
    let events = pair.acceptor.take_events();
    let expected = sizes.map(|size| {
        let payload = whole(&pattern(size));
        Event::Send {
            subject: 1,
            metadata: None,
            payload,
        }
    });
    assert_eq!(events, expected);
}

#[test]
fn w_17_metadata_goes_with_its_message() {
    let mut pair = Pair::with_subject(Limits::default());
    let mut block = Vec::new();
    assert!(metadata::append(&mut block, b"traceparent", b"00-1"));
    for size in [0, 10, 100_000] {
        let body = Body::Owned(pattern(size).into());
        pair.dialer.connection.send(1, body, &block).unwrap();
        pair.exchange();
        let metadata = Some(block.as_slice().into());
        let payload = whole(&pattern(size));
        assert_eq!(
            pair.acceptor.event(),
            Event::Send {
                subject: 1,
                metadata,
                payload
            }
        );
    }
}

#[test]
fn w_17_bad_metadata_is_refused_here_and_there() {
    let mut pair = Pair::with_subject(Limits::default());
    let send = pair
        .dialer
        .connection
        .send(1, Body::Borrowed(b"x"), b"no pairs");
    assert_eq!(send, Err(SendError::BadMetadata));
    let bodies: [&[u8]; 5] = [b"", b"\x01", b"\x00\x00", b"\x05\x00ab", b"\x02\x00ab"];
    for body in bodies {
        let frames = [frame(Kind::Send, LAST | METADATA, 1, 0, body)];
        assert_eq!(fails_with(&frames), "bad_frame", "{body:?}");
    }
}

#[test]
fn w_18_fragments_that_break_a_rule() {
    let kib = vec![0; 4_096];
    let begin = |bytes: usize| frame(Kind::Send, 0, 1, 0, &[&total(bytes)[..], &kib].concat());
    let next =
        |flags: u8, bytes: usize| frame(Kind::Send, flags | CONTINUED, 1, 0, &vec![0; bytes]);
    let cases = [
        (vec![next(LAST, 10)], "bad_frame"),
        (vec![begin(8_192), begin(8_192)], "bad_frame"),
        (
            vec![begin(8_192), frame(Kind::Send, LAST, 1, 0, b"x")],
            "bad_frame",
        ),
        (vec![begin(4_096)], "bad_frame"),
        (vec![begin(4_097), next(LAST, 2)], "bad_frame"),
        (vec![begin(4_098), next(LAST, 1)], "bad_frame"),
        (vec![begin(8_192), next(0, 4_096)], "bad_frame"),
        (vec![begin(20_000), next(0, 4_095)], "bad_frame"),
        (vec![begin(20_000), next(LAST, 0)], "bad_frame"),
        (
            vec![frame(Kind::Send, 0, 1, 0, &total(9)[..3])],
            "bad_frame",
        ),
        (
            vec![frame(Kind::Send, METADATA | CONTINUED, 1, 0, &kib)],
            "bad_flags",
        ),
        (vec![begin(200_000), next(0, 65_537)], "oversize"),
        (
            vec![frame(Kind::Send, LAST, 1, 0, &vec![0; 65_537])],
            "oversize",
        ),
    ];
    for (index, (frames, reason)) in cases.iter().enumerate() {
        assert_eq!(fails_with(frames), *reason, "case {index}");
    }
}

#[test]
fn w_18_fragments_of_different_messages_interleave() {
    let mut end = victim_with_subject(Limits::default());
    end.read(Time::ZERO, &frame(Kind::Subject, 0, 2, 0, b"audit"))
        .unwrap();
    let (one, two) = (pattern(10_000), vec![7; 9_000]);
    let first = |subject, bytes: &[u8]| {
        frame(
            Kind::Send,
            0,
            subject,
            0,
            &[&total(bytes.len())[..], &bytes[..5_000]].concat(),
        )
    };
    let rest =
        |subject, bytes: &[u8]| frame(Kind::Send, LAST | CONTINUED, subject, 0, &bytes[5_000..]);
    let frames = [first(1, &one), first(2, &two), rest(2, &two), rest(1, &one)];
    end.events.clear();
    end.read(Time::ZERO, &frames.concat()).unwrap();
    let sent = |subject, bytes: &[u8]| Event::Send {
        subject,
        metadata: None,
        payload: whole(bytes),
    };
    assert_eq!(end.take_events(), [sent(2, &two), sent(1, &one)]);
}

#[test]
fn w_19_a_small_message_passes_a_large_one_of_another_subject() {
    let mut pair = Pair::with_subject(Limits::default());
    assert_eq!(pair.dialer.connection.subject("audit"), Ok(2));
    let large = Body::Owned(vec![0; 1 << 19].into());
    pair.dialer.connection.send(1, large, &[]).unwrap();
    pair.dialer.send(2, b"small").unwrap();
    pair.exchange();
    let events = pair.acceptor.take_events();
    assert!(
        matches!(events[1], Event::Send { subject: 2, .. }),
        "{events:?}"
    );
    assert!(matches!(events[2], Event::Send { subject: 1, .. }));
}

#[test]
fn w_8_skippable_frames_are_skipped() {
    let mut end = victim_with_subject(Limits::default());
    for kind in 0x80..=0xff {
        let skipped = crate::support::raw_frame(kind, 0xff, 9, 9, b"whatever");
        end.read(Time::ZERO, &skipped).unwrap();
    }
    assert!(end.take_events().is_empty());
    assert_eq!(end.connection.statistics().skipped_frames, 128);
}
