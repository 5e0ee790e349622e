"""Blocks: every cell once, in an order drawn from the seed, again and again.

The machine's speed drifts, so only what ran in one block is compared; the block is the unit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ztransport.bench.workloads import Profile

__all__ = ["CLOSED", "OPEN", "Cell", "Place", "cells", "plan", "schedule_seed"]

Load = Literal["open", "closed"]
OPEN: Load = "open"
CLOSED: Load = "closed"
SEED_BITS = 53  # what any reader of JSON keeps exactly


@dataclass(frozen=True, slots=True)
class Cell:
    """What one window measures, by name."""

    variant: str
    workload: str
    load: Load


@dataclass(frozen=True, slots=True)
class Place:
    """A cell and where it stands in the run."""

    block: int
    order: int
    cell: Cell


def cells(profile: Profile) -> list[Cell]:
    """All cells of a block."""
    return [
        Cell(variant, workload, load)
        for variant in profile.variants
        for workload in profile.workloads
        for load in (OPEN, CLOSED)
    ]


def plan(of_a_block: Sequence[Cell], blocks: int, seed: int) -> Iterator[Place]:
    """Every place of a run in order. A block's order depends on the seed and its number alone."""
    for block in range(blocks):
        order = random.Random(f"{seed}/{block}").sample(of_a_block, len(of_a_block))
        yield from (Place(block, number, cell) for number, cell in enumerate(order))


def schedule_seed(place: Place, seed: int) -> int:
    """The seed of a window's arrivals: the same for all variants of a block, for none else."""
    drawn = random.Random(f"{seed}/{place.block}/{place.cell.workload}/{place.cell.load}")
    return drawn.getrandbits(SEED_BITS)
