"""What an experiment came to."""

from __future__ import annotations

from collections.abc import Callable

from bench.findings import Finding
from ztransport.bench.driving import Measured
from ztransport.bench.histograms import decoded
from ztransport.bench.processes import BenchError
from ztransport.bench.session import Outcome

__all__ = ["Experiment", "Finding", "Told", "cpu_us", "measured", "quantile_us", "rate"]

Told = Callable[[str], None]


Experiment = Callable[[Told], list[Finding]]


def measured(outcome: Outcome) -> Measured:
    """What a window measured. Raises BenchError when it came to nothing."""
    if outcome.measured is None:
        raise BenchError(f"a window came to nothing: {'; '.join(outcome.mishaps)}")
    return outcome.measured


def rate(one: Measured) -> float:
    """Messages a second."""
    return float(one.said["completed"] / one.said["seconds"])


def cpu_us(one: Measured) -> float:
    """CPU of all roles in µs per message."""
    return sum(used or 0.0 for used in one.spent.cpu_us_per(one.said["completed"]).values())


def quantile_us(one: Measured, kind: str, share: float) -> float:
    """A quantile in µs of the response or service times of a window."""
    histogram = decoded(dict(one.said), kind)
    return histogram.value_at(share) / 1e3 if histogram else 0.0
