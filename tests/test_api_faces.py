"""The three ways to run a test of the faces, and how tests talk to each of them alike."""

from __future__ import annotations

import asyncio
import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
import trio
import uvloop

import ztransport
import ztransport.aio

HANG_SECONDS = 20
CLUSTER = "tests"

Main = Callable[[], Awaitable[None]]


class TrioFace:
    """The Trio face and what a test needs of Trio."""

    name = "trio"
    zt: Any = ztransport
    Event = trio.Event
    Cancelled = trio.Cancelled
    checkpoint = staticmethod(trio.lowlevel.checkpoint)
    sleep_forever = staticmethod(trio.sleep_forever)

    def run(self, main: Main) -> None:
        # Not `fail_after`: its deadline would travel with every request.
        async def watch(scope: trio.CancelScope) -> None:
            await trio.sleep(HANG_SECONDS)
            scope.cancel()

        async def bounded() -> None:
            with trio.CancelScope() as scope:
                trio.lowlevel.spawn_system_task(watch, scope)
                await main()
            assert not scope.cancelled_caught, "the test hangs"

        trio.run(bounded)

    @asynccontextmanager
    async def tasks(self) -> AsyncIterator[TrioTasks]:
        async with trio.open_nursery() as nursery:
            yield TrioTasks(nursery)


class TrioTasks:
    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery

    def start(self, main: Main) -> Callable[[], None]:
        """Start a task and return what cancels it."""
        scope = trio.CancelScope()

        async def scoped() -> None:
            with scope:
                await main()

        self._nursery.start_soon(scoped)
        return scope.cancel


class AsyncioFace:
    """The asyncio face on the loop of the standard library."""

    name = "asyncio"
    zt: Any = ztransport.aio
    Event = asyncio.Event
    Cancelled = asyncio.CancelledError
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop

    async def checkpoint(self) -> None:
        await asyncio.sleep(0)

    async def sleep_forever(self) -> None:
        await asyncio.get_running_loop().create_future()

    def run(self, main: Main) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(HANG_SECONDS):
                await main()

        with asyncio.Runner(loop_factory=type(self).loop_factory) as runner:
            runner.run(bounded())

    @asynccontextmanager
    async def tasks(self) -> AsyncIterator[AsyncioTasks]:
        async with asyncio.TaskGroup() as group:
            yield AsyncioTasks(group)


class AsyncioTasks:
    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group

    def start(self, main: Main) -> Callable[[], object]:
        """Start a task and return what cancels it."""

        async def run() -> None:
            await main()

        return self._group.create_task(run()).cancel


class UvloopFace(AsyncioFace):
    """The asyncio face on uvloop."""

    name = "uvloop"
    loop_factory = uvloop.new_event_loop


Face = TrioFace | AsyncioFace
FACES: list[Face] = [TrioFace(), AsyncioFace(), UvloopFace()]
every_face = pytest.mark.parametrize("face", FACES, ids=[face.name for face in FACES])


def open_node(
    face: Face, address: str | None = "127.0.0.1:0", **settings: Any
) -> AbstractAsyncContextManager[Any]:
    """A plaintext node of the tests' cluster."""
    chosen: dict[str, Any] = {"cluster": CLUSTER, "node_id": "n", "tls": None, **settings}
    return face.zt.open_node(address, **chosen)  # type: ignore[no-any-return]


@asynccontextmanager
async def pair(face: Face, **settings: Any) -> AsyncIterator[tuple[Any, Any]]:
    """A listening node, and the peer another node has dialled it as."""
    client_node = open_node(face, None, node_id="client")
    async with open_node(face, node_id="server", **settings) as server, client_node as client:
        yield server, await client.connect(server.address)


def seeded_bytes(count: int) -> bytes:
    """Bytes that are the same in every run."""
    return random.Random(count).randbytes(count)


@every_face
def test_both_faces_have_the_same_names(face: Face) -> None:
    def public(module: Any) -> set[str]:
        named = {name: value for name, value in vars(module).items() if not name.startswith("_")}
        return {name for name, value in named.items() if not inspect.ismodule(value)}

    assert public(face.zt) == public(ztransport)
