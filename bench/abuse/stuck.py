"""Handshakes that get stuck, of every kind: whoever is connected already must not feel them."""

from __future__ import annotations

import socket
import ssl
import statistics
import time
from collections.abc import Callable

from bench.abuse import wire, zeebe_wire
from bench.abuse.cases import P99_FACTOR_MAX, Case, Row
from bench.abuse.crowd import Crowd
from bench.abuse.handshakes import hello_of
from bench.abuse.raw import Raw, Target, dial
from bench.abuse.stage import Control

STUCK = 500
WINDOW_S = 0.5
HELLO_TIMEOUT_MS = 10_000
"""Longer than by default, so that the first is still stuck when the last begins."""
ROUNDS = 3
CALLS_EVERY_S = 0.001
POLL_S = 0.05


def _said(sock: socket.socket, said: bytes) -> socket.socket:
    sock.sendall(said)
    return sock


def _kinds(case: Case) -> dict[str, Callable[[], socket.socket]]:
    """How each kind of stuck handshake is opened."""
    hello, preamble = hello_of(case.tls), zeebe_wire.handshake(case.zeebe.cluster)
    native, foreign = case.tls.context(), case.zeebe.context(())
    return {
        "TCP alone": lambda: dial(case.tls),
        "half a ClientHello": lambda: _said(dial(case.tls), hello[: len(hello) // 2]),
        "TLS without HELLO": lambda: _shaken(case.tls, native).sock,
        "half a preface": lambda: _said(dial(case.plain), wire.PREFACE[:4]),
        "the same at a permissive door": lambda: _said(
            dial(case.server.permissive), wire.PREFACE[:4]
        ),
        "half a Zeebe handshake": lambda: _said(dial(case.zeebe_plain), preamble[:3]),
        "half of it behind TLS": lambda: _half_behind_tls(case, foreign, preamble),
    }


def _shaken(target: Target, context: ssl.SSLContext | None) -> Raw:
    raw = Raw(dial(target), context)
    raw.handshake()
    return raw


def _half_behind_tls(case: Case, context: ssl.SSLContext | None, preamble: bytes) -> socket.socket:
    raw = _shaken(case.zeebe, context)
    raw.send(preamble[:3])
    return raw.sock


def stuck(case: Case) -> None:
    """S3: quiet and stuck windows of the control client take turns."""
    for name, begin in _kinds(case).items():
        quiet, during = [], []
        for _ in range(ROUNDS):
            quiet.append(_p99_ms(case))
            during.append(_p99_beside(case, begin))
        before, beside = statistics.median(quiet), statistics.median(during)
        text = f"{name}: p99 {beside:.2f} ms (quiet {before:.2f})"
        case.bars.check(text, beside <= P99_FACTOR_MAX * before)


def _p99_ms(case: Case) -> float:
    case.control.ask("mark")
    time.sleep(WINDOW_S)
    return float(case.control.ask("mark")["p99_ms"])


def _p99_beside(case: Case, begin: Callable[[], socket.socket]) -> float:
    crowd = Crowd()
    for _ in range(STUCK):
        crowd.add(begin())
    found = _p99_ms(case)
    stuck = case.server.facts()["handshaking"]
    if stuck < STUCK:
        case.bars.check(f"only {stuck} were stuck", met=False)
    crowd.close()
    while case.server.facts()["handshaking"]:
        time.sleep(POLL_S)
    return found


ROWS = (
    Row(
        "S3",
        f"{STUCK} stuck handshakes of each of seven kinds",
        "established client's p99 ≤ 3 × quiet",
        stuck,
        control=Control(interval_s=CALLS_EVERY_S),
        hello_timeout_ms=HELLO_TIMEOUT_MS,
    ),
)
