"""Memberships on both faces, with real sockets on loopback: everything waits for an event."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import pytest

import ztransport
from tests.test_api_faces import Face, every_face, open_node
from ztransport import _errors, membership
from ztransport.certs import Authority

KEY = bytes(range(32))
NEXT_KEY = bytes(range(1, 33))
# Rounds by the tenth of a second, and still ten of them until a starved member is dead.
BRISK = ztransport.ClusterSettings(
    gossip_interval_ms=50, probe_interval_ms=100, probe_timeout_ms=50, failure_timeout_ms=10_000
)
# For a member that does die.
QUICK = replace(BRISK, failure_timeout_ms=300)
transports = pytest.mark.parametrize("transport", ["udp", "tcp"])

VICTIM = """
import sys, trio, ztransport as zt
async def main():
    node = zt.open_node("127.0.0.1:0", cluster="tests", node_id="victim", tls=None)
    async with node as node, zt.open_cluster(node, seeds=[sys.argv[1]], key=bytes(range(32))):
        await trio.sleep_forever()
trio.run(main)
"""


@asynccontextmanager
async def member(face: Face, name: str, *seeds: Any, **settings: Any) -> AsyncIterator[Any]:
    """A member of the tests' cluster; seeds are members."""
    tls = settings.pop("tls", None)
    chosen = {"key": KEY, "seeds": [seed.node.address for seed in seeds], **settings}
    opened = open_node(face, node_id=name, tls=tls)
    async with opened as node, face.zt.open_cluster(node, **chosen) as cluster:
        HEARD[cluster] = Heard(cluster.events())
        yield cluster


@dataclass
class Heard:
    """The events of one cluster, and those that no test has asked for yet."""

    events: Any
    unasked: list[Any] = field(default_factory=list)


HEARD: WeakKeyDictionary[Any, Heard] = WeakKeyDictionary()


async def heard(cluster: Any, kind: str, name: str) -> Any:
    """The member as of the next event of this kind about it, in the past or to come."""
    told = HEARD[cluster]
    while True:
        for event in told.unasked:
            if (event.kind, event.member.name) == (kind, name):
                told.unasked.remove(event)
                return event.member
        told.unasked.append(await anext(told.events))


async def heard_of_change(cluster: Any, name: str) -> dict[str, bytes]:
    """The properties of a member that had none, once it has some."""
    while not (seen := await heard(cluster, "updated", name)).properties:
        pass
    return dict(seen.properties)


async def until(face: Face, true: Callable[[], bool]) -> None:
    """Let others run until something is so that no event tells."""
    while not true():
        await face.checkpoint()


def names(cluster: Any) -> list[str]:
    return [member.name for member in cluster.members]


@every_face
@transports
def test_three_members_join_and_converge(face: Face, transport: str, authority: Authority) -> None:
    leaf = authority.issue(["127.0.0.1"])
    tls = ztransport.TLSConfig(
        certificate_chain=leaf.chain_pem, private_key=leaf.key_pem, client_auth="required"
    )
    chosen = {"transport": transport, "tls": tls}

    async def main() -> None:
        a = member(face, "a", properties={"role": "broker"}, **chosen)
        async with a as a, member(face, "b", a, **chosen) as b, member(face, "c", b, **chosen) as c:
            await heard(a, "joined", "c")
            for cluster in (a, b, c):
                await cluster.converged()
                assert names(cluster) == ["a", "b", "c"]
            seen = await heard(c, "joined", "a")
            assert seen.address == a.node.address
            assert (seen.state, seen.is_present) == ("alive", True)
            assert dict(seen.properties) == {"role": b"broker"}
            assert seen == a.own
            # Where members are slow, probes of the others take to connections too.
            assert transport == "udp" or c.statistics().streams > 0

    face.run(main)


@every_face
@transports
def test_only_datagrams_need_a_udp_socket(face: Face, transport: str) -> None:
    async def main() -> None:
        async with member(face, "a", transport=transport) as a:
            port = int(a.node.address.rpartition(":")[2])
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                if transport == "tcp":
                    other.bind(("127.0.0.1", port))
                else:
                    with pytest.raises(OSError, match="in use"):
                        other.bind(("127.0.0.1", port))

    face.run(main)


