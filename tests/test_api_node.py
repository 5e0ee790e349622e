"""Nodes: opened, connected, drained, closed, and looked at."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

import ztransport
from tests.test_api_faces import Face, TrioFace, every_face, open_node, pair
from ztransport import _errors, _ztransport
from ztransport.testing import loopback_cluster


@every_face
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
def test_nodes_listen_and_dial(face: Face, host: str) -> None:
    async def main() -> None:
        async with open_node(face, f"{host}:0", node_id="server") as node:
            node.handle("echo", lambda message: message.payload)
            port = node.address.rpartition(":")[2]
            peer = await node.connect(f"{host}:{port}")
            assert await peer.request("echo", b"x") == b"x"
            assert (peer.node_id, peer.is_up, peer.inbound) == ("server", True, False)
            assert peer.advertised_address == node.address
            assert (node.cluster, node.node_id) == ("tests", "server")

    face.run(main)


@every_face
def test_unix_sockets(face: Face, tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "s"
        async with open_node(face, f"unix:{path}") as node:
            node.handle("echo", lambda message: message.payload)
            assert node.address == f"unix:{path}"
            peer = await node.connect(node.address)
            assert await peer.request("echo", b"x") == b"x"
        assert not path.exists()

    face.run(main)


@every_face
def test_a_node_that_only_dials_has_no_address(face: Face) -> None:
    async def main() -> None:
        seen: list[Any] = []
        async with open_node(face) as server, open_node(face, None) as client:
            server.handle("who", lambda message: seen.append(message.peer))
            assert client.address is None
            peer = await client.connect(server.address)
            await peer.request("who", b"")
            assert seen[0].advertised_address is None
            assert seen[0].inbound

    face.run(main)


@every_face
def test_what_is_advertised_can_be_chosen(face: Face) -> None:
    async def main() -> None:
        async with pair(face, advertise="broker.example:26500") as (_, peer):
            assert peer.advertised_address == "broker.example:26500"

    face.run(main)


@every_face
def test_a_pooled_address_gives_one_peer(face: Face) -> None:
    async def main() -> None:
        async with open_node(face) as server, open_node(face, None) as client:
            first = await client.connect(server.address)
            assert await client.connect(server.address) is first
            own = await client.connect(server.address, pooled=False)
            assert own is not first
            assert server.statistics().accepted == 2
            assert client.statistics().dialled == 2

    face.run(main)


@every_face
def test_nobody_listens(face: Face) -> None:
    async def main() -> None:
        async with open_node(face) as gone:
            address = gone.address
        async with open_node(face, None) as client:
            for pooled in (True, False):
                with pytest.raises(face.zt.ConnectFailed) as caught:
                    await client.connect(address, pooled=pooled)
                assert caught.value.retry_safe
                assert isinstance(caught.value, ConnectionError)

    face.run(main)


@every_face
def test_an_unknown_host_and_a_bad_address(face: Face) -> None:
    async def main() -> None:
        async with open_node(face, None) as client:
            with pytest.raises(face.zt.ConnectFailed):
                await client.connect("host.invalid:1")
            for address in ("no port", "host:", ":1:2", "127.0.0.1:99999"):
                with pytest.raises(face.zt.ConfigurationError):
                    await client.connect(address)

    face.run(main)


@every_face
def test_another_cluster_is_refused_on_both_sides(face: Face) -> None:
    async def main() -> None:
        async with open_node(face) as server, open_node(face, None, cluster="other") as client:
            with pytest.raises(face.zt.WrongCluster):
                await client.connect(server.address)
            assert server.statistics().closed == {"wrong_cluster": 1}

    face.run(main)


@every_face
def test_a_port_in_use_is_said_at_once(face: Face) -> None:
    async def main() -> None:
        async with open_node(face) as node:
            with pytest.raises(face.zt.ConfigurationError):
                async with open_node(face, node.address):
                    raise AssertionError("two nodes listen on one port")

    face.run(main)


@every_face
def test_closing_a_peer_ends_it_for_good(face: Face) -> None:
    async def main() -> None:
        async with open_node(face) as server, open_node(face, None) as client:
            peer = await client.connect(server.address)
            closed: list[bool] = []

            async def watch() -> None:
                await peer.wait_closed()
                closed.append(True)

            async with face.tasks() as tasks:
                tasks.start(watch)
                await face.checkpoint()
                await peer.aclose()
            assert closed == [True]
            await peer.wait_closed()
            await peer.aclose()
            assert not peer.is_up
            with pytest.raises(face.zt.Closed):
                await peer.request("s", b"")
            with pytest.raises(face.zt.Closed):
                await peer.wait_room("s")
            with pytest.raises(face.zt.Closed):
                peer.send_nowait("s", b"")
            assert await client.connect(server.address) is not peer

    face.run(main)


@every_face
def test_a_lost_server_is_dialled_again_and_calls_wait(face: Face) -> None:
    async def main() -> None:
        async with open_node(face, None) as client:
            async with open_node(face, node_id="first") as server:
                server.handle("who", lambda _: b"first")
                address = server.address
                peer = await client.connect(address)
                assert await peer.request("who", b"") == b"first"
            while peer.is_up:
                await face.checkpoint()
            async with face.tasks() as tasks:
                answers: list[bytes] = []

                async def call() -> None:
                    answers.append(await peer.request("who", b"", timeout=15))

                tasks.start(call)
                await face.checkpoint()
                async with open_node(face, address, node_id="second") as server:
                    server.handle("who", lambda _: b"second")
                    await peer.send("log", b"waits for the connection")
                    assert await peer.request("who", b"", timeout=15) == b"second"
                    assert peer.node_id == "second"
            assert answers == [b"second"]
            assert peer.statistics().redials >= 1

    face.run(main)


@every_face
def test_calls_to_a_lost_server_end_at_their_deadline(face: Face) -> None:
    async def main() -> None:
        async with open_node(face, None) as client:
            async with open_node(face) as server:
                peer = await client.connect(server.address)
            with pytest.raises(face.zt.DeadlineExceeded):
                await peer.request("s", b"", timeout=0.05)
            with pytest.raises(face.zt.WouldBlock):
                peer.send_nowait("s", b"")

    face.run(main)


@every_face
def test_draining_finishes_what_runs_and_takes_nothing_new(face: Face) -> None:
    async def main() -> None:
        started, may_end = face.Event(), face.Event()
        answers: list[bytes] = []

        async def handler(message: Any) -> bytes:
            started.set()
            await may_end.wait()
            return b"finished"

        async with open_node(face) as server, open_node(face, None) as client:
            server.handle("s", handler)
            peer = await client.connect(server.address, pooled=False)

            async def call() -> None:
                answers.append(await peer.request("s", b""))

            async def drain() -> None:
                assert await server.drain(timeout=15)

            async with face.tasks() as tasks:
                tasks.start(call)
                await started.wait()
                tasks.start(drain)
                await face.checkpoint()
                with pytest.raises(face.zt.ConnectFailed):
                    await client.connect(server.address, pooled=False)
                may_end.set()
            assert answers == [b"finished"]

    face.run(main)


@every_face
def test_a_drain_is_bounded(face: Face) -> None:
    async def main() -> None:
        started = face.Event()

        async def handler(message: Any) -> None:
            started.set()
            await face.sleep_forever()

        async with open_node(face, drain_timeout=0) as server:
            server.handle("s", handler)
            async with open_node(face, None) as client:
                peer = await client.connect(server.address, pooled=False)

                async def call() -> None:
                    with pytest.raises(face.zt.Error):
                        await peer.request("s", b"")

                async with face.tasks() as tasks:
                    tasks.start(call)
                    await started.wait()
                    assert not await server.drain(timeout=0.02)
                    with pytest.raises(face.zt.ShuttingDown):
                        await (await server.connect("127.0.0.1:1")).request("s", b"")
                    await peer.aclose()

    face.run(main)


@every_face
def test_exceptions_of_the_block_leave_it_as_they_are(face: Face) -> None:
    class Own(Exception):
        pass

    async def main() -> None:
        async def block() -> None:
            async with open_node(face) as node:
                await node.connect(node.address)
                raise Own

        with pytest.raises(Own) as caught:
            await block()
        assert caught.value.__cause__ is None

    face.run(main)


@every_face
def test_a_cancelled_block_closes_its_node(face: Face) -> None:
    async def main() -> None:
        addresses: list[str] = []
        opened = face.Event()

        async def hold() -> None:
            async with open_node(face) as node:
                addresses.append(node.address)
                opened.set()
                await face.sleep_forever()

        async with face.tasks() as tasks:
            cancel = tasks.start(hold)
            await opened.wait()
            cancel()
        async with open_node(face, addresses[0]):
            pass

    face.run(main)


@every_face
def test_a_closed_node_says_so(face: Face) -> None:
    async def main() -> None:
        async with open_node(face) as node:
            peer = await node.connect(node.address)
        uses: list[Callable[[], object]] = [
            lambda: node.handle("s", lambda _: b""),
            lambda: node.subscribe("s"),
            lambda: node.statistics(),
            lambda: peer.send_nowait("s", b""),
            lambda: peer.statistics(),
        ]
        for use in uses:
            with pytest.raises(face.zt.Closed):
                use()
        with pytest.raises(face.zt.Closed):
            await node.connect("127.0.0.1:1")

    face.run(main)


@every_face
def test_nodes_of_one_loop_share_one_engine(face: Face) -> None:
    async def main() -> None:
        async with open_node(face) as first, open_node(face) as second:
            assert first.engine is second.engine
            with pytest.raises(face.zt.ConfigurationError):
                async with open_node(face, idle="spin"):
                    raise AssertionError("two idle strategies in one loop")

    face.run(main)


@every_face
def test_a_loop_can_be_used_again_after_its_last_node(face: Face) -> None:
    async def main() -> None:
        for _ in range(3):
            async with pair(face) as (server, peer):
                server.handle("echo", lambda message: message.payload)
                assert await peer.request("echo", b"x") == b"x"

    face.run(main)


@every_face
@pytest.mark.parametrize("idle", ["adaptive", "sleep", "spin"])
def test_calls_one_by_one_under_every_idle_strategy(face: Face, idle: str) -> None:
    async def main() -> None:
        async with open_node(face, idle=idle) as node:
            node.handle("echo", lambda message: message.payload)
            peer = await node.connect(node.address)
            for number in range(200):
                assert await peer.request("echo", b"%d" % number) == b"%d" % number

    face.run(main)


@every_face
def test_statistics_are_frozen_and_count(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle("echo", lambda message: message.payload)
            await peer.request_many("echo", [b"abc"] * 10)
            ours, theirs = peer.statistics(), server.statistics()
            assert ours.sent.requests.messages == theirs.received.requests.messages == 10
            assert ours.received.replies.bytes == theirs.sent.replies.bytes == 30
            assert (theirs.connections, theirs.plaintext_connections) == (1, {"client": 1})
            assert theirs.bytes_received > 30
            assert ours.request_credit > 0
            with pytest.raises(AttributeError):
                ours.unconfirmed = 1

    face.run(main)


@every_face
@pytest.mark.parametrize(
    ("name", "value"), [("message_bytes_max", 1), ("ping_interval_ms", 10**9), ("linger_ms", -1)]
)
def test_limits_out_of_range_are_named(face: Face, name: str, value: int) -> None:
    async def main() -> None:
        with pytest.raises(face.zt.ConfigurationError, match=name):
            async with open_node(face, limits=face.zt.Limits(**{name: value})):
                raise AssertionError("the limit was taken")

    face.run(main)


def test_the_documented_limits_are_the_engines() -> None:
    assert ztransport.Limits().by_name() == _ztransport.limit_defaults()


@every_face
def test_subjects_are_bounded(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle("s" * 255, lambda _: b"longest")
            assert await peer.request("s" * 255, b"") == b"longest"
            with pytest.raises(face.zt.ConfigurationError, match="own"):
                server.handle("zt/gossip", lambda _: b"")
            for subject in ("", "s" * 256):
                with pytest.raises(face.zt.ConfigurationError):
                    server.handle(subject, lambda _: b"")
                with pytest.raises(face.zt.Error):
                    await peer.request(subject, b"")

    face.run(main)


@every_face
def test_a_node_refuses_to_work_in_a_forked_child(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            child = os.fork()
            if child == 0:
                code = 1
                try:
                    peer.send_nowait("s", b"")
                except _errors.UsedAfterFork:
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222 - it ends at once
            server.handle("echo", lambda message: message.payload)
            assert await peer.request("echo", b"parent") == b"parent"

    face.run(main)


@every_face
def test_a_node_refuses_another_thread(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (_, peer):
            raised: list[BaseException] = []

            def use() -> None:
                try:
                    peer.send_nowait("s", b"")
                except face.zt.WrongThread as error:
                    raised.append(error)

            thread = threading.Thread(target=use)
            thread.start()
            thread.join()
            assert len(raised) == 1

    face.run(main)


@every_face
def test_every_kind_of_async_callable_is_known(face: Face) -> None:
    class Answers:
        async def __call__(self, message: Any) -> bytes:
            return bytes(message.payload)

    async def with_name(name: bytes, message: Any) -> bytes:
        return name

    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle("object", Answers())
            server.handle("partial", functools.partial(with_name, b"partial"))
            assert await peer.request("object", b"object") == b"object"
            assert await peer.request("partial", b"") == b"partial"

    face.run(main)


def answer_with(name: bytes, _: object) -> bytes:
    return name


async def test_a_loopback_cluster_for_users_tests() -> None:
    async with loopback_cluster(["a", "b", "c"]) as nodes:
        for node in nodes:
            node.handle("who", functools.partial(answer_with, node.node_id.encode()))
        for node in nodes:
            assert node.address is not None
            peer = await nodes[0].connect(node.address)
            assert await peer.request("who", b"") == node.node_id.encode()


@every_face
def test_a_handler_may_use_the_engine_it_runs_in(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            subscription = server.subscribe("log")

            def handler(message: Any) -> bytes:
                message.peer.send_nowait("echoed", message.payload)
                server.handle("late", lambda _: b"set inside a turn")
                with pytest.raises(RuntimeError):
                    server.engine.turn()
                return b"%d" % server.statistics().connections

            server.handle("s", handler)
            assert await peer.request("s", b"") == b"1"
            assert await peer.request("late", b"") == b"set inside a turn"
            assert subscription.buffered_bytes == 0

    face.run(main)


def test_the_trio_scope_around_a_call_has_the_last_word() -> None:
    face = TrioFace()

    async def main() -> None:
        deadlines: list[float] = []

        async def handler(message: Any) -> None:
            deadlines.append(message.deadline)
            await trio.sleep_forever()

        async with pair(face) as (server, peer):
            server.handle("s", handler)
            for _ in range(5):
                with pytest.raises(trio.TooSlowError), trio.fail_after(0.02):
                    await peer.request("s", b"", timeout=10)
                with trio.move_on_after(0.02) as scope:
                    await peer.request_many("s", [b""], timeout=10)
                assert scope.cancelled_caught
            with pytest.raises(ztransport.DeadlineExceeded), trio.fail_after(10):
                await peer.request("s", b"", timeout=0.02)
            now = trio.current_time()
            assert all(deadline < now for deadline in deadlines)

    face.run(main)


def test_a_scope_set_between_two_calls_travels_with_the_second() -> None:
    face = TrioFace()

    async def main() -> None:
        deadlines: list[float] = []
        async with pair(face) as (server, peer):
            server.handle("s", lambda message: deadlines.append(message.deadline))
            with trio.CancelScope() as scope:
                await peer.request("s", b"", timeout=1_000)
                scope.deadline = trio.current_time() + 100
                await peer.request("s", b"", timeout=1_000)
            await peer.request("s", b"", timeout=1_000)
            first, second, third = (deadline - trio.current_time() for deadline in deadlines)
            assert second < 101 < 900 < min(first, third)

    face.run(main)


def test_under_trio_a_fatal_exception_in_a_sync_handler_ends_the_blocks() -> None:
    class Fatal(BaseException):
        pass

    face = TrioFace()

    def handler(message: Any) -> bytes:
        raise Fatal

    async def main() -> None:
        async def block() -> None:
            async with pair(face) as (server, peer):
                server.handle("s", handler)
                await peer.request("s", b"")

        with pytest.raises(Fatal):
            await block()

    face.run(main)
