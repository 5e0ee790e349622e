"""Which experiments a record holds. Each is one call of `ztransport-sim`, one thread."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

Grid = tuple[tuple[int, int], ...]
SIZES = (100, 1_000, 10_000)
LOSSES = (0, 10, 30)
RUNS = {100: 100, 1_000: 50, 10_000: 10}
KILLS = {100: 200, 1_000: 40, 10_000: 20}
# Of the grid of starved members: seeds of each cell, at most so many in one call.
STARVED_RUNS, STARVED_RUNS_AT_ONCE = 200, 50
STARVED_CELLS = tuple(itertools.product((1, 3, 5), (1, 5, 10)))  # loss and starved, in percent
PLAIN_RUNS = 50
# The same grid in larger clusters, where a run costs up to minutes of a processor: seeds of each
# cell, and of ten thousand some cells only, as (loss, starved).
STARVED_LARGE, STARVED_LARGE_RUNS = 1_000, 5
STARVED_LARGEST, STARVED_LARGEST_CELLS = 10_000, ((1, 1), (1, 5), (3, 1))
# A partition costs the square of its members: ten thousand take 12 GiB, and an hour with others on
# the machine.
PARTITIONS = {1_000: (3, 120), 4_000: (1, 60), 10_000: (1, 120)}
# By loss, so long that the closed form can be told from one a tenth away, or for an hour. Gossip
# about the false suspicions makes lossy clusters dear, and a false suspicion does not depend on
# how many members there are.
SUSPICIONS = {
    1: ((10_000, 3_600),),
    3: ((10_000, 600),),
    5: ((10_000, 100), (1_000, 1_000)),
    10: ((10_000, 20), (1_000, 300)),
}


def _cell(name: str, **options: float | str) -> list[str]:
    return [name, *(f"--{key}={value}" for key, value in options.items())]


def _dissemination() -> Iterator[list[str]]:
    for arm in ("reference", "default", "one-shot"):
        for nodes in SIZES:
            for loss in LOSSES:
                yield _cell("dissemination", arm=arm, nodes=nodes, loss=loss, runs=RUNS[nodes])


def _starved(arm: str, nodes: int, runs: int, cells: Grid = STARVED_CELLS) -> Iterator[list[str]]:
    at_once = min(runs, STARVED_RUNS_AT_ONCE)
    for loss, starved in cells:
        for first in range(0, runs, at_once):
            options = {"nodes": nodes, "loss": loss, "starved": starved, "seed": first + 1}
            yield _cell("starved", arm=arm, runs=at_once, seconds=120, **options)


def _faults() -> Iterator[list[str]]:
    for nodes in SIZES:
        yield _cell("detection", nodes=nodes, runs=KILLS[nodes], seconds=16)
    for loss, sizes in SUSPICIONS.items():
        for nodes, seconds in sizes:
            yield _cell("suspicions", nodes=nodes, loss=loss, runs=1, seconds=seconds)
    yield _cell("joins", nodes=17, loss=10, runs=100, seconds=60)
    yield _cell("wave", nodes=100, loss=1, runs=100, seconds=20)
    for nodes, (runs, seconds) in PARTITIONS.items():
        yield _cell("partition", nodes=nodes, runs=runs, seconds=seconds)
    for arm in ("one-way", "flip-flop", "lossy"):
        yield _cell("rapid", arm=arm, nodes=1_000, runs=3, seconds=120)
    yield _cell("storm", nodes=10, runs=200, seconds=60)


def trace() -> list[str]:
    """The world whose history every build must live through alike."""
    return _cell("trace", nodes=100, loss=5, seed=7, seconds=20)


def cells() -> Iterator[list[str]]:
    """Arguments of all calls, the short ones first."""
    for nodes in (100, 10_000):
        yield _cell("codec", nodes=nodes, runs=201)
    yield _cell("speed", nodes=10_000, seconds=60)
    for nodes in SIZES:
        yield _cell("idle", nodes=nodes, seconds=60)
    yield from _dissemination()
    yield from _faults()
    yield from _starved("plain", 50, PLAIN_RUNS)
    yield from _starved("default", 50, STARVED_RUNS)
    yield from _starved("default", 200, STARVED_RUNS)
    yield from _starved("default", STARVED_LARGE, STARVED_LARGE_RUNS)
    yield from _starved("default", STARVED_LARGEST, 1, STARVED_LARGEST_CELLS)
