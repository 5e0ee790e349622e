"""Processes of a run: what they say is heard, and none of them is left whatever happens."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ztransport.bench import processes

PARENT = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
WAITS = "; sys.stdin.read()"
RUN = """\
import json, os, signal, sys
from pathlib import Path
from ztransport.bench import processes
with processes.scratch_folder("test") as folder:
    (folder / "kept").write_text("x")
    program = processes.Program("sleeper", ["sleep", "600"], folder / "errors")
    print(json.dumps([program.pid, str(folder)]), flush=True)
    sys.stdin.read()
"""
EXIT_S_MAX = 30


def role(code: str, folder: Path) -> processes.Role:
    return processes.Role("broker", [sys.executable, "-c", code], folder / "errors")


def test_lines_that_come_together_are_heard_one_by_one(tmp_path: Path) -> None:
    talking = role("print('1\\n{\"a\": 2}\\n[3]', flush=True); input()", tmp_path)
    assert [talking.answer() for _ in range(3)] == [1, {"a": 2}, [3]]
    talking.close()


def test_a_role_that_ends_says_why(tmp_path: Path) -> None:
    ending = role("import sys; sys.exit('the key file is missing')", tmp_path)
    with pytest.raises(processes.BenchError, match="^broker ended: the key file is missing$"):
        ending.answer()
    ending.close()
    assert ending.ended == "ended with status 1"


def test_a_killed_program_is_told_by_its_signal(tmp_path: Path) -> None:
    sleeping = processes.Program("sleeper", ["sleep", "600"], tmp_path / "errors")
    assert (sleeping.ended, sleeping.pids) == (None, [sleeping.pid])
    descriptor = os.pidfd_open(sleeping.pid)
    os.kill(sleeping.pid, signal.SIGKILL)
    wait_ended(descriptor)
    assert (sleeping.ended, sleeping.pids) == ("was ended by SIGKILL", [])
    sleeping.close()


def test_closing_ends_children_too(tmp_path: Path) -> None:
    parent = role(f"{PARENT}{WAITS}", tmp_path)
    child = parent.answer()
    assert parent.pids == [parent.pid, child]
    descriptor = os.pidfd_open(child)
    parent.close()
    wait_ended(descriptor)


def test_a_program_is_bound_to_its_core_and_we_are_not(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    core = max(before)
    program = processes.Program("sleeper", ["sleep", "600"], tmp_path / "errors", core=core)
    assert os.sched_getaffinity(program.pid) == {core}
    assert os.sched_getaffinity(0) == before
    program.close()


@pytest.mark.slow
def test_a_killed_run_leaves_neither_processes_nor_folders() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert run.stdin is not None
    assert run.stdout is not None
    program, folder = json.loads(run.stdout.readline())
    keeper = children(run.pid) - {program}
    descriptors = [os.pidfd_open(pid) for pid in (program, *keeper)]
    run.kill()
    run.wait()
    run.stdin.close()
    run.stdout.close()
    for descriptor in descriptors:
        wait_ended(descriptor)
    assert len(keeper) == 1
    assert not Path(folder).exists()


def children(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def wait_ended(descriptor: int) -> None:
    """Wait for the end of a process, which makes its descriptor readable."""
    readable, _, _ = select.select([descriptor], [], [], EXIT_S_MAX)
    os.close(descriptor)
    assert readable, "the process goes on"
