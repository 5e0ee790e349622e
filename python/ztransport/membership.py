"""What every membership offers, whichever protocol speaks: members, their changes, and commands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal
from weakref import WeakSet

from ztransport._datagrams import host_port
from ztransport._errors import Closed, ConfigurationError
from ztransport._ztransport import Bell
from ztransport.broker_info import broker_info

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Self

    from ztransport._errors import Error
    from ztransport._node import Node
    from ztransport._stream import Done
    from ztransport._ztransport import Waiter
    from ztransport.broker_info import BrokerInfo

MemberState = Literal["alive", "suspect", "dead", "left"]
"""What is known of a member: ``alive`` and ``suspect`` count as present."""

EventKind = Literal["joined", "left", "failed", "suspected", "updated"]
"""What happened to a member; ``updated`` also stands for the end of a suspicion."""

_PRESENT: Final = frozenset({"alive", "suspect"})

LEAVE_TIMEOUT_SECONDS: Final = 5.0
"""How long leaving ``open_cluster`` waits until the others were told, unless told otherwise."""

PASSED_MEMBERS_MAX: Final = 65_536
"""Members that came and went unread, which one reader still hears of; the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member as this one sees it."""

    name: str
    """Its name, one of its kind in the cluster: 1 to 255 bytes of UTF-8."""
    address: str
    """Where it takes membership traffic, ``host:port``."""
    state: MemberState
    """What is known of it."""
    generation: int
    """Which life of the name it is; a later life has a greater number."""
    incarnation: int
    """How often it has spoken up in this life, as far as this member was told."""
    properties: Mapping[str, bytes] = field(hash=False)
    """What it tells about itself."""

    @property
    def is_present(self) -> bool:
        """Whether it counts as a member: it is alive, or suspected and may refute."""
        return self.state in _PRESENT

    @property
    def broker_info(self) -> BrokerInfo | None:
        """What it says as a Zeebe broker: partitions, roles, terms; none if it is none.

        Raises `ProtocolError` if it says so and cannot be read.
        """
        return broker_info(self.properties)


@dataclass(frozen=True, slots=True)
class MemberEvent:
    """A change of one member."""

    kind: EventKind
    """What happened."""
    member: Member
    """The member after the change."""


@dataclass(frozen=True, slots=True)
class RotationProgress:
    """How far the replacement of the cluster key is, as this member sees it."""

    epoch: int
    """The number of the newest key, modulo 256."""
    is_running: bool
    """Whether the old key is still held here."""
    present: int
    """Members present, this one among them."""
    installed: int
    """Those that hold the newest key."""
    ready: int
    """Those that have seen all others hold it."""
    laggards: tuple[str, ...]
    """Names of members without it, at most 32: they hold the rotation up and are not cut off."""


@dataclass(frozen=True, slots=True)
class ClusterStatistics:
    """Counters since the cluster was opened. A protocol leaves at 0 what it does not have."""

    members: int = 0
    """Members present now, this one among them."""
    health: int = 0
    """The local health score of Lifeguard: 0 is sound, 8 the worst."""
    loop_lag_ms: float = 0.0
    """How long the host loop took to answer when it was last asked, or is silent already."""
    datagrams_sent: int = 0
    """Messages sent, over either transport."""
    bytes_sent: int = 0
    """Their bytes, without those of lower layers."""
    datagrams_received: int = 0
    """Messages received, dropped ones included."""
    bytes_received: int = 0
    """Their bytes."""
    dropped: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    """Messages dropped, by reason; reasons that did not occur are left out."""
    probes: int = 0
    """Probes begun."""
    probes_failed: int = 0
    """Probes that nobody answered."""
    suspicions: int = 0
    """Members suspected, by this one or on hearing."""
    refutations: int = 0
    """Accusations against this member that it refuted."""
    deaths: int = 0
    """Members taken for dead after their time to refute."""
    syncs: int = 0
    """Exchanges of views begun."""
    rumours_sent: int = 0
    """Rumours written into messages."""
    streams: int = 0
    """Connections in use for this membership that it has dialled."""
    rotation: RotationProgress | None = None
    """How far a key rotation is; none where nothing is sealed."""


class Roster:
    """The members present, and whoever reads their changes."""

    def __init__(self, own: Member) -> None:
        self.own_name: Final = own.name
        self._members = {own.name: own}
        self._sorted: tuple[Member, ...] | None = None
        self._readers: WeakSet[MemberEvents] = WeakSet()

    @property
    def members(self) -> tuple[Member, ...]:
        """The members present in the order of their names, this one among them."""
        if self._sorted is None:
            self._sorted = tuple(member for _, member in sorted(self._members.items()))
        return self._sorted

    @property
    def own(self) -> Member:
        """This member."""
        return self._members[self.own_name]

    def put(self, member: Member) -> None:
        """Take what is known of a member now; readers learn of it if it is another one's.

        One that has ended and was not here has come and gone since the last time.
        """
        before = self._members.get(member.name)
        if before == member:
            return
        self._sorted = None
        if member.is_present or member.name == self.own_name:
            self._members[member.name] = member
        else:
            self._members.pop(member.name, None)
        if member.name != self.own_name:
            for reader in self._readers:
                reader._note(before, member)

    def add_reader(self, reader: MemberEvents) -> None:
        """Tell a reader all members and, as long as somebody holds it, all changes from now on."""
        self._readers.add(reader)
        for member in self.members:
            if member.name != self.own_name:
                reader._note(None, member)


class MemberEvents:
    """An asynchronous iterator over changes of other members.

    It begins with ``joined`` for every member that is present already, so that nothing is missed
    in between. Changes of one member that were not read yet become one: what lies between what was
    read and what is. So a slow reader costs no more than the members themselves, and up to 65,536
    that came and went, and still learns how each of them ended up: of one that came and went it
    reads both. Iterating ends when this member has left.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        # What was read of a member, and what is now.
        self._unread: dict[str, tuple[Member | None, Member]] = {}
        # Those among them that came and went.
        self._passed: dict[str, None] = {}
        self._ready: deque[MemberEvent] = deque()
        cluster._roster.add_reader(self)

    def __aiter__(self) -> Self:
        """Iterate over the changes."""
        return self

    async def __anext__(self) -> MemberEvent:
        """Return the next change. Cancelled while it waits, it has taken none."""
        while (event := self._take()) is None:
            if self._cluster._ended:
                raise self._cluster._failure or StopAsyncIteration
            await self._cluster._changed()
        return event

    def _note(self, before: Member | None, now: Member) -> None:
        read, _ = self._unread.pop(now.name, (before, now))
        self._passed.pop(now.name, None)
        self._unread[now.name] = (read, now)
        if not now.is_present and (read is None or not read.is_present):
            self._note_passed(now.name)

    def _note_passed(self, name: str) -> None:
        self._passed[name] = None
        if len(self._passed) > PASSED_MEMBERS_MAX:
            oldest = next(iter(self._passed))
            del self._passed[oldest], self._unread[oldest]

    def _take(self) -> MemberEvent | None:
        while not self._ready and self._unread:
            name = next(iter(self._unread))
            self._passed.pop(name, None)
            self._ready.extend(changes(*self._unread.pop(name)))
        return self._ready.popleft() if self._ready else None


