//! Replay, reflection, forgery and flood (rows U1 to U6 of the abuse list), and lives.

mod pair;

use pair::{CLUSTER, Flight, Table, Voice, address, identity, key, node, sent};
use ztransport_gossip::limits::{
    GREETINGS_PER_SECOND, INCARNATION_MAX, LIFE_BACK_MS, LIVES_MAX, STRANGERS_PER_SECOND,
};
use ztransport_gossip::random::Random;
use ztransport_gossip::wire::{Description, Kind, Message, State};
use ztransport_gossip::{Drop, Happened, Node, Settings, Time};

fn digests(table: &Table) -> Vec<u64> {
    table
        .nodes
        .iter()
        .map(|node| node.view().digest())
        .collect()
}

fn take(node: &mut Node, now: Time, bytes: &[u8]) -> Result<(), Drop> {
    node.handle_datagram(now, address(99), &mut bytes.to_vec())
}

#[test]
fn g_1_u1_random_bytes_of_every_length_are_dropped_without_a_reply() {
    let mut member = node(1);
    let mut random = Random::new(1);
    for length in (0..1_300).chain([8_951, 8_952, 8_953, 65_507]) {
        let mut bytes: Vec<u8> = (0..length).map(|_| random.word() as u8).collect();
        assert!(take(&mut member, Time::ZERO, &bytes).is_err());
        if let Some(head) = bytes.get_mut(..4) {
            head.copy_from_slice(&[0x5A, 0x10, 0, 0]);
            assert!(take(&mut member, Time::ZERO, &bytes).is_err());
        }
    }
    assert!(sent(&mut member).is_empty());
    assert!(member.statistics().dropped_for(Drop::Length) > 0);
}

#[test]
fn g_6_u2_a_forgery_changes_nothing_and_is_not_answered() {
    let mut table = Table::joined(2);
    let before = digests(&table);
    let sid = table.nodes[1].sid();
    let mut stranger = Voice::new(sid, &key(2));
    let accusation = Message::Dead {
        sid,
        incarnation: 5,
        reporter: sid,
    };
    for kind in [Kind::Sealed, Kind::Hello, Kind::HelloReply] {
        let bytes = stranger.say_as(kind, table.nodes[0].sid(), &[accusation]);
        assert!(take(&mut table.nodes[0], table.now, &bytes).is_err());
    }
    assert!(sent(&mut table.nodes[0]).is_empty());
    assert_eq!(digests(&table), before);
}

#[test]
fn g_6_u3_recorded_traffic_does_nothing_anywhere() {
    let mut table = Table::joined(3);
    let recorded = table.recorded.clone();
    let before = digests(&table);
    let fresh = node(9);
    let restarted = Node::new(
        Settings::default(),
        &pair::identity_with_seed(2, 4_711),
        table.now,
    )
    .unwrap();
    for mut other in [fresh, restarted] {
        for flight in &recorded {
            let greeting = flight.bytes[1] & 0x0F == 1;
            let result = take(&mut other, table.now, &flight.bytes);
            assert!(greeting || result.is_err(), "{flight:x?}");
        }
        assert_eq!(other.view().present(), 1);
    }
    for to in 1..=3 {
        for flight in &recorded {
            let to = address(to);
            let greeting = flight.bytes[1] & 0x0F == 1;
            let result = table
                .deliver(&Flight {
                    to,
                    ..flight.clone()
                })
                .unwrap();
            assert!(greeting || result.is_err(), "{flight:x?}");
        }
    }
    assert_eq!(digests(&table), before);
    let replies: Vec<Flight> = table.nodes.iter_mut().flat_map(sent).collect();
    assert!(
        replies.iter().all(|reply| reply.bytes[1] & 0x0F == 2),
        "only greetings are answered"
    );
    assert!(replies.len() <= 3 * recorded.iter().filter(|f| f.bytes[1] & 0x0F == 1).count());
}

#[test]
fn g_20_u4_a_greeting_costs_one_shorter_reply_at_most() {
    let mut member = node(1);
    let hello = Message::Hello {
        generation: 1,
        name: "x",
    };
    let mut voice = Voice::new(77, &key(1));
    let greeting = voice.say_as(Kind::Hello, 0, &[hello]);
    let view = member.view().digest();
    let mut replies = Vec::new();
    for _ in 0..2 * GREETINGS_PER_SECOND {
        let _ = take(&mut member, Time::ZERO, &greeting);
        replies.extend(sent(&mut member));
    }
    assert_eq!(replies.len(), GREETINGS_PER_SECOND as usize);
    assert!(
        replies
            .iter()
            .all(|reply| reply.bytes.len() <= greeting.len())
    );
    assert_eq!((member.view().digest(), member.view().len()), (view, 1));
    assert!(member.statistics().dropped_for(Drop::Greetings) > 0);
}

