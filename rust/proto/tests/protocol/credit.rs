//! Windows of requests and subjects, the high-water mark, and room.

use ztransport_proto::frame::{Kind, LAST, credit_body};
use ztransport_proto::{Body, Event, FaultCode, Limits, Retry, SendError, Time};

use crate::support::{Pair, frame, least_limits, pattern, victim_with_subject};

/// The dialer sends until it is refused; how many went and why no more.
fn send_all(pair: &mut Pair, bytes: &[u8]) -> (usize, SendError) {
    for count in 0.. {
        if let Err(error) = pair.dialer.send(1, bytes) {
            return (count, error);
        }
    }
    unreachable!("sending is never refused")
}

#[test]
fn w_30_a_subject_is_refused_above_its_window() {
    let mut pair = Pair::with_subject(least_limits());
    assert_eq!(send_all(&mut pair, b"x"), (256, SendError::NoCredit));
    pair.exchange();
    assert_eq!(pair.acceptor.take_events().len(), 256);
    assert_eq!(pair.dialer.connection.statistics().unconfirmed, 256);
}

#[test]
fn w_30_bytes_count_too() {
    let mut pair = Pair::with_subject(least_limits());
    assert_eq!(
        send_all(&mut pair, &pattern(65_536)),
        (4, SendError::NoCredit)
    );
    assert_eq!(pair.dialer.send(1, b"x"), Err(SendError::NoCredit));
}

#[test]
fn w_30_one_slow_subject_stalls_no_other() {
    let mut pair = Pair::with_subject(least_limits());
    assert_eq!(pair.dialer.connection.subject("audit"), Ok(2));
    send_all(&mut pair, b"x");
    assert_eq!(pair.dialer.send(2, b"passes"), Ok(()));
    pair.ask(b"passes", 0, 1).unwrap();
}

#[test]
fn w_30_a_peer_that_passes_its_window_is_closed() {
    for (count, taken) in [(255, true), (256, true), (257, false)] {
        let mut end = victim_with_subject(least_limits());
        let frames = frame(Kind::Send, LAST, 1, 0, b"x").repeat(count);
        let result = end.read(Time::ZERO, &frames);
        assert_eq!(result.is_ok(), taken, "{count} messages");
        if let Err(error) = result {
            assert_eq!(error.reason(), "over_window");
        }
    }
}

#[test]
fn w_32_room_comes_with_half_the_window() {
    let mut pair = Pair::with_subject(least_limits());
    send_all(&mut pair, b"x");
    pair.exchange();
    pair.acceptor.connection.release_subject(1, 127, 127);
    pair.exchange();
    assert!(pair.dialer.take_events().is_empty());
    pair.acceptor.connection.release_subject(1, 1, 1);
    pair.exchange();
    assert_eq!(pair.dialer.event(), Event::Room { subject: 1 });
    assert_eq!(pair.dialer.connection.statistics().unconfirmed, 128);
    assert_eq!(send_all(&mut pair, b"x"), (128, SendError::NoCredit));
}

#[test]
fn w_32_room_is_told_when_the_refused_message_fits() {
    let mut pair = Pair::with_subject(least_limits());
    let quarter = pattern(65_536);
    send_all(&mut pair, &quarter);
    pair.exchange();
    pair.acceptor.connection.release_subject(1, 1, 10);
    pair.acceptor.connection.flush_credit(1);
    pair.exchange();
    assert!(pair.dialer.take_events().is_empty());
    pair.acceptor.connection.release_subject(1, 0, 65_526);
    pair.acceptor.connection.release_subject(1, 1, 0);
    pair.acceptor.connection.flush_credit(1);
    pair.exchange();
    assert_eq!(pair.dialer.event(), Event::Room { subject: 1 });
}

#[test]
fn w_33_a_ping_brings_all_credit() {
    let mut pair = Pair::with_subject(Limits::default());
    pair.dialer.send(1, b"x").unwrap();
    pair.exchange();
    pair.acceptor.connection.release_subject(1, 1, 1);
    pair.exchange();
    assert_eq!(pair.dialer.connection.statistics().unconfirmed, 1);
    pair.advance(5_001);
    assert_eq!(pair.dialer.connection.statistics().unconfirmed, 0);
}

#[test]
fn w_31_a_bad_credit_ends_the_connection() {
    let credit = |count, bytes| frame(Kind::Credit, 0, 1, 0, &credit_body(count, bytes));
    for (credits, reason) in [
        (vec![credit(1, 2)], "bad_credit"),
        (vec![credit(2, 1)], "bad_credit"),
        (vec![credit(1, 1), credit(0, 0)], "bad_credit"),
        (
            vec![frame(Kind::Credit, 0, 2, 0, &credit_body(0, 0))],
            "bad_subject",
        ),
        (
            vec![frame(Kind::Credit, 0, 1, 1, &credit_body(0, 0))],
            "bad_frame",
        ),
        (
            vec![frame(Kind::Credit, 0, 0, 0, &credit_body(0, 0))],
            "bad_frame",
        ),
        (vec![frame(Kind::Credit, 0, 1, 0, &[0; 15])], "bad_frame"),
        (vec![frame(Kind::Credit, 0, 1, 0, &[0; 17])], "oversize"),
    ] {
        let mut pair = Pair::with_subject(Limits::default());
        pair.dialer.send(1, b"x").unwrap();
        let error = pair.dialer.read(pair.now, &credits.concat()).unwrap_err();
        assert_eq!(error.reason(), reason);
    }
}

