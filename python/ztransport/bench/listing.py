"""What there is to measure, and with what."""

from __future__ import annotations

from collections.abc import Sequence

from ztransport.bench import environment, proxies, variants, workloads
from ztransport.bench.environment import Environment
from ztransport.bench.placement import placement

__all__ = ["surroundings", "text"]

SHAPES: dict[str | None, str] = {
    "plain": "plaintext – proxy – plaintext",
    "tls": "TLS – proxy – plaintext",
    "mesh": "plaintext – proxy – TLS – proxy – plaintext",
}
DIRECT = {
    "plain": "plaintext to the broker",
    "plain-twin-1": "plain once more, for the noise floor",
    "plain-twin-2": "plain once more, to test the noise floor",
    "tls": "TLS in the process",
    "mtls": "mutual TLS in the process",
}


def text() -> str:
    """Profiles, variants and workloads as tables, and what is missing."""
    _, missing = proxies.found()
    parts = [
        _table(["profile", "variants", "workloads", "blocks", "minutes"], _profiles()),
        _table(["variant", "way", "measurable here"], _variants(missing)),
        _table(["workload", "what", "payload B"], _workloads()),
        *(f"missing: {reason}" for reason in missing.values()),
    ]
    return "\n\n".join(parts)


def surroundings() -> Environment:
    """The environment of a record, with the placement and the proxies of this machine."""
    tools, _ = proxies.found()
    programs = {name: tool.described() for name, tool in tools.items()}
    return {**environment.collect(), "placement": placement(), "programs": programs}


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headers, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _profiles() -> list[list[str]]:
    return [
        [
            one.name,
            str(len(one.variants)),
            str(len(one.workloads)),
            str(one.blocks),
            f"{one.seconds_expected / 60:.0f}",
        ]
        for one in workloads.load_profiles().values()
    ]


def _variants(missing: dict[str, str]) -> list[list[str]]:
    return [
        [
            one.name,
            DIRECT.get(one.name) or SHAPES[one.shape],
            "no" if one.proxy in missing else "yes",
        ]
        for one in variants.VARIANTS.values()
    ]


def _workloads() -> list[list[str]]:
    every = workloads.load_workloads().values()
    return [[one.name, one.title, str(one.payload_bytes)] for one in every]
