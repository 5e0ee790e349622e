"""Runs with known answers, drawn from a seed: what the statistics and the reports are tested on."""

from __future__ import annotations

import base64
import math
import random
from collections.abc import Iterable, Mapping
from pathlib import Path

from ztransport._ztransport import Histogram
from ztransport.bench.record import KIND, SCHEMA_VERSION, Record, RunDirectory

NEGOTIATED = {"version": "TLSv1.3", "cipher_suite": "TLS_AES_128_GCM_SHA256", "group": "X25519"}
PROXIES = ("nginx", "haproxy")
# CPU in µs per message by role: what each variant costs before noise.
COSTS: dict[str, dict[str, float]] = {
    "plain": {"generator": 1.0, "broker": 3.0},
    "plain-twin-1": {"generator": 1.0, "broker": 3.0},
    "plain-twin-2": {"generator": 1.0, "broker": 3.0},
    "tls": {"generator": 1.2, "broker": 3.4},
    "mtls": {"generator": 1.2, "broker": 3.42},
    "proxy-plain:nginx": {"generator": 1.0, "broker": 3.0, "server_proxy": 5.0},
    "proxy-tls:nginx": {"generator": 1.2, "broker": 3.0, "server_proxy": 6.5},
    "proxy-plain:haproxy": {"generator": 1.0, "broker": 3.0, "server_proxy": 4.0},
    "proxy-tls:haproxy": {"generator": 1.2, "broker": 3.0, "server_proxy": 6.0},
}
WORKLOADS = ("request-128-x1", "request-128-x64")


def encoded(values_ns: Iterable[int]) -> str:
    """A histogram of nanoseconds as a record has it."""
    return base64.b64encode(Histogram(list(values_ns)).encode()).decode()


def manifest(
    variants: Iterable[str] = COSTS,
    workloads: Iterable[str] = WORKLOADS,
    *,
    blocks: int = 12,
    seed: int = 7,
) -> Record:
    """A manifest as a run writes it at its begin."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": KIND,
        "profile": "quick",
        "command": "ztransport bench run --profile quick",
        "seed": seed,
        "begun_at": "2026-11-22T10:00:00Z",
        "finished_at": None,
        "complete": False,
        "measuring_seconds": 0.0,
        "environment": {"cpu_model": "a <test> processor", "cpu_count": 2, "governor": None},
        "scenario": {
            "variants": list(variants),
            "workloads": list(workloads),
            "blocks_asked": blocks,
            "seconds": 1.0,
            "titles": {"request-128-x64": "request/reply 128 B, 64 in flight"},
            "rates": dict.fromkeys(workloads, 50_000.0),
        },
        "programs": {
            name: {"version": "1.0", "build": "as packaged", "tls_library": "OpenSSL 3.0"}
            for name in PROXIES
        },
        "negotiated": NEGOTIATED,
    }


def window(
    variant: str = "plain",
    block: int = 0,
    *,
    costs: Mapping[str, float] | None = None,
    workload: str = WORKLOADS[0],
    load: str = "open",
    order: int = 0,
    count: int = 50_000,
    latencies_ns: Iterable[int] = (),
    reasons: Iterable[str] = (),
) -> Record:
    """One window; it is valid unless it has reasons."""
    by_role = COSTS.get(variant, {}) if costs is None else costs
    response = encoded(latencies_ns)
    return {
        "schema_version": SCHEMA_VERSION,
        "block": block,
        "order": order,
        "variant": variant,
        "workload": workload,
        "load": load,
        "rate_asked": 50_000.0 if load == "open" else None,
        "generation": block // 3,
        "count": count,
        "sent": count,
        "seconds": 1.0,
        "started_at": "2026-11-22T10:00:00Z",
        "errors": {},
        "valid": not list(reasons),
        "reasons": list(reasons),
        "cpu_us": dict.fromkeys(("generator", "client_proxy", "server_proxy", "gateway", "broker"))
        | dict(by_role),
        "steal_share": 0.0,
        "generator_busy_share": 0.3,
        "negotiated": NEGOTIATED if "tls" in variant else None,
        "histograms": {"response": response, "service": response, "send_delay": encoded([])},
    }


def write_run(
    path: Path,
    costs: Mapping[str, Mapping[str, float]] = COSTS,
    *,
    blocks: int = 12,
    noise: float = 0.01,
    seed: int = 7,
    workloads: Iterable[str] = WORKLOADS,
    samples: int = 0,
) -> Path:
    """A complete run: each block has its own speed, each window its own noise (both log-normal)."""
    source = random.Random(seed)
    run = RunDirectory.create(path, manifest(costs, workloads, blocks=blocks, seed=seed))
    for block in range(blocks):
        pace = math.exp(source.gauss(0, 0.1))
        for name in workloads:
            for load in ("open", "closed"):
                for order, variant in enumerate(source.sample(list(costs), len(costs))):
                    factor = pace * math.exp(source.gauss(0, noise))
                    own = {role: cost * factor for role, cost in costs[variant].items()}
                    total = sum(own.values())
                    run.append(
                        window(
                            variant,
                            block,
                            costs=own,
                            workload=name,
                            load=load,
                            order=order,
                            count=50_000 if load == "open" else round(1e6 / total),
                            latencies_ns=_latencies(source, total, samples),
                        )
                    )
    run.finish(measuring_seconds=float(len(run.windows)))
    return path


def _latencies(source: random.Random, total_us: float, samples: int) -> list[int]:
    return [round(total_us * 1e4 * math.exp(source.gauss(0, 0.5))) for _ in range(samples)]
