"""The gateway: who gets what, what it sheds, and that a connection of either side may be lost."""

from __future__ import annotations

import socket
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import trio

import ztransport as zt
from tests import roles
from ztransport.broker import open_broker
from ztransport.topics import Topics

FIVE = [b"%d" % number for number in range(5)]


@asynccontextmanager
async def behind_a_gateway(
    topics: Topics | None = None, **settings: int
) -> AsyncIterator[tuple[zt.Node, zt.Peer]]:
    """A broker's node, and a client's peer that stands for the gateway before it."""
    async with (
        roles.broker(topics) as broker,
        roles.gateway(broker.node.address, **settings) as gateway,
        roles.client(gateway.node.address) as peer,
    ):
        yield broker.node, peer


async def test_requests_pass_with_payload_metadata_and_fault() -> None:
    async with behind_a_gateway() as (broker, peer):

        def handler(message: zt.Message) -> bytes:
            if message.payload == b"refuse":
                raise zt.Reject(7, "no such order")
            return message.subject.encode() + message.payload + message.metadata["key"]

        broker.handle_prefix("orders.", handler)
        reply = await peer.request("orders.create", b" x ", metadata={"key": b"k"})
        assert reply == b"orders.create x k"
        with pytest.raises(zt.Rejected, match="no such order") as caught:
            await peer.request("orders.create", b"refuse")
        assert caught.value.code == 7
        with pytest.raises(zt.NoHandler):
            await peer.request("nobody", b"")


async def test_who_gives_up_is_heard_behind_the_gateway() -> None:
    async with behind_a_gateway() as (broker, peer):
        started, cancelled = trio.Event(), trio.Event()

        async def handler(message: zt.Message) -> None:
            started.set()
            try:
                await trio.sleep_forever()
            finally:
                cancelled.set()

        broker.handle("slow", handler)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.request, "slow", b"")
            await started.wait()
            nursery.cancel_scope.cancel()
        await cancelled.wait()


def answer(name: bytes) -> Callable[[zt.Message], bytes]:
    return lambda _: name


async def test_a_key_leads_to_the_same_broker_always() -> None:
    async with AsyncExitStack() as stack:
        addresses = []
        for name in (b"0", b"1", b"2"):
            broker = await stack.enter_async_context(roles.broker())
            broker.node.handle("who", answer(name))
            addresses.append(broker.node.address)
        settings = {"partitions": 7}
        first, second = [
            await stack.enter_async_context(roles.gateway(*addresses, **settings)) for _ in "ab"
        ]
        peers = [
            await stack.enter_async_context(roles.client(gateway.node.address))
            for gateway in (first, second)
        ]
        for number in range(50):
            key = b"order-%d" % number
            expected = b"%d" % (zlib.crc32(key) % 7 % 3)
            for peer in peers:
                assert await peer.request("who", b"", metadata={"key": key}) == expected
        for number in range(7):
            metadata = {"partition": b"%d" % number}
            assert await peers[0].request("who", b"", metadata=metadata) == b"%d" % (number % 3)
        assert await peers[0].request("who", b"") == b"0"
        with pytest.raises(zt.Rejected, match="below 7"):
            await peers[0].request("who", b"", metadata={"partition": b"7"})


async def test_what_is_published_and_pushed_passes_through() -> None:
    async with (
        behind_a_gateway() as (_, peer),
        peer.open_stream("subscribe", b"jobs") as stream,
    ):
        assert await roles.offset_of(stream) == 0
        await roles.publish(peer, b"jobs", FIVE)
        assert await roles.take(stream, 5) == FIVE
        stream.finish()
        assert await roles.drained(stream) == []


async def test_streams_go_to_the_partition_of_their_key() -> None:
    topics = Topics(partitions=2)
    async with behind_a_gateway(topics, partitions=2) as (_, peer):
        for number in (b"0", b"1"):
            await roles.publish(peer, b"jobs", [b"m", number], partition=number)
        kept = [topics.partition(b"jobs", {"partition": number}) for number in (b"0", b"1")]
        assert [partition.read(0, 9) for partition in kept] == [[b"m", b"0"], [b"m", b"1"]]


