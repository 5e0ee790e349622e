"""`pytest bench --benchmark[=profile]`: the suite as tests, one for each variant of each workload.

Without the flag such tests are collected and skipped, and nothing of the suite is imported. With it
the run is measured once in a session; every test then judges its variant's windows and hands its
figures on: to pytest-benchmark where that is installed (its rounds are the blocks, its times the
CPU seconds per message in open loop, everything else is in `extra_info`), and to `user_properties`,
which JUnit XML keeps, in any case.
"""

from __future__ import annotations

import contextlib
import secrets
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from ztransport.bench.record import Run
    from ztransport.bench.statistics import Costs, Scene, Summary

__all__ = ["Cell", "Cost", "Measurement"]

FLAG, DESTINATION = "--benchmark", "ztransport_profile"
DEFAULT_PROFILE = "quick"
SEED_BITS = 32
PYTEST_BENCHMARK = ("benchmark", "pytest_benchmark.plugin")  # found by itself, or named with -p
MARKER = "ztransport_benchmark"
SKIPPED = "measures for minutes: give --benchmark or --benchmark=PROFILE"
# What of the environment names the machine and stays the same from run to run.
MACHINE_FACTS = ("architecture", "cpu_model", "cpu_count", "cpu_flags", "kernel", "governor")


class Cell(NamedTuple):
    """What one test looks at."""

    workload: str
    variant: str


@dataclass(frozen=True)
class Measurement:
    """The session's run, its statistics and its page; `fault` says why there is no page."""

    run: Run
    summary: Summary
    page: Path
    fault: str | None = None


@dataclass(frozen=True)
class Cost:
    """What was measured of one variant of one workload, by load: "open" and "closed"."""

    cell: Cell
    costs: dict[str, Costs]
    figures: dict[str, Any] = field(repr=False)


class NotMeasured(Exception):
    """No valid block is left: pytest-benchmark leaves a test out whose target raises."""


class Replay:
    """A clock that shows pytest-benchmark what the blocks measured instead of the time."""

    __name__ = "cpu_seconds_per_message"

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self._now, self._next = 0.0, 0

    def __call__(self) -> float:
        """The reading of the clock."""
        return self._now

    def advance(self) -> None:
        """Let one block pass. Raises NotMeasured when there is none."""
        if self._next == len(self.seconds):
            raise NotMeasured
        self._now += self.seconds[self._next]
        self._next += 1


