//! Time: HELLO, pings, silence, slow frames, a driver that stands still.

use ztransport_proto::frame::{Kind, LAST, PREFACE};
use ztransport_proto::{Body, Event, Limits, Role, Time};

use crate::support::{End, Pair, frame, pattern, settings, victim, victim_with_subject};

fn at(millis: u64) -> Time {
    Time::ZERO.after_millis(millis)
}

/// Calls the timeout whenever it is due, until an error or `until`.
fn run(end: &mut End, until: Time) -> Result<(), (Time, &'static str)> {
    while let Some(next) = end.connection.poll_timeout().filter(|next| *next <= until) {
        end.timeout(next).map_err(|error| (next, error.reason()))?;
        end.write(next);
    }
    Ok(())
}

#[test]
fn t3_without_hello_the_connection_ends_after_two_seconds() {
    for role in [Role::Dialer, Role::Acceptor] {
        let mut end = End::new(role, settings("x", Limits::default()));
        assert_eq!(run(&mut end, at(1_999)), Ok(()));
        assert_eq!(run(&mut end, at(5_000)), Err((at(2_000), "no_hello")));
        assert_eq!(end.connection.poll_timeout(), None);
    }
}

#[test]
fn t3_the_deadline_is_total_and_not_renewed_by_bytes() {
    let mut end = End::new(Role::Acceptor, settings("b", Limits::default()));
    for (second, byte) in PREFACE.iter().enumerate() {
        end.read(at(second as u64 * 240), &[*byte]).unwrap();
    }
    assert_eq!(run(&mut end, at(5_000)), Err((at(2_000), "no_hello")));
}

#[test]
fn w_46_hello_just_in_time() {
    let mut end = End::new(Role::Dialer, settings("a", Limits::default()));
    let hello = crate::support::hello_frame(&settings("b", Limits::default()));
    end.read(at(1_999), &hello).unwrap();
    assert_eq!(run(&mut end, at(6_000)), Ok(()));
}

#[test]
fn t17_a_silent_peer_is_found_after_fifteen_seconds() {
    let mut end = victim(Role::Acceptor, Limits::default());
    let found = run(&mut end, at(60_000));
    assert_eq!(found, Err((at(15_000), "silent")));
    assert_eq!(end.connection.statistics().sent.pings, 1);
}

#[test]
fn w_47_any_new_byte_is_a_sign_of_life() {
    let mut end = victim(Role::Acceptor, Limits::default());
    let ping = frame(Kind::Ping, 0, 0, 0, &[0; 8]);
    for (second, byte) in ping.iter().enumerate() {
        end.read(at(1_000 + second as u64 * 300), &[*byte]).unwrap();
    }
    let heard = 1_000 + 300 * (ping.len() as u64 - 1);
    assert_eq!(
        run(&mut end, at(60_000)),
        Err((at(heard + 15_000), "silent"))
    );
}

#[test]
fn w_47_the_same_bytes_again_are_no_sign_of_life() {
    let mut end = victim(Role::Acceptor, Limits::default());
    let part = &frame(Kind::Ping, 0, 0, 0, &[0; 8])[..10];
    let mut events = Vec::new();
    for second in 1..=9 {
        let now = at(second * 1_000);
        end.connection
            .handle_input(now, part, &mut events, 10)
            .unwrap();
        assert_eq!(run(&mut end, now), Ok(()));
    }
    // The frame that does not go on is given up before its sender is.
    assert_eq!(run(&mut end, at(60_000)), Err((at(11_000), "slow_frame")));
    let mut end = victim(
        Role::Acceptor,
        Limits {
            assembly_grace_ms: 60_000,
            ..Limits::default()
        },
    );
    for second in 1..=9 {
        let now = at(second * 1_000);
        end.connection
            .handle_input(now, part, &mut events, 10)
            .unwrap();
        assert_eq!(run(&mut end, now), Ok(()));
    }
    assert_eq!(run(&mut end, at(60_000)), Err((at(16_000), "silent")));
}

#[test]
fn w_48_pings_measure_the_round_trip() {
    let mut pair = Pair::new(Limits::default());
    pair.advance(20_000);
    let statistics = pair.dialer.connection.statistics();
    assert!(
        statistics.rtt_ns > 0 && statistics.sent.pings >= 3,
        "{statistics:?}"
    );
    assert_eq!(
        statistics.sent.pings,
        pair.acceptor.connection.statistics().received.pings
    );
}

