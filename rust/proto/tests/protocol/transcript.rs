//! Reads and replays transcripts: see tests/vectors/README.md for their lines.

use std::fmt::Write;

use ztransport_proto::zeebe::Compression;
use ztransport_proto::{
    Body, Dialect, Door, Error, Event, FaultCode, Limits, Metadata, Payload, Reason, Retry, Role,
    SendError, Settings, Time,
};

/// Events taken in one call: no transcript has more.
const EVENTS_MAX: usize = 100;

/// Bytes as hexadecimal digits; long runs of one byte as `00*65536`.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for run in bytes.chunk_by(|left, right| left == right) {
        if run.len() > 16 {
            write!(text, " {:02x}*{} ", run[0], run.len()).unwrap();
        } else {
            run.iter()
                .for_each(|byte| write!(text, "{byte:02x}").unwrap());
        }
    }
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() { "-".into() } else { text }
}

fn unhex(words: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in words.iter().filter(|word| **word != "-") {
        let (digits, count) = word.split_once('*').unwrap_or((word, "1"));
        let digit = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        let piece: Vec<u8> = (0..digits.len()).step_by(2).map(digit).collect();
        bytes.extend(piece.repeat(count.parse().unwrap()));
    }
    bytes
}

fn number(word: &str) -> u64 {
    word.parse()
        .unwrap_or_else(|_| panic!("{word:?} is no number"))
}

fn time(time: Option<Time>) -> String {
    time.map_or("-".into(), |time| time.as_nanos().to_string())
}

fn pairs(metadata: Option<&Metadata>) -> String {
    metadata.map_or("-".into(), |block| hex(block))
}

fn retry(class: Retry) -> &'static str {
    match class {
        Retry::NotStarted => "not_started",
        Retry::Unknown => "unknown",
        Retry::Failed => "failed",
    }
}

fn zt() -> (Door, Settings) {
    let settings = Settings {
        cluster: "orders".into(),
        node_id: "node-b".into(),
        advertise: "127.0.0.1:7000".into(),
        roles: Vec::new(),
        limits: Limits::default(),
    };
    (Door::Zt, settings)
}

/// Zeebe's protocol under its default cluster name, offering no heartbeats.
fn zeebe(advertise: &str) -> (Door, Settings) {
    let limits = Limits {
        zeebe_heartbeat_interval_ms: 0,
        ..Limits::default()
    };
    let settings = Settings {
        cluster: "zeebe-cluster".into(),
        advertise: advertise.into(),
        roles: Vec::new(),
        limits,
        ..zt().1
    };
    (Door::Zeebe(Compression::None), settings)
}

/// One connection under replay.
struct Replay {
    connection: Dialect,
    now: Time,
    inbox: Vec<u8>,
    /// Bytes of the inbox that the last step has consumed.
    consumed: usize,
    said: String,
}

impl Replay {
    fn new(role: &str) -> Self {
        let words: Vec<&str> = role.split(' ').collect();
        let role = match words[..2] {
            ["role", "dialer"] => Role::Dialer,
            ["role", "acceptor"] => Role::Acceptor,
            _ => panic!("a transcript begins with a role, not {words:?}"),
        };
        let (door, settings) = match words.get(2..) {
            Some(["zeebe", advertise]) => zeebe(advertise),
            _ => zt(),
        };
        let connection = Dialect::new(role, door, settings.into(), Time::ZERO);
        Self {
            connection,
            now: Time::ZERO,
            inbox: Vec::new(),
            consumed: 0,
            said: String::new(),
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.said, "{line}").unwrap();
    }

    fn step(&mut self, line: &str) {
        self.say(line);
        let words: Vec<&str> = line.split_whitespace().collect();
        let mut events = Vec::new();
        let result = match words[0] {
            "in" => self.read(&unhex(&words[1..]), &mut events),
            "claim" => self.read(&unhex(&words[1..]), &mut events).inspect(|()| {
                let detail = "no certificate bears it out";
                let unbelieved = Error::new(Reason::IdentityNotAllowed, detail);
                self.connection.refuse(&unbelieved);
            }),
            "end" => self
                .connection
                .handle_end(self.now, self.inbox.len(), &mut events),
            "time" => {
                self.now = Time::from_nanos(number(words[1]));
                self.connection.handle_timeout(self.now, &mut events)
            }
            "do" => {
                let result = self.command(&words[1..]);
                self.say(&format!("done {result}"));
                Ok(())
            }
            other => panic!("no line begins with {other:?}"),
        };
        for event in &events {
            let text = self.describe(event);
            self.say(&format!("event {text}"));
        }
        if let Err(error) = result {
            self.say(&format!("error {}", error.reason()));
        }
        self.inbox.drain(..self.consumed);
        self.consumed = 0;
        self.write();
        let next = time(self.connection.poll_timeout());
        self.say(&format!("next {next}"));
    }

    fn read(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), Error> {
        self.inbox.extend_from_slice(bytes);
        let consumed = self
            .connection
            .handle_input(self.now, &self.inbox, events, EVENTS_MAX);
        self.consumed = *consumed.as_ref().unwrap_or(&self.inbox.len());
        consumed.map(drop)
    }

