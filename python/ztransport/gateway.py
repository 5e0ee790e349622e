"""A gateway: clients on one side, brokers on the other, and nothing decided twice.

Here is how to write one on `ztransport`; copy it. It is used like this:

    async with open_gateway(
        "0.0.0.0:9000", brokers=["b1:9000", "b2:9000"], cluster="c", node_id="gateway", tls=tls
    ):
        await trio.sleep_forever()

It keeps one connection to each broker, which is dialled again whenever it is lost, and passes on
what clients ask:

- **Requests**, whatever their subject, go to the broker of their partition, which ``key`` or
  ``partition`` in their metadata chooses as in `ztransport.broker`. The engine relays the reply,
  the fault, the deadline and the cancellation; no Python runs for them.
- **Streams** ``publish`` and ``subscribe`` are opened again at the broker. Messages are
  acknowledged to one side when the other side has acknowledged them, so that a gateway that dies
  loses nothing that was acknowledged, and credit reaches through it: a slow subscriber slows its
  broker.

It sheds load instead of queueing without bound: with ``waiting_max`` requests waiting for one
broker, or ``relays_max`` streams, the next is answered `Overloaded`.

Brokers are dialled all at once, and it serves as soon as each was tried: it may start before they
do. One that is away is dialled again and again, is told of on the logger ``ztransport.gateway`` and
by `Brokers.away`, and its requests are answered `ConnectionLost` with ``retry_safe``. A broker that
refuses the gateway at the start, or that the gateway refuses, ends it with that error.
"""

from __future__ import annotations

import dataclasses
import logging
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import trio

import ztransport as zt
from ztransport import serving
from ztransport.config import DRAIN_TIMEOUT_SECONDS
from ztransport.topics import partition_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator, Sequence

    from ztransport.security import TLSConfig

__all__ = ["Gateway", "main", "open_gateway"]

_logger = logging.getLogger("ztransport.gateway")

UNREACHABLE: Final = (zt.ConnectFailed, zt.ConnectionLost, zt.HandshakeTimeout, zt.ShuttingDown)
"""What a broker that is not there, stuck or stopping comes to: it may be there later."""

REDIAL_SECONDS: Final = 0.5
"""Time between two attempts to reach a broker that was never there or is gone for good."""

OPEN_TIMEOUT_SECONDS: Final = 5.0
"""How long a stream may wait to be opened at a broker."""

WAITING_MAX: Final = 8_192
"""Requests that may wait for one broker's credit unless told otherwise."""

NEGOTIATED: Final = ("version", "cipher_suite", "group")
"""What is said of a TLS session."""

RELAYS_MAX: Final = 1_024
"""Streams that are relayed at a time unless told otherwise."""


class Gateway:
    """Routes on a node to brokers. Its methods are the handlers; `open_gateway` makes one."""

    def __init__(self, node: zt.Node, brokers: Brokers, relays_max: int) -> None:
        self.node = node
        """The node that clients dial."""
        self.brokers = brokers
        self._relays_max = relays_max
        self._relays: set[trio.CancelScope] = set()
        node.handle_prefix("", brokers.forward)
        node.handle_stream("publish", self._relay)
        node.handle_stream("subscribe", self._relay)

    @property
    def relays_count(self) -> int:
        """Streams that are relayed now."""
        return len(self._relays)

    async def _relay(self, stream: zt.Stream) -> None:
        if self.relays_count >= self._relays_max:
            raise zt.Overloaded(f"the gateway relays {self._relays_max} streams: relays_max")
        with trio.CancelScope() as scope:
            self._relays.add(scope)
            try:
                await self._relay_to(self.brokers.of(stream.metadata), stream)
            finally:
                self._relays.remove(scope)
        if scope.cancelled_caught:
            raise zt.ShuttingDown("the gateway is stopping: use another")

    async def _relay_to(self, broker: zt.Peer, stream: zt.Stream) -> None:
        onward = broker.open_stream(stream.subject, stream.payload, metadata=stream.metadata)
        with trio.move_on_after(OPEN_TIMEOUT_SECONDS) as opening:
            await onward.__aenter__()
        if opening.cancelled_caught:
            raise zt.Overloaded("the broker takes no new stream")
        try:
            async with serving.tasks() as tasks:
                tasks.start_soon(_pass_on, stream, onward)
                tasks.start_soon(_pass_on, onward, stream)
        finally:
            await onward.aclose()

    def stop_relays(self) -> None:
        """End all streams: their clients learn that the gateway stops."""
        for relay in self._relays:
            relay.cancel()


async def _pass_on(source: zt.Stream, sink: zt.Stream) -> None:
    """Pass messages on, and the end; what the sink acknowledges is acknowledged to the source."""
    async with serving.tasks() as tasks:
        tasks.start_soon(_acknowledge, source, sink)
        async for batch in source.batches(hold=True):
            await sink.send_many(batch)
        sink.finish()
        await sink.acknowledged(sink.sent_count)
        source.acknowledge(sink.sent_count)
        tasks.cancel_scope.cancel()


async def _acknowledge(source: zt.Stream, sink: zt.Stream) -> None:
    async for count in sink.acknowledgements():
        source.acknowledge(count)