def changes(before: Member | None, now: Member) -> tuple[MemberEvent, ...]:
    """Name what lies between two sights of a member; a new life also ends the old one."""
    if before is None or not before.is_present:
        if now.is_present:
            return (MemberEvent("joined", now),)
        arrived = replace(now, state="alive")
        return (MemberEvent("joined", arrived), *changes(arrived, now))
    if now.state == "left":
        return (MemberEvent("left", now),)
    if now.state == "dead":
        return (MemberEvent("failed", now),)
    if before.generation != now.generation:
        failed = replace(before, state="dead")
        return (MemberEvent("failed", failed), MemberEvent("joined", now))
    if (before.state, now.state) == ("alive", "suspect"):
        return (MemberEvent("suspected", now),)
    told = (before.state, before.address, before.properties)
    if told != (now.state, now.address, now.properties):
        return (MemberEvent("updated", now),)
    return ()


class KeyRotation(ABC):
    """A replacement of the cluster key that was begun here.

    It goes on by itself; awaiting it waits until the old key is forgotten here.
    """

    @property
    @abstractmethod
    def progress(self) -> RotationProgress:
        """How far it is."""

    @property
    def laggards(self) -> tuple[str, ...]:
        """Names of the members it waits for, at most 32."""
        return self.progress.laggards

    @abstractmethod
    def __await__(self) -> Any:
        """Wait until all members hold the new key and the old one is forgotten."""


