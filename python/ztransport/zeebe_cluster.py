"""Membership of a cluster of Zeebe's: SWIM over its messaging, gossip over UDP, in the clear."""

from __future__ import annotations

import functools
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, cast

from ztransport import membership
from ztransport._datagrams import Datagrams, host_port
from ztransport._errors import ConfigurationError, Error, NotSupported, Reject
from ztransport._stream import Done
from ztransport._ztransport import Bell, ZeebeMembers
from ztransport.membership import LEAVE_TIMEOUT_SECONDS, ClusterStatistics, KeyRotation, Member

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from typing import TypeAlias

    from ztransport._node import Node, Peer
    from ztransport._ztransport import Message
    from ztransport.config import ClusterSettings

    Request: TypeAlias = tuple[int, str, int, str, bytes, float]

PROBE: Final = "atomix-membership-probe"
PROBE_REQUEST: Final = "atomix-membership-probe-request"
SYNC: Final = "atomix-membership-sync"

VERSION: Final = (8, 5, 8)
"""The release a member says it runs, unless told otherwise: the one it was tested with."""

CONNECTIONS_MAX: Final = 64
"""Connections to members that are kept for the next request."""

REFUSED_CODE: Final = 1
"""The code of a request that is not taken: malformed, or this member has left."""


@asynccontextmanager
async def open_zeebe_cluster(
    node: Node,
    *,
    seeds: Sequence[str] = (),
    properties: Mapping[str, bytes | str] | None = None,
    settings: ClusterSettings | None = None,
    version: tuple[int, int, int] = VERSION,
    leave_timeout: float = LEAVE_TIMEOUT_SECONDS,
) -> AsyncIterator[ZeebeCluster]:
    """Make a node a member of a Zeebe cluster for the time of an ``async with`` block.

    The member's id is the node's ``node_id`` (a broker's is its number) and its address the one
    the node advertises. The node must take Zeebe's protocol (``protocols=("zt/1", "zeebe")``), and
    the UDP port of the same number must be free: Zeebe's members send their gossip there.

    ``seeds`` are up to 64 contact points ``host:port``. ``properties`` are texts of at most 32 KiB
    in all. ``settings`` are Zeebe's own, with Zeebe's defaults. Members take a ``version`` that
    changes for another member.

    Zeebe's gossip is neither sealed nor signed: whoever reaches the UDP port may say anything of
    anybody (docs/ZEEBE.md). Leaving the block tells the others, for at most ``leave_timeout``
    seconds, whatever is cancelled around it. Raises `ConfigurationError` for what cannot be.
    """
    cluster = ZeebeCluster(
        node,
        seeds=[host_port(seed) for seed in membership.seed_list(seeds)],
        properties=_texts(properties),
        settings={} if settings is None else asdict(settings),
        version=version,
    )
    try:
        await cluster._open()
        yield cluster
    finally:
        await cluster._shut(leave_timeout)


