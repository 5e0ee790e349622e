"""Figures of a run, as matplotlib figures and as SVG that stands in a page by itself.

Colours are those of Okabe and Ito, which the colour-blind tell apart; nothing is said by colour
alone.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from ztransport.bench import histograms, verdict
from ztransport.bench import statistics as st
from ztransport.bench.record import Record, Run
from ztransport.bench.report import ROLE_TITLES
from ztransport.bench.statistics import Costs, Scene, Summary

__all__ = ["blocks", "cost_by_role", "cost_parts", "latencies", "ratios", "svg"]

GREY, BLACK, INK = "#999999", "#000000", "#333333"
ORANGE, SKY, GREEN, YELLOW = "#e69f00", "#56b4e9", "#009e73", "#f0e442"
BLUE, VERMILION, PURPLE = "#0072b2", "#d55e00", "#cc79a7"
ROLE_COLOURS = dict(zip(st.ROLES, (GREY, SKY, ORANGE, GREEN, BLUE), strict=True))
ROLE_HATCHES = dict(zip(st.ROLES, ("", "..", "//", "\\\\", ""), strict=True))
PART_COLOURS = {"plaintext": GREY, "hop": ORANGE, "crypto": BLUE, "proxied crypto": SKY}
PART_HATCHES = {"plaintext": "", "hop": "//", "crypto": "", "proxied crypto": ".."}
WAY_COLOURS = {st.PLAIN: BLACK, st.TWIN_1: GREY, st.TWIN_2: GREY, st.TLS: BLUE, st.MTLS: SKY}
PROXY_COLOURS = {
    "nginx": GREEN,
    "haproxy": VERMILION,
    "envoy": PURPLE,
    "stunnel": ORANGE,
    "relay": YELLOW,
}
MARKERS = {
    st.PROXY_PLAIN: "o",
    st.PROXY_TLS: "^",
    st.PROXY_MESH: "s",
    st.TWIN_1: "v",
    st.TWIN_2: "<",
}
CURVE_TICKS = {
    2.0: "50 %",
    10.0: "90 %",
    100.0: "99 %",
    1e3: "99.9 %",
    1e4: "99.99 %",
    1e5: "99.999 %",
}

WIDTH_INCHES, ROW_INCHES, HEAD_INCHES, CURVE_INCHES = 9.0, 0.27, 1.1, 4.2
PANELS_IN_ROW_MAX = 2
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "hatch.linewidth": 0.6,
    "svg.fonttype": "none",
}


def ratios(summary: Summary) -> Figure:
    """CPU per message over plaintext for each workload, with intervals and the noise band."""
    scenes = list({one.workload: one for one in reversed(summary.scenes)}.values())[::-1]
    columns = min(len(scenes), PANELS_IN_ROW_MAX)
    rows = -(-len(scenes) // columns)
    ran = dict.fromkeys(costs.variant for scene in scenes for costs in scene.costs)
    names = [name for name in ran if name != st.PLAIN][::-1]
    with mpl.rc_context(STYLE):
        figure = Figure((WIDTH_INCHES, rows * _height(len(names))), layout="constrained")
        panels = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
        panels[0].set_yticks(range(len(names)), names)
        for panel, scene in zip(panels, scenes, strict=False):
            _draw_ratios(panel, scene, names)
        for panel in panels[len(scenes) :]:
            panel.set_visible(False)
    return figure


def cost_by_role(scene: Scene) -> Figure:
    """CPU in µs per message of every variant, stacked by role."""
    known = [one for one in scene.costs if one.role_cpu_us][::-1]
    roles = [role for role in st.ROLES if any(role in one.role_cpu_us for one in known)]
    stacks = {role: [one.role_cpu_us.get(role, 0.0) for one in known] for role in roles}
    titles = {role: ROLE_TITLES[role] for role in roles}
    with mpl.rc_context(STYLE):
        figure = Figure((WIDTH_INCHES, _height(len(known))), layout="constrained")
        panel = figure.subplots()
        _stack(panel, [one.variant for one in known], stacks, titles, ROLE_COLOURS, ROLE_HATCHES)
        panel.set_title(f"CPU by role: {verdict.title(scene)}")
    return figure


def cost_parts(scene: Scene) -> Figure:
    """CPU in µs per message of every way to encrypt, taken apart: plaintext, hop, crypto."""
    parts = dict(_parts(scene))
    names = list(parts)[::-1]
    stacks = {part: [parts[name].get(part, 0.0) for name in names] for part in PART_COLOURS}
    titles = {part: part for part in PART_COLOURS}
    with mpl.rc_context(STYLE):
        figure = Figure((WIDTH_INCHES, _height(len(names))), layout="constrained")
        panel = figure.subplots()
        _stack(panel, names, stacks, titles, PART_COLOURS, PART_HATCHES)
        panel.set_title(f"What the CPU goes into: {verdict.title(scene)}")
    return figure


def latencies(run: Run, scene: Scene) -> Figure:
    """Percentile curves of all valid windows: response time solid, service time dotted."""
    with mpl.rc_context(STYLE):
        figure = Figure((WIDTH_INCHES, CURVE_INCHES), layout="constrained")
        panel = figure.subplots()
        for costs in scene.costs:
            if costs.variant not in (st.TWIN_1, st.TWIN_2):
                _draw_curves(panel, run, scene, costs)
        panel.set(xscale="log", yscale="log", xlabel="percentile", ylabel="µs")
        panel.xaxis.set_major_locator(FixedLocator(list(CURVE_TICKS)))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: CURVE_TICKS.get(x, "")))
        panel.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        panel.grid(visible=True, which="major", color="#e5e5e5")
        panel.set_title(f"Latency: {verdict.title(scene)}")
        _legend(figure, panel)
    return figure


def blocks(run: Run, scene: Scene) -> Figure:
    """Every window in the order it ran: CPU in µs per message; invalid ones are hollow and red."""
    with mpl.rc_context(STYLE):
        figure = Figure((WIDTH_INCHES, CURVE_INCHES), layout="constrained")
        panel = figure.subplots()
        ordered = _ordered(run, scene)
        places = {id(window): place for place, window in enumerate(ordered)}
        for before, after in pairwise(ordered):
            if before["block"] != after["block"]:
                panel.axvline(places[id(after)] - 0.5, color="#e5e5e5", linewidth=0.8, zorder=0)
        for costs in scene.costs:
            _draw_dots(panel, costs.variant, ordered, places)
        panel.set(xlabel="window, in the order they ran", ylabel="CPU µs per message", yscale="log")
        panel.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        panel.yaxis.set_minor_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        panel.set_title(f"All windows: {verdict.title(scene)}")
        _legend(figure, panel)
    return figure


def svg(figure: Figure, name: str, described: str) -> str:
    """A figure as an SVG element that can stand among others in one page.

    The same figure gives the same text. `name` must be unique in the page; `described` is read out
    where the picture cannot be seen.
    """
    text = io.StringIO()
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    drawn = text.getvalue()
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
    drawn = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", drawn)
    return drawn.replace("<svg ", f'<svg role="img" aria-label="{described}" ', 1)


def _legend(figure: Figure, panel: Axes) -> None:
    """Beside the panel; none where nothing was drawn."""
    if panel.get_legend_handles_labels()[0]:
        figure.legend(loc="outside right upper", frameon=False, fontsize=8)


def _draw_ratios(panel: Axes, scene: Scene, names: Sequence[str]) -> None:
    kinds = (st.TOTAL, st.FLOOR, st.TWIN)
    compared = [one for kind in kinds for one in scene.find(kind, st.CPU)]
    if (floor := scene.floors[st.CPU]) is not None:
        panel.axvspan(1 / floor, floor, color="#d9d9d9", linewidth=0)
    for one in compared:
        place = names.index(one.over)
        middle, low, high = one.ratio.median, one.ratio.low, one.ratio.high
        face = _colour(one.over) if one.is_resolved else "white"
        panel.plot([low, high], [place, place], color=INK, linewidth=1.2)
        panel.plot(middle, place, "o", markerfacecolor=face, markeredgecolor=INK, markersize=5)
        _beside(panel, f"{middle:.2f}", high, place)
    panel.axvline(1, color=INK, linewidth=0.8)
    noise = verdict.noise(scene, st.CPU)
    panel.set(xscale="log", xlabel=f"CPU, times plaintext (grey: noise {noise})")
    panel.set_title(verdict.title(scene).replace(" at ", "\nat ").replace(", closed", ",\nclosed"))
    ends = [end for one in compared for end in (one.ratio.low, one.ratio.high)]
    _plain_log_ticks(panel, min(ends, default=1), max(ends, default=1))


def _beside(panel: Axes, text: str, x: float, y: float) -> None:
    """A figure right of a mark or of a bar's end."""
    panel.annotate(text, (x, y), (4, 0), textcoords="offset points", va="center", fontsize=8)


