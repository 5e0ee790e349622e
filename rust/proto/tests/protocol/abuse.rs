//! What a hostile peer does, and what becomes of it. In all of it time stands still or is virtual.

use ztransport_proto::frame::{Kind, LAST, credit_body, fault_body, reason_body};
use ztransport_proto::{Body, Event, FaultCode, Limits, Retry, Role, Time};

use crate::support::{End, Pair, frame, least_limits, pattern, raw_frame, victim_with_subject};

/// Feeds one frame again and again; how many were taken, and why no more.
fn flood(end: &mut End, count: usize, bytes: impl Fn(usize) -> Vec<u8>) -> (usize, &'static str) {
    for index in 0..count {
        if let Err(error) = end.read(Time::ZERO, &bytes(index)) {
            return (index, error.reason());
        }
        end.events.clear();
        end.write(Time::ZERO);
    }
    (count, "taken")
}

fn request(count: u64, slot: u64) -> Vec<u8> {
    frame(Kind::Request, LAST, 1, count << 16 | slot, &[0; 5])
}

/// W-56.
#[test]
fn t18_replies_are_delivered_after_the_peer_ended_its_side() {
    let mut pair = Pair::with_subject(Limits::default());
    for token in 0..50 {
        pair.ask(b"x", 0, token).unwrap();
    }
    pair.exchange();
    pair.acceptor.end(pair.now).unwrap();
    for event in pair.acceptor.take_events() {
        let Event::Request { id, .. } = event else {
            panic!("{event:?}")
        };
        assert!(!pair.acceptor.connection.is_drained());
        pair.acceptor
            .connection
            .reply(id, Body::Owned(pattern(100_000).into()))
            .unwrap();
    }
    let answers = pair.acceptor.write(pair.now);
    assert!(pair.acceptor.connection.is_drained());
    pair.dialer.read(pair.now, &answers).unwrap();
    assert_eq!(pair.dialer.take_events().len(), 50);
}

#[test]
fn t21_frames_without_content_at_their_limit() {
    let floods = [
        ("ping", frame(Kind::Ping, 0, 0, 0, &[0; 8]), 1_000),
        ("pong", frame(Kind::Pong, 0, 0, 0, &[0; 8]), 1_000),
        ("skippable", raw_frame(0x80, 0, 0, 0, b""), 1_000),
        (
            "credit",
            frame(Kind::Credit, 0, 1, 0, &credit_body(0, 0)),
            1_000,
        ),
        // The cancel that belongs to the request is free.
        ("cancel", frame(Kind::Cancel, 0, 0, 0x1_0000, b""), 1_001),
        ("empty message", frame(Kind::Send, LAST, 1, 0, b""), 1_000),
    ];
    for (name, bytes, taken) in floods {
        let mut end = victim_with_subject(Limits::default());
        end.connection.subject("own").unwrap();
        end.read(Time::ZERO, &request(1, 0)).unwrap();
        let flooded = flood(&mut end, 1_000_000, |_| bytes.clone());
        assert_eq!(flooded, (taken, "flood"), "{name}");
    }
}

#[test]
fn t21_a_second_goaway_carries_nothing() {
    let mut end = victim_with_subject(Limits::default());
    let goaway = |_| {
        frame(
            Kind::GoAway,
            0,
            0,
            0,
            &reason_body(FaultCode::ShuttingDown, ""),
        )
    };
    assert_eq!(flood(&mut end, 1_000_000, goaway), (1_001, "flood"));
}

#[test]
fn t21_the_budget_comes_back_with_time() {
    let mut end = victim_with_subject(Limits::default());
    let ping = frame(Kind::Ping, 0, 0, 0, &[0; 8]);
    for count in 0..10_000_u64 {
        end.read(Time::ZERO.after_millis(10 * count), &ping)
            .unwrap();
    }
}

/// W-26.
#[test]
fn t23_forged_answers_complete_nothing() {
    let mut end = victim_with_subject(Limits::default());
    end.connection.subject("own").unwrap();
    let id = end
        .connection
        .request(Time::ZERO, 1, Body::Borrowed(b"x"), None, &[], 7)
        .unwrap();
    let forged = |index: usize| frame(Kind::Reply, LAST, 0, id + 1 + index as u64, b"forged");
    assert_eq!(flood(&mut end, 1_000_000, forged), (1_000, "unknown_ids"));
    assert_eq!(end.connection.take_outstanding(), [(7, Retry::Unknown)]);
}

