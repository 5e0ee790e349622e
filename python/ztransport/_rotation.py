"""The files of a node's TLS while it runs: looked at, loaded again, put in force or refused.

What blocks is for a worker thread: file systems may be remote, and a password may take a second to
become a key.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Final, TypeAlias

from ztransport._errors import ConfigurationError
from ztransport._ztransport import NodeCore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from ztransport._ztransport import Material
    from ztransport.security import TLSConfig

LOOK_INTERVAL_SECONDS: Final = 0.25
"""Time between two looks at the files of a node."""

RETRY_INTERVAL_SECONDS: Final = 10.0
"""Files that could not be used are tried again after this even if they did not change: a chain that
is not valid yet may be by then."""

Stamp: TypeAlias = tuple[int, ...] | None

_logger = logging.getLogger("ztransport")


async def begin(
    tls: TLSConfig | None, in_thread: Callable[[Callable[[], Material]], Awaitable[Material]]
) -> tuple[Rotation | None, Material | None]:
    """Load what a node opens with, in a thread: a key may take seconds, in which others go on.

    Raises what `TLSConfig.load` does.
    """
    if tls is None:
        return None, None
    rotation = Rotation(tls)
    return rotation, await in_thread(rotation.load)


class Rotation:
    """What a node's certificates, key, trust and lists are loaded from, and whether it changed."""

    def __init__(self, tls: TLSConfig) -> None:
        self._tls = tls
        self.files = tls.files()
        # Before the first load: what changes while it runs is seen at the first look.
        self._seen = self._stamps()
        self._retry_at = math.inf
        self._refused: str | None = None

    def load(self) -> Material:
        """Fetch and check everything again. For a worker thread.

        Raises what `TLSConfig.load` does.
        """
        return self._tls.load()

    def look(self) -> Material | None:
        """Load everything if a file has changed since the last look. For a worker thread.

        Raises what `load` does; files that could not be used are tried again when they change.
        """
        stamps = self._stamps()
        if stamps == self._seen and time.monotonic() < self._retry_at:
            return None
        self._seen, self._retry_at = stamps, math.inf
        return self.load()

    def publish(self, node: NodeCore, material: Material) -> None:
        """Put what was loaded in force. For the loop's thread.

        Raises `ConfigurationError` if the node cannot use it.
        """
        ended = node._publish_tls(material)
        self._refused = None
        _logger.info(
            "node %r: certificates, key and trust were loaded again; %d connections of revoked "
            "certificates were closed",
            node.node_id,
            ended,
        )

    def refuse(self, node: NodeCore, error: Exception) -> None:
        """Say, once for each reason, that what was found is not used. For the loop's thread."""
        node._count_tls_failure()
        self._retry_at = time.monotonic() + RETRY_INTERVAL_SECONDS
        if (reason := f"{type(error).__name__}: {error}") != self._refused:
            self._refused = reason
            _logger.warning(
                "node %r keeps its certificates, key and trust: %s", node.node_id, reason
            )

    def _stamps(self) -> list[Stamp]:
        return [_stamp(file) for file in self.files]


def _stamp(file: Path) -> Stamp:
    """Tell a file from the one that was there before, through whatever links lead to it."""
    try:
        found = file.stat()
    except OSError:
        return None
    times = (found.st_mtime_ns, found.st_ctime_ns)
    return (found.st_dev, found.st_ino, found.st_size, *times)


class Rotating(NodeCore):
    """A node that takes other certificates, keys and trust while it runs."""

    _rotation: Rotation | None = None

    async def reload_tls(self) -> None:
        """Fetch certificates, key, trust and revocation lists again, and put them in force.

        Both for listening and for dialling, from the next handshake on. Connections go on, but for
        those of certificates that are revoked by now: they end with `CertificateRevoked`. Functions
        that give bytes are called again, in a worker thread. Files need no call: they are looked at
        all the time. Cancelled, it has no effect.

        Raises `ConfigurationError` as opening the node would, or what a function raised; the old
        ones stay in force then, which is logged and counted.
        """
        if self._rotation is None:
            raise ConfigurationError("the node was opened without TLS: there is nothing to reload")
        await self._renew(self._rotation.load)

    async def _renew(self, load: Callable[[], Material | None]) -> None:
        rotation = self._rotation
        assert rotation is not None
        try:
            if (material := await self._in_thread(load)) is not None:
                rotation.publish(self, material)
        except Exception as error:
            rotation.refuse(self, error)
            raise

    async def _rotate(self) -> None:
        """Look at the files for as long as the node is open."""
        assert self._rotation is not None
        while True:
            await self._sleep(LOOK_INTERVAL_SECONDS)
            # It is said and counted by then, and the node goes on with what it has.
            with contextlib.suppress(Exception):
                await self._renew(self._rotation.look)

    @abstractmethod
    async def _in_thread(self, load: Callable[[], Material | None]) -> Material | None:
        """Load in a thread, one at a time. Cancelled, what it finds is dropped."""

    @staticmethod
    @abstractmethod
    async def _sleep(seconds: float, /) -> None:
        """Let other tasks run for so long."""
