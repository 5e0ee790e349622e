"""A run end to end in small: it measures, is stopped and gone on with, and tells its mistakes.

Whether its windows are valid depends on what the machine does meanwhile, so that is not asked here.
"""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import resource
import socket
import subprocess
import sys
import types
from pathlib import Path

import pytest

from tests.bench_runs import manifest
from ztransport.bench import (
    blocks,
    choices,
    fairness,
    processes,
    record,
    runner,
    session,
    variants,
    workloads,
)
from ztransport.bench.processes import BenchError
from ztransport.bench.record import Record, RunDirectory
from ztransport.bench.workloads import Profile

COMMAND = (sys.executable, "-c", "from ztransport.cli import main; main()")
VARIANTS = ("plain", "tls", "proxy-tls:relay")
TINY = Profile(
    name="tiny",
    variants=VARIANTS,
    workloads=("request-128-x64", "gateway-128-x64"),
    blocks=2,
    open_s=0.03,
    closed_s=0.03,
    warm_up_s=0.01,
    blocks_per_generation=1,
)
SEED = 7


def run(profile: Profile, directory: Path, tell: runner.Told = lambda _: None) -> RunDirectory:
    return runner.run(profile, directory, tell, seed=SEED, command="ztransport bench run")


def cells_of(windows: list[Record]) -> list[tuple[int, int, blocks.Cell]]:
    return [
        (one["block"], one["order"], blocks.Cell(one["variant"], one["workload"], one["load"]))
        for one in windows
    ]


class Stopped(Exception):
    """The run is interrupted here."""


@pytest.mark.slow
def test_a_run_is_stopped_gone_on_with_and_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PEAK_S", 0.05)
    place = tmp_path / "tiny-1"
    heard: list[str] = []

    def tell(line: str) -> None:
        heard.append(line)
        if len([one for one in heard if one.startswith("block")]) == 8:
            raise Stopped

    with pytest.raises(Stopped):
        run(TINY, place, tell)
    partial = record.open_run(place)
    assert (partial.cut, partial.manifest["complete"], len(partial.windows)) == (None, False, 7)
    assert "7 windows are kept" in choices.interrupted(place)
    assert choices.directory_for(TINY, None, tmp_path) == place
    assert choices.directory_for(TINY, SEED + 1, tmp_path) != place
    assert_whole(run(TINY, choices.directory_for(TINY, SEED, tmp_path)), partial)
    assert choices.directory_for(TINY, SEED, tmp_path) != place
    with pytest.raises(BenchError, match="this run is complete: .*or name another directory"):
        run(TINY, place)


def assert_whole(done: RunDirectory, partial: record.Run) -> None:
    """Every cell of every block once, the first ones those of the first sitting."""
    planned = [(p.block, p.order, p.cell) for p in blocks.plan(blocks.cells(TINY), 2, SEED)]
    assert cells_of(done.windows) == planned
    assert done.windows[:7] == partial.windows
    assert done.manifest["complete"]
    assert done.manifest["scenario"]["rates"] == partial.manifest["scenario"]["rates"]
    assert done.manifest["measuring_seconds"] > partial.manifest["measuring_seconds"]
    generations = {one["generation"]: one["block"] for one in done.windows[7:]}
    assert generations == {1: 0, 2: 1}
    assert all(one["cpu_us"]["gateway"] is not None for one in of(done, "gateway-128-x64"))
    assert all(one["cpu_us"]["gateway"] is None for one in of(done, "request-128-x64"))
    for one in done.windows:
        assert one["count"] > 0, one["reasons"]
        assert one["errors"] == {}
        assert (one["negotiated"] is None) == (one["variant"] == "plain")
        assert (one["rate_asked"] is None) == (one["load"] == blocks.CLOSED)
        proxied = one["variant"] == "proxy-tls:relay"
        assert (one["cpu_us"]["server_proxy"] is not None) == proxied


def of(done: RunDirectory, workload: str) -> list[Record]:
    return [one for one in done.windows if one["workload"] == workload]


