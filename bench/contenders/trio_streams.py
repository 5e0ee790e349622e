"""Trio's streams with length framing; SSLStream for TLS."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from functools import partial

import trio

from bench.contenders import frames
from bench.contenders.protocol import (
    WORKS,
    Config,
    Sample,
    measure_calls,
    measure_one_way,
)
from ztransport.bench.windows import Phase, repeat

Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Waiter:
    """An event and the reply it announces."""

    __slots__ = ("event", "payload")

    def __init__(self) -> None:
        self.event = trio.Event()
        self.payload = b""


class Calls:
    """A dialled connection with an event for each call in flight."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._waiters: dict[int, Waiter] = {}
        self._identities = itertools.count()
        self._out: list[bytes] = []
        self._sending = False

    async def call(self, payload: bytes, identity: int | None = None) -> bytes:
        """Send one request and wait for its reply."""
        identity = next(self._identities) if identity is None else identity
        waiter = self._waiters[identity] = Waiter()
        self._out += (frames.HEADER.pack(len(payload), identity), payload)
        if not self._sending:
            await self._flush()
        await waiter.event.wait()
        return waiter.payload

    async def _flush(self) -> None:
        # The first caller sends; what others add while it waits leaves with its next write.
        self._sending = True
        try:
            while self._out:
                data = b"".join(self._out)
                self._out.clear()
                await self._stream.send_all(data)
        finally:
            self._sending = False

    async def receive(self) -> None:
        """Hand replies to their callers until the connection ends."""
        rest = b""
        async for data in self._stream:
            replies, rest = frames.split(rest + data if rest else bytes(data))
            for identity, payload in replies:
                waiter = self._waiters.pop(identity)
                waiter.payload = payload
                waiter.event.set()


class TrioStreams:
    """Trio's streams as its documentation uses them."""

    name = "trio streams"
    works = frozenset(WORKS)

    def serve(self, config: Config, ready: Callable[[int], None]) -> None:
        """Serve until the process is ended."""
        trio.run(_serve, config, ready)

    def drive(self, config: Config) -> Sample:
        """Measure one window."""
        return trio.run(_drive, config)


async def _serve(config: Config, ready: Callable[[int], None]) -> None:
    tally, context = frames.Tally(), config.server_context()
    listeners = await trio.open_tcp_listeners(0, host=config.host)
    ready(listeners[0].socket.getsockname()[1])

    async def accepted(socket_stream: trio.SocketStream) -> None:
        stream: Stream = socket_stream
        if context is not None:
            stream = trio.SSLStream(socket_stream, context, server_side=True)
        try:
            await _serve_stream(stream, tally)
        except trio.BrokenResourceError:
            return  # the client ended its window by closing

    await trio.serve_listeners(accepted, listeners)


async def _serve_stream(stream: Stream, tally: frames.Tally) -> None:
    mode = bytes(await stream.receive_some(1))
    if mode == frames.CALLS_MODE:
        await _answer(stream, tally)
        return
    sink = frames.Assembler if mode == frames.MESSAGES_MODE else frames.Walker
    feed = sink(tally).feed
    async for data in stream:
        feed(bytes(data))


async def _answer(stream: Stream, tally: frames.Tally) -> None:
    rest = b""
    async for data in stream:
        replies, rest = frames.echo(rest + data if rest else bytes(data), tally)
        if replies:
            await stream.send_all(replies)


async def _connect(config: Config, mode: bytes) -> Stream:
    context = config.client_context()
    stream: Stream = await trio.open_tcp_stream(config.host, config.port)
    if context is not None:
        assert isinstance(stream, trio.SocketStream)
        stream = trio.SSLStream(stream, context, server_hostname=config.host)
    await stream.send_all(mode)
    return stream


def _negotiated(stream: Stream) -> str | None:
    if isinstance(stream, trio.SSLStream):
        return f"{stream.version()} {stream.cipher()[0]}"
    return None


async def _drive(config: Config) -> Sample:
    work = WORKS[config.work]
    stream = await _connect(config, frames.CALLS_MODE)
    async with trio.open_nursery() as nursery:
        calls = Calls(stream)
        nursery.start_soon(calls.receive)
        if work.callers:
            run = partial(_run_callers, calls, bytes(work.payload_bytes), work.callers)
            sample = await measure_calls(config, run)
        else:
            sample = await _drive_one_way(config, calls)
        nursery.cancel_scope.cancel()
    sample.negotiated = _negotiated(stream)
    await trio.aclose_forcefully(stream)
    return sample


async def _run_callers(calls: Calls, payload: bytes, callers: int, stretch: Phase) -> None:
    call = partial(calls.call, payload)
    async with trio.open_nursery() as nursery:
        for _ in range(callers):
            nursery.start_soon(repeat, call, stretch)


async def _drive_one_way(config: Config, calls: Calls) -> Sample:
    work = WORKS[config.work]
    mode = frames.MESSAGES_MODE if work.is_bulk else frames.SINK_MODE
    stream, blob = await _connect(config, mode), frames.blob(work.payload_bytes)

    async def send(stretch: Phase) -> None:
        while time.perf_counter_ns() < stretch.end_ns:
            await stream.send_all(blob)

    async def received() -> int:
        return int.from_bytes(await calls.call(b"", frames.COUNT_ID), "big")

    sample = await measure_one_way(config, send, received)
    await trio.aclose_forcefully(stream)
    return sample


CONTENDER = TrioStreams()
