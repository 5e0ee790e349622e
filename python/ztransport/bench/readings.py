"""What the machine spent in a window: CPU by role, and what was taken from the cores meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ztransport.bench import environment
from ztransport.bench.placement import ON_CLIENT, ROLES

__all__ = ["Reading", "Spent", "Ticks", "read", "spent", "ticks", "unmeasured"]

STAT = Path("/proc/stat")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
IDLE, IOWAIT, STEAL = 3, 4, 7  # columns of a cpu line, proc_stat(5)
TICK_ERRORS = 3
"""Standard errors of counted ticks that are allowed for."""

COUNTED = 8  # guest time is part of user time already


@dataclass(frozen=True, slots=True)
class Ticks:
    """Clock ticks of some cores since the machine started: all, stolen, and spent by programs."""

    all: int
    stolen: int
    busy: int


@dataclass(frozen=True, slots=True)
class Reading:
    """All clocks at one moment; CPU time in ns by role."""

    at_ns: int
    cpu_ns: dict[str, int]
    ticks: Ticks


@dataclass(frozen=True, slots=True)
class Spent:
    """What lies between two readings: CPU seconds by role, shares from 0 to 1."""

    seconds: float
    cpu_s: dict[str, float | None]
    steal_share: float
    foreign_share: float
    foreign_error: float = 0.0
    """What the share may be off by: many kernels count a whole tick for whoever runs at its end."""

    @property
    def generator_busy_share(self) -> float:
        """The part of the time the generator was on a CPU."""
        return (self.cpu_s["generator"] or 0.0) / self.seconds

    @property
    def server_busy_share(self) -> float:
        """The part of the time the server's core worked for the run."""
        used = (self.cpu_s[role] or 0.0 for role in ROLES if role not in ON_CLIENT)
        return sum(used) / self.seconds

    def cpu_us_per(self, count: int) -> dict[str, float | None]:
        """CPU microseconds of each role for each of `count` messages, or for all if none."""
        return {
            role: None if used is None else round(used * 1e6 / max(1, count), 4)
            for role, used in self.cpu_s.items()
        }


def read(pids: Mapping[str, Collection[int]], cores: Collection[int]) -> Reading:
    """Read the clocks of the processes of each role and of the cores."""
    cpu = {role: sum(map(environment.cpu_ns, of_role)) for role, of_role in pids.items()}
    return Reading(time.perf_counter_ns(), cpu, ticks(STAT.read_text(), cores))


def spent(begin: Reading, end: Reading) -> Spent:
    """What lies between two readings of the same processes; a role that is not there is None.

    A process that has ended in between counts nothing.
    """
    cpu = {role: max(0, end.cpu_ns[role] - before) / 1e9 for role, before in begin.cpu_ns.items()}
    seconds = max(1e-9, (end.at_ns - begin.at_ns) / 1e9)
    passed = max(1, end.ticks.all - begin.ticks.all)
    busy_s = (end.ticks.busy - begin.ticks.busy) * TICK_S
    foreign = (busy_s - sum(cpu.values())) / (passed * TICK_S)
    return Spent(
        seconds=seconds,
        cpu_s={role: cpu.get(role) for role in ROLES},
        steal_share=(end.ticks.stolen - begin.ticks.stolen) / passed,
        foreign_share=round(max(0.0, foreign), 4),
        foreign_error=TICK_ERRORS * 0.5 / passed**0.5,
    )


def unmeasured() -> dict[str, object]:
    """What stands in the record of a window that came to nothing."""
    return {
        "count": 0,
        "sent": 0,
        "seconds": 0.0,
        "errors": {},
        "in_flight_capped": 0,
        "cpu_us": dict.fromkeys(ROLES),
        "steal_share": None,
        "foreign_share": None,
        "generator_busy_share": None,
        "negotiated": None,
        "histograms": None,
    }


def ticks(stat: str, cores: Collection[int]) -> Ticks:
    """Add up the lines of some cores in the text of /proc/stat."""
    wanted = {f"cpu{core}" for core in cores}
    rows = [line.split() for line in stat.splitlines()]
    columns = [[int(n) for n in row[1 : COUNTED + 1]] for row in rows if row and row[0] in wanted]
    total = [sum(column) for column in zip(*columns, strict=True)]
    stolen = total[STEAL]
    return Ticks(sum(total), stolen, sum(total) - total[IDLE] - total[IOWAIT] - stolen)
