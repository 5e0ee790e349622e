"""What every membership shares: the roster, its readers, and Zeebe's settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import hypothesis
import pytest
from hypothesis import strategies as st

import ztransport as zt
from ztransport import membership
from ztransport.cluster import native
from ztransport.membership import Member, MemberEvents, Roster, changes, encoded

OWN = Member("own", "127.0.0.1:1", "alive", 1, 0, {})
OTHER = Member("other", "127.0.0.1:2", "alive", 1, 0, {})
states = st.sampled_from(["alive", "suspect", "dead", "left"])
sights = st.builds(
    Member,
    name=st.sampled_from(["own", "b", "c", "d"]),
    address=st.just("127.0.0.1:1"),
    state=states,
    generation=st.integers(1, 2),
    incarnation=st.integers(0, 2),
    properties=st.sampled_from([{}, {"k": b"v"}]),
)


def reader(roster: Roster) -> MemberEvents:
    return MemberEvents(cast("Any", SimpleNamespace(_roster=roster, _ended=False)))


def read(events: MemberEvents) -> list[tuple[str, str]]:
    return [(event.kind, event.member.name) for event in iter(events._take, None)]


def test_a_reader_begins_with_who_is_there() -> None:
    roster = Roster(OWN)
    roster.put(OTHER)
    assert read(reader(roster)) == [("joined", "other")]
    assert [member.name for member in roster.members] == ["other", "own"]
    roster.put(replace(OWN, properties={"k": b"v"}))
    assert roster.own.properties == {"k": b"v"}


@pytest.mark.parametrize(
    ("now", "kinds"),
    [
        (replace(OTHER, state="suspect"), ["suspected"]),
        (replace(OTHER, state="dead"), ["failed"]),
        (replace(OTHER, state="left"), ["left"]),
        (replace(OTHER, properties={"k": b""}), ["updated"]),
        (replace(OTHER, address="127.0.0.1:3"), ["updated"]),
        (replace(OTHER, incarnation=1), []),
        (replace(OTHER, generation=2), ["failed", "joined"]),
        (replace(OTHER, generation=2, state="dead"), ["failed"]),
        (OTHER, []),
    ],
)
def test_changes_have_names(now: Member, kinds: list[str]) -> None:
    assert [event.kind for event in changes(OTHER, now)] == kinds
    assert all(event.member.name == "other" for event in changes(OTHER, now))


def test_the_end_of_a_suspicion_is_an_update() -> None:
    suspected = replace(OTHER, state="suspect")
    assert [event.kind for event in changes(suspected, replace(OTHER, incarnation=1))] == [
        "updated"
    ]


def test_unread_changes_of_a_member_become_one() -> None:
    roster = Roster(OWN)
    events = reader(roster)
    roster.put(OTHER)
    roster.put(replace(OTHER, state="suspect"))
    assert read(events) == [("joined", "other")]
    roster.put(OTHER)
    roster.put(replace(OTHER, state="dead"))
    assert read(events) == [("failed", "other")]
    roster.put(OTHER)
    roster.put(replace(OTHER, state="left"))
    assert read(events) == [("joined", "other"), ("left", "other")], "it came and went unread"


def test_only_so_many_that_came_and_went_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "PASSED_MEMBERS_MAX", 2)
    roster = Roster(OWN)
    events = reader(roster)
    for name in ("stays", "b", "c", "d"):
        roster.put(replace(OTHER, name=name))
    for name in ("b", "c", "d"):
        roster.put(replace(OTHER, name=name, state="left"))
    told = [("joined", "stays")]
    told += [(kind, name) for name in ("c", "d") for kind in ("joined", "left")]
    assert read(events) == told
    assert not events._passed


@hypothesis.given(st.lists(st.one_of(sights, st.none()), max_size=60))
def test_a_slow_reader_learns_how_everybody_ended_up(steps: list[Member | None]) -> None:
    """None stands for a moment in which the reader reads."""
    roster = Roster(OWN)
    events = reader(roster)
    present: dict[str, Member] = {}

    def follow() -> None:
        for event in iter(events._take, None):
            if event.kind in ("failed", "left"):
                del present[event.member.name]
            else:
                assert (event.kind == "joined") == (event.member.name not in present)
                present[event.member.name] = event.member

    for step in steps:
        if step is None:
            follow()
        else:
            roster.put(step)
        assert len(events._unread) <= 3
    follow()
    left = {member.name: member for member in roster.members if member.name != "own"}
    shown = {name: (m.state, m.generation, m.properties) for name, m in present.items()}
    assert shown == {name: (m.state, m.generation, m.properties) for name, m in left.items()}


def test_properties_are_encoded() -> None:
    assert dict(encoded({"b": "ä", "a": b"\0"})) == {"a": b"\0", "b": "ä".encode()}
    assert dict(encoded(None)) == {}


BROKER = "ZEEBE_BROKER_CLUSTER_MEMBERSHIP_"


def test_zeebe_settings_without_a_file_are_its_defaults() -> None:
    assert zt.zeebe_membership(None, environ={}) == zt.ClusterSettings()


@pytest.mark.parametrize("role", ["broker", "gateway"])
def test_zeebe_settings_come_from_the_section_of_the_role(tmp_path: Path, role: Any) -> None:
    file = tmp_path / "application.yaml"
    file.write_text(
        f"zeebe:\n  {role}:\n    cluster:\n      membership:\n"
        "        broadcastUpdates: true\n        broadcast-disputes: off\n"
        "        notifySuspect: true\n        gossipInterval: 500ms\n        gossipFanout: 4\n"
        "        probeInterval: PT2.5S\n        probeTimeout: 200\n        suspectProbes: 5\n"
        "        failureTimeout: ${UNSET:1m}\n        syncInterval: 20s\n"
    )
    assert zt.zeebe_membership(file, role, {}) == zt.ClusterSettings(
        broadcast_updates=True,
        broadcast_disputes=False,
        notify_suspect=True,
        gossip_interval_ms=500,
        gossip_fanout=4,
        probe_interval_ms=2_500,
        probe_timeout_ms=200,
        suspect_probes=5,
        failure_timeout_ms=60_000,
        sync_interval_ms=20_000,
    )
    environ = {f"ZEEBE_{role.upper()}_CLUSTER_MEMBERSHIP_GOSSIPFANOUT": "7"}
    assert zt.zeebe_membership(file, role, environ).gossip_fanout == 7


@pytest.mark.parametrize(
    ("key", "value"),
    [("PROBETIMEOUT", "soon"), ("SYNCINTERVAL", "5 weeks"), ("SYNCINTERVAL", "P"),
     ("GOSSIPFANOUT", "-1"), ("GOSSIPFANOUT", "²"), ("NOTIFYSUSPECT", "perhaps"),
     ("SUSPECTPROBES", "9" * 5_000), ("PROBETIMEOUT", "9" * 5_000)],
)  # fmt: skip
def test_a_mistake_in_zeebes_settings_names_its_key(key: str, value: str) -> None:
    with pytest.raises(zt.ConfigurationError, match=BROKER + key):
        zt.zeebe_membership(None, environ={BROKER + key: value})


@pytest.mark.parametrize(
    ("key", "field", "least", "greatest"),
    [
        ("GOSSIPINTERVAL", "gossip_interval_ms", 10, 60_000),
        ("GOSSIPFANOUT", "gossip_fanout", 1, 16),
        ("PROBEINTERVAL", "probe_interval_ms", 10, 60_000),
        ("PROBETIMEOUT", "probe_timeout_ms", 1, 60_000),
        ("SUSPECTPROBES", "suspect_probes", 0, 16),
        ("FAILURETIMEOUT", "failure_timeout_ms", 0, 86_400_000),
        ("SYNCINTERVAL", "sync_interval_ms", 10, 86_400_000),
    ],
)
def test_zeebes_settings_have_ranges(key: str, field: str, least: int, greatest: int) -> None:
    def read(value: int) -> Any:
        return getattr(zt.zeebe_membership(None, environ={BROKER + key: str(value)}), field)

    assert [read(least), read(greatest)] == [least, greatest]
    for value in {max(least - 1, 0), greatest + 1} - {least}:
        with pytest.raises(zt.ConfigurationError, match=f"{key}.* choose {least} to {greatest}"):
            read(value)
        with pytest.raises(zt.ConfigurationError, match=f"{field} is {value}: choose {least} to"):
            zt.ClusterSettings(**{field: value})  # type: ignore[arg-type]


def test_an_unknown_key_of_a_membership_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "application.yaml"
    file.write_text("zeebe.broker.cluster.membership.probeTimeOuts: 1s\n")
    with pytest.raises(zt.ConfigurationError, match="probetimeouts"):
        zt.zeebe_membership(file, environ={})


def test_the_native_protocol_takes_what_it_has_a_use_for() -> None:
    assert native(None) == {}
    chosen = native(zt.ClusterSettings(probe_timeout_ms=20, failure_timeout_ms=7_000))
    assert (chosen["probe_timeout_ms_max"], chosen["probe_timeout_ms_min"]) == (20, 20)
    assert (chosen["suspicion_floor_ms"], chosen["suspicion_ceiling"]) == (7_000, 1)
