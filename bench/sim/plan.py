"""Which experiments a record holds. Each is one call of `ztransport-sim`, one thread."""

from __future__ import annotations

from collections.abc import Iterator

SIZES = (100, 1_000, 10_000)
LOSSES = (0, 10, 30)
RUNS = {100: 100, 1_000: 50, 10_000: 10}
STARVED = (("default", 50, 50), ("plain", 50, 10), ("default", 200, 4))


def _cell(name: str, **options: float | str) -> list[str]:
    return [name, *(f"--{key}={value}" for key, value in options.items())]


def _dissemination() -> Iterator[list[str]]:
    for arm in ("reference", "default", "one-shot"):
        for nodes in SIZES:
            for loss in LOSSES:
                yield _cell("dissemination", arm=arm, nodes=nodes, loss=loss, runs=RUNS[nodes])


def _starved() -> Iterator[list[str]]:
    for arm, nodes, runs in STARVED:
        for loss in (1, 3, 5):
            for starved in (1, 5, 10):
                options = {"nodes": nodes, "loss": loss, "starved": starved}
                yield _cell("starved", arm=arm, runs=runs, seconds=120, **options)


def cells() -> Iterator[list[str]]:
    """Arguments of all calls, the short ones first."""
    yield _cell("codec", runs=201)
    yield _cell("speed", nodes=10_000, seconds=30)
    for nodes in SIZES:
        yield _cell("idle", nodes=nodes, seconds=60)
    yield from _dissemination()
    for nodes, kills in ((100, 40), (1_000, 10), (10_000, 6)):
        yield _cell("detection", nodes=nodes, runs=kills, seconds=20)
    for loss in (1, 3, 5, 10):
        yield _cell("suspicions", nodes=1_000, loss=loss, runs=1, seconds=200)
    yield _cell("joins", nodes=17, loss=10, runs=50, seconds=60)
    yield _cell("wave", nodes=100, loss=1, runs=50, seconds=20)
    yield _cell("partition", nodes=1_000, runs=2, seconds=120)
    yield from _starved()
