"""Latency histograms of windows: read from a record, merged, and asked no more than they know."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterable, Sequence
from typing import Any

from ztransport._ztransport import Histogram
from ztransport.bench.processes import BenchError

__all__ = [
    "KINDS",
    "PERCENTILES",
    "Histogram",
    "curve_us",
    "decoded",
    "merged",
    "percentile_us",
    "samples_min",
]

KINDS = ("response", "service", "send_delay")
PERCENTILES = (0.5, 0.9, 0.99, 0.999, 0.9999)
SAMPLES_BEYOND_MIN = 10
CURVE_POINTS_PER_DECADE = 24


def decoded(window: dict[str, Any], kind: str) -> Histogram | None:
    """A window's histogram of one kind (values in ns); None where it has none or an empty one.

    Raises BenchError when the record holds something that is no histogram.
    """
    text = (window["histograms"] or {}).get(kind)
    if not text:
        return None
    try:
        found = Histogram.decode(base64.b64decode(text, validate=True))
    except ValueError as error:
        place = f"block {window['block']}, {window['variant']}, {window['workload']}"
        raise BenchError(
            f"the {kind} histogram of {place} cannot be read ({error}): restore the record"
        ) from None
    return found if found.count else None


def merged(found: Iterable[Histogram | None]) -> Histogram | None:
    """One histogram of all that are there; None when none is."""
    known = [one for one in found if one is not None]
    return functools.reduce(lambda left, right: left.merge(right), known) if known else None


def samples_min(share: float) -> float:
    """Samples below which a percentile is not shown: ten must lie beyond it."""
    return SAMPLES_BEYOND_MIN / (1 - share)


def percentile_us(found: Histogram | None, share: float) -> float | None:
    """The value in µs below which a share of the samples lies; None where too few lie beyond."""
    if found is None or found.count < round(samples_min(share)):
        return None
    return found.value_at(share) / 1e3


def curve_us(found: Histogram) -> tuple[Sequence[float], Sequence[float]]:
    """Points (1/(1-p), value in µs), evenly spaced in the logarithm, as far as samples reach."""
    step = 10 ** (1 / CURVE_POINTS_PER_DECADE)
    odds = [step]
    while odds[-1] * step * SAMPLES_BEYOND_MIN <= found.count:
        odds.append(odds[-1] * step)
    shares = [1 - 1 / one for one in odds]
    return odds, [value / 1e3 for value in found.curve(shares)]
