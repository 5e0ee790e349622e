//! The preface, HELLO and what a dialer may say before it is answered.

use ztransport_proto::error::Error;
use ztransport_proto::frame::{Kind, LAST, PREFACE};
use ztransport_proto::hello::{self, Hello};
use ztransport_proto::{Blame, Event, FaultCode, Limits, Reason, Role, SendError, State, Time};

use crate::support::{End, Pair, frame, hello_frame, least_limits, settings, victim};

/// The bytes of a dialer's greeting.
fn greeting() -> Vec<u8> {
    [
        PREFACE.to_vec(),
        hello_frame(&settings("a", Limits::default())),
    ]
    .concat()
}

fn acceptor() -> End {
    End::new(Role::Acceptor, settings("b", Limits::default()))
}

/// The code in the one frame that an acceptor says to a peer it refuses.
fn refusal(end: &mut End) -> u16 {
    let said = end.write(Time::ZERO);
    let length = u32::from_le_bytes(said[..4].try_into().unwrap()) as usize;
    assert_eq!((said[4], said.len()), (Kind::Fault as u8, 16 + length));
    u16::from_le_bytes([said[16], said[17]])
}

#[test]
fn w_1_every_other_first_byte_is_refused_at_once() {
    for at in 0..PREFACE.len() {
        let mut bytes = PREFACE;
        bytes[at] ^= 0x20;
        let mut end = acceptor();
        let error = end.read(Time::ZERO, &bytes[..=at]).unwrap_err();
        assert_eq!(error.reason(), "bad_preface", "byte {at}");
        assert_eq!(refusal(&mut end), FaultCode::Protocol.to_wire());
        assert_eq!(end.connection.state(), State::Closed);
    }
}

#[test]
fn w_2_both_sides_learn_who_the_other_is() {
    let pair = Pair::new(Limits::default());
    let peer = pair.acceptor.connection.peer().unwrap();
    assert_eq!((&*peer.cluster, &*peer.node_id), ("orders", "a"));
    assert_eq!(pair.dialer.connection.peer().unwrap().node_id, "b");
    assert_eq!(pair.dialer.connection.state(), State::Open);
    assert_eq!(pair.dialer.connection.statistics().request_credit, 1_024);
}

#[test]
fn w_2_an_acceptor_is_silent_until_it_is_greeted() {
    let mut end = acceptor();
    let bytes = greeting();
    end.read(Time::ZERO, &bytes[..bytes.len() - 1]).unwrap();
    assert!(end.write(Time::ZERO).is_empty());
    assert_eq!(end.connection.subject("log"), Err(SendError::Closed));
    end.read(Time::ZERO, &bytes[bytes.len() - 1..]).unwrap();
    assert_eq!(end.event(), Event::Greeted);
    assert_eq!(end.write(Time::ZERO)[4], Kind::Hello as u8);
    assert_eq!(end.connection.subject("log"), Ok(1));
}

#[test]
fn w_3_a_wrong_cluster_is_told_to_both_sides() {
    let mut pair = Pair::silent(Limits::default(), Limits::default());
    let mut other = (*settings("b", Limits::default())).clone();
    other.cluster = "billing".into();
    pair.acceptor = End::new(Role::Acceptor, other.into());
    let there = pair.dialer.write(pair.now);
    let error = pair.acceptor.read(pair.now, &there).unwrap_err();
    assert_eq!(
        (error.reason(), error.blame()),
        ("wrong_cluster", Blame::Peer)
    );
    let back = pair.acceptor.write(pair.now);
    let error = pair.dialer.read(pair.now, &back).unwrap_err();
    assert_eq!(
        (error.reason(), error.code()),
        ("wrong_cluster", FaultCode::WrongCluster)
    );
    assert!(error.is_from_peer() && pair.dialer.write(pair.now).is_empty());
}

