"""The server that is abused: nodes of the Trio face in one process, each with its own way in.

It answers questions about itself on its standard output, one JSON line each.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

import trio

import ztransport as zt
from bench.abuse.raw import HOST

CLUSTER = "abuse"
NAP_S = 0.3


@dataclass(frozen=True, slots=True)
class Setup:
    """What a server is started with; paths are of PEM files and of the log."""

    chain: str
    key: str
    log: str
    core: int
    descriptors_max: int | None = None
    port: int = 0
    hello_timeout_ms: int | None = None


@dataclass(slots=True)
class Work:
    """What the handlers have done."""

    tally: int = 0
    live: int = 0
    live_max: int = 0

    def count(self, _: Any) -> bytes:
        """Count a call."""
        self.tally += 1
        return b""

    async def sleep(self, _: Any) -> bytes:
        """Run until cancelled."""
        self.live += 1
        self.live_max = max(self.live_max, self.live)
        try:
            await trio.sleep_forever()
        finally:
            self.live -= 1


async def _nap(message: Any) -> bytes:
    await trio.sleep(NAP_S)
    return bytes(message.payload)


def _raise(_: Any) -> bytes:
    raise RuntimeError("a handler's own mistake")


def _block(message: Any) -> bytes:
    time.sleep(float(message.payload))
    return b""


async def _ask_back(message: Any) -> bytes:
    return bytes(await message.peer.request("ask", b"", timeout=20.0))


def _register(node: Any, work: Work) -> None:
    node.handle("echo", lambda message: message.payload)
    node.handle("sink", lambda _: b"")
    node.handle("tally", work.count)
    node.handle("sleep", work.sleep)
    node.handle("nap", _nap)
    node.handle("raise", _raise)
    node.handle("block", _block)
    node.handle("wrong", lambda _: object())
    node.handle("huge", lambda _: bytes(zt.Limits().message_bytes_max + 1))
    node.handle("ask-back", _ask_back)


def _facts(nodes: dict[str, Any], work: Work) -> dict[str, object]:
    counted = [node.statistics() for node in nodes.values()]
    slow = {
        subject: {"count": found.count, "max_ms": found.max_ms}
        for one in counted
        for subject, found in one.slow_handlers.items()
    }
    return {
        "closed": sum((Counter(one.closed) for one in counted), Counter()),
        "connections": sum(one.connections for one in counted),
        "handshaking": sum(one.handshaking for one in counted),
        "handler_failures": sum(one.handler_failures for one in counted),
        "slow_handlers": slow,
        "tasks": trio.lowlevel.current_statistics().tasks_living,
        **asdict(work),
    }


def say(message: object) -> None:
    """Print one JSON line."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


async def asked() -> AsyncIterator[Any]:
    """What is asked on standard input, one JSON line each, until it ends."""
    rest = b""
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as stdin:
        async for chunk in stdin:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield json.loads(line)


def _ways_in(setup: Setup) -> dict[str, dict[str, Any]]:
    """By name, how each node is opened; `plain` and `zeebe_plain` are there for tests only."""
    tls = zt.TLSConfig(certificate_chain_path=setup.chain, private_key_path=setup.key)
    both = ("zt/1", "zeebe")
    return {
        "tls": {"address": f"{HOST}:{setup.port}", "tls": tls},
        "plain": {"tls": None},
        "permissive": {"tls": tls, "accept": "permissive"},
        "mutual": {"tls": replace(tls, client_auth="required")},
        "zeebe": {"tls": tls, "protocols": both},
        "zeebe_plain": {"tls": None, "protocols": both},
    }


def _limits(setup: Setup) -> zt.Limits:
    if setup.hello_timeout_ms is None:
        return zt.Limits()
    return zt.Limits(hello_timeout_ms=setup.hello_timeout_ms)


async def _serve(setup: Setup) -> None:
    work, nodes = Work(), {}
    async with AsyncExitStack() as stack:
        for name, way in _ways_in(setup).items():
            chosen = {"address": f"{HOST}:0", "node_id": f"server-{name}", **way}
            opened = zt.open_node(cluster=CLUSTER, limits=_limits(setup), **chosen)
            nodes[name] = await stack.enter_async_context(opened)
            _register(nodes[name], work)
        say({name: node.address for name, node in nodes.items()})
        async for message in asked():
            if message == "stop":
                break
            say(_facts(nodes, work))


def main(setup: Setup) -> None:
    """Serve until told to stop, or until standard input ends."""
    os.sched_setaffinity(0, {setup.core})
    logging.basicConfig(filename=setup.log, level=logging.DEBUG)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (setup.descriptors_max or hard, hard))
    trio.run(_serve, setup)


if __name__ == "__main__":
    main(Setup(**json.loads(sys.argv[1])))