#[test]
fn w_48_the_round_trip_is_smoothed() {
    let mut end = victim(Role::Acceptor, Limits::default());
    let mut now = 0;
    for (value, trip) in [(1, 80), (2, 160)] {
        now += 5_000;
        end.timeout(at(now)).unwrap();
        end.write(at(now));
        now += trip;
        end.read(
            at(now),
            &frame(Kind::Pong, 0, 0, 0, &u64::to_le_bytes(value)),
        )
        .unwrap();
    }
    assert_eq!(end.connection.statistics().rtt_ns, 90_000_000);
}

#[test]
fn w_48_a_peer_that_is_impatient_is_pinged_more_often() {
    let patient = Limits::default();
    let impatient = Limits {
        liveness_timeout_ms: 900,
        ping_interval_ms: 300,
        ..patient.clone()
    };
    let mut pair = Pair::silent(patient, impatient);
    pair.exchange();
    pair.advance(3_000);
    assert_eq!(pair.dialer.connection.statistics().sent.pings, 10);
}

/// W-52.
#[test]
fn t20_a_frame_that_drips_is_closed() {
    let mut end = victim_with_subject(Limits::default());
    let bytes = frame(Kind::Send, LAST, 1, 0, &pattern(65_536));
    let mut closed = None;
    for second in 1..30 {
        end.read(
            at(second * 1_000),
            &bytes[second as usize..=second as usize],
        )
        .unwrap_or(());
        if let Err(error) = run(&mut end, at(second * 1_000 + 999)) {
            closed = Some(error);
            break;
        }
    }
    assert_eq!(closed, Some((at(11_000), "slow_frame")));
}

#[test]
fn t20_a_message_that_drips_in_fragments_is_closed() {
    let mut end = victim_with_subject(Limits::default());
    let body = [&(4_u32 << 20).to_le_bytes()[..], &pattern(4_096)].concat();
    end.read(at(0), &frame(Kind::Send, 0, 1, 0, &body)).unwrap();
    let mut closed = None;
    for second in 1..60 {
        let now = at(second * 1_500);
        if let Err(error) = run(&mut end, now) {
            closed = Some(error);
            break;
        }
        end.read(now, &frame(Kind::Send, 4, 1, 0, &pattern(4_096)))
            .unwrap();
    }
    assert_eq!(closed, Some((at(10_000), "slow_frame")));
}

#[test]
fn t20_an_honest_slow_message_arrives() {
    let mut end = victim_with_subject(Limits::default());
    let total = 65_536 * 4;
    let body = [&(total as u32).to_le_bytes()[..], &pattern(65_536)].concat();
    end.read(at(0), &frame(Kind::Send, 0, 1, 0, &body)).unwrap();
    for part in 1..4 {
        let now = at(part * 14_000);
        assert_eq!(run(&mut end, now), Ok(()), "fragment {part}");
        let flags = if part == 3 { 4 | LAST } else { 4 };
        end.read(now, &frame(Kind::Send, flags, 1, 0, &pattern(65_536)))
            .unwrap();
    }
    assert_eq!(end.take_events().len(), 1);
}

#[test]
fn w_49_t29_a_driver_that_stood_still_disconnects_nobody() {
    for stall in [5_000, 30_000, 600_000] {
        let mut pair = Pair::with_subject(Limits::default());
        pair.dialer
            .connection
            .send(1, Body::Owned(pattern(300_000).into()), &[])
            .unwrap();
        let first = pair.dialer.connection.poll_output(pair.now).to_vec();
        pair.dialer.connection.consume_output();
        pair.acceptor.read(pair.now, &first).unwrap();
        pair.now = pair.now.after_millis(stall);
        pair.dialer.timeout(pair.now).unwrap();
        pair.acceptor.timeout(pair.now).unwrap();
        pair.exchange();
        pair.advance(1_000);
        assert!(
            matches!(pair.acceptor.event(), Event::Send { .. }),
            "{stall} ms"
        );
    }
}

#[test]
fn w_53_an_idle_connection_holds_little_memory() {
    let mut pair = Pair::with_subject(Limits::default());
    for token in 0..100 {
        pair.ask(&pattern(5_000), 0, token).unwrap();
    }
    pair.exchange();
    for event in pair.acceptor.take_events() {
        let Event::Request { id, .. } = event else {
            continue;
        };
        pair.acceptor
            .connection
            .reply(id, Body::Owned(pattern(60_000).into()))
            .unwrap();
    }
    pair.exchange();
    pair.advance(15_000);
    for end in [&pair.dialer, &pair.acceptor] {
        assert!(end.connection.output_capacity() <= 16 * 1024);
    }
    assert!(size_of_val(&pair.dialer.connection) <= 2 * 1024);
}