#[test]
fn w_3_a_dialer_refuses_a_wrong_cluster_too() {
    let mut end = End::new(Role::Dialer, settings("a", Limits::default()));
    let mut other = (*settings("b", Limits::default())).clone();
    other.cluster = "billing".into();
    let error = end.read(Time::ZERO, &hello_frame(&other)).unwrap_err();
    assert_eq!(error.reason(), "wrong_cluster");
}

fn unbelieved() -> Error {
    let detail = "no certificate bears it out";
    Error::new(Reason::IdentityNotAllowed, detail)
}

#[test]
fn w_57_a_claim_that_is_not_believed_is_told_in_place_of_hello() {
    let mut pair = Pair::silent(Limits::default(), Limits::default());
    let there = pair.dialer.write(pair.now);
    pair.acceptor.read(pair.now, &there).unwrap();
    pair.acceptor.connection.refuse(&unbelieved());
    let back = pair.acceptor.write(pair.now);
    assert_eq!(back[4], Kind::Fault as u8);
    let error = pair.dialer.read(pair.now, &back).unwrap_err();
    assert_eq!(
        (error.reason(), error.code()),
        ("identity_not_allowed", FaultCode::NotAuthorized)
    );
    assert!(error.is_from_peer() && pair.dialer.connection.peer().is_none());
}

#[test]
fn w_57_a_dialer_may_not_believe_either() {
    let mut pair = Pair::silent(Limits::default(), Limits::default());
    let there = pair.dialer.write(pair.now);
    pair.acceptor.read(pair.now, &there).unwrap();
    let back = pair.acceptor.write(pair.now);
    pair.dialer.read(pair.now, &back).unwrap();
    pair.dialer.connection.refuse(&unbelieved());
    let there = pair.dialer.write(pair.now);
    let error = pair.acceptor.read(pair.now, &there).unwrap_err();
    assert_eq!(error.reason(), "identity_not_allowed");
}

/// W-46: whoever came too late learns that it did, and not that a protocol was broken.
#[test]
fn w_46_a_greeting_that_is_late_is_told_to_the_dialer() {
    let mut pair = Pair::silent(Limits::default(), Limits::default());
    let there = pair.dialer.write(pair.now);
    let late = Time::ZERO.after_millis(Limits::default().hello_timeout_ms.into());
    let mut events = Vec::new();
    let found = pair.acceptor.connection.handle_timeout(late, &mut events);
    assert_eq!(found.unwrap_err().reason(), "no_hello");
    let back = pair.acceptor.write(late);
    let error = pair.dialer.read(pair.now, &back).unwrap_err();
    assert_eq!(
        (error.reason(), error.code(), error.is_from_peer()),
        ("no_hello", FaultCode::DeadlineExceeded, true)
    );
    assert!(!there.is_empty() && pair.dialer.write(pair.now).is_empty());
}

/// After the greeting nothing says what it was that took too long.
#[test]
fn w_46_a_deadline_that_is_told_later_is_the_peers_own_matter() {
    let mut pair = Pair::new(Limits::default());
    let error = Error::new(Reason::Silent, "nothing was heard");
    pair.acceptor.connection.refuse(&error);
    let back = pair.acceptor.write(pair.now);
    let error = pair.dialer.read(pair.now, &back).unwrap_err();
    assert_eq!(error.reason(), "peer_fault");
}

fn field(tag: u16, value: &[u8]) -> Vec<u8> {
    let length = (value.len() as u16).to_le_bytes();
    [&tag.to_le_bytes()[..], &length, value].concat()
}

fn required() -> Vec<u8> {
    [field(1, &[1, 0, 1, 0]), field(2, b"orders"), field(3, b"a")].concat()
}

fn decoded(more: &[u8]) -> Result<Hello, &'static str> {
    Hello::decode(&[&required()[..], more].concat()).map_err(|error| error.reason())
}

