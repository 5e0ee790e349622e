"""`python -m bench.contenders.figure RECORD PICTURE`: a kept record as one picture.

One panel for each work over TLS across cores; a bar is the median of the rounds, its whisker the
lowest and highest round.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from bench.contenders.processes import CROSS
from bench.contenders.protocol import ALL_WORKS, BULK_64K, CALLS, ONEWAY, PING
from bench.contenders.rounds import CONTENDERS, TLS
from ztransport.bench import record

PANELS = {
    PING: ("request/reply, 1 in flight", 1e3, "thousand calls/s"),
    CALLS: ("request/reply, 64 in flight", 1e3, "thousand calls/s"),
    ONEWAY: ("one-way, 128 B", 1e6, "million messages/s"),
    BULK_64K: ("bulk, 64 KiB", 1e9, "GB/s"),
}
OURS, OTHERS = "#0072b2", "#999999"  # told apart by the colour-blind as well
PANEL_INCHES = (3.2, 2.6)


def rates(found: record.Record, work: str) -> dict[str, list[float]]:
    """Rates by contender in the work's own unit, round by round."""
    cells: Any = found["cells"]
    scale = ALL_WORKS[work].payload_bytes if ALL_WORKS[work].is_bulk else 1
    shown = {
        cell["contender"]: [one["count"] * scale / one["seconds"] for one in cell["samples"]]
        for cell in cells
        if (cell["work"], cell["security"], cell["placement"]) == (work, TLS, CROSS)
    }
    return {name: shown[name] for name in reversed(CONTENDERS) if name in shown}


def draw(found: record.Record, picture: Path) -> None:
    """Draw all panels side by side; the file's ending decides its format."""
    width, height = PANEL_INCHES
    figure, panels = plt.subplots(1, len(PANELS), figsize=(width * len(PANELS), height))
    for panel, (work, (title, unit, label)) in zip(panels, PANELS.items(), strict=True):
        bars = {n: [rate / unit for rate in found] for n, found in rates(found, work).items()}
        middles = [statistics.median(bar) for bar in bars.values()]
        low = [m - min(bar) for m, bar in zip(middles, bars.values(), strict=True)]
        high = [max(bar) - m for m, bar in zip(middles, bars.values(), strict=True)]
        colours = [OURS if name.startswith("zt-") else OTHERS for name in bars]
        panel.barh(list(bars), middles, xerr=[low, high], color=colours, ecolor="#333333")
        panel.set_title(title, fontsize=10)
        panel.set_xlabel(label, fontsize=9)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(picture, metadata={"Date": None} if picture.suffix == ".svg" else None)


if __name__ == "__main__":
    draw(record.read(Path(sys.argv[1])), Path(sys.argv[2]))
