"""Who is compared and what they are given to do."""

from __future__ import annotations

from dataclasses import dataclass

from bench.contenders.protocol import (
    CALLS,
    CALLS_1M,
    CALLS_64K,
    CONNECT,
    PING,
    PING_SLEEP,
    PING_SPIN,
)

REAL = "zeebe"
PLAIN, TLS = "plain", "tls"


@dataclass(frozen=True, slots=True)
class Own:
    """A pair of ztransport nodes: the contenders' role that plays both, and what they speak."""

    role: str
    protocol: str


TITLES = {
    REAL: "real Zeebe",
    "codec-trio": "Zeebe codec, Trio",
    "zt1-trio": "ZT/1, Trio",
    "codec-uvloop": "Zeebe codec, uvloop",
    "zt1-uvloop": "ZT/1, uvloop",
}
OWN = {
    "codec-trio": Own("zt-trio", "zeebe"),
    "zt1-trio": Own("zt-trio", "zt/1"),
    "codec-uvloop": Own("zt-uvloop", "zeebe"),
    "zt1-uvloop": Own("zt-uvloop", "zt/1"),
}
WORKS = {
    PING: "128 B × 1",
    PING_SLEEP: '128 B × 1, `idle="sleep"`',
    PING_SPIN: '128 B × 1, `idle="spin"`',
    CALLS: "128 B × 64",
    CALLS_64K: "64 KiB × 16",
    CALLS_1M: "1 MiB × 4",
    CONNECT: "128 B, new connection per call",
}
IDLE = "adaptive"
"""What ztransport's loops do by default, and in all rows that do not say otherwise."""
IDLE_OF = {PING_SLEEP: "sleep", PING_SPIN: "spin"}
SECURITIES = {TLS: "TLS 1.3", PLAIN: "plaintext"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure: who does what, secured how."""

    contender: str
    work: str
    security: str


def cells() -> list[Cell]:
    """Every cell of a round; without TLS a new connection is of no interest.

    A real Zeebe has no choice of how to be idle, so its cells of the rows that ask for one are a
    ping again.
    """
    return [
        Cell(contender, work, security)
        for security in SECURITIES
        for work in WORKS
        for contender in TITLES
        if not (work == CONNECT and security == PLAIN)
    ]
