"""Medians of blocks with bootstrap intervals, and what may be said of a difference.

The block is the unit: its windows share the machine's mood, so only ratios within one block are
formed, and whole blocks are resampled (Efron and Tibshirani, An Introduction to the Bootstrap,
chapter 13: percentile intervals). All blocks count; none is dropped for its value.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "BLOCKS_MIN",
    "NOT_RESOLVED",
    "RESAMPLES",
    "RESOLVED",
    "TOO_FEW",
    "Estimate",
    "is_resolved",
    "level",
    "noise_floor",
    "ratio",
    "verdict",
]

RESAMPLES = 10_000
LOW_PERCENT, HIGH_PERCENT = 2.5, 97.5
# The range of n values covers the median with 1 - 2^(1-n): six is the first n above 95 %.
BLOCKS_MIN = 6
RESOLVED, NOT_RESOLVED, TOO_FEW = "resolved", "not resolved", "too few blocks"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median over blocks and its 95 % interval; with too few blocks the whole range."""

    median: float
    low: float
    high: float
    blocks: int


def ratio(over: Mapping[int, float], base: Mapping[int, float], seed: int) -> Estimate | None:
    """The median of over/base within each block that has both; None where no block has.

    Values by block, all above zero. The same seed and number of blocks resample alike, so an
    interval does not depend on what else is asked.
    """
    blocks = sorted(over.keys() & base.keys())
    if not blocks:
        return None
    logs = np.array([math.log(over[block] / base[block]) for block in blocks])
    return _exponential(_median(logs, seed))


def level(values: Mapping[int, float], seed: int) -> Estimate | None:
    """The median of values by block; None where there is none."""
    if not values:
        return None
    return _median(np.array([values[block] for block in sorted(values)]), seed)


def noise_floor(twin: Estimate | None) -> float | None:
    """The largest ratio that equals may show: the far end of a twin's interval, at least 1."""
    if twin is None or twin.blocks < BLOCKS_MIN:
        return None
    return max(twin.high, 1 / twin.low, 1.0)


def is_resolved(estimate: Estimate, floor: float | None) -> bool:
    """Whether a ratio differs from 1: its interval excludes 1 and its median leaves the floor."""
    if floor is None or estimate.blocks < BLOCKS_MIN:
        return False
    excludes_one = estimate.low > 1 or estimate.high < 1
    return excludes_one and max(estimate.median, 1 / estimate.median) > floor


def verdict(estimate: Estimate, floor: float | None) -> str:
    """What may be said of a ratio, in words for a table."""
    if estimate.blocks < BLOCKS_MIN or floor is None:
        return TOO_FEW
    return RESOLVED if is_resolved(estimate, floor) else NOT_RESOLVED


def _median(values: Floats, seed: int) -> Estimate:
    if len(values) < BLOCKS_MIN:
        low, high = float(values.min()), float(values.max())
    else:
        medians = np.median(values[_draws(seed, len(values))], axis=1)
        low, high = map(float, np.percentile(medians, [LOW_PERCENT, HIGH_PERCENT]))
    return Estimate(float(np.median(values)), low, high, len(values))


@functools.lru_cache(maxsize=8)
def _draws(seed: int, count: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng([seed, count]).integers(0, count, size=(RESAMPLES, count))


def _exponential(logs: Estimate) -> Estimate:
    return Estimate(math.exp(logs.median), math.exp(logs.low), math.exp(logs.high), logs.blocks)
