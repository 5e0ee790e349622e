"""One-way messages: subscriptions, handlers, room and credit."""

from __future__ import annotations

from typing import Any

import pytest

from tests.test_api_faces import Face, every_face, open_node, pair

WINDOW = {"subject_window_count": 256, "subject_window_bytes": 4 << 20}


async def collect(batches: Any, count: int) -> list[Any]:
    """The first ``count`` items of an iterator over lists."""
    items: list[Any] = []
    async for batch in batches:
        assert batch, "a batch is never empty"
        items.extend(batch)
        if len(items) >= count:
            break
    return items


@every_face
def test_payloads_arrive_in_order(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            subscription = server.subscribe("log")
            sent = [b"%d" % number for number in range(1_000)]
            for payload in sent[:500]:
                peer.send_nowait("log", payload)
            await peer.send_many("log", sent[500:])
            assert await collect(subscription.payloads(), 1_000) == sent

    face.run(main)


@every_face
def test_messages_arrive_whole(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            subscription = server.subscribe("log")
            await peer.send("log", b"a", metadata={"k": b"v"})
            peer.send_nowait("log", b"b", {"k": b"w"})
            messages = await collect(subscription, 2)
            assert [message.payload for message in messages] == [b"a", b"b"]
            assert [message.metadata for message in messages] == [{"k": b"v"}, {"k": b"w"}]
            assert {message.subject for message in messages} == {"log"}
            assert {message.peer.node_id for message in messages} == {"client"}
            assert messages[0].deadline is None
            with pytest.raises(face.zt.NotSupported):
                messages[0].defer()

    face.run(main)


@every_face
def test_messages_come_one_by_one(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            subscription = server.subscribe("log")
            await peer.send_many("log", [b"%d" % number for number in range(100)])
            seen = []
            async for message in subscription.messages():
                seen.append(message.payload)
                if len(seen) == 100:
                    break
            assert seen == [b"%d" % number for number in range(100)]

    face.run(main)


@every_face
def test_payload_readers_lose_messages_for_good(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            subscription = server.subscribe("log")
            await peer.send("log", b"a")
            assert await collect(subscription.payloads(), 1) == [b"a"]
            with pytest.raises(face.zt.ConfigurationError):
                await subscription.__anext__()

    face.run(main)


@every_face
def test_large_messages_arrive(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            subscription = server.subscribe("log")
            sent = [bytes([number]) * (1 << 20) for number in range(20)]

            async def send() -> None:
                await peer.send_many("log", sent)

            async with face.tasks() as tasks:
                tasks.start(send)
                assert await collect(subscription.payloads(), 20) == sent

    face.run(main)


@every_face
def test_a_subject_has_one_subscriber_at_a_time(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            first = server.subscribe("log")
            with pytest.raises(face.zt.ConfigurationError, match="subscriber"):
                server.subscribe("log")
            await first.aclose()
            assert [batch async for batch in first] == []
            second = server.subscribe("log")
            await peer.send("log", b"for the second")
            assert await collect(second.payloads(), 1) == [b"for the second"]

    face.run(main)


@every_face
def test_a_waiting_reader_ends_with_its_subscription(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, _):
            subscription = server.subscribe("log")
            taken: list[Any] = []

            async def read() -> None:
                taken.extend([batch async for batch in subscription])

            async with face.tasks() as tasks:
                tasks.start(read)
                await face.checkpoint()
                await subscription.aclose()
            assert taken == []

    face.run(main)


@every_face
def test_readers_end_with_their_node(face: Face) -> None:
    async def main() -> None:
        async with open_node(face) as node:
            subscription = node.subscribe("log")
        assert [batch async for batch in subscription] == []

    face.run(main)


@every_face
@pytest.mark.parametrize("is_async", [False, True])
def test_without_a_subscriber_the_handler_gets_them(face: Face, is_async: bool) -> None:
    async def main() -> None:
        seen: list[bytes] = []
        done = face.Event()

        def handler(message: Any) -> bytes:
            seen.append(message.payload)
            if len(seen) == 1_000:
                done.set()
            return b"discarded"

        async def async_handler(message: Any) -> bytes:
            return handler(message)

        async with pair(face, limits=face.zt.Limits(**WINDOW)) as (server, peer):
            server.handle("log", async_handler if is_async else handler)
            await peer.send_many("log", [b"%d" % number for number in range(1_000)])
            await done.wait()
            assert sorted(seen) == sorted(b"%d" % number for number in range(1_000))

    face.run(main)


@every_face
def test_a_handler_that_fails_a_one_way_message_is_counted(face: Face) -> None:
    def handler(message: Any) -> bytes:
        raise ValueError("nobody hears this")

    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle("log", handler)
            server.handle("echo", lambda message: message.payload)
            await peer.send("log", b"")
            await peer.request("echo", b"")
            assert server.statistics().handler_failures == 1

    face.run(main)


@every_face
def test_without_anybody_they_are_counted_and_give_credit_back(face: Face) -> None:
    async def main() -> None:
        async with pair(face, limits=face.zt.Limits(**WINDOW)) as (server, peer):
            server.handle("echo", lambda message: message.payload)
            await peer.send_many("nobody", [b"x"] * 1_000)
            await peer.request("echo", b"")
            assert server.statistics().unroutable == 1_000

    face.run(main)


@every_face
def test_a_slow_reader_stops_its_sender_and_nobody_else(face: Face) -> None:
    async def main() -> None:
        async with pair(face, limits=face.zt.Limits(**WINDOW)) as (server, peer):
            subscription = server.subscribe("slow")
            other = server.subscribe("other")
            server.handle("echo", lambda message: message.payload)
            sent = WINDOW["subject_window_count"]
            for number in range(sent):
                peer.send_nowait("slow", b"%d" % number)
            with pytest.raises(face.zt.WouldBlock):
                peer.send_nowait("slow", b"one too many")
            await peer.wait_room("never refused")
            await peer.send("other", b"passes")
            assert await collect(other.payloads(), 1) == [b"passes"]
            assert await peer.request("echo", b"passes too") == b"passes too"

            async def send_more() -> None:
                await peer.wait_room("slow")
                await peer.send_many("slow", [b"%d" % n for n in range(sent, 2_000)])

            async with face.tasks() as tasks:
                tasks.start(send_more)
                taken = await collect(subscription.payloads(), 2_000)
            assert taken == [b"%d" % number for number in range(2_000)]

    face.run(main)


@every_face
def test_what_exceeds_the_buffer_is_dropped_and_counted(face: Face) -> None:
    async def main() -> None:
        limits = face.zt.Limits(
            message_bytes_max=65_536, subject_window_bytes=262_144, stream_window_bytes=262_144
        )
        async with open_node(face, limits=limits) as server:
            subscription = server.subscribe("log", buffer_bytes_max=1)
            server.handle("echo", lambda message: message.payload)
            async with open_node(face, None) as client:
                peers = [await client.connect(server.address, pooled=False) for _ in range(3)]
                for peer in peers:
                    await peer.send_many("log", [bytes(65_536)] * 3)
                    await peer.request("echo", b"")
                assert subscription.buffered_bytes <= 262_144
                dropped = server.statistics().overflowed
                taken = await collect(subscription.payloads(), 9 - dropped)
                assert dropped + len(taken) == 9
                assert 0 < dropped < 9

    face.run(main)


@every_face
def test_two_readers_at_once_are_refused(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, _):
            subscription = server.subscribe("log")

            async def read() -> None:
                await subscription.__anext__()

            async with face.tasks() as tasks:
                cancel = tasks.start(read)
                await face.checkpoint()
                await face.checkpoint()
                with pytest.raises(face.zt.ConfigurationError, match="one reader"):
                    await subscription.__anext__()
                cancel()

    face.run(main)


@every_face
def test_a_cancelled_reader_has_taken_nothing(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            subscription = server.subscribe("log")

            async def read() -> None:
                await subscription.__anext__()

            async with face.tasks() as tasks:
                cancel = tasks.start(read)
                await face.checkpoint()
                cancel()
            await peer.send("log", b"kept")
            assert await collect(subscription.payloads(), 1) == [b"kept"]

    face.run(main)


@every_face
def test_a_message_larger_than_the_limit_is_refused(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (_, peer):
            with pytest.raises(face.zt.LimitExceeded):
                peer.send_nowait("log", bytes(5 << 20))

    face.run(main)