#[test]
fn w_9_hello_comes_back_as_it_was_written() {
    let settings = settings("a", Limits::default());
    let hello = Hello::decode(&hello::encode(&settings)).unwrap();
    assert_eq!(
        (&hello.cluster, &hello.node_id),
        (&settings.cluster, &settings.node_id)
    );
    assert_eq!(hello.request_window(), settings.limits.request_window());
    assert_eq!(hello.subject_window(), settings.limits.subject_window());
    assert_eq!(hello.stream_window(), settings.limits.stream_window());
    assert_eq!(hello.assembly_bytes_max, settings.limits.assembly_bytes_max);
    assert_eq!(
        hello.liveness_timeout_ms,
        settings.limits.liveness_timeout_ms
    );
}

#[test]
fn w_9_unknown_fields_are_skipped_and_the_order_is_not() {
    assert!(decoded(&field(999, b"new")).is_ok());
    let ascending = [
        field(11, &5_000_u32.to_le_bytes()),
        field(14, b"x"),
        field(999, b""),
    ];
    assert_eq!(
        decoded(&ascending.concat()).map(|hello| hello.liveness_timeout_ms),
        Ok(5_000)
    );
    assert_eq!(decoded(&field(3, b"a")), Err("bad_hello"));
    assert_eq!(decoded(&field(2, b"orders")), Err("bad_hello"));
    assert_eq!(
        Hello::decode(&field(0, b"")).map_err(|error| error.reason()),
        Err("bad_hello")
    );
}

#[test]
fn w_9_hello_cut_anywhere_is_refused() {
    let body = hello::encode(&settings("a", least_limits()));
    let ends: Vec<usize> = (0..body.len())
        .filter(|end| Hello::decode(&body[..*end]).is_ok())
        .collect();
    // Cut between two fields behind the required ones it is a shorter HELLO, not a broken one.
    let mut expected = Vec::new();
    let mut at = 0;
    while at < body.len() {
        if at >= required().len() {
            expected.push(at);
        }
        at += 4 + usize::from(u16::from_le_bytes([body[at + 2], body[at + 3]]));
    }
    assert_eq!(ends, expected);
}

#[test]
fn w_9_sizes_at_their_limit() {
    let base = required().len() + 4;
    for (bytes, taken) in [(4_095, true), (4_096, true), (4_097, false)] {
        let result = decoded(&field(999, &vec![0; bytes - base]));
        assert_eq!(result.is_ok(), taken, "{bytes} bytes");
    }
    for (bytes, taken) in [(254, true), (255, true), (256, false)] {
        let result = decoded(&field(4, &vec![b'x'; bytes]));
        assert_eq!(result.is_ok(), taken, "an address of {bytes} bytes");
    }
}

#[test]
fn w_9_roles_at_their_limit() {
    for (count, bytes, taken) in [
        (0, 1, true),
        (15, 64, true),
        (16, 64, true),
        (17, 64, false),
        (1, 63, true),
        (1, 65, false),
        (1, 0, false),
    ] {
        let role = [vec![bytes as u8], vec![b'r'; bytes]].concat();
        let result = decoded(&field(13, &role.repeat(count)));
        assert_eq!(result.is_ok(), taken, "{count} of {bytes} bytes");
        let mut settings = (*settings("a", Limits::default())).clone();
        settings.roles = vec!["r".repeat(bytes); count];
        if taken {
            let hello = Hello::decode(&hello::encode(&settings)).unwrap();
            assert_eq!(hello.roles, settings.roles);
        }
        assert_eq!(hello::are_roles(&settings.roles), taken);
    }
    assert!(decoded(&field(13, b"\x02r")).is_err() && decoded(&field(13, b"\x01\xff")).is_err());
}

#[test]
fn w_10_a_version_is_told_to_the_other_side() {
    let mut newer = hello_frame(&settings("a", Limits::default()));
    // The range stands behind the header and the first field's tag and length.
    newer[20..24].copy_from_slice(&[2, 0, 2, 0]);
    let mut end = acceptor();
    let error = end.read(Time::ZERO, &[&PREFACE[..], &newer].concat());
    assert_eq!(error.unwrap_err().reason(), "bad_version");
    let mut dialer = End::new(Role::Dialer, settings("a", Limits::default()));
    let said = end.write(Time::ZERO);
    let error = dialer.read(Time::ZERO, &said).unwrap_err();
    assert_eq!(
        (error.reason(), error.code(), error.is_from_peer()),
        ("bad_version", FaultCode::VersionRefused, true)
    );
}