def _plain_log_ticks(panel: Axes, lowest: float, highest: float) -> None:
    """Ticks that people read on a logarithmic axis of ratios, and room for the figures."""
    ticks = [0.5, 0.7, 1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0, 20.0, 50.0, 100.0]
    panel.xaxis.set_major_locator(FixedLocator(ticks))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    panel.set_xlim(min(0.93, lowest / 1.05), max(1.3, highest * 1.25))


def _stack(
    panel: Axes,
    names: Sequence[str],
    stacks: dict[str, list[float]],
    titles: dict[str, str],
    colours: dict[str, str],
    hatches: dict[str, str],
) -> None:
    left = [0.0] * len(names)
    for part, widths in stacks.items():
        panel.barh(
            names,
            widths,
            left=left,
            color=colours[part],
            hatch=hatches[part],
            edgecolor="white",
            linewidth=0.5,
            label=titles[part],
        )
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for place, end in enumerate(left):
        _beside(panel, f"{end:.2f}", end, place)
    panel.set(xlabel="CPU µs per message", xlim=(0, max(left, default=1) * 1.1))
    if names:
        below = -0.12 - 0.9 / max(4, len(names))
        panel.legend(loc="upper left", bbox_to_anchor=(0, below), ncols=5, frameon=False)


def _parts(scene: Scene) -> Iterator[tuple[str, dict[str, float]]]:
    """CPU of each way to encrypt as differences of medians; what noise makes negative is 0."""
    cost = {one.variant: one.cpu_us.median for one in scene.costs if one.cpu_us is not None}
    plain = cost.get(st.PLAIN)
    if plain is None:
        return
    for variant, own in cost.items():
        name = variant.partition(":")[2]
        hop = cost.get(st.PROXY_PLAIN + name)
        if variant in (st.TLS, st.MTLS):
            yield variant, {"plaintext": plain, "crypto": max(0.0, own - plain)}
        elif variant.startswith((st.PROXY_TLS, st.PROXY_MESH)) and hop is not None:
            proxied = {"hop": max(0.0, hop - plain), "proxied crypto": max(0.0, own - hop)}
            yield variant, {"plaintext": plain, **proxied}


