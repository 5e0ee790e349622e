//! Zeebe's membership in virtual time: a few members, their requests and datagrams, and what an
//! attacker or a broken network makes of them.

use std::collections::{BTreeMap, BTreeSet};

use ztransport_gossip::kryo::{
    Datagram, Host, Record, Release, Standing, decode_boolean, decode_list, decode_record,
    encode_list, encode_pair, encode_record, preamble,
};
use ztransport_gossip::swim::Happened;
use ztransport_gossip::zeebe::settings::RELAYS_MAX;
use ztransport_gossip::zeebe::{
    Answer, Event, GOSSIP, Identity, Node, PROBE, PROBE_REQUEST, Refused, Request, SYNC, Settings,
};
use ztransport_gossip::{Misuse, Time};

const CLUSTER: &str = "zeebe-cluster";
const SECOND: u64 = 1_000;
const WALL_MS: i64 = 1_700_000_000_000;
const LATENCY_MS: u64 = 1;

/// What is under way.
#[derive(Debug)]
enum Flying {
    Datagram(u16, Vec<u8>),
    /// From whom, and the request.
    Request(u16, Request),
    /// To whom, for which request, and with what.
    Reply(u16, u64, Option<Vec<u8>>),
}

#[derive(Default)]
struct World {
    now_ms: u64,
    nodes: BTreeMap<u16, Node>,
    flying: BTreeMap<(u64, u64), Flying>,
    count: u64,
    /// Pairs of ports between which nothing passes, in this direction.
    cut: BTreeSet<(u16, u16)>,
    datagrams_lost: bool,
    /// Requests that wait for one of ours: by node and token, who asked and under which token.
    waiting: BTreeMap<(u16, u64), (u16, u64)>,
    events: BTreeMap<u16, Vec<(u64, Event)>>,
}

fn host(port: u16) -> Host {
    Host {
        name: "10.0.0.1".into(),
        port,
    }
}

fn identity(port: u16, now_ms: u64, seeds: &[u16]) -> Identity {
    Identity {
        cluster: CLUSTER.into(),
        id: format!("m{port}"),
        address: host(port),
        release: Release::default(),
        properties: BTreeMap::from([("port".into(), port.to_string())]),
        seeds: seeds.iter().copied().map(host).collect(),
        wall_ms: WALL_MS + now_ms as i64,
        seed: u64::from(port),
    }
}

impl World {
    fn time(&self) -> Time {
        Time::ZERO.after_millis(self.now_ms)
    }

    fn start(&mut self, port: u16, seeds: &[u16]) {
        self.start_with(port, seeds, Settings::default());
    }

    fn start_with(&mut self, port: u16, seeds: &[u16], settings: Settings) {
        let identity = identity(port, self.now_ms, seeds);
        let node = Node::new(settings, identity, self.time()).expect("a valid identity");
        self.nodes.insert(port, node);
        self.drain(port);
    }

    /// Three members that know one another.
    fn of_three() -> Self {
        let mut world = Self::default();
        for port in 1..=3 {
            world.start(port, &[1, 2]);
        }
        world.run(5 * SECOND);
        for port in 1..=3 {
            assert_eq!(world.known(port).len(), 2, "{port}");
            assert!(world.nodes[&port].is_converged(), "{port}");
        }
        world.events.clear();
        world
    }

    fn fly(&mut self, after_ms: u64, what: Flying) {
        self.count += 1;
        self.flying
            .insert((self.now_ms + after_ms, self.count), what);
    }

    fn drain(&mut self, port: u16) {
        let node = self.nodes.get_mut(&port).expect("it is there");
        let (mut requests, mut datagrams) = (Vec::new(), Vec::new());
        requests.extend(std::iter::from_fn(|| node.poll_request()));
        datagrams.extend(std::iter::from_fn(|| node.poll_transmit()));
        let now_ms = self.now_ms;
        let events = self.events.entry(port).or_default();
        events.extend(std::iter::from_fn(|| node.poll_event()).map(|event| (now_ms, event)));
        for request in requests {
            self.ask(port, request);
        }
        for (to, bytes) in datagrams {
            if !self.datagrams_lost && !self.cut.contains(&(port, to.port)) {
                self.fly(LATENCY_MS, Flying::Datagram(to.port, bytes));
            }
        }
    }

