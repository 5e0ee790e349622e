"""Time: a server that stops, and one that is slower by a known amount."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import statistics
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from unittest import mock

from bench.honesty.beside import IDLER, beside
from bench.honesty.findings import Finding, Told, measured, quantile_us
from ztransport.bench import readings, variants, workloads
from ztransport.bench.driving import Asked
from ztransport.bench.fairness import Files
from ztransport.bench.proxies import KINDS, Leg, Ports, Proxy, Tool
from ztransport.bench.session import Session

__all__ = ["slowed", "stopped", "theory_ms"]

PLAIN = variants.VARIANTS["plain"]
PING = workloads.workload("request-128-x1")
RATE = 1_000.0
STOP_S, STOPPED_AFTER_S, WINDOW_S = 1.4, 1.0, 6.0
FEW_IN_FLIGHT = 8
P99_ERROR_MAX = 0.10
SERVICE_P99_MS_MAX = 20.0

DELAY_US, DELAY_ERROR_MAX = 200, 0.15
SLOWED_WINDOWS, SLOWED_WINDOW_S = 9, 0.5


class Stop:
    """Stops a process once, a while after the window has begun, and tells for how long."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.lasted_s = 0.0
        self._thread = threading.Thread(target=self._stop)
        self._read = readings.read

    def read(self, pids: Mapping[str, Collection[int]], cores: Collection[int]) -> readings.Reading:
        """Read the clocks; the first time, at the window's beginning, the stop is set going."""
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._thread.join()
        return self._read(pids, cores)

    def _stop(self) -> None:
        time.sleep(STOPPED_AFTER_S)
        begin = time.monotonic()
        os.kill(self.pid, signal.SIGSTOP)
        try:
            time.sleep(STOP_S)
        finally:
            os.kill(self.pid, signal.SIGCONT)
        self.lasted_s = time.monotonic() - begin


def stopped(tell: Told) -> list[Finding]:
    """Stop the echo server in open loop.

    Few are allowed in flight, as of a client that waits for answers: their service time is all
    that a closed loop sees.
    """
    tell("the server is stopped for 1.4 s in open loop")
    asked = Asked(PLAIN, PING, RATE, WINDOW_S, 0.2, seed=7, in_flight_max=FEW_IN_FLIGHT)
    with Session([PLAIN], {"broker"}, {}) as session:
        session.restart(0)
        stop = Stop(session.stack(PLAIN).pids["broker"][0])
        with mock.patch.object(readings, "read", stop.read):
            one = measured(session.measure(asked))
    expected_ms = theory_ms(stop.lasted_s)
    response_ms, service_ms = (
        quantile_us(one, kind, 0.99) / 1e3 for kind in ("response", "service")
    )
    error = response_ms / expected_ms - 1
    return [
        Finding(
            "server stopped for 1.4 s: p99 of the response time",
            f"{response_ms:.0f} ms, theory {expected_ms:.0f} ms",
            "within 10 %",
            abs(error) <= P99_ERROR_MAX,
            {"response_p99_ms": response_ms, "theory_ms": expected_ms, "stopped_s": stop.lasted_s},
        ),
        Finding(
            "the same: p99 of the service time, which hides it",
            f"{service_ms:.2f} ms",
            f"at most {SERVICE_P99_MS_MAX:.0f} ms",
            service_ms <= SERVICE_P99_MS_MAX,
            {"service_p99_ms": service_ms},
        ),
    ]


def theory_ms(stopped_s: float) -> float:
    """The p99 of the response time in ms.

    Of the sends of a window of T seconds those within the S seconds of the stop wait for the rest
    of it, so a share p of all waits longer than S - pT.
    """
    return (stopped_s - WINDOW_S / 100) * 1e3


def slowed(tell: Told) -> list[Finding]:
    """Put the relay before the server, once as it is and once with a delay, in turns.

    The cores are kept from sleeping: where a host takes an idle core away, waking takes the longer
    the longer it slept, so that a delay would cost more than itself.
    """
    with Session([PLAIN], {"broker"}, {}) as session:
        session.restart(0)
        stack, ports = session.stack(PLAIN), Ports()
        broker = stack.entries["broker"]
        legs = {delay: Leg(ports.take(), broker) for delay in (0, DELAY_US)}
        core = session.placement["server_proxy"]
        found: dict[int, list[float]] = {delay: [] for delay in legs}
        with (
            _relay(0, legs[0], session.files, core),
            _relay(DELAY_US, legs[DELAY_US], session.files, core),
            beside(IDLER, sorted(set(session.placement.values()))),
        ):
            for number in range(SLOWED_WINDOWS):
                tell(f"a server slowed by {DELAY_US} µs: window {number + 1}/{SLOWED_WINDOWS}")
                for delay, leg in legs.items():
                    stack.entries["broker"] = leg.port
                    asked = Asked(PLAIN, PING, RATE, SLOWED_WINDOW_S, 0.1, seed=number)
                    one = measured(session.measure(asked))
                    found[delay].append(quantile_us(one, "response", 0.5))
    pairs = zip(found[DELAY_US], found[0], strict=True)
    more_us = statistics.median(slow - fast for slow, fast in pairs)
    return [
        Finding(
            "server slowed by 200 µs: more at p50",
            f"{more_us:.0f} µs",
            f"within {DELAY_ERROR_MAX:.0%}",
            abs(more_us / DELAY_US - 1) <= DELAY_ERROR_MAX,
            {"p50_us": {str(delay): values for delay, values in found.items()}},
        )
    ]


def _relay(delay_us: int, leg: Leg, files: Files, core: int) -> Proxy:
    """Our relay with a delay on the way to the broker."""
    plain = KINDS["relay"]

    def configure(tool: Tool, legs: Sequence[Leg], files: Files) -> dict[str, str]:
        ((name, text),) = plain.configure(tool, legs, files).items()
        return {name: json.dumps({**json.loads(text), "delay_us": delay_us})}

    kind = dataclasses.replace(plain, configure=configure)
    return Proxy(kind, plain.find(), [leg], files, core)
