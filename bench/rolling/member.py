"""`python -m bench.rolling.member`: one node that calls the others in open loop.

It is given its settings as JSON. On standard input `statistics` and `stop`, a line each, are
answered with one line of JSON. After `stop` it calls no more but serves until `close`: calls to a
node that has left for good would fail, and no cluster can help that.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import trio

import ztransport
from bench.rolling.mount import Mount

PAYLOAD = b"x" * 128
CALL_TIMEOUT_S = 5.0
CONNECT_PAUSE_S = 0.05
FAILURES_KEPT_MAX = 20


class Caller:
    """Calls the others in turn when a call is due, whatever became of the ones before."""

    def __init__(self, peers: list[Any], rate: float) -> None:
        self._peers, self._pause_s = peers, 1 / rate
        self.failures: Counter[str] = Counter()
        self.sent = self.completed = 0
        self.late_ms: list[float] = []

    async def run(self, is_over: trio.Event) -> None:
        """Call until it is over, then wait for every answer."""
        async with trio.open_nursery() as nursery:
            due = trio.current_time()
            while not is_over.is_set():
                await trio.sleep_until(due)
                nursery.start_soon(self._call, self._peers[self.sent % len(self._peers)], due)
                self.sent += 1
                due += self._pause_s

    async def _call(self, peer: Any, due: float) -> None:
        try:
            answer = await peer.request("echo", PAYLOAD, timeout=CALL_TIMEOUT_S)
        except ztransport.Error as error:
            if len(self.failures) < FAILURES_KEPT_MAX:
                self.failures[f"{type(error).__name__}: {error}"] += 1
        else:
            self.completed += answer == PAYLOAD
            self.late_ms.append((trio.current_time() - due) * 1e3)

    def result(self) -> dict[str, Any]:
        """What became of the calls so far."""
        times = sorted(self.late_ms)
        return {
            "sent": self.sent,
            "completed": self.completed,
            "failed": self.sent - self.completed,
            "failures": dict(self.failures),
            "p99_ms": times[len(times) * 99 // 100] if times else 0.0,
            "max_ms": times[-1] if times else 0.0,
        }


async def _reach(node: Any, address: str) -> Any:
    """Dial a node that may not have come up yet."""
    while True:
        try:
            return await node.connect(address)
        except ztransport.ConnectFailed:
            await trio.sleep(CONNECT_PAUSE_S)


def _facts(node: Any) -> dict[str, Any]:
    counted = node.statistics()
    return {
        "accepted": counted.accepted,
        "dialled": counted.dialled,
        "closed": counted.closed,
        "tls_reloads": counted.tls_reloads,
        "tls_reload_failures": counted.tls_reload_failures,
        "plaintext_connections": sum(counted.plaintext_connections.values()),
        "connections": counted.connections,
    }


def _say(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def _told() -> str:
    line: str = await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
    return line.strip()


async def _obey(node: Any, over: trio.Event) -> None:
    while await _told() == "statistics":
        _say(_facts(node))
    over.set()


async def _serve(settings: dict[str, Any]) -> None:
    limits = ztransport.Limits(connection_age_max_ms=settings["age_ms"])
    over = trio.Event()
    async with ztransport.open_node(
        settings["address"],
        cluster="rolling",
        node_id=settings["name"],
        tls=Mount(Path(settings["mount"])).tls(client_auth="required"),
        limits=limits,
        accept=settings["accept"],
        dial=settings["dial"],
    ) as node:
        node.handle("echo", lambda message: message.payload)
        _say({"up": settings["name"]})
        peers = [await _reach(node, address) for address in settings["others"]]
        caller = Caller(peers, settings["rate"])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(caller.run, over)
            await _obey(node, over)
        _say({**_facts(node), **caller.result()})
        await _told()


if __name__ == "__main__":
    trio.run(_serve, json.loads(sys.argv[1]))
