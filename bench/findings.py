"""What experiments with a bar come to, as a table; and what is told while they run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ztransport.bench import report

__all__ = ["Finding", "table", "tell"]

HEADERS = ["experiment", "measured", "bar", "met"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table, with the figures behind it."""

    what: str
    measured: str
    bar: str
    met: bool
    figures: dict[str, object] = field(default_factory=dict)


def table(found: Mapping[str, Sequence[Finding]]) -> str:
    """One row for each finding, by experiment."""
    every = [one for own in found.values() for one in own]
    rows = [[one.what, one.measured, one.bar, "yes" if one.met else "NO"] for one in every]
    return report.table(HEADERS, rows)


def tell(line: str) -> None:
    """Show what goes on in place, on a terminal alone; an empty line takes the last away."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()
