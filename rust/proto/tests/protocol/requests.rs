//! Requests, answers, deadlines and cancellation.

use ztransport_proto::frame::{Kind, LAST};
use ztransport_proto::{Body, Event, FaultCode, Limits, Retry, SendError, Time};

use crate::support::{Pair, frame, pattern, victim_with_subject, whole};

fn request_id(event: &Event) -> u64 {
    let Event::Request { id, .. } = event else {
        panic!("{event:?}")
    };
    *id
}

/// A pair in which the acceptor has one request with token 7.
fn asked(deadline_ms: u64) -> (Pair, u64) {
    let mut pair = Pair::with_subject(Limits::default());
    pair.ask(b"question", deadline_ms, 7).unwrap();
    pair.exchange();
    let id = request_id(&pair.acceptor.event());
    (pair, id)
}

#[test]
fn w_20_a_request_is_answered_once() {
    let (mut pair, id) = asked(0);
    assert_eq!(
        pair.acceptor
            .connection
            .reply(id, Body::Borrowed(b"answer")),
        Ok(())
    );
    let again = pair
        .acceptor
        .connection
        .reply(id, Body::Borrowed(b"answer"));
    assert_eq!(again, Err(SendError::Unknown));
    pair.exchange();
    assert_eq!(
        pair.dialer.event(),
        Event::Reply {
            token: 7,
            payload: whole(b"answer")
        }
    );
    assert!(pair.dialer.connection.is_drained() && pair.acceptor.connection.is_drained());
}

#[test]
fn w_20_answers_come_in_any_order() {
    let mut pair = Pair::with_subject(Limits::default());
    for token in 0..10 {
        pair.ask(&[token as u8], 0, token).unwrap();
    }
    pair.exchange();
    let requests = pair.acceptor.take_events();
    for request in requests.iter().rev() {
        let Event::Request { id, payload, .. } = request else {
            panic!("{request:?}")
        };
        let body = Body::Borrowed(payload.as_slice(&[]));
        pair.acceptor.connection.reply(*id, body).unwrap();
    }
    pair.exchange();
    let replies = pair.dialer.take_events();
    let expected = (0..10).rev().map(|token| Event::Reply {
        token,
        payload: whole(&[token as u8]),
    });
    assert_eq!(replies, expected.collect::<Vec<_>>());
}

#[test]
fn w_20_large_requests_and_replies_arrive_whole() {
    let mut pair = Pair::with_subject(Limits::default());
    for size in [65_535, 65_536, 65_537, 131_072, 1_000_000] {
        pair.ask(&pattern(size), 1_000, 1).unwrap();
        pair.exchange();
        let request = pair.acceptor.event();
        let Event::Request {
            id,
            payload,
            deadline,
            ..
        } = request
        else {
            panic!("{size}")
        };
        assert_eq!(
            (payload, deadline),
            (whole(&pattern(size)), Some(pair.now.after_millis(1_000)))
        );
        let body = Body::Owned(pattern(size).into());
        pair.acceptor.connection.reply(id, body).unwrap();
        pair.exchange();
        assert_eq!(
            pair.dialer.event(),
            Event::Reply {
                token: 1,
                payload: whole(&pattern(size))
            }
        );
    }
}

#[test]
fn w_21_a_fault_carries_code_class_and_text() {
    let (mut pair, id) = asked(0);
    let code = FaultCode::Rejected(0x1234);
    pair.acceptor
        .connection
        .fault(id, code, Retry::Failed, "no such order")
        .unwrap();
    pair.exchange();
    let text = whole(b"no such order");
    assert_eq!(
        pair.dialer.event(),
        Event::Fault {
            token: 7,
            code,
            retry: Retry::Failed,
            text
        }
    );
}

#[test]
fn w_22_an_expired_request_is_cancelled_at_both_sides() {
    let (mut pair, id) = asked(100);
    pair.advance(101);
    assert_eq!(pair.dialer.event(), Event::Expired { token: 7 });
    assert_eq!(pair.acceptor.event(), Event::Cancelled { id });
    pair.acceptor
        .connection
        .reply(id, Body::Borrowed(b"too late"))
        .unwrap();
    pair.exchange();
    assert!(pair.dialer.take_events().is_empty());
    let statistics = pair.dialer.connection.statistics();
    assert_eq!(
        (statistics.late_answers, statistics.requests_in_flight),
        (1, 0)
    );
    assert_eq!((statistics.ignored_ids, statistics.expired), (0, 1));
}

#[test]
fn w_22_a_deadline_holds_to_the_nanosecond() {
    let (mut pair, _) = asked(100);
    let deadline = pair.now.after_millis(100);
    pair.dialer
        .timeout(Time::from_nanos(deadline.as_nanos() - 1))
        .unwrap();
    assert!(pair.dialer.events.is_empty());
    pair.dialer.timeout(deadline).unwrap();
    assert_eq!(pair.dialer.event(), Event::Expired { token: 7 });
}

