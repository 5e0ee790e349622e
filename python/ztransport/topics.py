"""Topics of a broker: bounded queues in memory, one for each partition.

A partition numbers its messages from 0; the number is the message's *offset*. It keeps a message
until every present subscriber has acknowledged it, and keeps everything while it has none. So a
message that was acknowledged to its publisher outlives both connections, and a subscriber that
comes back is given again what it had not acknowledged.

Nothing here knows of connections: `ztransport.broker` puts these queues on the network.
"""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from trio.lowlevel import ParkingLot

import ztransport as zt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Partition", "Subscription", "Topics", "partition_of"]

TOPIC_BYTES_MAX: Final = 255
"""Bytes of a topic's name."""

PARTITIONS_MAX: Final = 4_096
"""Partitions of a topic."""

BAD_REQUEST: Final = 1
"""The code a request is rejected with whose topic or partition makes no sense."""


def partition_of(metadata: Mapping[str, bytes], partitions: int) -> int:
    """Return the partition that metadata asks for, from 0 to ``partitions`` - 1.

    ``partition`` names it in decimal; else ``key`` chooses it by its CRC-32, the same in every
    process and version; without either it is 0. Raises `Rejected` for a partition that is none.
    """
    if (number := metadata.get("partition")) is not None:
        if not (number.isdigit() and len(number) <= 9 and int(number) < partitions):
            raise zt.Rejected(BAD_REQUEST, f"a partition is a number below {partitions}")
        return int(number)
    key = metadata.get("key")
    return 0 if key is None else zlib.crc32(key) % partitions


@dataclass(eq=False, slots=True)
class Subscription:
    """One subscriber's place in a partition."""

    offset: int
    """The first message it has not acknowledged."""


class Partition:
    """The queue of one partition.

    ``messages_max`` and ``bytes_max`` bound it; bytes are those of the payloads.
    """

    def __init__(self, messages_max: int, bytes_max: int, subscriptions_max: int) -> None:
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._subscriptions_max = subscriptions_max
        self._messages: list[bytes] = []
        self._bytes = 0
        self._subscriptions: set[Subscription] = set()
        self._appended = ParkingLot()
        self._released = ParkingLot()
        self.begin = 0
        """The offset of the oldest message that is kept."""

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def subscribers_count(self) -> int:
        """Those who take part now."""
        return len(self._subscriptions)

    @property
    def end(self) -> int:
        """The offset that the next message gets."""
        return self.begin + len(self._messages)

    def append(self, batch: Sequence[bytes]) -> int:
        """Queue as many messages as there is room for, from the first; return how many."""
        count = min(len(batch), self._messages_max - len(self._messages))
        size = sum(map(len, islice(batch, count)))
        while size > self._bytes_max - self._bytes:
            count -= 1
            size -= len(batch[count])
        self._messages += batch[:count]
        self._bytes += size
        if count:
            self._appended.unpark_all()
        return count

    def read(self, offset: int, count_max: int) -> list[bytes]:
        """Return at most ``count_max`` messages from ``offset`` on, which stay queued."""
        start = offset - self.begin
        return self._messages[start : start + count_max]

    async def wait_beyond(self, offset: int) -> None:
        """Wait until there is a message at ``offset``."""
        while self.end <= offset:
            await self._appended.park()

    async def wait_delivered(self) -> None:
        """Wait until everything is acknowledged, or nobody is there to do so."""
        while self._messages and self._subscriptions:
            await self._released.park()

    @contextmanager
    def subscribe(self) -> Iterator[Subscription]:
        """Take part, from the oldest message that is kept, for the time of the block.

        Raises `Overloaded` if the partition has all the subscribers it may have.
        """
        if self.subscribers_count >= self._subscriptions_max:
            raise zt.Overloaded(f"the partition has {self._subscriptions_max} subscribers")
        subscription = Subscription(self.begin)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)
            self._release()

    def acknowledge(self, subscription: Subscription, offset: int) -> None:
        """A subscriber has consumed all messages before ``offset``."""
        subscription.offset = offset
        self._release()

    def _release(self) -> None:
        """Drop what every subscriber has consumed; the last to leave leaves all it has not."""
        needed = min((one.offset for one in self._subscriptions), default=self.begin)
        done = needed - self.begin
        if done:
            self._bytes -= sum(map(len, islice(self._messages, done)))
            del self._messages[:done]
            self.begin = needed
        self._released.unpark_all()


class Topics:
    """All topics of a broker, each made on first use.

    They live as long as this object, whichever broker serves them: one that is stopped in order
    leaves them as they are for the next.
    """

    def __init__(
        self,
        *,
        partitions: int = 1,
        topics_max: int = 256,
        queue_messages_max: int = 131_072,
        queue_bytes_max: int = 64 << 20,
        subscriptions_max: int = 1_024,
    ) -> None:
        """Every partition keeps at most ``queue_messages_max`` and ``queue_bytes_max``.

        Raises `ConfigurationError` for a number below 1, or more than 4,096 partitions of a topic.
        """
        bounds = (topics_max, queue_messages_max, queue_bytes_max, subscriptions_max)
        if min(bounds) < 1 or not 1 <= partitions <= PARTITIONS_MAX:
            raise zt.ConfigurationError(
                f"a topic has 1 to {PARTITIONS_MAX} partitions, and its bounds are at least 1"
            )
        self.partitions = partitions
        self._topics_max = topics_max
        self._bounds = (queue_messages_max, queue_bytes_max, subscriptions_max)
        self._topics: dict[str, list[Partition]] = {}

    def partition(self, topic: bytes, metadata: Mapping[str, bytes]) -> Partition:
        """Return the partition that a topic's name, in UTF-8, and metadata ask for.

        Raises `Rejected` for a name or partition that is none, `LimitExceeded` for a topic beyond
        ``topics_max``.
        """
        number = partition_of(metadata, self.partitions)
        name = _topic_name(topic)
        if name not in self._topics:
            if len(self._topics) >= self._topics_max:
                raise zt.LimitExceeded(f"the broker has {self._topics_max} topics: topics_max")
            self._topics[name] = [Partition(*self._bounds) for _ in range(self.partitions)]
        return self._topics[name][number]

    def __iter__(self) -> Iterator[Partition]:
        return (partition for topic in self._topics.values() for partition in topic)


def _topic_name(topic: bytes) -> str:
    try:
        name = bytes(topic).decode()
    except UnicodeDecodeError:
        name = ""
    if not 0 < len(topic) <= TOPIC_BYTES_MAX or not name:
        raise zt.Rejected(BAD_REQUEST, f"a topic is 1 to {TOPIC_BYTES_MAX} bytes of UTF-8")
    return name
