"""Honest clients in processes of their own: the control client and the one that churns connections.

The control client calls on and on, and tells on request how that went since it was last asked.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import trio

import ztransport as zt
from bench.abuse.server import asked, say

PAYLOAD = bytes(128)
CALL_TIMEOUT_S = 10.0
PAUSE_AFTER_ERROR_S = 0.01
STEP_NS = 10_000


@dataclass(frozen=True, slots=True)
class Setup:
    """Whom to call and how.

    With `interval_s` calls begin at that pace; without, each of `callers` calls without a pause.
    """

    address: str
    cluster: str
    trust: str | None
    core: int
    callers: int = 1
    interval_s: float | None = None
    timeout_s: float = CALL_TIMEOUT_S


@dataclass(slots=True)
class Window:
    """What happened since the last question."""

    began_ns: int
    latencies: Counter[int] = field(default_factory=Counter)
    """In steps of `STEP_NS`: sorting every single one would stop the calls."""
    errors: Counter[str] = field(default_factory=Counter)
    slowest_error_ns: int = 0

    def add(self, elapsed_ns: int, interval_s: float | None) -> None:
        """Count an answer, and the calls that it kept from beginning at their time."""
        self.latencies[elapsed_ns // STEP_NS] += 1
        if interval_s is not None:
            pace_ns = int(interval_s * 1e9)
            for late_ns in range(elapsed_ns - pace_ns, 0, -pace_ns):
                self.latencies[late_ns // STEP_NS] += 1

    def fail(self, error: Exception, elapsed_ns: int) -> None:
        """Count a call that ended without an answer."""
        self.errors[type(error).__name__] += 1
        self.slowest_error_ns = max(self.slowest_error_ns, elapsed_ns)

    def summary(self, outstanding: int) -> dict[str, object]:
        """The figures of this window."""
        calls = self.latencies.total()
        return {
            "calls": calls,
            "seconds": (time.perf_counter_ns() - self.began_ns) / 1e9,
            "p99_ms": self._quantile_ms(calls * 99 // 100) if calls else None,
            "errors": self.errors,
            "slowest_error_s": self.slowest_error_ns / 1e9,
            "outstanding": outstanding,
        }

    def _quantile_ms(self, rank: int) -> float:
        for step in sorted(self.latencies):
            rank -= self.latencies[step]
            if rank < 0:
                return (step + 1) * STEP_NS / 1e6
        raise AssertionError("the rank is below the count")


class Caller:
    """Calls until cancelled."""

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._outstanding = 0
        self.window = Window(time.perf_counter_ns())

    def take(self) -> dict[str, object]:
        """The figures since this was last asked."""
        window, self.window = self.window, Window(time.perf_counter_ns())
        return window.summary(self._outstanding)

    async def run(self, peer: Any) -> None:
        """Call in order, at the set pace or without a pause."""
        while True:
            begin = time.perf_counter_ns()
            await self._call(peer, begin)
            if self._setup.interval_s is not None:
                spent = (time.perf_counter_ns() - begin) / 1e9
                await trio.sleep(max(0.0, self._setup.interval_s - spent))

    async def _call(self, peer: Any, begin: int) -> None:
        self._outstanding += 1
        try:
            await peer.request("echo", PAYLOAD, timeout=self._setup.timeout_s)
        except Exception as error:  # every type is a figure here: a wrong one must show
            self.window.fail(error, time.perf_counter_ns() - begin)
            await trio.sleep(PAUSE_AFTER_ERROR_S)
        else:
            self.window.add(time.perf_counter_ns() - begin, self._setup.interval_s)
        finally:
            self._outstanding -= 1


async def _control(setup: Setup, node: Any) -> None:
    caller = Caller(setup)
    peer = await node.connect(setup.address)
    async with trio.open_nursery() as nursery:
        for _ in range(setup.callers):
            nursery.start_soon(caller.run, peer)
        say("ready")
        async for _ in asked():
            say(caller.take())
        nursery.cancel_scope.cancel()


async def _churn(setup: Setup, node: Any) -> None:
    say("ready")
    async for count in asked():
        left = list(range(count))
        begin = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(setup.callers):
                nursery.start_soon(_open_and_close, node, setup.address, left)
        tasks = trio.lowlevel.current_statistics().tasks_living
        say({"seconds": time.perf_counter() - begin, "tasks": tasks})


async def _open_and_close(node: Any, address: str, left: list[int]) -> None:
    while left:
        left.pop()
        peer = await node.connect(address, pooled=False)
        assert await peer.request("echo", PAYLOAD) == PAYLOAD
        await peer.aclose()


async def _open(role: str, setup: Setup) -> None:
    tls = None if setup.trust is None else zt.TLSConfig(trust=(setup.trust,))
    async with zt.open_node(None, cluster=setup.cluster, node_id=role, tls=tls) as node:
        await {"control": _control, "churn": _churn}[role](setup, node)


def main(role: str, setup: Setup) -> None:
    """Play `control` or `churn` until standard input ends."""
    os.sched_setaffinity(0, {setup.core})
    trio.run(_open, role, setup)


if __name__ == "__main__":
    main(sys.argv[1], Setup(**json.loads(sys.argv[2])))
