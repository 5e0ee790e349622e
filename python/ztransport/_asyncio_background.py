"""Work beside the block that began it, under asyncio."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Background:
    """Tasks, one timer and one socket, until it is closed.

    What a task or a callback raises is handed to ``failed``.
    """

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due: Callable[[], None] = lambda: None
        self._source: socket.socket | None = None

    async def open(
        self, due: Callable[[], None], source: socket.socket, readable: Callable[[], None]
    ) -> None:
        """Call ``due`` when the timer ends, and ``readable`` when the socket can be read."""
        self._due, self._source = due, source
        self._loop.add_reader(source.fileno(), self._call, readable)

    async def close(self) -> None:
        """Cancel the tasks and wait for their end, whatever is cancelled around."""
        if self._source is None:
            return
        self._loop.remove_reader(self._source.fileno())
        self.arm(None)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.shield(asyncio.wait(set(self._tasks)))

    def start(self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
        """Start a task."""
        task = self._loop.create_task(self._guard(function, *arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def arm(self, seconds: float | None) -> None:
        """Let the timer end in so many seconds; none stops it."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if seconds is not None:
            self._timer = self._loop.call_later(seconds, self._call, self._due)

    @staticmethod
    async def resolve(host: str, port: int) -> list[Any]:
        """Look a name up. Raises `OSError`."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        return [entry[4] for entry in found]

    async def _guard(
        self, function: Callable[..., Coroutine[Any, Any, None]], *arguments: Any
    ) -> None:
        try:
            await function(*arguments)
        except Exception as error:
            self._failed(error)

    def _call(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as error:
            self._failed(error)
