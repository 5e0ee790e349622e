"""The published curves of one record: dissemination, detection, false deaths, bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from ztransport.bench import record

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")  # told apart by the colour-blind as well
PANEL_INCHES = (4.0, 3.0)
Cell = dict[str, Any]


def select(found: record.Record, experiment: str, **wanted: object) -> list[Cell]:
    """The cells of one experiment whose parameters are as wanted."""
    cells: Any = found["cells"]
    return [
        cell
        for cell in cells
        if cell["experiment"] == experiment
        and all(cell[key] == value for key, value in wanted.items())
    ]


def _dissemination(axes: Axes, found: record.Record) -> None:
    largest = max((cell["nodes"] for cell in select(found, "dissemination")), default=0)
    for arm, colour in zip(("reference", "default", "one-shot"), COLOURS, strict=False):
        for cell in select(found, "dissemination", arm=arm, nodes=largest):
            results = cell["results"]
            curve = results["share_by_round"]
            times = [index * results["round_ms"] / 1e3 for index in range(len(curve))]
            style = {0.0: "-", 10.0: "--", 30.0: ":"}.get(cell["loss_percent"], "-.")
            axes.plot(times, curve, style, color=colour, label=f"{arm}, {cell['loss_percent']} %")
    axes.set(title=f"members reached, N = {largest}", xlabel="s", xlim=(0, 4), ylim=(0, 1.02))
    axes.legend(fontsize=6)


def _detection(axes: Axes, found: record.Record) -> None:
    cells = sorted(select(found, "detection"), key=lambda cell: cell["nodes"])
    sizes = [cell["nodes"] for cell in cells]
    for name, colour in zip(("p50", "p99"), COLOURS, strict=False):
        times = [cell["results"]["seconds_to_each"][name] for cell in cells]
        axes.plot(sizes, times, "o-", color=colour, label=name)
    axes.set(title="kill to failed", xlabel="members", ylabel="s", xscale="log", ylim=(0, None))
    axes.legend(fontsize=7)


def _false_deaths(axes: Axes, found: record.Record) -> None:
    for arm, colour in zip(("default", "plain"), COLOURS, strict=False):
        cells = select(found, "starved", arm=arm)
        shares = [100 * c["results"]["runs_with_a_false_death"] / c["runs"] for c in cells]
        labels = [f"{c['nodes']}/{c['loss_percent']:g}/{c['starved_percent']:g}" for c in cells]
        axes.plot(labels, shares, "o", color=colour, label=arm)
    axes.set(title="runs with a false death", xlabel="members / loss % / starved %", ylabel="%")
    axes.tick_params(axis="x", labelrotation=90, labelsize=5)
    axes.legend(fontsize=7)


def _bytes(axes: Axes, found: record.Record) -> None:
    cells = sorted(select(found, "idle"), key=lambda cell: cell["nodes"])
    sizes = [cell["nodes"] for cell in cells]
    rates = [cell["results"]["bytes_per_member_second"]["p50"] for cell in cells]
    axes.plot(sizes, rates, "o-", color=COLOURS[0])
    axes.set(title="idle", xlabel="members", ylabel="bytes/s sent", xscale="log", ylim=(0, 160))


def draw(found: record.Record, picture: Path) -> None:
    """Draw all panels side by side; the file's ending decides its format."""
    panels = (_dissemination, _detection, _false_deaths, _bytes)
    width, height = PANEL_INCHES
    figure, axes = plt.subplots(1, len(panels), figsize=(width * len(panels), height))
    for panel, place in zip(panels, axes, strict=True):
        panel(place, found)
        place.spines[["top", "right"]].set_visible(False)
        place.tick_params(labelsize=7)
    figure.tight_layout()
    figure.savefig(picture, metadata={"Date": None} if picture.suffix == ".svg" else None)
