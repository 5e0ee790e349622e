//! Streams: both ways, half-close, reset, acknowledgement.

use ztransport_proto::frame::{Kind, LAST};
use ztransport_proto::{Body, Event, FaultCode, Limits, Role, SendError, Time};

use crate::support::{Pair, frame, least_limits, pattern, victim_with_subject, whole};

/// A pair with one stream that the dialer has opened.
fn opened(limits: Limits) -> (Pair, u64) {
    let mut pair = Pair::with_subject(limits);
    let id = open(&mut pair);
    pair.exchange();
    let payload = whole(b"open");
    assert_eq!(
        pair.acceptor.event(),
        Event::StreamOpened {
            id,
            subject: 1,
            metadata: None,
            payload
        }
    );
    (pair, id)
}

fn open(pair: &mut Pair) -> u64 {
    let body = Body::Borrowed(b"open");
    pair.dialer
        .connection
        .open_stream(pair.now, 1, body, &[])
        .unwrap()
}

fn data(id: u64, bytes: &[u8]) -> Event {
    Event::StreamData {
        id,
        payload: whole(bytes),
    }
}

#[test]
fn w_34_ids_tell_who_opened_a_stream() {
    let (mut pair, id) = opened(Limits::default());
    assert_eq!(id & 1, 1);
    pair.acceptor.connection.subject("jobs").unwrap();
    let body = Body::Borrowed(b"");
    let other = pair
        .acceptor
        .connection
        .open_stream(pair.now, 1, body, &[])
        .unwrap();
    assert_eq!(other & 1, 0);
}

#[test]
fn w_35_messages_go_both_ways_in_order() {
    let (mut pair, id) = opened(Limits::default());
    for size in [1, 100_000, 2, 0, 65_537] {
        let body = || Body::Owned(pattern(size).into());
        pair.dialer.connection.stream_send(id, body()).unwrap();
        pair.acceptor.connection.stream_send(id, body()).unwrap();
    }
    pair.exchange();
    let expected = [1, 100_000, 2, 0, 65_537].map(|size| data(id, &pattern(size)));
    assert_eq!(pair.dialer.take_events(), expected);
    assert_eq!(pair.acceptor.take_events(), expected);
}

#[test]
fn w_36_a_stream_ends_at_each_side_alone() {
    let (mut pair, id) = opened(Limits::default());
    pair.dialer
        .connection
        .stream_send(id, Body::Borrowed(b"last"))
        .unwrap();
    pair.dialer.connection.stream_finish(id).unwrap();
    assert_eq!(
        pair.dialer.connection.stream_finish(id),
        Err(SendError::Unknown)
    );
    let late = pair.dialer.connection.stream_send(id, Body::Borrowed(b"x"));
    assert_eq!(late, Err(SendError::Unknown));
    pair.exchange();
    assert_eq!(
        pair.acceptor.take_events(),
        [data(id, b"last"), Event::StreamEnd { id }]
    );
    pair.acceptor
        .connection
        .stream_send(id, Body::Borrowed(b"still"))
        .unwrap();
    pair.acceptor.connection.stream_finish(id).unwrap();
    pair.exchange();
    assert_eq!(
        pair.dialer.take_events(),
        [data(id, b"still"), Event::StreamEnd { id }]
    );
    assert_eq!(pair.dialer.connection.statistics().streams_open, 1);
}

#[test]
fn w_36_a_stream_closes_when_all_is_consumed() {
    let (mut pair, id) = opened(Limits::default());
    pair.dialer
        .connection
        .stream_send(id, Body::Borrowed(b"last"))
        .unwrap();
    pair.dialer.connection.stream_finish(id).unwrap();
    pair.acceptor.connection.stream_finish(id).unwrap();
    pair.exchange();
    pair.acceptor.take_events();
    assert_eq!(pair.dialer.event(), Event::StreamEnd { id });
    pair.acceptor.connection.release_stream(id, 1, 4);
    pair.exchange();
    let closed = Event::StreamClosed { id };
    assert_eq!(pair.acceptor.event(), closed);
    assert_eq!(
        pair.dialer.take_events(),
        [Event::StreamAcknowledged { id, count: 1 }, closed]
    );
    assert!(pair.dialer.connection.is_drained() && pair.acceptor.connection.is_drained());
}

#[test]
fn w_36_the_end_waits_behind_fragments() {
    let (mut pair, id) = opened(Limits::default());
    let large = Body::Owned(pattern(300_000).into());
    pair.dialer.connection.stream_send(id, large).unwrap();
    pair.dialer.connection.stream_finish(id).unwrap();
    pair.exchange();
    assert_eq!(
        pair.acceptor.take_events(),
        [data(id, &pattern(300_000)), Event::StreamEnd { id }]
    );
}

