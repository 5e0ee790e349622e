"""Tables as plain text: what a terminal, a note and a README can all show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ztransport.bench import statistics as st
from ztransport.bench import verdict
from ztransport.bench.bootstrap import Estimate
from ztransport.bench.statistics import Comparison, Costs, Scene, Summary

__all__ = [
    "Grid",
    "cost_grid",
    "estimate",
    "grid_text",
    "key_grid",
    "part_grid",
    "quantity",
    "ratio",
    "reasons",
    "table",
    "tables",
    "whole",
]

ROLE_TITLES = {
    "generator": "generator",
    "client_proxy": "client proxy",
    "server_proxy": "server proxy",
    "gateway": "gateway",
    "broker": "broker",
}
PERCENTILE_TITLES = {0.5: "p50", 0.99: "p99", 0.999: "p99.9"}
NONE = "–"


class Grid(NamedTuple):
    """A table before it is text or HTML."""

    headers: list[str]
    rows: list[list[str]]


def tables(summary: Summary) -> str:
    """The verdict, what to know before believing it, and two tables for each scene."""
    said = [verdict.sentence(summary), verdict.headline(summary), verdict.measured_as(summary)]
    parts = list(dict.fromkeys(said))
    parts += [f"Note: {line}" for line in verdict.caveats(summary)]
    if (key := key_grid(summary)).rows:
        parts += ["", grid_text(key)]
    for scene in summary.scenes:
        parts += [
            "",
            f"{verdict.title(scene)}  (noise floor of CPU {verdict.noise(scene, st.CPU)})",
        ]
        parts += [grid_text(cost_grid(scene))]
        parts += [f"invalid, {line}" for line in reasons(scene)]
        if (apart := part_grid(scene)).rows:
            parts += ["", grid_text(apart)]
    return "\n".join(parts)


def key_grid(summary: Summary) -> Grid:
    """What the headline says, with latency and throughput beside the CPU."""
    metrics = verdict.METRIC_TITLES
    rows = [
        [name, *(ratio(found.get(metric)) for metric in metrics)]
        for name, found in verdict.key_figures(summary)
    ]
    return Grid(["ratio", *metrics.values()], rows)


def cost_grid(scene: Scene) -> Grid:
    """One row for each variant: CPU in all and by role, ratio to plain, speed, blocks."""
    columns = _columns(scene)
    rows = [[show(costs) for _, show in columns] for costs in scene.costs]
    return Grid([name for name, _ in columns], rows)


def part_grid(scene: Scene) -> Grid:
    """Where the cost comes from: hop, crypto, proxied crypto, and the headline's comparison."""
    kinds = (st.CRYPTO, st.HOP, st.PROXIED, st.HEADLINE)
    metrics = st.METRICS[scene.load]
    rows = []
    for kind in kinds:
        for one in scene.find(kind, st.CPU):
            shown = [_found(scene, kind, one, metric) for metric in metrics]
            rows.append([f"{kind}: {one.over} / {one.base}", *shown])
    return Grid(["part", *(f"{metric} ratio" for metric in metrics)], rows)


def reasons(scene: Scene) -> list[str]:
    """Which windows were judged invalid and why, one line for each variant that has any."""
    return [
        f"{costs.variant}: " + ", ".join(f"{text} ({n})" for text, n in costs.invalid.items())
        for costs in scene.costs
        if costs.invalid
    ]


def ratio(one: Comparison | None) -> str:
    """A ratio with its interval, and the verdict where it may not be claimed."""
    if one is None:
        return NONE
    shown = f"{one.ratio.median:.2f} [{one.ratio.low:.2f} – {one.ratio.high:.2f}]"
    return shown if one.is_resolved else f"{shown} {one.verdict}"


def estimate(one: Estimate | None, digits: int = 2) -> str:
    """A median with its interval."""
    if one is None:
        return NONE
    return f"{one.median:.{digits}f} [{one.low:.{digits}f} – {one.high:.{digits}f}]"


def grid_text(grid: Grid) -> str:
    """A grid as a Markdown table."""
    return table(grid.headers, grid.rows)


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with aligned columns; the first column is left-aligned, the others right."""
    lines = [list(headers), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    ruler = [
        "-" * width if not column else "-" * (width - 1) + ":"
        for column, width in enumerate(widths)
    ]
    shown = [_line(lines[0], widths), _row(ruler), *(_line(line, widths) for line in lines[1:])]
    return "\n".join(shown)


def quantity(value: float | None, unit: str = "") -> str:
    """A figure in three digits with the prefix that fits: 260400 becomes "260 k"."""
    if value is None:
        return NONE
    for size, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{_three_digits(value / size)}{prefix}{unit}"
    return f"{_three_digits(value)}{' ' if unit else ''}{unit}"


def whole(value: float | None) -> str:
    """A figure without decimals; a dash where it is unknown."""
    return _figure(value, 0)


Column = tuple[str, Callable[[Costs], str]]


def _columns(scene: Scene) -> list[Column]:
    present = {role for costs in scene.costs for role in costs.role_cpu_us}
    roles = [_role_column(role) for role in st.ROLES if role in present]
    columns: list[Column] = [("variant", lambda costs: costs.variant)]
    if scene.load == "closed":
        columns += [("messages/s", _throughput), _ratio_column(scene, st.THROUGHPUT)]
    columns += [("CPU µs/message", lambda costs: estimate(costs.cpu_us)), *roles]
    columns.append(_ratio_column(scene, st.CPU))
    if scene.load == "open":
        columns += map(_percentile_column, PERCENTILE_TITLES)
    return [*columns, ("blocks", _blocks)]


def _role_column(role: str) -> Column:
    return ROLE_TITLES[role], lambda costs: _figure(costs.role_cpu_us.get(role), 2)


def _ratio_column(scene: Scene, metric: str) -> Column:
    kinds = (st.TOTAL, st.FLOOR, st.TWIN)
    found = {one.over: one for kind in kinds for one in scene.find(kind, metric)}
    return f"{metric} × plain", lambda costs: ratio(found.get(costs.variant))


def _percentile_column(share: float) -> Column:
    return f"{PERCENTILE_TITLES[share]} µs", lambda costs: whole(costs.response_us[share])


def _throughput(costs: Costs) -> str:
    return quantity(costs.throughput.median if costs.throughput else None)


def _blocks(costs: Costs) -> str:
    return f"{costs.blocks_counted}/{costs.blocks}"


def _figure(value: float | None, digits: int) -> str:
    return NONE if value is None else f"{value:.{digits}f}"


def _found(scene: Scene, kind: str, like: Comparison, metric: str) -> str:
    pair = (like.over, like.base)
    return ratio(next((o for o in scene.find(kind, metric) if (o.over, o.base) == pair), None))


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    aligned = [cell.rjust(width) for cell, width in zip(cells, widths, strict=True)]
    return _row([cells[0].ljust(widths[0]), *aligned[1:]])


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
