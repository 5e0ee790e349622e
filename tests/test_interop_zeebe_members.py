"""Real Zeebe 8.5 members and ours form one cluster, over plaintext and over TLS.

The other side is tests/interop/ZeebeMember.java on Zeebe's own AtomixCluster; `make test` builds
it. Without a JDK or a registry these tests are skipped and say why.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import trio

import ztransport as zt
from bench.zeebe_members import Cast, Log, cast, missing
from ztransport import certs

LOOPBACK = ["127.0.0.1", "localhost"]
SHORT: Final = zt.ClusterSettings(
    probe_interval_ms=200,
    # A JVM that has just started is slow; whoever is dead is refused at once.
    probe_timeout_ms=3_000,
    gossip_interval_ms=100,
    failure_timeout_ms=1_500,
    sync_interval_ms=500,
)


@pytest.fixture(params=["plaintext", "tls"])
def files(request: pytest.FixtureRequest, authority: certs.Authority, tmp_path: Path) -> list[str]:
    """Chain and key that all members share, as Zeebe's do; none for plaintext."""
    if (reason := missing()) is not None:
        pytest.skip(f"no real Zeebe: {reason}")
    if request.param == "plaintext":
        return []
    return [str(file) for file in authority.issue(LOOPBACK).write(tmp_path, "node")]


@asynccontextmanager
async def formed(tmp_path: Path, files: list[str]) -> AsyncIterator[Cast]:
    """One cluster of two real members and ours, each of which has seen the other two."""
    async with cast(tmp_path, SHORT, files, {"kind": "ours"}) as stage:
        first, second = stage.real
        for log, others in ((first.log, "12"), (second.log, "02")):
            for other in others:
                await log.wait(event="MEMBER_ADDED", id=other)
        for other in "01":
            await stage.log.wait(event="joined", id=other)
        await stage.ours.converged()
        yield stage


async def told(log: Log, **wanted: Any) -> Any:
    """The first sight that has what is wanted."""
    _, sight = await log.wait(**wanted)
    return sight


async def test_one_cluster_forms_changes_and_is_left(tmp_path: Path, files: list[str]) -> None:
    async with formed(tmp_path, files) as stage:
        first, second = stage.real
        assert [member.name for member in stage.ours.members] == ["0", "1", "2"]
        assert [member.state for member in stage.ours.members] == ["alive"] * 3
        for number, real in enumerate(stage.real):
            seen = await told(real.log, event="MEMBER_ADDED", id="2")
            assert seen["properties"] == {"kind": "ours"}
            assert seen["address"] == stage.ours.own.address
            member = stage.ours.members[number]
            assert member.address == f"127.0.0.1:{real.port}"
            assert member.properties["role"] == b"real"
            info = member.broker_info
            assert info is not None
            assert (info.node_id, info.version, info.cluster_size) == (number, "8.5.8", 3)
            assert info.addresses == {"commandApi": "127.0.0.1:26501"}
            assert info.roles == {1: "leader", 2: "follower"}
            assert info.terms == {1: 1}
            assert info.health == {1: "healthy", 2: "unhealthy"}

        stage.ours.update_properties({"kind": "ours", "text": "é" * 300})
        for real in stage.real:
            seen = await told(real.log, event="METADATA_CHANGED", id="2")
            assert seen["properties"] == {"kind": "ours", "text": "é" * 300}
        await first.say("broker", 2)
        for log, word in ((second.log, "METADATA_CHANGED"), (stage.log, "updated")):
            await told(log, event=word, id="0")
        info = stage.ours.members[0].broker_info
        assert info is not None
        assert info.terms == {1: 2}

        await stage.ours.leave()
        for real in stage.real:
            await told(real.log, event="MEMBER_REMOVED", id="2")
        assert stage.ours.statistics().dropped == {}


async def test_deaths_and_a_restart_are_seen_by_both_kinds(
    tmp_path: Path, files: list[str]
) -> None:
    async with formed(tmp_path, files) as stage:
        first, second = stage.real
        second.kill()
        for log, words in (
            (first.log, ("REACHABILITY_CHANGED", "MEMBER_REMOVED")),
            (stage.log, ("suspected", "failed")),
        ):
            for word in words:
                await told(log, event=word, id="1")
        began = stage.log.seen[-1][0]
        await second.start(stage.nursery, SHORT, files)
        for log, word in ((first.log, "MEMBER_ADDED"), (stage.log, "joined")):
            await log.wait(began, event=word, id="1")
        await second.log.wait(began, event="MEMBER_ADDED", id="2")

        victim = stage.start_victim()
        try:
            for log in (first.log, second.log, stage.log):
                await told(log, id="victim")
            victim.kill()
            for real in stage.real:
                await told(real.log, event="MEMBER_REMOVED", id="victim")
            gone = await told(stage.log, event="failed", id="victim")
            assert gone["member"].state == "dead"
        finally:
            victim.kill()
            await trio.to_thread.run_sync(victim.wait)
        assert [member.name for member in stage.ours.members] == ["0", "1", "2"]
