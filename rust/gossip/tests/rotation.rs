//! Rotations as those see them who come with one of the two keys alone.

mod pair;

use pair::{Table, Voice, address, identity, key};
use ztransport_gossip::seal::{Cipher, Sealing};
use ztransport_gossip::wire::{Kind, Message};
use ztransport_gossip::{Drop, Happened, Node, Settings};

/// A process that starts with the next key alone.
fn next_key() -> Sealing {
    Sealing::ClusterKey {
        epoch: 1,
        key: [2; 32],
        cipher: Cipher::default(),
    }
}

fn comes(table: &mut Table, number: u8, sealing: Sealing) {
    let identity = identity(number, sealing);
    let mut node = Node::new(Settings::default(), &identity, table.now).expect("a member");
    node.join(table.now, &[address(1)]).expect("one seed");
    table.nodes.push(node);
}

fn install(table: &mut Table, count: usize) {
    let now = table.now;
    for node in &mut table.nodes[..count] {
        node.install_key(now, 1, &[2; 32]).expect("the next key");
    }
}

/// Two members of which the first is ready to forget the old key, and still has it.
fn ready() -> Table {
    let mut table = Table::joined(2);
    install(&mut table, 2);
    while table.nodes[0].profile().ready != 1 {
        table.run(10);
    }
    assert!(table.nodes[0].rotation().runs);
    table
}

fn happened(node: &mut Node) -> Vec<Happened> {
    std::iter::from_fn(|| node.poll_event())
        .map(|event| event.happened)
        .collect()
}

#[test]
fn g_62_who_greets_with_a_key_that_retires_is_told_so_and_ends() {
    let mut table = ready();
    comes(&mut table, 3, key(1));
    table.exchange();
    assert!(table.nodes[2].is_departed());
    assert_eq!(happened(&mut table.nodes[2]), [Happened::KeyRetired]);
    table.run(5_000);
    for node in &table.nodes[..2] {
        assert_eq!((node.view().present(), node.rotation().runs), (2, false));
    }
}

#[test]
fn g_62_a_member_with_the_old_key_alone_holds_up_who_is_not_ready() {
    let mut table = Table::joined(2);
    install(&mut table, 2);
    comes(&mut table, 3, key(1));
    table.run(10_000);
    let rotation = table.nodes[0].rotation();
    assert_eq!(
        (rotation.runs, rotation.present, rotation.ready),
        (true, 3, 0)
    );
    let now = table.now;
    let given = table.nodes[2].install_key(now, 1, &[2; 32]);
    given.expect("the next key");
    table.run(10_000);
    assert!(
        table
            .nodes
            .iter()
            .all(|node| !node.rotation().runs && node.view().present() == 3)
    );
}

#[test]
fn g_62_once_ready_what_strangers_seal_with_the_old_key_is_dropped() {
    let mut table = ready();
    let mut voice = Voice::new(4_242, &key(1));
    let ping = Message::Ping { seq: 1, digest: 2 };
    let mut said = voice.say(&table.nodes[0], &[ping]);
    let now = table.now;
    let taken = table.nodes[0].handle_datagram(now, address(9), &mut said);
    assert_eq!(taken, Err(Drop::Epoch));
    let mut member = Voice::of(&table.nodes[1]);
    let mut said = member.say(&table.nodes[0], &[ping]);
    let taken = table.nodes[0].handle_datagram(now, address(2), &mut said);
    assert_eq!(
        taken,
        Ok(()),
        "a member that does not know yet that all have the new one"
    );
}

#[test]
fn g_62_a_refusal_moves_nobody_who_has_joined() {
    let mut table = Table::joined(2);
    let mut voice = Voice::new(4_242, &key(1));
    let refusal = Message::HelloReply {
        echo: 1,
        status: 2,
        generation: 0,
    };
    let mut said = voice.say_as(Kind::HelloReply, table.nodes[1].sid(), &[refusal]);
    let now = table.now;
    let _ = table.nodes[1].handle_datagram(now, address(9), &mut said);
    assert!(!table.nodes[1].is_departed());
}

#[test]
fn g_62_who_has_the_new_key_alone_waits_until_laggards_have_it() {
    let mut table = Table::joined(2);
    install(&mut table, 1);
    table.run(2_000);
    comes(&mut table, 3, next_key());
    table.run(30_000);
    let present = |table: &Table| -> Vec<u32> {
        table
            .nodes
            .iter()
            .map(|node| node.view().present())
            .collect()
    };
    assert_eq!(
        present(&table),
        [3, 2, 2],
        "the laggard and it know the first alone"
    );
    let suspicions = |node: &Node| node.statistics().suspicions;
    assert_eq!(table.nodes.iter().map(suspicions).sum::<u64>(), 0);
    let now = table.now;
    let given = table.nodes[1].install_key(now, 1, &[2; 32]);
    given.expect("the next key");
    table.run(10_000);
    assert_eq!(present(&table), [3, 3, 3]);
    assert!(table.nodes.iter().all(|node| !node.rotation().runs));
}

#[test]
fn g_62_nothing_is_answered_under_a_key_that_is_forgotten() {
    let mut table = ready();
    table.run(10_000);
    comes(&mut table, 3, key(1));
    table.exchange();
    assert!(!table.nodes[2].is_departed());
    let dropped = table.nodes[0].statistics().dropped_for(Drop::Epoch);
    assert_eq!(dropped, 1, "its greeting");
}