class Cluster(ABC):
    """This node's membership of a cluster."""

    def __init__(self, node: Node, own: Member) -> None:
        self.node: Final = node
        """The node that is the member."""
        self._roster = Roster(own)
        self._bell = Bell(node.engine)
        self._wait: Callable[[Waiter], Awaitable[Any]] = node._wait
        self._ended = False
        self._failure: Error | None = None
        node._memberships.add(self)

    @property
    def members(self) -> tuple[Member, ...]:
        """The members present, alive or suspected, by name; this one is among them."""
        return self._roster.members

    @property
    def own(self) -> Member:
        """This member."""
        return self._roster.own

    def events(self) -> MemberEvents:
        """Read the changes of other members: ``async for event in cluster.events()``.

        The first events tell the members that are present already. There may be several readers.
        """
        return MemberEvents(self)

    @abstractmethod
    async def converged(self) -> None:
        """Wait until this member has joined and all it hears from have the same view."""

    @abstractmethod
    def update_properties(self, properties: Mapping[str, bytes | str]) -> Done:
        """Tell all members other properties. It takes effect at once; it may be awaited."""

    @abstractmethod
    async def leave(self) -> None:
        """Leave for good and wait until that was told. Cancelled, it goes on leaving."""

    @abstractmethod
    def rotate_key(self, key: bytes) -> KeyRotation:
        """Begin to replace the cluster key here."""

    @abstractmethod
    def statistics(self) -> ClusterStatistics:
        """Return counters since the cluster was opened."""

    async def _changed(self) -> None:
        """Wait until a member has changed or the membership has ended."""
        await self._wait(self._bell.wait())

    def _check_member(self) -> None:
        """Raise what ended the membership, if it has ended."""
        if self._ended:
            raise self._failure or Closed("this member has left the cluster")

    def _node_closed(self) -> None:
        """The node is gone, and nothing will come any more."""
        if not self._ended:
            text = "the node was closed under its membership: leave open_cluster first"
            self._end(Closed(text))

    def _end(self, failure: Error | None) -> None:
        self._ended, self._failure = True, failure
        self._bell.ring()


def encoded(properties: Mapping[str, bytes | str] | None) -> Mapping[str, bytes]:
    """Return properties with texts as UTF-8, in the order of their keys, not to be changed.

    Raises `ConfigurationError` for anything that is neither text nor bytes.
    """
    given = {} if properties is None else properties
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"properties are a mapping, not a {type(given).__name__}")
    pairs = {key: _value(key, value) for key, value in given.items()}
    return MappingProxyType(dict(sorted(pairs.items())))


def _value(key: object, value: object) -> bytes:
    if isinstance(key, str) and isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    try:
        if isinstance(key, str) and isinstance(value, str):
            return value.encode()
    except UnicodeEncodeError:
        raise ConfigurationError(f"property {key!r} is a text that UTF-8 cannot hold") from None
    kinds = f"{type(key).__name__} and {type(value).__name__}"
    text = f"property {key!r} is a pair of {kinds}: a key is a text, a value a text or bytes"
    raise ConfigurationError(text)


def seed_list(seeds: Sequence[str]) -> list[str]:
    """Return addresses of members as a list. Raises `ConfigurationError` for what is none."""
    if isinstance(seeds, str) or not all(isinstance(seed, str) for seed in seeds):
        raise ConfigurationError(f'seeds is a list such as ["host:port"], not {seeds!r}')
    for seed in seeds:
        host_port(seed)
    return list(seeds)


def key_bytes(key: object) -> bytes:
    """Take a key that is bytes; how many they are is checked where they are used."""
    if isinstance(key, bytes | bytearray | memoryview):
        return bytes(key)
    kind = type(key).__name__
    raise ConfigurationError(f"a key is 32 bytes, not a {kind}: bytes.fromhex makes them of digits")