#[test]
fn w_22_a_request_that_expires_on_the_way_is_never_started() {
    let mut end = victim_with_subject(Limits::default());
    let body = [
        &100_u32.to_le_bytes()[..],
        &5_000_u32.to_le_bytes(),
        &[0; 4_096],
    ]
    .concat();
    end.read(Time::ZERO, &frame(Kind::Request, 0, 1, 0x1_0000, &body))
        .unwrap();
    let late = Time::ZERO.after_millis(100);
    let rest = frame(Kind::Request, LAST | 4, 0, 0x1_0000, &[0; 904]);
    end.read(late, &rest).unwrap();
    assert!(end.take_events().is_empty());
    let answer = end.write(late);
    assert_eq!(answer[4], Kind::Fault as u8);
    assert_eq!(answer[16..19], [4, 0, 0], "deadline exceeded, not started");
    assert_eq!(end.connection.statistics().dropped_unstarted, 1);
}

#[test]
fn w_23_a_cancelled_request_keeps_its_slot_until_it_is_answered() {
    let (mut pair, id) = asked(0);
    assert_eq!(pair.dialer.connection.cancel(pair.now, id), Some(7));
    assert_eq!(pair.dialer.connection.cancel(pair.now, id), None);
    pair.exchange();
    assert_eq!(pair.acceptor.event(), Event::Cancelled { id });
    assert_eq!(pair.dialer.connection.statistics().requests_in_flight, 1);
    let code = FaultCode::Cancelled;
    pair.acceptor
        .connection
        .fault(id, code, Retry::Failed, "")
        .unwrap();
    pair.exchange();
    assert!(pair.dialer.take_events().is_empty());
    assert_eq!(pair.dialer.connection.statistics().requests_in_flight, 0);
}

#[test]
fn w_23_nothing_of_a_request_follows_its_cancel() {
    let mut pair = Pair::with_subject(Limits::default());
    let id = pair.ask(&pattern(1_000_000), 0, 7).unwrap();
    let first = pair.dialer.connection.poll_output(pair.now).to_vec();
    pair.dialer.connection.consume_output();
    assert_eq!(pair.dialer.connection.cancel(pair.now, id), Some(7));
    pair.acceptor.read(pair.now, &first).unwrap();
    pair.exchange();
    assert!(pair.acceptor.take_events().is_empty());
    let statistics = pair.acceptor.connection.statistics();
    assert_eq!(
        (statistics.dropped_unstarted, statistics.assembly_bytes),
        (1, 0)
    );
    assert!(pair.dialer.connection.is_drained() && pair.acceptor.connection.is_drained());
}

#[test]
fn w_23_a_reply_that_crosses_a_cancel_is_dropped() {
    let (mut pair, id) = asked(0);
    pair.acceptor
        .connection
        .reply(id, Body::Borrowed(b"answer"))
        .unwrap();
    assert_eq!(pair.dialer.connection.cancel(pair.now, id), Some(7));
    pair.exchange();
    assert!(pair.dialer.take_events().is_empty() && pair.acceptor.take_events().is_empty());
    assert_eq!(pair.acceptor.connection.statistics().ignored_ids, 0);
    let statistics = pair.dialer.connection.statistics();
    assert_eq!((statistics.ignored_ids, statistics.late_answers), (0, 1));
}

#[test]
fn w_24_what_never_left_may_be_asked_again() {
    let mut pair = Pair::with_subject(Limits::default());
    pair.ask(b"left", 0, 1).unwrap();
    pair.exchange();
    pair.ask(b"stayed", 0, 2).unwrap();
    let mut tokens = pair.dialer.connection.take_outstanding();
    tokens.sort_by_key(|(token, _)| *token);
    assert_eq!(tokens, [(1, Retry::Unknown), (2, Retry::NotStarted)]);
    assert_eq!(pair.dialer.connection.outstanding(), 0);
}

#[test]
fn w_24_what_a_dying_connection_dropped_was_never_started() {
    let mut pair = Pair::with_subject(Limits::default());
    pair.ask(b"stayed", 0, 2).unwrap();
    let garbage = frame(Kind::Hello, 0, 0, 0, b"");
    pair.dialer.read(pair.now, &garbage).unwrap_err();
    assert_eq!(
        pair.dialer.connection.take_outstanding(),
        [(2, Retry::NotStarted)]
    );
}

#[test]
fn a_token_finds_its_request() {
    let (pair, id) = asked(0);
    assert_eq!(pair.dialer.connection.find_token(7), Some(id));
    assert_eq!(pair.dialer.connection.find_token(8), None);
}

#[test]
fn w_20_a_reply_that_is_too_long_leaves_the_request_open() {
    let (mut pair, id) = asked(0);
    let limit = Limits::default().message_bytes_max;
    let body = Body::Owned(vec![0; limit as usize + 1].into());
    assert_eq!(
        pair.acceptor.connection.reply(id, body),
        Err(SendError::Oversize { limit })
    );
    pair.acceptor
        .connection
        .fault(id, FaultCode::Limit, Retry::Failed, "too long")
        .unwrap();
    pair.exchange();
    assert!(matches!(
        pair.dialer.event(),
        Event::Fault {
            code: FaultCode::Limit,
            ..
        }
    ));
}
