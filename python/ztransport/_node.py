"""Nodes and peers, the same for every host loop.

A face derives its classes from these and adds the one thing that differs: how to wait.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakSet

from ztransport import security
from ztransport._errors import ConfigurationError
from ztransport._rotation import Rotating
from ztransport._stream import Stream, Subscription, Waits
from ztransport._ztransport import Engine, Link, Message, Waiter
from ztransport.config import (
    DRAIN_TIMEOUT_SECONDS,
    REQUEST_TIMEOUT_SECONDS,
    SUBSCRIPTION_BUFFER_BYTES,
    Limits,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import datetime
    from typing import TypeAlias

    from ztransport._errors import Error
    from ztransport._stream import Payload
    from ztransport.config import Accept, Dial, Protocol, ZeebeCompression

    Metadata: TypeAlias = Mapping[str, bytes]
    Handler: TypeAlias = Callable[[Message], Payload | Awaitable[Payload | None] | None]

SUBJECT_BYTES_MAX: Final = 255
RESERVED_PREFIX: Final = "zt/"
LOG_INTERVAL_SECONDS: Final = 1.0

_logger = logging.getLogger("ztransport")

# Sequence numbers and nonces must not be shared by two processes: the child refuses to go on.
os.register_at_fork(after_in_child=Engine.forked)


class Peer(Link, Waits):
    """The other side of a connection.

    A peer that was dialled with ``pooled=True`` is dialled again whenever its connection is lost;
    any other is gone with its connection.
    """

    __slots__ = ()

    @abstractmethod
    async def request(
        self,
        subject: str,
        payload: Payload,
        *,
        timeout: float | None = REQUEST_TIMEOUT_SECONDS,
        metadata: Metadata | None = None,
    ) -> bytes:
        """Ask the peer and return its answer.

        ``timeout`` is in seconds and travels with the request; under Trio the deadline of the
        scopes around the call does too. While the peer is dialled again the call waits.

        Cancelling tells the peer, whose handler is cancelled; an answer that comes nevertheless is
        dropped. Whether the handler had done its work is not known then.

        Raises `DeadlineExceeded`, `ConnectionLost`, or what the peer answered: `NoHandler`,
        `HandlerFailure`, `Rejected`, `NotAuthorized`, `Overloaded`, `ShuttingDown`. `Overloaded`
        is raised here if too many calls wait for the peer already (`Limits.pending_calls_max`).
        """

    async def request_many(
        self,
        subject: str,
        payloads: Iterable[Payload],
        *,
        timeout: float | None = REQUEST_TIMEOUT_SECONDS,
        metadata: Metadata | None = None,
    ) -> list[bytes | Error]:
        """Ask many things at once and return the answers in order, each `bytes` or an `Error`.

        One wait for all makes this the fastest way to ask. Cancelling cancels every request that
        is not answered yet.
        """
        batch = self._request_many(subject, payloads, timeout, metadata)
        if isinstance(batch, Waiter):
            return cast("list[bytes | Error]", await self._wait(batch))
        return batch

    async def send(
        self, subject: str, payload: Payload, *, metadata: Metadata | None = None
    ) -> None:
        """Send a one-way message, waiting for room if there is none.

        Returns when the message is queued, not when it has arrived. It does not yield to other
        tasks unless it waits. Cancelled while it waits, it has sent nothing.
        """
        await self.send_many(subject, [payload], metadata=metadata)

    async def send_many(
        self,
        subject: str,
        payloads: Iterable[Payload],
        *,
        metadata: Metadata | None = None,
    ) -> None:
        """Send one-way messages in order, waiting for room as often as needed.

        Cancelled while it waits, it has sent some of the messages and not the rest.
        """
        items, sent = list(payloads), 0
        while (sent := self._send_many(subject, items, sent, metadata)) < len(items):
            await self.wait_room(subject)

    async def wait_room(self, subject: str) -> None:
        """Wait until a message on ``subject`` may be sent again after `WouldBlock`.

        Returns at once if none was refused since there last was room. Cancelling has no effect.
        """
        if (waiter := self._room(subject)) is not None:
            await self._wait(waiter)

    def open_stream(
        self, subject: str, payload: Payload = b"", *, metadata: Metadata | None = None
    ) -> Stream:
        """Return a stream to be used as ``async with peer.open_stream(…) as stream``.

        ``payload`` is what the peer's handler finds in ``stream.payload``.
        """
        return self._stream_class(self, subject, payload, metadata)

    async def wait_closed(self) -> None:
        """Wait until the peer is gone for good. Cancelling has no effect on the peer."""
        if (waiter := self._closing()) is not None:
            await self._wait(waiter)

    async def aclose(self) -> None:
        """Close the connection in order and wait until it is gone.

        What waits for this peer fails with `Closed`. Cancelled, it goes on closing.
        """
        self._close()
        await self.wait_closed()

    @property
    def tls(self) -> security.TLSSession | None:
        """What TLS agreed on; none in plaintext or before the first connection."""
        facts = self._tls()
        return None if facts is None else security.session(facts)

    @property
    def identity(self) -> security.Identity | None:
        """Whom the peer's verified certificate names; none if it showed none."""
        tls = self.tls
        return None if tls is None else tls.identity

    @property
    def certificate_not_after(self) -> datetime | None:
        """When the peer's certificate ends to be valid; none if it showed none."""
        tls = self.tls
        return None if tls is None else tls.certificate_not_after

    @property
    @abstractmethod
    def _stream_class(self) -> type[Stream]:
        """The face's class of streams."""