#[test]
fn w_10_a_version_must_be_spoken_by_both() {
    for (min, max, result) in [
        (1, 1, Ok(())),
        (0, 1, Ok(())),
        (1, 9, Ok(())),
        (2, 2, Err("bad_version")),
        (2, 1, Err("bad_version")),
        (0, 0, Err("bad_hello")),
    ] {
        let body = [
            field(1, &[min, 0, max, 0]),
            field(2, b"orders"),
            field(3, b"a"),
        ]
        .concat();
        let decoded = Hello::decode(&body)
            .map(|_| ())
            .map_err(|error| error.reason());
        assert_eq!(decoded, result, "{min} to {max}");
    }
}

#[test]
fn w_11_hello_never_lowers_the_initial_windows() {
    let four = u32::to_le_bytes;
    let eight = u64::to_le_bytes;
    let two = |count: u32, bytes: u64| [&four(count)[..], &eight(bytes)].concat();
    let three = |most: u32, count: u32, bytes: u64| [&four(most)[..], &two(count, bytes)].concat();
    let cases = [
        (5, four(65_536).to_vec(), four(65_535).to_vec()),
        (6, two(64, 1 << 20), two(63, 1 << 20)),
        (6, two(64, 1 << 20), two(64, (1 << 20) - 1)),
        (7, three(16, 256, 1 << 18), three(15, 256, 1 << 18)),
        (7, three(16, 256, 1 << 18), three(16, 255, 1 << 18)),
        (7, three(16, 256, 1 << 18), three(16, 256, (1 << 18) - 1)),
        (8, three(4, 64, 1 << 18), three(3, 64, 1 << 18)),
        (10, four(1_024).to_vec(), four(1_023).to_vec()),
        (11, four(100).to_vec(), four(99).to_vec()),
    ];
    for (tag, least, less) in cases {
        assert!(decoded(&field(tag, &least)).is_ok(), "tag {tag}");
        assert_eq!(decoded(&field(tag, &less)), Err("bad_hello"), "tag {tag}");
    }
}

#[test]
fn w_12_a_dialer_may_send_within_the_initial_windows() {
    let mut pair = Pair::silent(Limits::default(), Limits::default());
    assert_eq!(pair.dialer.connection.subject("log"), Ok(1));
    for (count, taken) in [(63, true), (64, true), (65, false)] {
        let sent = pair.dialer.connection.statistics().requests_in_flight;
        for token in sent..count - 1 {
            pair.ask(b"x", 0, token).unwrap();
        }
        assert_eq!(pair.ask(b"x", 0, count).is_ok(), taken, "request {count}");
    }
    pair.exchange();
    assert_eq!(pair.acceptor.events.len(), 2 + 64);
    assert_eq!(
        pair.dialer.take_events(),
        [Event::Greeted, Event::RequestRoom]
    );
    assert!(pair.ask(b"x", 0, 65).is_ok());
}

#[test]
fn w_12_everything_but_hello_is_refused_before_it() {
    for kind in Kind::ALL {
        for role in [Role::Dialer, Role::Acceptor] {
            let mut end = End::new(role, settings("x", Limits::default()));
            if role == Role::Acceptor {
                end.read(Time::ZERO, &PREFACE).unwrap();
            }
            let bytes = frame(kind, 0, 0, 0, &[7, 0, 0]);
            let reason = end.read(Time::ZERO, &bytes).unwrap_err().reason();
            match kind {
                Kind::Hello => assert_eq!(reason, "bad_hello"),
                Kind::Fault if role == Role::Dialer => assert_eq!(reason, "peer_fault"),
                _ => assert_eq!(reason, "wrong_state", "{role:?} {kind:?}"),
            }
        }
    }
}