#[test]
fn g_20_u4_a_greeting_shorter_than_its_answer_gets_none() {
    let mut member = node(1);
    let ring = Voice::new(77, &key(1)).keyring;
    let mut short = vec![0; 18];
    short.extend_from_slice(&[14, 10, 1, 0, 0, 0, 0, 0, 0, 0, 1, b'x']);
    let mut long = short.clone();
    long.extend_from_slice(&[200, 5, 0, 0, 0, 0, 0]);
    ring.seal(Kind::Hello, 0, 1, 0, &mut short);
    ring.seal(Kind::Hello, 0, 2, 0, &mut long);
    assert_eq!(take(&mut member, Time::ZERO, &short), Err(Drop::Malformed));
    assert!(sent(&mut member).is_empty());
    assert_eq!(take(&mut member, Time::ZERO, &long), Ok(()));
    assert_eq!(sent(&mut member)[0].bytes.len(), long.len());
}

#[test]
fn g_8_strangers_are_looked_at_only_so_often() {
    let mut member = node(1);
    let bytes = Voice::new(77, &key(2)).say(&member, &[]);
    let mut forged = 0;
    for _ in 0..3 * STRANGERS_PER_SECOND {
        forged += u32::from(take(&mut member, Time::ZERO, &bytes) == Err(Drop::Forged));
    }
    assert_eq!(forged, STRANGERS_PER_SECOND);
    assert_eq!(take(&mut member, Time::ZERO, &bytes), Err(Drop::Unknown));
}

#[test]
fn g_21_an_answer_that_echoes_no_greeting_is_dropped() {
    let mut table = Table::new(2);
    let seed = address(1);
    table.nodes[1].join(Time::ZERO, &[seed]).unwrap();
    let greeting = sent(&mut table.nodes[1]).remove(0);
    table.deliver(&greeting).unwrap().unwrap();
    let reply = sent(&mut table.nodes[0]).remove(0);
    let mut voice = Voice::of(&table.nodes[0]);
    let lie = Message::HelloReply {
        echo: 999,
        status: 1,
        generation: 5_000,
    };
    let lie = voice.say_as(Kind::HelloReply, table.nodes[1].sid(), &[lie]);
    let sid = table.nodes[1].sid();
    assert_eq!(
        take(&mut table.nodes[1], Time::ZERO, &lie),
        Err(Drop::Replay)
    );
    assert_eq!(table.deliver(&reply), Some(Ok(())));
    assert!(
        table.deliver(&reply).unwrap().is_err(),
        "the same answer again"
    );
    assert_eq!(table.nodes[1].sid(), sid);
}

#[test]
fn g_22_a_member_that_joins_is_known_to_all() {
    let mut table = Table::joined(4);
    assert!(table.nodes[1..].iter().all(Node::is_joined));
    for node in &mut table.nodes {
        let events: Vec<Happened> = std::iter::from_fn(|| node.poll_event())
            .map(|event| event.happened)
            .collect();
        assert_eq!(events, [Happened::Joined; 3]);
    }
    table.run(5_000);
    let now = table.now;
    assert!(table.nodes.iter().all(|node| node.is_converged(now)));
}

#[test]
fn g_15_a_malformed_body_has_no_effect_at_all() {
    let mut table = Table::joined(2);
    let before = digests(&table);
    let sid = table.nodes[0].sid();
    let mut voice = Voice::of(&table.nodes[1]);
    let accusation = Message::Suspect {
        sid,
        incarnation: 0,
        accuser: voice.sid,
        health: 0,
    };
    let broken = Message::Left {
        sid: 0,
        incarnation: 0,
    };
    let bytes = voice.say(&table.nodes[0], &[accusation, broken]);
    assert_eq!(
        take(&mut table.nodes[0], table.now, &bytes),
        Err(Drop::Malformed)
    );
    assert_eq!(digests(&table), before);
}

#[test]
fn g_32_u6_the_accused_refutes_with_the_next_incarnation() {
    let mut table = Table::joined(2);
    let sid = table.nodes[0].sid();
    let mut voice = Voice::of(&table.nodes[1]);
    for (told, expected) in [(State::Suspect, 1), (State::Dead, 2)] {
        let incarnation = table.nodes[0].incarnation();
        let message = match told {
            State::Suspect => Message::Suspect {
                sid,
                incarnation,
                accuser: voice.sid,
                health: 0,
            },
            _ => Message::Dead {
                sid,
                incarnation,
                reporter: voice.sid,
            },
        };
        let bytes = voice.say(&table.nodes[0], &[message]);
        take(&mut table.nodes[0], table.now, &bytes).unwrap();
        assert_eq!(table.nodes[0].incarnation(), expected);
        assert!(
            !sent_after_tick(&mut table).is_empty(),
            "the refutation leaves"
        );
    }
    assert_eq!(table.nodes[0].statistics().refutations, 2);
}