#[test]
fn w_25_requests_are_refused_above_the_window_and_room_is_told() {
    let mut pair = Pair::with_subject(least_limits());
    for token in 0..64 {
        pair.ask(b"x", 0, token).unwrap();
    }
    assert_eq!(pair.ask(b"x", 0, 64), Err(SendError::NoCredit));
    pair.exchange();
    let Event::Request { id, .. } = pair.acceptor.take_events()[0] else {
        panic!()
    };
    pair.acceptor
        .connection
        .fault(id, FaultCode::NoHandler, Retry::NotStarted, "")
        .unwrap();
    pair.exchange();
    let events = pair.dialer.take_events();
    assert_eq!((events.len(), &events[1]), (2, &Event::RequestRoom));
    assert!(pair.ask(b"x", 0, 64).is_ok());
}

#[test]
fn w_25_bytes_of_requests_at_their_limit() {
    for (bytes, taken) in [(65_535, true), (65_536, true)] {
        let mut pair = Pair::with_subject(least_limits());
        for token in 0..15 {
            pair.ask(&pattern(65_536), 0, token).unwrap();
        }
        assert_eq!(
            pair.ask(&pattern(bytes), 0, 15).is_ok(),
            taken,
            "{bytes} bytes"
        );
        let more = pair.ask(b"x", 0, 16).is_ok();
        assert_eq!(more, bytes == 65_535, "{bytes} bytes");
    }
}

#[test]
fn w_25_a_peer_that_passes_the_request_window_is_closed() {
    let request = |count: u64, slot: u64, bytes: usize| {
        frame(
            Kind::Request,
            LAST,
            1,
            count << 16 | slot,
            &vec![0; 4 + bytes],
        )
    };
    let all: Vec<u8> = (0..64)
        .flat_map(|slot| request(slot + 1, slot, 0))
        .collect();
    for slot in [64, 63, 0] {
        let mut end = victim_with_subject(least_limits());
        end.read(Time::ZERO, &all).unwrap();
        let error = end.read(Time::ZERO, &request(65, slot, 0)).unwrap_err();
        assert_eq!(error.reason(), "over_window", "slot {slot}");
    }
    for (bytes, taken) in [(65_535, true), (65_536, true), (65_537, false)] {
        let mut end = victim_with_subject(least_limits());
        let most: Vec<u8> = (0..15)
            .flat_map(|slot| request(slot + 1, slot, 65_536))
            .collect();
        end.read(Time::ZERO, &most).unwrap();
        assert_eq!(
            end.read(Time::ZERO, &request(16, 15, bytes)).is_ok(),
            taken,
            "{bytes} bytes"
        );
    }
}

#[test]
fn w_60_one_way_messages_stop_at_the_high_water_mark() {
    let limits = Limits {
        output_bytes_high: 1_000,
        output_bytes_low: 500,
        ..Limits::default()
    };
    let mut pair = Pair::with_subject(limits);
    let (count, error) = send_all(&mut pair, &pattern(84));
    assert_eq!((count, error), (10, SendError::WouldBlock));
    assert_eq!(send_all(&mut pair, &pattern(84)).0, 0);
    pair.ask(b"requests go on", 0, 1).unwrap();
    assert!(pair.dialer.connection.poll_timeout() > Some(Time::ZERO));
    pair.dialer.connection.poll_output(pair.now);
    pair.dialer.connection.consume_output();
    assert_eq!(pair.dialer.connection.poll_timeout(), Some(Time::ZERO));
    pair.dialer.timeout(pair.now).unwrap();
    assert_eq!(pair.dialer.event(), Event::Room { subject: 1 });
    assert!(pair.dialer.connection.poll_timeout() > Some(Time::ZERO));
}

#[test]
fn w_60_requests_stop_at_four_times_the_mark() {
    let limits = Limits {
        output_bytes_high: 1_000,
        output_bytes_low: 500,
        ..Limits::default()
    };
    let mut pair = Pair::with_subject(limits);
    let mut sent = 0;
    while pair.ask(&pattern(80), 0, sent).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 40);
    pair.exchange();
    assert_eq!(pair.dialer.event(), Event::RequestRoom);
}

#[test]
fn w_19_requests_in_fragments_wait_for_each_other() {
    let limits = Limits {
        assembly_bytes_max: 4 << 20,
        ..Limits::default()
    };
    let mut pair = Pair::with_subject(limits);
    pair.ask(&pattern(3 << 20), 0, 1).unwrap();
    assert_eq!(
        pair.ask(&pattern(2 << 20), 0, 2),
        Err(SendError::WouldBlock)
    );
    pair.ask(b"small ones pass", 0, 3).unwrap();
    pair.exchange();
    assert_eq!(pair.dialer.event(), Event::RequestRoom);
    assert_eq!(pair.acceptor.take_events().len(), 2);
    pair.ask(&pattern(2 << 20), 0, 2).unwrap();
}

#[test]
fn w_51_empty_messages_are_paced_at_the_sender() {
    let mut pair = Pair::with_subject(Limits::default());
    assert_eq!(send_all(&mut pair, b""), (500, SendError::WouldBlock));
    pair.exchange();
    pair.advance(19);
    assert!(pair.dialer.take_events().is_empty());
    pair.advance(1);
    assert_eq!(pair.dialer.event(), Event::Room { subject: 1 });
    assert_eq!(
        pair.dialer.connection.send(1, Body::Borrowed(b""), &[]),
        Ok(())
    );
    pair.exchange();
}