#[test]
fn w_37_a_reset_ends_both_ways_and_frees_the_slot() {
    let (mut pair, id) = opened(least_limits());
    pair.acceptor
        .connection
        .stream_send(id, Body::Borrowed(b"crossing"))
        .unwrap();
    pair.dialer
        .connection
        .stream_reset(id, FaultCode::Cancelled, "enough");
    let late = pair.dialer.connection.stream_send(id, Body::Borrowed(b"x"));
    assert_eq!(late, Err(SendError::Unknown));
    pair.exchange();
    let (code, text) = (FaultCode::Cancelled, whole(b"enough"));
    assert_eq!(pair.acceptor.event(), Event::StreamReset { id, code, text });
    assert!(pair.dialer.take_events().is_empty());
    assert!(pair.dialer.connection.is_drained() && pair.acceptor.connection.is_drained());
    assert_eq!((0..4).map(|_| open(&mut pair)).count(), 4);
    pair.exchange();
    assert_eq!(pair.acceptor.take_events().len(), 4);
}

#[test]
fn w_37_resets_that_cross_meet() {
    let (mut pair, id) = opened(Limits::default());
    pair.dialer
        .connection
        .stream_reset(id, FaultCode::Cancelled, "");
    pair.acceptor
        .connection
        .stream_reset(id, FaultCode::Overloaded, "");
    pair.exchange();
    assert!(pair.dialer.take_events().is_empty() && pair.acceptor.take_events().is_empty());
    assert!(pair.dialer.connection.is_drained() && pair.acceptor.connection.is_drained());
    assert_eq!(pair.dialer.connection.statistics().ignored_ids, 0);
}

#[test]
fn w_37_a_reset_cuts_a_message_in_fragments() {
    let (mut pair, id) = opened(Limits::default());
    let large = Body::Owned(pattern(900_000).into());
    pair.dialer.connection.stream_send(id, large).unwrap();
    let first = pair.dialer.connection.poll_output(pair.now).to_vec();
    pair.dialer.connection.consume_output();
    pair.acceptor.read(pair.now, &first).unwrap();
    assert!(pair.acceptor.connection.statistics().assembly_bytes > 0);
    pair.acceptor
        .connection
        .stream_reset(id, FaultCode::Overloaded, "");
    pair.exchange();
    assert!(matches!(pair.dialer.event(), Event::StreamReset { .. }));
    assert_eq!(pair.acceptor.connection.statistics().assembly_bytes, 0);
    assert!(pair.dialer.connection.is_drained() && pair.acceptor.connection.is_drained());
}

#[test]
fn w_37_a_reset_after_the_end_is_no_offence() {
    let (mut pair, id) = opened(Limits::default());
    pair.dialer.connection.stream_finish(id).unwrap();
    pair.exchange();
    pair.acceptor.take_events();
    pair.acceptor.connection.stream_finish(id).unwrap();
    pair.acceptor
        .connection
        .stream_reset(id, FaultCode::Cancelled, "");
    pair.exchange();
    assert!(pair.dialer.connection.is_drained() && pair.acceptor.connection.is_drained());
    assert_eq!(pair.dialer.connection.statistics().ignored_ids, 0);
}

#[test]
fn w_38_what_is_consumed_is_acknowledged() {
    let (mut pair, id) = opened(Limits::default());
    for _ in 0..10 {
        pair.dialer
            .connection
            .stream_send(id, Body::Borrowed(b"x"))
            .unwrap();
    }
    pair.exchange();
    assert_eq!(pair.acceptor.take_events().len(), 10);
    pair.acceptor.connection.release_stream(id, 4, 4);
    pair.exchange();
    assert!(pair.dialer.take_events().is_empty());
    pair.acceptor.connection.flush_credit_stream(id);
    pair.exchange();
    assert_eq!(
        pair.dialer.event(),
        Event::StreamAcknowledged { id, count: 4 }
    );
    pair.acceptor.connection.release_stream(id, 6, 6);
    pair.exchange();
    assert_eq!(
        pair.dialer.event(),
        Event::StreamAcknowledged { id, count: 10 }
    );
}

#[test]
fn w_38_a_full_stream_tells_when_there_is_room() {
    let (mut pair, id) = opened(least_limits());
    let sent = (0..100).take_while(|_| {
        pair.dialer
            .connection
            .stream_send(id, Body::Borrowed(b"x"))
            .is_ok()
    });
    assert_eq!(sent.count(), 64);
    let refused = pair.dialer.connection.stream_send(id, Body::Borrowed(b"x"));
    assert_eq!(refused, Err(SendError::NoCredit));
    pair.exchange();
    pair.acceptor.take_events();
    pair.acceptor.connection.release_stream(id, 32, 32);
    pair.exchange();
    let acknowledged = Event::StreamAcknowledged { id, count: 32 };
    assert_eq!(
        pair.dialer.take_events(),
        [acknowledged, Event::StreamRoom { id }]
    );
    assert_eq!(
        pair.dialer.connection.stream_send(id, Body::Borrowed(b"x")),
        Ok(())
    );
}