@every_face
def test_both_transports_form_one_cluster(face: Face) -> None:
    async def main() -> None:
        # The last one knows only a seed that takes no datagrams.
        a, udp = member(face, "a", transport="udp"), {"transport": "udp"}
        async with a as a, member(face, "b", a, transport="tcp") as b:
            async with member(face, "c", b, **udp) as c:
                for cluster, others in ((a, "bc"), (b, "ac"), (c, "ab")):
                    for name in others:
                        await heard(cluster, "joined", name)
                b.update_properties({"kind": "connections"})
                assert await heard_of_change(c, "b") == {"kind": b"connections"}
                c.update_properties({"kind": "datagrams"})
                assert await heard_of_change(b, "c") == {"kind": b"datagrams"}
            await heard(b, "left", "c")

    face.run(main)


@every_face
@transports
def test_leaving_is_told_and_final(face: Face, transport: str) -> None:
    async def main() -> None:
        a = member(face, "a", transport=transport)
        async with a as a, member(face, "b", a, transport=transport) as b:
            await heard(a, "joined", "b")
            await heard(b, "joined", "a")
            own = b.events()
            await b.leave()
            await heard(a, "left", "b")
            assert names(a) == ["a"]
            with pytest.raises(_errors.Closed):
                b.update_properties({})
            with pytest.raises(_errors.Closed):
                await b.converged()
            assert (await anext(own)).kind == "joined"
            async for event in own:
                assert event.kind in ("suspected", "updated")

    face.run(main)


@every_face
@transports
def test_a_member_that_leaves_as_soon_as_it_is_known_is_heard(face: Face, transport: str) -> None:
    async def main() -> None:
        async with member(face, "a", transport=transport) as a:
            async with member(face, "b", a, transport=transport):
                # It may know nobody yet: the answer to its introduction is on its way.
                await heard(a, "joined", "b")
            await heard(a, "left", "b")
            assert names(a) == ["a"]

    face.run(main)


@every_face
def test_a_cancelled_block_still_leaves(face: Face) -> None:
    async def main() -> None:
        left = face.Event()

        async def short_lived(a: Any, joined: Any) -> None:
            async with member(face, "b", a) as b:
                await heard(b, "joined", "a")
                joined.set()
                await face.sleep_forever()

        async def watch(a: Any) -> None:
            await heard(a, "left", "b")
            left.set()

        async with member(face, "a") as a, face.tasks() as tasks:
            joined = face.Event()
            cancel = tasks.start(lambda: short_lived(a, joined))
            await joined.wait()
            await heard(a, "joined", "b")
            tasks.start(lambda: watch(a))
            await face.checkpoint()
            cancel()
            await left.wait()

    face.run(main)


@every_face
def test_a_killed_member_has_failed(face: Face) -> None:
    async def main() -> None:
        async with member(face, "a", settings=QUICK) as a:
            command = [sys.executable, "-c", VICTIM, a.node.address]
            with subprocess.Popen(command) as victim:  # noqa: ASYNC220
                try:
                    await heard(a, "joined", "victim")
                finally:
                    victim.kill()
            failed = await heard(a, "failed", "victim")
            assert failed.state == "dead"
            assert names(a) == ["a"]
            assert a.statistics().deaths >= 1

    face.run(main)


@every_face
def test_properties_are_told(face: Face) -> None:
    async def main() -> None:
        async with member(face, "a") as a, member(face, "b", a) as b:
            await heard(b, "joined", "a")
            a.update_properties({"text": "ä", "bytes": b"\0\xff"})
            await a.update_properties({"text": "ö", "bytes": b"\0\xff"})
            events = b.events()
            while (seen := (await anext(events)).member).properties.get("text") != "ö".encode():
                pass
            assert dict(seen.properties) == {"text": "ö".encode(), "bytes": b"\0\xff"}
            with pytest.raises(_errors.ConfigurationError, match="768"):
                a.update_properties({"k": bytes(766)})

    face.run(main)