def test_two_runs_do_not_write_to_one_directory(tmp_path: Path) -> None:
    place = tmp_path / "tiny-1"
    RunDirectory.create(place, manifest())
    with runner.alone(place):
        with pytest.raises(BenchError, match="tiny-1: another run writes to it; name another one"):
            run(TINY, place)
        assert not runner.can_go_on(place, TINY, None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"complete": True}, "this run is complete"),
        (
            {"scenario": {"variants": ["tls", "mtls"]}},
            "begun with other variants (--variant, --without), tls, mtls and not plain: go on with",
        ),
        (
            {"scenario": {"blocks_asked": 3}},
            "other blocks (--blocks), 3 and not 2: go on with `ztransport bench run --blocks 3`",
        ),
        ({"scenario": {"seconds": 0.5}}, "other seconds of a cell (--seconds), 0.5 and not 1.0:"),
        (
            {"scenario": {"placement": {"broker": 0}}},
            "other cores (see taskset), {'broker': 0} and",
        ),
        ({"scenario": {"warm_up_s": 9}}, "other warm_up_s, part of the profile, 9 and not 0.1:"),
        ({"seed": 8}, "begun with seed 8, not 7 (--seed): go on with `ztransport bench run"),
        ({"programs": {"nginx": {}}}, "other versions of the proxies: install those again"),
        ({"environment": {"commit": "x"}}, "another commit: restore that"),
        ({"scenario": {"peaks": {"a": 1.0}, "rates": {"a": 0.3}}}, None),
    ],
)
def test_a_run_goes_on_only_with_its_like(change: Record, reason: str | None) -> None:
    whole: Record = {
        "complete": False,
        "seed": 7,
        "command": "ztransport bench run --blocks 3",
        "scenario": {
            "variants": ["plain"],
            "blocks_asked": 2,
            "seconds": 1.0,
            "warm_up_s": 0.1,
            "placement": {"broker": 1},
            "peaks": {},
            "rates": {},
        },
        "programs": {},
        "environment": {"commit": "a", "kernel": "b"},
    }
    old = {
        key: {**value, **change.get(key, {})} if isinstance(value, dict) else change.get(key, value)
        for key, value in whole.items()
    }
    found = runner.differs(old, whole)
    assert found is None if reason is None else found is not None and reason in found


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_shown_in_place_or_a_line_for_each_block(is_terminal: bool) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return is_terminal

    stream = Stream()
    progress = choices.Progress(stream)
    lines = ["calibrating", "block 1/2, 0:09 left: plain", "block 1/2, 0:08 left: tls", ""]
    for line in lines:
        progress(line)
    in_place = "".join(f"\r\x1b[K{line}" for line in lines)
    by_block = "calibrating\nblock 1/2, 0:09 left\n"
    assert stream.getvalue() == (in_place if is_terminal else by_block)


