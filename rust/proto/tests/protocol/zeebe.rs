//! Zeebe's protocol (W-70 to W-86), driven through the dialect that a driver holds.

use ztransport_proto::zeebe::Compression;
use ztransport_proto::{
    Body, Dialect, Door, Error, Event, FaultCode, Limits, Reason, Retry, Role, SendError, Settings,
    State, Time,
};

const EVENTS_MAX: usize = 1_000;
const HANDSHAKE: [u8; 6] = [0xeb, 0x6e, 0xec, 0x8a, 0, 2];
/// The address block `a:1`.
const ADDRESS: [u8; 7] = [0, 1, b'a', 0, 0, 0, 1];

/// One side, and what it was told with payloads copied.
struct Side {
    codec: Dialect,
    now: Time,
    inbox: Vec<u8>,
    told: Vec<(Event, Vec<u8>)>,
}

fn settings(limits: Limits) -> Settings {
    Settings {
        cluster: "zeebe-cluster".into(),
        node_id: "node".into(),
        advertise: "b:2".into(),
        roles: Vec::new(),
        limits,
    }
}

fn quiet() -> Limits {
    Limits {
        zeebe_heartbeat_interval_ms: 0,
        ..Limits::default()
    }
}

impl Side {
    fn new(role: Role, door: Door, limits: Limits) -> Self {
        let codec = Dialect::new(role, door, settings(limits).into(), Time::ZERO);
        Self {
            codec,
            now: Time::ZERO,
            inbox: Vec::new(),
            told: Vec::new(),
        }
    }

    fn dialer() -> Self {
        Self::new(Role::Dialer, Door::Zeebe(Compression::None), quiet())
    }

    /// An acceptor that has read handshake and address.
    fn acceptor(limits: Limits) -> Self {
        let mut side = Self::new(Role::Acceptor, Door::Zeebe(Compression::None), limits);
        side.read(&[&HANDSHAKE[..], &ADDRESS].concat()).unwrap();
        assert_eq!(side.write(), HANDSHAKE);
        side.told.clear();
        side
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.inbox.extend_from_slice(bytes);
        let mut events = Vec::new();
        let used = self
            .codec
            .handle_input(self.now, &self.inbox, &mut events, EVENTS_MAX);
        for event in events {
            let bytes = match &event {
                Event::Request { payload, .. } | Event::Reply { payload, .. } => {
                    payload.as_slice(&self.inbox).to_vec()
                }
                Event::Fault { text, .. } => text.as_slice(&self.inbox).to_vec(),
                _ => Vec::new(),
            };
            self.told.push((event, bytes));
        }
        self.inbox
            .drain(..*used.as_ref().unwrap_or(&self.inbox.len()));
        used.map(drop)
    }

    fn write(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        loop {
            let chunk = self.codec.poll_output(self.now);
            if chunk.is_empty() {
                return out;
            }
            out.extend_from_slice(chunk);
            self.codec.consume_output();
        }
    }

    fn at(&mut self, millis: u64) -> Result<Vec<Event>, Error> {
        self.now = Time::ZERO.after_millis(millis);
        let mut events = Vec::new();
        self.codec
            .handle_timeout(self.now, &mut events)
            .map(|()| events)
    }

    fn ask(&mut self, token: u64, payload: &[u8]) -> Result<u64, SendError> {
        let subject = self.codec.subject("s")?;
        let body = Body::Borrowed(payload);
        self.codec
            .request(self.now, subject, body, None, &[], token)
    }

    fn requests(&self) -> Vec<u64> {
        let id = |(event, _): &(Event, Vec<u8>)| match event {
            Event::Request { id, .. } => Some(*id),
            _ => None,
        };
        self.told.iter().filter_map(id).collect()
    }
}

fn request(id: u8, payload: &[u8], subject: &str) -> Vec<u8> {
    let mut frame = vec![1, id];
    let mut length = payload.len();
    while length >= 0x80 {
        frame.push(length as u8 | 0x80);
        length >>= 7;
    }
    frame.push(length as u8);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&(subject.len() as u16).to_be_bytes());
    frame.extend_from_slice(subject.as_bytes());
    frame
}

