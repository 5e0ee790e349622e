"""What the tests of broker and gateway share: brokers, clients and subscribers on the loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

import ztransport as zt
from ztransport.broker import OFFSET, Broker, open_broker
from ztransport.gateway import Gateway, open_gateway
from ztransport.topics import Topics

CLUSTER = "tests"
LOOPBACK = "127.0.0.1:0"


@asynccontextmanager
async def broker(topics: Topics | None = None, **settings: Any) -> AsyncIterator[Broker]:
    """A broker in plaintext; `settings` are those of `open_broker`."""
    chosen: dict[str, Any] = {"cluster": CLUSTER, "node_id": "broker", "tls": None, **settings}
    async with open_broker(LOOPBACK, topics=topics, **chosen) as opened:
        yield opened


@asynccontextmanager
async def client(address: str | None, **limits: int) -> AsyncIterator[zt.Peer]:
    """Dial a broker or gateway; leaving the block loses the connection."""
    assert address is not None
    settings: dict[str, Any] = {"cluster": CLUSTER, "node_id": "client", "tls": None}
    async with zt.open_node(None, limits=zt.Limits(**limits), drain_timeout=0, **settings) as node:
        yield await node.connect(address)


@asynccontextmanager
async def served(
    topics: Topics | None = None, **settings: Any
) -> AsyncIterator[tuple[Broker, zt.Peer]]:
    """A broker, and a client's peer that stands for it."""
    async with broker(topics, **settings) as opened, client(opened.node.address) as peer:
        yield opened, peer


@asynccontextmanager
async def gateway(*addresses: str | None, **settings: Any) -> AsyncIterator[Gateway]:
    """A gateway in plaintext; `settings` are those of `open_gateway`."""
    chosen: dict[str, Any] = {"cluster": CLUSTER, "node_id": "gateway", "tls": None, **settings}
    brokers = [address for address in addresses if address is not None]
    async with open_gateway(LOOPBACK, brokers=brokers, **chosen) as opened:
        yield opened


async def publish(peer: zt.Peer, topic: bytes, messages: list[bytes], **metadata: bytes) -> None:
    """Publish and return when everything is in the queue."""
    async with peer.open_stream("publish", topic, metadata=metadata) as stream:
        await stream.send_many(messages)
        await stream.acknowledged(len(messages))
        stream.finish()
        assert [chunk async for chunk in stream] == []


async def offset_of(stream: zt.Stream) -> int:
    """The first message of a subscription: from here on it stands."""
    (offset,) = OFFSET.unpack(await stream.__anext__())
    return int(offset)


async def take(stream: zt.Stream, count: int) -> list[bytes]:
    """Take exactly so many messages and acknowledge all of them but the last."""
    return [await stream.__anext__() for _ in range(count)]


async def drained(stream: zt.Stream) -> list[bytes]:
    """Everything that comes until the other side ends the stream."""
    return [chunk async for chunk in stream]


async def until(condition: Callable[[], bool]) -> None:
    """Go on, turn by turn, until something has happened; a hang is the run's to report."""
    while not condition():
        await trio.lowlevel.checkpoint()