@every_face
@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"key": None}, 'sealing="none"'),
        ({"key": None, "sealing": "cluster-key"}, "needs a key"),
        ({"sealing": "none"}, "exclude each other"),
        ({"sealing": "rot13"}, "rot13"),
        ({"key": KEY[:31]}, "32 bytes"),
        ({"key_epoch": 256}, "key_epoch is 256: choose 0 to 255"),
        ({"key_epoch": "1"}, "key_epoch is '1': choose 0 to 255"),
        ({"settings": {"gossip_fanout": 3}}, "settings is a ClusterSettings, not a dict"),
        ({"settings": {}, "protocol": "zeebe", "key": None}, "a ClusterSettings, not a dict"),
        ({"transport": "sctp"}, "udp"),
        ({"protocol": "raft"}, "zt/1"),
        ({"properties": {"k": bytes(766)}}, "768"),
        ({"key": KEY.hex()}, "32 bytes, not a str"),
        ({"properties": {"k": 766}}, "'k' is a pair of str and int"),
        ({"properties": {"k": "\ud800"}}, "UTF-8"),
        ({"properties": "k=v"}, "a mapping, not a str"),
        ({"seeds": "127.0.0.1:1"}, "a list such as"),
        ({"seeds": [("127.0.0.1", 1)]}, "a list such as"),
        ({"seeds": ["127.0.0.1"]}, "host:port"),
        ({"seeds": ["127.0.0.1:0"]}, "host:port"),
        ({"seeds": ["unix:/tmp/x"]}, "host:port"),
        ({"seeds": ["127.0.0.1:1"] * 65}, "0 to 64"),
        # Zeebe's own protocol takes this.
        ({"settings": ztransport.ClusterSettings(probe_timeout_ms=1_001)}, "choose 1 to 1000"),
        ({"settings": ztransport.ClusterSettings(sync_interval_ms=99)}, "choose 100 to 86400000"),
    ],
)
def test_what_cannot_be_is_refused(face: Face, chosen: dict[str, Any], words: str) -> None:
    async def main() -> None:
        with pytest.raises(_errors.ConfigurationError, match=words):
            async with member(face, "a", **chosen):
                raise AssertionError("it was opened")

    face.run(main)


@every_face
def test_a_member_listens_on_one_address_and_is_one_member(face: Face) -> None:
    async def main() -> None:
        refused = pytest.raises(_errors.ConfigurationError)
        for address in (None, "0.0.0.0:0"):
            async with open_node(face, address) as node:
                with refused:
                    async with face.zt.open_cluster(node, key=KEY):
                        raise AssertionError("it was opened")
        async with member(face, "a") as a:
            with refused:
                async with face.zt.open_cluster(a.node, key=KEY):
                    raise AssertionError("it was opened twice")

    face.run(main)


@every_face
@pytest.mark.parametrize("protocol", ["zt/1", "zeebe"])
def test_a_membership_ends_with_its_node(face: Face, protocol: str) -> None:
    async def main() -> None:
        opened = open_node(face, node_id="a", protocols=("zt/1", "zeebe"))
        chosen = {"sealing": "none", "protocol": protocol}
        async with opened as node, face.zt.open_cluster(node, **chosen) as cluster:
            events = cluster.events()
            await node._shut(0.0)
            ended = pytest.raises(_errors.Closed, match="leave open_cluster first")
            for waiting in (cluster.converged(), anext(events)):
                with ended:
                    await waiting
            with ended:
                cluster.update_properties({})
            await cluster.leave()

    face.run(main)


@every_face
def test_a_taken_udp_port_is_refused_with_what_to_do(face: Face) -> None:
    async def main() -> None:
        async with open_node(face) as node:
            host, port = str(node.address).rsplit(":", 1)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
                taken.bind((host, int(port)))
                refused = pytest.raises(_errors.ConfigurationError, match="another port, or say")
                with refused as raised:
                    async with face.zt.open_cluster(node, key=KEY):
                        raise AssertionError("it was opened")
            assert 'transport="tcp"' in raised.value.remedy

    face.run(main)


@every_face
def test_who_has_left_is_told_so(face: Face) -> None:
    async def main() -> None:
        async with member(face, "a") as a:
            await a.leave()
            await a.leave()
            left = pytest.raises(_errors.Closed, match="this member has left")
            with left:
                a.update_properties({})
            with left:
                a.rotate_key(NEXT_KEY)
        # Its node is gone as well now, and it is told the same.
        with left:
            a.update_properties({})

    face.run(main)


@every_face
def test_after_the_end_there_is_nothing_to_count(face: Face) -> None:
    async def main() -> None:
        async with member(face, "a") as a:
            rotation = a.rotate_key(NEXT_KEY)
            await a.leave()
            assert a.statistics().members == 0
        over = pytest.raises(_errors.Closed, match="read them inside the block of open_cluster")
        with over:
            a.statistics()
        with over:
            _ = rotation.progress
        async with AsyncExitStack() as membership:
            async with open_node(face) as node:
                opened = face.zt.open_cluster(node, key=KEY)
                under = await membership.enter_async_context(opened)
            with over:
                under.statistics()

    face.run(main)


