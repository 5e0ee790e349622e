"""The page of a run: one HTML file that needs no script and no network, the verdict first."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import jinja2

from ztransport.bench import bootstrap, figures, histograms, report, verdict
from ztransport.bench import statistics as st
from ztransport.bench.processes import BenchError
from ztransport.bench.record import Record, Run, write_whole
from ztransport.bench.report import Grid
from ztransport.bench.statistics import Scene, Summary

__all__ = ["PAGE", "build", "render"]

PAGE = "page.html"
TEMPLATE = "page.html.j2"


class Drawn(NamedTuple):
    """A figure as SVG, what it shows in words, and the numbers below it."""

    svg: str
    caption: str
    grid: Grid | None = None


class Section(NamedTuple):
    """What the page shows of one scene."""

    title: str
    open: bool
    figures: list[Drawn]
    reasons: list[str]


def build(run: Run, summary: Summary) -> Path:
    """Write the page into the run directory. Raises BenchError when it cannot be written."""
    path = run.path / PAGE
    try:
        write_whole(path, render(run, summary))
    except OSError as error:
        raise BenchError(
            f"{path}: {error.strerror}; the record is whole: make room or rights for the page and "
            f"rebuild it with ztransport bench report {run.path}"
        ) from None
    return path


def render(run: Run, summary: Summary) -> str:
    """The page as text."""
    source = resources.files("ztransport.bench").joinpath("templates", TEMPLATE).read_text()
    template = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    ).from_string(source)
    main = verdict.main_scene(summary) or next(iter(summary.scenes), None)
    return template.render(
        manifest=summary.manifest,
        verdict=verdict.sentence(summary),
        headline=verdict.headline(summary),
        measured_as=verdict.measured_as(summary),
        key=report.key_grid(summary),
        caveats=verdict.caveats(summary),
        overview=_overview(summary),
        sections=[_section(run, scene, scene is main) for scene in summary.scenes],
        resamples=f"{bootstrap.RESAMPLES:,}",
        validity=_validity(summary),
        reproduce=_reproduce(summary.manifest),
        facts=_facts(summary),
    )


def _overview(summary: Summary) -> Drawn:
    caption = (
        "CPU per message of all processes on the way, over plaintext in the same block: median and "
        "95 % interval. The grey band is the noise floor; hollow dots are not resolved."
    )
    if not summary.scenes:
        return Drawn("", "No window was measured.")
    return Drawn(figures.svg(figures.ratios(summary), "ratios", caption), caption)


def _section(run: Run, scene: Scene, is_open: bool) -> Section:
    return Section(verdict.title(scene), is_open, list(_figures(run, scene)), report.reasons(scene))


def _figures(run: Run, scene: Scene) -> Iterator[Drawn]:
    name = f"{scene.workload}-{scene.load}"
    caption = "Medians over blocks; the figure at a bar's end is the sum of its roles."
    drawn = figures.svg(figures.cost_by_role(scene), f"{name}-roles", caption)
    yield Drawn(drawn, caption, report.cost_grid(scene))
    if (apart := report.part_grid(scene)).rows:
        caption = (
            "Hop: proxy-plain less plain. Crypto: tls or mtls less plain. Proxied crypto: "
            "proxy-tls or proxy-mesh less proxy-plain; that of a mesh holds its second hop too. "
            "Differences of medians."
        )
        yield Drawn(
            figures.svg(figures.cost_parts(scene), f"{name}-parts", caption), caption, apart
        )
    if any(costs.response_us[0.5] is not None for costs in scene.costs) and scene.load == "open":
        caption = "Response time solid, service time dotted; all valid windows together."
        drawn = figures.svg(figures.latencies(run, scene), f"{name}-latency", caption)
        yield Drawn(drawn, caption, _percentiles(scene))
    caption = (
        "One mark for each window, blocks between the lines; a drift of the machine shows as a "
        "slope of all variants."
    )
    yield Drawn(figures.svg(figures.blocks(run, scene), f"{name}-blocks", caption), caption)


def _percentiles(scene: Scene) -> Grid:
    """Response and service percentiles in µs, as far as any variant has the samples for them."""
    shares = [
        share
        for share in histograms.PERCENTILES
        if any(costs.response_us[share] is not None for costs in scene.costs)
    ]
    headers = [f"{kind} p{100 * share:g}" for kind in ("response", "service") for share in shares]
    rows = []
    for costs in scene.costs:
        known = [
            found[share] for found in (costs.response_us, costs.service_us) for share in shares
        ]
        shown = [report.NONE if value is None else f"{value:.0f}" for value in known]
        rows.append([costs.variant, f"{costs.completed:,}", *shown])
    return Grid(["variant, µs", "messages", *headers], rows)


def _validity(summary: Summary) -> Grid:
    rows = []
    for scene in summary.scenes:
        valid = sum(costs.valid for costs in scene.costs)
        invalid = sum(costs.invalid_windows for costs in scene.costs)
        twins = scene.find(st.TWIN, st.CPU)
        tested = f"{twins[0].ratio.median:.3f}, {twins[0].verdict}" if twins else report.NONE
        row = [str(valid), str(invalid), verdict.noise(scene, st.CPU), tested]
        rows.append([verdict.title(scene), *row])
    headers = ["workload", "valid windows", "invalid", "noise floor of CPU", "second twin / plain"]
    return Grid(headers, rows)


def _reproduce(manifest: Record) -> str:
    """The run's command, with the seed it drew where it was given none and takes one."""
    command = str(manifest["command"])
    takes_more = command.startswith("ztransport ") and "--seed" not in command
    return f"{command} --seed {manifest['seed']}" if takes_more else command


def _facts(summary: Summary) -> Grid:
    """Everything the manifest says about machine and programs; what is unknown says so."""
    manifest = summary.manifest
    rows = [
        ["seed", str(manifest["seed"])],
        ["measuring seconds", f"{manifest['measuring_seconds']:.0f}"],
    ]
    rows += [["negotiated", _shown(manifest["negotiated"])]]
    rows += _flat(manifest.get("tls", {}))
    rows += [[name, _shown(found)] for name, found in manifest["programs"].items()]
    return Grid(["fact", "value"], [*rows, *_flat(manifest["environment"])])


def _flat(facts: Record) -> Iterator[list[str]]:
    """A row for each fact; what is known of the machine has one for each of its members."""
    for name, found in facts.items():
        if isinstance(found, dict):
            yield from _flat({f"{name}, {inner}": value for inner, value in found.items()})
        else:
            yield [name, _shown(found)]


def _shown(found: object) -> str:
    if isinstance(found, dict):
        return "; ".join(f"{name}: {_shown(value)}" for name, value in found.items())
    if isinstance(found, list | tuple):
        return ", ".join(map(_shown, found)) or "none"
    return "unavailable" if found is None else str(found)
