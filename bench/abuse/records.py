"""TLS 1.3 records made by hand, so that they can say what no library lets them say.

Python's `ssl` does the handshake and writes its traffic secret to a key log in a private folder;
from there on everything this side sends is sealed here (RFC 8446 sections 5.2, 5.3 and 7.2).
"""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from bench.abuse.raw import Raw, Target, dial

CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA, HEARTBEAT = range(20, 25)
KEY_UPDATE = 24
IV_BYTES = 12
SECRET_LABEL = "CLIENT_TRAFFIC_SECRET_0"
KEY_UPDATE_RECORD_BYTES = 5 + 1 + 16
"""Body of a record with nothing but a KeyUpdate: message, content type and tag."""


def clear(content: int, body: bytes) -> bytes:
    """A record in the clear."""
    return struct.pack(">BHH", content, 0x0303, len(body)) + body


def message(kind: int, body: bytes) -> bytes:
    """A handshake message."""
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


class Sealer:
    """Seals records with keys that follow from one traffic secret."""

    def __init__(self, secret: bytes, cipher_suite: str) -> None:
        self._hash = hashes.SHA384() if cipher_suite.endswith("SHA384") else hashes.SHA256()
        self._is_aes = "AES" in cipher_suite
        self._key_bytes = 16 if "AES_128" in cipher_suite else 32
        self._use(secret)

    def _use(self, secret: bytes) -> None:
        self._secret, self._sequence = secret, 0
        key = self._expand(b"key", self._key_bytes)
        self._aead = AESGCM(key) if self._is_aes else ChaCha20Poly1305(key)
        self._iv = self._expand(b"iv", IV_BYTES)

    def _expand(self, label: bytes, length: int) -> bytes:
        full = b"tls13 " + label
        info = struct.pack(">HB", length, len(full)) + full + b"\0"
        return HKDFExpand(self._hash, length, info).derive(self._secret)

    def seal(self, content: int, body: bytes) -> bytes:
        """One record."""
        counter = int.from_bytes(self._iv, "big") ^ self._sequence
        header = struct.pack(">BHH", APPLICATION_DATA, 0x0303, len(body) + 1 + 16)
        nonce = counter.to_bytes(IV_BYTES, "big")
        self._sequence += 1
        return header + self._aead.encrypt(nonce, body + bytes([content]), header)

    def key_update(self, *, requested: bool) -> bytes:
        """One KeyUpdate; what follows is sealed with the next key."""
        record = self.seal(HANDSHAKE, message(KEY_UPDATE, bytes([requested])))
        self._use(self._expand(b"traffic upd", self._hash.digest_size))
        return record


def established(target: Target) -> tuple[Raw, Sealer]:
    """A connection with its handshake done, and what seals its records from now on."""
    context = target.context()
    assert context is not None  # only TLS has records
    with tempfile.TemporaryDirectory(prefix="ztransport-abuse-") as folder:
        context.keylog_filename = str(Path(folder) / "keys")
        raw = Raw(dial(target), context)
        raw.handshake()
        lines = Path(context.keylog_filename).read_text().splitlines()
    secret = next(line.split()[2] for line in lines if line.startswith(SECRET_LABEL))
    return raw, Sealer(bytes.fromhex(secret), raw.cipher_suite)


def count_key_updates(received: bytes) -> int:
    """How many records of what a server sent are as long as a lone KeyUpdate."""
    found, at = 0, 0
    while at + 5 <= len(received):
        length = int.from_bytes(received[at + 3 : at + 5], "big")
        found += length == KEY_UPDATE_RECORD_BYTES
        at += 5 + length
    return found