fn sent_after_tick(table: &mut Table) -> Vec<Flight> {
    table.now = table.now.after_millis(200);
    let now = table.now;
    table.nodes[0].handle_timeout(now);
    sent(&mut table.nodes[0])
}

#[test]
fn g_36_u6_what_cannot_be_refuted_ends_one_life() {
    let last = |sid, by| Message::Dead {
        sid,
        incarnation: INCARNATION_MAX,
        reporter: by,
    };
    let left = |sid, _| Message::Left {
        sid,
        incarnation: 0,
    };
    for lie in [last as fn(u64, u64) -> Message<'static>, left] {
        let mut table = Table::joined(2);
        let (sid, generation) = (table.nodes[0].sid(), table.nodes[0].profile().generation);
        let mut voice = Voice::new(4_242, &key(1));
        let bytes = voice.say(&table.nodes[0], &[lie(sid, voice.sid)]);
        take(&mut table.nodes[0], table.now, &bytes).unwrap();
        assert_ne!(table.nodes[0].sid(), sid);
        assert_eq!(table.nodes[0].profile().generation, generation + 1);
        table.run(5_000);
        let digests = digests(&table);
        assert_eq!(digests[0], digests[1], "the new life is known");
    }
}

fn alive<'a>(of: &'a Node, sid: u64, generation: u64) -> Message<'a> {
    Message::Alive(Description {
        sid,
        generation,
        ..of.profile().describe(0)
    })
}

#[test]
fn g_33_a_later_generation_of_the_own_name_is_overtaken() {
    let mut table = Table::joined(2);
    let twin = node(1);
    let mut voice = Voice::of(&table.nodes[1]);
    let bytes = voice.say(&table.nodes[0], &[alive(&twin, 5, 7_000)]);
    take(&mut table.nodes[0], table.now, &bytes).unwrap();
    assert_eq!(table.nodes[0].profile().generation, 7_001);
    let bytes = voice.say(&table.nodes[0], &[alive(&twin, 6, 7_000)]);
    take(&mut table.nodes[0], table.now, &bytes).unwrap();
    assert_eq!(
        table.nodes[0].profile().generation,
        7_001,
        "an earlier one changes nothing"
    );
}

#[test]
fn g_33_a_restart_with_a_clock_that_stepped_back_joins() {
    let mut table = Table::joined(3);
    let mut again = pair::identity_with_seed(3, 99);
    again.generation = 4;
    table.nodes[2] = Node::new(Settings::default(), &again, table.now).unwrap();
    let now = table.now;
    table.nodes[2].join(now, &[address(1)]).unwrap();
    table.run(3_000);
    assert_eq!(table.nodes[2].profile().generation, 101);
    let digests = digests(&table);
    assert_eq!((digests[0], digests[1]), (digests[2], digests[2]));
    assert_eq!(table.nodes[0].view().present(), 3);
}

#[test]
fn g_35_a_name_that_is_always_taken_is_given_up() {
    let mut table = Table::joined(2);
    let twin = node(1);
    let mut voice = Voice::of(&table.nodes[1]);
    for round in 0..u64::from(LIVES_MAX) {
        assert!(!table.nodes[0].is_departed(), "round {round}");
        let rival = alive(&twin, 50 + round, 10_000 + 10 * round);
        let bytes = voice.say(&table.nodes[0], &[rival]);
        take(&mut table.nodes[0], table.now, &bytes).unwrap();
    }
    assert!(table.nodes[0].is_departed());
    let happened: Vec<Happened> = std::iter::from_fn(|| table.nodes[0].poll_event())
        .map(|event| event.happened)
        .collect();
    assert!(happened.contains(&Happened::NameLost), "{happened:?}");
    assert!(sent(&mut table.nodes[0]).is_empty());
}