    fn ask(&mut self, from: u16, request: Request) {
        if self.cut.contains(&(from, request.to.port)) {
            let timeout = request.timeout_ms.into();
            return self.fly(timeout, Flying::Reply(from, request.token, None));
        }
        self.fly(LATENCY_MS, Flying::Request(from, request));
    }

    fn run(&mut self, millis: u64) {
        let end = self.now_ms + millis;
        loop {
            let timers = self.nodes.iter().filter_map(|(port, node)| {
                let at = node.poll_timeout()?.as_nanos().div_ceil(1_000_000);
                Some((at, *port))
            });
            let timer = timers.min();
            let flying = self.flying.first_key_value().map(|(key, _)| key.0);
            let next = timer.map(|(at, _)| at).into_iter().chain(flying).min();
            let Some(next) = next.filter(|next| *next <= end) else {
                break;
            };
            self.now_ms = self.now_ms.max(next);
            if flying == Some(next) {
                let (_, what) = self.flying.pop_first().expect("it was seen");
                self.deliver(what);
            } else if let Some((_, port)) = timer {
                let now = self.time();
                self.nodes
                    .get_mut(&port)
                    .expect("it is there")
                    .handle_timeout(now);
                self.drain(port);
            }
        }
        self.now_ms = end;
    }

    fn deliver(&mut self, what: Flying) {
        let now = self.time();
        match what {
            Flying::Datagram(to, bytes) => {
                if let Some(node) = self.nodes.get_mut(&to) {
                    node.handle_datagram(now, &bytes);
                    self.drain(to);
                }
            }
            Flying::Request(from, request) => self.serve(now, from, &request),
            Flying::Reply(to, token, reply) => {
                let Some(node) = self.nodes.get_mut(&to) else {
                    return;
                };
                let answer = node.handle_reply(now, token, reply.as_deref());
                if let Some((asker, token)) = self.waiting.remove(&(to, token)) {
                    self.fly(LATENCY_MS, Flying::Reply(asker, token, answer));
                }
                self.drain(to);
            }
        }
    }

    fn serve(&mut self, now: Time, from: u16, request: &Request) {
        let to = request.to.port;
        let answer = self
            .nodes
            .get_mut(&to)
            .map(|node| node.handle_request(now, request.subject, &request.payload));
        match answer {
            Some(Ok(Answer::Reply(bytes))) => {
                self.fly(LATENCY_MS, Flying::Reply(from, request.token, Some(bytes)));
            }
            Some(Ok(Answer::After(other))) => {
                self.waiting
                    .insert((to, other.token), (from, request.token));
                self.ask(to, other);
            }
            // Refused: nobody listens there, or it has left.
            _ => self.fly(LATENCY_MS, Flying::Reply(from, request.token, None)),
        }
        if self.nodes.contains_key(&to) {
            self.drain(to);
        }
    }

    fn known(&self, port: u16) -> BTreeMap<String, Standing> {
        let members = self.nodes[&port].members();
        members
            .map(|r| (r.id.clone(), r.standing.expect("members have one")))
            .collect()
    }

    fn record(&self, port: u16, of: u16) -> Record {
        let id = format!("m{of}");
        let found = self.nodes[&port].members().find(|record| record.id == id);
        found.expect("it is known").clone()
    }

    /// What `port` was told of `of`, with the time.
    fn told(&self, port: u16, of: u16) -> Vec<(u64, Happened)> {
        let id = format!("m{of}");
        let events = self.events.get(&port).into_iter().flatten();
        let events = events.filter(|(_, event)| event.record.id == id);
        events.map(|(at, event)| (*at, event.happened)).collect()
    }

    /// Lets a rumour arrive that nobody real has sent.
    fn inject(&mut self, to: u16, records: &[Record]) {
        let bytes = datagram(CLUSTER, GOSSIP, encode_list(records.iter()));
        self.deliver(Flying::Datagram(to, bytes));
    }
}

fn datagram(cluster: &str, subject: &str, payload: Vec<u8>) -> Vec<u8> {
    let datagram = Datagram {
        source: Some(host(9)),
        subject: subject.into(),
        payload,
    };
    datagram.encode(preamble(cluster))
}

fn only(happened: &[(u64, Happened)]) -> Vec<Happened> {
    happened.iter().map(|(_, happened)| *happened).collect()
}