def ztransport(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would, in a process of its own."""
    surroundings = {**os.environ, **({"PATH": str(path)} if path else {})}
    code = COMMAND[2]
    if path is not None:
        # The packaged proxies are looked for beside the interpreter and among its packages.
        code = (
            f"import sys; sys.executable = {str(path / 'python')!r}; "
            "import importlib.util as u; u.find_spec = lambda _: None; " + code
        )
    return subprocess.run(
        [*COMMAND[:2], code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=surroundings,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--variant", "nothing"], "there is no variant nothing: choose among plain,"),
        (["--workload", "nothing"], "there is no workload nothing: choose among request-"),
        (["--profile", "nothing"], "there is no profile nothing: choose among quick, standard"),
        (["--without", "nothing"], "there is no nothing to leave out: see bench list"),
        (["--seconds", "nan"], "--seconds nan: give a number from 0.05 to 600.0"),
        (["--blocks", "1001"], "--blocks 1001: give a number from 1 to 1,000"),
        (["--seed", "-1"], "--seed -1: give a number from 0 to"),
        (["--blocks", "few"], "Invalid value for '--blocks': "),
        (["--block", "3"], "No such option: --block"),
    ],
)
@pytest.mark.slow
def test_a_mistaken_flag_is_one_line(arguments: list[str], said: str) -> None:
    done = ztransport("bench", "run", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"ztransport: {said}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_a_missing_proxy_is_one_line(tmp_path: Path) -> None:
    done = ztransport("bench", "run", "--directory", str(tmp_path / "new"), path=tmp_path)
    assert done.returncode == 2
    told = [line for line in done.stderr.splitlines() if line.startswith("ztransport: ")]
    assert len(told) == 1
    assert "no nginx on PATH" in told[0]
    assert "pip install" in told[0]
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ["--variant", "plain", "--port", port, "--directory", str(tmp_path / "new")]
        done = ztransport("bench", "run", *arguments)
    assert done.returncode == 2
    told = [line for line in done.stderr.splitlines() if line.startswith("ztransport: ")]
    assert told == [f"ztransport: port {port}: Address already in use; choose others with --port"]


@pytest.mark.slow
def test_certificates_that_are_gone_are_one_line() -> None:
    chosen = variants.chosen(["tls"])
    with session.Session(chosen, {"broker"}, {}) as opened:
        Path(opened.files.chain_path).unlink()
        said = r"^broker ended: [^\n]*chain[^\n]*; mend that and run [^\n]* \(--without tls\)$"
        with pytest.raises(BenchError, match=said):
            opened.restart(0)


@pytest.mark.slow
def test_another_seed_is_not_taken_for_the_runs_own(tmp_path: Path) -> None:
    begun = runner._manifest(TINY, SEED, "ztransport bench run --profile tiny", {})
    RunDirectory.create(tmp_path / "tiny-1", begun)
    programs = {"relay": session.tools_of(variants.chosen(VARIANTS))["relay"].described()}
    RunDirectory.resume(tmp_path / "tiny-1").update(programs=programs)
    said = r"begun with seed 7, not 8 \(--seed\): go on with `[^`]*tiny`, or name another directory"
    with pytest.raises(BenchError, match=said):
        runner.run(TINY, tmp_path / "tiny-1", lambda _: None, seed=SEED + 1, command="-")
    assert runner.can_go_on(tmp_path / "tiny-1", TINY, None)
    assert not runner.can_go_on(tmp_path / "tiny-1", TINY, SEED + 1)


@pytest.mark.slow
def test_an_interrupt_before_the_record_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    place = tmp_path / "new"
    for stopped in ("ztransport.bench.environment.collect", "pathlib.Path.replace"):
        with monkeypatch.context() as patched:
            patched.setattr(stopped, interrupt)
            with pytest.raises(KeyboardInterrupt):
                run(TINY, place)
        assert not place.exists()
    assert choices.interrupted(place) == (
        "interrupted before anything was measured: run the same command again"
    )


@pytest.mark.parametrize("complete", [True, False])
def test_an_interrupt_says_what_is_kept(complete: bool, tmp_path: Path) -> None:
    RunDirectory.create(tmp_path / "run", manifest()).update(complete=complete)
    said = choices.interrupted(tmp_path / "run")
    shown = f"see them with ztransport bench report {tmp_path / 'run'}"
    assert said == (
        f"interrupted: all 0 windows are kept; {shown}"
        if complete
        else f"interrupted: 0 windows are kept; run the same command again to go on, or {shown}"
    )
    (tmp_path / "run" / record.MANIFEST).write_text("{")
    assert "it was cut off or changed; restore it" in choices.interrupted(tmp_path / "run")


def test_a_full_scratch_folder_is_told_by_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "bench.key.pem"))

    monkeypatch.setattr(fairness, "issue", full)
    said = r"^\S+bench.key.pem: No space left on device; make room [^\n]* with TMPDIR$"
    with pytest.raises(BenchError, match=said), session.Session([], {"broker"}, {}):
        pass


def test_without_a_scratch_folder_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(**_: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("tempfile.TemporaryDirectory", none)
    said = r"^no folder for [^\n]*: No usable temporary [^\n]* with TMPDIR$"
    with pytest.raises(BenchError, match=said), processes.scratch_folder("bench"):
        pass


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_what_was_measured_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PEAK_S", 0.05)
    small = choices.changed(
        workloads.profile("quick"), only=["plain"], works=["request-128-x1"], seconds=0.05
    )
    small = dataclasses.replace(small, repeat_s_max=0.0)

    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(line: str) -> None:
        if line.startswith("block 2"):
            full = (tmp_path / record.WINDOWS).stat().st_size + 1
            resource.setrlimit(resource.RLIMIT_FSIZE, (full, unlimited[1]))

    try:
        with pytest.raises(BenchError, match=r"^[^\n]*File too large; 2 windows are kept[^\n]*$"):
            run(small, tmp_path, fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    kept = record.open_run(tmp_path)
    assert ([one["block"] for one in kept.windows], kept.cut) == ([0, 0], None)
    assert not kept.manifest["complete"]


@pytest.mark.slow
def test_the_commands_that_only_look_work() -> None:
    assert "proxy-mesh:envoy" in ztransport("bench", "list").stdout
    env = json.loads(ztransport("bench", "env").stdout)
    assert {"machine", "packages", "placement", "programs", "load_average"} <= set(env)


@pytest.mark.parametrize(
    ("repeat_s_max", "reasons", "tries"),
    [
        (0.0, [["steal: much"], []], 1),
        (9.0, [["steal: much"], ["load: much"], []], 3),
        (9.0, [["steal: much"]] * 9, 1 + runner.REPEATS_MAX),
        (0.05, [["steal: much"]] * 9, 3),
        (9.0, [["errors: ConnectionLost 1"], []], 1),
    ],
)
def test_a_window_the_machine_spoiled_is_measured_again(
    monkeypatch: pytest.MonkeyPatch, repeat_s_max: float, reasons: list[list[str]], tries: int
) -> None:
    profile = dataclasses.replace(TINY, repeat_s_max=repeat_s_max)
    kept: list[Record] = []
    sitting = runner._Run.__new__(runner._Run)
    sitting._profile, sitting._repeat_s_left = profile, repeat_s_max
    sitting._record = types.SimpleNamespace(append=kept.append)  # type: ignore[assignment]
    found = iter(reasons)

    def measured(_: blocks.Place) -> Record:
        why = next(found)
        return {"valid": not why, "reasons": why}

    monkeypatch.setattr(sitting, "_window", measured)
    place = next(blocks.plan(blocks.cells(profile), 1, SEED))
    sitting._measure_place(place)
    assert len(kept) == tries
