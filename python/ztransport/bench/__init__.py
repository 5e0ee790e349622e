"""The benchmark of ztransport: what encryption costs, and what it costs elsewhere in the path.

`load` reads what `ztransport bench run` has recorded into columns for a notebook or a script.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ztransport.bench.columns import Runs

__all__ = ["load"]


def load(path: Path | str) -> Runs:
    """Read a run directory into columns. Raises BenchError with the remedy."""
    from ztransport.bench import columns  # the measured processes need no numpy

    return columns.load(path)