#[test]
fn members_meet_at_a_contact_point_and_agree() {
    let mut world = World::default();
    for port in 1..=5 {
        world.start(port, &[3]);
    }
    world.run(3 * SECOND);
    for port in 1..=5 {
        assert!(world.nodes[&port].is_converged(), "{port}");
        assert_eq!(world.known(port).len(), 4);
        let (_, event) = &world.events[&port][0];
        assert_eq!(event.happened, Happened::Joined);
        let record = world.record(port, 1 + port % 5);
        assert_eq!(record.properties["port"], (1 + port % 5).to_string());
    }
    world.run(60 * SECOND);
    for port in 1..=5 {
        assert_eq!(world.nodes[&port].statistics().probes_failed, 0);
        assert_eq!(
            world.events[&port].len(),
            4,
            "nothing happens to a quiet cluster"
        );
    }
}

#[test]
fn the_first_member_is_alone_until_another_comes() {
    let mut world = World::default();
    world.start(1, &[1, 2]);
    assert!(
        !world.nodes[&1].is_converged(),
        "a contact point may be there"
    );
    world.run(20 * SECOND);
    assert!(world.known(1).is_empty());
    world.start(2, &[]);
    assert!(world.nodes[&2].is_converged(), "alone with nobody to ask");
    world.run(2 * SECOND);
    assert!(world.nodes[&1].is_converged() && world.nodes[&2].is_converged());
    assert_eq!((world.known(1).len(), world.known(2).len()), (1, 1));
}

#[test]
fn lost_datagrams_cost_a_sync() {
    let mut world = World {
        datagrams_lost: true,
        ..World::default()
    };
    for port in 1..=4 {
        world.start(port, &[1]);
    }
    world.run(20 * SECOND);
    assert!((1..=4).all(|port| world.nodes[&port].is_converged()));
    let now = world.time();
    let node = world.nodes.get_mut(&4).unwrap();
    let properties = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    node.update_properties(now, properties.clone()).unwrap();
    world.run(40 * SECOND);
    assert!((1..=3).all(|port| world.record(port, 4).properties == properties));
}

#[test]
fn a_change_of_properties_is_told_in_the_next_round() {
    let mut world = World::of_three();
    let now = world.time();
    let node = world.nodes.get_mut(&3).unwrap();
    let before = node.own().incarnation;
    let properties = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
    node.update_properties(now, properties.clone()).unwrap();
    node.update_properties(now, properties.clone()).unwrap();
    assert_eq!(
        node.own().incarnation,
        before + 1,
        "the same again is no change"
    );
    let many = (0..100).map(|n| (n.to_string(), String::new())).collect();
    assert!(matches!(
        node.update_properties(now, many),
        Err(Misuse::Properties(_))
    ));
    world.run(300);
    for port in [1, 2] {
        assert_eq!(world.record(port, 3).properties, properties);
        assert_eq!(only(&world.told(port, 3)), [Happened::Updated]);
    }
}

#[test]
fn a_dead_member_is_suspected_and_removed() {
    let mut world = World::of_three();
    let killed = world.now_ms;
    world.nodes.remove(&3);
    world.run(20 * SECOND);
    for port in [1, 2] {
        let told = world.told(port, 3);
        assert_eq!(only(&told), [Happened::Suspected, Happened::Failed]);
        // Two members and a contact point are probed in turn.
        assert!(told[0].0 - killed <= 3 * SECOND + 500, "{told:?}");
        assert!(told[1].0 - told[0].0 <= 10 * SECOND + 500, "{told:?}");
        let statistics = world.nodes[&port].statistics();
        assert_eq!((statistics.suspicions, statistics.deaths), (1, 1));
        assert_eq!(world.known(port).len(), 1);
    }
}

#[test]
fn helpers_reach_whom_one_member_does_not() {
    let mut world = World::of_three();
    world.cut.extend([(1, 3)]);
    world.run(60 * SECOND);
    assert!(world.nodes[&1].statistics().probes_failed > 5);
    assert_eq!(world.told(1, 3), []);
    world.cut.extend([(2, 3)]);
    world.run(6 * SECOND);
    assert_eq!(only(&world.told(1, 3))[0], Happened::Suspected);
}

#[test]
fn a_suspicion_that_is_wrong_is_refuted_by_the_next_probe() {
    let mut world = World::of_three();
    let before = world.record(1, 3).incarnation;
    for other in [1, 2] {
        world.cut.extend([(3, other), (other, 3)]);
    }
    world.run(6 * SECOND);
    assert_eq!(world.known(1)["m3"], Standing::Suspect);
    world.cut.clear();
    world.run(6 * SECOND);
    assert_eq!(world.known(1)["m3"], Standing::Alive);
    assert_eq!(
        only(&world.told(1, 3)),
        [Happened::Suspected, Happened::Updated]
    );
    assert!(world.record(1, 3).incarnation > before);
}

