"""Streams and subscriptions, the same for every host loop."""

from __future__ import annotations

import functools
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ztransport._errors import WouldBlock
from ztransport._ztransport import Inbox, Message, StreamCore, Waiter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterable
    from types import TracebackType
    from typing import Self, TypeAlias

    Payload: TypeAlias = bytes | bytearray | memoryview


class Waits:
    """What can wait for the engine."""

    __slots__ = ()

    @staticmethod
    @abstractmethod
    async def _wait(waiter: Waiter, /) -> Any:
        """Sleep until the engine resumes the waiter; a cancellation withdraws it."""


class Done:
    """The result of something that has been done: it may be awaited, and need not be."""

    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        """Return at once."""
        yield from ()


class Stream(StreamCore, Waits):
    """Messages both ways on one subject, each way with its own credit and end.

    Iterating yields the peer's messages as `bytes` until the peer finishes. Asking for the next
    message acknowledges the ones before. Leaving the block before both sides have finished resets
    the stream: the peer's next use of it raises. A handler that returns finishes its side.
    """

    __slots__ = ()

    async def __aenter__(self) -> Self:
        """Open the stream at the peer, waiting for a connection if there is none."""
        while True:
            try:
                self._open()
            except WouldBlock:
                if (waiter := self.peer._room("")) is not None:
                    await self._wait(waiter)
            else:
                return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the stream; what is not over yet is reset."""
        self._leave()

    def __aiter__(self) -> Self:
        """Iterate over the peer's messages."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next message. Cancelled while it waits, it has taken none."""
        while (chunk := self._next()) is None:
            await self._wait(self._readable())
        return chunk

    def batches(self, *, hold: bool = False) -> Batches[bytes]:
        """Iterate over lists of all messages that have arrived, which is cheaper.

        With ``hold`` asking for more acknowledges nothing: `acknowledge` does, once the messages
        are where they are safe. The peer's window bounds what is held; a stream that is left with
        messages held is reset.
        """
        take = functools.partial(self._batch, hold)
        return Batches(take, self._readable, self._wait)

    async def send(self, payload: Payload) -> None:
        """Send a message, waiting for room if there is none.

        It does not yield to other tasks unless it waits. Cancelled while it waits, it has sent
        nothing.
        """
        await self.send_many([payload])

    async def send_many(self, payloads: Iterable[Payload]) -> None:
        """Send messages in order, waiting for room as often as needed.

        Cancelled while it waits, it has sent some of the messages and not the rest.
        """
        items, sent = list(payloads), 0
        while (sent := self._send_many(items, sent)) < len(items):
            await self.wait_room()

    def send_many_nowait(self, payloads: list[bytes] | list[Payload]) -> int:
        """Send messages in order while there is room; return how many were sent.

        After fewer than all of them, `wait_room` waits for room.
        """
        return self._send_many(payloads, 0)

    async def wait_room(self) -> None:
        """Wait until a message may be sent again after a refusal. Cancelling has no effect."""
        if (waiter := self._room()) is not None:
            await self._wait(waiter)

    def finish(self) -> Done:
        """Say that this side sends no more; the peer's side goes on.

        It takes effect at once; the result may be awaited.
        """
        self._finish()
        return Done()

    async def acknowledged(self, count: int) -> None:
        """Wait until the peer has consumed ``count`` of the messages sent on this stream.

        Cancelling has no effect on the stream.
        """
        while (waiter := self._acknowledged(count)) is not None:
            await self._wait(waiter)

    def acknowledgements(self) -> Acknowledgements:
        """Iterate over how many messages the peer has consumed, each time it is more."""
        return Acknowledgements(self)

    async def aclose(self) -> None:
        """Leave the stream as the end of its block does."""
        self._leave()


class Acknowledgements:
    """An asynchronous iterator over a growing count. It misses none, however late it begins."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._count = 0

    def __aiter__(self) -> Self:
        """Iterate over the counts."""
        return self

    async def __anext__(self) -> int:
        """Return the next count. Cancelled while it waits, it has taken none."""
        await self._stream.acknowledged(self._count + 1)
        self._count = self._stream.acknowledged_count
        return self._count


Item = TypeVar("Item")


class Batches(Generic[Item]):
    """An asynchronous iterator over everything that has arrived, list by list."""

    def __init__(
        self,
        take: Callable[[], list[Item] | None],
        readable: Callable[[], Waiter],
        wait: Callable[[Waiter], Awaitable[Any]],
    ) -> None:
        self._take = take
        self._readable = readable
        self._wait = wait

    def __aiter__(self) -> Self:
        """Iterate over the lists."""
        return self

    async def __anext__(self) -> list[Item]:
        """Return the next list, never an empty one. Cancelled while it waits, it took nothing."""
        while (batch := self._take()) is None:
            await self._wait(self._readable())
        return batch


class Singles:
    """An asynchronous iterator over messages, one by one."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._batch: list[Message] = []

    def __aiter__(self) -> Self:
        """Iterate over the messages."""
        return self

    async def __anext__(self) -> Message:
        """Return the next message. Cancelled while it waits, it has taken none."""
        if not self._batch:
            self._batch = await self._subscription.__anext__()
            self._batch.reverse()
        return self._batch.pop()


class Subscription(Inbox, Waits):
    """The one-way messages of one subject, from all peers.

    Iterating yields lists of everything that has arrived. What is taken gives its senders their
    credit back, so a slow reader slows the senders of this subject and nobody else.
    """

    __slots__ = ()

    def __aiter__(self) -> Self:
        """Iterate over lists of messages."""
        return self

    async def __anext__(self) -> list[Message]:
        """Return everything that has arrived. Cancelled while it waits, it has taken nothing."""
        while (batch := self._messages()) is None:
            await self._wait(self._readable())
        return batch

    def payloads(self) -> Batches[bytes]:
        """Iterate over lists of payloads, which is the cheapest way.

        From the first list on this subscription keeps nothing but payloads.
        """
        return Batches(self._payloads, self._readable, self._wait)

    def messages(self) -> Singles:
        """Iterate over messages one by one."""
        return Singles(self)

    async def aclose(self) -> None:
        """End the subscription; iterating over it ends."""
        self.close()
