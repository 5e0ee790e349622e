"""The server that is abused: a TLS and a plaintext node of the Trio face in one process.

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
from dataclasses import asdict, dataclass
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


async def _serve(setup: Setup) -> None:
    work, nodes = Work(), {}
    tls = zt.TLSConfig(certificate_chain_path=setup.chain, private_key_path=setup.key)
    async with AsyncExitStack() as stack:
        for name, config, port in (("tls", tls, setup.port), ("plain", None, 0)):
            address, node_id = f"{HOST}:{port}", f"server-{name}"
            opened = zt.open_node(address, cluster=CLUSTER, node_id=node_id, tls=config)
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