#[test]
fn w_13_a_second_hello_ends_the_connection() {
    for role in [Role::Dialer, Role::Acceptor] {
        let mut end = victim(role, Limits::default());
        let again = hello_frame(&settings("attacker", Limits::default()));
        assert_eq!(
            end.read(Time::ZERO, &again).unwrap_err().reason(),
            "wrong_state"
        );
    }
}

#[test]
fn w_44_goaway_serves_what_crossed_it_and_finishes_what_runs() {
    let mut pair = Pair::with_subject(Limits::default());
    pair.ask(b"running", 0, 1).unwrap();
    pair.exchange();
    let Event::Request { id, .. } = pair.acceptor.event() else {
        panic!()
    };
    pair.acceptor
        .connection
        .goaway(FaultCode::ShuttingDown, "rolling restart");
    pair.ask(b"crossed it", 0, 2).unwrap();
    let late =
        pair.dialer
            .connection
            .open_stream(pair.now, 1, ztransport_proto::Body::Borrowed(b""), &[]);
    assert!(late.is_ok());
    pair.exchange();
    let Event::Request { id: crossed, .. } = pair.acceptor.event() else {
        panic!()
    };
    let events = pair.dialer.take_events();
    assert!(
        matches!(
            events[0],
            Event::GoAway {
                code: FaultCode::ShuttingDown,
                ..
            }
        ),
        "{events:?}"
    );
    assert!(matches!(
        events[1],
        Event::StreamReset {
            code: FaultCode::ShuttingDown,
            ..
        }
    ));
    assert_eq!(pair.ask(b"refused", 0, 3), Err(SendError::GoingAway));
    assert_eq!(pair.dialer.send(1, b"refused"), Err(SendError::GoingAway));
    assert!(!pair.acceptor.connection.is_drained());
    pair.acceptor
        .connection
        .reply(id, ztransport_proto::Body::Borrowed(b"done"))
        .unwrap();
    pair.acceptor
        .connection
        .reply(crossed, ztransport_proto::Body::Borrowed(b"done"))
        .unwrap();
    pair.exchange();
    let events = pair.dialer.take_events();
    assert!(matches!(events[0], Event::Reply { token: 1, .. }));
    assert!(matches!(events[1], Event::Reply { token: 2, .. }));
    assert!(pair.acceptor.connection.is_drained() && pair.dialer.connection.is_drained());
    assert_eq!(pair.acceptor.connection.state(), State::Draining);
}

#[test]
fn w_44_an_acceptor_that_leaves_before_it_is_greeted_says_so_after_hello() {
    let mut end = acceptor();
    end.connection.goaway(FaultCode::ShuttingDown, "");
    assert!(end.write(Time::ZERO).is_empty());
    end.read(Time::ZERO, &greeting()).unwrap();
    let said = end.write(Time::ZERO);
    let second = 16 + u32::from_le_bytes(said[..4].try_into().unwrap()) as usize;
    assert_eq!(
        (said[4], said[second + 4]),
        (Kind::Hello as u8, Kind::GoAway as u8)
    );
}

#[test]
fn w_45_nothing_is_read_after_an_error() {
    let mut end = victim(Role::Acceptor, Limits::default());
    end.read(Time::ZERO, &frame(Kind::Hello, 0, 0, 0, b""))
        .unwrap_err();
    end.write(Time::ZERO);
    end.read(Time::ZERO, &frame(Kind::Ping, 0, 0, 0, &[0; 8]))
        .unwrap();
    end.read(Time::ZERO, &frame(Kind::Send, LAST, 1, 0, b"x"))
        .unwrap();
    assert!(end.write(Time::ZERO).is_empty() && end.events.is_empty());
    assert_eq!(end.connection.poll_timeout(), None);
    assert_eq!(end.connection.subject("log"), Err(SendError::Closed));
}