MEASUREMENT = pytest.StashKey[Measurement]()
REPLAY = pytest.StashKey[Replay]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the one flag."""
    parser.getgroup("ztransport", "what encryption costs").addoption(
        FLAG,
        nargs="?",
        const=DEFAULT_PROFILE,
        dest=DESTINATION,
        metavar="PROFILE",
        help=f"measure what encryption costs; the profile is {DEFAULT_PROFILE} unless named",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Refuse a profile that there is not, before anything is collected."""
    config.addinivalue_line("markers", f"{MARKER}: {SKIPPED}")
    if config.getoption(DESTINATION) is not None:
        _profile(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of every variant of every workload of the profile."""
    if "ztransport_cell" in metafunc.fixturenames:
        profile = _profile(metafunc.config)
        cells = [Cell(work, variant) for work in profile.workloads for variant in profile.variants]
        metafunc.parametrize("ztransport_cell", cells, ids=["-".join(cell) for cell in cells])


@pytest.hookimpl(tryfirst=True)  # pytest-benchmark looks for its own tests in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the suite without the flag; with it, tell pytest-benchmark which tests are its."""
    if config.getoption(DESTINATION) is None:
        _skip(items, SKIPPED)
    elif hasattr(config, "workerinput"):
        _skip(items, "workers of pytest-xdist would disturb one another's measurement")
    elif any(map(config.pluginmanager.has_plugin, PYTEST_BENCHMARK)):
        for item in _marked(items):
            _hand_over(item)


@pytest.fixture(scope="session")
def ztransport_measurement(request: pytest.FixtureRequest) -> Measurement:
    """The run of this session: it is measured when the first test asks for it."""
    found = _measure(request.config)
    request.config.stash[MEASUREMENT] = found
    return found


@pytest.fixture
def ztransport_cost(
    request: pytest.FixtureRequest, ztransport_cell: Cell, ztransport_measurement: Measurement
) -> Cost:
    """What the run says about the test's variant and workload; it is handed on on the way."""
    from ztransport.bench import statistics as st

    found = _cost(ztransport_measurement, ztransport_cell)
    request.node.user_properties.extend(found.figures.items())
    replay = request.node.stash.get(REPLAY, None)
    if replay is not None:
        replay.seconds = [
            cpu_us / 1e6
            for window in ztransport_measurement.run.windows
            if (window["workload"], window["variant"]) == found.cell
            and (window["load"], window["valid"]) == ("open", True)
            and (cpu_us := st.value(window, st.CPU))
        ]
        benchmark = request.getfixturevalue("benchmark")
        benchmark.extra_info.update(found.figures)
        with contextlib.suppress(NotMeasured):
            benchmark.pedantic(replay.advance, rounds=max(1, len(replay.seconds)), iterations=1)
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables of what was measured, and where the page lies."""
    found = terminalreporter.config.stash.get(MEASUREMENT, None)
    if found is not None:
        from ztransport.bench import report

        terminalreporter.section("what encryption costs")
        terminalreporter.write_line(report.tables(found.summary))
        terminalreporter.write_line(found.fault or f"Page: {found.page}")


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """Add what pytest-benchmark does not say about the machine."""
    found = config.stash.get(MEASUREMENT, None)
    if found is not None:
        known = found.run.manifest["environment"]
        machine_info["ztransport"] = {name: known.get(name) for name in MACHINE_FACTS}


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    """Say in pytest-benchmark's file where the whole record lies."""
    found = config.stash.get(MEASUREMENT, None)
    if found is not None:
        output_json["ztransport"] = {"record": str(found.run.path), "page": str(found.page)}


def _profile(config: pytest.Config) -> Any:
    from ztransport.bench import workloads
    from ztransport.bench.processes import BenchError

    try:
        return workloads.profile(config.getoption(DESTINATION) or DEFAULT_PROFILE)
    except BenchError as error:
        raise pytest.UsageError(f"{FLAG}=PROFILE: {error}") from None


def _skip(items: list[pytest.Item], reason: str) -> None:
    for item in _marked(items):
        item.add_marker(pytest.mark.skip(reason=reason))


def _marked(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    return (item for item in items if item.get_closest_marker(MARKER))


def _hand_over(item: pytest.Item) -> None:
    """Make a test one of pytest-benchmark's: it looks for its fixture among a test's names."""
    cell = item.callspec.params.get("ztransport_cell") if hasattr(item, "callspec") else None
    if cell is None or not isinstance(item, pytest.Function):
        return
    replay = item.stash[REPLAY] = Replay()
    item.add_marker(pytest.mark.benchmark(timer=replay, group=cell.workload))
    if "benchmark" not in item.fixturenames:
        item.fixturenames.append("benchmark")


def _measure(config: pytest.Config) -> Measurement:
    from ztransport.bench import page, record, runner, statistics
    from ztransport.bench.processes import BenchError

    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    directory = config.rootpath / "results" / f"pytest-{stamp}"
    command = shlex.join(["pytest", *config.invocation_params.args])
    seed = secrets.randbits(SEED_BITS)
    try:
        runner.run(_profile(config), directory, _teller(config), seed=seed, command=command)
        run = record.open_run(directory)
        summary = statistics.summarise(run)
    except BenchError as error:
        pytest.fail(str(error), pytrace=False)
    try:
        return Measurement(run, summary, page.build(run, summary))
    except BenchError as error:  # the figures are there all the same
        return Measurement(run, summary, directory / page.PAGE, str(error))


def _teller(config: pytest.Config) -> Callable[[str], None]:
    """Progress goes to the terminal, past the capture of what a test prints."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    capture = config.pluginmanager.getplugin("capturemanager")

    def tell(line: str) -> None:
        if reporter is not None and reporter.isatty():
            with capture.global_and_fixture_disabled():
                reporter.rewrite(line, erase=True)

    return tell


def _cost(measured: Measurement, cell: Cell) -> Cost:
    scenes = [scene for scene in measured.summary.scenes if scene.workload == cell.workload]
    costs = {scene.load: own for scene in scenes if (own := scene.of(cell.variant)) is not None}
    figures: dict[str, Any] = {"workload": cell.workload, "variant": cell.variant}
    for scene in scenes:
        if scene.load in costs:
            figures |= _figures(scene, costs[scene.load])
    return Cost(cell, costs, figures)


def _figures(scene: Scene, costs: Costs) -> dict[str, Any]:
    """Flat figures of one load, ready for JSON; ratios are to plain."""
    figures: dict[str, Any] = {"valid": costs.valid, "invalid": costs.invalid_windows}
    figures |= {"blocks": costs.blocks, "blocks_counted": costs.blocks_counted}
    if costs.cpu_us is not None:
        figures["cpu_us"] = costs.cpu_us.median
    if scene.load == "open":
        figures |= {f"response_p{100 * p:g}_us": us for p, us in costs.response_us.items()}
    elif costs.throughput is not None:
        figures["throughput"] = costs.throughput.median
    for one in scene.comparisons:
        if one.over == costs.variant and one.base == "plain":
            figures[f"{one.metric}_ratio"] = one.ratio.median
            figures[f"{one.metric}_ratio_interval"] = [one.ratio.low, one.ratio.high]
            figures[f"{one.metric}_verdict"] = one.verdict
    return {f"{scene.load}_{name}": value for name, value in figures.items()}