/// Moves bytes both ways until nothing is left.
fn exchange(left: &mut Side, right: &mut Side) {
    loop {
        let (out, back) = (left.write(), right.write());
        if out.is_empty() && back.is_empty() {
            return;
        }
        right.read(&out).unwrap();
        left.read(&back).unwrap();
    }
}

fn pair(compression: Compression, limits: Limits) -> (Side, Side) {
    let door = Door::Zeebe(compression);
    let mut dialer = Side::new(Role::Dialer, door, limits.clone());
    let mut acceptor = Side::new(Role::Acceptor, door, limits);
    exchange(&mut dialer, &mut acceptor);
    (dialer, acceptor)
}

#[test]
fn w_70_the_first_bytes_choose_the_protocol() {
    let zt = *b"ZT/1\r\n\x1a\n";
    for (bytes, protocol) in [(&HANDSHAKE[..], "zeebe"), (&zt[..], "zt/1")] {
        for cut in 0..bytes.len() {
            let mut side = Side::new(Role::Acceptor, Door::Both(Compression::None), quiet());
            side.read(&bytes[..cut]).unwrap();
            side.read(&bytes[cut..]).unwrap();
            assert_eq!(side.codec.protocol(), protocol, "cut at {cut}");
        }
    }
    let mut other = Side::new(Role::Acceptor, Door::Both(Compression::None), quiet());
    let error = other.read(b"\xeb\x6e\xec\x8b").unwrap_err();
    assert_eq!(error.kind(), Reason::BadPreface);
    let mut closed = Side::new(Role::Acceptor, Door::Zt, quiet());
    assert_eq!(
        closed.read(&HANDSHAKE).unwrap_err().kind(),
        Reason::BadPreface
    );
}

#[test]
fn w_70_an_unknown_version_is_answered_with_the_latest() {
    for version in [0, 7, 0xffff_u16] {
        let mut side = Side::new(Role::Acceptor, Door::Zeebe(Compression::None), quiet());
        let [high, low] = version.to_be_bytes();
        side.read(&[0xeb, 0x6e, 0xec, 0x8a, high, low]).unwrap();
        assert_eq!(side.write(), HANDSHAKE);
        let mut dialer = Side::dialer();
        let answer = [0xeb, 0x6e, 0xec, 0x8a, high, low];
        assert_eq!(dialer.read(&answer).unwrap_err().kind(), Reason::BadVersion);
    }
}

#[test]
fn w_70_another_preamble_is_another_cluster() {
    let mut dialer = Side::dialer();
    let error = dialer.read(&[0xeb, 0x6f]).unwrap_err();
    assert_eq!(
        (error.kind(), dialer.codec.state()),
        (Reason::WrongCluster, State::Closed)
    );
}

/// T11: a handshake need not arrive in one read, and bytes behind it are not lost.
#[test]
fn w_72_every_split_point_gives_the_same() {
    let large = vec![7; 20_000];
    let all = [
        &HANDSHAKE[..],
        &ADDRESS,
        &request(1, b"one", "s"),
        &request(2, b"", "other"),
        &request(3, &large, "s"),
        &request(4, b"x", ""),
    ]
    .concat();
    let outcome = |cuts: &[usize]| {
        let mut side = Side::new(Role::Acceptor, Door::Both(Compression::None), quiet());
        let mut from = 0;
        for cut in cuts.iter().copied().chain([all.len()]) {
            side.read(&all[from..cut]).unwrap();
            from = cut;
        }
        let bytes: Vec<_> = side.told.iter().map(|(_, bytes)| bytes.clone()).collect();
        (side.requests(), bytes, side.write())
    };
    let whole = outcome(&[]);
    assert_eq!(whole.0.len(), 3);
    for cut in (0..100).chain(all.len() - 40..all.len()) {
        assert_eq!(outcome(&[cut]), whole, "cut at {cut}");
    }
    let singles: Vec<usize> = (0..all.len()).collect();
    assert_eq!(outcome(&singles), whole);
}

