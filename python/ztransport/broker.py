"""A broker: it answers requests, queues what is published, and pushes it to subscribers.

Here is how to write one on `ztransport`; copy it. The queues are in `ztransport.topics`. It is used
like this:

    async with open_broker("0.0.0.0:9000", cluster="c", node_id="b1", tls=tls) as broker:
        broker.node.handle("orders.count", lambda message: b"%d" % len(orders))
        await trio.sleep_forever()

**Metadata.** ``key`` (any bytes) or ``partition`` (a decimal number) choose the partition of a
topic, else it is 0. ``topic`` names the topic of a request ``publish``.

**Requests.** What `Broker.node` handles, and ``publish``: the payload is queued, the reply is its
offset (8 bytes, little-endian). A full queue answers `Overloaded`.

**Stream ``publish``**, opened with the name of a topic: each message is queued. It is acknowledged
when it is in the queue, which survives the connection and an orderly stop but not the process. When
the queue is full, what fitted is acknowledged and the stream ends with `Overloaded`: what follows
the acknowledged count is not in the queue.

**Stream ``subscribe``**, opened with the name of a topic: the first message is the offset of the
second (8 bytes, little-endian), and from then on each is one from the queue. The subscriber's
acknowledgement releases them: without it the next subscriber gets them again, so after a lost
connection a message may come twice and the offset tells. A subscriber without credit for longer
than ``credit_timeout`` is cut off with `Overloaded`: it keeps the queue full for all others.
"""

from __future__ import annotations

import sys
from contextlib import asynccontextmanager, contextmanager
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

import trio

import ztransport as zt
from ztransport import serving
from ztransport.config import DRAIN_TIMEOUT_SECONDS
from ztransport.topics import Topics

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Iterator, Sequence

    from ztransport.topics import Partition, Subscription

__all__ = ["OFFSET", "Broker", "main", "open_broker"]

OFFSET: Final = Struct("<Q")
"""An offset as it is sent."""

CREDIT_TIMEOUT_SECONDS: Final = 5.0
"""How long a subscriber may give no credit unless told otherwise."""

PUSH_MESSAGES_MAX: Final = 4_096
"""Messages that are looked at in one go for one subscriber."""

QUEUE_FULL: Final = "the queue is full: publish again later"


class Broker:
    """Topics on a node. Its methods are the handlers; `open_broker` makes one."""

    def __init__(self, node: zt.Node, topics: Topics, credit_timeout: float) -> None:
        self.node = node
        """The node it serves, for handlers of one's own."""
        self.topics = topics
        self._credit_timeout = credit_timeout
        self._is_draining = False
        self._publishers: set[trio.CancelScope] = set()
        self._subscribers: set[trio.CancelScope] = set()
        node.handle("publish", self._publish_one)
        node.handle_stream("publish", self._publish)
        node.handle_stream("subscribe", self._subscribe)

    def _publish_one(self, message: zt.Message) -> bytes:
        self._refuse_when_draining()
        metadata = message.metadata
        partition = self.topics.partition(metadata.get("topic", b""), metadata)
        offset = partition.end
        if not partition.append([message.payload]):
            raise zt.Overloaded(QUEUE_FULL)
        return OFFSET.pack(offset)

    async def _publish(self, stream: zt.Stream) -> None:
        self._refuse_when_draining()
        partition = self.topics.partition(stream.payload, stream.metadata)
        with _one_of(self._publishers) as scope:
            await _queue(stream, partition)
        if scope.cancelled_caught:
            self._refuse_when_draining()

    async def _subscribe(self, stream: zt.Stream) -> None:
        self._refuse_when_draining()
        partition = self.topics.partition(stream.payload, stream.metadata)
        with _one_of(self._subscribers), partition.subscribe() as subscription:
            start = subscription.offset
            await stream.send(OFFSET.pack(start))
            async with serving.tasks() as tasks:
                tasks.start_soon(_until_finished, stream, tasks.cancel_scope)
                tasks.start_soon(_release, stream, partition, subscription)
                await self._push(stream, partition, start)

    async def _push(self, stream: zt.Stream, partition: Partition, offset: int) -> None:
        """Send what is queued from ``offset`` on, as far as the subscriber gives credit."""
        while True:
            await partition.wait_beyond(offset)
            messages = partition.read(offset, PUSH_MESSAGES_MAX)
            sent = stream.send_many_nowait(messages)
            offset += sent
            if sent < len(messages):
                await self._wait_credit(stream)

    async def _wait_credit(self, stream: zt.Stream) -> None:
        with trio.move_on_after(self._credit_timeout) as scope:
            await stream.wait_room()
        if scope.cancelled_caught:
            raise zt.Overloaded(f"the subscriber took nothing for {self._credit_timeout} s")

    def _refuse_when_draining(self) -> None:
        if self._is_draining:
            raise zt.ShuttingDown("the broker is stopping: publish and subscribe elsewhere")

    async def drain(self, timeout: float) -> None:
        """Take nothing new, deliver what is queued for at most ``timeout`` seconds, and finish.

        Publishers learn that the broker stops; subscribers get the end of their stream once they
        have acknowledged everything. What is left stays in the topics.
        """
        self._is_draining = True
        for publisher in self._publishers:
            publisher.cancel()
        with trio.move_on_after(timeout):
            for partition in self.topics:
                await partition.wait_delivered()
        for subscriber in self._subscribers:
            subscriber.cancel()


