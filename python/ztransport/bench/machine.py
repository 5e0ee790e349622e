"""Facts of the machine that a figure depends on, from /proc and /sys; unknown ones are None."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ztransport.bench import interface

__all__ = ["SYSCTLS", "described", "read"]

CPU = Path("/sys/devices/system/cpu")
LOOPBACK = "lo"
ULP = Path("/proc/sys/net/ipv4/tcp_available_ulp")
SYSCTLS = (
    "kernel.randomize_va_space",
    "net.core.rmem_max",
    "net.core.wmem_max",
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_available_ulp",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "vm.swappiness",
)

OPTIONS = (
    "mitigations",
    "nosmt",
    "isolcpus",
    "nohz_full",
    "rcu_nocbs",
    "idle",
    "intel_pstate",
    "amd_pstate",
    "processor.max_cstate",
    "intel_idle.max_cstate",
    "cpuidle_haltpoll.force",
    "haltpoll.guest_halt_poll_ns",
    "transparent_hugepage",
)
"""Options of the kernel's command line that change how fast it runs; the others concern nobody."""

Facts = dict[str, object]


def described() -> Facts:
    """Processor, kernel settings, memory, limits of this process, and the interface used."""
    info = read(Path("/proc/cpuinfo")) or ""
    return {
        "microcode": _field(info, "microcode"),
        "is_virtual": "hypervisor" in (_field(info, "flags") or "").split(),
        "vendor": read(Path("/sys/class/dmi/id/sys_vendor")),
        "smt": read(CPU / "smt/control"),
        "cpus_usable": sorted(os.sched_getaffinity(0)),
        "caches": _caches(),
        "numa_nodes": len(list(Path("/sys/devices/system/node").glob("node[0-9]*"))) or None,
        "turbo": _turbo(),
        "idle_driver": read(CPU / "cpuidle/current_driver"),
        "idle_governor": read(CPU / "cpuidle/current_governor_ro"),
        "idle_states": _idle_states(),
        "mitigations": _mitigations(),
        "kernel_options": _options(read(Path("/proc/cmdline")) or ""),
        "clocksource": read(
            Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
        ),
        "transparent_hugepages": _chosen(Path("/sys/kernel/mm/transparent_hugepage/enabled")),
        "sysctls": {name: read(Path("/proc/sys") / name.replace(".", "/")) for name in SYSCTLS},
        "memory_kb": _memory("MemTotal"),
        "swap_kb": _memory("SwapTotal"),
        "cgroup_cpu_max": read(Path("/sys/fs/cgroup/cpu.max")),
        "cgroup_memory_max": read(Path("/sys/fs/cgroup/memory.max")),
        "ktls": "tls" in (read(ULP) or "").split(),
        "interface": _interface(LOOPBACK),
    }


def read(path: Path) -> str | None:
    """The text of a file of the kernel; None where it has none."""
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _interface(name: str) -> Facts:
    """The interface that every hop of a run crosses."""
    return {
        "name": name,
        "mtu": read(Path("/sys/class/net") / name / "mtu"),
        "queueing": interface.queueing(name),
        "offloads": interface.offloads(name),
    }


def _idle_states() -> list[str]:
    """How deep the processor may sleep, which decides how long it takes to wake."""
    found = sorted((CPU / "cpu0/cpuidle").glob("state*/name"))
    return [name for path in found if (name := read(path))]


def _options(command_line: str) -> list[str]:
    return [word for word in command_line.split() if word.split("=")[0] in OPTIONS]


def _field(text: str, name: str) -> str | None:
    found = re.search(rf"^{name}\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else None


def _caches() -> dict[str, str]:
    found = {}
    for index in sorted((CPU / "cpu0/cache").glob("index*")):
        name = f"L{read(index / 'level')} {read(index / 'type')}"
        found[name] = read(index / "size") or "unknown"
    return found


def _turbo() -> str | None:
    no_turbo = read(CPU / "intel_pstate/no_turbo")
    if no_turbo is not None:
        return "off" if no_turbo == "1" else "on"
    boost = read(CPU / "cpufreq/boost")
    return None if boost is None else ("on" if boost == "1" else "off")


def _mitigations() -> dict[str, str]:
    known = sorted((CPU / "vulnerabilities").glob("*"))
    told = {path.name: read(path) or "unknown" for path in known}
    return {name: text for name, text in told.items() if text != "Not affected"}


def _chosen(path: Path) -> str | None:
    """The word in brackets of a kernel's choice."""
    found = re.search(r"\[(\w+)\]", read(path) or "")
    return found[1] if found else None


def _memory(name: str) -> int | None:
    found = _field(read(Path("/proc/meminfo")) or "", name)
    return int(found.split()[0]) if found else None
