"""The framing of the stream contenders: 4-byte length, 8-byte id, payload; big-endian.

The first byte of a connection says what follows: calls, a sink that finds each message's bounds
and builds no object, or a sink that builds each message.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

HEADER = struct.Struct("!IQ")
HEADER_BYTES = HEADER.size
CALLS_MODE = b"c"
SINK_MODE = b"s"
MESSAGES_MODE = b"m"
COUNT_ID = 2**64 - 1
MESSAGES_PER_BLOB = 64
BULK_BYTES_MIN = 65_536


def frame(identity: int, payload: bytes) -> bytes:
    """One frame."""
    return HEADER.pack(len(payload), identity) + payload


def blob(payload_bytes: int) -> bytes:
    """What a one-way sender writes at once: 64 small messages joined beforehand, or a large one."""
    one = frame(0, bytes(payload_bytes))
    return one if payload_bytes >= BULK_BYTES_MIN else one * MESSAGES_PER_BLOB


def split(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Whole frames as (id, payload), and the bytes of an unfinished one."""
    frames: list[tuple[int, bytes]] = []
    position, size, unpack = 0, len(data), HEADER.unpack_from
    while size - position >= HEADER_BYTES:
        length, identity = unpack(data, position)
        end = position + HEADER_BYTES + length
        if end > size:
            break
        frames.append((identity, data[position + HEADER_BYTES : end]))
        position = end
    return frames, data[position:]


@dataclass(slots=True)
class Tally:
    """Messages a server has swallowed, over all its connections."""

    messages: int = 0


def echo(data: bytes, tally: Tally) -> tuple[bytes, bytes]:
    """Answer each call with its payload, or with the tally; the replies joined, and the rest."""
    frames, rest = split(data)
    parts: list[bytes] = []
    for identity, payload in frames:
        reply = tally.messages.to_bytes(8, "big") if identity == COUNT_ID else payload
        parts += (HEADER.pack(len(reply), identity), reply)
    return b"".join(parts), rest


@dataclass(slots=True)
class Walker:
    """Finds the bounds of each small message of a stream and counts it, building no object."""

    tally: Tally
    rest: bytes = b""

    def feed(self, chunk: bytes) -> None:
        """Take what one read returned."""
        data = self.rest + chunk if self.rest else chunk
        position, size, count, unpack = 0, len(data), 0, HEADER.unpack_from
        while size - position >= HEADER_BYTES:
            end = position + HEADER_BYTES + unpack(data, position)[0]
            if end > size:
                break
            position, count = end, count + 1
        self.rest = data[position:]
        self.tally.messages += count


@dataclass(slots=True)
class Assembler:
    """Builds each large message of a stream as one `bytes` and counts it."""

    tally: Tally
    chunks: list[bytes] = field(default_factory=list)
    have: int = 0
    want: int = 0
    message: bytes = b""

    def feed(self, chunk: bytes) -> None:
        """Take what one read returned."""
        self.chunks.append(chunk)
        self.have += len(chunk)
        while self.have >= (self.want or HEADER_BYTES):
            if self.want:
                self._take_message()
            else:
                self._learn_length()

    def _learn_length(self) -> None:
        if len(self.chunks[0]) < HEADER_BYTES:
            self.chunks = [b"".join(self.chunks)]
        self.want = HEADER_BYTES + HEADER.unpack_from(self.chunks[0])[0]

    def _take_message(self) -> None:
        over = self.have - self.want
        last = self.chunks[-1]
        rest = last[len(last) - over :] if over else b""
        if over:
            self.chunks[-1] = last[: len(last) - over]
        self.message = b"".join(self.chunks)
        self.tally.messages += 1
        self.chunks, self.have, self.want = [rest] if rest else [], over, 0
