"""A membership that speaks Zeebe's protocol, through the faces; every member is ours."""

from __future__ import annotations

import dataclasses
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import ztransport as zt
from bench.zeebe_members import CLUSTER as REAL_CLUSTER
from bench.zeebe_members import VICTIM
from tests.test_api_faces import CLUSTER, Face, every_face, open_node
from ztransport.broker_info import BrokerInfo
from ztransport.certs import Authority

BOTH = ("zt/1", "zeebe")
PREAMBLE = sum(ord(unit) * 31**place for place, unit in enumerate(reversed(CLUSTER))) % 2**32
QUICK = zt.ClusterSettings(
    probe_interval_ms=100,
    probe_timeout_ms=5_000,
    gossip_interval_ms=50,
    failure_timeout_ms=300,
    sync_interval_ms=300,
)
BROKER = (
    b"EADJAAAABAABAAAAAgAAAAMAAAADAAAAAAABCgAAAGNvbW1hbmRBcGkPAAAAMTI3LjAuMC4xOjI2NTAxBQAC"
    b"AQAAAAACAAAAAQwAAQEAAAAHAAAAAAAAAAUAAAA4LjUuOAUAAgEAAAABAgAAAAI="
)


@asynccontextmanager
async def member(
    face: Face, name: str, *seeds: str, properties: Any = None, **node: Any
) -> AsyncIterator[Any]:
    async with open_node(face, node_id=name, protocols=BOTH, **node) as opened:
        joining = face.zt.open_cluster(
            opened, seeds=seeds, properties=properties, protocol="zeebe", settings=QUICK
        )
        async with joining as cluster:
            yield cluster


async def until(cluster: Any, kind: str, name: str) -> Any:
    """The first event of this kind about this member."""
    async for event in cluster.events():
        if (event.kind, event.member.name) == (kind, name):
            return event.member
    raise AssertionError(f"the events ended before {name} {kind}")


@every_face
@pytest.mark.parametrize("secured", [False, True], ids=["plaintext", "tls"])
def test_members_join_change_and_leave(face: Face, secured: bool, authority: Authority) -> None:
    tls = None
    if secured:
        leaf = authority.issue(["127.0.0.1", "localhost"])
        tls = zt.TLSConfig(certificate_chain=leaf.chain_pem, private_key=leaf.key_pem)

    async def main() -> None:
        properties = {"brokerInfo": BROKER, "text": "é"}
        async with member(face, "a", properties=properties, tls=tls) as a:
            await a.converged()
            seed = a.own.address
            async with member(face, "b", seed, tls=tls) as b:
                await b.converged()
                async with member(face, "c", seed, tls=tls) as c:
                    await c.converged()
                    assert [m.name for m in c.members] == ["a", "b", "c"]
                    await until(b, "joined", "c")
                    seen = c.members[0]
                    assert dict(seen.properties) == {"brokerInfo": BROKER, "text": "é".encode()}
                    assert seen.broker_info.terms == {1: 7}
                    assert seen.broker_info == BrokerInfo.decode(BROKER)
                    assert b.own.broker_info is None
                    events = b.events()
                    await c.update_properties({"changed": b"yes"})
                    async for event in events:
                        if event.kind == "updated":
                            assert dict(event.member.properties) == {"changed": b"yes"}
                            break
                left = await until_gone(events)
                assert (left.kind, left.member.name, left.member.state) == ("left", "c", "left")
                await until_members(a, ["a", "b"])
                while not b.statistics().probes:
                    await face.checkpoint()
            await until_members(a, ["a"])

    face.run(main)


async def until_gone(events: Any) -> Any:
    async for event in events:
        if event.kind in ("left", "failed"):
            return event
    raise AssertionError("the events ended")


async def until_members(cluster: Any, names: list[str]) -> None:
    events = cluster.events()
    while [m.name for m in cluster.members] != names:
        await anext(events)


@every_face
def test_a_member_that_is_killed_is_suspected_and_removed(face: Face) -> None:
    async def main() -> None:
        async with member(face, "a", cluster=REAL_CLUSTER) as a:
            settings = json.dumps(dataclasses.asdict(QUICK))
            command = [sys.executable, "-c", VICTIM, a.own.address, settings]
            with subprocess.Popen(command) as victim:  # noqa: ASYNC220
                try:
                    events = a.events()
                    assert (await anext(events)).kind == "joined"
                    victim.kill()
                    kinds = [(await anext(events)).kind]
                    while kinds[-1] != "failed":
                        kinds.append((await anext(events)).kind)
                finally:
                    victim.kill()
            assert kinds == ["suspected", "failed"]
            assert [m.name for m in a.members] == ["a"]

    face.run(main)


