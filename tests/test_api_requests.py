"""Requests: every way to answer one, and every way it can fail."""

from __future__ import annotations

from typing import Any

import pytest

from tests.test_api_faces import Face, every_face, open_node, pair, seeded_bytes


@every_face
def test_a_sync_handler_answers(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle("echo", lambda message: message.payload)
            assert await peer.request("echo", b"hello", timeout=1.0) == b"hello"
            assert await peer.request("echo", b"") == b""

    face.run(main)


@every_face
@pytest.mark.parametrize("size", [1, 65_535, 65_536, 65_537, 1 << 20, 4 << 20])
def test_payloads_of_every_size_arrive(face: Face, size: int) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle("echo", lambda message: message.payload)
            payload = seeded_bytes(size)
            assert await peer.request("echo", payload) == payload

    face.run(main)


@every_face
def test_anything_bytes_like_is_taken_and_copied(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle("array", lambda message: bytearray(message.payload))
            server.handle("view", lambda message: memoryview(message.payload))
            server.handle("none", lambda _: None)
            buffer = bytearray(b"abc")
            assert await peer.request("array", buffer) == b"abc"
            assert await peer.request("view", memoryview(buffer)) == b"abc"
            assert await peer.request("none", b"") == b""
            with pytest.raises(TypeError):
                await peer.request("array", "text")

    face.run(main)


@every_face
def test_a_message_tells_what_it_is(face: Face) -> None:
    seen: list[Any] = []

    def handler(message: Any) -> None:
        seen.append((message.subject, message.metadata, message.deadline, message.peer.node_id))

    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle("s", handler)
            await peer.request("s", b"", metadata={"trace": b"1", "route": b"\xff"})
            await peer.request("s", b"", timeout=None)

    face.run(main)
    (subject, metadata, deadline, node_id), (_, no_metadata, no_deadline, _) = seen
    assert (subject, node_id) == ("s", "client")
    assert metadata == {"trace": b"1", "route": b"\xff"}
    assert deadline is not None
    assert (no_metadata, no_deadline) == ({}, None)


@every_face
def test_metadata_that_cannot_be_encoded_is_refused(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (_, peer):
            for metadata in ({"": b"1"}, {"k" * 256: b""}, {"k": bytes(65_536)}):
                with pytest.raises(face.zt.ConfigurationError):
                    await peer.request("s", b"", metadata=metadata)

    face.run(main)


@every_face
def test_a_peer_that_only_dials_can_be_asked(face: Face) -> None:
    callers: list[Any] = []

    async def main() -> None:
        async with open_node(face) as server, open_node(face, None, node_id="d") as client:
            server.handle("hello", lambda message: callers.append(message.peer))
            client.handle("back", lambda message: b"from " + message.payload)
            peer = await client.connect(server.address)
            await peer.request("hello", b"")
            assert await callers[0].request("back", b"server") == b"from server"

    face.run(main)


@every_face
def test_exact_subjects_win_over_prefixes_and_long_over_short(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle_prefix("a.", lambda _: b"short")
            server.handle_prefix("a.b.", lambda _: b"long")
            server.handle("a.b.c", lambda _: b"exact")
            assert await peer.request("a.x", b"") == b"short"
            assert await peer.request("a.b.x", b"") == b"long"
            assert await peer.request("a.b.c", b"") == b"exact"
            server.handle("a.b.c", lambda _: b"replaced")
            assert await peer.request("a.b.c", b"") == b"replaced"

    face.run(main)


@every_face
def test_no_handler(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (_, peer):
            with pytest.raises(face.zt.NoHandler, match="nobody") as caught:
                await peer.request("nobody", b"")
            assert caught.value.retry_safe

    face.run(main)


@every_face
@pytest.mark.parametrize("is_async", [False, True])
def test_what_a_handler_raises_reaches_the_caller(face: Face, is_async: bool) -> None:
    zt = face.zt
    raised = {
        "reject": zt.Reject(7, "no stock"),
        "overloaded": zt.Overloaded("full"),
        "unauthorized": zt.NotAuthorized("not you"),
        "own": ValueError("a secret"),
    }

    def handler(message: Any) -> bytes:
        raise raised[message.payload.decode()]

    async def async_handler(message: Any) -> bytes:
        await face.checkpoint()
        return handler(message)

    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle("s", async_handler if is_async else handler)
            with pytest.raises(zt.Rejected) as caught:
                await peer.request("s", b"reject")
            assert (caught.value.code, caught.value.text) == (7, "no stock")
            with pytest.raises(zt.Overloaded, match="full"):
                await peer.request("s", b"overloaded")
            with pytest.raises(zt.NotAuthorized, match="not you"):
                await peer.request("s", b"unauthorized")
            with pytest.raises(zt.HandlerFailure) as failed:
                await peer.request("s", b"own")
            assert "secret" not in str(failed.value)
            assert server.statistics().handler_failures == 1

    face.run(main)


@every_face
def test_callers_learn_what_was_raised_only_when_asked_for(face: Face) -> None:
    def handler(message: Any) -> bytes:
        raise ValueError("told")

    async def main() -> None:
        async with pair(face, expose_errors=True) as (server, peer):
            server.handle("s", handler)
            with pytest.raises(face.zt.HandlerFailure, match="told"):
                await peer.request("s", b"")

    face.run(main)


@every_face
def test_a_result_that_is_not_bytes_is_a_handler_failure(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle("s", lambda _: 7)
            with pytest.raises(face.zt.HandlerFailure):
                await peer.request("s", b"")
            assert server.statistics().handler_failures == 1

    face.run(main)


@every_face
def test_a_relayed_error_keeps_code_and_retry_class(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            upstream: list[Any] = []

            async def relay(message: Any) -> bytes:
                reply: bytes = await upstream[0].request("far", message.payload)
                return reply

            def far(message: Any) -> bytes:
                raise face.zt.Reject(61_439, "last code", "not_started")

            server.handle("near", relay)
            server.handle("far", far)
            upstream.append(peer)
            with pytest.raises(face.zt.Rejected) as caught:
                await peer.request("near", b"")
            assert (caught.value.code, caught.value.retry) == (61_439, "not_started")

    face.run(main)


@every_face
def test_rejection_codes_are_bounded(face: Face) -> None:
    face.zt.Reject(0)
    for code in (-1, 61_440):
        with pytest.raises(face.zt.ConfigurationError):
            face.zt.Reject(code)


@every_face
def test_a_batch_comes_back_in_order_with_errors_in_place(face: Face) -> None:
    def handler(message: Any) -> bytes:
        if message.payload == b"bad":
            raise face.zt.Reject(1, "bad")
        return bytes(message.payload[::-1])

    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle("s", handler)
            replies = await peer.request_many("s", [b"ab", b"bad", b"cd"])
            assert replies[0::2] == [b"ba", b"dc"]
            assert isinstance(replies[1], face.zt.Rejected)
            assert await peer.request_many("s", []) == []
            numbers = [b"%d" % number for number in range(3_000)]
            assert await peer.request_many("s", numbers) == [n[::-1] for n in numbers]

    face.run(main)


@every_face
def test_calls_beyond_what_may_wait_are_refused_and_safe_to_repeat(face: Face) -> None:
    window, waiting = 64, 2
    limits = face.zt.Limits

    async def main() -> None:
        async with open_node(face, limits=limits(request_window_count=window)) as server:
            server.handle("s", lambda message: message.payload)
            async with open_node(face, None, limits=limits(pending_calls_max=waiting)) as client:
                peer = await client.connect(server.address)
                payloads = [b"%d" % number for number in range(window + waiting + 1)]
                replies = await peer.request_many("s", payloads)
                assert replies[:-1] == payloads[:-1]
                assert isinstance(replies[-1], face.zt.Overloaded)
                assert replies[-1].retry_safe
                assert "pending_calls_max" in str(replies[-1])

    face.run(main)


@every_face
def test_what_a_batch_cannot_send_is_an_error_in_its_place(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle("s", lambda message: message.payload)
            replies = await peer.request_many("s", [b"a", bytes(5 << 20), b"b"])
            assert replies[0::2] == [b"a", b"b"]
            assert isinstance(replies[1], face.zt.LimitExceeded)
            (only,) = await peer.request_many("s", [bytes(5 << 20)])
            assert isinstance(only, face.zt.LimitExceeded)

    face.run(main)


@every_face
def test_async_handlers_answer_in_any_order(face: Face) -> None:
    async def main() -> None:
        first_may_end = face.Event()
        order: list[bytes] = []

        async def handler(message: Any) -> bytes:
            if message.payload == b"first":
                await first_may_end.wait()
            return bytes(message.payload)

        async with pair(face) as (server, peer), face.tasks() as tasks:
            server.handle("s", handler)

            async def first() -> None:
                order.append(await peer.request("s", b"first"))

            tasks.start(first)
            order += [await peer.request("s", b"other") for _ in range(200)]
            first_may_end.set()
        assert order == [b"other"] * 200 + [b"first"]

    face.run(main)


@every_face
def test_many_async_handlers_run_at_once(face: Face) -> None:
    async def main() -> None:
        running: list[bytes] = []
        all_run = face.Event()

        async def handler(message: Any) -> bytes:
            running.append(message.payload)
            if len(running) == 500:
                all_run.set()
            await all_run.wait()
            return bytes(message.payload)

        async with pair(face) as (server, peer):
            server.handle("s", handler)
            payloads = [b"%d" % number for number in range(500)]
            assert await peer.request_many("s", payloads) == payloads

    face.run(main)


@every_face
def test_the_deadline_ends_a_call_and_its_handler(face: Face) -> None:
    async def main() -> None:
        handler_cancelled = face.Event()

        async def handler(message: Any) -> None:
            try:
                await face.sleep_forever()
            except face.Cancelled:
                handler_cancelled.set()
                raise

        async with pair(face) as (server, peer):
            server.handle("s", handler)
            with pytest.raises(face.zt.DeadlineExceeded) as caught:
                await peer.request("s", b"", timeout=0.02)
            assert isinstance(caught.value, TimeoutError)
            await handler_cancelled.wait()
            (late,) = await peer.request_many("s", [b""], timeout=0.02)
            assert isinstance(late, face.zt.DeadlineExceeded)

    face.run(main)


@every_face
def test_cancelling_a_call_cancels_its_handler_and_frees_its_slot(face: Face) -> None:
    async def main() -> None:
        started, cancelled = face.Event(), face.Event()

        async def handler(message: Any) -> None:
            started.set()
            try:
                await face.sleep_forever()
            finally:
                cancelled.set()

        async with pair(face) as (server, peer):
            server.handle("slow", handler)
            server.handle("echo", lambda message: message.payload)

            async def call() -> None:
                await peer.request("slow", b"")

            async with face.tasks() as tasks:
                cancel = tasks.start(call)
                await started.wait()
                cancel()
                await cancelled.wait()
            assert await peer.request("echo", b"still") == b"still"
            assert peer.statistics().requests_in_flight == 0
            assert peer.statistics().sent.cancels == 1

    face.run(main)


@every_face
@pytest.mark.parametrize("count", [5, 300])
def test_cancelling_a_batch_cancels_all_of_it(face: Face, count: int) -> None:
    async def main() -> None:
        running: list[int] = []
        all_run, none_run = face.Event(), face.Event()

        async def handler(message: Any) -> None:
            running.append(1)
            if len(running) == count:
                all_run.set()
            try:
                await face.sleep_forever()
            finally:
                running.pop()
                if not running:
                    none_run.set()

        async with pair(face) as (server, peer):
            server.handle("s", handler)

            async def call() -> None:
                await peer.request_many("s", [b""] * count)

            async with face.tasks() as tasks:
                cancel = tasks.start(call)
                await all_run.wait()
                cancel()
                await none_run.wait()

    face.run(main)


@every_face
def test_what_is_cancelled_before_its_task_starts_is_answered(face: Face) -> None:
    async def main() -> None:
        async def handler(message: Any) -> None:
            await face.sleep_forever()

        async with pair(face) as (server, peer):
            server.handle("s", handler)
            server.handle("echo", lambda message: message.payload)

            async def call() -> None:
                await peer.request_many("s", [b""] * 1_000)

            for _ in range(5):
                async with face.tasks() as tasks:
                    cancel = tasks.start(call)
                    await face.checkpoint()
                    await peer.request("echo", b"")
                    cancel()
            while peer.statistics().requests_in_flight:
                await face.checkpoint()

    face.run(main)


@every_face
def test_handlers_are_cancelled_when_their_caller_is_gone(face: Face) -> None:
    async def main() -> None:
        started, cancelled = face.Event(), face.Event()

        async def handler(message: Any) -> None:
            started.set()
            try:
                await face.sleep_forever()
            finally:
                cancelled.set()

        async with open_node(face) as server:
            server.handle("s", handler)
            async with open_node(face, None, drain_timeout=0) as client:
                peer = await client.connect(server.address, pooled=False)

                async def call() -> None:
                    with pytest.raises(face.zt.ConnectionLost):
                        await peer.request("s", b"")

                async with face.tasks() as tasks:
                    tasks.start(call)
                    await started.wait()
                    await peer.aclose()
            await cancelled.wait()

    face.run(main)


@every_face
def test_a_deferred_reply_is_given_exactly_once(face: Face) -> None:
    async def main() -> None:
        replies: list[Any] = []
        deferred = face.Event()

        def handler(message: Any) -> bytes:
            replies.append(message.defer())
            with pytest.raises(face.zt.AlreadyAnswered):
                message.defer()
            deferred.set()
            return b"ignored"

        async with pair(face) as (server, peer), face.tasks() as tasks:
            server.handle("s", handler)

            async def answer() -> None:
                await deferred.wait()
                replies[0].send(b"later")
                with pytest.raises(face.zt.AlreadyAnswered):
                    replies[0].send(b"again")
                with pytest.raises(face.zt.AlreadyAnswered):
                    replies[0].fault(1, "again")

            tasks.start(answer)
            assert await peer.request("s", b"") == b"later"

    face.run(main)


@every_face
def test_a_deferred_reply_can_be_a_fault(face: Face) -> None:
    faults: list[tuple[Any, ...]] = [
        (face.zt.Overloaded("busy"),),
        (3, "three"),
    ]

    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle("s", lambda message: message.defer().fault(*faults.pop(0)))
            with pytest.raises(face.zt.Overloaded, match="busy"):
                await peer.request("s", b"")
            with pytest.raises(face.zt.Rejected, match="3: three"):
                await peer.request("s", b"")

    face.run(main)


@every_face
def test_a_deferred_reply_that_is_dropped_is_a_handler_failure(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            server.handle("s", lambda message: message.defer() and None)
            with pytest.raises(face.zt.HandlerFailure):
                await peer.request("s", b"")
            assert server.statistics().unanswered == 1

    face.run(main)


@every_face
def test_forwarding_relays_replies_faults_and_metadata(face: Face) -> None:
    async def main() -> None:
        async with open_node(face) as back, open_node(face) as gateway, pair(face) as (_, _):
            upstream = await gateway.connect(back.address)
            seen: list[Any] = []

            def handler(message: Any) -> bytes:
                seen.append((message.subject, message.metadata))
                if message.payload == b"bad":
                    raise face.zt.Reject(5, "from behind")
                return b"behind " + bytes(message.payload)

            back.handle("same", handler)
            back.handle("other", handler)
            gateway.handle("same", lambda message: message.forward(upstream))
            gateway.handle("named", lambda message: message.forward(upstream, "other"))
            async with open_node(face, None) as client:
                peer = await client.connect(gateway.address)
                metadata = {"k": b"v"}
                assert await peer.request("same", b"x", metadata=metadata) == b"behind x"
                assert await peer.request("named", b"y") == b"behind y"
                with pytest.raises(face.zt.Rejected) as caught:
                    await peer.request("same", b"bad")
                assert caught.value.code == 5
            assert seen == [("same", {"k": b"v"}), ("other", {}), ("same", {})]

    face.run(main)


@every_face
def test_forwarding_to_a_peer_that_is_gone_fails_typed(face: Face) -> None:
    async def main() -> None:
        async with open_node(face) as back, open_node(face) as gateway:
            upstream = await gateway.connect(back.address, pooled=False)
            await upstream.aclose()
            gateway.handle("s", lambda message: message.forward(upstream))
            async with open_node(face, None) as client:
                peer = await client.connect(gateway.address)
                with pytest.raises(face.zt.ConnectionLost):
                    await peer.request("s", b"")

    face.run(main)


@every_face
def test_a_cancelled_call_is_cancelled_behind_a_gateway_too(face: Face) -> None:
    async def main() -> None:
        started, cancelled = face.Event(), face.Event()

        async def handler(message: Any) -> None:
            started.set()
            try:
                await face.sleep_forever()
            finally:
                cancelled.set()

        async with open_node(face) as back, open_node(face) as gateway:
            upstream = await gateway.connect(back.address)
            back.handle("s", handler)
            gateway.handle("s", lambda message: message.forward(upstream))
            async with open_node(face, None) as client:
                peer = await client.connect(gateway.address)

                async def call() -> None:
                    await peer.request("s", b"")

                async with face.tasks() as tasks:
                    cancel = tasks.start(call)
                    await started.wait()
                    cancel()
                    await cancelled.wait()

    face.run(main)


@every_face
def test_a_slow_sync_handler_is_counted_by_name(face: Face) -> None:
    async def main() -> None:
        async with pair(face, handler_budget_ms=0) as (server, peer):
            server.handle("busy", lambda _: bytes(sum(range(50_000)) % 2))
            for _ in range(20):
                await peer.request("busy", b"")
            slow = server.statistics().slow_handlers
            assert set(slow) == {"busy"}
            assert slow["busy"].count >= 1
            assert slow["busy"].max_ms > 0

    face.run(main)
