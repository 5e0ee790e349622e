"""A connection of an attacker: a blocking socket, TLS in memory, and every byte in its hands."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.abuse import wire

ALPN = "zt/1"
HOST = "127.0.0.1"
READ_BYTES = 256 * 1024
WAIT_S_MAX = 20.0
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Ended(Exception):
    """The server has ended the connection; the text says how it looked from here."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to dial and, for TLS, whom to trust."""

    address: str
    cluster: str
    trust: Path | None = None

    @property
    def endpoint(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self.address.rsplit(":", 1)
        return host, int(port)

    def context(self, alpn: tuple[str, ...] = (ALPN,)) -> ssl.SSLContext | None:
        """What Python's TLS needs to dial this; None for plaintext."""
        if self.trust is None:
            return None
        context = ssl.create_default_context(cafile=str(self.trust))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


def _said(error: ssl.SSLError) -> str:
    """OpenSSL's words for an alert; Python does not know all by name."""
    text = str(error.args[-1])
    return text.removeprefix("[SSL").partition("] ")[2].partition(" (_ssl")[0]


def dial(target: Target, source: str = HOST) -> socket.socket:
    """Open a TCP connection from an address of this machine's loopback."""
    sock = socket.create_connection(target.endpoint, timeout=WAIT_S_MAX, source_address=(source, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


class Raw:
    """A connection whose bytes, ends and resets are chosen by an attacker."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        self.sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        if context is not None:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=HOST)
        self._decoder = wire.Decoder()
        self._frames: deque[wire.Frame] = deque()
        self._ended: Ended | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def flight(self) -> bytes:
        """The next flight of the TLS handshake; empty for plaintext."""
        if self._tls is not None:
            with contextlib.suppress(ssl.SSLWantReadError):
                self._tls.do_handshake()
        return self._outgoing.read()

    def receive(self) -> bytes:
        """Take one read of the socket. Raises Ended, or TimeoutError after `WAIT_S_MAX`."""
        if self._ended is not None:
            raise self._ended
        try:
            data = self.sock.recv(READ_BYTES)
        except ConnectionError as error:
            raise Ended(type(error).__name__) from error
        if not data:
            raise Ended("end of stream")
        self._incoming.write(data)
        return data

    def finish_handshake(self) -> bytes:
        """Read the server's flight and return our last one, unsent. Raises Ended on an alert."""
        if self._tls is None:
            return b""
        while True:
            self.receive()
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                raise Ended(_said(error)) from error
            return self._outgoing.read()

    def handshake(self) -> None:
        """Do the TLS handshake, if there is TLS."""
        if self._tls is not None:
            self.sock.sendall(self.flight())
            self.sock.sendall(self.finish_handshake())

    @property
    def cipher_suite(self) -> str:
        """The negotiated cipher suite by OpenSSL's name; empty for plaintext."""
        chosen = self._tls.cipher() if self._tls is not None else None
        return chosen[0] if chosen else ""

    def seal(self, plain: bytes) -> bytes:
        """The bytes that carry `plain`: as they are, or as TLS records."""
        if self._tls is None:
            return plain
        self._tls.write(plain)
        return self._outgoing.read()

    def send(self, plain: bytes) -> None:
        """Send. Raises Ended when the server does not take it."""
        try:
            self.sock.sendall(self.seal(plain))
        except ConnectionError as error:
            raise Ended(type(error).__name__) from error

    def greet(self, cluster: str, *subjects: str) -> None:
        """Send preface, HELLO and subjects, and wait for the server's HELLO."""
        names = (wire.subject(number, name) for number, name in enumerate(subjects, 1))
        self.send(wire.PREFACE + wire.hello(cluster) + b"".join(names))
        self.expect(wire.HELLO)

    def read_plain(self) -> bytes:
        """The plaintext of one more read. Raises Ended at the end of the connection."""
        self.receive()
        return self._open()

    def next_frame(self) -> wire.Frame:
        """The next frame. Raises Ended at the end of the connection."""
        while not self._frames:
            self.receive()
            self.open_received()
        return self._frames.popleft()

    def open_received(self) -> None:
        """Open and cut what was received. Raises Ended at an alert or close_notify."""
        self._frames.extend(self._decoder.take(self._open()))

    def pop(self, kind: int) -> wire.Frame | None:
        """Take the first frame of a type that has arrived, and drop what came before it."""
        while self._frames:
            if (found := self._frames.popleft()).kind == kind:
                return found
        return None

    def _open(self) -> bytes:
        if self._tls is None:
            return self._incoming.read()
        opened = bytearray()
        try:
            while chunk := self._tls.read(READ_BYTES):
                opened += chunk
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            said = "close_notify" if isinstance(error, ssl.SSLZeroReturnError) else _said(error)
            self._ended = Ended(said)
            if not opened:
                raise self._ended from error
        return bytes(opened)

    def expect(self, kind: int) -> wire.Frame:
        """The next frame of a type; others are skipped. Raises Ended for a connection's fault."""
        while True:
            found = self.next_frame()
            if found.kind == kind:
                return found
            if found.kind == wire.FAULT and found.id == 0:
                raise Ended(f"fault {wire.fault_code(found)}")

    def end(self) -> str:
        """Read until the server ends the connection; how it ended, the first reason told."""
        told = ""
        try:
            while True:
                found = self.next_frame()
                if found.kind == wire.FAULT and found.id == 0:
                    told = told or f"fault {wire.fault_code(found)}"
        except Ended as ended:
            return told or str(ended)

    def say_goodbye(self) -> None:
        """Send close_notify and end our side in order."""
        if self._tls is not None:
            with contextlib.suppress(ssl.SSLWantReadError):
                self._tls.unwrap()
            self.sock.sendall(self._outgoing.read())
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.sock.close()


def connected(target: Target, source: str = HOST, alpn: tuple[str, ...] = (ALPN,)) -> Raw:
    """A connection with TLS done and nothing greeted."""
    raw = Raw(dial(target, source), target.context(alpn))
    raw.handshake()
    return raw


def greeted(target: Target, *subjects: str, source: str = HOST) -> Raw:
    """A connection that is ready for messages on `subjects`, numbered from 1."""
    raw = connected(target, source)
    raw.greet(target.cluster, *subjects)
    return raw
