"""Blocks: every variant and work once, in an order drawn from the seed, again and again.

The machine's speed drifts, so only what ran in one block is compared: a ratio is taken within
each block, and the median over the blocks is shown with its range.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ztransport.bench import report, variants, windows

__all__ = ["HEADERS", "WORKS", "Cell", "Measured", "measured", "run", "table"]

WORKS = {"calls × 64": 64, "ping × 1": 1}
HEADERS = [
    "variant",
    "calls/s",
    "p50 µs",
    "p99 µs",
    "CPU µs client",
    "proxy",
    "broker",
    "ratio to plain",
]


@dataclass(frozen=True, slots=True)
class Cell:
    """What one window measures."""

    variant: str
    work: str


@dataclass(slots=True)
class Measured:
    """One window in its place; CPU in µs per call by role, None where there is no such role."""

    block: int
    order: int
    variant: str
    work: str
    count: int
    seconds: float
    p50_us: float | None
    p99_us: float | None
    client_cpu_us: float
    proxy_cpu_us: float | None
    broker_cpu_us: float
    negotiated: dict[str, str] | None

    @property
    def rate(self) -> float:
        """Calls per second."""
        return self.count / self.seconds


def measured(
    block: int,
    order: int,
    cell: Cell,
    window: windows.Window,
    negotiated: dict[str, str] | None,
) -> Measured:
    """Put a window in its place; its CPU clocks are the broker's and then those of a proxy."""
    count = max(1, window.count)
    broker_cpu_s, *proxy_cpu_s = window.cpu_s
    return Measured(
        block=block,
        order=order,
        variant=cell.variant,
        work=cell.work,
        count=window.count,
        seconds=window.seconds,
        p50_us=window.p50_us,
        p99_us=window.p99_us,
        client_cpu_us=window.own_cpu_s * 1e6 / count,
        proxy_cpu_us=sum(proxy_cpu_s) * 1e6 / count if proxy_cpu_s else None,
        broker_cpu_us=broker_cpu_s * 1e6 / count,
        negotiated=negotiated,
    )


def run(
    cells: Sequence[Cell],
    blocks: int,
    budget_s: float,
    seed: int,
    measure: Callable[[int, int, Cell], Measured],
) -> list[Measured]:
    """Measure whole blocks until their number or the budget is reached; one at least."""
    order, found = random.Random(seed), list[Measured]()
    begin = time.monotonic()
    for block in range(blocks):
        shuffled = order.sample(cells, len(cells))
        found += [measure(block, index, cell) for index, cell in enumerate(shuffled)]
        spent = time.monotonic() - begin
        if spent + spent / (block + 1) > budget_s:
            break
    return found


def table(found: Sequence[Measured]) -> str:
    """All works and variants as one table; medians over the blocks."""
    rows = []
    for work in WORKS:
        of_work = [one for one in found if one.work == work]
        ran = {one.variant for one in of_work}
        rows += [_row(name, work, of_work) for name in variants.VARIANTS if name in ran]
    return report.table(HEADERS, rows)


def _row(variant: str, work: str, of_work: Sequence[Measured]) -> list[str]:
    own = [one for one in of_work if one.variant == variant]
    plain = {one.block: one.rate for one in of_work if one.variant == variants.PLAIN}
    ratios = [one.rate / plain[one.block] for one in own if plain.get(one.block)]
    return [
        f"{variant}, {work}",
        report.quantity(statistics.median(one.rate for one in own)),
        _median([one.p50_us for one in own], 0),
        _median([one.p99_us for one in own], 0),
        _median([one.client_cpu_us for one in own], 2),
        _median([one.proxy_cpu_us for one in own], 2),
        _median([one.broker_cpu_us for one in own], 2),
        _ratio(ratios),
    ]


def _median(values: Sequence[float | None], digits: int) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):.{digits}f}" if known else "–"


def _ratio(ratios: Sequence[float]) -> str:
    if not ratios:
        return "–"
    middle = statistics.median(ratios)
    return f"{middle:.2f} [{min(ratios):.2f} – {max(ratios):.2f}]"
