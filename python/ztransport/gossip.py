"""The gossip codec by itself: typed messages, bytes in and out, and the sealed envelope.

For those who build a membership of their own on the wire format of docs/GOSSIP.md. Nothing here
keeps any state, so what keeps the envelope safe is the caller's to do:

- Never seal twice with the same key, sender and counter: both would be under one nonce. Draw a
  sender id at random for every life of a process, count from 1, and keep no counter over a fork.
- Take each counter of a sender once. `open` does not know which came before.
- Take nothing of a datagram before `open` and `decode` have taken all of it.

A datagram is ``seal(encode(messages), …)``, and what came is ``decode(open(datagram, …).body)``.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple

from ztransport import _ztransport, membership
from ztransport._errors import ConfigurationError
from ztransport.config import check_range

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeAlias

    from ztransport.membership import MemberState

Kind = Literal["sealed", "hello", "hello_reply"]
"""What a datagram is: messages between members, a greeting, or the answer to one."""

Cipher = Literal["chacha20-poly1305", "aes-256-gcm"]
"""What encrypts; all members must use the same."""

DATAGRAM_BYTES_MAX: Final = 8_952
"""The longest datagram that is taken; members send 1,200 unless told otherwise."""

ENVELOPE_BYTES: Final = 34
"""What the envelope adds to a body."""

REACH_DATAGRAM: Final = 1
"""In ``Alive.reach``: the member takes datagrams."""

REACH_STREAM: Final = 2
"""In ``Alive.reach``: it takes the same messages over connections."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for an `Ack` with the same number."""

    code: ClassVar[int] = 1
    seq: int
    """Chosen by who asks: 32 bits."""
    digest: int
    """The digest of the sender's view: 64 bits."""


@dataclass(frozen=True, slots=True)
class Ack:
    """Answers a ping, or says that one was answered that the receiver asked for."""

    code: ClassVar[int] = 2
    seq: int
    """The number of the ping or of the request."""
    digest: int
    """The digest of the sender's view."""


@dataclass(frozen=True, slots=True)
class PingRequest:
    """Asks the receiver to ping a third member."""

    code: ClassVar[int] = 3
    seq: int
    """Chosen by who asks."""
    target: int
    """The id of the member to ping."""


@dataclass(frozen=True, slots=True)
class Nack:
    """Says that a requested ping was not answered so far."""

    code: ClassVar[int] = 4
    seq: int
    """The number of the request."""


@dataclass(frozen=True, slots=True)
class Alive:
    """A member and all it says of itself."""

    code: ClassVar[int] = 5
    sid: int
    """Its id, of this life alone: 64 bits, not 0."""
    generation: int
    """Which life of the name it is."""
    incarnation: int
    """How often it has spoken up in this life: 31 bits."""
    version: int
    """The incarnation in which the fields below changed last."""
    reach: int
    """How it is reached: `REACH_DATAGRAM`, `REACH_STREAM` or both."""
    installed: int
    """The newest key epoch it holds, modulo 256."""
    ready: int
    """The newest key epoch that it has seen all members hold."""
    address: str
    """Where it is reached: an IP address and a port."""
    name: str
    """Its name: 1 to 255 bytes of UTF-8."""
    properties: Mapping[str, bytes] = field(default_factory=dict, hash=False)
    """What it tells about itself: 768 bytes encoded, with 3 for each pair."""


@dataclass(frozen=True, slots=True)
class _Rumour:
    """What every word about a member begins with."""

    sid: int
    """The member."""
    incarnation: int
    """Its incarnation then, in a refutation its new one."""


@dataclass(frozen=True, slots=True)
class Suspect(_Rumour):
    """A member did not answer."""

    code: ClassVar[int] = 6
    accuser: int
    """Who had no answer."""
    health: int
    """The accuser's own health then, 0 for sound."""


@dataclass(frozen=True, slots=True)
class Dead(_Rumour):
    """A member did not refute in time."""

    code: ClassVar[int] = 7
    reporter: int
    """Who waited for it."""


@dataclass(frozen=True, slots=True)
class Left(_Rumour):
    """A member left by its own will."""

    code: ClassVar[int] = 8


@dataclass(frozen=True, slots=True)
class Refute(_Rumour):
    """A member is alive, and its description has not changed."""

    code: ClassVar[int] = 9
    version: int
    """The incarnation in which its description changed last."""


@dataclass(frozen=True, slots=True)
class Digest:
    """One half of the digest of every bucket of a view: asks for what differs."""

    code: ClassVar[int] = 10
    half: int
    """0 for the lower 32 bits of each bucket, 1 for the upper."""
    buckets: bytes
    """256 halves of 4 bytes, little-endian."""


@dataclass(frozen=True, slots=True)
class Part:
    """The datagram is a part of an answer to a digest: what stands behind it is no news."""

    code: ClassVar[int] = 11
    last: bool
    """It is the last one."""
    more: bool
    """There was more to tell than fits an answer."""


class Summary(NamedTuple):
    """One member's state as the answer to a digest tells it."""

    sid: int
    state: MemberState
    incarnation: int
    version: int


@dataclass(frozen=True, slots=True)
class Summaries:
    """States of members of buckets that differ."""

    code: ClassVar[int] = 12
    members: tuple[Summary, ...]
    """The states."""


