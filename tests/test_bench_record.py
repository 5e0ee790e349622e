"""Run directories: what is written comes back, and what cannot be read is one line."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench_runs import manifest, window
from ztransport.bench import record
from ztransport.bench.processes import BenchError
from ztransport.bench.record import MANIFEST, WINDOWS, RunDirectory, open_run

ONE_LINE = r"^[^\n]*{}[^\n]*$"


def three_windows(path: Path) -> RunDirectory:
    run = RunDirectory.create(path, manifest())
    for block in range(3):
        run.append(window("tls", block, latencies_ns=[1_000, 2_000]))
    return run


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    run = three_windows(tmp_path / "a" / "run")
    run.append(window("plain", 3, count=0, reasons=["proxy died: nginx was killed"]))
    run.finish(measuring_seconds=4.0)
    found = open_run(run.path)
    assert found.windows == run.windows
    assert found.manifest == run.manifest
    assert (found.manifest["complete"], found.manifest["measuring_seconds"]) == (True, 4.0)
    assert found.cut is None


def test_every_window_is_on_disk_before_the_next(tmp_path: Path) -> None:
    run = three_windows(tmp_path / "run")
    assert len(open_run(run.path).windows) == 3
    assert not open_run(run.path).manifest["complete"]
    run.append(window("mtls", 3))
    assert open_run(run.path).windows[-1]["variant"] == "mtls"


def test_a_cut_last_line_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    run = three_windows(tmp_path / "run")
    file = run.path / WINDOWS
    whole = file.read_bytes()
    for kept in range(whole.rindex(b"\n", 0, -1) + 2, len(whole) - 1):
        file.write_bytes(whole[:kept])
        found = open_run(run.path)
        assert len(found.windows) == 2, f"{kept} of {len(whole)} bytes"
        assert found.cut is not None
        assert re.match(ONE_LINE.format("line 3 is cut off; 2 windows .* again"), found.cut)
        assert found.lost == (3,)


def test_a_resumed_run_cuts_half_a_line_off_and_goes_on(tmp_path: Path) -> None:
    run = three_windows(tmp_path / "run")
    file = run.path / WINDOWS
    file.write_bytes(file.read_bytes()[:-9])
    again = RunDirectory.resume(run.path)
    assert again.windows == run.windows[:2]
    again.append(window("mtls", 2))
    again.finish()
    found = open_run(run.path)
    assert (found.windows, found.cut) == (again.windows, None)
    assert found.manifest["complete"]


NAN = re.sub(rb'"steal_share": [\d.]+', b'"steal_share": NaN', json.dumps(window()).encode())


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (b"{", "no JSON object"),
        (b"[" * 100_000, "no JSON object"),
        (b"\x00\xff", "no JSON object"),
        (b'{"schema_version": 1}', "the object: .* is a required property"),
        (NAN, "no JSON object"),
    ],
)
def test_a_broken_line_is_told_put_aside_and_measured_again(
    broken: bytes, why: str, tmp_path: Path
) -> None:
    run = three_windows(tmp_path / "run")
    run.finish()
    first, _, last = (run.path / WINDOWS).read_bytes().splitlines(keepends=True)
    (run.path / WINDOWS).write_bytes(first + broken + b"\n" + last)
    found = open_run(run.path)
    assert found.windows == [run.windows[0], run.windows[2]]
    assert (found.lost, found.manifest["complete"]) == ((2,), False)
    said = f"line 2 is broken \\({why}\\); 2 windows of the others are read: .* again to measure"
    assert re.match(ONE_LINE.format(said), found.cut or "")
    again = RunDirectory.resume(run.path)
    again.append(run.windows[1])
    assert (run.path / record.BROKEN).read_bytes() == broken + b"\n"
    found = open_run(run.path)
    assert (found.windows, found.cut) == ([run.windows[i] for i in (0, 2, 1)], None)


def test_all_that_is_broken_is_counted(tmp_path: Path) -> None:
    run = three_windows(tmp_path / "run")
    (run.path / WINDOWS).write_bytes(b"{\n" + (run.path / WINDOWS).read_bytes() + b"{")
    found = open_run(run.path)
    assert found.lost == (1, 5)
    assert "line 1 is broken (no JSON object) and 1 more are; 3 windows" in (found.cut or "")


def test_windows_without_their_manifest_are_not_overwritten(tmp_path: Path) -> None:
    run = three_windows(tmp_path / "run")
    kept = (run.path / WINDOWS).read_bytes()
    (run.path / MANIFEST).unlink()
    said = ONE_LINE.format("windows without their manifest.json: restore it, or name another")
    with pytest.raises(BenchError, match=said):
        RunDirectory.create(run.path, manifest())
    assert (run.path / WINDOWS).read_bytes() == kept


def test_a_last_line_without_its_end_is_whole_when_it_parses(tmp_path: Path) -> None:
    run = three_windows(tmp_path / "run")
    file = run.path / WINDOWS
    file.write_bytes(file.read_bytes()[:-1])
    assert len(open_run(run.path).windows) == 3
    again = RunDirectory.resume(run.path)
    again.append(window("mtls", 3))
    assert len(open_run(run.path).windows) == 4


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (MANIFEST, b'{"schema_version": 2}', "schema version 2 is newer than 1: update ztransport"),
        (MANIFEST, b"", "no JSON object: it was cut off .* measure again .* keeps what was"),
        (MANIFEST, b'{"schema_version": 1, "ki', "no JSON object: it was cut off"),
        (MANIFEST, b"no json", "no JSON object"),
        (MANIFEST, b"[]", "no JSON object"),
        (MANIFEST, b'{"schema_version": 1}', "is a required property: .* restore it, or name"),
        (WINDOWS, b'{"schema_version": 7}\n', "line 1: schema version 7 is newer than 1: update"),
    ],
)
def test_what_is_no_record_is_one_line(name: str, change: bytes, said: str, tmp_path: Path) -> None:
    run = three_windows(tmp_path / "run")
    (run.path / name).write_bytes(change)
    with pytest.raises(BenchError, match=ONE_LINE.format(said)):
        open_run(run.path)


@pytest.mark.parametrize("name", [MANIFEST, WINDOWS])
def test_a_missing_file_is_one_line(name: str, tmp_path: Path) -> None:
    run = three_windows(tmp_path / "run")
    (run.path / name).unlink()
    with pytest.raises(
        BenchError, match=ONE_LINE.format(f"{name}: No such file.*(name a|run again)")
    ):
        open_run(run.path)


def test_a_record_is_not_overwritten(tmp_path: Path) -> None:
    run = three_windows(tmp_path / "run")
    with pytest.raises(BenchError, match=ONE_LINE.format("holds a record: name another")):
        RunDirectory.create(run.path, manifest())
    assert len(open_run(run.path).windows) == 3


@contextmanager
def room(path: Path, more_bytes: int) -> Iterator[None]:
    """Let the kernel refuse to grow any file beyond a file's size and so many bytes more.

    It takes what fits and then says no, as a full disk does.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + more_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("more_bytes", [0, 1, 100])
