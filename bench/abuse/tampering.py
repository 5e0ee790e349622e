"""Abuse within TLS: key updates without end, and records that TLS 1.3 does not know."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from bench.abuse import wire
from bench.abuse.cases import Case, Row
from bench.abuse.connections import HANDSHAKE_BAR_S
from bench.abuse.handshakes import hello_of
from bench.abuse.raw import Raw, Target, dial
from bench.abuse.records import (
    ALERT,
    APPLICATION_DATA,
    CHANGE_CIPHER_SPEC,
    HANDSHAKE,
    HEARTBEAT,
    Sealer,
    clear,
    count_key_updates,
    established,
    message,
)
from bench.abuse.server import CLUSTER
from bench.abuse.stage import cpu_s

CONSECUTIVE_MAX = 32
FLOODS = 50
FLOOD_UPDATES = 2_000
CPU_S_MAX = 1.0
ENDED_S_MAX = 1.0
CLIENT_HELLO, NEW_SESSION_TICKET, CERTIFICATE, CERTIFICATE_REQUEST = 1, 4, 11, 13
EARLY_DATA = bytes((0, 42, 0, 0))
PING = wire.frame(wire.PING, bytes(8))


def _greeted(target: Target) -> tuple[Raw, Sealer]:
    raw, sealer = established(target)
    greeting = wire.PREFACE + wire.hello(CLUSTER)
    raw.sock.sendall(sealer.seal(APPLICATION_DATA, greeting))
    raw.expect(wire.HELLO)
    return raw, sealer


def _until_pong(raw: Raw) -> bytes:
    """The ciphertext up to the answer of a ping."""
    received = bytearray()
    while True:
        received += raw.receive()
        raw.open_received()
        if raw.pop(wire.PONG):
            return bytes(received)


def key_updates(case: Case) -> None:
    """T12: as many as allowed, then one more, with and without asking for an answer."""
    for requested in (False, True):
        raw, sealer = _greeted(case.tls)
        updates = b"".join(sealer.key_update(requested=requested) for _ in range(CONSECUTIVE_MAX))
        raw.sock.sendall(updates + sealer.seal(APPLICATION_DATA, PING))
        answers = count_key_updates(_until_pong(raw))
        what = "with request" if requested else "without"
        case.bars.check(f"{what} {CONSECUTIVE_MAX} pass, {answers} answers", answers <= requested)
        more = (sealer.key_update(requested=requested) for _ in range(CONSECUTIVE_MAX + 1))
        raw.sock.sendall(b"".join(more))
        # The reason is counted at the server: there is no alert (docs/DECISIONS.md).
        case.bars.note(f"one more: {raw.end()}")
        raw.sock.close()
    _flood(case)
    case.bars.counted(case.closed(), tls_protocol=FLOODS + 2)


def _flood(case: Case) -> None:
    begin = cpu_s(case.server)
    for number in range(FLOODS):
        raw, sealer = established(case.tls)
        requested = bool(number % 2)
        updates = (sealer.key_update(requested=requested) for _ in range(FLOOD_UPDATES))
        with contextlib.suppress(ConnectionError):  # that the server reads no more is the point
            raw.sock.sendall(b"".join(updates))
        raw.end()
        raw.sock.close()
    case.bars.at_most(
        f"{FLOODS} floods of {FLOOD_UPDATES:,}", cpu_s(case.server) - begin, CPU_S_MAX, "CPU-s"
    )


def _sealed(content: int, body: bytes) -> Callable[[Target], Raw]:
    def attack(target: Target) -> Raw:
        raw, sealer = _greeted(target)
        raw.sock.sendall(sealer.seal(content, body))
        return raw

    return attack


def _clear(*, established_first: bool, said: bytes) -> Callable[[Target], Raw]:
    def attack(target: Target) -> Raw:
        raw = _greeted(target)[0] if established_first else Raw(dial(target), None)
        raw.sock.sendall(said)
        return raw

    return attack


def _spam_in_handshake(target: Target) -> Raw:
    raw = Raw(dial(target), target.context())
    raw.sock.sendall(raw.flight() + clear(CHANGE_CIPHER_SPEC, b"\1") * 100)
    return raw


def _early_data(target: Target) -> Raw:
    """A hello that claims early data, and the data."""
    record = bytearray(hello_of(target))
    added = len(EARLY_DATA)
    extensions_at = _extensions_at(record)
    lengths = ((3, 2), (6, 3), (extensions_at, 2))  # record, message, extensions
    for at, size in lengths:
        length = int.from_bytes(record[at : at + size], "big") + added
        record[at : at + size] = length.to_bytes(size, "big")
    record[extensions_at + 2 : extensions_at + 2] = EARLY_DATA
    raw = Raw(dial(target), None)
    raw.sock.sendall(bytes(record) + clear(APPLICATION_DATA, bytes(64)) * 2)
    return raw


def _extensions_at(record: bytearray) -> int:
    at = 5 + 4 + 2 + 32
    at += 1 + record[at]
    at += 2 + int.from_bytes(record[at : at + 2], "big")
    return at + 1 + record[at]


ODDITIES: dict[str, Callable[[Target], Raw]] = {
    "renegotiation": _sealed(HANDSHAKE, message(CLIENT_HELLO, bytes(40))),
    "client's ticket": _sealed(HANDSHAKE, message(NEW_SESSION_TICKET, bytes(40))),
    "late certificate": _sealed(HANDSHAKE, message(CERTIFICATE, bytes(4))),
    "certificate request": _sealed(HANDSHAKE, message(CERTIFICATE_REQUEST, bytes(3))),
    "unknown message": _sealed(HANDSHAKE, message(99, b"")),
    "heartbeat": _sealed(HEARTBEAT, b"\1\0\4ping" + bytes(16)),
    "sealed CCS": _sealed(CHANGE_CIPHER_SPEC, b"\1"),
    "unknown alert": _sealed(ALERT, b"\2\xfd"),
    "alert in the clear": _clear(established_first=True, said=clear(ALERT, b"\2\x28")),
    "CCS afterwards": _clear(established_first=True, said=clear(CHANGE_CIPHER_SPEC, b"\1")),
    "heartbeat first": _clear(established_first=False, said=clear(HEARTBEAT, bytes(19))),
    "CCS first": _clear(established_first=False, said=clear(CHANGE_CIPHER_SPEC, b"\1") * 100),
    "100 CCS in the handshake": _spam_in_handshake,
}


def oddities(case: Case) -> None:
    """T13."""
    late = []
    for name, attack in ODDITIES.items():
        begin = time.monotonic()
        with attack(case.tls) as raw:
            raw.end()
        if time.monotonic() - begin > ENDED_S_MAX:
            late.append(name)
    refused = len(ODDITIES) - len(late)
    if late:
        case.bars.note(f"late: {', '.join(late)}")
    case.bars.exactly(f"of {len(ODDITIES)} oddities refused", refused, len(ODDITIES))
    # Early data is skipped (RFC 8446 section 4.2.10), and no handshake can follow it here.
    begin = time.monotonic()
    with _early_data(case.tls) as raw:
        raw.end()
    case.bars.at_most("0-RTT gone after", time.monotonic() - begin, HANDSHAKE_BAR_S, "s")
    closed = case.closed()
    case.bars.check(f"{dict(closed)}", "closed_in_order" not in closed)
    case.bars.exactly("typed", closed.total(), len(ODDITIES) + 1)


ROWS = (
    Row(
        "T12",
        "KeyUpdate flood, with and without request",
        "32 in a row pass, one more is fatal; 1 answer a flush; ≤ 1 CPU-s",
        key_updates,
        ("key_updates_are_answered_once_per_flush",),
    ),
    Row("T13", "renegotiation, heartbeats, 0-RTT and the like", "all refused", oddities),
    Row(
        "T14",
        "key life forced to 1,000 records",
        "0 lost",
        None,
        ("a_hundred_thousand_small_messages_over_a_hundred_keys_lose_nothing",),
    ),
)
