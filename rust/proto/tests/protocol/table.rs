//! The table of states and frames, and every header against it.

use ztransport_proto::frame::{CONTINUED, Kind, LAST, METADATA, PREFACE};
use ztransport_proto::table::{Phase, Verdict, decide};
use ztransport_proto::{Limits, Role, State, Time};

use crate::support::{End, raw_frame, settings, victim, victim_with_subject};

/// What a frame must lead to, written down apart from the table of the implementation.
fn expected(phase: Phase, kind: u8) -> Verdict {
    match (phase, kind) {
        (Phase::Closed, _) => Verdict::Discard,
        (_, 0 | 0x10..=0x7f) => Verdict::Unknown,
        (Phase::DialerGreeting, 0x01 | 0x05) | (Phase::AcceptorGreeting, 0x01) => Verdict::Take,
        (Phase::DialerGreeting | Phase::AcceptorGreeting, _) | (_, 0x01) => Verdict::Refuse,
        (_, 0x80..) => Verdict::Skip,
        (Phase::Leaving, 0x03 | 0x08) => Verdict::Decline,
        _ => Verdict::Take,
    }
}

#[test]
fn w_7_every_state_and_type_is_decided() {
    let phases = [
        Phase::DialerGreeting,
        Phase::AcceptorGreeting,
        Phase::Open,
        Phase::Leaving,
        Phase::Closed,
    ];
    for phase in phases {
        for kind in 0..=u8::MAX {
            assert_eq!(
                decide(phase, kind),
                expected(phase, kind),
                "{phase:?} {kind:#04x}"
            );
        }
    }
}

/// Flags that a type may carry, in every combination that is allowed.
fn allowed_flags(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Request | Kind::Send => &[
            0,
            LAST,
            METADATA,
            LAST | METADATA,
            CONTINUED,
            LAST | CONTINUED,
        ],
        Kind::Reply | Kind::StreamData => &[0, LAST, CONTINUED, LAST | CONTINUED],
        Kind::StreamOpen => &[LAST, LAST | METADATA],
        _ => &[0],
    }
}

fn reason(end: &mut End, kind: u8, flags: u8) -> Option<&'static str> {
    let bytes = raw_frame(kind, flags, 1, 0x1_0001, &[0; 16]);
    let error = end.read(Time::ZERO, &bytes).err()?;
    assert_eq!(end.connection.state(), State::Closed);
    Some(error.reason())
}

#[test]
fn t22_every_header_value_of_an_open_connection() {
    for kind in 0..=u8::MAX {
        for flags in 0..=u8::MAX {
            let mut end = victim_with_subject(Limits::default());
            let reason = reason(&mut end, kind, flags);
            let said = end.write(Time::ZERO);
            let at = format!("type {kind:#04x} flags {flags:#04x}");
            match (kind, Kind::from_wire(kind)) {
                (0x80.., _) => assert_eq!((reason, said.len()), (None, 0), "{at}"),
                (_, None) => assert_eq!(reason, Some("unknown_frame"), "{at}"),
                (_, Some(Kind::Hello)) => assert_eq!(reason, Some("wrong_state"), "{at}"),
                (_, Some(known)) if allowed_flags(known).contains(&flags) => {
                    assert!(
                        !matches!(reason, Some("bad_flags" | "unknown_frame")),
                        "{at}"
                    );
                }
                _ => assert_eq!(reason, Some("bad_flags"), "{at}"),
            }
            let told = said
                .chunks(16)
                .any(|header| header[4..] == [5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            assert_eq!(reason.is_some(), told, "{at}: the peer is told why");
        }
    }
}

#[test]
fn t22_every_header_value_before_hello() {
    for kind in 0..=u8::MAX {
        for flags in 0..=u8::MAX {
            let mut end = End::new(Role::Acceptor, settings("b", Limits::default()));
            end.read(Time::ZERO, &PREFACE).unwrap();
            let reason = reason(&mut end, kind, flags).unwrap();
            let expected = match kind {
                0 | 0x10..=0x7f => "unknown_frame",
                1 if flags != 0 => "bad_flags",
                1 => "bad_frame",
                _ => "wrong_state",
            };
            assert_eq!(reason, expected, "type {kind:#04x} flags {flags:#04x}");
        }
    }
}

#[test]
fn t22_a_bad_header_is_refused_before_its_body() {
    for (kind, flags) in [(0x10, 0), (0x01, 0), (0x07, 0x80), (0x0d, 1), (0x06, 0)] {
        let mut end = victim(Role::Acceptor, Limits::default());
        let bytes = raw_frame(kind, flags, 1, 1, &[0; 64]);
        assert!(
            end.read(Time::ZERO, &bytes[..16]).is_err(),
            "type {kind:#04x}"
        );
    }
}

#[test]
fn w_5_subject_and_id_are_set_exactly_where_they_mean_something() {
    let set = |subject: u16, id: u64| [(0, 0), (subject, 0), (0, id), (subject, id)];
    let allowed = |kind: Kind| match kind {
        Kind::Hello | Kind::Ping | Kind::Pong | Kind::GoAway => vec![(0, 0)],
        Kind::Subject | Kind::Send => vec![(1, 0)],
        Kind::Request | Kind::StreamOpen => vec![(1, 9)],
        Kind::Fault => vec![(0, 0), (0, 9)],
        Kind::Credit => vec![(1, 0), (0, 9)],
        _ => vec![(0, 9)],
    };
    let mut pairs = 0;
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Hello) {
        for (subject, id) in set(1, 9) {
            let flags = if allowed_flags(kind).contains(&LAST) {
                LAST
            } else {
                0
            };
            let mut end = victim_with_subject(Limits::default());
            let bytes = raw_frame(kind as u8, flags, subject, id, &[]);
            let error = end.read(Time::ZERO, &bytes).err();
            let detail = error.as_ref().map_or("", |error| error.detail());
            let misplaced = detail.starts_with("a subject or id is set or missing");
            assert_eq!(
                misplaced,
                !allowed(kind).contains(&(subject, id)),
                "{kind:?} {subject} {id}"
            );
            pairs += 1;
        }
    }
    assert_eq!(pairs, 14 * 4);
}

#[test]
fn w_16_a_later_fragment_of_a_request_names_no_subject() {
    let mut end = victim_with_subject(Limits::default());
    let bytes = raw_frame(Kind::Request as u8, CONTINUED | LAST, 1, 9, &[0; 64]);
    assert_eq!(
        end.read(Time::ZERO, &bytes).unwrap_err().reason(),
        "bad_frame"
    );
}