async def test_a_message_is_acknowledged_when_the_client_has_it_not_the_gateway() -> None:
    topics = Topics()
    partition = topics.partition(b"jobs", {})
    async with behind_a_gateway(topics) as (_, peer):
        await roles.publish(peer, b"jobs", FIVE)
        async with peer.open_stream("subscribe", b"jobs") as stream:
            received: list[bytes] = []
            async for batch in stream.batches(hold=True):
                received += batch
                if received[1:] == FIVE:
                    break
            assert partition.begin == 0
            stream.acknowledge(1 + 3)
            await roles.until(lambda: partition.begin == 3)
            stream.acknowledge(1 + 5)
            await roles.until(lambda: partition.begin == 5)


async def test_the_refusal_of_a_full_queue_passes_with_the_exact_count() -> None:
    async with behind_a_gateway(Topics(queue_messages_max=3)) as (_, peer):
        async with peer.open_stream("publish", b"jobs") as stream:
            await stream.send_many(FIVE)
            with pytest.raises(zt.Overloaded, match="full"):
                await stream.acknowledged(5)
            assert stream.acknowledged_count == 3
        with pytest.raises(zt.Overloaded, match="full"):
            await peer.request("publish", b"x", metadata={"topic": b"jobs"})


async def test_a_broker_that_is_away_is_a_typed_error_and_harms_no_other() -> None:
    async with (
        roles.broker() as broker,
        roles.gateway(broker.node.address, "127.0.0.1:1", partitions=2) as gateway,
        roles.client(gateway.node.address) as peer,
    ):
        broker.node.handle("echo", lambda message: message.payload)
        away = {"partition": b"1"}
        with pytest.raises(zt.ConnectionLost, match="127.0.0.1:1 is away") as caught:
            await peer.request("echo", b"", metadata=away)
        assert caught.value.retry_safe
        for subject in ("publish", "subscribe"):
            async with peer.open_stream(subject, b"jobs", metadata=away) as stream:
                with pytest.raises(zt.ConnectionLost, match="is away"):
                    await stream.__anext__()
        assert await peer.request("echo", b"x", metadata={"partition": b"0"}) == b"x"


async def test_a_broker_that_does_not_answer_delays_no_other() -> None:
    patient = zt.Limits(handshake_timeout_ms=600_000)
    opened = trio.Event()
    async with roles.broker() as broker, trio.open_nursery() as nursery:
        silent = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        address = "{}:{}".format(*silent.socket.getsockname())

        async def serve() -> None:
            async with roles.gateway(address, broker.node.address, limits=patient) as gateway:
                assert list(gateway.brokers.away) == [0]
                assert list(gateway.brokers.peers) == [1]
                opened.set()

        nursery.start_soon(serve)
        dialled = await silent.accept()
        await roles.until(lambda: broker.node.statistics().connections > 0)
        assert not opened.is_set()
        await silent.aclose()
        await dialled.aclose()
        await opened.wait()