#[test]
fn t23_unknown_ids_at_their_limit() {
    let fault = fault_body(FaultCode::NoHandler, Retry::NotStarted, "");
    for (count, taken) in [(999, true), (1_000, true), (1_001, false)] {
        let mut end = victim_with_subject(Limits::default());
        let forged = frame(Kind::Fault, 0, 0, 0x5_0000, &fault).repeat(count);
        assert_eq!(
            end.read(Time::ZERO, &forged).is_ok(),
            taken,
            "{count} faults"
        );
        assert!(end.events.is_empty());
    }
}

#[test]
fn t23_an_answered_id_is_unknown() {
    let mut pair = Pair::with_subject(Limits::default());
    let id = pair.ask(b"x", 0, 1).unwrap();
    pair.exchange();
    let reply = frame(Kind::Reply, LAST, 0, id, b"answer");
    pair.dialer.read(pair.now, &reply.repeat(5)).unwrap();
    assert_eq!(pair.dialer.take_events().len(), 1);
    assert_eq!(pair.dialer.connection.statistics().ignored_ids, 4);
}

#[test]
fn t23_an_answer_to_a_call_of_another_connection_is_dropped() {
    let mut one = Pair::with_subject(Limits::default());
    let mut two = Pair::with_subject(Limits::default());
    for token in 0..3 {
        two.ask(b"x", 0, token).unwrap();
    }
    one.ask(b"x", 0, 9).unwrap();
    two.exchange();
    let Event::Request { id, .. } = two.acceptor.take_events().pop().unwrap() else {
        panic!()
    };
    two.acceptor
        .connection
        .reply(id, Body::Borrowed(b"for two"))
        .unwrap();
    let stray = two.acceptor.write(two.now);
    one.dialer.read(one.now, &stray).unwrap();
    assert!(one.dialer.take_events().is_empty());
    assert_eq!(one.dialer.connection.statistics().ignored_ids, 1);
}

#[test]
fn t23_requests_whose_ids_do_not_ascend_are_dropped() {
    let mut end = victim_with_subject(Limits::default());
    end.read(Time::ZERO, &request(5, 0)).unwrap();
    end.events.clear();
    for (count, slot) in [(5, 0), (5, 1), (4, 2), (0, 3), (1, 4)] {
        end.read(Time::ZERO, &request(count, slot)).unwrap();
    }
    assert!(end.events.is_empty());
    assert_eq!(end.connection.statistics().ignored_ids, 5);
    assert_eq!(
        flood(&mut end, 1_000_000, |_| request(5, 1)),
        (995, "unknown_ids")
    );
}

#[test]
fn t23_frames_of_streams_that_never_were() {
    let kinds = [
        (Kind::StreamData, LAST),
        (Kind::StreamEnd, 0),
        (Kind::StreamReset, 0),
        (Kind::Credit, 0),
    ];
    for (kind, flags) in kinds {
        let mut end = victim_with_subject(Limits::default());
        let body = match kind {
            Kind::StreamReset => reason_body(FaultCode::Limit, ""),
            Kind::Credit => credit_body(0, 0).to_vec(),
            _ => Vec::new(),
        };
        let bytes = |_| frame(kind, flags, 0, 0x7_0001, &body);
        assert_eq!(
            flood(&mut end, 1_000_000, bytes),
            (1_000, "unknown_ids"),
            "{kind:?}"
        );
    }
}

/// W-27.
#[test]
fn t24_a_peer_that_never_reads_is_held_to_its_window() {
    let mut end = victim_with_subject(Limits::default());
    let mut taken = 0_u64;
    let reason = loop {
        let slot = taken % 1_024;
        if let Err(error) = end.read(Time::ZERO, &request(taken + 1, slot)) {
            break error.reason();
        }
        let Event::Request { id, .. } = end.event() else {
            panic!()
        };
        end.connection.reply(id, Body::Borrowed(&[0; 100])).unwrap();
        taken += 1;
    };
    assert_eq!((taken, reason), (1_024, "over_window"));
}

#[test]
fn t24_a_slot_is_free_once_its_answer_has_left() {
    let mut end = victim_with_subject(Limits::default());
    for count in 1..10_000 {
        end.read(Time::ZERO, &request(count, 0)).unwrap();
        let Event::Request { id, .. } = end.event() else {
            panic!()
        };
        end.connection.reply(id, Body::Borrowed(b"answer")).unwrap();
        end.write(Time::ZERO);
    }
}

