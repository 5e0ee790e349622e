"""What a ServerHello says is read off the wire, in pieces too."""

from __future__ import annotations

import struct

import pytest

from ztransport.bench import fairness, handshake


def hello(
    suite: int = 0x1301, group: int = 0x001D, version: int = 0x0304, more: bytes = b""
) -> bytes:
    """A ServerHello record of RFC 8446 section 4.1.3."""
    extensions = struct.pack(">HHH", 43, 2, version) + struct.pack(">HHHH", 51, 4, group, 0)
    extensions += more
    body = b"\x03\x03" + bytes(32) + b"\x00" + struct.pack(">HBH", suite, 0, len(extensions))
    message = b"\x02" + (len(body) + len(extensions)).to_bytes(3, "big") + body + extensions
    return b"\x16\x03\x03" + struct.pack(">H", len(message)) + message


def test_version_suite_and_group_are_read() -> None:
    assert handshake.server_hello(hello() + b"more") == fairness.NEGOTIATED
    other = handshake.server_hello(hello(0x1302, 0x11EC, 0x0303))
    assert other == {
        "version": "0x0303",
        "cipher_suite": "TLS_AES_256_GCM_SHA384",
        "group": "X25519MLKEM768",
    }


def test_a_resumed_session_is_told_from_a_new_one() -> None:
    assert not handshake.is_resumed(hello())
    assert handshake.is_resumed(hello(more=struct.pack(">HHH", 41, 2, 0)))
    assert not handshake.is_resumed(hello()[:20])


def test_pieces_are_waited_for() -> None:
    whole = hello()
    assert all(handshake.server_hello(whole[:size]) is None for size in range(len(whole)))


@pytest.mark.parametrize("heard", [b"HTTP/1.1 400", b"\x15\x03\x03\x00\x02\x02\x28"])
def test_what_is_no_server_hello_is_told(heard: bytes) -> None:
    with pytest.raises(ValueError, match="no ServerHello"):
        handshake.server_hello(heard)