#[test]
fn w_72_a_subject_is_utf_8() {
    let mut side = Side::acceptor(quiet());
    let error = side.read(b"\x01\x01\x00\x00\x01\xff").unwrap_err();
    assert_eq!(error.kind(), Reason::BadSubject);
    let mut side = Side::acceptor(quiet());
    let error = side.read(b"\x01\x01\x00\xff\xff").unwrap_err();
    assert_eq!(error.kind(), Reason::BadFrame);
}

#[test]
fn w_74_a_dialer_only_asks_and_a_listener_only_answers() {
    let mut acceptor = Side::acceptor(quiet());
    assert_eq!(acceptor.ask(1, b""), unsupported());
    assert_eq!(
        acceptor.read(b"\x02\x01\x00\x00").unwrap_err().kind(),
        Reason::WrongState
    );
    let mut dialer = Side::dialer();
    let bytes = [&HANDSHAKE[..], &ADDRESS, &request(1, b"", "s")].concat();
    assert_eq!(dialer.read(&bytes).unwrap_err().kind(), Reason::WrongState);
}

fn unsupported() -> Result<u64, SendError> {
    let text = "a Zeebe peer that has dialled is answered and not asked: dial it to ask it";
    Err(SendError::Unsupported(text))
}

#[test]
fn w_74_nothing_is_asked_before_the_handshake() {
    let mut dialer = Side::dialer();
    assert_eq!(dialer.ask(1, b""), Err(SendError::Closed));
    dialer.read(&HANDSHAKE).unwrap();
    assert_eq!(dialer.ask(1, b""), Ok(1));
}

#[test]
fn w_74_there_are_no_streams_and_no_metadata() {
    let (mut dialer, _) = pair(Compression::None, quiet());
    let subject = dialer.codec.subject("s").unwrap();
    let opened = dialer
        .codec
        .open_stream(Time::ZERO, subject, Body::Borrowed(b""), &[]);
    assert!(matches!(opened, Err(SendError::Unsupported(_))));
    let metadata = b"\x01\x01\x00kv";
    let sent = dialer.codec.send(subject, Body::Borrowed(b""), metadata);
    assert!(matches!(sent, Err(SendError::Unsupported(_))));
}

#[test]
fn w_75_faults_have_the_three_statuses_that_zeebe_knows() {
    for (code, text, status, said) in [
        (FaultCode::NoHandler, "whatever", 1, "s"),
        (FaultCode::HandlerFailure, "why", 2, "why"),
        (FaultCode::Protocol, "how", 3, "how"),
        (FaultCode::Overloaded, "", 2, "overloaded"),
        (
            FaultCode::Rejected(0x1007),
            "no",
            2,
            "rejected with code 0x1007: no",
        ),
    ] {
        let mut side = Side::acceptor(quiet());
        side.read(&request(9, b"", "s")).unwrap();
        let id = side.requests()[0];
        side.codec.fault(id, code, Retry::Failed, text).unwrap();
        let out = side.write();
        assert_eq!((out[8], out[out.len() - 1]), (9, status), "{code}");
        assert_eq!(&out[10..out.len() - 1], said.as_bytes());
    }
}

#[test]
fn w_75_statuses_become_typed_faults() {
    for (status, code, retry) in [
        (1, FaultCode::NoHandler, Retry::NotStarted),
        (2, FaultCode::HandlerFailure, Retry::Failed),
        (3, FaultCode::Protocol, Retry::Unknown),
    ] {
        let mut dialer = Side::dialer();
        dialer.read(&[&HANDSHAKE[..], &ADDRESS].concat()).unwrap();
        dialer.ask(5, b"").unwrap();
        dialer.read(&[2, 1, 1, b'x', status]).unwrap();
        let (event, _) = dialer.told.last().unwrap();
        assert!(
            matches!(event, Event::Fault { token: 5, code: c, retry: r, .. } if (*c, *r) == (code, retry)),
            "{event:?}"
        );
    }
    let mut dialer = Side::dialer();
    dialer.read(&[&HANDSHAKE[..], &ADDRESS].concat()).unwrap();
    dialer.ask(5, b"").unwrap();
    assert_eq!(
        dialer.read(&[2, 1, 0, 4]).unwrap_err().kind(),
        Reason::BadFrame
    );
}

