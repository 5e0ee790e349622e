"""ztransport through its Python faces: the same works for Trio, asyncio and uvloop.

The faces have the same names, so all a face adds here is how to run a loop and several tasks.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import ztransport as zt
from bench.contenders.protocol import (
    ALL_WORKS,
    CALLS,
    CONNECT,
    CONNECT_8,
    EVERY_WORK,
    IDLE,
    MANY,
    Config,
    Sample,
    measure_calls,
    measure_one_way,
)
from ztransport.bench import environment
from ztransport.bench.windows import Phase, repeat

CLUSTER = "bench"
BATCH = 64
IDLE_CONNECTIONS = 1_000
Job = Callable[[], Awaitable[None]]


class Face(Protocol):
    """A host loop and the module that is its face."""

    name: str
    module: Any

    def run(self, main: Callable[[], Awaitable[Any]]) -> Any:
        """Run a loop until `main` returns."""

    async def together(self, jobs: list[Job]) -> None:
        """Run jobs at once and return when all have ended."""


class Tally:
    """Messages a server has received one way."""

    def __init__(self) -> None:
        self.messages = 0

    async def payloads(self, subscription: Any) -> None:
        """Count batches of payloads."""
        async for payloads in subscription.payloads():
            self.messages += len(payloads)

    async def each(self, subscription: Any) -> None:
        """Count message by message."""
        async for _ in subscription.messages():
            self.messages += 1


class FaceContender:
    """One face behind the protocol."""

    works = frozenset(ALL_WORKS)

    def __init__(self, face: Face) -> None:
        self.name = face.name
        self._face = face

    def serve(self, config: Config, ready: Callable[[int], None]) -> None:
        """Serve until the process is ended."""
        self._face.run(partial(_serve, self._face, config, ready))

    def drive(self, config: Config) -> Sample:
        """Measure one window."""
        sample: Sample = self._face.run(partial(_drive, self._face, config))
        return sample


def _open(face: Face, config: Config, address: str | None, node_id: str) -> Any:
    tls = None
    if config.trust_path is not None:
        own = (config.chain_path, config.key_path) if address else (None, None)
        tls = zt.TLSConfig(
            certificate_chain_path=own[0], private_key_path=own[1], trust=(config.trust_path,)
        )
    protocols = tuple(dict.fromkeys(("zt/1", config.protocol)))
    return face.module.open_node(
        address, cluster=CLUSTER, node_id=node_id, tls=tls, idle=config.idle, protocols=protocols
    )


async def _echo(message: Any) -> bytes:
    payload: bytes = message.payload
    return payload


async def _serve(face: Face, config: Config, ready: Callable[[int], None]) -> None:
    tally = Tally()
    async with _open(face, config, f"{config.host}:0", "server") as node:
        node.handle("echo", lambda message: message.payload)
        node.handle("async", _echo)
        node.handle("count", lambda _: tally.messages.to_bytes(8, "big"))
        sink, each = node.subscribe("sink"), node.subscribe("each")
        ready(int(node.address.rsplit(":", 1)[1]))
        await face.together([partial(tally.payloads, sink), partial(tally.each, each)])


async def _drive(face: Face, config: Config) -> Sample:
    async with _open(face, config, None, "client") as node:
        address = f"{config.host}:{config.port}"
        if config.work in (CONNECT, CONNECT_8):
            return await _drive_connects(face, config, node, address)
        peer = await node.connect(address, protocol=config.protocol)
        negotiated = f"{peer.tls.version} {peer.tls.cipher_suite}" if peer.tls else None
        sample = await _drive_peer(face, config, node, peer)
        sample.negotiated = negotiated
        return sample


async def _drive_peer(face: Face, config: Config, node: Any, peer: Any) -> Sample:
    work = EVERY_WORK[config.work]
    if config.work == MANY:
        payloads = [bytes(work.payload_bytes)] * BATCH
        batches = _callers(face, partial(peer.request_many, "echo", payloads), 1)
        return await measure_calls(config, batches, calls_each=BATCH)
    if config.work == IDLE:
        return await _drive_idle(face, config, node, peer)
    if work.callers:
        call = partial(peer.request, work.subject, bytes(work.payload_bytes))
        return await measure_calls(config, _callers(face, call, work.callers))
    return await _drive_one_way(config, node, peer)


def _callers(
    face: Face, call: Callable[[], Awaitable[object]], callers: int
) -> Callable[[Phase], Awaitable[None]]:
    async def run(stretch: Phase) -> None:
        await face.together([partial(repeat, call, stretch)] * callers)

    return run


async def _drive_one_way(config: Config, node: Any, peer: Any) -> Sample:
    work = EVERY_WORK[config.work]
    asker = await node.connect(f"{config.host}:{config.port}", pooled=False)

    async def received() -> int:
        return int.from_bytes(await asker.request("count", b""), "big")

    send = partial(_send, peer, work.subject, bytes(work.payload_bytes))
    return await measure_one_way(config, send, received)


async def _send(peer: Any, subject: str, payload: bytes, stretch: Phase) -> None:
    send, clock, end = peer.send_nowait, time.perf_counter_ns, stretch.end_ns
    while clock() < end:
        try:
            for _ in range(BATCH):
                send(subject, payload)
        except zt.WouldBlock:
            await peer.wait_room(subject)


async def _drive_connects(face: Face, config: Config, node: Any, address: str) -> Sample:
    work = EVERY_WORK[config.work]
    payload = bytes(work.payload_bytes)

    async def connect_and_call() -> None:
        peer = await node.connect(address, pooled=False, protocol=config.protocol)
        await peer.request("echo", payload)
        await peer.aclose()

    return await measure_calls(config, _callers(face, connect_and_call, work.callers))


async def _drive_idle(face: Face, config: Config, node: Any, peer: Any) -> Sample:
    call = partial(peer.request, "echo", bytes(ALL_WORKS[CALLS].payload_bytes))
    run = _callers(face, call, ALL_WORKS[CALLS].callers)
    quiet = await measure_calls(config, run)
    before = environment.resident_bytes(config.server_pid)
    address = f"{config.host}:{config.port}"
    idle = [await node.connect(address, pooled=False) for _ in range(IDLE_CONNECTIONS)]
    after = environment.resident_bytes(config.server_pid)
    sample = await measure_calls(config, run)
    sample.extra = {
        "idle_connections": len(idle),
        "kib_per_idle_connection": (after - before) / 1024 / len(idle),
        "rate_kept": (sample.count / sample.seconds) / (quiet.count / quiet.seconds),
    }
    return sample
