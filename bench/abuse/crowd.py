"""Many sockets at once that wait for the server to end them."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable

READ_BYTES = 4096


def source(number: int) -> str:
    """An address of 127/8 that nobody else dials from."""
    return f"127.0.{1 + number // 250}.{1 + number % 250}"


class Crowd:
    """Open sockets with the time each was added, and the age each had when the server ended it."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.ages_s: list[float] = []
        self.answered = 0

    def add(self, sock: socket.socket) -> None:
        """Watch a socket from now on."""
        sock.setblocking(False)
        self._selector.register(sock, selectors.EVENT_READ, time.monotonic())

    def sockets(self) -> list[socket.socket]:
        """Those that are still open."""
        found = [key.fileobj for key in self._selector.get_map().values()]
        return [sock for sock in found if isinstance(sock, socket.socket)]

    def wait(self, seconds: float, tick: Callable[[int], None] | None = None) -> None:
        """Wait until all are gone, at most so long; `tick` is called once a second from 1."""
        begin, ticks = time.monotonic(), 0
        while self._selector.get_map() and time.monotonic() - begin < seconds:
            due = begin + ticks + 1 - time.monotonic()
            if due <= 0:
                ticks += 1
                if tick is not None:
                    tick(ticks)
                continue
            for key, _ in self._selector.select(due):
                self._read(key)

    def _read(self, key: selectors.SelectorKey) -> None:
        sock = key.fileobj
        assert isinstance(sock, socket.socket)  # only sockets are added
        try:
            data = sock.recv(READ_BYTES)
        except OSError:
            data = b""
        self.answered += bool(data)
        if not data:
            self.ages_s.append(time.monotonic() - key.data)
            self._selector.unregister(sock)
            sock.close()

    def close(self) -> None:
        """Close all that are left."""
        for sock in self.sockets():
            self._selector.unregister(sock)
            sock.close()