/// T19: refused on its head, before any of it is kept, and nobody else's call is harmed.
#[test]
fn w_76_a_message_at_its_limit() {
    let limit = 65_536;
    let limits = Limits {
        zeebe_message_bytes_max: limit as u32,
        ..quiet()
    };
    for (bytes, taken) in [(limit - 1, true), (limit, true), (limit + 1, false)] {
        let mut side = Side::acceptor(limits.clone());
        side.read(&request(1, &vec![7; bytes], "s")).unwrap();
        side.read(&request(2, b"x", "s")).unwrap();
        assert_eq!(
            side.requests().len(),
            1 + usize::from(taken),
            "{bytes} bytes"
        );
        let refused = String::from_utf8_lossy(&side.write()).contains("zeebe_message_bytes_max");
        assert_eq!(refused, !taken);
        let (mut dialer, _) = pair(Compression::None, limits.clone());
        let asked = dialer.ask(1, &vec![7; bytes]);
        assert_eq!(asked.is_ok(), taken);
    }
}

#[test]
fn w_76_a_reply_that_is_too_long_fails_only_its_call() {
    let limits = Limits {
        zeebe_message_bytes_max: 65_536,
        ..quiet()
    };
    let (mut dialer, _) = pair(Compression::None, limits);
    dialer.ask(1, b"").unwrap();
    dialer.ask(2, b"").unwrap();
    let mut reply = ADDRESS.to_vec();
    reply.extend_from_slice(&[2, 1, 0x81, 0x80, 0x04]);
    reply.extend_from_slice(&vec![7; 65_537]);
    reply.extend_from_slice(&[0, 2, 2, 1, b'y', 0]);
    for piece in reply.chunks(10_000) {
        dialer.read(piece).unwrap();
    }
    let told = &dialer.told[dialer.told.len() - 2..];
    assert!(matches!(
        told[0].0,
        Event::Fault {
            token: 1,
            code: FaultCode::Limit,
            ..
        }
    ));
    assert_eq!((&told[1].0, &told[1].1[..]).1, b"y");
}

#[test]
fn w_76_subjects_at_their_limit() {
    let limits = Limits {
        subjects_max: 16,
        ..quiet()
    };
    let mut side = Side::acceptor(limits);
    for number in 0..20 {
        side.read(&request(number, b"", &format!("subject {number}")))
            .unwrap();
    }
    side.read(&request(99, b"", &"x".repeat(256))).unwrap();
    assert_eq!(side.requests().len(), 16);
    let out = String::from_utf8_lossy(&side.write()).into_owned();
    assert_eq!(out.matches("subjects_max").count(), 4);
    assert!(out.ends_with(&format!("{}\u{1}", "x".repeat(256))));
}

/// T23.
#[test]
fn w_77_replies_to_nothing_are_dropped_and_a_flood_of_them_closes() {
    let mut dialer = Side::dialer();
    dialer.read(&[&HANDSHAKE[..], &ADDRESS].concat()).unwrap();
    dialer.ask(1, b"").unwrap();
    for count in 1..=1_001 {
        assert_eq!(
            dialer.read(b"\x02\x55\x00\x00").is_ok(),
            count <= 1_000,
            "reply {count}"
        );
    }
    assert_eq!(dialer.told.len(), 1);
    assert_eq!(dialer.codec.take_outstanding(), [(1, Retry::NotStarted)]);
}

