"""Opening a membership, and the one that speaks the native protocol."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from ztransport import membership
from ztransport._errors import Closed, ConfigurationError, Error
from ztransport._stream import Done
from ztransport._ztransport import Bell, Membership
from ztransport.config import DAY_MS, ClusterSettings, check_range
from ztransport.membership import (
    LEAVE_TIMEOUT_SECONDS,
    ClusterStatistics,
    KeyRotation,
    Member,
    RotationProgress,
)
from ztransport.zeebe_cluster import open_zeebe_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Mapping, Sequence

    from ztransport._node import Node
    from ztransport.membership import Cluster

Sealing = Literal["cluster-key", "none"]
"""How membership traffic is protected; ``none`` must be said."""

Transport = Literal["udp", "tcp"]
"""What membership traffic travels over: datagrams, or the connections of the node."""

ClusterProtocol = Literal["zt/1", "zeebe"]
"""Which membership protocol is spoken."""

PROBE_TIMEOUT_MS_MIN: Final = 50
"""The shortest wait for an answer, unless the longest is shorter."""

FAILURE_TIMEOUT_MS_MAX: Final = 600_000
SYNC_INTERVAL_MS_MIN: Final = 100
"""Where the native protocol takes less than Zeebe's."""


@asynccontextmanager
async def open_cluster(
    node: Node,
    *,
    seeds: Sequence[str] = (),
    properties: Mapping[str, bytes | str] | None = None,
    key: bytes | None = None,
    sealing: Sealing | None = None,
    protocol: ClusterProtocol = "zt/1",
    transport: Transport = "udp",
    settings: ClusterSettings | None = None,
    key_epoch: int = 0,
    leave_timeout: float = LEAVE_TIMEOUT_SECONDS,
) -> AsyncIterator[Cluster]:
    """Make a node a member of its cluster for the time of an ``async with`` block.

    The member's name is the node's ``node_id`` and its address the one the node advertises, with
    UDP on the port the node listens on. ``seeds`` are up to 64 addresses ``host:port`` of members;
    one that is there is enough, and a node's own does no harm. Without seeds it is the first.

    ``key`` is 32 random bytes that all members share, and ``key_epoch`` counts its rotations
    modulo 256. Without a key nothing is sealed, which must be said with ``sealing="none"``.
    ``properties`` are at most 768 bytes in all; values that are texts are sent as UTF-8.

    With ``transport="tcp"`` no UDP is used: everything travels over authenticated connections of
    the node. Members of both kinds form one cluster, so that they can be changed one by one.

    ``protocol="zeebe"`` joins a cluster of Zeebe 8.5 (docs/ZEEBE.md), whose gossip is in the clear:
    the node must take Zeebe's protocol, properties are texts of at most 32 KiB, and ``key``,
    ``sealing="cluster-key"`` and ``transport="tcp"`` cannot be.

    Leaving the block tells the others, for at most ``leave_timeout`` seconds, whatever is cancelled
    around it. Raises `ConfigurationError` for what cannot be. (docs/GOSSIP.md)
    """
    _check_settings(settings)
    if protocol == "zeebe":
        _refuse_what_zeebe_lacks(key, sealing, transport)
        joined = open_zeebe_cluster(
            node,
            seeds=seeds,
            properties=properties,
            settings=settings,
            leave_timeout=leave_timeout,
        )
        async with joined as zeebe:
            yield zeebe
        return
    if protocol != "zt/1":
        raise ConfigurationError(f"protocol is 'zt/1' or 'zeebe', not {protocol!r}")
    if transport not in ("udp", "tcp"):
        raise ConfigurationError(f"transport is 'udp' or 'tcp', not {transport!r}")
    check_range("key_epoch", key_epoch, 0, 0xFF)
    cluster = NativeCluster(
        node,
        membership.encoded(properties),
        seeds=membership.seed_list(seeds),
        key=None if key is None else membership.key_bytes(key),
        key_epoch=key_epoch,
        sealing=sealing,
        streams_only=transport == "tcp",
        settings=native(settings),
    )
    try:
        await cluster._opened()
        yield cluster
    finally:
        await cluster._shut(leave_timeout)


def _check_settings(settings: object) -> None:
    if settings is not None and not isinstance(settings, ClusterSettings):
        kind = type(settings).__name__
        raise ConfigurationError(f"settings is a ClusterSettings, not a {kind}")


def _refuse_what_zeebe_lacks(
    key: bytes | None, sealing: Sealing | None, transport: Transport
) -> None:
    if key is not None or sealing not in (None, "none"):
        raise ConfigurationError("Zeebe's gossip is not sealed: leave key and sealing out")
    if transport != "udp":
        raise ConfigurationError("Zeebe 8.5 gossips over UDP alone: leave transport out")


def native(settings: ClusterSettings | None) -> dict[str, int]:
    """Return the native protocol's settings for Zeebe's; without any it has its own defaults."""
    if settings is None:
        return {}
    # What Zeebe takes and this protocol does not.
    for name, least, greatest in (
        ("probe_timeout_ms", 1, settings.probe_interval_ms),
        ("failure_timeout_ms", 0, FAILURE_TIMEOUT_MS_MAX),
        ("sync_interval_ms", SYNC_INTERVAL_MS_MIN, DAY_MS),
    ):
        check_range(name, getattr(settings, name), least, greatest)
    return {
        "gossip_interval_ms": settings.gossip_interval_ms,
        "gossip_fanout": settings.gossip_fanout,
        "probe_interval_ms": settings.probe_interval_ms,
        "probe_timeout_ms_max": settings.probe_timeout_ms,
        "probe_timeout_ms_min": min(PROBE_TIMEOUT_MS_MIN, settings.probe_timeout_ms),
        "helpers": settings.suspect_probes,
        "suspicion_floor_ms": settings.failure_timeout_ms,
        "suspicion_ceiling": 1,
        "sync_interval_ms": settings.sync_interval_ms,
    }


