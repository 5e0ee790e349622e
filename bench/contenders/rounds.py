"""The plan of a run: every round holds every cell once, in an order drawn from the seed."""

from __future__ import annotations

import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from bench.contenders.processes import CROSS, SAME, SPIN, Cell
from bench.contenders.protocol import (
    CALLS,
    CALLS_4K,
    LINE_WORKS,
    ONEWAY_4K,
    PING,
    WORKS,
    Sample,
)

TLS, PLAIN = "tls", "plain"
ZT_PYTHON = ("zt-trio", "zt-asyncio", "zt-uvloop")
ZT_RUST = "zt-rust"
TRIO_ALONE = "trio-alone"
OTHERS = ("trio", "asyncio", "uvloop", "aiofastnet")
CONTENDERS = (*OTHERS, *ZT_PYTHON, ZT_RUST, TRIO_ALONE)
PLACED_WORKS = (PING, CALLS)
PLAIN_LINE_WORKS = (CALLS_4K, ONEWAY_4K)


def plan(contenders: Iterable[str], works: Iterable[str]) -> list[Cell]:
    """All cells of a round.

    Every work runs across cores over TLS and in plaintext; those that wait for a wake-up also on
    one core, and ztransport's also spinning. The further lines are asked of the Trio face.
    """
    chosen, asked = tuple(contenders), tuple(works)
    cells = [
        Cell(contender, work, security, placement)
        for contender in chosen
        for work in asked
        for security, placement in _ways(contender, work)
    ]
    return list(dict.fromkeys(cells))


def _ways(contender: str, work: str) -> Iterator[tuple[str, str]]:
    if work in LINE_WORKS and contender != "zt-trio":
        return
    if contender == TRIO_ALONE and work != CALLS:
        return
    yield TLS, CROSS
    if contender == TRIO_ALONE:
        return
    if work in WORKS or work in PLAIN_LINE_WORKS:
        yield PLAIN, CROSS
    if work in PLACED_WORKS:
        yield TLS, SAME
        if contender in (*ZT_PYTHON, ZT_RUST):
            yield TLS, SPIN


@dataclass(slots=True)
class Results:
    """Samples by cell, in the order of the rounds."""

    samples: dict[Cell, list[Sample]] = field(default_factory=lambda: defaultdict(list))

    def rates(self, cell: Cell) -> list[float]:
        """Messages per second, round by round."""
        return [sample.count / sample.seconds for sample in self.samples.get(cell, [])]

    def rate(self, cell: Cell) -> float | None:
        """Median of messages per second; None when the cell was not run."""
        rates = self.rates(cell)
        return statistics.median(rates) if rates else None

    def ratio(self, cell: Cell, base: Cell) -> float | None:
        """Median over the rounds of one cell's rate by another's in the same round."""
        pairs = list(zip(self.rates(cell), self.rates(base), strict=False))
        ratios = [first / second for first, second in pairs if second]
        return statistics.median(ratios) if ratios else None

    def best(self, work: str, security: str, placement: str, among: Iterable[str]) -> Cell | None:
        """The cell of the fastest of some contenders."""
        cells = [Cell(contender, work, security, placement) for contender in among]
        ran = [cell for cell in cells if self.rates(cell)]
        return max(ran, key=lambda cell: self.rate(cell) or 0.0) if ran else None

    def spread(self, cell: Cell) -> float:
        """Half the range over the rounds, as a share of the median."""
        rates = self.rates(cell)
        middle = self.rate(cell)
        return (max(rates) - min(rates)) / 2 / middle if middle else 0.0


def run(
    cells: list[Cell],
    rounds: int,
    seed: int,
    measure: Callable[[Cell], Sample],
    tell: Callable[[int, int, Cell], None],
) -> Results:
    """Measure every cell once a round; `tell` hears what comes next."""
    results, order = Results(), random.Random(seed)
    for number in range(rounds):
        shuffled = order.sample(cells, len(cells))
        for index, cell in enumerate(shuffled):
            tell(number, index, cell)
            results.samples[cell].append(measure(cell))
    return results
