"""The rows of sockets, handshakes and ends once more, at doors that take Zeebe's protocol too."""

from __future__ import annotations

import socket
import time
from functools import partial

import trio

import ztransport as zt
from bench.abuse import wire, zeebe_wire
from bench.abuse.cases import Case, Row
from bench.abuse.connections import silent_at
from bench.abuse.frames import cut_at, never_clean
from bench.abuse.handshakes import (
    MISMATCH_S_MAX,
    REFUSALS,
    STRANGERS,
    UNGREETED,
    Greeting,
    dial_error,
    drip_at,
    hello_of,
    refusal_of,
    split_at,
    strangers_at,
    ungreeted_at,
)
from bench.abuse.raw import Ended, Raw, Target, connected, dial
from bench.abuse.server import CLUSTER

PAYLOAD = b"same"
HANDSHAKE = zeebe_wire.handshake(CLUSTER)
OPENING = HANDSHAKE + zeebe_wire.ADDRESS + zeebe_wire.request(1, "echo", PAYLOAD)


def silent(case: Case) -> None:
    """T1 at both doors."""
    silent_at(case, [case.zeebe, case.zeebe_plain])


def dripping(case: Case) -> None:
    """T2: a ClientHello, and in plaintext six bytes in as many seconds."""
    drip_at(case, case.zeebe, hello_of(case.zeebe))
    drip_at(case, case.zeebe_plain, HANDSHAKE)


def ungreeted(case: Case) -> None:
    """T3: nothing behind TLS, or half a handshake."""
    halves = iter(range(UNGREETED))

    def connect() -> Raw:
        raw = connected(case.zeebe, alpn=())
        if next(halves) % 2:
            raw.send(HANDSHAKE[:3])
        return raw

    ungreeted_at(case, connect)


def strangers(case: Case) -> None:
    """T8 at both doors; in plaintext there is no alert, so nothing at all is said."""
    strangers_at(case, case.zeebe)
    foreign = {name: said for name, said in STRANGERS.items() if not said.startswith(wire.PREFACE)}
    foreign["another cluster"] = zeebe_wire.handshake("another")
    for name, said in foreign.items():
        with Raw(dial(case.zeebe_plain), None) as raw:
            raw.send(said)
            case.bars.check(f"{name} in plaintext: {(end := raw.end())}", bool(end))
    closed = case.closed()
    case.bars.counted(closed, not_tls=len(STRANGERS), bad_version=1, bad_preface=len(foreign))


def mismatched(case: Case) -> None:
    """T9: our dialer of Zeebe's protocol and the door do not agree on TLS."""
    trust = zt.TLSConfig(trust=(case.tls.trust or "",))
    for tls, target, expected in (
        (trust, case.zeebe_plain, zt.PlaintextPeer),
        (None, case.zeebe, zt.TLSPeer),
    ):
        begin = time.monotonic()
        found = trio.run(dial_error, tls, target.address, "zeebe")
        case.bars.exactly("raises", found.__name__, expected.__name__)
        case.bars.at_most("after", time.monotonic() - begin, MISMATCH_S_MAX, "s")


def crossed(case: Case) -> None:
    """T10: ALPN decides which protocol may follow, and its absence that only Zeebe's may."""
    found = [refusal_of(case.zeebe, case.zeebe.context(("h2",)))[0] for _ in range(REFUSALS)]
    refused = sum("no application protocol" in one for one in found)
    case.bars.exactly("h2 refused", refused, REFUSALS)
    native = wire.PREFACE + wire.hello(CLUSTER)
    for name, alpn, said in (("ZT/1 without ALPN", (), native), ("Zeebe as zt/1", None, OPENING)):
        answered = sum(_is_served(case.zeebe, alpn, said) for _ in range(REFUSALS))
        case.bars.exactly(f"{name} served", answered, 0)


def _is_served(target: Target, alpn: tuple[str, ...] | None, said: bytes) -> bool:
    """Whether a door says anything that its protocol says only to those it lets in."""
    with connected(target) if alpn is None else connected(target, alpn=alpn) as raw:
        raw.send(said)
        answer = b""
        try:
            while True:
                answer += raw.read_plain()
        except Ended:
            return HANDSHAKE in answer or any(
                frame.kind == wire.HELLO for frame in wire.Decoder().take(answer)
            )


def _is_answered(raw: Raw) -> bool:
    """Whether the reply comes behind the handshake and the listener's address."""
    expected, answer = zeebe_wire.reply(1, PAYLOAD), b""
    while not answer.endswith(expected):
        answer += raw.read_plain()
    return answer.startswith(HANDSHAKE)


def split(case: Case) -> None:
    """T11: hellos cut anyhow; then handshake and first request, cut at every byte."""
    split_at(case, case.zeebe, Greeting((), OPENING, _is_answered))
    failed = 0
    for cut in range(1, len(OPENING)):
        with connected(case.zeebe_plain) as raw:
            raw.sock.sendall(OPENING[:cut])
            raw.sock.sendall(OPENING[cut:])
            failed += not _is_answered(raw)
            raw.sock.shutdown(socket.SHUT_WR)
            raw.end()
    case.bars.exactly(f"of {len(OPENING) - 1} handshakes different", failed, 0)


def cut_short(case: Case) -> None:
    """T15: an end at every byte of three requests; only plaintext has clean ones, between them."""
    requests = [zeebe_wire.request(number, "tally", b"cut") for number in (1, 2, 3)]
    cuts = never_clean(case, partial(zeebe_wire.shaken, case.zeebe), requests)
    plain_cuts = cut_at(case, partial(zeebe_wire.shaken, case.zeebe_plain), requests)
    closed = case.closed()
    between = len(requests) + 1
    case.bars.exactly(f"of {plain_cuts} plain cuts clean", closed["closed_in_order"], between)
    case.bars.counted(closed, connection_lost=cuts + plain_cuts - between)


ROWS = (
    Row("T1z", "connect to Zeebe doors, send nothing", "all gone ≤ 5.5 s", silent),
    Row("T2z", "ClientHello, Zeebe handshake by one byte a second", "gone ≤ 5.5 s", dripping),
    Row("T3z", "TLS and no or half a Zeebe handshake", "all gone ≤ 2.5 s", ungreeted),
    Row("T8z", "strangers at Zeebe doors", "alert or close, ≤ 1 RTT", strangers),
    Row("T9z", "Zeebe dialer: TLS to plaintext and back", "typed error ≤ 1 s", mismatched),
    Row("T10z", "Zeebe door: wrong ALPN, and the other protocol", "100 % refused", crossed),
    Row("T11z", "hello and Zeebe handshake split at every byte", "0 differ", split),
    Row(
        "T26",
        "decompression bombs of a peer that compression was agreed with",
        "refused after ≤ limit bytes",
        None,
        (
            "t26_a_bomb_is_refused_before_it_has_unpacked",
            "w_84_what_unpacks_to_far_more_than_it_is_is_refused",
        ),
    ),
    Row("T15z", "FIN at every byte of Zeebe requests", "clean only between frames", cut_short),
)
