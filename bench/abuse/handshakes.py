"""Abuse of the way in: slow, unfinished, foreign and too many TLS handshakes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

import ztransport as zt
from bench.abuse import wire
from bench.abuse.cases import Case, Row
from bench.abuse.connections import HANDSHAKE_BAR_S, SILENT, SILENT_PER_SOURCE
from bench.abuse.crowd import Crowd, source
from bench.abuse.raw import ALPN, READ_BYTES, Ended, Raw, Target, connected, dial
from bench.abuse.server import CLUSTER
from bench.abuse.stage import Control
from ztransport.bench import environment

HELD_KIB_MAX = 32
DRIP_MEASURED_AT_S = 4
UNGREETED = 300
GREETING_BAR_S = 2.5
FLOOD_S = 30.0
FLOODERS = 4
ESTABLISHED_CALLERS = 16
RATE_SHARE_MIN = 0.5
ANSWER_MS_MAX = 50.0
MISMATCH_S_MAX = 1.0
REFUSALS = 50
NOT_TLS_ALERT = bytes((21, 3, 3, 0, 2, 2, 10))
STRANGERS = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n",
    "0xff": bytes([0xFF]) * 64,
    "ZT/1 in plaintext": wire.PREFACE + wire.hello(CLUSTER),
}


def hello_of(target: Target) -> bytes:
    """A ClientHello as Python's TLS makes it."""
    return _flight(target.context())


def _flight(context: ssl.SSLContext | None) -> bytes:
    with Raw(socket.socket(), context) as raw:
        return raw.flight()


def dripping(case: Case) -> None:
    """T2: every socket sends its ClientHello by one byte a second."""
    drip_at(case, case.tls, hello_of(case.tls))