async def _queue(stream: zt.Stream, partition: Partition) -> None:
    """Queue what is published: acknowledged is what the queue has taken, and nothing else."""
    queued = 0
    async for batch in stream.batches(hold=True):
        taken = partition.append(batch)
        queued += taken
        stream.acknowledge(queued)
        if taken < len(batch):
            raise zt.Overloaded(QUEUE_FULL)


async def _release(stream: zt.Stream, partition: Partition, subscription: Subscription) -> None:
    """Release what the subscriber acknowledges; the first message was only the offset."""
    before = subscription.offset - 1
    async for count in stream.acknowledgements():
        partition.acknowledge(subscription, before + count)


async def _until_finished(stream: zt.Stream, scope: trio.CancelScope) -> None:
    """End the subscription when the subscriber finishes its side; what it sends means nothing."""
    async for _ in stream.batches():
        pass
    scope.cancel()


@contextmanager
def _one_of(scopes: set[trio.CancelScope]) -> Iterator[trio.CancelScope]:
    """Let whoever holds ``scopes`` cancel this block."""
    with trio.CancelScope() as scope:
        scopes.add(scope)
        try:
            yield scope
        finally:
            scopes.remove(scope)


@asynccontextmanager
async def open_broker(
    address: str | None,
    *,
    topics: Topics | None = None,
    credit_timeout: float = CREDIT_TIMEOUT_SECONDS,
    drain_timeout: float = DRAIN_TIMEOUT_SECONDS,
    **settings: Any,
) -> AsyncIterator[Broker]:
    """Serve topics for the time of an ``async with`` block.

    ``settings`` are those of `ztransport.open_node`: cluster, node_id, tls and more. Given
    ``topics``, it goes on with what another broker of this process left there. Timeouts are in
    seconds; leaving the block takes at most two ``drain_timeout``.
    """
    if not credit_timeout >= 0:
        raise zt.ConfigurationError("credit_timeout is a number of seconds, 0 or more")
    async with zt.open_node(address, drain_timeout=drain_timeout, **settings) as node:
        broker = Broker(node, Topics() if topics is None else topics, credit_timeout)
        try:
            yield broker
        finally:
            with trio.CancelScope(shield=True):
                await broker.drain(drain_timeout)


async def _serve(arguments: argparse.Namespace) -> None:
    topics = Topics(
        partitions=arguments.partitions,
        topics_max=arguments.topics_max,
        queue_messages_max=arguments.queue_messages_max,
        queue_bytes_max=arguments.queue_bytes_max,
    )
    async with open_broker(
        arguments.listen,
        cluster=arguments.cluster,
        node_id=arguments.node_id,
        tls=serving.tls_of(arguments),
        topics=topics,
        credit_timeout=arguments.credit_timeout,
        drain_timeout=arguments.drain_timeout,
    ) as broker:
        broker.node.handle("echo", lambda message: message.payload)
        await serving.ended(broker.node.address, with_stdin=arguments.end_with_stdin)
    if left := sum(map(len, topics)):
        sys.stderr.write(f"ztransport broker: nobody took {left} messages; they are lost now\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a broker that also answers ``echo``, until it is told to end."""
    parser = serving.options("ztransport broker", "Queue and push messages, and answer requests.")
    parser.add_argument("--partitions", type=int, default=1, help="of each topic")
    parser.add_argument("--topics-max", type=int, default=256)
    parser.add_argument("--queue-messages-max", type=int, default=131_072, help="per partition")
    parser.add_argument("--queue-bytes-max", type=int, default=64 << 20, help="per partition")
    parser.add_argument("--credit-timeout", type=float, default=CREDIT_TIMEOUT_SECONDS, help="s")
    serving.run(_serve, parser, arguments)


if __name__ == "__main__":
    main()
