"""What a TLS handshake agreed on, read off the wire.

In TLS 1.3 the ServerHello is the last message in clear (RFC 8446 section 4.1.3); it names version,
suite and group. So a hop between two programs that do not tell can be judged by listening in.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

from ztransport.bench import fairness
from ztransport.bench.processes import BenchError

__all__ = ["Listener", "is_resumed", "server_hello"]

HEARD_BYTES_MAX = 16_384
WAIT_S_MAX = 5.0
HANDSHAKE_RECORD, SERVER_HELLO = 22, 2
RECORD_HEADER_BYTES, MESSAGE_HEADER_BYTES = 5, 4
RANDOM_END = MESSAGE_HEADER_BYTES + 2 + 32
PRE_SHARED_KEY, SUPPORTED_VERSIONS, KEY_SHARE = 41, 43, 51
VERSIONS = {0x0304: fairness.VERSION}
SUITES = {
    0x1301: fairness.CIPHER_SUITE,
    0x1302: "TLS_AES_256_GCM_SHA384",
    0x1303: "TLS_CHACHA20_POLY1305_SHA256",
}
GROUPS = {0x001D: fairness.GROUP, 0x0017: "secp256r1", 0x11EC: "X25519MLKEM768"}


def server_hello(heard: bytes) -> dict[str, str] | None:
    """Version, suite and group of a listener's first bytes; None while they are too few.

    Raises ValueError when they do not begin with a ServerHello.
    """
    message = _message(heard)
    return _agreed(message) if message is not None else None


def is_resumed(heard: bytes) -> bool:
    """Whether a listener took up an earlier session: then it answers with a pre-shared key."""
    message = _message(heard)
    return message is not None and PRE_SHARED_KEY in _read(message)[1]


def _message(heard: bytes) -> bytes | None:
    if len(heard) < RECORD_HEADER_BYTES:
        return None
    message = heard[RECORD_HEADER_BYTES:]
    length = int.from_bytes(heard[3:5], "big")
    if heard[0] != HANDSHAKE_RECORD or (message and message[0] != SERVER_HELLO):
        raise ValueError(f"it begins with {heard[:6].hex(' ')}, which is no ServerHello")
    return message[:length] if len(message) >= length else None


def _read(message: bytes) -> tuple[int, dict[int, bytes]]:
    """Where the suite stands, and the extensions by number."""
    suite_at = RANDOM_END + 1 + message[RANDOM_END]
    return suite_at, dict(_extensions(message[suite_at + 5 :]))


def _agreed(message: bytes) -> dict[str, str]:
    suite_at, extensions = _read(message)
    return {
        "version": _name(VERSIONS, extensions.get(SUPPORTED_VERSIONS, message[4:6])),
        "cipher_suite": _name(SUITES, message[suite_at : suite_at + 2]),
        "group": _name(GROUPS, extensions.get(KEY_SHARE, b"")[:2]),
    }


def _extensions(rest: bytes) -> Iterator[tuple[int, bytes]]:
    while len(rest) >= MESSAGE_HEADER_BYTES:
        end = MESSAGE_HEADER_BYTES + int.from_bytes(rest[2:4], "big")
        yield int.from_bytes(rest[:2], "big"), rest[MESSAGE_HEADER_BYTES:end]
        rest = rest[end:]


def _name(names: dict[int, str], code: bytes) -> str:
    number = int.from_bytes(code, "big")
    return names.get(number, f"0x{number:04x}")


class Listener:
    """A port between two programs that carries one handshake and hears what it agrees on."""

    def __init__(self, port: int) -> None:
        self._listening = socket.create_server(("127.0.0.1", port))
        self._listening.settimeout(WAIT_S_MAX)

    def hear(self, dialled_port: int, upstream_port: int) -> dict[str, str]:
        """Connect to the dialling program and relay its handshake with the listening one.

        Raises BenchError when no handshake comes about.
        """
        first = socket.create_connection(("127.0.0.1", dialled_port), timeout=WAIT_S_MAX)
        with closing(self._listening), first, self._listening.accept()[0] as dialling:
            upstream = socket.create_connection(("127.0.0.1", upstream_port), timeout=WAIT_S_MAX)
            dialling.settimeout(WAIT_S_MAX)
            with upstream:
                return _relayed(dialling, upstream)


def _relayed(dialling: socket.socket, upstream: socket.socket) -> dict[str, str]:
    upstream.sendall(dialling.recv(HEARD_BYTES_MAX))
    heard = b""
    while len(heard) < HEARD_BYTES_MAX and (data := upstream.recv(HEARD_BYTES_MAX)):
        heard += data
        found = server_hello(heard)
        if found is not None:
            return found
    raise BenchError("the proxies agree on no TLS session: look at their configuration")