class NativeCluster(membership.Cluster):
    """A membership that speaks the protocol of docs/GOSSIP.md."""

    def __init__(self, node: Node, properties: Mapping[str, bytes], **chosen: Any) -> None:
        super().__init__(node, Member(node.node_id, "", "alive", 0, 0, properties))
        self._over = Bell(node.engine)
        # The engine has forgotten the membership.
        self._uncounted = False
        self._core = Membership(node, properties=dict(properties), changed=self._take, **chosen)

    async def converged(self) -> None:
        """Wait until this member has joined and all it hears from have the same view.

        The view has been the same then for as long as a rumour needs to reach everybody. Without
        an answer from a seed it waits on. Raises `Closed` once this member has left.
        """
        while not self._is_converged():
            await self._changed()

    def update_properties(self, properties: Mapping[str, bytes | str]) -> Done:
        """Tell all members other properties, at most 768 bytes in all.

        It takes effect at once; the result may be awaited. Raises `ConfigurationError` for
        properties that cannot be sent, and `Closed` once this member has left.
        """
        self._check_member()
        self._core.update_properties(dict(membership.encoded(properties)))
        return Done()

    async def leave(self) -> None:
        """Leave for good and wait until that was told. Cancelled, it goes on leaving.

        The others know within a round trip; it is repeated for some rounds, in case it is lost.
        A member that was told to leave while it joins waits up to two seconds for somebody to tell.
        """
        self._core.leave()
        while not self._ended:
            await self._changed()

    def rotate_key(self, key: bytes) -> KeyRotation:
        """Begin to replace the cluster key by ``key``, 32 random bytes, on this member.

        Do the same on every member, in any order and at any time, over a channel that the old key
        does not protect. Members that hold both keys use the new one among themselves; the old
        one is forgotten when all hold the new. Awaiting the result waits for that. Raises
        `ConfigurationError` while another rotation runs, and `Closed` once this member has left.
        """
        self._check_member()
        return _Rotation(self, self._core.install_key(membership.key_bytes(key)))

    def statistics(self) -> ClusterStatistics:
        """Return counters since the cluster was opened.

        Raises `Closed` once the block of `open_cluster` has ended or the node is closed.
        """
        self._check_counted()
        counted = self._core.statistics()
        counted["dropped"] = MappingProxyType(counted["dropped"])
        return ClusterStatistics(**counted, rotation=self._rotation())

    def _check_counted(self) -> None:
        if self._uncounted:
            text = "the counters of a membership end with it: read them inside the block of"
            raise Closed(f"{text} open_cluster, before its node is closed")

    def _node_closed(self) -> None:
        self._uncounted = True
        super()._node_closed()

    def _rotation(self) -> RotationProgress | None:
        self._check_counted()
        told = self._core.rotation()
        return None if told is None else RotationProgress(*told)

    async def _opened(self) -> None:
        """Wait until the member knows itself."""
        while self.own.generation == 0:
            await self._next_change()

    def _is_converged(self) -> bool:
        self._check_member()
        return self._core.is_converged()

    async def _next_change(self) -> None:
        self._check_member()
        await self._changed()

    def _take(self) -> None:
        members, end = self._core.take()
        for name, address, state, generation, incarnation, properties in members:
            told = MappingProxyType(properties)
            self._roster.put(Member(name, address, state, generation, incarnation, told))
        if end is None or self._ended:
            return self._bell.ring()
        self._end(self._reason(end))
        return self._over.ring()

    def _reason(self, end: str) -> Error | None:
        if end == "left":
            return None
        if end == "failed":
            return Error("the gossip thread has failed: this node is no member any more")
        if end == "key_retired":
            rotation = self._rotation()
            assert rotation is not None, "a key was refused"
            return ConfigurationError(
                f"the cluster retires the key of key_epoch={rotation.epoch}, which this member "
                f"has: start with the new key and key_epoch={(rotation.epoch + 1) % 256}"
            )
        name = self.node.node_id
        text = f"another member keeps the name {name!r}: give every node a node_id of its own"
        return ConfigurationError(text)

    async def _shut(self, timeout: float) -> None:
        """Tell the others, whatever is cancelled around, and end the thread."""
        try:
            if not self._ended:
                self._core.leave()
                await self.node._wait_bounded(self._over.wait(), timeout, shield=True)
        finally:
            self._core.close()
            self._uncounted = True
            if not self._ended:
                self._end(None)


class _Rotation(KeyRotation):
    """A rotation that was begun at a native cluster."""

    def __init__(self, cluster: NativeCluster, epoch: int) -> None:
        self._cluster = cluster
        self._epoch = epoch

    @property
    def progress(self) -> RotationProgress:
        """How far it is."""
        progress = self._cluster._rotation()
        assert progress is not None, "a rotation was begun"
        return progress

    def __await__(self) -> Generator[Any, Any, None]:
        """Wait until all members hold the new key and the old one is forgotten."""
        return self._finished().__await__()

    async def _finished(self) -> None:
        while not self._is_finished():
            await self._cluster._next_change()

    def _is_finished(self) -> bool:
        # Looked at once: between two looks the thread may install the key.
        progress = self.progress
        return progress.epoch == self._epoch and not progress.is_running