#[test]
fn a_new_life_ends_the_old_one() {
    let mut world = World::of_three();
    world.nodes.remove(&3);
    world.run(5 * SECOND);
    assert_eq!(world.known(1)["m3"], Standing::Suspect);
    world.start(3, &[1, 2]);
    world.run(5 * SECOND);
    for port in [1, 2] {
        let told = only(&world.told(port, 3));
        assert_eq!(
            told,
            [Happened::Suspected, Happened::Failed, Happened::Joined]
        );
        assert_eq!(world.known(port)["m3"], Standing::Alive);
    }
}

#[test]
fn a_clock_that_stepped_back_does_no_harm() {
    let mut world = World::of_three();
    world.nodes.remove(&3);
    let mut identity = identity(3, 0, &[1, 2]);
    identity.wall_ms -= 3_600_000;
    let node = Node::new(Settings::default(), identity, world.time()).unwrap();
    world.nodes.insert(3, node);
    world.drain(3);
    world.run(12 * SECOND);
    let own = world.nodes[&3].own().incarnation;
    assert!(own > WALL_MS, "it took one above what the others knew");
    assert_eq!(world.record(1, 3).incarnation, own);
    assert_eq!(world.known(1)["m3"], Standing::Alive);
}

#[test]
fn a_leave_is_known_within_a_round_trip_and_final() {
    let mut world = World::of_three();
    world.datagrams_lost = true;
    world.nodes.get_mut(&3).unwrap().leave();
    world.drain(3);
    assert!(!world.nodes[&3].is_departed());
    world.run(3);
    for port in [1, 2] {
        assert_eq!(only(&world.told(port, 3)), [Happened::Left]);
        assert_eq!(world.known(port).len(), 1);
    }
    let now = world.time();
    let node = world.nodes.get_mut(&3).unwrap();
    assert!(node.is_departed() && node.poll_timeout().is_none());
    assert_eq!(node.handle_request(now, SYNC, b""), Err(Refused::Departed));
    assert_eq!(
        node.update_properties(now, BTreeMap::new()),
        Err(Misuse::Departed)
    );
    world.datagrams_lost = false;
    world.run(60 * SECOND);
    assert_eq!(only(&world.told(1, 3)), [Happened::Left]);
}

#[test]
fn a_leave_that_others_pass_on_is_checked_and_believed() {
    let mut world = World::of_three();
    // Only member 2 hears the farewell itself.
    world.cut.extend([(3, 1)]);
    world.nodes.get_mut(&3).unwrap().leave();
    world.drain(3);
    let left = world.now_ms;
    world.run(SECOND);
    // A probe may have found it gone before the rumour comes.
    let told = world.told(1, 3);
    assert_eq!(told.last().unwrap().1, Happened::Left);
    assert!(told.last().unwrap().0 - left <= 600, "{told:?}");
}

#[test]
fn a_late_rumour_does_not_bring_a_dead_member_back() {
    let mut world = World::of_three();
    let late = world.record(1, 3);
    world.nodes.remove(&3);
    world.run(20 * SECOND);
    world.events.clear();
    world.inject(1, std::slice::from_ref(&late));
    world.run(5 * SECOND);
    assert_eq!((world.told(1, 3), world.told(2, 3)), (vec![], vec![]));
    let statistics = *world.nodes[&1].statistics();
    assert_eq!((statistics.stale, statistics.checked), (1, 1));
    // A later incarnation is another life, and nobody's to refuse.
    let later = Record {
        incarnation: late.incarnation + 60_000,
        ..late
    };
    world.inject(1, &[later]);
    assert_eq!(only(&world.told(1, 3)), [Happened::Joined]);
}

#[test]
fn a_member_that_was_cut_off_comes_back_by_its_own_word() {
    let mut world = World::of_three();
    let old = world.record(1, 3);
    for other in [1, 2] {
        world.cut.extend([(3, other), (other, 3)]);
    }
    world.run(20 * SECOND);
    assert_eq!((world.known(1).len(), world.known(3).len()), (1, 0));
    world.cut.clear();
    world.run(10 * SECOND);
    for port in 1..=3 {
        assert_eq!(world.known(port).len(), 2, "{port}");
        assert!(world.nodes[&port].is_converged(), "{port}");
    }
    assert!(world.record(1, 3).incarnation >= old.incarnation);
}

