"""The published curves of one record: dissemination, detection, false deaths, bytes."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from bench.sim.reference import reference
from bench.sim.table import grid, select
from ztransport.bench import record

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")  # told apart by the colour-blind as well
PANEL_INCHES = (4.0, 3.0)


def _dissemination(axes: Axes, found: record.Record) -> None:
    largest = max((cell["nodes"] for cell in select(found, "dissemination")), default=0)
    for arm, colour in zip(("reference", "default", "one-shot"), COLOURS, strict=False):
        for cell in select(found, "dissemination", arm=arm, nodes=largest):
            results = cell["results"]
            curve = results["share_by_round"]
            times = [index * results["round_ms"] / 1e3 for index in range(len(curve))]
            style = {0.0: "-", 10.0: "--", 30.0: ":"}.get(cell["loss_percent"], "-.")
            axes.plot(times, curve, style, color=colour, label=f"{arm}, {cell['loss_percent']:g} %")
    for loss, style in ((0, "-"), (10, "--"), (30, ":")):
        ideal = reference(largest, loss / 100, runs=10, seed=1).curve if largest else []
        axes.plot(
            [tick * 0.2 for tick in range(len(ideal))],
            ideal,
            style,
            color="0.6",
            lw=3,
            zorder=0,
            label=f"ideal members, {loss} %",
        )
    axes.set(
        title=f"share reached, by loss, N = {largest:,}", xlabel="s", xlim=(0, 6), ylim=(0, 1.02)
    )
    # Beside the curves, as they fill their panel.
    axes.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _detection(axes: Axes, found: record.Record) -> None:
    cells = sorted(select(found, "detection"), key=lambda cell: cell["nodes"])
    sizes = [cell["nodes"] for cell in cells]
    for name, colour in zip(("p50", "p99"), COLOURS, strict=False):
        times = [cell["results"]["seconds_to_each"][name] for cell in cells]
        axes.plot(sizes, times, "o-", color=colour, label=name)
    axes.set(
        title="kill to failed, by N", xlabel="members", ylabel="s", xscale="log", ylim=(0, None)
    )
    axes.legend(fontsize=7)


def _false_deaths(axes: Axes, found: record.Record) -> None:
    for arm, colour, mark in zip(("default", "plain"), COLOURS, "ox", strict=False):
        sums = sorted(grid(found, arm).items())
        shares = [100 * bad / runs for _, (bad, runs) in sums]
        labels = [f"{nodes}/{loss:g}/{starved:g}" for (nodes, loss, starved), _ in sums]
        axes.plot(labels, shares, mark, color=colour, label=arm, markersize=5)
    axes.set(title="runs with a false death", xlabel="members / loss % / starved %", ylabel="%")
    axes.tick_params(axis="x", labelrotation=90, labelsize=5)
    axes.legend(fontsize=7)


def _bytes(axes: Axes, found: record.Record) -> None:
    cells = sorted(select(found, "idle"), key=lambda cell: cell["nodes"])
    sizes = [cell["nodes"] for cell in cells]
    rates = [cell["results"]["bytes_per_member_second"]["p50"] for cell in cells]
    axes.plot(sizes, rates, "o-", color=COLOURS[0])
    axes.axhline(150, color="0.6", ls="--", label="asked: at most")
    axes.set(title="idle", xlabel="members", ylabel="bytes/s sent", xscale="log", ylim=(0, 160))
    axes.legend(fontsize=7, loc="lower right")


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