    fn write(&mut self) {
        let mut bytes = Vec::new();
        loop {
            let chunk = self.connection.poll_output(self.now);
            if chunk.is_empty() {
                break;
            }
            bytes.extend_from_slice(chunk);
            self.connection.consume_output();
        }
        if !bytes.is_empty() {
            self.say(&format!("out {}", hex(&bytes)));
        }
    }

    fn command(&mut self, words: &[&str]) -> String {
        let connection = &mut self.connection;
        let id = words.get(1).map_or(0, |word| word.parse().unwrap_or(0));
        let body = |from: usize| Body::Owned(unhex(&words[from..]).into());
        let code = |word: &str| FaultCode::from_wire(number(word) as u16);
        let done = |result: Result<(), SendError>| match result {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("{error:?}"),
        };
        match words[0] {
            "subject" => format!("{:?}", connection.subject(words[1])),
            "send" => done(connection.send(id as u16, body(2), &[])),
            "request" => {
                let token = number(words[2]);
                let deadline = words[3].parse().ok().map(Time::from_nanos);
                let asked = connection.request(self.now, id as u16, body(4), deadline, &[], token);
                format!("{asked:?}")
            }
            "cancel" => format!("{:?}", connection.cancel(self.now, id)),
            "reply" => done(connection.reply(id, body(2))),
            "fault" => done(connection.fault(id, code(words[2]), Retry::Failed, words[3])),
            "release" => {
                connection.release_subject(id as u16, number(words[2]) as u32, number(words[3]));
                connection.flush_credit(id as u16);
                done(Ok(()))
            }
            "open" => format!(
                "{:?}",
                connection.open_stream(self.now, id as u16, body(2), &[])
            ),
            "data" => done(connection.stream_send(id, body(2))),
            "finish" => done(connection.stream_finish(id)),
            "consume" => {
                connection.release_stream(id, number(words[2]) as u32, number(words[3]));
                done(Ok(()))
            }
            "reset" => {
                connection.stream_reset(id, code(words[2]), words[3]);
                done(Ok(()))
            }
            "goaway" => {
                connection.goaway(code(words[1]), words[2]);
                done(Ok(()))
            }
            other => panic!("no command is called {other:?}"),
        }
    }

    fn describe(&self, event: &Event) -> String {
        let bytes = |payload: &Payload| hex(payload.as_slice(&self.inbox));
        let code = |code: &FaultCode| code.to_wire();
        match event {
            Event::Greeted => "greeted".into(),
            Event::SubjectAnnounced { subject } => {
                format!(
                    "subject {subject} {}",
                    self.connection.peer_subject(*subject)
                )
            }
            Event::Request {
                id,
                subject,
                deadline,
                metadata,
                payload,
            } => {
                let (deadline, block) = (time(*deadline), pairs(metadata.as_ref()));
                format!(
                    "request {id} {subject} {deadline} {block} {}",
                    bytes(payload)
                )
            }
            Event::Cancelled { id } => format!("cancelled {id}"),
            Event::Reply { token, payload } => format!("reply {token} {}", bytes(payload)),
            Event::Fault {
                token,
                code: why,
                retry: class,
                text,
            } => {
                format!(
                    "fault {token} {} {} {}",
                    code(why),
                    retry(*class),
                    bytes(text)
                )
            }
            Event::Expired { token } => format!("expired {token}"),
            Event::Send {
                subject,
                metadata,
                payload,
            } => {
                format!(
                    "send {subject} {} {}",
                    pairs(metadata.as_ref()),
                    bytes(payload)
                )
            }
            Event::Room { subject } => format!("room {subject}"),
            Event::RequestRoom => "request_room".into(),
            Event::GoAway { code: why, text } => format!("goaway {} {}", code(why), bytes(text)),
            other => self.describe_stream(other),
        }
    }

    fn describe_stream(&self, event: &Event) -> String {
        let bytes = |payload: &Payload| hex(payload.as_slice(&self.inbox));
        match event {
            Event::StreamOpened {
                id,
                subject,
                metadata,
                payload,
            } => {
                format!(
                    "opened {id} {subject} {} {}",
                    pairs(metadata.as_ref()),
                    bytes(payload)
                )
            }
            Event::StreamData { id, payload } => format!("data {id} {}", bytes(payload)),
            Event::StreamEnd { id } => format!("ended {id}"),
            Event::StreamReset { id, code, text } => {
                format!("reset {id} {} {}", code.to_wire(), bytes(text))
            }
            Event::StreamAcknowledged { id, count } => format!("acknowledged {id} {count}"),
            Event::StreamRoom { id } => format!("stream_room {id}"),
            Event::StreamClosed { id } => format!("closed {id}"),
            other => panic!("{other:?} is not of a stream"),
        }
    }
}

fn is_step(line: &str) -> bool {
    ["role", "time", "in", "claim", "end", "do"].contains(&line.split(' ').next().unwrap_or(""))
}

/// Replays the steps of a transcript and gives back all of it as it happened.
pub(crate) fn replay(text: &str) -> String {
    let mut steps = text.lines().filter(|line| is_step(line));
    let role = steps.next().unwrap_or_default();
    let mut replay = Replay::new(role);
    let comments = text.lines().take_while(|line| line.starts_with('#'));
    comments.for_each(|line| replay.say(line));
    replay.say(role);
    replay.write();
    let next = time(replay.connection.poll_timeout());
    replay.say(&format!("next {next}"));
    steps.for_each(|line| replay.step(line));
    replay.said
}