#[test]
fn nobody_is_removed_by_a_datagram() {
    let mut world = World::of_three();
    let alive = world.record(1, 3);
    for ahead in [0, 1, 50] {
        let dead = Record {
            standing: Some(Standing::Dead),
            incarnation: alive.incarnation + ahead,
            ..alive.clone()
        };
        world.inject(1, &[dead]);
        world.run(SECOND);
    }
    assert_eq!(world.known(1)["m3"], Standing::Alive);
    let told = only(&world.told(1, 3));
    assert!(
        !told.contains(&Happened::Failed) && !told.contains(&Happened::Left),
        "{told:?}"
    );
    assert_eq!(world.nodes[&1].statistics().checked, 3);
}

#[test]
fn what_is_said_of_ourselves_is_refuted() {
    let mut world = World::of_three();
    let own = world.nodes[&1].own().clone();
    let said = |standing, ahead| Record {
        standing: Some(standing),
        incarnation: own.incarnation + ahead,
        ..own.clone()
    };
    world.inject(1, &[said(Standing::Alive, 0), said(Standing::Suspect, -1)]);
    assert_eq!(world.nodes[&1].own().incarnation, own.incarnation);
    world.inject(1, &[said(Standing::Suspect, 0)]);
    assert_eq!(world.nodes[&1].own().incarnation, own.incarnation + 1);
    world.inject(1, &[said(Standing::Dead, 7)]);
    assert_eq!(world.nodes[&1].own().incarnation, own.incarnation + 8);
    world.run(300);
    assert_eq!(world.record(2, 1).incarnation, own.incarnation + 8);
    assert_eq!(world.nodes[&1].statistics().refutations, 2);
}

#[test]
fn incarnations_from_the_future_are_refused() {
    let mut world = World::of_three();
    for of in [1, 3] {
        let mut record = world.record(2, of);
        record.standing = Some(Standing::Dead);
        for incarnation in [i64::MAX, WALL_MS + 25 * 3_600 * 1_000, -1] {
            record.incarnation = incarnation;
            world.inject(1, std::slice::from_ref(&record));
        }
    }
    assert_eq!(world.nodes[&1].statistics().refused, 6);
    assert_eq!(world.nodes[&1].statistics().checked, 0);
    assert!(world.nodes[&1].own().incarnation < WALL_MS + 1_000);
}

#[test]
fn another_member_at_the_address_does_not_answer_for_the_old_one() {
    let mut world = World::of_three();
    world.nodes.remove(&3);
    let mut other = identity(3, world.now_ms, &[1, 2]);
    other.id = "other".into();
    let node = Node::new(Settings::default(), other, world.time()).unwrap();
    world.nodes.insert(3, node);
    world.drain(3);
    world.run(20 * SECOND);
    assert_eq!(world.known(1).keys().collect::<Vec<_>>(), ["m2", "other"]);
}

#[test]
fn a_view_is_bounded() {
    let mut world = World::default();
    let settings = Settings {
        members_max: 3,
        ..Settings::default()
    };
    world.start_with(1, &[], settings);
    let record = |n: usize| Record {
        id: format!("x{n}"),
        address: Some(host(7)),
        standing: Some(Standing::Alive),
        ..Record::default()
    };
    let many: Vec<Record> = (0..50).map(record).collect();
    world.inject(1, &many);
    assert_eq!(world.known(1).len(), 2);
    assert_eq!(world.nodes[&1].statistics().refused, 48);
    let homeless = Record {
        address: None,
        ..record(1)
    };
    world.inject(1, &[homeless]);
    assert_eq!(world.nodes[&1].statistics().refused, 49);
}

#[test]
fn datagrams_for_others_change_nothing() {
    let mut world = World::default();
    world.start(1, &[]);
    let list = encode_list([Record::default()].iter());
    for bytes in [
        datagram("other", GOSSIP, encode_list([].iter())),
        datagram(CLUSTER, "something-else", encode_list([].iter())),
        datagram(CLUSTER, GOSSIP, list),
        vec![0; 3],
    ] {
        world.deliver(Flying::Datagram(1, bytes));
    }
    let statistics = world.nodes[&1].statistics();
    assert_eq!(
        (statistics.datagrams_dropped, statistics.datagrams_taken),
        (4, 0)
    );
}

