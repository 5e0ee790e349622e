"""Verdicts in words, tables, columns, and the command that rebuilds a report."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bench_runs import COSTS, WORKLOADS, manifest, window, write_run
from ztransport.bench import load, report, statistics, verdict
from ztransport.bench.processes import BenchError
from ztransport.bench.record import WINDOWS, Run, RunDirectory, open_run
from ztransport.bench.statistics import Summary

COMMAND = (sys.executable, "-c", "from ztransport.cli import main; main()")


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "run", blocks=6, samples=200)


def summary_of(costs: dict[str, float], blocks: int = 6, **changes: object) -> Summary:
    """A summary of an open-loop run whose blocks differ by a tenth of a percent."""
    windows = [
        window(variant, block, costs={"broker": cost * (1 + (block % 2) / 1000)})
        for block in range(blocks)
        for variant, cost in costs.items()
    ]
    made = manifest(costs, WORKLOADS[:1]) | {"complete": True} | changes
    return statistics.summarise(Run(Path("made"), made, windows))


TWINS = {"plain": 4.0, "plain-twin-1": 4.01, "plain-twin-2": 4.0}


PROCESS = "TLS in the process, against plaintext:"
NGINX = "TLS at nginx, against TLS in the process:"
MESH = "TLS between two proxies (Envoy), against TLS in the process:"
CPU = "CPU per message"


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        (
            {"tls": 5.0, "proxy-tls:haproxy": 12.0, "proxy-tls:nginx": 10.0},
            [f"{PROCESS} 25 % more {CPU}.", f"{NGINX} 2.0 times the {CPU}."],
        ),
        (
            {"tls": 4.2, "proxy-tls:nginx": 5.04, "proxy-mesh:envoy": 21.0},
            [
                f"{PROCESS} 5.0 % more {CPU}.",
                f"{NGINX} 20 % more {CPU}.",
                f"{MESH} 5.0 times the {CPU}.",
            ],
        ),
        (
            {"tls": 4.001, "proxy-tls:nginx": 4.002},
            [f"{PROCESS} {CPU} not resolved.", f"{NGINX} {CPU} not resolved."],
        ),
        ({"tls": 3.0}, [f"{PROCESS} 25 % less {CPU}."]),
    ],
)
def test_the_verdict_is_a_few_sentences(costs: dict[str, float], said: list[str]) -> None:
    assert verdict.headline(summary_of({**TWINS, **costs})) == " ".join(said)


@pytest.mark.parametrize(
    ("costs", "said"),
    [
        (
            {"tls": 4.2, "proxy-tls:nginx": 5.04, "proxy-mesh:envoy": 21.0},
            (
                "TLS in the process costs 5.0 % more CPU per message than plaintext; "
                "TLS at nginx costs 20 % more CPU per message than TLS in the process; "
                "TLS between two proxies (Envoy) costs 5.0 times the CPU per message of "
                "TLS in the process."
            ),
        ),
        (
            {"tls": 4.001, "proxy-tls:haproxy": 3.0},
            (
                "The CPU per message of TLS in the process and of plaintext differ by less than "
                "the noise; TLS at HAProxy costs 25 % less CPU per message than TLS in the process."
            ),
        ),
    ],
)
def test_one_sentence_says_what_it_costs(costs: dict[str, float], said: str) -> None:
    assert verdict.sentence(summary_of({**TWINS, **costs})) == said


def test_too_few_blocks_claim_nothing() -> None:
    found = summary_of({**TWINS, "tls": 8.0}, blocks=5)
    assert verdict.headline(found) == f"{PROCESS} {CPU} not resolved (too few blocks)."
    assert "too few blocks to tell" in verdict.sentence(found)
    assert any("too few valid blocks of plain" in line for line in verdict.caveats(found))


def test_the_verdict_has_throughput_and_latency_too(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", blocks=6, samples=1_200, workloads=WORKLOADS[1:])
    found = verdict.headline(statistics.summarise(open_run(path)))
    assert len(found.split(". ")) == 2
    process, nginx = found.split(". ")
    assert process.startswith(PROCESS)
    assert nginx.startswith(NGINX)
    for sentence in (process, nginx):
        assert all(sentence.count(name) == 1 for name in verdict.METRIC_TITLES.values())
    assert re.search(r"2\.\d times the CPU per message, 5\d % less throughput", nginx)


def test_no_unresolved_ratio_stands_in_the_verdict_as_a_number() -> None:
    windows = [
        window(variant, block, load="closed", count=count * (10 + block % 2), costs={"broker": c})
        for block in range(6)
        for variant, count, c in (
            ("plain", 1_000, 4.0),
            ("plain-twin-1", 1_001, 4.01),
            ("tls", 1_001 - 2 * (block % 2), 5.0),
        )
    ]
    made = Run(Path("made"), manifest(), windows)
    said = verdict.headline(statistics.summarise(made))
    assert said == f"{PROCESS} 25 % more {CPU}, throughput not resolved."


def test_a_run_without_a_valid_pair_compares_nothing() -> None:
    windows = [window("plain", 0), window("tls", 0, reasons=["errors: 3"]), window("tls", 1)]
    summary = statistics.summarise(Run(Path("made"), manifest(), windows))
    assert verdict.headline(summary).startswith("No block has valid windows of both")
    assert report.tables(summary)


def test_a_run_says_what_to_know_before_believing_it() -> None:
    honest = summary_of({**TWINS, "tls": 5.0})
    assert verdict.caveats(honest) == []
    noisy = summary_of({**TWINS, "plain-twin-2": 4.4, "tls": 5.0}, complete=False)
    unfinished, dishonest = verdict.caveats(noisy)
    assert "not finished" in unfinished
    assert "second twin of plaintext differs in cpu by 10 %" in dishonest


def test_the_budget_decides_and_the_interval_is_taken_from_above(run_path: Path) -> None:
    scene = verdict.main_scene(statistics.summarise(open_run(run_path)))
    assert scene is not None
    assert scene.workload == "request-128-x64"
    found = verdict.choices(scene, messages_per_second=100_000, cores_max=0.8)
    assert {choice.variant for choice in found} == {
        "tls",
        "mtls",
        "proxy-tls:nginx",
        "proxy-tls:haproxy",
    }
    for choice in found:
        costs = scene.of(choice.variant)
        assert costs is not None
        assert costs.cpu_us is not None
        assert choice.cores == pytest.approx(costs.cpu_us.high / 10)
        assert choice.fits == (choice.cores <= 0.8)
    best = verdict.cheapest(found)
    assert best is not None
    assert best.variant in ("tls", "mtls")
    assert verdict.cheapest(verdict.choices(scene, 100_000, cores_max=0.01)) is None


def test_the_tables_say_everything(run_path: Path) -> None:
    text = report.tables(statistics.summarise(open_run(run_path)))
    first, second, *_ = text.splitlines()
    assert first.startswith("TLS in the process costs ")
    assert second.startswith(PROCESS)
    assert "request/reply 128 B, 64 in flight at 50,000 messages/s" in text
    assert "request-128-x1, closed loop" in text
    for variant in COSTS:
        assert text.count(f"| {variant} ") == 4
    for part in ("hop", "crypto", "proxied crypto", "headline"):
        assert f"| {part}: " in text
    assert "| TLS at nginx / TLS in the process" in text


def test_what_is_not_resolved_says_so_in_the_table() -> None:
    text = report.tables(summary_of({**TWINS, "tls": 4.001, "mtls": 5.0}))
    row = next(line for line in text.splitlines() if line.startswith("| tls "))
    assert "not resolved" in row
    assert "not resolved" not in next(line for line in text.splitlines() if "| mtls " in line)


def test_invalid_windows_stand_below_the_table() -> None:
    windows = [window(variant, block) for block in range(6) for variant in (*TWINS, "tls")]
    windows.append(window("tls", 6, count=0, reasons=["proxy died: nginx was ended by SIGKILL"]))
    text = report.tables(statistics.summarise(Run(Path("made"), manifest(), windows)))
    assert "invalid, tls: proxy died (1)" in text
    assert " 6/7 |" in text


def test_a_roles_column_is_there_when_the_role_is() -> None:
    plain = report.cost_grid(summary_of({**TWINS, "tls": 5.0}).scenes[0])
    assert "server proxy" not in plain.headers
    windows = [window("proxy-plain:nginx", 0)]
    scene = statistics.summarise(Run(Path("made"), manifest(), windows)).scenes[0]
    assert "server proxy" in report.cost_grid(scene).headers


def test_quantities_read_like_quantities() -> None:
    shown = [report.quantity(value, "/s") for value in (260_400, 8.6e6, 12.34, None)]
    assert shown == ["260 k/s", "8.60 M/s", "12.3 /s", "–"]


def test_columns_have_a_row_for_each_window(run_path: Path) -> None:
    runs = load(run_path)
    assert {column.shape for column in runs.values()} == {(runs.rows,)}
    assert runs.rows == len(runs.run.windows) == 6 * len(COSTS) * len(WORKLOADS) * 2
    tls = runs.where(variant="tls", workload="request-128-x64", load="open", valid=True)
    assert tls.rows == 6
    assert set(tls["variant"]) == {"tls"}
    assert tls["cpu_us"] == pytest.approx(tls["cpu_us_generator"] + tls["cpu_us_broker"])
    assert np.isnan(tls["cpu_us_server_proxy"]).all()
    assert np.isnan(tls["response_p99_us"]).all()  # 200 samples are too few
    assert (tls["response_p90_us"] > 0).all()
    summary = runs.summary()
    assert len(summary.scenes) == 4


def test_columns_of_nothing_are_empty(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", manifest())
    runs = load(run.path)
    assert runs.rows == 0
    assert runs.where(variant="tls").rows == 0
    with pytest.raises(BenchError):
        load(tmp_path / "nowhere")


def ztransport(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would, in a process of its own."""
    return subprocess.run(
        [*COMMAND, "bench", "report", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
        timeout=120,
    )


@pytest.mark.slow
def test_the_command_rebuilds_the_page_and_prints_the_tables(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", blocks=6, workloads=WORKLOADS[:1])
    done = ztransport(path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("TLS in the process costs ")
    assert done.stdout.endswith(f"Page: {path / 'page.html'}\n")
    assert (path / "page.html").is_file()


@pytest.mark.slow
def test_the_command_gives_the_numbers_of_a_cut_record_and_says_so(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", blocks=6, workloads=WORKLOADS[:1])
    whole = (path / WINDOWS).read_bytes()
    (path / WINDOWS).write_bytes(whole[:-40])
    done = ztransport(path, "--json")
    found = json.loads(done.stdout)
    assert (found["windows"], done.returncode) == (6 * 9 * 2 - 1, 3)
    assert len(done.stderr.splitlines()) == 1
    assert "is cut off" in done.stderr
    assert not (path / "page.html").exists()


@pytest.mark.slow
def test_without_a_page_the_tables_are_there_all_the_same(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", blocks=6, workloads=WORKLOADS[:1])
    (path / "page.html").mkdir()
    done = ztransport(path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "page.html: Is a directory; the record is whole: make room or rights" in done.stderr
    assert done.stdout.startswith("TLS in the process costs ")
    assert "| tls " in done.stdout


@pytest.mark.slow
def test_a_thin_row_ends_a_report_as_it_ends_a_run(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", manifest(("plain",), WORKLOADS[:1]))
    for block in range(6):
        run.append(window("plain", block, reasons=["steal: much"] if block < 4 else ()))
    run.finish()
    for more in ([], ["--json"]):
        done = ztransport(run.path, *more)
        assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
        assert "plain, request-128-x1, open loop: only 2 of 6 blocks count" in done.stderr
        assert done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["missing", "pyproject.toml"])
def test_what_is_no_run_is_one_line(name: str) -> None:
    done = ztransport(name)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert name in done.stderr
