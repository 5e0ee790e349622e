"""A cluster that goes from plaintext to TLS and back, node by node, while all call each other."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from bench.rolling.cluster import MEMBERS, Cluster, Mode
from bench.rolling.findings import Finding, calls
from bench.rolling.mount import issue
from ztransport.certs import create_authority

__all__ = ["rollout"]

PLAINTEXT: Mode = ("plaintext", "plaintext")
STEPS: list[Mode] = [("permissive", "plaintext"), ("permissive", "tls"), ("tls", "tls")]
STEP_S = 0.5
"""Time between two nodes, in which the one before carries its share."""


def rollout(tell: Callable[[str], None], folder: Path) -> list[Finding]:
    """Restart every node with the settings of every step, forth and back."""
    cluster = Cluster(folder, age_ms=0, callers=len(MEMBERS) - 1)
    authority = create_authority("rollout")
    for number, name in enumerate(MEMBERS):
        cluster.mounts[name].put(issue(authority, number)[0], authority.certificate_pem)
    left: dict[str, list[int]] = {}
    with ExitStack() as stack:
        stack.callback(cluster.kill)
        cluster.start(MEMBERS, PLAINTEXT)
        began = time.monotonic()
        time.sleep(STEP_S)
        for mode in [*STEPS, *reversed(STEPS[:-1]), PLAINTEXT]:
            _restart_all(cluster, mode, tell)
            left.setdefault("/".join(str(one) for one in mode), []).append(_plaintext(cluster))
        cluster.stop_all()
        seconds = time.monotonic() - began
    return _findings(cluster, left, seconds)


def _restart_all(cluster: Cluster, mode: Mode, tell: Callable[[str], None]) -> None:
    for name in MEMBERS:
        tell(f"node {name}: accept {mode[0]}, dial {mode[1]}")
        cluster.stop(name)
        cluster.start([name], mode)
        time.sleep(STEP_S)


def _plaintext(cluster: Cluster) -> int:
    return sum(cluster.statistics(name)["plaintext_connections"] for name in MEMBERS)


def _findings(cluster: Cluster, left: dict[str, list[int]], seconds: float) -> list[Finding]:
    restarts = len(cluster.ended) - len(MEMBERS)
    only, back = left["tls/tls"][0], left["plaintext/plaintext"][0]
    figures: dict[str, object] = {"plaintext_connections": left}
    return [
        *calls(f"plaintext to TLS and back, {restarts} restarts", cluster.ended, seconds),
        Finding("plaintext connections, TLS only", str(only), "0", only == 0, figures),
        Finding("plaintext connections, back in plaintext", str(back), "more than 0", back > 0),
    ]
