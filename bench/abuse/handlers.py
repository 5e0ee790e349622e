"""Handlers that misbehave: they raise, block the loop, return no bytes, or too many."""

from __future__ import annotations

import time
from typing import Any

import trio

import ztransport as zt
from bench.abuse.cases import Case, Row
from bench.abuse.server import CLUSTER

BLOCK_S = 5.0
RECOVERY_S_MAX = 0.25
CALLERS = 50
ANSWER_S = 20.0
IN_ORDER = {"closed_in_order", "shutting_down"}  # the callers' own leaving
EXPECTED = {"raise": "HandlerFailure", "wrong": "HandlerFailure", "huge": "LimitExceeded"}


def misbehaving(case: Case) -> None:
    """T29."""
    found, blocked_s, recovered_s = trio.run(_call_all, case)
    for subject, error in EXPECTED.items():
        case.bars.exactly(subject, found[subject], error)
    case.bars.exactly(f"of {CALLERS} callers answered", found["answered"], CALLERS)
    case.bars.note(f"blocked {blocked_s:.1f} s")
    case.bars.at_most("all recovered after", recovered_s, RECOVERY_S_MAX, "s")
    slow = case.server.facts()["slow_handlers"].get("block", {"count": 0, "max_ms": 0.0})
    named = slow["count"] == 1 and slow["max_ms"] >= BLOCK_S * 1e3
    case.bars.check(f"watchdog: 'block' took {slow['max_ms']:.0f} ms", named)
    closed = case.closed()
    lost = {reason: count for reason, count in closed.items() if reason not in IN_ORDER}
    case.bars.check(f"disconnected {lost or 0}", not lost)


async def _call_all(case: Case) -> tuple[dict[str, Any], float, float]:
    tls = zt.TLSConfig(trust=(case.tls.trust or "",))
    found: dict[str, Any] = {"answered": 0}
    async with zt.open_node(None, cluster=CLUSTER, node_id="caller", tls=tls) as node:
        peer = await node.connect(case.tls.address)
        for subject in EXPECTED:
            found[subject] = await _error_of(peer, subject)
        begin = time.monotonic()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_block, peer)
            await trio.sleep(0.1)  # the others come while it blocks
            for _ in range(CALLERS):
                nursery.start_soon(_echo, node, case.tls.address, found)
        spent = time.monotonic() - begin
    return found, BLOCK_S, spent - BLOCK_S


async def _error_of(peer: Any, subject: str) -> str:
    try:
        await peer.request(subject, b"", timeout=ANSWER_S)
    except zt.Error as error:
        return type(error).__name__
    return "an answer"


async def _block(peer: Any) -> None:
    await peer.request("block", str(BLOCK_S).encode(), timeout=ANSWER_S)


async def _echo(node: Any, address: str, found: dict[str, Any]) -> None:
    peer = await node.connect(address)
    if await peer.request("echo", b"x", timeout=ANSWER_S) == b"x":
        found["answered"] += 1


ROWS = (
    Row(
        "T29",
        "handler raises, blocks 5 s, returns no bytes or 4 MiB + 1",
        "typed errors; none disconnected; named; recovered at once",
        misbehaving,
        stalls_control=True,
    ),
)