class ZeebeCluster(membership.Cluster):
    """A membership that speaks Zeebe's protocol."""

    def __init__(self, node: Node, **chosen: Any) -> None:
        address, bound = _addresses(node)
        self._machine = ZeebeMembers(
            cluster=node.cluster,
            name=node.node_id,
            address=address,
            wall_ms=time.time_ns() // 1_000_000,
            seed=secrets.randbits(64),
            now=time.monotonic(),
            **chosen,
        )
        super().__init__(node, _member(self._machine.own))
        self._over = Bell(node.engine)
        self._background = node._background_class(self._failed)
        self._peers: dict[str, Peer] = {}
        self._closed = self._was_converged = False
        self._datagrams = Datagrams(self._background, *bound)

    async def converged(self) -> None:
        """Wait until some member's list of all members is what is known here.

        Without an answer from a seed it waits on. Raises `Closed` once this member has left.
        """
        self._check_member()
        while not self._machine.is_converged:
            await self._changed()
            self._check_member()

    def update_properties(self, properties: Mapping[str, bytes | str]) -> Done:
        """Tell all members other properties: texts of at most 32 KiB in all.

        It takes effect at once; the result may be awaited. A real member keeps those that are left
        out. Raises `ConfigurationError` for properties that cannot be sent, and `Closed` once this
        member has left.
        """
        self._check_member()
        self._machine.update_properties(time.monotonic(), _texts(properties))
        self._step()
        return Done()

    async def leave(self) -> None:
        """Leave for good and wait until that was told. Cancelled, it goes on leaving.

        Zeebe's protocol has no farewell. A member that calls itself dead is believed, so that it is
        gone at once for all that hear it, and over a connection they do.
        """
        self._machine.leave()
        self._step()
        while not self._ended:
            await self._changed()

    def rotate_key(self, key: bytes) -> KeyRotation:  # noqa: ARG002
        """Raise `NotSupported`: Zeebe's gossip has no key."""
        raise NotSupported("Zeebe's gossip is not sealed: there is no key to rotate")

    def statistics(self) -> ClusterStatistics:
        """Return counters since the cluster was opened."""
        counted = self._machine.statistics()
        dropped = {
            "malformed": counted["datagrams_dropped"],
            "stale": counted["stale"],
            "refused": counted["refused"],
            "unsent": self._datagrams.lost,
        }
        return ClusterStatistics(
            members=len(self.members),
            datagrams_sent=counted["datagrams_sent"],
            bytes_sent=self._datagrams.bytes_sent,
            datagrams_received=self._datagrams.received,
            bytes_received=self._datagrams.bytes_received,
            dropped=MappingProxyType({name: count for name, count in dropped.items() if count}),
            probes=counted["probes"],
            probes_failed=counted["probes_failed"],
            suspicions=counted["suspicions"],
            refutations=counted["refutations"],
            deaths=counted["deaths"],
            syncs=counted["syncs"],
            streams=len(self._peers),
        )

    async def _open(self) -> None:
        await self._background.open(self._due, self._datagrams.socket, self._read)
        for subject in (PROBE, SYNC):
            self.node.handle(subject, functools.partial(self._answer, subject))
        self.node.handle(PROBE_REQUEST, self._relay)
        self._step()

    async def _shut(self, timeout: float) -> None:
        """Tell the others, whatever is cancelled around, and end all work."""
        try:
            if not self._ended:
                self._machine.leave()
                self._step()
            if not self._ended:
                await self.node._wait_bounded(self._over.wait(), timeout, shield=True)
        finally:
            self._closed = True
            try:
                await self._background.close()
            finally:
                self._release()

    def _release(self) -> None:
        self._datagrams.socket.close()
        for peer in self._peers.values():
            peer._close()
        if not self._ended:
            self._end(None)

    def _failed(self, error: Exception) -> None:
        """Work of ours has failed: this node is no member any more."""
        if not self._ended:
            failure = Error("the membership has failed: this node is no member any more")
            failure.__cause__ = error
            self._machine.leave()
            self._end(failure)
            self._over.ring()

    def _step(self) -> None:
        """Take out of the machine what it has, and set the timer."""
        if self._closed or self._ended:
            return
        machine = self._machine
        is_converged = machine.is_converged
        changed = is_converged != self._was_converged
        self._was_converged = is_converged
        while (told := machine.poll_event()) is not None:
            changed = True
            self._roster.put(_member(told))
        self._roster.put(_member(machine.own))
        while (request := machine.poll_request()) is not None:
            self._background.start(self._ask, request)
        while (datagram := machine.poll_transmit()) is not None:
            self._datagrams.send(*datagram)
        deadline = machine.poll_timeout()
        rest = None if deadline is None else max(0.0, deadline - time.monotonic())
        self._background.arm(rest)
        if machine.is_departed:
            self._end(None)
            self._over.ring()
        elif changed:
            self._bell.ring()

    def _due(self) -> None:
        self._machine.handle_timeout(time.monotonic())
        self._step()

    def _read(self) -> None:
        for data in self._datagrams.read():
            self._machine.handle_datagram(time.monotonic(), data)
        self._step()

    def _answer(self, subject: str, message: Message) -> bytes:
        answer = self._taken(subject, message)
        assert isinstance(answer, bytes), "only a probe for somebody else waits"
        return answer

    async def _relay(self, message: Message) -> bytes | None:
        """Probe a member for somebody else."""
        answer = self._taken(PROBE_REQUEST, message)
        return answer if isinstance(answer, bytes) else await self._ended_by(answer)

    def _taken(self, subject: str, message: Message) -> bytes | Request:
        try:
            return self._machine.handle_request(time.monotonic(), subject, message.payload)
        except ValueError as error:
            raise Reject(REFUSED_CODE, str(error)) from None
        finally:
            self._step()

    async def _ask(self, request: Request) -> None:
        await self._ended_by(request)

    async def _ended_by(self, request: Request) -> bytes | None:
        """Make a request and end it, however it goes."""
        token, host, port, subject, payload, timeout = request
        reply = None
        try:
            reply = await self._fetch(host, port, subject, payload, timeout)
        finally:
            answer = self._machine.handle_reply(time.monotonic(), token, reply)
            self._step()
        return answer

    async def _fetch(
        self, host: str, port: int, subject: str, payload: bytes, timeout: float
    ) -> bytes | None:
        """Ask over the kept connection, or a new one; none for a failure of any kind.

        A connection is not used again after a failure, so that a member that was restarted is
        never asked over the old one. A real member dials for each request.
        """
        address = _address(host, port)
        deadline = time.monotonic() + timeout
        try:
            kept = self._peers.pop(address, None)
            peer = kept or cast("Peer", self.node._dial(address, False, "zeebe"))
        except Error:
            return None
        reply = None
        try:
            if await self._is_open(peer, timeout):
                rest = max(0.0, deadline - time.monotonic())
                reply = await peer.request(subject, payload, timeout=rest)
        except Error:
            return None
        finally:
            if reply is None:
                peer._close()
        if reply is not None:
            self._keep(address, peer)
        return reply

    async def _is_open(self, peer: Peer, timeout: float) -> bool:
        opening = peer._opening()
        return opening is None or await self.node._wait_bounded(opening, timeout, shield=False)

    def _keep(self, address: str, peer: Peer) -> None:
        other = self._peers.pop(address, None)
        if other is not None and other is not peer:
            other._close()
        self._peers[address] = peer
        while len(self._peers) > CONNECTIONS_MAX or (self._closed and self._peers):
            self._peers.pop(next(iter(self._peers)))._close()


def _member(told: tuple[Any, ...]) -> Member:
    name, host, port, state, generation, incarnation, properties = told
    address = _address(host, port)
    return Member(name, address, state, generation, incarnation, MappingProxyType(properties))


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host or host == "unix" else f"{host}:{port}"


def _addresses(node: Node) -> tuple[tuple[str, int], tuple[str, int]]:
    """What others are told, and what was bound."""
    address, takes_zeebe = node._advertised()
    if node.address is None:
        raise ConfigurationError("a member listens: open its node with an address")
    if not takes_zeebe:
        text = 'a member of a Zeebe cluster takes its protocol: protocols=("zt/1", "zeebe")'
        raise ConfigurationError(text)
    return host_port(address), host_port(node.address)


def _texts(properties: Mapping[str, bytes | str] | None) -> dict[str, str]:
    try:
        return {key: value.decode() for key, value in membership.encoded(properties).items()}
    except UnicodeDecodeError:
        raise ConfigurationError("properties of a Zeebe member are texts in UTF-8") from None
