"""The comparison as a table: a row for each figure, a column for each contender."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.membership.contenders import KINSHIP, OURS
from ztransport.bench import record, report

HEADERS = ("members, UDP loss", "figure", KINSHIP, OURS, "ours / kinship")
Results = dict[str, Any]
RATIO_DIGITS = 2


def _seconds(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.2f} s"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _cpu(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ms/s"


Figure = tuple[str, tuple[str, ...], Callable[[float | None], str]]
FIGURES: tuple[Figure, ...] = (
    ("kill -9 to failed, p50", ("kills", "seconds_to_each", "p50"), _seconds),
    ("… p99", ("kills", "seconds_to_each", "p99"), _seconds),
    ("first to last member, p50", ("kills", "seconds_from_first_to_last", "p50"), _seconds),
    ("… max", ("kills", "seconds_from_first_to_last", "max"), _seconds),
    ("kills", ("kills", "kills"), _plain),
    ("unnoticed (kill, member) pairs", ("kills", "unnoticed"), _plain),
    ("clean leave, p50", ("leaves", "p50"), _seconds),
    ("… p99", ("leaves", "p99"), _seconds),
    ("leaves missed", ("leaves", "missed"), _plain),
    ("join wave until all see all", ("wave", "max"), _seconds),
    ("joins unfinished", ("wave", "unfinished"), _plain),
    ("idle UDP payload a member, B/s", ("idle", "udp_payload_bytes_per_second"), _plain),
    ("idle payload with TCP, B/s", ("idle", "payload_bytes_per_second"), _plain),
    ("idle packets, B/s", ("idle", "packet_bytes_per_second"), _plain),
    ("idle CPU a member", ("idle", "cpu_ms_per_second"), _cpu),
    ("false deaths", ("false", "deaths"), _plain),
    ("false suspicions", ("false", "suspicions"), _plain),
)


def _find(cell: Results | None, path: tuple[str, ...]) -> float | None:
    value: Any = cell
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if value is not None else None


def _rows(cells: list[Results]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for size, loss in sorted({(cell["size"], cell["loss"]) for cell in cells}):
        by_name = {
            cell["contender"]: cell
            for cell in cells
            if (cell["size"], cell["loss"]) == (size, loss)
        }
        for title, path, show in FIGURES:
            theirs, ours = (_find(by_name.get(name), path) for name in (KINSHIP, OURS))
            ratio = f"{ours / theirs:.{RATIO_DIGITS}f}" if theirs and ours is not None else ""
            rows.append((f"{size}, {loss:g} %", title, show(theirs), show(ours), ratio))
    return rows


def table(found: record.Record) -> str:
    """Everything the record holds, in Markdown, and what it lacks."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    lines = [versions, "", report.table(HEADERS, _rows(found["cells"]))]
    return "\n".join([*lines, *(f"missing: {cell}" for cell in found["missing"])])