#[test]
fn w_78_a_deadline_ends_one_call_and_a_late_reply_is_dropped() {
    let (mut dialer, _) = pair(Compression::None, quiet());
    let subject = dialer.codec.subject("s").unwrap();
    let deadline = Some(Time::ZERO.after_millis(5_000));
    let now = dialer.now;
    dialer
        .codec
        .request(now, subject, Body::Borrowed(b""), deadline, &[], 1)
        .unwrap();
    dialer.ask(2, b"").unwrap();
    let cancelled = dialer.ask(3, b"").unwrap();
    assert_eq!(dialer.codec.cancel(now, cancelled), Some(3));
    assert_eq!(dialer.at(4_999).unwrap(), []);
    assert_eq!(dialer.at(5_000).unwrap(), [Event::Expired { token: 1 }]);
    let told = dialer.told.len();
    dialer
        .read(
            &[
                &ADDRESS[..],
                b"\x02\x01\x00\x00\x02\x03\x00\x00\x02\x02\x00\x00",
            ]
            .concat(),
        )
        .unwrap();
    assert_eq!(dialer.told.len(), told + 1);
    let statistics = dialer.codec.statistics();
    assert_eq!((statistics.late_answers, statistics.ignored_ids), (2, 0));
}

#[test]
fn w_79_a_one_way_message_is_a_request_whose_answer_is_dropped() {
    let (mut dialer, mut acceptor) = pair(Compression::None, quiet());
    let subject = dialer.codec.subject("s").unwrap();
    dialer
        .codec
        .send(subject, Body::Borrowed(b"x"), &[])
        .unwrap();
    exchange(&mut dialer, &mut acceptor);
    let id = acceptor.requests()[0];
    acceptor.codec.reply(id, Body::Borrowed(b"")).unwrap();
    let told = dialer.told.len();
    exchange(&mut dialer, &mut acceptor);
    assert_eq!(
        (dialer.told.len(), dialer.codec.statistics().late_answers),
        (told, 1)
    );
}

/// T24: what is not answered, or not read, stops the reading and nothing else.
#[test]
fn w_80_a_full_window_stops_the_reading() {
    let limits = Limits {
        request_window_count: 64,
        ..quiet()
    };
    let mut side = Side::acceptor(limits);
    for number in 0..70 {
        side.read(&request(number, b"x", "s")).unwrap();
    }
    assert_eq!((side.requests().len(), side.codec.is_full()), (64, true));
    let ids = side.requests();
    side.codec.reply(ids[0], Body::Borrowed(b"y")).unwrap();
    assert!(side.codec.is_full(), "the answer has not left");
    side.write();
    assert!(!side.codec.is_full());
    side.read(&[]).unwrap();
    assert_eq!((side.requests().len(), side.codec.is_full()), (65, true));
    for id in &ids[1..] {
        side.codec.reply(*id, Body::Borrowed(b"")).unwrap();
    }
    side.write();
    side.read(&[]).unwrap();
    assert_eq!((side.requests().len(), side.codec.is_full()), (70, false));
}

#[test]
fn w_80_time_without_reading_is_not_held_against_the_peer() {
    let limits = Limits {
        request_window_count: 64,
        ..quiet()
    };
    let mut side = Side::acceptor(limits);
    for number in 0..65 {
        side.read(&request(number, b"x", "s")).unwrap();
    }
    assert_eq!(side.codec.poll_timeout(), None);
    assert!(side.at(60_000).is_ok());
}

#[test]
fn w_81_what_is_taken_as_one_way_frees_its_place_when_consumed() {
    let limits = Limits {
        subject_window_bytes: 256 * 1024,
        zeebe_message_bytes_max: 65_536,
        message_bytes_max: 65_536,
        ..quiet()
    };
    let mut side = Side::acceptor(limits);
    for number in 0..6 {
        side.read(&request(number, &[7; 60_000], "s")).unwrap();
        for id in side.requests() {
            side.codec.take_as_send(id);
        }
    }
    assert_eq!((side.requests().len(), side.codec.is_full()), (4, true));
    side.codec.release_subject(1, 1, 60_000);
    assert!(!side.codec.is_full());
    for (count, why) in [(5, "the next may be one-way too"), (6, "it was not")] {
        side.read(&[]).unwrap();
        assert_eq!(side.requests().len(), count, "{why}");
    }
    assert_eq!(side.write(), b"", "one-way messages are not answered");
}

