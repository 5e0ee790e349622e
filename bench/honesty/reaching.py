"""Reach: what generator, gateway and publishing come to, for they bound what is measured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.honesty.findings import Finding, Told, cpu_us, measured, rate
from ztransport.bench import runner, variants, workloads
from ztransport.bench.driving import Asked, Measured
from ztransport.bench.processes import BenchError, Role, port_of
from ztransport.bench.session import Session
from ztransport.bench.variants import Variant
from ztransport.bench.workloads import Workload

__all__ = ["gateway", "generator", "publishing"]

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
NULL_SERVER = TARGET / "release" / "ztransport-load"
PLAIN, TLS = variants.VARIANTS["plain"], variants.VARIANTS["tls"]
MANY = workloads.workload("request-128-x64")
GENERATOR_TIMES_MIN, GATEWAY_TIMES_MAX, PUBLISHED_MIN = 3.0, 2.2, 250_000
WINDOWS, WINDOW_S, OPEN_S, WARM_UP_S = 7, 0.5, 1.0, 0.2
VALID_MIN = 6


@dataclass(frozen=True, slots=True)
class Server:
    """What is dialled, and the processes whose CPU time is its own."""

    port: int
    pids: list[int]

    def stand_in(self, session: Session) -> None:
        """Be the broker of the next windows."""
        stack = session.stack(PLAIN)
        stack.entries["broker"], stack.pids["broker"] = self.port, self.pids


def generator(tell: Told) -> list[Finding]:
    """Measure the Python broker, and a server that only turns requests round, in turns.

    In closed loop with the same window the generator has to do three times what it measures. In
    open loop it has to keep a schedule of three times the suite's rate, and still not be what is
    measured.
    """
    if not NULL_SERVER.is_file():
        raise BenchError(f"{NULL_SERVER} is missing: make build")
    with Session([PLAIN], {"broker"}, {}) as session:
        session.restart(0)
        stack = session.stack(PLAIN)
        broker = Server(stack.entries["broker"], stack.pids["broker"])
        with _null_server(session.placement["broker"]) as null:
            tell("the generator's reach, closed loop")
            rates = _closed_rates(session, {"broker": broker, "null": null})
            null.stand_in(session)
            tell("the generator's reach, open loop")
            sent = GENERATOR_TIMES_MIN * MANY.rate_share * median(rates["broker"])
            asked = Asked(PLAIN, MANY, sent, OPEN_S, WARM_UP_S)
            found = [measured(session.measure(asked)) for _ in range(WINDOWS)]
    return [_closed_finding(rates), _open_finding(asked, found)]


def _closed_rates(session: Session, servers: dict[str, Server]) -> dict[str, list[float]]:
    """Messages a second in closed loop, by server."""
    rates: dict[str, list[float]] = {name: [] for name in servers}
    for _ in range(WINDOWS):
        for name, server in servers.items():
            server.stand_in(session)
            asked = Asked(PLAIN, MANY, None, WINDOW_S, WARM_UP_S)
            rates[name].append(rate(measured(session.measure(asked))))
    return rates


def _closed_finding(rates: dict[str, list[float]]) -> Finding:
    pairs = zip(rates["null"], rates["broker"], strict=True)
    times = median(null / broker for null, broker in pairs)
    shown = (
        f"{times:.1f} × ({median(rates['null']):,.0f} of {median(rates['broker']):,.0f} a second)"
    )
    what = "generator against a server that only turns requests round, closed loop × 64"
    met = times >= GENERATOR_TIMES_MIN
    return Finding(what, shown, f"at least {GENERATOR_TIMES_MIN:g} ×", met, {"rates": rates})


def _open_finding(asked: Asked, found: list[Measured]) -> Finding:
    faults = [runner.faults(asked, one) for one in found]
    valid, reasons = faults.count([]), sorted({reason for one in faults for reason in one})
    busy = median(one.spent.generator_busy_share for one in found)
    shown = f"{valid} of {WINDOWS} windows valid at {median(map(rate, found)):,.0f} a second"
    figures: dict[str, object] = {"rate": asked.rate, "busy_share": busy, "faults": faults}
    return Finding(
        "the same, open loop at 3 × the rate of the suite",
        "; ".join([f"{shown}, its core {busy:.0%} busy", *reasons[:1]]),
        f"at least {VALID_MIN} valid",
        valid >= VALID_MIN,
        figures,
    )


@contextmanager
def _null_server(core: int) -> Iterator[Server]:
    command = [str(NULL_SERVER), "null", "--listen", "127.0.0.1:0"]
    role = Role("null server", command, Path(os.devnull), core=core)
    try:
        yield Server(port_of(role.answer()["address"]), role.pids)
    finally:
        role.close()


def gateway(tell: Told) -> list[Finding]:
    """Measure calls straight to the broker and through the gateway, in turns."""
    direct, through = MANY, workloads.workload("gateway-128-x64")
    findings = []
    with Session([PLAIN, TLS], {"broker", "gateway"}, {}) as session:
        session.restart(0)
        for variant in (PLAIN, TLS):
            tell(f"the gateway, {variant.name}")
            costs = _costs(session, variant, [direct, through])
            times = median(b / a for a, b in zip(*costs.values(), strict=True))
            shown = (
                f"{times:.2f} × ({' → '.join(f'{median(own):.2f} µs' for own in costs.values())})"
            )
            what = f"client – gateway – broker to the direct call, CPU per message, {variant.name}"
            met = times <= GATEWAY_TIMES_MAX
            findings.append(Finding(what, shown, "at most 2.2 ×", met, {"cpu_us": costs}))
    return findings


def _costs(session: Session, variant: Variant, works: list[Workload]) -> dict[str, list[float]]:
    """CPU in µs per message by workload."""
    costs: dict[str, list[float]] = {work.name: [] for work in works}
    for _ in range(WINDOWS):
        for work in works:
            one = measured(session.measure(Asked(variant, work, None, WINDOW_S, WARM_UP_S)))
            costs[work.name].append(cpu_us(one))
    return costs


def publishing(tell: Told) -> list[Finding]:
    """Publish through the broker to one subscriber with TLS, as fast as it takes it."""
    work, found = workloads.workload("publish-128-to-1"), list[float]()
    with Session([TLS], {"broker"}, {}) as session:
        session.restart(0)
        for number in range(WINDOWS):
            tell(f"publishing: window {number + 1}/{WINDOWS}")
            asked = Asked(TLS, work, None, WINDOW_S, WARM_UP_S, seed=number)
            found.append(rate(measured(session.measure(asked))))
    shown = f"{median(found):,.0f} a second"
    what = "publish 128 B through the broker to one subscriber, TLS"
    bar = f"at least {PUBLISHED_MIN:,}"
    return [Finding(what, shown, bar, median(found) >= PUBLISHED_MIN, {"rates": found})]