#[test]
fn g_35_a_life_comes_back_after_a_quiet_time() {
    // The sixteenth new life is one too many, unless one of them has come back.
    for (millis, lost) in [(LIFE_BACK_MS - 1, true), (LIFE_BACK_MS, false)] {
        let mut member = node(1);
        let twin = node(1);
        let mut voice = Voice::new(4_242, &key(1));
        let mut now = Time::ZERO;
        for round in 0..u64::from(LIVES_MAX) {
            assert!(!member.is_departed(), "round {round}");
            now = now.after_millis(if round == 3 { millis } else { 0 });
            let rival = alive(&twin, 50 + round, 10_000 + 10 * round);
            let bytes = voice.say(&member, &[rival]);
            take(&mut member, now, &bytes).unwrap();
        }
        assert_eq!(member.is_departed(), lost, "after {millis} ms");
    }
}

#[test]
fn g_34_a_leave_is_told_at_once_and_final() {
    let mut table = Table::joined(3);
    let now = table.now;
    let sid = table.nodes[2].sid();
    table
        .nodes
        .iter_mut()
        .for_each(|node| while node.poll_event().is_some() {});
    table.nodes[2].leave(now);
    table.nodes[2].handle_timeout(now);
    table.exchange();
    table.nodes[..2].iter_mut().for_each(|node| {
        let last = std::iter::from_fn(|| node.poll_event()).last().unwrap();
        assert_eq!((last.happened, last.profile.sid), (Happened::Left, sid));
    });
    let mut voice = Voice::of(&table.nodes[1]);
    let refute = Message::Refute {
        sid,
        incarnation: 50,
        version: 0,
    };
    let bytes = voice.say(&table.nodes[0], &[refute]);
    take(&mut table.nodes[0], now, &bytes).unwrap();
    assert_eq!(table.nodes[0].view().present(), 2);
    table.run(3_000);
    assert!(table.nodes[2].is_departed() && table.nodes[2].poll_timeout().is_none());
}

#[test]
fn g_57_members_are_bounded() {
    let settings = Settings {
        members_max: 4,
        ..Settings::default()
    };
    let first = Node::new(settings, &identity(1, key(1)), Time::ZERO).unwrap();
    let mut table = Table::of(vec![first, node(2)]);
    table.nodes[1].join(Time::ZERO, &[address(1)]).unwrap();
    table.run(100);
    let mut voice = Voice::of(&table.nodes[1]);
    for sid in 1..=20 {
        let name = format!("invented {sid}");
        let described = table.nodes[1].profile().describe(0);
        let invented = Message::Alive(Description {
            sid,
            name: &name,
            ..described
        });
        let bytes = voice.say(&table.nodes[0], &[invented]);
        take(&mut table.nodes[0], table.now, &bytes).unwrap();
    }
    assert_eq!(table.nodes[0].view().len(), 4);
    assert_eq!(table.nodes[0].statistics().members_refused, 18);
}

#[test]
fn g_42_a_death_told_by_anti_entropy_leaves_time_to_refute() {
    let mut table = Table::joined(3);
    let sid = table.nodes[2].sid();
    let dead = Message::Dead {
        sid,
        incarnation: 0,
        reporter: 1,
    };
    let part = Message::Part {
        last: false,
        more: false,
    };
    let mut voice = Voice::of(&table.nodes[1]);
    let bytes = voice.say(&table.nodes[0], &[part, dead]);
    take(&mut table.nodes[0], table.now, &bytes).unwrap();
    let state = |node: &Node| {
        let slot = node.view().find(sid).unwrap();
        node.view().get(slot).unwrap().state
    };
    assert_eq!(state(&table.nodes[0]), State::Suspect);
    let bytes = voice.say(&table.nodes[0], &[dead]);
    take(&mut table.nodes[0], table.now, &bytes).unwrap();
    assert_eq!(state(&table.nodes[0]), State::Dead);
}

#[test]
fn the_cluster_is_part_of_the_seal() {
    let mut other = identity(1, key(1));
    other.cluster = format!("{CLUSTER}!");
    let mut other = Node::new(Settings::default(), &other, Time::ZERO).unwrap();
    let mut member = node(2);
    member.join(Time::ZERO, &[address(1)]).unwrap();
    let greeting = sent(&mut member).remove(0);
    assert_eq!(
        take(&mut other, Time::ZERO, &greeting.bytes),
        Err(Drop::Forged)
    );
}

#[test]
fn g_60_u3_what_was_recorded_before_a_rotation_is_worthless() {
    let mut table = Table::joined(3);
    let now = table.now;
    for node in &mut table.nodes {
        node.install_key(now, 1, &[2; 32]).unwrap();
    }
    table.run(10_000);
    assert!(table.nodes.iter().all(|node| !node.rotation().runs));
    let before = digests(&table);
    for flight in table.recorded.clone() {
        if flight.bytes[2] == 0 {
            assert_eq!(table.deliver(&flight), Some(Err(Drop::Epoch)));
        }
    }
    assert_eq!(digests(&table), before);
}