#[test]
fn w_82_heartbeats_keep_a_quiet_connection_and_their_absence_ends_it() {
    let (mut dialer, mut acceptor) = pair(Compression::None, Limits::default());
    for millis in [5_000, 10_000, 15_000, 20_000] {
        dialer.at(millis).unwrap();
        acceptor.at(millis).unwrap();
        exchange(&mut dialer, &mut acceptor);
    }
    assert_eq!(dialer.codec.statistics().sent.pings, 4);
    assert_eq!(acceptor.codec.statistics().received.pings, 4);
    assert_eq!((dialer.told.len(), acceptor.told.len()), (1, 1));
    dialer.at(25_000).unwrap();
    dialer.write();
    assert_eq!(dialer.at(35_000).unwrap_err().kind(), Reason::Silent);
    assert_eq!(acceptor.at(35_000).unwrap_err().kind(), Reason::Silent);
}

#[test]
fn w_82_a_peer_without_heartbeats_may_be_silent() {
    let mut dialer = Side::new(
        Role::Dialer,
        Door::Zeebe(Compression::None),
        Limits::default(),
    );
    dialer.read(&HANDSHAKE).unwrap();
    let offer = dialer.write();
    assert!(String::from_utf8_lossy(&offer).contains("internal-heartbeat-setup"));
    dialer
        .read(&[&ADDRESS[..], b"\x02\x01\x03abc\x01"].concat())
        .unwrap();
    assert_eq!((dialer.told.len(), dialer.codec.poll_timeout()), (1, None));
    let mut acceptor = Side::acceptor(Limits::default());
    assert_eq!(acceptor.codec.poll_timeout(), None);
    assert!(acceptor.at(1_000_000).is_ok());
}

#[test]
fn w_82_a_listener_may_send_heartbeats_of_its_own() {
    let door = Door::Zeebe(Compression::None);
    let mut dialer = Side::new(Role::Dialer, door, Limits::default());
    let beat = request(1, b"", "internal-heartbeat");
    dialer
        .read(&[&HANDSHAKE[..], &ADDRESS, &beat].concat())
        .unwrap();
    dialer.write();
    assert_eq!(dialer.codec.statistics().received.pings, 1);
    for millis in [5_000, 10_000] {
        dialer.at(millis).unwrap();
        assert!(dialer.write().ends_with(b"\x00\x12internal-heartbeat"));
    }
    assert!(dialer.at(14_999).is_ok());
    assert_eq!(dialer.write(), b"");
    assert_eq!(dialer.at(15_000).unwrap_err().kind(), Reason::Silent);
    for other in [
        request(1, b"x", "internal-heartbeat"),
        vec![1, 1, 0xff, 0xff, 0x7f],
    ] {
        let mut dialer = Side::dialer();
        let bytes = [&HANDSHAKE[..], &ADDRESS, &other].concat();
        assert_eq!(dialer.read(&bytes).unwrap_err().kind(), Reason::WrongState);
    }
}

/// T1, T2, T3.
#[test]
fn w_83_a_handshake_that_does_not_come_ends_after_two_seconds() {
    for door in [
        Door::Zeebe(Compression::None),
        Door::Both(Compression::None),
    ] {
        let mut side = Side::new(Role::Acceptor, door, quiet());
        for (index, byte) in HANDSHAKE[..3].iter().enumerate() {
            side.now = Time::ZERO.after_millis(500 * index as u64);
            side.read(&[*byte]).unwrap();
        }
        assert!(side.at(1_999).is_ok());
        assert_eq!(side.at(2_000).unwrap_err().kind(), Reason::NoHello);
    }
}

