"""Reach: what generator, gateway and publishing come to, for they bound what is measured."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.honesty.findings import Finding, Told, cpu_us, measured, rate
from ztransport.bench import runner, variants, workloads
from ztransport.bench.driving import Asked
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
WINDOWS, WINDOW_S, WARM_UP_S = 7, 0.5, 0.2
VALID_MIN = 6


def generator(tell: Told) -> list[Finding]:
    """Measure the Python broker and a server that only answers, in Rust, in turns.

    In open loop the generator has to send three times what it sends the broker and still be no
    bound of the window. In a closed loop both sides wait for each other's wake-ups whatever they
    cost, so there the ratio is told and not judged.
    """
    if not NULL_SERVER.is_file():
        raise BenchError(f"{NULL_SERVER} is missing: make build")
    with Session([PLAIN], {"broker"}, {}) as session:
        session.restart(0)
        ports = {"broker": session.stack(PLAIN).entries["broker"]}
        with _null_server(session.placement["broker"]) as ports["null"]:
            tell("the generator's reach, closed loop")
            rates = _closed_rates(session, ports)
            session.stack(PLAIN).entries["broker"] = ports["null"]
            sent = MANY.rate_share * median(rates["broker"])
            tell("the generator's reach, open loop")
            faults = [_open_faults(session, sent * GENERATOR_TIMES_MIN) for _ in range(WINDOWS)]
    return [_open_finding(sent, faults), _closed_finding(rates)]


def _closed_rates(session: Session, ports: dict[str, int]) -> dict[str, list[float]]:
    """Messages a second in closed loop, by server."""
    rates: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(WINDOWS):
        for name, port in ports.items():
            session.stack(PLAIN).entries["broker"] = port
            asked = Asked(PLAIN, MANY, None, WINDOW_S, WARM_UP_S)
            rates[name].append(rate(measured(session.measure(asked))))
    return rates


def _open_faults(session: Session, rate: float) -> list[str]:
    """Why a window of the generator's own at this rate is not valid; nothing where it is."""
    asked = Asked(PLAIN, MANY, rate, WINDOW_S, WARM_UP_S)
    return runner.faults(asked, measured(session.measure(asked)))


def _open_finding(sent: float, faults: list[list[str]]) -> Finding:
    valid, reasons = faults.count([]), sorted({reason for one in faults for reason in one})
    shown = f"{valid} of {WINDOWS} windows valid at {sent * GENERATOR_TIMES_MIN:,.0f} a second"
    return Finding(
        f"generator against a server that only answers, open loop at 3 × {sent:,.0f} a second",
        "; ".join([shown, *reasons[:1]]),
        f"at least {VALID_MIN} valid",
        valid >= VALID_MIN,
        {"sent": sent, "faults": faults},
    )


def _closed_finding(rates: dict[str, list[float]]) -> Finding:
    pairs = zip(rates["null"], rates["broker"], strict=True)
    times = median(null / broker for null, broker in pairs)
    shown = (
        f"{times:.1f} × ({median(rates['null']):,.0f} of {median(rates['broker']):,.0f} a second)"
    )
    what = "generator against a server that only answers, closed loop × 64"
    return Finding(what, shown, "told, not judged", True, {"rates": rates})


@contextmanager
def _null_server(core: int) -> Iterator[int]:
    command = [str(NULL_SERVER), "serve", "--listen", "127.0.0.1:0"]
    role = Role("null server", command, Path(os.devnull), core=core)
    try:
        yield port_of(role.answer()["address"])
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
