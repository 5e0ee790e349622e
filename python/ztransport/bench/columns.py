"""Runs as tidy columns: one row for each window, one numpy array for each thing known of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ztransport.bench import histograms
from ztransport.bench import statistics as st
from ztransport.bench.record import Record, Run, open_run
from ztransport.bench.statistics import Summary

__all__ = ["Runs", "load"]

Column = npt.NDArray[Any]
NAMES = ("block", "order", "generation", "variant", "workload", "load", "valid")
NUMBERS = ("rate_asked", "count", "sent", "seconds", "steal_share", "generator_busy_share")
SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


class Runs(Mapping[str, Column]):
    """Columns by name, all of one length, with the run they come from.

    `block`, `order`, `generation`, `variant`, `workload`, `load`, `valid`, `rate_asked`, `count`,
    `sent`, `seconds`, `throughput` (messages/s), `cpu_us` and `cpu_us_<role>` (per message),
    `response_p50_us` … `send_delay_p999_us`, `steal_share`, `generator_busy_share`. A number that
    is not known, as a percentile of too few samples, is NaN.
    """

    def __init__(self, run: Run, columns: Mapping[str, Column]) -> None:
        """Use `load`."""
        self.run = run
        self._columns = dict(columns)

    def __getitem__(self, name: str) -> Column:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"<Runs of {self.run.path}: {self.rows} windows, {len(self)} columns>"

    @property
    def rows(self) -> int:
        """Number of windows."""
        return len(self._columns["block"])

    def where(self, **equal: object) -> Runs:
        """The rows whose columns equal what is named: `where(variant="tls", valid=True)`."""
        kept = np.ones(self.rows, dtype=bool)
        for name, wanted in equal.items():
            kept &= self[name] == wanted
        return Runs(self.run, {name: column[kept] for name, column in self.items()})

    def summary(self) -> Summary:
        """The statistics of the whole run, with intervals and verdicts."""
        return st.summarise(self.run)


def load(path: Path | str) -> Runs:
    """Read a run directory into columns. Raises BenchError with the remedy."""
    run = open_run(Path(path))
    rows = [_row(window) for window in run.windows]
    names = rows[0] if rows else dict.fromkeys(NAMES)
    return Runs(run, {name: _column([row[name] for row in rows]) for name in names})


def _row(window: Record) -> dict[str, object]:
    row: dict[str, object] = {name: window[name] for name in NAMES}
    row |= {name: _number(window[name]) for name in NUMBERS}
    row["throughput"] = window["count"] / window["seconds"] if window["seconds"] else np.nan
    row["cpu_us"] = _number(st.value(window, st.CPU))
    row |= {f"cpu_us_{role}": _number(window["cpu_us"].get(role)) for role in st.ROLES}
    for kind in histograms.KINDS:
        found = histograms.decoded(window, kind)
        for name, share in SHARES.items():
            row[f"{kind}_{name}_us"] = _number(histograms.percentile_us(found, share))
    return row


def _column(values: list[object]) -> Column:
    return np.array(values)


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