#[test]
fn requests_are_answered_as_zeebe_does() {
    let mut world = World::of_three();
    let (now, asker) = (world.time(), world.nodes[&2].own().clone());
    let node = world.nodes.get_mut(&1).unwrap();
    let Ok(Answer::Reply(list)) = node.handle_request(now, SYNC, &encode_record(&asker)) else {
        panic!("a sync is answered at once");
    };
    let ids: Vec<String> = decode_list(&list)
        .unwrap()
        .into_iter()
        .map(|r| r.id)
        .collect();
    assert_eq!(ids, ["m2", "m3", "m1"]);
    let suspected = Record {
        standing: Some(Standing::Suspect),
        ..node.own().clone()
    };
    let probe = encode_pair(&asker, &suspected);
    let Ok(Answer::Reply(own)) = node.handle_request(now, PROBE, &probe) else {
        panic!("a probe is answered at once");
    };
    let own = decode_record(&own).unwrap();
    assert_eq!(
        own.incarnation,
        suspected.incarnation + 1,
        "refuted in the answer"
    );
    for (subject, payload) in [(PROBE, &b"\x01"[..]), (SYNC, &probe), ("nobody", b"")] {
        let refused = node.handle_request(now, subject, payload);
        assert!(matches!(refused, Err(Refused::Malformed(_))), "{subject}");
    }
    assert_eq!(node.statistics().requests_malformed, 3);
}

#[test]
fn probes_for_others_are_bounded() {
    let mut world = World::of_three();
    let (now, target) = (world.time(), encode_record(world.nodes[&3].own()));
    let reply = encode_record(world.nodes[&3].own());
    let node = world.nodes.get_mut(&1).unwrap();
    let mut tokens = Vec::new();
    for _ in 0..RELAYS_MAX {
        match node.handle_request(now, PROBE_REQUEST, &target) {
            Ok(Answer::After(request)) => tokens.push(request.token),
            other => panic!("{other:?}"),
        }
    }
    let full = node.handle_request(now, PROBE_REQUEST, &target);
    assert_eq!(full, Ok(Answer::Reply(vec![5, 0])));
    let yes = node.handle_reply(now, tokens[0], Some(&reply)).unwrap();
    assert_eq!(decode_boolean(&yes), Ok(true));
    let no = node.handle_reply(now, tokens[1], None).unwrap();
    assert_eq!(decode_boolean(&no), Ok(false));
    assert_eq!(
        node.handle_reply(now, tokens[1], None),
        None,
        "ended already"
    );
    let again = node.handle_request(now, PROBE_REQUEST, &target);
    assert!(matches!(again, Ok(Answer::After(_))));
}

#[test]
fn events_of_one_member_become_the_last() {
    let mut world = World::of_three();
    let (now, mut record) = (world.time(), world.record(1, 3));
    let node = world.nodes.get_mut(&1).unwrap();
    for step in 1..=100 {
        record.incarnation += 1;
        record.properties.insert("step".into(), step.to_string());
        let bytes = datagram(CLUSTER, GOSSIP, encode_list([record.clone()].iter()));
        node.handle_datagram(now, &bytes);
    }
    let event = node.poll_event().unwrap();
    assert_eq!(
        (event.happened, &event.record.properties["step"][..]),
        (Happened::Updated, "100")
    );
    assert_eq!(node.poll_event(), None);
}

#[test]
fn what_a_member_cannot_be() {
    let refused = |change: fn(&mut Identity)| {
        let mut identity = identity(1, 0, &[]);
        change(&mut identity);
        Node::new(Settings::default(), identity, Time::ZERO).err()
    };
    assert_eq!(refused(|_| {}), None);
    assert_eq!(
        refused(|i| i.id = String::new()),
        Some(Misuse::NameLength(0))
    );
    assert_eq!(
        refused(|i| i.id = "x".repeat(256)),
        Some(Misuse::NameLength(256))
    );
    assert_eq!(refused(|i| i.seeds = vec![host(1); 64]), None);
    assert!(refused(|i| i.seeds = vec![host(1); 65]).is_some());
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let trace = || {
        let mut world = World::of_three();
        world.nodes.remove(&2);
        world.run(30 * SECOND);
        format!("{:?} {:?}", world.events, world.count)
    };
    assert_eq!(trace(), trace());
}
