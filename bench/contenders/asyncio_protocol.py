"""Length framing over asyncio's Protocol API, the fast one; the loop is the caller's choice."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from bench.contenders import frames
from bench.contenders.protocol import (
    WORKS,
    Config,
    Sample,
    measure_calls,
    measure_one_way,
    negotiated_by_ssl,
)
from ztransport.bench.windows import Phase, repeat

LoopFactory = Callable[[], asyncio.AbstractEventLoop] | None
WRITE_BUFFER_BYTES_MAX = 262_144


class Server(asyncio.Protocol):
    """One accepted connection."""

    def __init__(self, tally: frames.Tally) -> None:
        self._tally = tally
        self._rest = b""
        self._receive: Callable[[bytes], None] = self._choose

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._receive(data)

    def _choose(self, data: bytes) -> None:
        modes = {
            frames.CALLS_MODE: self._answer,
            frames.SINK_MODE: frames.Walker(self._tally).feed,
            frames.MESSAGES_MODE: frames.Assembler(self._tally).feed,
        }
        self._receive = modes[data[:1]]
        if len(data) > 1:
            self._receive(data[1:])

    def _answer(self, data: bytes) -> None:
        replies, self._rest = frames.echo(self._rest + data if self._rest else data, self._tally)
        if replies:
            self._transport.write(replies)


class Calls(asyncio.Protocol):
    """A dialled connection with a future for each call in flight."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiters: dict[int, asyncio.Future[bytes]] = {}
        self._identities = itertools.count()
        self._out: list[bytes] = []
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(frames.CALLS_MODE)

    async def call(self, payload: bytes, identity: int | None = None) -> bytes:
        """Send one request and wait for its reply."""
        identity = next(self._identities) if identity is None else identity
        waiter = self._waiters[identity] = self._loop.create_future()
        self._out += (frames.HEADER.pack(len(payload), identity), payload)
        if len(self._waiters) == 1:
            self._flush()  # nothing to wait for: a lone call leaves at once
        elif len(self._out) == 2:
            self._loop.call_soon(self._flush)  # what else this turn sends leaves with it
        reply: bytes = await waiter
        return reply

    def _flush(self) -> None:
        if self._out:
            self.transport.write(b"".join(self._out))
            self._out.clear()

    def data_received(self, data: bytes) -> None:
        replies, self._rest = frames.split(self._rest + data if self._rest else data)
        for identity, payload in replies:
            waiter = self._waiters.pop(identity)
            if not waiter.done():
                waiter.set_result(payload)


class Sender(asyncio.Protocol):
    """A dialled connection that only sends, held back by the transport's own buffer limit."""

    def __init__(self, mode: bytes) -> None:
        self._mode = mode
        self._room = asyncio.Event()
        self._room.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX)
        self.transport.write(self._mode)

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    async def send(self, blob: bytes, stretch: Phase) -> None:
        """Send the blob again and again until the phase ends."""
        write, room, end = self.transport.write, self._room, stretch.end_ns
        while time.perf_counter_ns() < end:
            write(blob)
            if not room.is_set():
                await room.wait()


class ProtocolContender:
    """asyncio's Protocol API on a given loop."""

    works = frozenset(WORKS)

    def __init__(self, name: str, loop_factory: LoopFactory = None) -> None:
        self.name = name
        self._loop_factory = loop_factory

    def serve(self, config: Config, ready: Callable[[int], None]) -> None:
        """Serve until the process is ended."""
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(_serve(config, ready))

    def drive(self, config: Config) -> Sample:
        """Measure one window."""
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            return runner.run(_drive(config))


async def _serve(config: Config, ready: Callable[[int], None]) -> None:
    tally = frames.Tally()
    server = await asyncio.get_running_loop().create_server(
        partial(Server, tally), config.host, 0, ssl=config.server_context()
    )
    ready(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def _connect(config: Config, protocol: Callable[[], asyncio.Protocol]) -> Any:
    _, made = await asyncio.get_running_loop().create_connection(
        protocol, config.host, config.port, ssl=config.client_context()
    )
    return made


async def _drive(config: Config) -> Sample:
    calls: Calls = await _connect(config, Calls)
    work = WORKS[config.work]
    if work.callers:
        payload = bytes(work.payload_bytes)
        run = partial(_run_callers, calls, payload, work.callers)
        sample = await measure_calls(config, run)
    else:
        sample = await _drive_one_way(config, calls)
    sample.negotiated = negotiated_by_ssl(calls.transport.get_extra_info("ssl_object"))
    calls.transport.abort()
    return sample


async def _run_callers(calls: Calls, payload: bytes, callers: int, stretch: Phase) -> None:
    call = partial(calls.call, payload)
    await asyncio.gather(*(repeat(call, stretch) for _ in range(callers)))


async def _drive_one_way(config: Config, calls: Calls) -> Sample:
    work = WORKS[config.work]
    mode = frames.MESSAGES_MODE if work.is_bulk else frames.SINK_MODE
    sender: Sender = await _connect(config, partial(Sender, mode))
    blob = frames.blob(work.payload_bytes)

    async def received() -> int:
        return int.from_bytes(await calls.call(b"", frames.COUNT_ID), "big")

    sample = await measure_one_way(config, partial(sender.send, blob), received)
    sender.transport.abort()
    return sample