@every_face
def test_nothing_needs_to_be_sealed_if_one_says_so(face: Face) -> None:
    chosen = {"key": None, "sealing": "none"}

    async def main() -> None:
        async with member(face, "a", **chosen) as a, member(face, "b", a, **chosen):
            await heard(a, "joined", "b")
            assert a.statistics().rotation is None
            with pytest.raises(_errors.ConfigurationError, match="not sealed"):
                a.rotate_key(NEXT_KEY)

    face.run(main)


@every_face
@pytest.mark.parametrize(
    ("chosen", "reason"),
    [({"key": NEXT_KEY}, "forged"), ({"key": None, "sealing": "none"}, "header")],
)
def test_who_has_not_the_key_never_joins(face: Face, chosen: dict[str, Any], reason: str) -> None:
    async def main() -> None:
        async with member(face, "a") as a, member(face, "b", a, **chosen) as b:
            await until(face, lambda: a.statistics().dropped.get(reason, 0) > 0)
            assert (names(a), names(b)) == (["a"], ["b"])
            assert a.statistics().datagrams_sent == 0

    face.run(main)


@every_face
def test_a_rotation_names_its_laggards_and_ends_when_all_hold_the_key(face: Face) -> None:
    async def main() -> None:
        a = member(face, "a", settings=BRISK)
        async with a as a, member(face, "b", a, settings=BRISK) as b:
            await heard(a, "joined", "b")
            await heard(b, "joined", "a")
            rotation = a.rotate_key(NEXT_KEY)
            await until(face, lambda: rotation.progress.epoch == 1)
            assert rotation.laggards == ("b",)
            assert (rotation.progress.installed, rotation.progress.present) == (1, 2)
            with pytest.raises(_errors.ConfigurationError, match="still runs"):
                a.rotate_key(KEY)
            await b.rotate_key(NEXT_KEY)
            await rotation
            for cluster in (a, b):
                progress = cluster.statistics().rotation
                assert (progress.epoch, progress.is_running) == (1, False)
            async with member(face, "c", a, key=NEXT_KEY, key_epoch=1):
                await heard(b, "joined", "c")
            await heard(b, "left", "c")
            assert names(b) == ["a", "b"]

    face.run(main)


