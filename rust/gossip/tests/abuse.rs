//! The rows U1 to U6 of the abuse list, beyond what `hostile.rs` shows of them.

mod pair;

use pair::{Flight, Table, Voice, address, identity, key, node, sent};
use ztransport_gossip::limits::DATAGRAM_BYTES_MIN;
use ztransport_gossip::random::Random;
use ztransport_gossip::wire::{Message, State};
use ztransport_gossip::{Drop, Node, Settings, Time};

/// The longest datagram of UDP over IPv4.
const UDP_BYTES_MAX: usize = 65_507;

fn digests(table: &Table) -> Vec<u64> {
    table
        .nodes
        .iter()
        .map(|node| node.view().digest())
        .collect()
}

fn is_greeting(flight: &Flight) -> bool {
    flight.bytes[1] & 0x0F == 1
}

/// Members that know each other, of whom all others are forgotten soon after they have left.
fn forgetful(count: u8) -> Table {
    let settings = Settings {
        remember_ms: 1_000,
        ..Settings::default()
    };
    let member = |number| {
        let identity = identity(number, key(1));
        Node::new(settings.clone(), &identity, Time::ZERO).expect("settings in range")
    };
    let mut table = Table::of((1..=count).map(member).collect());
    for node in &mut table.nodes[1..] {
        node.join(Time::ZERO, &[address(1)]).expect("one seed");
    }
    table.run(3_000);
    table
}

#[test]
fn g_1_u1_no_random_datagram_of_any_length_is_answered() {
    let mut member = node(1);
    let mut random = Random::new(2);
    let mut bytes: Vec<u8> = (0..UDP_BYTES_MAX).map(|_| random.word() as u8).collect();
    let before = member.view().digest();
    for length in 0..=UDP_BYTES_MAX {
        let first = random.below((UDP_BYTES_MAX - length + 1) as u64) as usize;
        let datagram = &mut bytes[first..first + length];
        let result = member.handle_datagram(Time::ZERO, address(99), datagram);
        assert!(result.is_err(), "{length} bytes from {first}, seed 2");
    }
    assert!(sent(&mut member).is_empty());
    assert_eq!((member.view().digest(), member.view().len()), (before, 1));
}

#[test]
fn g_7_u3_a_late_joiner_takes_nothing_that_was_recorded_before() {
    let mut table = Table::joined(3);
    let recorded = table.recorded.clone();
    let mut late = node(4);
    late.join(table.now, &[address(1)]).unwrap();
    table.nodes.push(late);
    table.run(3_000);
    let before = digests(&table);
    for flight in recorded.iter().filter(|flight| !is_greeting(flight)) {
        let flight = Flight {
            to: address(4),
            ..flight.clone()
        };
        assert!(table.deliver(&flight).unwrap().is_err(), "{flight:x?}");
    }
    assert!(sent(&mut table.nodes[3]).is_empty());
    assert_eq!(digests(&table), before);
}

#[test]
fn g_9_u3_what_a_forgotten_member_said_stays_without_effect() {
    let mut table = forgetful(3);
    let now = table.now;
    table.nodes[2].leave(now);
    table.run(10_000);
    assert_eq!(table.nodes[0].view().len(), 2, "it was forgotten");
    let gone = table.nodes.pop().unwrap().profile().address;
    let before = digests(&table);
    let recorded = table.recorded.clone();
    let of_it = |flight: &&Flight| flight.from == gone && !is_greeting(flight);
    for flight in recorded.iter().filter(of_it) {
        assert!(table.deliver(flight).unwrap().is_err(), "{flight:x?}");
    }
    assert!(table.nodes[0].statistics().dropped_for(Drop::Retired) > 0);
    assert_eq!(digests(&table), before);
    assert!(table.nodes.iter_mut().all(|node| sent(node).is_empty()));
}

#[test]
fn g_56_u4_a_request_to_ping_costs_no_more_than_it() {
    let mut table = Table::joined(3);
    let mut voice = Voice::of(&table.nodes[1]);
    let third = table.nodes[2].sid();
    for (target, to) in [(third, address(3)), (4_242, address(2))] {
        let request = Message::PingReq { seq: 1, target };
        let bytes = voice.say(&table.nodes[0], &[request]);
        let flight = Flight {
            from: address(2),
            to: address(1),
            bytes,
        };
        table.deliver(&flight).unwrap().unwrap();
        let answers = sent(&mut table.nodes[0]);
        assert_eq!(answers.len(), 1, "one ping to a member, or one refusal");
        assert_eq!(answers[0].to, to);
        assert!(answers[0].bytes.len() <= flight.bytes.len());
    }
}

#[test]
fn g_1_u5_cut_and_oversized_datagrams_are_dropped_and_counted() {
    let mut table = Table::joined(2);
    let before = digests(&table);
    let digest = table.nodes[1].view().digest();
    let mut voice = Voice::of(&table.nodes[1]);
    let whole = voice.say(&table.nodes[0], &[Message::Ping { seq: 1, digest }]);
    let now = table.now;
    let mut take = |bytes: &[u8]| {
        let member = &mut table.nodes[0];
        member.handle_datagram(now, address(2), &mut bytes.to_vec())
    };
    for end in 0..whole.len() {
        assert!(take(&whole[..end]).is_err(), "cut to {end} bytes");
    }
    assert_eq!(take(&[0x5A; 8_953]), Err(Drop::Length));
    assert_eq!(take(&whole), Ok(()), "none of the pieces spoiled the whole");
    let dropped = table.nodes[0].statistics().dropped_for(Drop::Length);
    assert_eq!(
        dropped,
        34 + 1,
        "those below the envelope, and the long one"
    );
    assert_eq!(digests(&table), before);
}

#[test]
fn g_1_u5_whatever_there_is_to_tell_no_datagram_is_longer() {
    let mut table = Table::new(40);
    let now = table.now;
    for number in 1..40 {
        let node = &mut table.nodes[number];
        let long = [&[1, 0, 2, b'k'][..], &[7; 512]].concat();
        node.update_properties(now, &long).unwrap();
        node.join(now, &[address(1)]).unwrap();
    }
    table.run(4_000);
    assert!(table.nodes.iter().all(|node| node.view().present() == 40));
    let longest = table.recorded.iter().map(|flight| flight.bytes.len()).max();
    let longest = longest.unwrap_or_default();
    assert!((1_000..=DATAGRAM_BYTES_MIN).contains(&longest), "{longest}");
}

#[test]
fn g_33_u6_a_stolen_name_with_a_clock_far_ahead_is_taken_back() {
    let mut table = Table::joined(3);
    let name = table.nodes[0].profile().name.clone();
    let far = 1 << 60;
    let mut voice = Voice::of(&table.nodes[1]);
    let theft = Message::Alive(ztransport_gossip::wire::Description {
        sid: 666,
        generation: far,
        name: &name,
        ..table.nodes[1].profile().describe(0)
    });
    let bytes = voice.say(&table.nodes[2], &[theft]);
    let flight = Flight {
        from: address(2),
        to: address(3),
        bytes,
    };
    table.deliver(&flight).unwrap().unwrap();
    table.run(2_000);
    let owner = table.nodes[0].profile();
    assert_eq!(owner.generation, far + 1);
    let (sid, own_address) = (owner.sid, owner.address);
    for node in &table.nodes {
        let held = node
            .view()
            .get(node.view().find_name(&name).unwrap())
            .unwrap();
        assert_eq!((held.sid, held.state), (sid, State::Alive));
        assert_eq!(held.profile.address, own_address);
    }
}
