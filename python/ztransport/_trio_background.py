"""Work beside the block that began it, under Trio."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import spawn_system_task, wait_readable

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable


class Background:
    """Tasks, one timer and one socket, until it is closed.

    They run in a system task, so that what a block raises leaves it as it is. What a task raises
    is handed to ``failed``.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._deadline = math.inf
        self._sleep: trio.CancelScope | None = None
        self._nursery: trio.Nursery | None = None
        self._started = trio.Event()
        self._ended = trio.Event()

    async def open(
        self, due: Callable[[], None], source: socket.socket, readable: Callable[[], None]
    ) -> None:
        """Call ``due`` when the timer ends, and ``readable`` when the socket can be read."""
        spawn_system_task(self._serve)
        await self._started.wait()
        self.start(self._time, due)
        self.start(self._read, source, readable)

    async def close(self) -> None:
        """Cancel the tasks and wait for their end, whatever is cancelled around."""
        if self._nursery is None:
            return
        self._nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await self._ended.wait()

    def start(self, function: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Start a task."""
        assert self._nursery is not None
        self._nursery.start_soon(self._guard, function, *arguments)

    def arm(self, seconds: float | None) -> None:
        """Let the timer end in so many seconds; none stops it."""
        self._deadline = math.inf if seconds is None else trio.current_time() + seconds
        if self._sleep is not None:
            self._sleep.deadline = self._deadline

    @staticmethod
    async def resolve(host: str, port: int) -> list[Any]:
        """Look a name up. Raises `OSError`."""
        found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_DGRAM)
        return [entry[4] for entry in found]

    async def _serve(self) -> None:
        try:
            async with trio.open_nursery() as self._nursery:
                self._started.set()
                await trio.sleep_forever()
        finally:
            self._ended.set()

    async def _guard(self, function: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        try:
            await function(*arguments)
        except Exception as error:
            self._failed(error)

    async def _time(self, due: Callable[[], None]) -> None:
        while True:
            with trio.CancelScope() as self._sleep:
                self._sleep.deadline = self._deadline
                await trio.sleep_forever()
            self._deadline = math.inf
            due()

    async def _read(self, source: socket.socket, readable: Callable[[], None]) -> None:
        while True:
            await wait_readable(source)
            readable()
