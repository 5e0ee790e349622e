//! Exchanges of what differs between views that differ by much.

use ztransport_gossip::limits::{BUCKETS, SYNC_DATAGRAMS_MAX, SYNC_DATAGRAMS_PER_SECOND};
use ztransport_gossip::wire::{Description, Message, State, Summaries, Summary};
use ztransport_gossip::{Node, Time};

mod pair;
use pair::{Table, Voice, address, sent};

/// Members of one datagram of an answer.
const AT_ONCE: u64 = 16;

/// One of three members, as another's voice has told it in anti-entropy of `count` more.
fn told(count: u64) -> (Table, Voice) {
    let mut table = Table::joined(3);
    let mut voice = Voice::of(&table.nodes[1]);
    for first in (1..=count).step_by(AT_ONCE as usize) {
        tell(
            &mut table,
            &mut voice,
            first..=count.min(first + AT_ONCE - 1),
        );
    }
    assert_eq!(u64::from(table.nodes[0].view().present()), 3 + count);
    (table, voice)
}

fn tell(table: &mut Table, voice: &mut Voice, sids: std::ops::RangeInclusive<u64>) {
    let profile = table.nodes[1].profile().clone();
    let names: Vec<String> = sids.clone().map(|sid| format!("invented {sid}")).collect();
    let invented = sids.zip(&names).map(|(sid, name)| {
        let described = profile.describe(0);
        Message::Alive(Description {
            sid,
            name,
            ..described
        })
    });
    let part = Message::Part {
        last: false,
        more: false,
    };
    let messages: Vec<Message<'_>> = std::iter::once(part).chain(invented).collect();
    hear(table, voice, &messages);
}

fn hear(table: &mut Table, voice: &mut Voice, messages: &[Message<'_>]) {
    let mut bytes = voice.say(&table.nodes[0], messages);
    let heard = table.nodes[0].handle_datagram(table.now, address(2), &mut bytes);
    assert_eq!(heard, Ok(()));
}

/// Exchanges that a member begins in the next `millis` in which nobody answers it.
fn begun(node: &mut Node, from: Time, millis: u64) -> u64 {
    let before = node.statistics().syncs;
    for at in (10..=millis).step_by(10) {
        node.handle_timeout(from.after_millis(at));
        sent(node);
    }
    node.statistics().syncs - before
}

#[test]
fn g_43_who_was_told_of_many_asks_on_until_nothing_comes() {
    let (mut table, _) = told(256);
    let now = table.now;
    assert_eq!(begun(&mut table.nodes[0], now, 400), 2);
    let later = now.after_millis(400);
    assert_eq!(begun(&mut table.nodes[0], later, 5_000), 2);
}

#[test]
fn g_43_who_was_told_of_few_does_not() {
    let (mut table, _) = told(255);
    let now = table.now;
    assert_eq!(begun(&mut table.nodes[0], now, 5_000), 0);
}

#[test]
fn g_43_suspicions_and_deaths_are_nothing_to_catch_up_with() {
    for state in [State::Suspect, State::Dead] {
        let (mut table, mut voice) = told(255);
        for sid in 1..=255 {
            let mut bytes = Vec::new();
            let summary = Summary {
                sid,
                state,
                incarnation: 0,
                version: 0,
            };
            Summaries::put(&mut bytes, &summary);
            let part = Message::Part {
                last: false,
                more: false,
            };
            let summaries = Summaries::new(&bytes).expect("as they are written");
            let messages = [part, Message::Summaries(summaries)];
            hear(&mut table, &mut voice, &messages);
        }
        let now = table.now;
        assert_eq!(begun(&mut table.nodes[0], now, 1_000), 0);
    }
}

#[test]
fn g_43_answers_are_bounded_whoever_asks_for_them() {
    let (mut table, mut voice) = told(2_000);
    let nothing = [0; BUCKETS * 4];
    let question = Message::Digest {
        half: 0,
        buckets: &nothing,
    };
    for _ in 0..2 {
        sent(&mut table.nodes[0]);
        let (mut answered, mut longest) = (0, 0);
        for _ in 0..100 {
            hear(&mut table, &mut voice, &[question]);
            let answer = sent(&mut table.nodes[0]).len();
            (answered, longest) = (answered + answer, longest.max(answer));
        }
        // The first answer may have a question of its own behind it.
        let most = SYNC_DATAGRAMS_PER_SECOND as usize;
        assert!(
            (most - SYNC_DATAGRAMS_MAX..=most + 1).contains(&answered),
            "{answered}"
        );
        assert!((SYNC_DATAGRAMS_MAX..=SYNC_DATAGRAMS_MAX + 1).contains(&longest));
        table.now = table.now.after_millis(1_000);
    }
}