class Node(Rotating, Waits):
    """One member of a cluster: it listens, dials, and answers what is asked of it."""

    address: str | None = None
    """The address it listens on, with the port that was bound; none if it only dials."""

    @functools.cached_property
    def _memberships(self) -> WeakSet[Any]:
        """What ends with this node, if it has not ended before."""
        return WeakSet()

    def handle(self, subject: str, handler: Handler) -> None:
        """Answer requests and one-way messages on ``subject`` with what ``handler`` returns.

        A plain function runs inside the engine's turn, which is the fastest; it must not wait, and
        one that takes long is counted in the statistics and logged. An ``async def`` runs in a
        task of its own and is cancelled when its caller gives up. A handler set before for the
        same subject is replaced.
        """
        self._handle(_subject(subject), handler, _is_async(handler))

    def handle_prefix(self, prefix: str, handler: Handler) -> None:
        """Do the same for all subjects that begin with ``prefix``.

        The longest prefix wins, and a subject's own handler over any prefix.
        """
        self._handle_prefix(prefix, handler, _is_async(handler))

    def handle_stream(self, subject: str, handler: Callable[[Any], Awaitable[None]]) -> None:
        """Serve streams on ``subject``: ``async def handler(stream)``, each in a task.

        When it returns the stream is finished; when it raises the stream is reset. A reset by the
        peer does not cancel it: its next use of the stream raises.
        """
        self._handle_stream(_subject(subject), handler)

    def subscribe(
        self, subject: str, *, buffer_bytes_max: int = SUBSCRIPTION_BUFFER_BYTES
    ) -> Subscription:
        """Take the one-way messages of a subject; a subject has one subscriber at a time.

        One sender may have its window of messages waiting here (`Limits.subject_window_bytes`);
        ``buffer_bytes_max`` bounds all senders together, and is never less than one window. What
        arrives beyond it is dropped and counted as ``overflowed``.

        Raises `ConfigurationError` if the subject has a subscriber.
        """
        subscription = self._subscription_class(self, _subject(subject), buffer_bytes_max)
        self._subscribe(subject, subscription)
        return subscription

    async def connect(
        self, address: str, *, pooled: bool = True, protocol: Protocol = "zt/1"
    ) -> Any:
        """Dial ``host:port``, ``[v6]:port`` or ``unix:path``; return when the peer has greeted.

        With ``pooled`` the same address gives the same peer, which is dialled again whenever its
        connection is lost. Without, the peer has its own connection and is gone with it.

        ``protocol="zeebe"`` dials a Zeebe node, or a node that takes Zeebe's protocol. Such a peer
        can be asked and sent to, and knows no streams, metadata or cancelling: `NotSupported` is
        raised for the first two, and a cancelled request is only forgotten here.

        Cancelled, a pooled dial goes on for the next caller; any other is given up.

        Raises `ConnectFailed`, `WrongCluster`, `HandshakeTimeout` or another `TLSError`.
        """
        peer = self._dial(address, pooled, protocol)
        try:
            if (waiter := peer._opening()) is not None:
                await self._wait(waiter)
        except BaseException:
            if not pooled:
                peer._close()
            raise
        return peer

    async def drain(self, timeout: float = DRAIN_TIMEOUT_SECONDS) -> bool:
        """Take nothing new, tell the peers, and finish what runs for at most ``timeout`` seconds.

        Returns whether all was finished. Cancelled, the node stays in this state.
        """
        self._drain()
        waiter = self._drained()
        return waiter is None or await self._wait_bounded(waiter, timeout, shield=False)

    async def _shut(self, timeout: float) -> None:
        """End the node: drain it, whatever is cancelled around, then cut what is left."""
        self._drain()
        try:
            if (waiter := self._drained()) is not None:
                await self._wait_bounded(waiter, timeout, shield=True)
        finally:
            self._close()
            for membership in tuple(self._memberships):
                membership._node_closed()
            # Whoever still waits for this node's peers learns of its end here.
            self.engine.turn()

    @staticmethod
    @abstractmethod
    async def _wait_bounded(waiter: Waiter, timeout: float, *, shield: bool) -> bool:
        """Wait for at most ``timeout`` seconds; return whether the waiter was resumed."""

    @property
    @abstractmethod
    def _background_class(self) -> type[Any]:
        """The face's class of work beside the caller's."""

    @property
    @abstractmethod
    def _subscription_class(self) -> type[Subscription]:
        """The face's class of subscriptions."""


