"""Zeebe's messaging as a peer may write it, independent of our own codec (docs/WIRE.md W-70)."""

from __future__ import annotations

import struct

from bench.abuse.raw import Raw, Target, connected

VERSION = 2
REQUEST, REPLY = 1, 2
OK = 0
HANDSHAKE_BYTES = 6
ADDRESS = struct.pack(">h", 8) + b"attacker" + struct.pack(">i", 1)
"""What a dialer says of itself, once, before its first request."""


def handshake(cluster: str) -> bytes:
    """The hash of the cluster's name, as Java makes it, and the version."""
    hashed = 0
    for unit in cluster.encode("utf-16-be")[1::2]:  # clusters here have ASCII names
        hashed = (31 * hashed + unit) & 0xFFFF_FFFF
    return struct.pack(">Ih", hashed, VERSION)


def request(number: int, subject: str, payload: bytes = b"") -> bytes:
    """Encode a request; number and length must be below 128."""
    head = bytes((REQUEST, number, len(payload)))
    return head + payload + struct.pack(">h", len(subject)) + subject.encode()


def reply(number: int, payload: bytes) -> bytes:
    """Encode a reply of the same bounds."""
    return bytes((REPLY, number, len(payload))) + payload + bytes([OK])


def shaken(target: Target) -> Raw:
    """A connection that is ready for requests."""
    raw = connected(target, alpn=())
    raw.send(handshake(target.cluster))
    answer = b""
    while len(answer) < HANDSHAKE_BYTES:
        answer += raw.read_plain()
    assert answer == handshake(target.cluster)
    raw.send(ADDRESS)
    return raw