@every_face
def test_what_others_send_is_refused_and_counted(face: Face) -> None:
    async def main() -> None:
        async with member(face, "a") as a, open_node(face, None, node_id="x") as stranger:
            peer = await stranger.connect(a.own.address, protocol="zeebe")
            for subject in ("probe", "probe-request", "sync"):
                with pytest.raises(face.zt.HandlerFailure, match="malformed"):
                    await peer.request(f"atomix-membership-{subject}", b"\x26\xff\xff\xff\xff\x07")
            claim = PREAMBLE.to_bytes(4, "big") + b"\x7f\xff\xff\xff"
            host, _, port = a.own.address.rpartition(":")
            with socket.socket(type=socket.SOCK_DGRAM) as sender:
                for _ in range(200):
                    sender.sendto(claim, (host, int(port)))
            while a.statistics().dropped.get("malformed", 0) < 200:
                await face.checkpoint()
            assert [m.name for m in a.members] == ["a"]

    face.run(main)


@every_face
def test_after_a_leave_nothing_goes_on(face: Face) -> None:
    async def main() -> None:
        async with (
            member(face, "a") as a,
            member(face, "b", a.own.address) as b,
            open_node(face, None, node_id="x") as stranger,
        ):
            await b.converged()
            events = b.events()
            await b.leave()
            assert [event.member.name async for event in events] == ["a"]
            assert b.own.state == "left"
            with pytest.raises(face.zt.Closed):
                b.update_properties({})
            with pytest.raises(face.zt.Closed):
                await b.converged()
            peer = await stranger.connect(b.own.address, protocol="zeebe")
            with pytest.raises(face.zt.HandlerFailure, match="has left"):
                await peer.request("atomix-membership-sync", b"")
            with pytest.raises(face.zt.NotSupported):
                a.rotate_key(bytes(32))

    face.run(main)


@every_face
def test_what_cannot_be(face: Face) -> None:
    async def refused(match: str, address: str | None = "127.0.0.1:0", **chosen: Any) -> None:
        protocols = chosen.pop("protocols", BOTH)
        async with open_node(face, address, node_id="a", protocols=protocols) as node:
            with pytest.raises(face.zt.ConfigurationError, match=match):
                async with face.zt.open_cluster(node, protocol="zeebe", **chosen):
                    pass

    async def main() -> None:
        await refused("listens", None)
        await refused("takes its protocol", protocols=("zt/1",))
        await refused("not sealed", key=bytes(32))
        await refused("not sealed", sealing="cluster-key")
        await refused("UDP alone", transport="tcp")
        await refused("host:port", seeds=["nowhere"])
        await refused("host:port", seeds=["host:65536"])
        await refused("seeds is 65", seeds=["127.0.0.1:1"] * 65)
        await refused("texts in UTF-8", properties={"a": b"\xff"})
        await refused("more properties", properties={str(n): "" for n in range(65)})
        await refused("larger", properties={"a": "x" * 32_768})

    face.run(main)


@every_face
def test_a_taken_udp_port_is_refused_with_what_to_do(face: Face) -> None:
    async def main() -> None:
        async with open_node(face, node_id="a", protocols=BOTH) as node:
            port = int(str(node.address).rpartition(":")[2])
            match = f"the UDP port of the node's number, {port}: .*another port"
            with socket.socket(type=socket.SOCK_DGRAM) as taken:
                taken.bind(("127.0.0.1", port))
                with pytest.raises(face.zt.ConfigurationError, match=match):
                    async with face.zt.open_cluster(node, protocol="zeebe"):
                        pass

    face.run(main)


@pytest.mark.parametrize("value", [b"", b"AAAA", b"not base 64", BROKER[:40]])
def test_a_broker_info_that_is_none(value: bytes) -> None:
    with pytest.raises(zt.ProtocolError, match="brokerInfo"):
        zt.broker_info({"brokerInfo": value})
    assert zt.broker_info({}) is None
