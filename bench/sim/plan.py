"""Which experiments a record holds. Each is one call of `ztransport-sim`, one thread."""

from __future__ import annotations

from collections.abc import Iterator

SIZES = (100, 1_000, 10_000)
LOSSES = (0, 10, 30)
RUNS = {100: 100, 1_000: 50, 10_000: 10}
KILLS = {100: 200, 1_000: 40, 10_000: 20}
# Of the grid of starved members: seeds of each cell, at most so many in one call.
STARVED_RUNS, STARVED_RUNS_AT_ONCE = 200, 50
PLAIN_RUNS = 50
# A partition costs the square of its members: ten thousand take 17 GiB and more than half an hour.
PARTITION_LARGE = 4_000
SUSPICIONS = {1: (10_000, 600), 3: (10_000, 200), 5: (1_000, 1_000), 10: (1_000, 300)}


def _cell(name: str, **options: float | str) -> list[str]:
    return [name, *(f"--{key}={value}" for key, value in options.items())]


def _dissemination() -> Iterator[list[str]]:
    for arm in ("reference", "default", "one-shot"):
        for nodes in SIZES:
            for loss in LOSSES:
                yield _cell("dissemination", arm=arm, nodes=nodes, loss=loss, runs=RUNS[nodes])


def _starved(arm: str, nodes: int, runs: int) -> Iterator[list[str]]:
    for loss in (1, 3, 5):
        for starved in (1, 5, 10):
            for first in range(0, runs, STARVED_RUNS_AT_ONCE):
                options = {"nodes": nodes, "loss": loss, "starved": starved, "seed": first + 1}
                yield _cell("starved", arm=arm, runs=STARVED_RUNS_AT_ONCE, seconds=120, **options)


def _faults() -> Iterator[list[str]]:
    for nodes in SIZES:
        yield _cell("detection", nodes=nodes, runs=KILLS[nodes], seconds=16)
    for loss, (nodes, seconds) in SUSPICIONS.items():
        yield _cell("suspicions", nodes=nodes, loss=loss, runs=1, seconds=seconds)
    yield _cell("joins", nodes=17, loss=10, runs=100, seconds=60)
    yield _cell("wave", nodes=100, loss=1, runs=100, seconds=20)
    yield _cell("partition", nodes=1_000, runs=3, seconds=120)
    yield _cell("partition", nodes=PARTITION_LARGE, runs=1, seconds=60)
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
