"""Windows: how closed-loop calls are run, timed and accounted, alike for everything measured."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from ztransport.bench import environment

__all__ = [
    "WARM_UP_S",
    "Phase",
    "Reading",
    "Window",
    "measure",
    "phase",
    "reading",
    "repeat",
    "window",
]

WARM_UP_S = 0.2
CALLS_FOR_P99_MIN = 100


@dataclass(slots=True)
class Phase:
    """A stretch of calls until `end_ns`; callers append what each call took in ns."""

    end_ns: int
    latencies_ns: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reading:
    """The wall clock, this process's CPU clock and those of other processes, at one moment."""

    at_ns: int
    own_cpu_ns: int
    cpu_ns: tuple[int, ...]


@dataclass(slots=True)
class Window:
    """What lies between two readings; CPU in seconds, percentiles in µs where there are calls."""

    count: int
    seconds: float
    own_cpu_s: float
    cpu_s: list[float]
    p50_us: float | None = None
    p99_us: float | None = None


def phase(seconds: float) -> Phase:
    """A phase that begins now."""
    return Phase(time.perf_counter_ns() + int(seconds * 1e9))


def reading(pids: Sequence[int]) -> Reading:
    """Read all clocks."""
    others = tuple(environment.cpu_ns(pid) for pid in pids)
    return Reading(time.perf_counter_ns(), time.process_time_ns(), others)


async def repeat(call: Callable[[], Awaitable[object]], stretch: Phase) -> None:
    """Call again and again until the phase ends: the closed loop of one caller."""
    clock, record, end = time.perf_counter_ns, stretch.latencies_ns.append, stretch.end_ns
    begin = clock()
    while begin < end:
        await call()
        done = clock()
        record(done - begin)
        begin = done


def window(begin: Reading, end: Reading, count: int, latencies_ns: Sequence[int] = ()) -> Window:
    """The window between two readings; p99 only where a hundredth of the calls is a call."""
    found = Window(
        count=count,
        seconds=(end.at_ns - begin.at_ns) / 1e9,
        own_cpu_s=(end.own_cpu_ns - begin.own_cpu_ns) / 1e9,
        cpu_s=[(b - a) / 1e9 for a, b in zip(begin.cpu_ns, end.cpu_ns, strict=True)],
    )
    ordered = sorted(latencies_ns)
    if ordered:
        found.p50_us = ordered[len(ordered) // 2] / 1e3
    if len(ordered) >= CALLS_FOR_P99_MIN:
        found.p99_us = ordered[len(ordered) * 99 // 100] / 1e3
    return found


async def measure(
    run: Callable[[Phase], Awaitable[None]], seconds: float, pids: Sequence[int]
) -> Window:
    """Warm up and measure; `run` returns when all callers of a phase have ended."""
    await run(phase(WARM_UP_S))
    stretch, begin = phase(seconds), reading(pids)
    await run(stretch)
    return window(begin, reading(pids), len(stretch.latencies_ns), stretch.latencies_ns)
