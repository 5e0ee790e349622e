"""`--benchmark[=profile]`: alone, beside pytest-benchmark, and without the flag.

What would measure for minutes is replaced by a run with known answers, and its page, which has
tests of its own, by its first line; all else is as a user has it, in a process of its own.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench_runs import COSTS, WORKLOADS

ROOT = Path(__file__).resolve().parent.parent
OURS, THEIRS = "ztransport.bench.pytest_plugin", "pytest_benchmark.plugin"
KNOWN = "known_run"
TESTS = len(COSTS) * len(WORKLOADS) + 2
BLOCKS = 6
SPOILT, REASON = "ZTRANSPORT_TEST_SPOILT", "ZTRANSPORT_TEST_REASON"
FAKE = f"""
import json
import os
from tests.bench_runs import write_run
from ztransport.bench import page, runner, verdict

def run(profile, directory, tell, *, seed, command):
    assert profile.name == "quick"
    write_run(directory, blocks={BLOCKS}, seed=seed, samples=200)
    if spoilt := os.environ.get("{SPOILT}"):
        file = directory / "windows.jsonl"
        windows = [json.loads(line) for line in file.read_text().splitlines()]
        for window in windows:
            if window["variant"] == spoilt:
                window |= dict(valid=False, reasons=[os.environ["{REASON}"]])
        file.write_text("".join(json.dumps(window) + "\\n" for window in windows))

def build(run, summary):
    path = run.path / page.PAGE
    path.write_text(f"<h1>{{verdict.sentence(summary)}}</h1>")
    return path

runner.run, page.build = run, build
"""


def run_pytest(
    folder: Path, *arguments: str | Path, plugins: tuple[str, ...] = (OURS,)
) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder with the plugins named and no others."""
    (folder / "known_run.py").write_text(FAKE)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers -ra\n")
    command = [sys.executable, "-m", "pytest"]
    for plugin in plugins:
        command += ["-p", plugin]
    paths = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        [*command, "-c", folder / "pytest.ini", "--rootdir", folder, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.slow
@pytest.mark.parametrize("plugins", [(OURS,), (THEIRS, OURS)])
def test_without_the_flag_all_is_collected_and_skipped(
    plugins: tuple[str, ...], tmp_path: Path
) -> None:
    done = run_pytest(tmp_path, ROOT / "bench", plugins=plugins)
    assert done.returncode == 0, done.stdout
    assert f"{TESTS} skipped" in done.stdout
    assert "measures for minutes: give --benchmark or --benchmark=PROFILE" in done.stdout
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_alone_it_measures_judges_and_prints(tmp_path: Path) -> None:
    done = run_pytest(
        tmp_path, ROOT / "bench", "--benchmark", "--junitxml=found.xml", plugins=(KNOWN, OURS)
    )
    assert done.returncode == 0, done.stdout
    assert f"{TESTS} passed" in done.stdout
    assert "what encryption costs" in done.stdout
    assert "TLS in the process, against plaintext: " in done.stdout
    page = re.search(r"^Page: (.*)$", done.stdout, re.MULTILINE)
    assert page is not None
    assert Path(page[1]).is_file()
    found = ElementTree.parse(tmp_path / "found.xml")
    case = found.find(".//testcase[@name='test_cost[request-128-x64-tls]']/properties")
    assert case is not None
    properties = {one.get("name"): one.get("value") for one in case}
    assert properties["variant"] == "tls"
    assert float(properties["open_cpu_ratio"] or 0) == pytest.approx(1.15, rel=0.03)


@pytest.mark.slow
def test_beside_pytest_benchmark_its_file_and_its_comparison_work(tmp_path: Path) -> None:
    both = (KNOWN, OURS, THEIRS)
    arguments = (ROOT / "bench", "--benchmark=quick", "--benchmark-storage=kept")
    first = run_pytest(tmp_path, *arguments, "--benchmark-save=a", plugins=both)
    assert first.returncode == 0, first.stdout + first.stderr
    saved = json.loads(next((tmp_path / "kept").rglob("*_a.json")).read_text())
    assert "cpu_model" in saved["machine_info"]["ztransport"]
    assert Path(saved["ztransport"]["page"]).is_file()
    found = {one["name"]: one for one in saved["benchmarks"]}
    assert len(found) == TESTS - 2
    one = found["test_cost[request-128-x64-tls]"]
    assert one["group"] == "request-128-x64"
    assert one["stats"]["rounds"] == BLOCKS
    assert one["stats"]["median"] * 1e6 == pytest.approx(one["extra_info"]["open_cpu_us"])
    assert one["extra_info"]["open_cpu_verdict"] == "resolved"
    compared = ("--benchmark-compare=0001", "--benchmark-compare-fail=median:500%")
    second = run_pytest(tmp_path, *arguments, *compared, "--benchmark-only", plugins=both)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "test_cost[request-128-x64-tls] (0001_a)" in second.stdout
    assert "test_cost[request-128-x64-tls] (NOW)" in second.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reason", "outcome"),
    [("load: other programs took a core", "skipped"), ("errors: ConnectionLost 2", "failed")],
)
def test_a_variant_without_a_valid_window_is_told_and_the_rest_is_kept(
    reason: str, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SPOILT, "mtls")
    monkeypatch.setenv(REASON, reason)
    arguments = (ROOT / "bench", "--benchmark", "--benchmark-json=found.json", "-W", "error")
    done = run_pytest(tmp_path, *arguments, plugins=(KNOWN, OURS, THEIRS))
    failed = outcome == "failed"
    assert done.returncode == (pytest.ExitCode.TESTS_FAILED if failed else pytest.ExitCode.OK)
    for count in (f"{len(WORKLOADS)} {outcome}", f"{TESTS - len(WORKLOADS)} passed"):
        assert count in done.stdout
    kind = reason.partition(":")[0]
    assert f"0 of {BLOCKS} blocks count: {{'{kind}': {BLOCKS}}}" in done.stdout
    found = json.loads((tmp_path / "found.json").read_text())["benchmarks"]
    assert len(found) == (len(COSTS) - 1) * len(WORKLOADS)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--benchmark", "bench"), "there is no profile bench: choose among quick, standard"),
        (("--benchmar=quick",), "unrecognized arguments: --benchmar=quick"),
    ],
)
@pytest.mark.parametrize("plugins", [(OURS,), (OURS, THEIRS)])
def test_a_mistaken_flag_is_a_usage_error(
    arguments: tuple[str, ...], said: str, plugins: tuple[str, ...], tmp_path: Path
) -> None:
    done = run_pytest(tmp_path, *arguments, plugins=plugins)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert said in done.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--benchmark-only", "--benchmark-skip"])
def test_the_flags_of_pytest_benchmark_keep_their_meaning(flag: str, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(benchmark):\n    benchmark(lambda: 1)\n")
    done = run_pytest(tmp_path, flag, "test_it.py", plugins=(OURS, THEIRS))
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("skipped" in done.stdout) == (flag == "--benchmark-skip")


@pytest.mark.slow
def test_exactly_one_option_is_added(tmp_path: Path) -> None:
    shown = [run_pytest(tmp_path, "--help", plugins=plugins).stdout for plugins in ((), (OURS,))]
    options = [set(re.findall(r"^\s+(--[\w-]+)", text, re.MULTILINE)) for text in shown]
    assert options[1] - options[0] == {"--benchmark"}


def test_the_package_announces_the_plugin() -> None:
    found = {one.value for one in metadata.entry_points(group="pytest11")}
    assert OURS in found
