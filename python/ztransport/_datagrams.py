"""A UDP socket on either host loop: names are looked up, and what cannot be sent is counted."""

from __future__ import annotations

import ipaddress
import socket
import time
from typing import TYPE_CHECKING, Any, Final

from ztransport._errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

DATAGRAM_BYTES_MAX: Final = 65_535
DATAGRAMS_PER_TURN_MAX: Final = 64
"""Datagrams taken before other tasks have their turn."""

NAMES_MAX: Final = 1_024
NAME_SECONDS_MAX: Final = 30.0
"""Addresses of looked-up names that are remembered, and for how long."""

LOOKUPS_MAX: Final = 64
"""Datagrams that wait for a name at once; further ones are dropped, as a network may."""


class Datagrams:
    """Sends datagrams to ``host:port`` and reads what came.

    Raises `ConfigurationError` if the port is taken.
    """

    def __init__(self, background: Any, host: str, port: int) -> None:
        self.socket = _bound(host, port)
        self.received = self.bytes_received = self.bytes_sent = self.lost = 0
        self._background = background
        self._names: dict[tuple[str, int], tuple[Any, float]] = {}
        self._lookups = 0

    def read(self) -> Iterator[bytes]:
        """Yield what waits, up to the share of one turn."""
        for _ in range(DATAGRAMS_PER_TURN_MAX):
            try:
                data = self.socket.recv(DATAGRAM_BYTES_MAX)
            except OSError:
                # Nothing is left, or an earlier datagram of ours came back as unreachable.
                return
            self.received += 1
            self.bytes_received += len(data)
            yield data

    def send(self, host: str, port: int, data: bytes) -> None:
        """Send a datagram, or look its host's name up first."""
        if (to := self._destination(host, port)) is not None:
            self._send_to(to, data)
        elif self._lookups < LOOKUPS_MAX:
            self._lookups += 1
            self._background.start(self._send_by_name, host, port, data)
        else:
            self.lost += 1

    def _send_to(self, to: Any, data: bytes) -> None:
        try:
            self.socket.sendto(data, to)
            self.bytes_sent += len(data)
        except OSError:
            self.lost += 1

    def _destination(self, host: str, port: int) -> Any:
        try:
            return (str(ipaddress.ip_address(host)), port)
        except ValueError:
            found, until = self._names.get((host, port), (None, 0.0))
            return found if time.monotonic() < until else None

    async def _send_by_name(self, host: str, port: int, data: bytes) -> None:
        try:
            found = await self._background.resolve(host, port)
        except OSError:
            self.lost += 1
        else:
            self._remember(host, port, found[0])
            self._send_to(found[0], data)
        finally:
            self._lookups -= 1

    def _remember(self, host: str, port: int, to: Any) -> None:
        self._names.pop((host, port), None)
        while len(self._names) >= NAMES_MAX:
            self._names.pop(next(iter(self._names)))
        self._names[host, port] = (to, time.monotonic() + NAME_SECONDS_MAX)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        text = f"membership needs the UDP port of the node's number, {port}: {error.strerror}"
        raise ConfigurationError(f"{text}; open the node on another port") from None
    return bound


def host_port(address: str) -> tuple[str, int]:
    """Take ``host:port`` or ``[v6]:port`` apart. Raises `ConfigurationError` for anything else."""
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise ConfigurationError(f"a member's address is host:port, not {address!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)
