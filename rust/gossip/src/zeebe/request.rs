//! Requests both ways: what is asked of us, and what becomes of what we asked.

use super::merge::Word;
use super::settings::{CHECKS_MAX, RELAYS_MAX};
use super::{Node, PROBE, PROBE_REQUEST, SYNC};
use crate::kryo::{
    Host, Record, Standing, decode_pair, decode_record, encode_boolean, encode_list, encode_pair,
    encode_record,
};
use crate::swim::Happened;
use crate::time::Time;
use crate::wire::Malformed;

/// Something to ask a member over the messaging protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Names it in `handle_reply`.
    pub token: u64,
    /// Whom to ask.
    pub to: Host,
    /// What it is about.
    pub subject: &'static str,
    /// The request itself.
    pub payload: Vec<u8>,
    /// When it has failed, connecting included.
    pub timeout_ms: u32,
}

/// What becomes of a request of somebody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is answered with these bytes.
    Reply(Vec<u8>),
    /// It is answered with what `handle_reply` gives for this request of ours.
    After(Request),
}

/// Why a request was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It breaks a rule of the codec, or its subject is not ours.
    Malformed(Malformed),
    /// We have left the cluster.
    Departed,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "the peer's request is malformed: {}", error.0),
            Self::Departed => f.write_str("this member has left the cluster"),
        }
    }
}

impl std::error::Error for Refused {}

/// A request of ours that is under way.
#[derive(Debug)]
pub(super) enum Pending {
    /// The probe whose turn it is; the next one waits for its end.
    Probe(Record),
    /// A contact point at the start.
    Greeting,
    /// Somebody was asked to probe a member for us.
    Help { suspect: Record, group: u64 },
    /// All that a member knows.
    Sync(String),
    /// A probe of a member of whom something doubtful was said; what it is if it does not answer.
    Check(Record, Option<Happened>),
    /// A probe for somebody else.
    Relay(Record),
    /// Our farewell.
    Farewell,
}

impl Node {
    /// The next request to make.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// Takes a request of somebody else.
    ///
    /// # Errors
    /// [`Refused`]; nothing of the request had an effect.
    pub fn handle_request(
        &mut self,
        now: Time,
        subject: &str,
        payload: &[u8],
    ) -> Result<Answer, Refused> {
        if self.leaving {
            return Err(Refused::Departed);
        }
        let answer = match subject {
            PROBE => self.answer_probe(now, payload),
            SYNC => self.answer_sync(now, payload),
            PROBE_REQUEST => self.answer_probe_request(payload),
            _ => Err(Malformed("the subject is not one of membership")),
        };
        answer.map_err(|error| {
            self.statistics.requests_malformed += 1;
            Refused::Malformed(error)
        })
    }

    /// The prober says what it holds us for; if that is later or worse than what we are we refute.
    fn answer_probe(&mut self, now: Time, payload: &[u8]) -> Result<Answer, Malformed> {
        let (prober, said) = decode_pair(payload)?;
        // Contact points are probed by an id of their own, and a new life at an old address by the
        // old one's.
        if said.id == self.own.id {
            self.learn(now, said, Word::Hearsay);
        }
        self.learn(now, prober, Word::Own);
        Ok(Answer::Reply(encode_record(&self.own)))
    }

    fn answer_sync(&mut self, now: Time, payload: &[u8]) -> Result<Answer, Malformed> {
        let asker = decode_record(payload)?;
        self.learn(now, asker, Word::Own);
        let all: Vec<&Record> = self.members().chain([&self.own]).collect();
        Ok(Answer::Reply(encode_list(all.into_iter())))
    }

    fn answer_probe_request(&mut self, payload: &[u8]) -> Result<Answer, Malformed> {
        let suspect = decode_record(payload)?;
        let relayed = |pending: &&Pending| matches!(pending, Pending::Relay(_));
        let full = self.pending.values().filter(relayed).count() >= RELAYS_MAX;
        let Some(to) = suspect.address.clone().filter(|_| !full) else {
            return Ok(Answer::Reply(encode_boolean(false)));
        };
        let payload = encode_pair(&self.own, &suspect);
        let timeout_ms = self.settings.probe_timeout_ms;
        self.statistics.probes += 1;
        let token = self.expect(Pending::Relay(suspect));
        Ok(Answer::After(Request {
            token,
            to,
            subject: PROBE,
            payload,
            timeout_ms,
        }))
    }