def _draw_curves(panel: Axes, run: Run, scene: Scene, costs: Costs) -> None:
    windows = [
        one for one in _ordered(run, scene) if one["variant"] == costs.variant and one["valid"]
    ]
    marker = _marker(costs.variant)
    for kind, line in (("response", "-"), ("service", ":")):
        found = histograms.merged(histograms.decoded(one, kind) for one in windows)
        if found is None:
            continue
        odds, values = histograms.curve_us(found)
        label = f"{costs.variant}, n = {found.count:,}" if kind == "response" else None
        panel.plot(
            odds,
            values,
            line,
            color=_colour(costs.variant),
            label=label,
            marker=marker if kind == "response" else None,
            markevery=histograms.CURVE_POINTS_PER_DECADE // 2,
            markersize=4,
            linewidth=1.3,
        )


def _draw_dots(
    panel: Axes, variant: str, ordered: Sequence[Record], places: dict[int, int]
) -> None:
    own = [one for one in ordered if one["variant"] == variant]
    for valid, face, edge in ((True, _colour(variant), "none"), (False, "none", "red")):
        shown = {
            places[id(one)]: cost
            for one in own
            if one["valid"] is valid and (cost := st.value(one, st.CPU))
        }
        if shown:
            panel.scatter(
                list(shown),
                list(shown.values()),
                s=20,
                c=face,
                edgecolors=edge,
                marker=_marker(variant) or "D",
                label=variant if valid else f"{variant}, invalid",
            )


def _ordered(run: Run, scene: Scene) -> list[Record]:
    key = (scene.workload, scene.load)
    found = [one for one in run.windows if (one["workload"], one["load"]) == key]
    return sorted(found, key=lambda one: (one["block"], one["order"]))


def _colour(variant: str) -> str:
    return WAY_COLOURS.get(variant) or PROXY_COLOURS.get(variant.partition(":")[2], PURPLE)


def _marker(variant: str) -> str | None:
    return next((own for start, own in MARKERS.items() if variant.startswith(start)), None)


def _height(rows: int) -> float:
    return HEAD_INCHES + rows * ROW_INCHES
