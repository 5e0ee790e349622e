"""A small encoder and decoder of ZT/1 frames, independent of the library's own (docs/WIRE.md).

It writes what a peer may write and, just as easily, what no peer may.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

PREFACE = b"ZT/1\r\n\x1a\n"
HEADER = struct.Struct("<IBBHQ")
FRAGMENT_BYTES_MAX = 64 * 1024
FRAGMENT_BYTES_MIN = 4 * 1024
METADATA_BYTES_MAX = 4 * 1024
FRAME_BODY_BYTES_MAX = FRAGMENT_BYTES_MAX + METADATA_BYTES_MAX + 64
MESSAGE_BYTES_MAX = 4 << 20
REQUEST_WINDOW = 1_024
SLOT_BITS = 16

HELLO, SUBJECT, REQUEST, REPLY, FAULT, CANCEL, SEND = range(1, 8)
STREAM_OPEN, STREAM_DATA, STREAM_END, STREAM_RESET, CREDIT, PING, PONG, GOAWAY = range(8, 16)
SKIPPABLE_MIN = 0x80

LAST, METADATA, CONTINUED = 1, 2, 4

FAULT_PROTOCOL, FAULT_LIMIT = 7, 10


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it came."""

    kind: int
    flags: int
    subject: int
    id: int
    body: bytes


def frame(kind: int, body: bytes = b"", *, flags: int = 0, subject: int = 0, id: int = 0) -> bytes:  # noqa: A002
    """Encode one frame; nothing is checked."""
    return HEADER.pack(len(body), kind, flags, subject, id) + body


def hello(cluster: str, node_id: str = "attacker") -> bytes:
    """Encode a HELLO with the fields that must be there; all limits keep their initial values."""
    fields = ((1, struct.pack("<HH", 1, 1)), (2, cluster.encode()), (3, node_id.encode()))
    body = b"".join(struct.pack("<HH", tag, len(value)) + value for tag, value in fields)
    return frame(HELLO, body)


def subject(number: int, name: str) -> bytes:
    """Announce a subject; numbers begin at 1 and leave no gap."""
    return frame(SUBJECT, name.encode(), subject=number)


def request_id(count: int, slot: int) -> int:
    """The id of the `count`-th request, from 1, in a slot of the window."""
    return count << SLOT_BITS | slot


def request(number: int, id: int, payload: bytes = b"", deadline_ms: int = 0) -> bytes:  # noqa: A002
    """Encode a request of one fragment."""
    body = deadline_ms.to_bytes(4, "little") + payload
    return frame(REQUEST, body, flags=LAST, subject=number, id=id)


def first_fragment(number: int, id: int, total: int, payload: bytes) -> bytes:  # noqa: A002
    """Encode the first fragment of a request that announces `total` bytes of payload."""
    body = struct.pack("<II", 0, total) + payload
    return frame(REQUEST, body, subject=number, id=id)


def fault_code(fault: Frame) -> int:
    """The code in a FAULT."""
    return int.from_bytes(fault.body[:2], "little")


class Decoder:
    """Cuts bytes into frames."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: bytes) -> list[Frame]:
        """Add bytes and return every frame that is complete."""
        whole, at, found = self._rest + data, 0, []
        while len(whole) - at >= HEADER.size:
            length, kind, flags, number, id_ = HEADER.unpack_from(whole, at)
            start = at + HEADER.size
            if len(whole) - start < length:
                break
            at = start + length
            found.append(Frame(kind, flags, number, id_, whole[start:at]))
        self._rest = whole[at:]
        return found