/// T20.
#[test]
fn w_83_a_frame_that_drips_is_closed() {
    let mut side = Side::acceptor(quiet());
    side.read(&request(1, &vec![7; 1 << 20], "s")[..30_000])
        .unwrap();
    assert!(side.at(9_950).is_ok());
    let error = side.at(10_000).unwrap_err();
    assert_eq!(error.kind(), Reason::SlowFrame);
    let mut side = Side::acceptor(quiet());
    side.read(&[1]).unwrap();
    assert_eq!(side.at(10_000).unwrap_err().kind(), Reason::SlowFrame);
}

#[test]
fn w_84_everything_behind_the_handshake_is_compressed() {
    for compression in [Compression::Gzip, Compression::Snappy] {
        let (mut dialer, mut acceptor) = pair(compression, Limits::default());
        let payload: Vec<u8> = (0..200_000_u32)
            .map(|n| (n.wrapping_mul(n) >> 7) as u8)
            .collect();
        for length in [0, 1, 200_000] {
            dialer.ask(length as u64, &payload[..length]).unwrap();
            exchange(&mut dialer, &mut acceptor);
            let id = *acceptor.requests().last().unwrap();
            let got = acceptor.told.last().unwrap().1.clone();
            acceptor.codec.reply(id, Body::Borrowed(&got)).unwrap();
            exchange(&mut dialer, &mut acceptor);
            assert!(
                dialer.told.last().unwrap().1 == payload[..length],
                "{compression:?}"
            );
        }
    }
}

/// T26: an answer to nothing, a hundred thousand times in a few hundred bytes.
#[test]
fn w_84_what_unpacks_to_far_more_than_it_is_is_refused() {
    use std::io::Write;
    let limits = Limits {
        unknown_ids_max: u32::MAX,
        zeebe_message_bytes_max: 65_536,
        ..quiet()
    };
    let mut dialer = Side::new(Role::Dialer, Door::Zeebe(Compression::Gzip), limits);
    let plain = [&ADDRESS[..], &[2, 0x55, 0, 0].repeat(1 << 20)].concat();
    let mut encoder = flate2::GzBuilder::new().write(Vec::new(), flate2::Compression::best());
    encoder.write_all(&plain).unwrap();
    let bomb = [&HANDSHAKE[..], &encoder.finish().unwrap()].concat();
    assert_eq!(dialer.read(&bomb).unwrap_err().kind(), Reason::Oversize);
    assert!(dialer.codec.statistics().ignored_ids < 1 << 18);
}

/// T15.
#[test]
fn w_85_an_end_inside_a_frame_is_truncated() {
    let frame = request(1, &[7; 20_000], "s");
    for cut in (0..=40).chain(frame.len() - 10..=frame.len()) {
        let mut side = Side::acceptor(quiet());
        side.read(&frame[..cut]).unwrap();
        let ended = side
            .codec
            .handle_end(side.now, side.inbox.len(), &mut Vec::new());
        let is_whole = cut == 0 || cut == frame.len();
        assert_eq!(
            ended.map_err(|error| error.kind()).err(),
            (!is_whole).then_some(Reason::Truncated),
            "cut at {cut}"
        );
        assert_eq!(side.requests().len(), usize::from(cut == frame.len()));
    }
}

#[test]
fn w_85_a_node_that_leaves_finishes_what_runs_and_declines_the_rest() {
    let mut side = Side::acceptor(quiet());
    side.read(&request(1, b"x", "s")).unwrap();
    side.codec.goaway(FaultCode::ShuttingDown, "bye");
    side.read(&request(2, b"x", "s")).unwrap();
    let id = side.requests()[0];
    assert_eq!((side.requests().len(), side.codec.is_drained()), (1, false));
    assert!(String::from_utf8_lossy(&side.write()).contains("shutting down"));
    side.codec.reply(id, Body::Borrowed(b"y")).unwrap();
    assert!(!side.codec.is_drained());
    assert!(side.write().ends_with(&[2, 1, 1, b'y', 0]));
    assert!(side.codec.is_drained() && side.codec.leaves_alone());
}