def test_a_full_disk_is_one_line_and_keeps_what_was_measured(
    more_bytes: int, tmp_path: Path
) -> None:
    run = three_windows(tmp_path / "run")
    file = run.path / WINDOWS
    before = file.read_bytes()
    said = ONE_LINE.format("File too large; 3 windows are kept and readable: .* again to go on")
    with room(file, more_bytes), pytest.raises(BenchError, match=said):
        run.append(window("mtls", 3))
    assert file.read_bytes() == before
    again = RunDirectory.resume(run.path)
    again.append(window("mtls", 3))
    assert len(open_run(run.path).windows) == 4


def test_a_full_disk_leaves_the_old_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = three_windows(tmp_path / "run")

    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(BenchError, match=ONE_LINE.format("No space left on device; 3 windows")):
            run.finish()
    assert not open_run(run.path).manifest["complete"]
    assert sorted(found.name for found in run.path.iterdir()) == [MANIFEST, WINDOWS]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("block", -1),
        ("block", "1"),
        ("load", "half open"),
        ("count", 0),
        ("reasons", ["valid windows have none"]),
        ("valid", False),
        ("cpu_us", {"generator": 1.0}),
        ("steal_share", float("nan")),
        ("histograms", None),
    ],
)
def test_a_window_against_the_schema_is_not_written(
    name: str, wrong: object, tmp_path: Path
) -> None:
    run = three_windows(tmp_path / "run")
    with pytest.raises(ValueError):
        run.append({**window("tls", 3), name: wrong})
    assert len(open_run(run.path).windows) == 3


@pytest.mark.parametrize("name", sorted(window()))
def test_no_part_of_a_window_may_be_missing(name: str, tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", manifest())
    with pytest.raises(ValueError, match=f"'{name}' is a required property|'reasons'|const"):
        run.append({key: value for key, value in window().items() if key != name})


def test_members_a_reader_does_not_know_are_kept(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", {**manifest(), "note": "added later"})
    run.append({**window(), "supervisor_share": 0.01})
    found = open_run(run.path)
    assert found.windows[0]["supervisor_share"] == 0.01
    assert found.manifest["note"] == "added later"


def test_a_single_file_record_comes_back(tmp_path: Path) -> None:
    found = record.create("a kind", ["ztransport", "bench run"], 7, {"windows": []})
    record.write(tmp_path / "new" / "a.json", found)
    assert record.read(tmp_path / "new" / "a.json") == json.loads(json.dumps(found))
    (tmp_path / "b.json").write_text('{"schema_version": 2}')
    with pytest.raises(ValueError, match="not a record of schema version 1"):
        record.read(tmp_path / "b.json")
