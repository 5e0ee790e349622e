"""Streams: both ways, with credit, ends and acknowledgement."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from tests.test_api_faces import Face, every_face, open_node, pair


async def send_forever(stream: Any) -> None:
    """Send one message after the other, each when the one before was consumed."""
    while True:
        await stream.send(b"x")
        await stream.acknowledged(stream.sent_count)


@every_face
def test_messages_go_both_ways(face: Face) -> None:
    async def echo(stream: Any) -> None:
        await stream.send(b"opened with " + stream.payload)
        async for chunk in stream:
            await stream.send(chunk[::-1])

    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle_stream("echo", echo)
            async with peer.open_stream("echo", b"x", metadata={"k": b"v"}) as stream:
                await stream.send_many([b"ab", b"cd"])
                stream.send_nowait(b"ef")
                stream.finish()
                chunks = [chunk async for chunk in stream]
            assert chunks == [b"opened with x", b"ba", b"dc", b"fe"]

    face.run(main)


@every_face
def test_a_stream_tells_what_it_is(face: Face) -> None:
    seen: list[Any] = []

    async def handler(stream: Any) -> None:
        seen.append((stream.subject, stream.payload, stream.metadata, stream.peer.node_id))

    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle_stream("jobs", handler)
            async with peer.open_stream("jobs", b"type=x", metadata={"k": b"v"}) as stream:
                assert [chunk async for chunk in stream] == []
                await stream.finish()
        assert seen == [("jobs", b"type=x", {"k": b"v"}, "client")]

    face.run(main)


@every_face
def test_batches_carry_everything_in_order(face: Face) -> None:
    sent = [b"%d" % number for number in range(5_000)]

    async def handler(stream: Any) -> None:
        await stream.send_many(sent)

    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle_stream("jobs", handler)
            received: list[bytes] = []
            async with peer.open_stream("jobs") as stream:
                async for batch in stream.batches():
                    assert batch
                    received.extend(batch)
            assert received == sent

    face.run(main)


@every_face
def test_a_reader_that_does_not_read_stops_the_sender(face: Face) -> None:
    async def main() -> None:
        blocked = face.Event()

        async def handler(stream: Any) -> None:
            sent = 0
            while True:
                try:
                    stream.send_nowait(b"%d" % sent)
                except face.zt.WouldBlock:
                    blocked.set()
                    await stream.wait_room()
                else:
                    sent += 1
                    if sent == 1_000:
                        return

        async with open_node(face) as server:
            server.handle_stream("jobs", handler)
            limits = face.zt.Limits(stream_window_count=64)
            async with open_node(face, None, limits=limits) as client:
                peer = await client.connect(server.address)
                async with peer.open_stream("jobs") as stream:
                    await blocked.wait()
                    chunks = [chunk async for chunk in stream]
                assert chunks == [b"%d" % number for number in range(1_000)]

    face.run(main)


@every_face
def test_acknowledgement_is_cumulative_and_prompt(face: Face) -> None:
    async def main() -> None:
        go_on = face.Event()

        async def handler(stream: Any) -> None:
            taken = 0
            async for _ in stream:
                taken += 1
                if taken == 3:
                    await go_on.wait()

        async with pair(face) as (server, peer):
            server.handle_stream("jobs", handler)
            async with peer.open_stream("jobs") as stream:
                assert stream.acknowledged_count == 0
                await stream.send(b"1")
                await stream.acknowledged(1)
                await stream.send_many([b"2", b"3"])
                await stream.acknowledged(0)
                go_on.set()
                await stream.acknowledged(3)
                assert (stream.acknowledged_count, stream.sent_count) == (3, 3)
                stream.finish()
                assert [chunk async for chunk in stream] == []

    face.run(main)


@every_face
def test_nobody_serves_the_subject(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (_, peer):
            stream = peer.open_stream("nobody")
            async with stream:
                with pytest.raises(face.zt.NoHandler):
                    await stream.__anext__()

    face.run(main)


@every_face
def test_what_a_stream_handler_raises_resets_the_stream(face: Face) -> None:
    async def handler(stream: Any) -> None:
        await stream.send(b"first")
        async for chunk in stream:
            if chunk == b"own":
                raise ValueError("a secret")
            raise face.zt.Reject(9, "enough")

    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle_stream("jobs", handler)
            for payload, expected in (
                (b"reject", face.zt.Rejected),
                (b"own", face.zt.HandlerFailure),
            ):
                async with peer.open_stream("jobs") as stream:
                    assert await stream.__anext__() == b"first"
                    await stream.send(payload)
                    with pytest.raises(expected) as caught:
                        await stream.__anext__()
                    assert "secret" not in str(caught.value)
            assert server.statistics().handler_failures == 1

    face.run(main)


@every_face
def test_leaving_early_resets_the_stream(face: Face) -> None:
    async def main() -> None:
        reset = face.Event()

        async def handler(stream: Any) -> None:
            with pytest.raises(face.zt.Error):
                await send_forever(stream)
            reset.set()

        async with pair(face) as (server, peer):
            server.handle_stream("jobs", handler)
            async with peer.open_stream("jobs") as stream:
                async for _ in stream:
                    break
            await reset.wait()
            with pytest.raises(face.zt.Closed):
                stream.send_nowait(b"late")

    face.run(main)


@every_face
def test_finishing_and_leaving_lets_the_peer_read_everything(face: Face) -> None:
    async def main() -> None:
        taken: list[bytes] = []
        done = face.Event()

        async def handler(stream: Any) -> None:
            taken.extend([chunk async for chunk in stream])
            done.set()

        async with pair(face) as (server, peer):
            server.handle_stream("upload", handler)
            async with peer.open_stream("upload") as stream:
                await stream.send_many([b"x" * 1_000] * 1_000)
                stream.finish()
            await done.wait()
            assert taken == [b"x" * 1_000] * 1_000

    face.run(main)


@every_face
def test_a_finished_side_cannot_send(face: Face) -> None:
    async def handler(stream: Any) -> None:
        async for _ in stream:
            pass

    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle_stream("jobs", handler)
            async with peer.open_stream("jobs") as stream:
                await stream.finish()
                stream.finish()
                with pytest.raises(face.zt.Closed):
                    stream.send_nowait(b"late")
                with pytest.raises(face.zt.Closed):
                    await stream.wait_room()

    face.run(main)


@every_face
def test_a_stream_is_used_inside_its_block_only(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (_, peer):
            stream = peer.open_stream("jobs")
            with pytest.raises(face.zt.ConfigurationError):
                stream.send_nowait(b"early")
            with pytest.raises(face.zt.ConfigurationError):
                await stream.__anext__()

    face.run(main)


@every_face
def test_streams_end_with_their_connection(face: Face) -> None:
    async def main() -> None:
        started = face.Event()

        async def handler(stream: Any) -> None:
            started.set()
            with pytest.raises(face.zt.ConnectionLost):
                await stream.__anext__()

        async with pair(face) as (server, _):
            server.handle_stream("jobs", handler)
            async with open_node(face, None) as client:
                peer = await client.connect(server.address, pooled=False)
                stream = peer.open_stream("jobs")
                await stream.__aenter__()
                await started.wait()
                await peer.aclose()
                with pytest.raises(face.zt.ConnectionLost):
                    await stream.__anext__()
                with pytest.raises(face.zt.ConnectionLost):
                    await stream.acknowledged(1)
                await stream.__aexit__(None, None, None)

    face.run(main)


@every_face
def test_the_peer_learns_that_a_handler_has_left(face: Face) -> None:
    async def handler(stream: Any) -> None:
        await stream.__anext__()

    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle_stream("jobs", handler)
            async with peer.open_stream("jobs") as stream:
                await stream.send(b"taken")
                with pytest.raises(face.zt.Error):
                    await send_forever(stream)

    face.run(main)


@every_face
def test_many_streams_at_once(face: Face) -> None:
    async def handler(stream: Any) -> None:
        async for chunk in stream:
            await stream.send(stream.payload + chunk)

    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle_stream("echo", handler)

            async def one(name: bytes) -> None:
                async with peer.open_stream("echo", name) as stream:
                    for number in range(20):
                        await stream.send(b"%d" % number)
                        assert await stream.__anext__() == name + b"%d" % number

            async with face.tasks() as tasks:
                for index in range(50):
                    tasks.start(functools.partial(one, b"%d:" % index))
            assert peer.statistics().streams_open <= 50

    face.run(main)


@every_face
def test_what_is_held_is_acknowledged_by_hand(face: Face) -> None:
    async def main() -> None:
        held, go_on = face.Event(), face.Event()

        async def handler(stream: Any) -> None:
            taken = 0
            async for batch in stream.batches(hold=True):
                taken += len(batch)
                if taken == 10:
                    stream.acknowledge(4)
                    held.set()
                    await go_on.wait()
                    with pytest.raises(face.zt.ConfigurationError, match="10 were taken"):
                        stream.acknowledge(11)
                    for count in (4, 3, 10, 10):
                        stream.acknowledge(count)

        async with pair(face) as (server, peer):
            server.handle_stream("jobs", handler)
            async with peer.open_stream("jobs") as stream:
                await stream.send_many([b"x" * size for size in range(1, 11)])
                await held.wait()
                await stream.acknowledged(4)
                assert stream.acknowledged_count == 4
                go_on.set()
                await stream.acknowledged(10)
                stream.finish()
                assert [chunk async for chunk in stream] == []

    face.run(main)


@every_face
def test_what_is_held_keeps_the_window_closed(face: Face) -> None:
    async def main() -> None:
        taken: list[bytes] = []
        full = face.Event()

        async def handler(stream: Any) -> None:
            async for batch in stream.batches(hold=True):
                taken.extend(batch)
                if len(taken) == 64:
                    full.set()
                if len(taken) > 64:
                    stream.acknowledge(len(taken))

        async with open_node(face, limits=face.zt.Limits(stream_window_count=64)) as server:
            server.handle_stream("jobs", handler)
            async with open_node(face, None) as client:
                peer = await client.connect(server.address)
                async with peer.open_stream("jobs") as stream:
                    messages = [b"%d" % number for number in range(65)]
                    assert stream.send_many_nowait(messages) == 64
                    await full.wait()
                    assert (stream.acknowledged_count, len(taken)) == (0, 64)
                    assert stream.send_many_nowait(messages[64:]) == 0

    face.run(main)


@every_face
def test_a_stream_left_with_messages_held_is_reset_and_lies_about_none(face: Face) -> None:
    async def handler(stream: Any) -> None:
        async for _ in stream.batches(hold=True):
            return

    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle_stream("jobs", handler)
            async with peer.open_stream("jobs") as stream:
                await stream.send_many([b"1", b"2", b"3"])
                with pytest.raises(face.zt.Error):
                    await stream.acknowledged(1)
                assert stream.acknowledged_count == 0

    face.run(main)


@every_face
def test_what_was_acknowledged_before_a_refusal_is_known_exactly(face: Face) -> None:
    async def handler(stream: Any) -> None:
        async for _ in stream.batches(hold=True):
            stream.acknowledge(2)
            raise face.zt.Overloaded("no room for the third")

    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle_stream("jobs", handler)
            async with peer.open_stream("jobs") as stream:
                await stream.send_many([b"1", b"2", b"3"])
                with pytest.raises(face.zt.Overloaded, match="third"):
                    await stream.acknowledged(3)
                assert stream.acknowledged_count == 2

    face.run(main)


@every_face
def test_sending_as_many_as_there_is_room_for(face: Face) -> None:
    sent = [b"%d" % number for number in range(200)]

    async def main() -> None:
        async def handler(stream: Any) -> None:
            count, rooms = 0, 0
            while count < len(sent):
                count += stream.send_many_nowait(sent[count:])
                rooms += 1
                await stream.wait_room()
            assert rooms > 1

        async with open_node(face) as server:
            server.handle_stream("jobs", handler)
            limits = face.zt.Limits(stream_window_count=64)
            async with open_node(face, None, limits=limits) as client:
                peer = await client.connect(server.address)
                async with peer.open_stream("jobs") as stream:
                    assert [chunk async for chunk in stream] == sent

    face.run(main)


@every_face
def test_acknowledgements_are_told_however_late_one_asks(face: Face) -> None:
    async def main() -> None:
        go_on = face.Event()

        async def handler(stream: Any) -> None:
            async for batch in stream.batches(hold=True):
                stream.acknowledge(1)
                if b"2" in batch:
                    await go_on.wait()
                    stream.acknowledge(2)

        async with pair(face) as (server, peer):
            server.handle_stream("jobs", handler)
            async with peer.open_stream("jobs") as stream:
                await stream.send(b"1")
                await stream.acknowledged(1)
                counts = stream.acknowledgements()
                assert await counts.__anext__() == 1
                await stream.send(b"2")
                go_on.set()
                assert await counts.__anext__() == 2

    face.run(main)
