//! Input cut at every byte means the same as input in one piece.

use ztransport_proto::frame::{
    CONTINUED, Kind, LAST, METADATA, PREFACE, credit_body, fault_body, reason_body,
};
use ztransport_proto::{Body, Error, Event, FaultCode, Limits, Retry, Role, Time};

use crate::support::{End, frame, hello_frame, settings};

/// One frame of every type that an acceptor can be sent.
fn conversation() -> Vec<u8> {
    let hello = hello_frame(&settings("a", Limits::default()));
    let metadata = [&6_u16.to_le_bytes()[..], b"\x01\x02\x00kvv"].concat();
    let large = [&4_100_u32.to_le_bytes()[..], &metadata, &[7; 4_096]].concat();
    let request =
        |id: u64, text: &[u8]| frame(Kind::Request, LAST, 1, id, &[&[9, 0, 0, 0], text].concat());
    [
        PREFACE.to_vec(),
        hello,
        frame(Kind::Subject, 0, 1, 0, b"log"),
        frame(Kind::Send, LAST, 1, 0, b"one-way"),
        frame(Kind::Send, METADATA, 1, 0, &large),
        request(0x1_0000, b"asked in between"),
        frame(Kind::Send, LAST | CONTINUED, 1, 0, b"rest"),
        frame(Kind::Cancel, 0, 0, 0x1_0000, b""),
        frame(Kind::StreamOpen, LAST, 1, 0x1_0001, b"open"),
        frame(Kind::StreamData, LAST, 0, 0x1_0001, b"data"),
        frame(Kind::StreamEnd, 0, 0, 0x1_0001, b""),
        frame(Kind::StreamOpen, LAST, 1, 0x2_0003, b""),
        frame(
            Kind::StreamReset,
            0,
            0,
            0x2_0003,
            &reason_body(FaultCode::Limit, "why"),
        ),
        frame(Kind::Reply, LAST, 0, 0x1_0000, b"reply"),
        frame(
            Kind::Fault,
            0,
            0,
            0x2_0001,
            &fault_body(FaultCode::NoHandler, Retry::NotStarted, "none"),
        ),
        frame(Kind::Credit, 0, 1, 0, &credit_body(1, 1)),
        frame(Kind::Ping, 0, 0, 0, &[1; 8]),
        frame(Kind::Pong, 0, 0, 0, &[2; 8]),
        crate::support::raw_frame(0x99, 0xff, 7, 7, b"skipped"),
        frame(
            Kind::GoAway,
            0,
            0,
            0,
            &reason_body(FaultCode::ShuttingDown, "bye"),
        ),
    ]
    .concat()
}

/// An acceptor that has two requests and a message of its own under way once it is greeted.
struct Reader {
    end: End,
    busy: bool,
}

impl Reader {
    fn new() -> Self {
        let end = End::new(Role::Acceptor, settings("b", Limits::default()));
        Self { end, busy: false }
    }

    fn read(&mut self, bytes: &[u8]) {
        self.end.read(Time::ZERO, bytes).unwrap();
        if !self.busy && self.end.connection.peer().is_some() {
            self.busy = true;
            let connection = &mut self.end.connection;
            connection.subject("own").unwrap();
            connection.send(1, Body::Borrowed(b"x"), &[]).unwrap();
            for token in 0..2 {
                connection
                    .request(Time::ZERO, 1, Body::Borrowed(b"q"), None, &[], token)
                    .unwrap();
            }
        }
    }

    fn finish(mut self) -> (Vec<Event>, Vec<u8>) {
        let said = self.end.write(Time::ZERO);
        (self.end.events, said)
    }
}

fn read_in(pieces: &[&[u8]]) -> (Vec<Event>, Vec<u8>) {
    let mut reader = Reader::new();
    pieces.iter().for_each(|piece| reader.read(piece));
    reader.finish()
}

/// The bytes up to the end of HELLO: behind them the reader makes requests.
fn greeting_bytes() -> usize {
    PREFACE.len() + hello_frame(&settings("a", Limits::default())).len()
}

/// W-61.
#[test]
fn t11_every_split_point_gives_the_same_events_and_bytes() {
    let bytes = conversation();
    let (greeting, rest) = bytes.split_at(greeting_bytes());
    let whole = read_in(&[greeting, rest]);
    assert_eq!(whole.0.len(), 14);
    for at in 0..=rest.len() {
        let (left, right) = rest.split_at(at);
        assert_eq!(read_in(&[greeting, left, right]), whole, "cut at byte {at}");
    }
    for at in 0..greeting.len() {
        let (left, right) = greeting.split_at(at);
        assert_eq!(
            read_in(&[left, right, rest]),
            whole,
            "greeting cut at byte {at}"
        );
    }
}

#[test]
fn t11_single_bytes_give_the_same_events_and_bytes() {
    let bytes = conversation();
    let (greeting, rest) = bytes.split_at(greeting_bytes());
    let singles: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read_in(&singles), read_in(&[greeting, rest]));
}

/// W-55.
#[test]
fn t15_the_end_of_bytes_inside_a_message_is_never_clean() {
    let hello = hello_frame(&settings("a", Limits::default()));
    let greeting = [
        PREFACE.to_vec(),
        hello,
        frame(Kind::Subject, 0, 1, 0, b"log"),
    ]
    .concat();
    let frames = [b"one", b"two", b"six"].map(|text| frame(Kind::Send, LAST, 1, 0, text));
    let stream = frames.concat();
    let boundary = frames[0].len();
    for at in 0..=stream.len() {
        let mut end = End::new(Role::Acceptor, settings("b", Limits::default()));
        end.read(Time::ZERO, &greeting).unwrap();
        end.take_events();
        end.read(Time::ZERO, &stream[..at]).unwrap();
        assert_eq!(
            end.take_events().len(),
            at / boundary,
            "only whole messages, byte {at}"
        );
        let ended = end.end(Time::ZERO);
        let clean = at % boundary == 0;
        assert_eq!(
            ended.as_ref().err().map(Error::reason),
            (!clean).then_some("truncated")
        );
        assert!(end.take_events().is_empty(), "byte {at}");
    }
}

#[test]
fn t15_an_end_between_fragments_is_truncated() {
    let mut end = crate::support::victim_with_subject(Limits::default());
    let body = [&9_000_u32.to_le_bytes()[..], &[0; 4_096]].concat();
    end.read(Time::ZERO, &frame(Kind::Send, 0, 1, 0, &body))
        .unwrap();
    assert_eq!(end.end(Time::ZERO).unwrap_err().reason(), "truncated");
}

#[test]
fn t15_an_end_before_hello_is_no_clean_end() {
    for bytes in [0, 8] {
        let mut end = End::new(Role::Acceptor, settings("b", Limits::default()));
        end.read(Time::ZERO, &PREFACE[..bytes]).unwrap();
        assert_eq!(
            end.end(Time::ZERO).unwrap_err().reason(),
            "no_hello",
            "{bytes} bytes"
        );
    }
}
