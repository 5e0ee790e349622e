"""T29: handlers that raise, block, return no bytes or too many harm nobody but their callers."""

from __future__ import annotations

import time
from typing import Any

import pytest
import trio

import ztransport as zt

CLUSTER = "tests"
BUDGET_MS = 1
LIVENESS_MS = 100
BLOCK_S = 3 * LIVENESS_MS / 1e3
CALLS = 64
LIMITS = zt.Limits(
    message_bytes_max=64 << 10,
    liveness_timeout_ms=LIVENESS_MS,
    ping_interval_ms=LIVENESS_MS // 4,
)


def _open(address: str | None, node_id: str, **options: Any) -> Any:
    return zt.open_node(
        address, cluster=CLUSTER, node_id=node_id, tls=None, limits=LIMITS, **options
    )


def _block(_: Any) -> bytes:
    # Not a sleep: a handler that computes and never gives the loop a turn.
    end = time.monotonic() + BLOCK_S
    while time.monotonic() < end:
        pass
    return b""


def _raise(_: Any) -> bytes:
    raise RuntimeError("what the caller must not read")


async def _answer(peer: Any, subject: str, answers: list[bytes]) -> None:
    answers.append(await peer.request(subject, b"x", timeout=None))


@pytest.mark.slow
async def test_t29_a_blocking_handler_is_named_and_disconnects_nobody() -> None:
    async with (
        _open("127.0.0.1:0", "server", handler_budget_ms=BUDGET_MS) as server,
        _open(None, "caller") as caller,
        _open(None, "bystander") as bystander,
    ):
        turns: dict[str, int] = {}

        def echo(message: Any) -> bytes:
            turns["echo"] = server.statistics().turns
            return bytes(message.payload)

        def block(message: Any) -> bytes:
            _block(message)
            turns["block"] = server.statistics().turns
            return b""

        server.handle("echo", echo)
        server.handle("block", block)
        blocked = await caller.connect(server.address)
        others = [await bystander.connect(server.address, pooled=False) for _ in range(2)]
        answers: list[bytes] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_answer, blocked, "block", answers)
            for number in range(CALLS):
                nursery.start_soon(_answer, others[number % 2], "echo", answers)
        assert sorted(answers) == [b""] + [b"x"] * CALLS
        assert turns["echo"] - turns["block"] <= 1
        counted = server.statistics()
        assert counted.slow_handlers["block"].count == 1
        assert counted.slow_handlers["block"].max_ms >= BLOCK_S * 1e3
        assert counted.closed == {}
        assert [peer.statistics().redials for peer in (blocked, *others)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("handler", "expected"),
    [
        (_raise, zt.HandlerFailure),
        (lambda _: object(), zt.HandlerFailure),
        (lambda _: "text", zt.HandlerFailure),
        (lambda _: bytes(LIMITS.message_bytes_max + 1), zt.LimitExceeded),
    ],
)
async def test_t29_only_the_caller_learns_of_a_handlers_mistake(
    handler: Any, expected: type[zt.Error]
) -> None:
    async with _open("127.0.0.1:0", "server") as server, _open(None, "caller") as caller:
        server.handle("wrong", handler)
        server.handle("largest", lambda _: bytes(LIMITS.message_bytes_max))
        peer = await caller.connect(server.address)
        other = await caller.connect(server.address, pooled=False)
        with pytest.raises(expected) as raised:
            await peer.request("wrong", b"")
        assert type(raised.value) is expected
        assert "must not read" not in str(raised.value)
        for one in (peer, other):
            assert len(await one.request("largest", b"")) == LIMITS.message_bytes_max
        assert server.statistics().closed == {}
