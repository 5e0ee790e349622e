//! How members come and go: greetings, introductions, and leaves that must not get lost.

use ztransport_gossip::limits::LEAVE_WAIT_MS;
use ztransport_gossip::{Happened, Node, Settings, Time};

mod pair;
use pair::{Flight, Table, address, identity, key, node, sent};

/// Two members, of which the second has told the first of itself; what the first answers is not
/// delivered but returned.
fn introduced() -> (Table, Vec<Flight>) {
    let mut table = Table::new(2);
    let joins = table.nodes[1].join(Time::ZERO, &[address(1)]);
    joins.expect("one seed");
    for from in [1, 0, 1] {
        for flight in sent(&mut table.nodes[from]) {
            assert_eq!(table.deliver(&flight), Some(Ok(())));
        }
    }
    assert_eq!(table.nodes[0].view().present(), 2);
    assert_eq!(table.nodes[1].view().present(), 1);
    let answers = sent(&mut table.nodes[0]);
    (table, answers)
}

#[test]
fn g_34_who_leaves_before_it_knows_anybody_is_still_heard() {
    let (mut table, answers) = introduced();
    let now = table.now;
    table.nodes[1].leave(now);
    assert!(!table.nodes[1].is_departed());
    for flight in answers {
        table.deliver(&flight).unwrap().unwrap();
    }
    table.nodes[1].handle_timeout(now);
    table.exchange();
    let events = std::iter::from_fn(|| table.nodes[0].poll_event());
    let happened: Vec<Happened> = events.map(|event| event.happened).collect();
    assert_eq!(happened, [Happened::Left], "it came and went");
    table.run(3_000);
    assert!(table.nodes[1].is_departed());
}

#[test]
fn a_view_that_has_just_changed_is_not_converged() {
    let mut table = Table::joined(3);
    table.run(3_000);
    assert!(table.nodes[0].is_converged(table.now));
    let leaver = &mut table.nodes[2];
    leaver.leave(table.now);
    leaver.handle_timeout(table.now);
    table.exchange();
    assert!(!table.nodes[0].is_converged(table.now));
    table.run(3_000);
    assert!(table.nodes[0].is_converged(table.now));
}

#[test]
fn g_34_who_leaves_waits_for_an_answer_only_so_long() {
    let (mut table, _) = introduced();
    let leaver = &mut table.nodes[1];
    leaver.leave(Time::ZERO);
    leaver.handle_timeout(Time::from_nanos(LEAVE_WAIT_MS * 1_000_000 - 1));
    assert!(!leaver.is_departed());
    leaver.handle_timeout(Time::ZERO.after_millis(LEAVE_WAIT_MS));
    assert!(leaver.is_departed());
}

#[test]
fn g_34_who_was_answered_by_nobody_departs_at_once() {
    let mut member = node(2);
    member.join(Time::ZERO, &[address(1)]).unwrap();
    member.leave(Time::ZERO);
    assert!(member.is_departed());
}

#[test]
fn g_52_a_leave_is_told_again_and_again_at_once() {
    let mut table = Table::joined(12);
    table.run(3_000);
    table.nodes[5].leave(table.now);
    let left = |node: &Node| node.view().present() == 11;
    for _ in 0..6 {
        let now = table.now;
        table
            .nodes
            .iter_mut()
            .for_each(|node| node.handle_timeout(now));
        table.exchange();
        table.now = now.after_millis(10);
    }
    assert!(table.nodes.iter().all(left), "within 60 ms");
}

#[test]
fn g_22_greetings_become_rarer() {
    let mut member = node(2);
    member.join(Time::ZERO, &[address(1)]).unwrap();
    let mut times = Vec::new();
    for millis in (0..=3_500).step_by(10) {
        member.handle_timeout(Time::ZERO.after_millis(millis));
        if !sent(&mut member).is_empty() {
            times.push(millis);
        }
    }
    assert_eq!(times, [0, 100, 300, 700, 1_500, 2_500, 3_500]);
}

#[test]
fn g_22_who_has_joined_introduces_itself() {
    let mut table = Table::joined(12);
    table.run(3_000);
    let known = table.nodes.len();
    table.nodes.push(node(13));
    let now = table.now;
    table.nodes[known].join(now, &[address(1)]).unwrap();
    for from in [known, 0, known, 0] {
        for flight in sent(&mut table.nodes[from]) {
            table.deliver(&flight).unwrap().unwrap();
        }
    }
    let newcomer = &mut table.nodes[known];
    assert!(newcomer.is_joined());
    newcomer.handle_timeout(now);
    for flight in sent(newcomer) {
        table.deliver(&flight).unwrap().unwrap();
    }
    let told = table
        .nodes
        .iter()
        .filter(|node| node.view().present() == 13);
    assert!(told.count() >= 4, "itself, the seed and others");
}

#[test]
fn g_22_who_has_joined_asks_three_times_what_has_come_since() {
    let mut table = Table::new(2);
    let joins = table.nodes[1].join(Time::ZERO, &[address(1)]);
    joins.unwrap();
    table.exchange();
    let begun = table.nodes[1].statistics().syncs;
    let mut times = Vec::new();
    for millis in (0..1_000).step_by(10) {
        let before = table.nodes[1].statistics().syncs;
        table.now = Time::ZERO.after_millis(millis);
        table.nodes[1].handle_timeout(table.now);
        if table.nodes[1].statistics().syncs > before {
            times.push(millis);
        }
        sent(&mut table.nodes[1]);
    }
    assert_eq!((begun, times), (1, vec![200, 400, 600]));
}

/// A member of the name of the first, at another address, that asks the first to let it join.
fn twin_of_first(generation: u64) -> Table {
    let mut twin = identity(2, key(1));
    twin.name = "member 1".to_owned();
    twin.generation = generation;
    let twin = Node::new(Settings::default(), &twin, Time::ZERO);
    let mut twin = twin.expect("a member as it should be");
    let joins = twin.join(Time::ZERO, &[address(1)]);
    joins.expect("one seed");
    Table::of(vec![node(1), twin])
}

#[test]
fn g_35_who_greets_a_member_of_its_own_name_gives_way_at_once() {
    // Later than the other, and earlier by a clock that stepped back.
    for generation in [101, 99] {
        let mut table = twin_of_first(generation);
        let sid = table.nodes[0].sid();
        table.exchange();
        assert!(table.nodes[1].is_departed(), "{generation}");
        let event = table.nodes[1].poll_event().unwrap();
        assert_eq!(event.happened, Happened::NameLost);
        assert_eq!(table.nodes[0].sid(), sid, "it keeps its life");
        assert_eq!(table.nodes[0].view().present(), 1);
    }
}