def _subject(name: str) -> str:
    if not 0 < len(name.encode()) <= SUBJECT_BYTES_MAX:
        raise ConfigurationError(f"a subject has 1 to {SUBJECT_BYTES_MAX} bytes, not {name!r}")
    if name.startswith(RESERVED_PREFIX):
        raise ConfigurationError(f"subjects below {RESERVED_PREFIX} are the package's own")
    return name


def _is_async(handler: object) -> bool:
    if isinstance(handler, functools.partial):
        return _is_async(handler.func)
    call = getattr(handler, "__call__", None)  # noqa: B004
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


class RateLimited:
    """Logs at most one line of a kind in an interval, with how many were left out."""

    def __init__(self) -> None:
        self._meters: dict[object, _Meter] = {}

    def failed(self, subject: str, error: BaseException) -> None:
        """A handler raised something of its own."""
        if (meter := self._meter("handlers")).may_log():
            _logger.error("the handler of %r failed%s", subject, meter.rest(), exc_info=error)

    def slow(self, subject: str, milliseconds: int) -> None:
        """A sync handler kept everything else waiting."""
        if (meter := self._meter("handlers")).may_log():
            _logger.warning(
                "the sync handler of %r took %d ms%s", subject, milliseconds, meter.rest()
            )

    def refused(self, error: Error) -> None:
        """A listener turned a dialer away, or was turned away; the record has the ``error``."""
        kind = type(error)
        if (meter := self._meter(kind)).may_log():
            words = kind.__name__, error, meter.rest()
            _logger.warning("refused: %s: %s%s", *words, extra={"error": error})

    def _meter(self, kind: object) -> _Meter:
        return self._meters.setdefault(kind, _Meter())


class _Meter:
    """When a line of one kind was logged last, and how many were left out since."""

    def __init__(self) -> None:
        self._last = -LOG_INTERVAL_SECONDS
        self._left_out = 0

    def may_log(self) -> bool:
        now = time.monotonic()
        if now - self._last < LOG_INTERVAL_SECONDS:
            self._left_out += 1
            return False
        self._last = now
        return True

    def rest(self) -> str:
        left_out, self._left_out = self._left_out, 0
        return f" ({left_out} more like this were left out)" if left_out else ""


def _roles(roles: Sequence[str]) -> list[str]:
    if isinstance(roles, str):
        raise ConfigurationError("roles is a tuple; put the one item into (…,)")
    return list(roles)


def settings(
    *,
    cluster: str,
    node_id: str,
    roles: Sequence[str],
    tls: security.TLSConfig | None,
    advertise: str | None,
    limits: Limits | None,
    handler_budget_ms: int,
    expose_errors: bool,
    accept: Accept | None,
    dial: Dial | None,
    protocols: Sequence[Protocol],
    zeebe_compression: ZeebeCompression,
) -> dict[str, Any]:
    """Check what a node is opened with, before anything is opened."""
    return {
        "cluster": cluster,
        "node_id": node_id,
        "advertise": advertise or "",
        "roles": _roles(roles),
        "limits": (limits or Limits()).by_name(),
        "handler_budget_ms": handler_budget_ms,
        "expose_errors": expose_errors,
        "accept": accept or (tls and tls.accept),
        "dial": dial or (tls and tls.dial),
        "protocols": list(protocols),
        "zeebe_compression": zeebe_compression,
    }