/// W-28.
#[test]
fn t25_cancelled_work_counts_until_it_is_reaped() {
    let mut end = victim_with_subject(least_limits());
    let mut live = 0;
    let mut reason = "";
    for count in 0..1_000_000_u64 {
        let id = (count + 1) << 16 | (count % 64);
        let bytes = [
            request(count + 1, count % 64),
            frame(Kind::Cancel, 0, 0, id, b""),
        ]
        .concat();
        if let Err(error) = end.read(Time::ZERO, &bytes) {
            reason = error.reason();
            break;
        }
        live += end
            .take_events()
            .iter()
            .filter(|event| matches!(event, Event::Request { .. }))
            .count();
        end.write(Time::ZERO);
    }
    assert_eq!((live, reason), (64, "over_window"));
}

#[test]
fn t25_a_million_cancels_that_are_reaped_are_no_offence() {
    let mut end = victim_with_subject(least_limits());
    for count in 0..1_000_000_u64 {
        let id = (count + 1) << 16;
        let bytes = [request(count + 1, 0), frame(Kind::Cancel, 0, 0, id, b"")].concat();
        end.read(Time::ZERO, &bytes).unwrap();
        assert_eq!(end.take_events().len(), 2);
        end.connection
            .fault(id, FaultCode::Cancelled, Retry::Failed, "")
            .unwrap();
        end.write(Time::ZERO);
    }
    assert_eq!(end.connection.statistics().requests_running, 0);
}

/// W-39.
#[test]
fn t25_streams_that_are_opened_and_reset_again_and_again() {
    let mut end = victim_with_subject(least_limits());
    let storm = |index: usize| {
        let id = (index as u64 + 1) << 16 | 1;
        let open = frame(Kind::StreamOpen, LAST, 1, id, b"");
        [
            open,
            frame(
                Kind::StreamReset,
                0,
                0,
                id,
                &reason_body(FaultCode::Cancelled, ""),
            ),
        ]
        .concat()
    };
    assert_eq!(flood(&mut end, 1_000_000, storm), (1_004, "flood"));
}

#[test]
fn t27_unfinished_messages_are_bounded_together() {
    let mut end = victim_with_subject(Limits::default());
    let begin = |index: usize| {
        let body = [&[0; 4][..], &(1_u32 << 20).to_le_bytes(), &[0; 4_096]].concat();
        frame(
            Kind::Request,
            0,
            1,
            (index as u64 + 1) << 16 | index as u64,
            &body,
        )
    };
    assert_eq!(flood(&mut end, 1_000, begin), (16, "over_window"));
    let limits = Limits {
        request_window_bytes: 1 << 30,
        ..Limits::default()
    };
    let mut end = victim_with_subject(limits);
    assert_eq!(flood(&mut end, 1_000, begin), (64, "assembly_full"));
    assert!(end.connection.statistics().assembly_bytes <= 64 << 20);
}

#[test]
fn t27_a_message_that_is_never_finished_is_closed() {
    let mut end = victim_with_subject(Limits::default());
    let body = [&(1_u32 << 20).to_le_bytes()[..], &[0; 4_096]].concat();
    end.read(Time::ZERO, &frame(Kind::Send, 0, 1, 0, &body))
        .unwrap();
    // Whole messages of others do not keep it alive.
    end.read(Time::ZERO, &frame(Kind::Subject, 0, 2, 0, b"other"))
        .unwrap();
    let other = frame(Kind::Send, LAST, 2, 0, b"x");
    let mut closed = None;
    for second in 1..20 {
        let now = Time::ZERO.after_millis(second * 1_000);
        end.read(now, &other).unwrap();
        if let Err(error) = end.timeout(now) {
            closed = Some((second, error.reason()));
            break;
        }
    }
    assert_eq!(closed, Some((10, "slow_frame")));
}

#[test]
fn t31_text_of_the_peer_stays_one_line_in_errors() {
    let mut end = crate::support::victim(Role::Dialer, Limits::default());
    let body = fault_body(FaultCode::Protocol, Retry::Failed, "a\nb\x1b[31m\u{202e}");
    let error = end
        .read(Time::ZERO, &frame(Kind::Fault, 0, 0, 0, &body))
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("a\\nb") && !text.contains(['\n', '\x1b', '\u{202e}']),
        "{text}"
    );
}
