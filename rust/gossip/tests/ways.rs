//! By which way things are sent, and how often.

mod pair;

use pair::{Table, Voice, address, identity, key, node};
use ztransport_gossip::member::{REACH_DATAGRAM, REACH_STREAM};
use ztransport_gossip::wire::{Header, Kind, Message};
use ztransport_gossip::{Node, Settings, Time, Transmit, Via};

fn sent(node: &mut Node) -> Vec<Transmit> {
    let mut out = Vec::new();
    std::iter::from_fn(|| node.poll_transmit(&mut out)).collect()
}

fn take(node: &mut Node, now: Time, via: Via, bytes: &mut [u8]) {
    let taken = match via {
        Via::Datagram => node.handle_datagram(now, address(99), bytes),
        Via::Stream => node.handle_streamed(now, address(99), bytes),
    };
    taken.expect("a datagram as it should be");
}

const PING: Message<'_> = Message::Ping { seq: 1, digest: 2 };

#[test]
fn g_17_an_answer_goes_the_way_the_question_came() {
    for via in [Via::Stream, Via::Datagram] {
        let mut table = Table::joined(2);
        let mut voice = Voice::of(&table.nodes[1]);
        let mut ping = voice.say(&table.nodes[0], &[PING]);
        take(&mut table.nodes[0], table.now, via, &mut ping);
        let answers = sent(&mut table.nodes[0]);
        let to = (address(2), via, voice.sid);
        let found = answers
            .iter()
            .map(|answer| (answer.to, answer.via, answer.sid));
        assert_eq!(found.collect::<Vec<_>>(), [to], "the acknowledgement");
    }
}

#[test]
fn g_17_strangers_are_answered_the_way_they_came() {
    for via in [Via::Stream, Via::Datagram] {
        let mut member = node(1);
        let mut voice = Voice::new(77, &key(1));
        let hello = Message::Hello {
            generation: 1,
            name: "a name that is long enough",
        };
        let mut greeting = voice.say_as(Kind::Hello, 0, &[hello]);
        take(&mut member, Time::ZERO, via, &mut greeting);
        let mut ping = voice.say(&member, &[PING]);
        take(&mut member, Time::ZERO, via, &mut ping);
        let answers = sent(&mut member);
        assert!(
            answers.len() >= 3,
            "a reply, an acknowledgement, a question"
        );
        let there = |answer: &Transmit| answer.via == via && answer.to == address(99);
        assert!(answers.iter().all(there), "{answers:?}");
    }
}

#[test]
fn g_17_what_a_helper_learns_goes_the_way_it_was_asked_for() {
    let mut table = Table::joined(3);
    let (mut asker, mut target) = (Voice::of(&table.nodes[1]), Voice::of(&table.nodes[2]));
    let request = Message::PingReq {
        seq: 9,
        target: target.sid,
    };
    let mut request = asker.say(&table.nodes[0], &[request]);
    take(&mut table.nodes[0], table.now, Via::Stream, &mut request);
    let mut out = Vec::new();
    let ping = table.nodes[0].poll_transmit(&mut out).unwrap();
    assert_eq!((ping.sid, ping.via), (target.sid, Via::Datagram));
    let header = Header::decode(&out).unwrap();
    let key = target.keyring.sender_key(header.epoch, header.sid);
    let body = target
        .keyring
        .open(key.as_ref(), &header, target.sid, &mut out);
    let seq = u32::from_le_bytes(body.unwrap()[2..6].try_into().unwrap());
    let mut ack = target.say(&table.nodes[0], &[Message::Ack { seq, digest: 0 }]);
    take(&mut table.nodes[0], table.now, Via::Datagram, &mut ack);
    let passed = sent(&mut table.nodes[0]);
    let on = |one: &&Transmit| one.sid == asker.sid && one.via == Via::Stream;
    assert_eq!(passed.iter().filter(on).count(), 1, "{passed:?}");
}

#[test]
fn g_56_whoever_takes_no_connection_is_not_pinged_over_one() {
    for (reach, expected) in [
        (REACH_DATAGRAM, false),
        (REACH_DATAGRAM | REACH_STREAM, true),
    ] {
        let mut other = identity(2, key(1));
        other.reach = reach;
        let other = Node::new(Settings::default(), &other, Time::ZERO).unwrap();
        let mut table = Table::of(vec![node(1), other]);
        table.nodes[1].join(Time::ZERO, &[address(1)]).unwrap();
        table.run(1_000);
        table.nodes.pop();
        let mut streamed = 0;
        for _ in 0..300 {
            table.now = table.now.after_millis(10);
            table.nodes[0].handle_timeout(table.now);
            let pings = sent(&mut table.nodes[0]);
            streamed += pings.iter().filter(|ping| ping.via == Via::Stream).count();
        }
        assert_eq!(streamed > 0, expected);
    }
}

#[test]
fn g_52_rounds_in_haste_are_close_and_then_far_apart() {
    let mut table = Table::joined(12);
    table.run(10_000);
    let start = table.now;
    table.nodes[3].leave(start);
    table.nodes.swap(0, 3);
    table.nodes.truncate(1);
    let mut rounds = Vec::new();
    for milli in 0..1_000 {
        let now = start.after_millis(milli);
        table.nodes[0].handle_timeout(now);
        let count = sent(&mut table.nodes[0]).len();
        rounds.extend((count >= 3).then_some(milli));
    }
    // Twelve datagrams of which eight are in haste.
    assert_eq!(rounds, [0, 20, 40, 240]);
    assert!(table.nodes[0].is_departed());
}