async def test_a_broker_that_comes_later_is_reached_and_one_that_refuses_harms_no_other(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ztransport.gateway.REDIAL_SECONDS", 0)
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(roles.broker())
        with socket.create_server(("127.0.0.1", 0)) as taken:
            absent = f"127.0.0.1:{taken.getsockname()[1]}"
        addresses = (broker.node.address, absent)
        gateway = await stack.enter_async_context(roles.gateway(*addresses, partitions=2))
        peer = await stack.enter_async_context(roles.client(gateway.node.address))
        broker.node.handle("who", answer(b"0"))
        async with open_broker(absent, cluster="another", node_id="late", tls=None):
            await roles.until(lambda: isinstance(gateway.brokers.away[1], zt.WrongCluster))
        assert await peer.request("who", b"") == b"0"
        async with open_broker(absent, cluster=roles.CLUSTER, node_id="late", tls=None) as late:
            late.node.handle("who", answer(b"1"))
            await roles.until(lambda: not gateway.brokers.away)
            assert await peer.request("who", b"", metadata={"partition": b"1"}) == b"1"
    told = [record.getMessage() for record in caplog.records if record.name == "ztransport.gateway"]
    assert told[-1] == f"the broker at {absent} is reached"
    assert all(line.startswith(f"the broker at {absent} is away and dialled") for line in told[:-1])


async def test_requests_beyond_what_may_wait_are_shed() -> None:
    window, waiting = 64, 3
    go_on = trio.Event()

    async def handler(message: zt.Message) -> bytes:
        await go_on.wait()
        return message.payload

    limits = zt.Limits(request_window_count=window)
    async with (
        roles.broker(limits=limits) as broker,
        roles.gateway(broker.node.address, waiting_max=waiting) as gateway,
        roles.client(gateway.node.address) as peer,
    ):
        broker.node.handle("slow", handler)
        replies: list[bytes] = []

        async def ask(payload: bytes) -> None:
            replies.append(await peer.request("slow", payload))

        async with trio.open_nursery() as nursery:
            for _ in range(window + waiting):
                nursery.start_soon(ask, b"kept")
            received = gateway.node.statistics
            await roles.until(lambda: received().received.requests.messages == window + waiting)
            for _ in range(2):
                with pytest.raises(zt.Overloaded, match="pending_calls_max") as caught:
                    await peer.request("slow", b"shed")
                assert caught.value.retry_safe
            go_on.set()
        assert replies == [b"kept"] * (window + waiting)
        assert await peer.request("slow", b"again") == b"again"


async def test_streams_beyond_what_is_relayed_are_shed() -> None:
    async with (
        roles.broker() as broker,
        roles.gateway(broker.node.address, relays_max=2) as gateway,
        roles.client(gateway.node.address) as peer,
        peer.open_stream("subscribe", b"jobs") as first,
    ):
        await roles.offset_of(first)
        async with peer.open_stream("subscribe", b"jobs") as second:
            await roles.offset_of(second)
            async with peer.open_stream("subscribe", b"jobs") as third:
                with pytest.raises(zt.Overloaded, match="relays_max"):
                    await roles.offset_of(third)
        await roles.until(lambda: gateway.relays_count == 1)
        await roles.publish(peer, b"jobs", FIVE)
        assert await roles.take(first, 5) == FIVE


async def test_a_client_that_is_lost_takes_its_subscription_with_it() -> None:
    topics = Topics()
    partition = topics.partition(b"jobs", {})
    async with roles.broker(topics) as broker, roles.gateway(broker.node.address) as gateway:
        async with roles.client(gateway.node.address) as lost:
            stream = lost.open_stream("subscribe", b"jobs")
            await stream.__aenter__()
            await roles.offset_of(stream)
            assert partition.subscribers_count == 1
        await roles.until(lambda: partition.subscribers_count == 0)


async def test_a_stopping_gateway_finishes_requests_and_ends_streams() -> None:
    started, go_on, stop = trio.Event(), trio.Event(), trio.Event()

    async def handler(message: zt.Message) -> bytes:
        started.set()
        await go_on.wait()
        return message.payload

    async with roles.broker() as broker, trio.open_nursery() as nursery:
        broker.node.handle("slow", handler)

        async def serve(task_status: trio.TaskStatus[str | None]) -> None:
            async with roles.gateway(broker.node.address) as gateway:
                task_status.started(gateway.node.address)
                await stop.wait()

        address = await nursery.start(serve)
        async with roles.client(address) as peer, trio.open_nursery() as callers:

            async def ask() -> None:
                assert await peer.request("slow", b"finished") == b"finished"

            callers.start_soon(ask)
            await started.wait()
            async with peer.open_stream("subscribe", b"jobs") as stream:
                await roles.offset_of(stream)
                stop.set()
                with pytest.raises(zt.ShuttingDown):
                    await stream.__anext__()
            go_on.set()


async def test_a_mistake_in_the_configuration_ends_the_gateway() -> None:
    with pytest.raises(zt.ConfigurationError, match="address of a broker"):
        async with roles.gateway():
            pass
    async with roles.broker() as broker:
        with pytest.raises(zt.WrongCluster):
            async with roles.gateway(broker.node.address, cluster="another"):
                pass


async def test_what_the_block_raises_leaves_it_as_it_is() -> None:
    async with roles.broker() as broker:
        with pytest.raises(KeyError, match="own"):
            async with roles.gateway(broker.node.address):
                raise KeyError("own")
