"""What on this machine will spoil a measurement, and what can be done about it. It only reads."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ztransport._ztransport import built_with
from ztransport.bench import environment, machine, proxies, readings
from ztransport.bench.judging import FOREIGN_SHARE_MAX, STEAL_SHARE_MAX
from ztransport.bench.placement import placement, siblings_of

__all__ = ["CHECKS", "Finding", "Level", "examine", "text"]

Level = Literal["good", "warning", "spoils"]
LOOK_S = 1.0
DISK_BYTES_MIN = 256 << 20
DESCRIPTORS_MIN = 2_048
TEMPERATURE_C_MAX = 85.0
GOOD: Level = "good"
WARNING: Level = "warning"
SPOILS: Level = "spoils"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: how bad it is, what is so, and the remedy if it is not good."""

    level: Level
    subject: str
    what: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at everything; takes a second, in which the machine should do what it will do then."""
    return [finding for check in CHECKS for finding in check()]


def text(findings: list[Finding]) -> str:
    """One line a finding, the worst first."""
    order: list[Level] = [SPOILS, WARNING, GOOD]
    ranked = sorted(findings, key=lambda finding: order.index(finding.level))
    width = max(len(finding.level) for finding in findings)
    return "\n".join(_line(finding, width) for finding in ranked)


def _line(finding: Finding, width: int) -> str:
    remedy = f" → {finding.remedy}" if finding.remedy else ""
    return f"{finding.level.ljust(width)}  {finding.subject}: {finding.what}{remedy}"


def _cores() -> Iterator[Finding]:
    where = placement()
    client, server = where["generator"], where["broker"]
    if client == server:
        yield Finding(
            SPOILS,
            "cores",
            "only one may be used: client and server take turns on it",
            "give this process two cores (taskset, container or VM settings)",
        )
        return
    yield Finding(GOOD, "cores", f"client's host on core {client}, server's on core {server}")
    if server in siblings_of(client):
        yield Finding(
            SPOILS,
            "hardware threads",
            f"cores {client} and {server} are two threads of one core: each slows the other",
            "use a machine with two cores, or switch SMT off (nosmt on the kernel command line)",
        )


def _load() -> Iterator[Finding]:
    """What the machine does while nothing is measured, and what its host takes from it."""
    cores = set(placement().values())
    begin = readings.read({"generator": [os.getpid()]}, cores)
    time.sleep(LOOK_S)
    spent = readings.spent(begin, readings.read({"generator": [os.getpid()]}, cores))
    if spent.foreign_share > FOREIGN_SHARE_MAX:
        yield Finding(
            SPOILS,
            "load",
            f"other programs take {spent.foreign_share:.0%} of the cores",
            "end them, or wait until they have ended",
        )
    else:
        yield Finding(GOOD, "load", f"other programs take {spent.foreign_share:.0%} of the cores")
    if spent.steal_share > STEAL_SHARE_MAX:
        yield Finding(
            SPOILS,
            "steal",
            f"the host takes {spent.steal_share:.1%} of the cores",
            "measure when the host is calmer, or on a host of one's own",
        )
    else:
        yield Finding(GOOD, "steal", f"the host takes {spent.steal_share:.1%} of the cores")


def _speed() -> Iterator[Finding]:
    governor = machine.read(environment.GOVERNOR)
    if governor is None:
        yield Finding(
            WARNING,
            "governor",
            "the processor's speed cannot be seen from here, as in most virtual machines",
            "trust ratios within blocks, and mind the noise floor",
        )
    elif governor != "performance":
        yield Finding(
            WARNING,
            "governor",
            f"{governor}: the processor's speed follows the load",
            "cpupower frequency-set --governor performance",
        )
    else:
        yield Finding(GOOD, "governor", governor)


def _heat() -> Iterator[Finding]:
    zones = Path("/sys/class/thermal").glob("thermal_zone*/temp")
    told = [int(value) / 1000 for value in map(machine.read, zones) if value]
    if told and max(told) > TEMPERATURE_C_MAX:
        yield Finding(
            SPOILS,
            "temperature",
            f"{max(told):.0f} °C: the processor slows down to cool",
            "let it cool, and cool it better",
        )
    elif told:
        yield Finding(GOOD, "temperature", f"{max(told):.0f} °C")


def _memory() -> Iterator[Finding]:
    status = machine.read(Path("/proc/meminfo")) or ""
    sizes = {name: int(kb) for name, kb in re.findall(r"^(\w+):\s+(\d+) kB", status, re.MULTILINE)}
    used = sizes.get("SwapTotal", 0) - sizes.get("SwapFree", 0)
    if used > 0:
        yield Finding(
            WARNING,
            "swap",
            f"{used >> 10} MiB are swapped out: a page that comes back stalls whoever needs it",
            "free memory, then swapoff -a",
        )
    else:
        yield Finding(GOOD, "swap", "nothing is swapped out")


def _limits() -> Iterator[Finding]:
    quota = (machine.read(Path("/sys/fs/cgroup/cpu.max")) or "max").split()[0]
    if quota != "max":
        yield Finding(
            SPOILS,
            "CPU quota",
            "the container is stopped whenever its share of a period is used up",
            "run it without a CPU limit, on cores of its own",
        )
    _, hard = environment.descriptors()
    if hard < DESCRIPTORS_MIN:
        yield Finding(
            WARNING,
            "descriptors",
            f"at most {hard} of a process: 512 connections through a proxy need more",
            f"ulimit -Hn {DESCRIPTORS_MIN}",
        )
    free = shutil.disk_usage(Path.cwd()).free
    if free < DISK_BYTES_MIN:
        yield Finding(
            WARNING,
            "disk",
            f"{free >> 20} MiB are free here, which a long record may fill",
            "make room, or name a directory elsewhere with --directory",
        )


def _build() -> Iterator[Finding]:
    profile = built_with()["profile"]
    if profile != "release":
        yield Finding(
            SPOILS,
            "build",
            f"the extension is built for {profile}, several times slower than for release",
            "make build, or maturin develop --release",
        )


def _proxies() -> Iterator[Finding]:
    tools, missing = proxies.found()
    for name, tool in tools.items():
        yield Finding(GOOD, name, f"{tool.version} with {tool.tls_library}")
    for name, reason in missing.items():
        yield Finding(WARNING, name, "its variants cannot be measured", reason)


CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    _cores,
    _load,
    _speed,
    _heat,
    _memory,
    _limits,
    _build,
    _proxies,
)
