"""Growth over many connections, and a server that is killed under load."""

from __future__ import annotations

import signal
import time
from dataclasses import replace

from bench.abuse.cases import Case, Row
from bench.abuse.raw import Target
from bench.abuse.stage import Child
from ztransport.bench import environment

WARM_UP = 1_000
CONNECTIONS = 10_000
DIALLING = 8
GROWTH_SHARE_MAX = 1.02
GROWTH_FLOOR_BYTES = 1 << 20
CALLERS = 64
DEADLINE_S = 2.0
DEADLINE_SLACK_S = 0.25
LOAD_S = 1.0
RESTART_S_MAX = 5.0
LINGER_S = 0.5


def churn(case: Case) -> None:
    """S1: connections opened and closed, each with one call."""
    setup = replace(case.stage.client_setup(case.server), callers=DIALLING)
    churner = case.stage.client("churn", setup)
    churner.ask(WARM_UP)
    before = [_footprint(child) for child in (case.server, churner)]
    tasks = case.server.facts()["tasks"], churner.ask(0)["tasks"]
    told = churner.ask(CONNECTIONS)
    case.bars.note(f"{CONNECTIONS / told['seconds']:,.0f} connections/s")
    after = [_footprint(child) for child in (case.server, churner)]
    for name, (was_bytes, was_open), (is_bytes, is_open) in zip(
        ("server", "client"), before, after, strict=True
    ):
        allowed = was_bytes * GROWTH_SHARE_MAX + GROWTH_FLOOR_BYTES
        grown = (is_bytes - was_bytes) / 2**20
        case.bars.check(f"{name} {grown:+.1f} MiB", is_bytes <= allowed)
        case.bars.exactly(f"{name} descriptors", is_open - was_open, 0)
    case.bars.exactly("tasks", (case.server.facts()["tasks"], told["tasks"]), tasks)
    case.bars.counted(case.closed(), closed_in_order=CONNECTIONS + WARM_UP)


def _footprint(child: Child) -> tuple[int, int]:
    """Memory and descriptors, once the last connections have closed."""
    now, before = child.descriptors(), -1
    while now != before:
        time.sleep(LINGER_S)
        now, before = child.descriptors(), now
    return environment.resident_bytes(child.pid), now


def killed(case: Case) -> None:
    """S2: kill -9 under load, then a restart on the same port."""
    victim = case.stage.server()
    setup = replace(case.stage.client_setup(victim), callers=CALLERS, timeout_s=DEADLINE_S)
    caller = case.stage.client("control", setup)
    time.sleep(LOAD_S)
    caller.ask("mark")
    victim.send(signal.SIGKILL)
    time.sleep(DEADLINE_S * 2)
    failed = caller.ask("mark")
    typed = set(failed["errors"]) <= {"ConnectionLost", "DeadlineExceeded"}
    enough = sum(failed["errors"].values()) >= CALLERS
    case.bars.check(f"{failed['errors']}", typed and enough)
    bar = DEADLINE_S + DEADLINE_SLACK_S
    case.bars.at_most("slowest to fail", failed["slowest_error_s"], bar, "s")
    case.bars.check(f"{failed['outstanding']} outstanding", failed["outstanding"] <= CALLERS)
    _restart(case, caller, victim.tls)


def _restart(case: Case, caller: Child, was: Target) -> None:
    begin = time.monotonic()
    case.stage.server(port=was.endpoint[1])
    caller.ask("mark")
    answered: int = 0
    while not answered and time.monotonic() - begin < RESTART_S_MAX:
        time.sleep(DEADLINE_SLACK_S)
        answered = caller.ask("mark")["calls"]
    case.bars.check(f"{answered} calls after the restart", answered > 0)


ROWS = (
    Row(
        "S1",
        f"{CONNECTIONS:,} TLS connections opened and closed",
        "no growth of descriptors, tasks, memory",
        churn,
    ),
    Row(
        "S2",
        f"kill -9 of the server under load, {CALLERS} callers",
        "typed errors within the deadline; calls again after restart",
        killed,
    ),
)
