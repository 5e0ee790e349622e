"""The standing conditions: what must be true of the server during and after every case."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from bench.abuse.cases import Bars, Case, Row
from bench.abuse.crowd import Crowd, source
from bench.abuse.raw import dial
from bench.abuse.stage import Server, Stage
from ztransport.bench import environment

QUIET_S = 1.0
RISE_BYTES_MAX = 64 << 20
RESIDENT_SHARE_MAX = 1.10
# Ten percent of a small process is less than what an allocator keeps for later.
RESIDENT_FLOOR_BYTES = 4 << 20
SETTLE_S_MAX = 30.0
POLL_S = 0.25
SAMPLE_S = 0.02
CROWD = 2_000
HELLO_BEGUN = bytes((22, 3, 1, 2))
# Idle tasks that a node keeps for the next async handlers.
IDLE_TASKS_MAX = 64


def _warm_up(server: Server) -> None:
    """Let a first crowd come and go, so that what grows later is growth.

    An allocator keeps what a first crowd made it reserve: that is not a leak, and a second crowd
    reserves nothing more.
    """
    crowd = Crowd()
    for number in range(CROWD):
        sock = dial(server.tls, source(number * 2 // CROWD))
        sock.send(HELLO_BEGUN)
        crowd.add(sock)
    while server.facts()["handshaking"] < CROWD:
        time.sleep(SAMPLE_S)
    crowd.close()
    while server.facts()["connections"]:
        time.sleep(SAMPLE_S)


class Watch:
    """Samples the server's memory while a case runs."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(SAMPLE_S):
            self.peak_bytes = max(self.peak_bytes, environment.resident_bytes(self._pid))


@dataclass(frozen=True, slots=True)
class Start:
    """The server before the case."""

    resident_cold: int
    """Before the first crowd: what the rise is measured from."""
    resident: int
    descriptors: int
    tasks: int
    connections: int


@contextmanager
def watched(stage: Stage, row: Row, seed: int) -> Iterator[Case]:
    """Start server and control client for a row, and check the standing conditions behind it."""
    server = stage.server(row.descriptors_max, hello_timeout_ms=row.hello_timeout_ms)
    cold = environment.resident_bytes(server.pid)
    if row.descriptors_max is None:
        _warm_up(server)
    control = stage.control(server, row.control)
    time.sleep(QUIET_S / 4)
    control.ask("mark")
    time.sleep(QUIET_S)
    quiet = control.ask("mark")
    start = _start(server, cold)
    case = Case(stage, server, control, Bars(), server.closed(), quiet, cold, seed)
    with Watch(server.pid) as watch:
        yield case
    _check_control(case, row)
    _check_memory(case.bars, watch.peak_bytes - start.resident_cold)
    _check_settled(case, start)
    _check_errors(case.bars, server)


def _start(server: Server, cold: int) -> Start:
    facts = server.facts()
    resident = environment.resident_bytes(server.pid)
    return Start(cold, resident, server.descriptors(), facts["tasks"], facts["connections"])


def _check_control(case: Case, row: Row) -> None:
    during: dict[str, Any] = case.control.ask("mark")
    case.bars.check(f"control errors {during['errors'] or 0}", not during["errors"])
    if during["p99_ms"] is None or case.quiet["p99_ms"] is None:
        case.bars.check("the control client got no answer", met=False)
        return
    text = f"control p99 {during['p99_ms']:.1f} ms (quiet {case.quiet['p99_ms']:.1f})"
    met = during["p99_ms"] <= case.p99_limit_ms or row.stalls_control
    case.bars.check(text, met)


def _check_memory(bars: Bars, rise: int) -> None:
    bars.check(f"RSS +{max(rise, 0) / 2**20:.1f} MiB", rise <= RISE_BYTES_MAX)


def _check_settled(case: Case, start: Start) -> None:
    begin = time.monotonic()
    while True:
        left = _unsettled(case.server, start)
        spent = time.monotonic() - begin
        if not left or spent > SETTLE_S_MAX or not case.server.is_alive():
            break
        time.sleep(POLL_S)
    case.bars.check(f"settled in {spent:.0f} s" if not left else f"left: {left}", not left)


def _unsettled(server: Server, start: Start) -> str:
    """What is not back to its start."""
    if not server.is_alive():
        return "the server has died"
    facts = server.facts()
    resident = environment.resident_bytes(server.pid)
    allowed = start.resident * RESIDENT_SHARE_MAX + RESIDENT_FLOOR_BYTES
    left = {
        "connections": facts["connections"] - start.connections,
        "descriptors": server.descriptors() - start.descriptors,
        "tasks": max(0, facts["tasks"] - start.tasks - IDLE_TASKS_MAX),
        "MiB over": max(0.0, round((resident - allowed) / 2**20, 1)),
    }
    return ", ".join(f"{count} {what}" for what, count in left.items() if count > 0)


def _check_errors(bars: Bars, server: Server) -> None:
    said = server.said().strip()
    bars.check("no panic" if not said else f"stderr: {said.splitlines()[-1][:120]}", not said)