class Brokers:
    """The brokers behind a gateway: partition *p* is at number *p* modulo their count."""

    def __init__(self, node: zt.Node, addresses: Sequence[str], partitions: int) -> None:
        if not addresses or partitions < 1:
            raise zt.ConfigurationError("a gateway needs the address of a broker, and a partition")
        self._node = node
        self._addresses = addresses
        self._count = len(addresses)
        self._partitions = partitions
        self.peers: dict[int, zt.Peer] = {}
        """The brokers that were reached, by their number."""
        self.away: dict[int, zt.Error] = {}
        """Why a broker that is not among them could not be reached the last time."""

    def forward(self, message: zt.Message) -> None:
        """Pass a request on to the broker of its partition. Raises as `of` does."""
        message.forward(self.of(message.metadata))

    def of(self, metadata: dict[str, bytes]) -> zt.Peer:
        """Return the broker of a message's partition.

        Raises `Rejected` if the metadata names no partition, `ConnectFailed` if its broker is away.
        """
        partition = partition_of(metadata, self._partitions) if metadata else 0
        peer = self.peers.get(partition % self._count)
        if peer is None or not peer.is_up:
            address = self._addresses[partition % self._count]
            raise zt.ConnectFailed(f"the broker at {address} is away")
        return peer

    async def stay_connected(
        self, number: int, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Dial a broker, and again if it could not be reached or is gone for good.

        The first time anything but an unreachable broker is a mistake in the configuration and
        raised; later it is not allowed to harm the other brokers' callers.
        """
        peer = await self._reach(number, UNREACHABLE)
        task_status.started()
        while True:
            if peer is None:
                await trio.sleep(REDIAL_SECONDS)
            else:
                await peer.wait_closed()
            peer = await self._reach(number, zt.Error)

    async def _reach(
        self, number: int, expected: type[zt.Error] | tuple[type[zt.Error], ...]
    ) -> zt.Peer | None:
        address = self._addresses[number]
        try:
            peer = self.peers[number] = await self._node.connect(address)
        except expected as error:
            if str(error) != str(self.away.get(number)):
                _logger.warning("the broker at %s is away and dialled again: %s", address, error)
            self.away[number] = error
            return None
        if self.away.pop(number, None) is not None:
            _logger.warning("the broker at %s is reached", address)
        return peer

    def described(self) -> list[dict[str, object]]:
        """Say of each broker where it is and what TLS agreed on with it, or why it is away."""
        return [self._described(number) for number in range(self._count)]

    def _described(self, number: int) -> dict[str, object]:
        found: dict[str, object] = {"address": self._addresses[number]}
        if number in self.away:
            return {**found, "away": str(self.away[number])}
        tls = self.peers[number].tls
        agreed = tls and {key: getattr(tls, key) for key in NEGOTIATED}
        return {**found, "negotiated": agreed}


@asynccontextmanager
async def open_gateway(
    address: str | None,
    *,
    brokers: Sequence[str],
    cluster: str,
    node_id: str,
    tls: TLSConfig | None,
    partitions: int = 1,
    waiting_max: int = WAITING_MAX,
    relays_max: int = RELAYS_MAX,
    limits: zt.Limits | None = None,
    drain_timeout: float = DRAIN_TIMEOUT_SECONDS,
    **settings: Any,
) -> AsyncIterator[Gateway]:
    """Pass on what clients ask, for the time of an ``async with`` block.

    ``brokers`` are addresses to dial; the block begins when each was tried once. ``partitions`` is
    the brokers' own number of them. ``tls``, ``limits`` and further ``settings`` of
    `ztransport.open_node` hold for both sides. Leaving the block lets requests finish for at most
    ``drain_timeout`` seconds.
    """
    limits = limits or zt.Limits()
    settings |= {"cluster": cluster, "node_id": node_id, "tls": tls, "drain_timeout": drain_timeout}
    dialling = dataclasses.replace(limits, pending_calls_max=waiting_max)
    async with zt.open_node(None, limits=dialling, **settings) as dialler:
        known = Brokers(dialler, brokers, partitions)
        async with serving.tasks() as tasks:
            async with serving.tasks() as tried:
                for number in range(len(brokers)):
                    tried.start_soon(tasks.start, partial(known.stay_connected, number))
            async with zt.open_node(address, limits=limits, **settings) as node:
                gateway = Gateway(node, known, relays_max)
                try:
                    yield gateway
                finally:
                    gateway.stop_relays()
            tasks.cancel_scope.cancel()


async def _serve(arguments: argparse.Namespace) -> None:
    async with open_gateway(
        arguments.listen,
        brokers=arguments.broker,
        cluster=arguments.cluster,
        node_id=arguments.node_id,
        tls=serving.tls_of(arguments),
        partitions=arguments.partitions,
        waiting_max=arguments.waiting_max,
        relays_max=arguments.relays_max,
        drain_timeout=arguments.drain_timeout,
    ) as gateway:
        await serving.ended(
            gateway.node.address,
            with_stdin=arguments.end_with_stdin,
            brokers=gateway.brokers.described(),
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a gateway until it is told to end.

    The line that says where it listens has ``brokers`` too, as `Brokers.described` gives them.
    """
    parser = serving.options("ztransport gateway", "Pass requests and streams on to brokers.")
    parser.add_argument("--broker", action="append", required=True, help="host:port; repeatable")
    parser.add_argument("--partitions", type=int, default=1, help="of the brokers' topics")
    parser.add_argument("--waiting-max", type=int, default=WAITING_MAX, help="requests per broker")
    parser.add_argument("--relays-max", type=int, default=RELAYS_MAX, help="streams")
    serving.run(_serve, parser, arguments)


if __name__ == "__main__":
    main()