#[test]
fn w_34_more_streams_than_allowed_are_refused_here_and_there() {
    let mut pair = Pair::with_subject(least_limits());
    let ids: Vec<u64> = (0..4).map(|_| open(&mut pair)).collect();
    let body = Body::Borrowed(b"");
    let fifth = pair.dialer.connection.open_stream(pair.now, 1, body, &[]);
    assert_eq!(fifth, Err(SendError::Limit));
    assert_eq!(ids.len(), 4);
    let mut end = victim_with_subject(least_limits());
    let opens: Vec<Vec<u8>> = (0..5)
        .map(|slot| {
            frame(
                Kind::StreamOpen,
                LAST,
                1,
                (slot + 1) << 16 | slot << 1 | 1,
                b"",
            )
        })
        .collect();
    end.read(Time::ZERO, &opens[..4].concat()).unwrap();
    let error = end.read(Time::ZERO, &opens[4]).unwrap_err();
    assert_eq!(error.reason(), "over_window");
}

#[test]
fn w_34_what_a_stream_is_opened_with_at_its_limit() {
    let mut pair = Pair::with_subject(Limits::default());
    for (bytes, taken) in [(65_535, true), (65_536, true), (65_537, false)] {
        let body = Body::Owned(vec![0; bytes].into());
        let opened = pair.dialer.connection.open_stream(pair.now, 1, body, &[]);
        assert_eq!(opened.is_ok(), taken, "{bytes} bytes");
    }
    pair.exchange();
    assert_eq!(pair.acceptor.take_events().len(), 2);
}

#[test]
fn w_35_frames_that_break_a_streams_rules() {
    const ID: u64 = 0x1_0001;
    let open = || frame(Kind::StreamOpen, LAST, 1, ID, b"");
    let end = || frame(Kind::StreamEnd, 0, 0, ID, b"");
    let data = |flags: u8, bytes: usize| frame(Kind::StreamData, flags, 0, ID, &vec![0; bytes]);
    let ours = frame(Kind::StreamOpen, LAST, 1, 0x1_0000, b"");
    let begun = frame(
        Kind::StreamData,
        0,
        0,
        ID,
        &[&9_000_u32.to_le_bytes()[..], &[0; 4_096]].concat(),
    );
    let cases = [
        (vec![ours], "bad_frame"),
        (vec![open(), end(), end()], "wrong_state"),
        (vec![open(), end(), data(LAST, 1)], "wrong_state"),
        (vec![open(), begun.clone(), end()], "wrong_state"),
        (vec![open(), begun, data(LAST, 1)], "bad_frame"),
        (vec![open(), data(LAST | 4, 1)], "bad_frame"),
        (
            vec![open(), frame(Kind::Credit, 0, 0, ID, &[1; 16])],
            "bad_credit",
        ),
        (
            vec![frame(Kind::StreamOpen, 0, 1, ID, &[0; 100])],
            "bad_flags",
        ),
    ];
    for (index, (frames, reason)) in cases.iter().enumerate() {
        let mut victim = victim_with_subject(Limits::default());
        let error = victim.read(Time::ZERO, &frames.concat()).unwrap_err();
        assert_eq!(error.reason(), *reason, "case {index}");
    }
}

#[test]
fn w_37_a_reset_stream_still_keeps_its_window() {
    let mut end = victim_with_subject(least_limits());
    let open = frame(Kind::StreamOpen, LAST, 1, 0x1_0001, b"");
    end.read(Time::ZERO, &open).unwrap();
    end.connection
        .stream_reset(0x1_0001, FaultCode::Overloaded, "");
    end.take_events();
    let message = frame(Kind::StreamData, LAST, 0, 0x1_0001, b"x");
    end.read(Time::ZERO, &message.repeat(64)).unwrap();
    assert!(end.take_events().is_empty());
    assert_eq!(
        end.read(Time::ZERO, &message).unwrap_err().reason(),
        "over_window"
    );
}

#[test]
fn streams_of_an_unknown_role_do_not_exist() {
    let mut end = crate::support::victim(Role::Dialer, Limits::default());
    assert_eq!(
        end.connection.stream_finish(0x1_0001),
        Err(SendError::Unknown)
    );
    end.connection
        .stream_reset(0x1_0001, FaultCode::Cancelled, "");
    end.connection.release_stream(0x1_0001, 1, 1);
    assert!(end.write(Time::ZERO).is_empty());
}
