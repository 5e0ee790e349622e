"""The broker: what acknowledged means, who gets what again, and every bound of a queue."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

import ztransport as zt
from tests import roles
from ztransport.broker import OFFSET
from ztransport.topics import Topics

FIVE = [b"%d" % number for number in range(5)]


async def test_what_is_published_is_pushed_in_order_with_its_offset() -> None:
    async with roles.served() as (_, peer):
        await roles.publish(peer, b"jobs", FIVE[:2])
        async with peer.open_stream("subscribe", b"jobs") as stream:
            assert await roles.offset_of(stream) == 0
            await roles.publish(peer, b"jobs", FIVE[2:])
            assert await roles.take(stream, 5) == FIVE


async def test_every_subscriber_gets_every_message() -> None:
    async with (
        roles.served() as (_, peer),
        peer.open_stream("subscribe", b"jobs") as first,
        peer.open_stream("subscribe", b"jobs") as second,
        peer.open_stream("subscribe", b"other") as other,
    ):
        for stream in (first, second, other):
            assert await roles.offset_of(stream) == 0
        await roles.publish(peer, b"jobs", FIVE)
        await roles.publish(peer, b"other", [b"o"])
        assert await roles.take(first, 5) == await roles.take(second, 5) == FIVE
        assert await roles.take(other, 1) == [b"o"]


async def test_a_message_leaves_when_every_subscriber_has_acknowledged_it() -> None:
    topics = Topics()
    partition = topics.partition(b"jobs", {})
    async with roles.served(topics) as (_, peer):
        async with (
            peer.open_stream("subscribe", b"jobs") as fast,
            peer.open_stream("subscribe", b"jobs") as slow,
        ):
            for stream in (fast, slow):
                await roles.offset_of(stream)
            await roles.publish(peer, b"jobs", FIVE)
            fast.finish()
            assert await roles.drained(fast) == FIVE
            assert (partition.begin, len(partition)) == (0, 5)
            assert await roles.take(slow, 4) == FIVE[:4]
            slow.finish()
            assert await roles.drained(slow) == FIVE[4:]
        await partition.wait_delivered()
        assert (partition.begin, partition.end) == (5, 5)


async def test_partitions_are_chosen_by_key_or_number() -> None:
    async with roles.served(Topics(partitions=4)) as (_, peer):
        for key in (b"a", b"b", b"c", b"d", b"e", b"f"):
            await roles.publish(peer, b"jobs", [key], key=key)
        found = []
        for number in (b"0", b"1", b"2", b"3"):
            metadata = {"partition": number}
            async with peer.open_stream("subscribe", b"jobs", metadata=metadata) as stream:
                await roles.offset_of(stream)
                stream.finish()
                found.append(await roles.drained(stream))
        # CRC-32 modulo 4, as any other implementation has it.
        assert found == EXPECTED_BY_PARTITION


EXPECTED_BY_PARTITION = [[b"d", b"f"], [b"b"], [b"e"], [b"a", b"c"]]


@pytest.mark.parametrize(
    ("topic", "metadata"),
    [
        (b"", {}),
        (b"\xff", {}),
        (b"x" * 256, {}),
        (b"jobs", {"partition": b"4"}),
        (b"jobs", {"partition": b"-1"}),
        (b"jobs", {"partition": b""}),
        (b"jobs", {"partition": b"9" * 10}),
    ],
)
async def test_a_topic_or_partition_that_is_none_is_rejected(
    topic: bytes, metadata: dict[str, bytes]
) -> None:
    async with roles.served(Topics(partitions=4)) as (_, peer):
        for subject in ("publish", "subscribe"):
            async with peer.open_stream(subject, topic, metadata=metadata) as stream:
                with pytest.raises(zt.Rejected):
                    await stream.__anext__()
        with pytest.raises(zt.Rejected):
            await peer.request("publish", b"x", metadata={"topic": topic, **metadata})


async def test_a_topic_at_the_limits_of_its_name_and_their_number() -> None:
    async with roles.served(Topics(topics_max=2)) as (_, peer):
        await roles.publish(peer, b"x" * 255, [b"1"])
        await roles.publish(peer, b"y", [b"1"])
        await roles.publish(peer, b"y", [b"2"])
        with pytest.raises(zt.LimitExceeded, match="topics_max"):
            await roles.publish(peer, b"z", [b"1"])


@pytest.mark.parametrize("by_bytes", [False, True])
async def test_a_queue_at_its_bounds(by_bytes: bool) -> None:
    bound = {"queue_bytes_max": 10} if by_bytes else {"queue_messages_max": 5}
    messages = [b"%02d" % number for number in range(6)]
    for count in (4, 5):
        async with roles.served(Topics(**bound)) as (_, peer):
            await roles.publish(peer, b"jobs", messages[:count])
    topics = Topics(**bound)
    async with roles.served(topics) as (_, peer):
        async with peer.open_stream("publish", b"jobs") as stream:
            await stream.send_many(messages)
            with pytest.raises(zt.Overloaded, match="full"):
                await stream.acknowledged(6)
            assert stream.acknowledged_count == 5
        assert len(topics.partition(b"jobs", {})) == 5
        with pytest.raises(zt.Overloaded, match="full"):
            await peer.request("publish", messages[5], metadata={"topic": b"jobs"})
        async with peer.open_stream("subscribe", b"jobs") as stream:
            await roles.offset_of(stream)
            assert await roles.take(stream, 5) == messages[:5]
            stream.finish()
            assert await roles.drained(stream) == []
        await roles.publish(peer, b"jobs", messages[5:])


async def test_a_message_larger_than_a_queue_is_refused_and_harms_none() -> None:
    async with roles.served(Topics(queue_bytes_max=8)) as (_, peer):
        with pytest.raises(zt.Overloaded):
            await roles.publish(peer, b"jobs", [b"x" * 9])
        await roles.publish(peer, b"jobs", [b"x" * 8])


async def test_one_message_by_request_is_answered_with_its_offset() -> None:
    async with roles.served() as (broker, peer):
        broker.node.handle("double", lambda message: message.payload * 2)
        assert await peer.request("double", b"ab") == b"abab"
        for expected in (0, 1, 2):
            reply = await peer.request("publish", b"m", metadata={"topic": b"jobs"})
            assert OFFSET.unpack(reply) == (expected,)


async def test_what_was_acknowledged_outlives_the_publishers_connection() -> None:
    async with roles.broker() as broker:
        async with roles.client(broker.node.address) as publisher:
            stream = publisher.open_stream("publish", b"jobs")
            await stream.__aenter__()
            await stream.send_many(FIVE[:3])
            await stream.acknowledged(3)
            await stream.send_many(FIVE[3:])
        acknowledged = stream.acknowledged_count
        async with (
            roles.client(broker.node.address) as peer,
            peer.open_stream("subscribe", b"jobs") as subscription,
        ):
            assert await roles.offset_of(subscription) == 0
            subscription.finish()
            kept = await roles.drained(subscription)
    assert 3 <= acknowledged <= len(kept)
    assert kept == FIVE[: len(kept)]


async def test_a_new_subscriber_gets_again_what_a_lost_one_had_not_acknowledged() -> None:
    topics = Topics()
    partition = topics.partition(b"jobs", {})
    async with roles.served(topics) as (broker, peer):
        async with roles.client(broker.node.address) as lost:
            stream = lost.open_stream("subscribe", b"jobs")
            await stream.__aenter__()
            await roles.offset_of(stream)
            await roles.publish(peer, b"jobs", FIVE)
            received: list[bytes] = []
            async for batch in stream.batches(hold=True):
                received += batch
                if received == FIVE:
                    break
            stream.acknowledge(1 + 2)
            await roles.until(lambda: partition.begin == 2)
        async with peer.open_stream("subscribe", b"jobs") as again:
            assert await roles.offset_of(again) == 2
            assert await roles.take(again, 3) == FIVE[2:]


async def test_a_stop_delivers_what_is_queued_and_ends_the_streams() -> None:
    stop = trio.Event()

    async def serve(task_status: trio.TaskStatus[str | None]) -> None:
        async with roles.broker() as broker:
            task_status.started(broker.node.address)
            await stop.wait()

    async with trio.open_nursery() as nursery:
        address = await nursery.start(serve)
        async with (
            roles.client(address) as peer,
            peer.open_stream("subscribe", b"jobs") as subscription,
        ):
            await roles.offset_of(subscription)
            async with peer.open_stream("publish", b"jobs") as stream:
                await stream.send_many(FIVE)
                await stream.acknowledged(5)
                stop.set()
                with pytest.raises(zt.ShuttingDown):
                    await stream.__anext__()
            assert await roles.drained(subscription) == FIVE


async def test_a_stop_leaves_what_nobody_takes_to_the_next_broker() -> None:
    topics = Topics()
    async with roles.served(topics) as (_, peer):
        await roles.publish(peer, b"jobs", FIVE)
    async with (
        roles.served(topics) as (_, peer),
        peer.open_stream("subscribe", b"jobs") as stream,
    ):
        assert await roles.offset_of(stream) == 0
        assert await roles.take(stream, 5) == FIVE


async def test_a_draining_broker_takes_nothing_new() -> None:
    async with roles.served() as (broker, peer):
        await broker.drain(0)
        with pytest.raises(zt.ShuttingDown):
            await peer.request("publish", b"x", metadata={"topic": b"jobs"})
        for subject in ("publish", "subscribe"):
            async with peer.open_stream(subject, b"jobs") as stream:
                with pytest.raises(zt.ShuttingDown):
                    await stream.__anext__()


async def test_a_subscriber_without_credit_is_cut_off_and_the_others_go_on() -> None:
    messages = [b"%d" % number for number in range(200)]
    async with (
        roles.broker(credit_timeout=0) as broker,
        roles.client(broker.node.address, stream_window_count=64) as slow,
        roles.client(broker.node.address) as fast,
    ):
        async with (
            slow.open_stream("subscribe", b"jobs") as stuck,
            fast.open_stream("subscribe", b"jobs") as stream,
        ):
            await roles.offset_of(stuck)
            await roles.offset_of(stream)
            await roles.publish(fast, b"jobs", messages)
            assert await roles.take(stream, 200) == messages
            with pytest.raises(zt.Overloaded, match="took nothing for 0 s"):
                await roles.drained(stuck)
            stream.finish()
            await roles.drained(stream)
        await roles.until(lambda: len(broker.topics.partition(b"jobs", {})) == 0)


def test_a_subscriber_is_cut_off_when_its_time_is_over_and_not_before() -> None:
    clock = MockClock()

    async def main() -> None:
        limits = {"stream_window_count": 64}
        async with (
            roles.broker(credit_timeout=5) as broker,
            roles.client(broker.node.address, **limits) as peer,
            peer.open_stream("subscribe", b"jobs") as stream,
        ):
            await roles.offset_of(stream)
            await roles.publish(peer, b"jobs", [b"m"] * 200)
            batches = stream.batches(hold=True)
            taken = 1
            for credit in (1, 2, 3):
                # The credit is used up: the broker waits from now on.
                while taken < 64 + credit:
                    taken += len(await batches.__anext__())
                clock.jump(4.999)
                await trio.testing.wait_all_tasks_blocked()
                stream.acknowledge(credit + 1)
            while taken < 64 + 4:
                taken += len(await batches.__anext__())
            clock.jump(5.001)
            with pytest.raises(zt.Overloaded, match="took nothing for 5 s"):
                await batches.__anext__()

    trio.run(main, clock=clock)


async def test_subscribers_of_a_partition_at_their_limit() -> None:
    async with (
        roles.served(Topics(subscriptions_max=2)) as (_, peer),
        peer.open_stream("subscribe", b"jobs") as first,
    ):
        await roles.offset_of(first)
        async with peer.open_stream("subscribe", b"jobs") as second:
            await roles.offset_of(second)
            async with peer.open_stream("subscribe", b"jobs") as third:
                with pytest.raises(zt.Overloaded, match="2 subscribers"):
                    await roles.offset_of(third)
            second.finish()
            await roles.drained(second)
        async with peer.open_stream("subscribe", b"jobs") as third:
            assert await roles.offset_of(third) == 0