@dataclass(frozen=True, slots=True)
class Want:
    """Asks for the descriptions of members."""

    code: ClassVar[int] = 13
    sids: tuple[int, ...]
    """Their ids."""


@dataclass(frozen=True, slots=True)
class Hello:
    """Greets an address whose member is not known."""

    code: ClassVar[int] = 14
    generation: int
    """Which life of the name greets."""
    name: str
    """Who greets."""


@dataclass(frozen=True, slots=True)
class HelloReply:
    """Answers a greeting."""

    code: ClassVar[int] = 15
    echo: int
    """The counter of the greeting."""
    status: int
    """0: join. 1: that life has ended, take a new one. 2: that key is retired, take the next.
    3: the member that answers has that name itself."""
    generation: int
    """The greatest generation known for the name under another id, or 0."""


if TYPE_CHECKING:
    Message: TypeAlias = (
        Ping | Ack | PingRequest | Nack | Alive | Suspect | Dead | Left | Refute | Digest | Part
        | Summaries | Want | Hello | HelloReply
    )  # fmt: skip

_CLASSES: Final = (
    Ping, Ack, PingRequest, Nack, Alive, Suspect, Dead, Left, Refute, Digest, Part, Summaries, Want,
    Hello, HelloReply,
)  # fmt: skip
_BY_CODE: Final[dict[int, Any]] = {kind.code: kind for kind in _CLASSES}


class Opened(NamedTuple):
    """A datagram that was opened."""

    kind: Kind
    """What it is."""
    epoch: int
    """The epoch of the key that sealed it."""
    sender: int
    """The sender's id."""
    counter: int
    """Which of the sender's datagrams it is: each is to be taken once."""
    body: bytes
    """Its body, not checked yet."""


def encode(messages: Iterable[Message]) -> bytes:
    """Return the body that holds messages in their order.

    Raises `ConfigurationError` for a field out of its range and `LimitExceeded` for a body that
    fits no datagram. (docs/GOSSIP.md, G-11 to G-14)
    """
    return _ztransport.gossip_encode([_fields(message) for message in messages])


def decode(body: bytes) -> list[Message]:
    """Return the messages of a body. Those of unknown type are left out, as the protocol wants it.

    All of it is checked first: raises `ProtocolError` for the first rule that is broken.
    """
    return [_message(*told) for told in _ztransport.gossip_decode(body)]


def seal(
    body: bytes,
    *,
    key: bytes | None,
    cluster: str,
    sender: int,
    counter: int,
    receiver: int,
    epoch: int = 0,
    kind: Kind = "sealed",
    cipher: Cipher = "chacha20-poly1305",
) -> bytes:
    """Return a datagram with ``body`` sealed for ``receiver``, whose id is 0 in a greeting.

    ``key`` is the cluster key of ``epoch``: 32 bytes, or none for a datagram in the clear.
    ``sender`` is 64 bits and not 0, ``counter`` 1 to 2^48 - 1 and higher in every datagram of that
    sender. The sender's key is derived on every call (HKDF-SHA256, RFC 5869). Raises
    `ConfigurationError` or `LimitExceeded`. (docs/GOSSIP.md, G-1 to G-5)
    """
    for name, value, least, bits in (
        ("sender", sender, 1, 64),
        ("counter", counter, 1, 48),
        ("receiver", receiver, 0, 64),
        ("epoch", epoch, 0, 8),
    ):
        check_range(name, value, least, (1 << bits) - 1)
    return _ztransport.gossip_seal(
        body,
        key=None if key is None else membership.key_bytes(key),
        cluster=cluster,
        sender=sender,
        counter=counter,
        receiver=receiver,
        epoch=epoch,
        kind=kind,
        cipher=cipher,
    )


def open(  # noqa: A001 the word of the field
    datagram: bytes,
    *,
    key: bytes | None,
    cluster: str,
    receiver: int,
    epoch: int = 0,
    cipher: Cipher = "chacha20-poly1305",
) -> Opened:
    """Return what a datagram holds that was sealed for ``receiver``, 0 for a greeting.

    Raises `ProtocolError` for one that is forged, sealed for another member, cluster or epoch, or
    in the clear where a sealed one is expected or the reverse. Answer nothing to those.
    """
    told = _ztransport.gossip_open(
        datagram, key=key, cluster=cluster, receiver=receiver, epoch=epoch, cipher=cipher
    )
    return Opened(*told)


def _fields(message: Message) -> tuple[Any, ...]:
    if type(message) not in _CLASSES:
        text = f"a body holds messages such as Ping or Alive, not a {type(message).__name__}"
        raise ConfigurationError(text)
    values = [getattr(message, field.name) for field in dataclasses.fields(message)]
    if isinstance(message, Alive):
        values[-1] = dict(membership.encoded(message.properties))
    return (message.code, *values)


def _message(code: int, *fields: Any) -> Message:
    *rest, last = fields
    if code == Summaries.code:
        last = tuple(Summary(*member) for member in last)
    elif code == Alive.code:
        last = MappingProxyType(last)
    made: Message = _BY_CODE[code](*rest, last)
    return made