def drip_at(case: Case, target: Target, said: bytes) -> None:
    """Sockets that each say something by one byte a second."""
    crowd, held = Crowd(), [0.0]
    for number in range(SILENT):
        crowd.add(dial(target, source(number // SILENT_PER_SOURCE)))

    def drip(second: int) -> None:
        for sock in crowd.sockets():
            with contextlib.suppress(ConnectionError):  # ended, and not read yet
                sock.send(said[second - 1 : second])
        if second == DRIP_MEASURED_AT_S:
            rise = environment.resident_bytes(case.server.pid) - case.resident_cold
            held[0] = rise / 1024 / SILENT

    crowd.wait(HANDSHAKE_BAR_S * 2, drip)
    case.bars.exactly("gone", len(crowd.ages_s), SILENT)
    case.bars.at_most("last after", max(crowd.ages_s, default=0), HANDSHAKE_BAR_S, "s")
    case.bars.at_most("held", held[0], HELD_KIB_MAX, "KiB/socket")
    case.bars.counted(case.closed(), handshake_timeout=SILENT)
    crowd.close()


def ungreeted(case: Case) -> None:
    """T3."""
    ungreeted_at(case, lambda: connected(case.tls))


def ungreeted_at(case: Case, connect: Callable[[], Raw]) -> None:
    """Connections that are silent once TLS is done, or soon after."""
    crowd = Crowd()
    for _ in range(UNGREETED):
        crowd.add(connect().sock)
    crowd.wait(GREETING_BAR_S * 2)
    case.bars.exactly("gone", len(crowd.ages_s), UNGREETED)
    case.bars.at_most("last after", max(crowd.ages_s, default=0), GREETING_BAR_S, "s")
    case.bars.counted(case.closed(), handshake_timeout=UNGREETED)
    crowd.close()


def flooded(case: Case) -> None:
    """T4: the control client is the established one, and calls without a pause."""
    quiet = case.quiet["calls"] / case.quiet["seconds"]
    case.control.ask("mark")
    floods = [case.stage.flood(case.tls, FLOOD_S) for _ in range(FLOODERS)]
    done = [flood.answer() for flood in floods]
    during = case.control.ask("mark")
    kept = during["calls"] / during["seconds"] / quiet
    completed = sum(one["completed"] for one in done) / FLOOD_S
    case.bars.check(f"keeps {kept:.0%} of {quiet:,.0f} calls/s", kept >= RATE_SHARE_MIN)
    case.bars.note(f"beside {completed:,.0f} handshakes/s")
    case.bars.exactly("refused", sum(one["refused"] for one in done), 0)
    case.bars.at_most("p99 in the flood", during["p99_ms"], case.p99_limit_ms, "ms")


def strangers(case: Case) -> None:
    """T8."""
    strangers_at(case, case.tls)
    case.bars.counted(case.closed(), not_tls=len(STRANGERS), bad_version=1)


def strangers_at(case: Case, target: Target) -> None:
    """What is no TLS 1.3, at a TLS door."""
    waits = []
    for name, said in STRANGERS.items():
        begin = time.perf_counter()
        with Raw(dial(target), None) as raw:
            raw.send(said)
            answer = raw.sock.recv(READ_BYTES)
            waits.append((time.perf_counter() - begin) * 1e3)
            case.bars.check(f"{name}: one alert", answer == NOT_TLS_ALERT and not _more(raw))
    old = target.context()
    assert old is not None  # this target has TLS
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    refusal, wait = refusal_of(target, old)
    case.bars.check(f"TLS 1.2: {refusal}", "protocol version" in refusal)
    case.bars.at_most("slowest", max([*waits, wait]), ANSWER_MS_MAX, "ms")


def _more(raw: Raw) -> bytes:
    try:
        return raw.sock.recv(READ_BYTES)
    except ConnectionError:
        return b""


def refusal_of(target: Target, context: ssl.SSLContext | None) -> tuple[str, float]:
    """How a handshake is refused, and after how many ms."""
    begin = time.perf_counter()
    with Raw(dial(target), context) as raw:
        try:
            raw.handshake()
        except Ended as ended:
            return str(ended), (time.perf_counter() - begin) * 1e3
    return "accepted", 0.0


def mismatched(case: Case) -> None:
    """T9: each of both sides thinks the other does as it does."""
    trust = zt.TLSConfig(trust=(case.tls.trust or "",))
    for tls, target, expected in (
        (trust, case.plain, zt.PlaintextPeer),
        (None, case.tls, zt.TLSPeer),
    ):
        begin = time.monotonic()
        found = trio.run(dial_error, tls, target.address)
        case.bars.exactly("raises", found.__name__, expected.__name__)
        case.bars.at_most("after", time.monotonic() - begin, MISMATCH_S_MAX, "s")
    case.bars.counted(case.closed(), tls_peer=1, not_tls=1)


async def dial_error(tls: Any, address: str, protocol: Any = "zt/1") -> type[BaseException]:
    """The type of what a dialer of ours raises; NoneType for nothing."""
    async with zt.open_node(None, cluster=CLUSTER, node_id="mismatched", tls=tls) as node:
        try:
            await node.connect(address, protocol=protocol)
        except zt.Error as error:
            return type(error)
    return type(None)  # type: ignore[return-value]  # shown as what was raised: nothing


def without_alpn(case: Case) -> None:
    """T10."""
    for name, alpn in (("no ALPN", ()), ("h2", ("h2",))):
        found = [refusal_of(case.tls, case.tls.context(alpn))[0] for _ in range(REFUSALS)]
        refused = sum("no application protocol" in one for one in found)
        case.bars.exactly(f"{name} refused", refused, REFUSALS)
    case.bars.counted(case.closed(), alpn_refused=2 * REFUSALS)


def split_hellos(case: Case) -> None:
    """T11: three kinds of hello cut at every byte, in tiny records, and with all at once."""
    opening = wire.PREFACE + wire.hello(case.tls.cluster) + wire.subject(1, "echo")
    asked = wire.request(1, wire.request_id(1, 0), b"same")

    def is_answered(raw: Raw) -> bool:
        return raw.expect(wire.REPLY).body == b"same"

    split_at(case, case.tls, Greeting((ALPN,), opening + asked, is_answered))


@dataclass(frozen=True, slots=True)
class Greeting:
    """All that a dialer says at once, and how it knows that this was understood."""

    alpn: tuple[str, ...]
    said: bytes
    is_answered: Callable[[Raw], bool]


def split_at(case: Case, target: Target, greeting: Greeting) -> None:
    """Hellos cut anyhow, each followed at once by greeting and first request."""
    failed, done = 0, 0
    for groups in ("prime256v1", "X25519", None):
        context = target.context(greeting.alpn)
        assert context is not None  # this target has TLS
        if groups is not None:
            context.set_ecdh_curve(groups)
        for cut in range(1, len(_flight(context))):
            done += 1
            failed += not _same_outcome(target, context, greeting, partial(_in_two, cut))
    context = target.context(greeting.alpn)
    for pieces in (_in_tiny_records, _byte_by_byte):
        done += 1
        failed += not _same_outcome(target, context, greeting, pieces)
    case.bars.exactly(f"of {done} different", failed, 0)


def _in_two(cut: int, hello: bytes) -> list[bytes]:
    return [hello[:cut], hello[cut:]]


def _byte_by_byte(hello: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in hello]


def _in_tiny_records(hello: bytes) -> list[bytes]:
    head, body = hello[:3], hello[5:]
    return [b"".join(head + bytes((0, 1, byte)) for byte in body)]


def _same_outcome(
    target: Target,
    context: ssl.SSLContext | None,
    greeting: Greeting,
    pieces: Callable[[bytes], list[bytes]],
) -> bool:
    """Whether the handshake succeeds; its last flight carries greeting and first request too."""
    with Raw(dial(target), context) as raw:
        try:
            for piece in pieces(raw.flight()):
                raw.sock.sendall(piece)
            last = raw.finish_handshake()
            raw.sock.sendall(last + raw.seal(greeting.said))
            answered = greeting.is_answered(raw)
            raw.say_goodbye()
            raw.end()
        except Ended:
            return False
    return answered


ROWS = (
    Row("T2", "ClientHello by one byte a second", "gone ≤ 5.5 s, ≤ 32 KiB each", dripping),
    Row("T3", f"TLS and no greeting: {UNGREETED} sockets", "all gone ≤ 2.5 s", ungreeted),
    Row(
        "T4",
        f"{FLOODERS} clients flood with full handshakes for {FLOOD_S:.0f} s",
        "established client keeps ≥ 50 %",
        flooded,
        control=Control(callers=ESTABLISHED_CALLERS, interval_s=None),
    ),
    Row("T8", "HTTP, SSH, garbage, ZT/1 in the clear, TLS 1.2", "one alert, ≤ 1 RTT", strangers),
    Row("T9", "TLS to a plaintext port and back", "typed error ≤ 1 s", mismatched),
    Row("T10", "wrong and no ALPN", "100 % refused", without_alpn),
    Row("T11", "hello split at every byte, tiny records, coalesced", "0 differ", split_hellos),
)