    /// Ends a request of ours: with the reply, or with none for a failure of any kind. Gives the
    /// answer to the request of somebody else that waits for this one.
    pub fn handle_reply(&mut self, now: Time, token: u64, reply: Option<&[u8]>) -> Option<Vec<u8>> {
        match self.pending.remove(&token)? {
            Pending::Probe(record) => self.end_probe(now, &record, reply),
            Pending::Greeting => self.end_greeting(now, reply),
            Pending::Help { suspect, group } => self.end_help(now, &suspect, group, reply),
            Pending::Sync(id) => self.end_sync(now, &id, reply),
            Pending::Check(record, removed) => self.end_check(now, &record, removed, reply),
            Pending::Relay(record) => {
                let answered = self.is_answered(now, &record.id, reply);
                return Some(encode_boolean(answered));
            }
            Pending::Farewell => {}
        }
        None
    }

    /// Whether the member of this id answered a probe; whoever did is learnt of.
    pub(super) fn is_answered(&mut self, now: Time, id: &str, reply: Option<&[u8]>) -> bool {
        let record = reply.and_then(|bytes| decode_record(bytes).ok());
        // A real member takes any answer from the address for the member's.
        let answered = record.as_ref().is_some_and(|record| record.id == id);
        if let Some(record) = record {
            self.learn(now, record, Word::Own);
        }
        if !answered {
            self.statistics.probes_failed += 1;
        }
        answered
    }

    /// Probes a member of whom something doubtful was said. Returns whether that could begin.
    pub(super) fn begin_check(&mut self, record: Record, removed: Option<Happened>) -> bool {
        let known = self.members.get(&record.id);
        let known = known.and_then(|member| member.record.address.clone());
        let Some(to) = known.or_else(|| record.address.clone()) else {
            return false;
        };
        let checks = self.pending.values().filter_map(|pending| match pending {
            Pending::Check(other, _) => Some(&*other.id),
            _ => None,
        });
        let ids: Vec<&str> = checks.collect();
        if ids.len() >= CHECKS_MAX || ids.contains(&&*record.id) {
            return false;
        }
        // Called suspected, a member that is there takes a later incarnation.
        let said = Record {
            standing: Some(Standing::Suspect),
            ..record.clone()
        };
        self.ask_probe(to, &said, Pending::Check(record, removed));
        true
    }

    fn end_check(
        &mut self,
        now: Time,
        record: &Record,
        removed: Option<Happened>,
        reply: Option<&[u8]>,
    ) {
        if self.is_answered(now, &record.id, reply) {
            return;
        }
        let known = self.members.get(&record.id);
        let later = known.is_some_and(|member| member.record.incarnation > record.incarnation);
        if let Some(happened) = removed.filter(|_| !later) {
            self.remove(now, record, happened);
        }
    }

    /// Probes `to`, saying what we hold it for.
    pub(super) fn ask_probe(&mut self, to: Host, said: &Record, pending: Pending) {
        self.statistics.probes += 1;
        let payload = encode_pair(&self.own, said);
        self.ask(to, PROBE, payload, self.settings.probe_timeout_ms, pending);
    }

    pub(super) fn ask(
        &mut self,
        to: Host,
        subject: &'static str,
        payload: Vec<u8>,
        timeout_ms: u32,
        pending: Pending,
    ) {
        let token = self.expect(pending);
        self.requests.push_back(Request {
            token,
            to,
            subject,
            payload,
            timeout_ms,
        });
    }

    fn expect(&mut self, pending: Pending) -> u64 {
        self.token += 1;
        self.pending.insert(self.token, pending);
        self.token
    }
}