@every_face
def test_a_rotation_is_awaited_from_before_the_key_is_installed(
    face: Face, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread installs the key between two looks of who waits for the end of the rotation."""

    async def main() -> None:
        async with member(face, "a") as a:
            rotation = a.rotate_key(NEXT_KEY)
            before = membership.RotationProgress(0, False, 2, 2, 2, ())
            running = replace(before, epoch=1, is_running=True)
            over = replace(running, is_running=False)
            looks = iter([before, running, over])
            monkeypatch.setattr(a, "_rotation", lambda: next(looks))
            monkeypatch.setattr(a, "_next_change", face.checkpoint)
            await rotation
            assert next(looks, None) is None

    face.run(main)


@every_face
def test_g_62_who_starts_with_a_key_that_is_being_retired_is_told_which_to_take(face: Face) -> None:
    # A dissemination takes minutes, and so long is the old key kept, and a leave told.
    slow = ztransport.ClusterSettings(gossip_interval_ms=60_000)
    patient: dict[str, Any] = {"settings": slow, "leave_timeout": 0.0}

    async def main() -> None:
        a = member(face, "a", **patient)
        async with a as a, member(face, "b", a, **patient) as b:
            await heard(a, "joined", "b")
            await heard(b, "joined", "a")
            rotation = a.rotate_key(NEXT_KEY)
            b.rotate_key(NEXT_KEY)
            await until(face, lambda: rotation.progress.epoch == 1 and rotation.progress.ready == 2)
            with pytest.raises(_errors.ConfigurationError, match="and key_epoch=1"):
                async with member(face, "c", a) as c:
                    await c.converged()
            assert rotation.progress.is_running
            async with member(face, "c", a, key=NEXT_KEY, key_epoch=1):
                await heard(a, "joined", "c")

    face.run(main)


@every_face
def test_a_loop_that_stands_still_is_poor_health_and_no_death(face: Face) -> None:
    async def main() -> None:
        a = member(face, "a", settings=BRISK)
        async with a as a, member(face, "b", a, settings=BRISK) as b:
            await heard(a, "joined", "b")
            await heard(b, "joined", "a")
            begun = a.statistics().probes
            # Nothing of this loop runs meanwhile, as in a handler that does not return.
            while a.statistics().health == 0 or a.statistics().probes < begun + 5:
                pass
            assert a.statistics().loop_lag_ms > 0
            assert a.statistics().deaths == b.statistics().deaths == 0
            assert names(a) == names(b) == ["a", "b"]
            await until(face, lambda: a.statistics().health == 0)

    face.run(main)


@every_face
def test_seeds_are_looked_up(face: Face) -> None:
    async def main() -> None:
        async with member(face, "a") as a, open_node(face, node_id="b") as node:
            port = a.node.address.rpartition(":")[2]
            seeds = [f"localhost:{port}", "no-such-host.invalid:1"]
            async with face.zt.open_cluster(node, key=KEY, seeds=seeds) as b:
                HEARD[b] = Heard(b.events())
                await heard(b, "joined", "a")

    face.run(main)


@every_face
def test_a_membership_refuses_to_work_in_a_forked_child(face: Face) -> None:
    async def main() -> None:
        async with member(face, "a") as a, member(face, "b", a) as b:
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    a.update_properties({"who": "child"})
                except _errors.UsedAfterFork:
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222 - it ends at once
            await heard(b, "joined", "a")
            a.update_properties({"who": "parent"})
            assert await heard_of_change(b, "a") == {"who": b"parent"}

    face.run(main)


@every_face
def test_a_restarted_member_is_another_life(face: Face) -> None:
    async def main() -> None:
        async with member(face, "a") as a:
            async with member(face, "b", a) as b:
                first = await heard(a, "joined", "b")
                await heard(b, "joined", "a")
            await heard(a, "left", "b")
            async with member(face, "b", a):
                second = await heard(a, "joined", "b")
            assert second.generation > first.generation

    face.run(main)


NAME_LOST = "another member keeps the name 'twin'.* a node_id of its own"


async def first_to_lose_its_name(face: Face, twins: list[Any]) -> Any:
    """That of some members whose reader of events is told so."""
    lost, over = [], face.Event()

    async def read(twin: Any) -> None:
        with pytest.raises(_errors.ConfigurationError, match=NAME_LOST):
            async for _ in twin.events():
                pass
        lost.append(twin)
        over.set()

    async with face.tasks() as tasks:
        cancels = [tasks.start(partial(read, twin)) for twin in twins]
        await over.wait()
        for cancel in cancels:
            cancel()
    return lost[0]


@every_face
def test_who_joins_a_member_of_its_own_name_is_told_so_at_once(face: Face) -> None:
    async def main() -> None:
        async with member(face, "twin") as a:
            with pytest.raises(_errors.ConfigurationError, match=NAME_LOST):
                async with member(face, "twin", a) as b:
                    await b.converged()
            await a.converged()
            assert names(a) == ["twin"]

    face.run(main)


@every_face
def test_of_two_members_with_one_name_one_is_told_so(face: Face) -> None:
    async def main() -> None:
        hub = member(face, "hub")
        async with hub as hub, member(face, "twin", hub) as a, member(face, "twin", hub) as b:
            loser = await first_to_lose_its_name(face, [a, b])
            with pytest.raises(_errors.ConfigurationError, match=NAME_LOST):
                await loser.converged()
            with pytest.raises(_errors.ConfigurationError, match=NAME_LOST):
                loser.update_properties({})
            with pytest.raises(_errors.ConfigurationError, match=NAME_LOST):
                loser.rotate_key(NEXT_KEY)
            await loser.leave()
            keeper = b if loser is a else a
            await keeper.converged()
            assert names(keeper) == ["hub", "twin"]

    face.run(main)


@every_face
def test_datagrams_that_are_too_long_are_counted(face: Face) -> None:
    async def main() -> None:
        async with member(face, "a") as a:
            host, _, port = a.node.address.rpartition(":")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                for length in (0, 33, 8_953, 60_000):
                    other.sendto(bytes(length), (host, int(port)))
            await until(face, lambda: a.statistics().dropped.get("length", 0) == 4)
            assert a.statistics().datagrams_sent == 0

    face.run(main)
