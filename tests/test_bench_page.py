"""The page of a run and its figures: whole, by themselves, and the same every time."""

from __future__ import annotations

import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tests.bench_runs import COSTS, WORKLOADS, manifest, window, write_run
from ztransport.bench import figures, page, report, statistics, verdict
from ztransport.bench.processes import BenchError
from ztransport.bench.record import Run, open_run
from ztransport.bench.statistics import Scene, Summary

BLOCKS = 6


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs")
    return open_run(write_run(folder / "run", blocks=BLOCKS, samples=200, workloads=WORKLOADS[1:]))


@pytest.fixture(scope="module")
def summary(run: Run) -> Summary:
    return statistics.summarise(run)


@pytest.fixture(scope="module")
def text(run: Run, summary: Summary) -> str:
    return page.render(run, summary)


class Reader(HTMLParser):
    """Collects elements, ids, what is loaded from elsewhere, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags = Counter[str]()
        self.ids = Counter[str]()
        self.links: list[str] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids[value or ""] += 1
            elif name in ("src", "href", "xlink:href", "action", "data"):
                self.links.append(value or "")

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def test_the_page_needs_neither_script_nor_network(text: str) -> None:
    found = Reader(text)
    assert not found.tags.keys() & {"script", "link", "img", "iframe", "object", "base"}
    assert all(link.startswith("#") for link in found.links), found.links
    assert not re.findall(r"url\((?!#)", text)
    assert set(re.findall(r'(\S+)="https?:', text)) <= {"xmlns", "xmlns:xlink"}
    assert not re.search(r"\son\w+=", text)


def test_every_id_is_one_and_every_reference_leads_to_one(text: str) -> None:
    found = Reader(text)
    assert found.ids.most_common(1)[0][1] == 1
    used = {link[1:] for link in found.links} | set(re.findall(r"url\(#([^)]+)\)", text))
    assert used
    assert used <= found.ids.keys()


def test_the_verdict_stands_first(text: str, summary: Summary) -> None:
    body = text[text.index("<body>") :]
    first = re.search(r"<h1>(.*?)</h1>", body)
    assert first is not None
    assert first[1] == verdict.sentence(summary)
    assert f"<p>{verdict.headline(summary)}</p>" in body
    assert not re.search(r"<(svg|table)", body[: first.start()])


def test_every_number_of_the_terminal_stands_below_a_figure(text: str, summary: Summary) -> None:
    found = Reader(text)
    assert found.tags["svg"] == 1 + 4 + 3
    cells = set(re.findall(r"<td>(.*?)</td>", text))
    for scene in summary.scenes:
        for grid in (report.cost_grid(scene), report.part_grid(scene)):
            assert {cell for row in grid.rows for cell in row} <= cells


def test_the_page_says_where_it_comes_from(text: str) -> None:
    shown = "".join(Reader(text).text)
    assert "ztransport bench run --profile quick --seed 7" in shown
    assert "a <test> processor" in shown
    assert "governor" in shown
    assert "unavailable" in shown
    assert "TLS_AES_128_GCM_SHA256" in shown
    assert "OpenSSL 3.0" in shown


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("ztransport bench run", "ztransport bench run --seed 7"),
        ("ztransport bench run --seed 7", "ztransport bench run --seed 7"),
        ("pytest bench --benchmark=quick", "pytest bench --benchmark=quick"),
    ],
)
def test_the_command_to_reproduce_has_the_seed(command: str, shown: str) -> None:
    begun = Run(Path("begun"), manifest() | {"command": command}, [])
    assert f"<pre>{shown}</pre>" in page.render(begun, statistics.summarise(begun))


def test_the_same_run_gives_the_same_page(run: Run, summary: Summary, text: str) -> None:
    assert page.render(run, summary) == text


def test_what_must_be_known_stands_below_the_verdict(run: Run) -> None:
    windows = [*run.windows, window("tls", 6, count=0, reasons=["proxy died: nginx"])]
    told = Run(run.path, {**run.manifest, "complete": False}, windows, "line 9 is cut off; <x>")
    text = page.render(told, statistics.summarise(told))
    caveats = re.findall(r'<p class="caveat">(.*?)</p>', text)
    assert caveats[0] == "line 9 is cut off; &lt;x&gt;"
    assert "not finished" in caveats[1]
    assert any("invalid, tls: proxy died (1)" in line for line in caveats)


@pytest.mark.parametrize("windows", [[], [window("plain", 0)], [window("tls", 0, load="closed")]])
def test_a_run_that_has_hardly_begun_has_a_page(windows: list[dict[str, object]]) -> None:
    begun = Run(Path("begun"), manifest(), windows)
    text = page.render(begun, statistics.summarise(begun))
    assert "<h1>This run does not compare encryption with plaintext.</h1>" in text


def test_a_page_that_cannot_be_written_is_one_line(run: Run, summary: Summary) -> None:
    nowhere = Run(run.path / "nowhere", run.manifest, run.windows)
    said = r"^[^\n]*page.html: No such file[^\n]*; the record is whole: [^\n]*bench report [^\n]*$"
    with pytest.raises(BenchError, match=said):
        page.build(nowhere, summary)


def panel_of(figure: Figure) -> Axes:
    return figure.axes[0]


def test_the_noise_band_is_the_floor_and_what_it_hides_is_hollow(summary: Summary) -> None:
    panel = panel_of(figures.ratios(summary))
    floor = summary.scenes[0].floors[statistics.CPU]
    assert floor is not None
    band = next(patch for patch in panel.patches if isinstance(patch, Rectangle))
    assert band.get_x() == pytest.approx(1 / floor)
    assert band.get_x() + band.get_width() == pytest.approx(floor)
    dots = [line for line in panel.lines if line.get_marker() == "o"]
    hollow = [to_hex(str(line.get_markerfacecolor())) == "#ffffff" for line in dots]
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert {n for n, one in zip(names, hollow, strict=True) if one} == {
        "plain-twin-1",
        "plain-twin-2",
    }
    assert set(names) == set(COSTS) - {"plain"}


def test_bars_are_as_long_as_the_roles_cost(summary: Summary) -> None:
    scene = summary.scenes[0]
    panel = panel_of(figures.cost_by_role(scene))
    drawn = sum(bar.get_width() for bar in panel.patches if isinstance(bar, Rectangle))
    assert drawn == pytest.approx(sum(sum(one.role_cpu_us.values()) for one in scene.costs))


def test_parts_add_up_to_the_whole(summary: Summary) -> None:
    scene = summary.scenes[0]
    panel = panel_of(figures.cost_parts(scene))
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert set(names) == {"tls", "mtls", "proxy-tls:nginx", "proxy-tls:haproxy"}
    ends = dict.fromkeys(names, 0.0)
    for bars in panel.containers:
        for name, bar in zip(names, bars, strict=True):
            ends[name] += bar.get_width()
    for name, end in ends.items():
        assert end == pytest.approx(median_of(scene, name))


def median_of(scene: Scene, variant: str) -> float:
    costs = scene.of(variant)
    assert costs is not None
    assert costs.cpu_us is not None
    return costs.cpu_us.median


def test_response_is_solid_service_dotted_and_n_is_told(run: Run, summary: Summary) -> None:
    panel = panel_of(figures.latencies(run, summary.scenes[0]))
    styles = Counter(str(line.get_linestyle()) for line in panel.lines)
    shown = len(COSTS) - 2  # the twins are plain once more
    assert styles == {"-": shown, ":": shown}
    labels = [str(line.get_label()) for line in panel.lines if line.get_linestyle() == "-"]
    assert f"tls, n = {BLOCKS * 200:,}" in labels
    assert panel.get_xscale() == "log"
    longest = max(np.max(np.asarray(line.get_xdata())) for line in panel.lines)
    assert longest <= BLOCKS * 200 / 10 * 1.0001


def test_every_window_has_its_mark_in_run_order(run: Run) -> None:
    windows = [*run.windows, window("tls", 6, workload=WORKLOADS[1], reasons=["errors: 3"])]
    told = Run(run.path, run.manifest, windows)
    scene = statistics.summarise(told).scenes[0]
    panel = panel_of(figures.blocks(told, scene))
    marks = {str(one.get_label()): np.asarray(one.get_offsets()) for one in panel.collections}
    assert len(marks["tls, invalid"]) == 1
    places = np.concatenate([offsets[:, 0] for offsets in marks.values()])
    assert sorted(places) == list(range(BLOCKS * len(COSTS) + 1))


def test_no_two_neighbouring_roles_or_parts_look_alike() -> None:
    for colours, hatches in (
        (figures.ROLE_COLOURS, figures.ROLE_HATCHES),
        (figures.PART_COLOURS, figures.PART_HATCHES),
    ):
        assert len({(colours[name], hatches[name]) for name in colours}) == len(colours)
