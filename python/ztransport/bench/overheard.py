"""What TLS does on the wire of one hop, overheard while the generator sends through it.

What was configured is what was asked for; this is what was had. In TLS 1.3 the ServerHello says in
clear what was agreed on and whether a session was resumed (RFC 8446 section 4.2.11), and the header
of every record its length (section 5.2), so that nobody who takes part need be asked.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from ztransport.bench import handshake, readings
from ztransport.bench.driving import Asked, Generator
from ztransport.bench.fairness import Files
from ztransport.bench.processes import InvalidMeasurement
from ztransport.bench.stack import Stack
from ztransport.bench.variants import PLAIN, Variant
from ztransport.bench.workloads import Workload

__all__ = ["Tap", "is_encrypted", "overhear", "tapped"]

HEADER_BYTES, APPLICATION_RECORD = 5, 23
SEALING_BYTES = 17
"""Of each record: the tag of AES-GCM and the inner content type."""
READ_BYTES_MAX = 65_536
HELLO_BYTES_MAX = 4_096
SECONDS = 0.05
WORK = Workload(
    name="overheard",
    title="",
    pattern="request",
    payload_bytes=65_536,
    connections=2,  # a second one could resume what the first one began
)


@dataclass(slots=True)
class Records:
    """The TLS records of one direction, read header by header as the bytes come."""

    plaintext_bytes_max: int = 0
    begin: bytearray = field(default_factory=bytearray)
    _header: bytearray = field(default_factory=bytearray)
    _left: int = 0

    def hear(self, data: bytes) -> None:
        """Take the next bytes, however they are cut."""
        self.begin += data[: HELLO_BYTES_MAX - len(self.begin)]
        rest = memoryview(data)
        while rest:
            if self._left:
                skipped = min(self._left, len(rest))
                self._left -= skipped
                rest = rest[skipped:]
                continue
            missing = HEADER_BYTES - len(self._header)
            self._header += rest[:missing]
            rest = rest[missing:]
            if len(self._header) == HEADER_BYTES:
                self._begin_record()

    def _begin_record(self) -> None:
        self._left = int.from_bytes(self._header[3:5], "big")
        if self._header[0] == APPLICATION_RECORD:
            own = self._left - SEALING_BYTES
            self.plaintext_bytes_max = max(self.plaintext_bytes_max, own)
        self._header.clear()


@dataclass(slots=True)
class Tap:
    """A port that leads to another one, and what was heard on each connection in each direction."""

    listening: socket.socket
    upstream_port: int
    towards: list[Records] = field(default_factory=list)
    back: list[Records] = field(default_factory=list)

    @property
    def port(self) -> int:
        """Where to dial."""
        port: int = self.listening.getsockname()[1]
        return port

    def found(self) -> dict[str, object]:
        """What was agreed on and how long the longest records were, in bytes of plaintext.

        Raises InvalidMeasurement when nothing was heard, ValueError when it was no TLS.
        """
        hellos = [handshake.server_hello(bytes(one.begin)) for one in self.back]
        known = [hello for hello in hellos if hello is not None]
        if not known:
            raise InvalidMeasurement("no handshake was overheard: run again")
        resumed = [handshake.is_resumed(bytes(one.begin)) for one in self.back]
        return {
            **known[0],
            "resumed": any(resumed),
            "record_bytes_max_sent": max(one.plaintext_bytes_max for one in self.towards),
            "record_bytes_max_received": max(one.plaintext_bytes_max for one in self.back),
        }


@contextmanager
def tapped(upstream_port: int, port: int = 0) -> Iterator[Tap]:
    """Relay a port to another and listen in until the context ends."""
    with (
        socket.create_server(("127.0.0.1", port)) as listening,
        selectors.DefaultSelector() as waiting,
    ):
        ended, ends = socket.socketpair()
        tap = Tap(listening, upstream_port)
        waiting.register(listening, selectors.EVENT_READ, partial(_accept, tap, waiting))
        waiting.register(ended, selectors.EVENT_READ, None)
        thread = threading.Thread(target=_relay, args=(waiting,), name="tap")
        thread.start()
        try:
            yield tap
        finally:
            ends.close()
            thread.join()
            for key in list(waiting.get_map().values()):
                waiting.unregister(key.fileobj)
                if isinstance(key.fileobj, socket.socket):
                    key.fileobj.close()


def overhear(
    variant: Variant, stack: Stack, files: Files, generator: Generator
) -> dict[str, object]:
    """Send through the encrypted hop of a running variant and tell what its wire carried.

    Raises BenchError as `Generator.measure` does.
    """
    dialled, listened, upstream = _ports(stack)
    cores = os.sched_getaffinity(0)
    with tapped(upstream, listened) as tap:
        port = dialled or tap.port
        line = Asked(variant, WORK, None, SECONDS, 0.0).line(port, files)
        generator.measure(line, lambda: readings.read({}, cores))
        return tap.found()


def is_encrypted(variant: Variant) -> bool:
    """Whether any hop of a variant is TLS."""
    return variant.dialled != PLAIN or variant.encrypts_between_proxies


def _ports(stack: Stack) -> tuple[int | None, int, int]:
    """Whom to dial (None: the tap itself), where the tap listens, and where it leads."""
    if stack.between is None:
        return None, 0, stack.entries["broker"]
    return stack.between.dialled, stack.between.listened, stack.between.upstream


def _relay(waiting: selectors.BaseSelector) -> None:
    while True:
        for key, _ in waiting.select():
            if key.data is None:
                return
            key.data()


def _accept(tap: Tap, waiting: selectors.BaseSelector) -> None:
    accepted, _ = tap.listening.accept()
    upstream = socket.create_connection(("127.0.0.1", tap.upstream_port))
    for source, sink, kept in ((accepted, upstream, tap.towards), (upstream, accepted, tap.back)):
        source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        kept.append(Records())
        heard = partial(_copy, waiting, source, sink, kept[-1])
        waiting.register(source, selectors.EVENT_READ, heard)


def _copy(
    waiting: selectors.BaseSelector, source: socket.socket, sink: socket.socket, records: Records
) -> None:
    """Carry what is there; the end of one side ends both, as it does at a proxy."""
    try:
        data = source.recv(READ_BYTES_MAX)
        sink.sendall(data)
    except OSError:
        data = b""
    records.hear(data)
    if not data:
        for side in (source, sink):
            if side.fileno() != -1:
                waiting.unregister(side)
                side.close()
