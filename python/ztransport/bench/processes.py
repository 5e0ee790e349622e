"""Processes of a run: started, pinned, spoken to in JSON lines, and ended whatever happens.

Each stands in a process group of its own: a Ctrl-C reaches only the run, which then ends them in
order, and a killed run is cleaned up after by the keeper.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any

from ztransport.bench import environment

__all__ = [
    "BenchError",
    "InvalidMeasurement",
    "Program",
    "Role",
    "needing_room",
    "port_of",
    "scratch_folder",
    "tree_of",
]

ANSWER_S_MAX = 60.0
END_S_MAX = 5.0
LAST_LINES_MAX = 3
READ_BYTES_MAX = 65_536
FLAGS = 6  # behind the name, proc_pid_stat(5)
PF_EXITING = 0x4  # linux/sched.h
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}


class BenchError(Exception):
    """A run cannot go on; the text says what happened and how to mend it, in one line."""


class InvalidMeasurement(BenchError):
    """What was measured, or would be, cannot be believed; the text says why, in one line."""


class Program:
    """One running program and its children; what it prints on standard error goes to a file.

    With a `core` it and all it starts are bound to that core from their first instruction.
    """

    def __init__(
        self,
        title: str,
        command: Sequence[str],
        errors: Path,
        *,
        core: int | None = None,
        pipes: bool = False,
    ) -> None:
        self.title = title
        self._errors = errors
        way = subprocess.PIPE if pipes else subprocess.DEVNULL
        _raise_descriptor_limit()
        with errors.open("a") as stderr, _on_core(core):
            self._process = subprocess.Popen(
                list(command),
                stdin=way,
                stdout=way,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )
        _tell_keeper(f"+group {self.pid}")

    @property
    def pid(self) -> int:
        """The process's id, which is its group's too."""
        return self._process.pid

    @property
    def pids(self) -> list[int]:
        """The process and all its descendants; empty when it has ended."""
        return tree_of(self.pid) if self.ended is None else []

    @property
    def ended(self) -> str | None:
        """How it ended, None while it runs."""
        status = self._process.poll()
        if status is None:
            if not _is_ending(self.pid):
                return None
            status = self._process.wait()
        if status < 0:
            return f"was ended by {signal.Signals(-status).name}"
        return f"ended with status {status}"

    def last_words(self) -> str:
        """The last lines it printed on standard error, in one line."""
        lines = [line.strip() for line in self._errors.read_text(errors="replace").splitlines()]
        said = [line for line in lines if line][-LAST_LINES_MAX:]
        return " / ".join(said) or "no error was printed"

    def close(self) -> None:
        """End the whole group and wait for it."""
        self._signal(signal.SIGTERM)
        try:
            self._process.communicate(timeout=END_S_MAX)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.communicate()
        self._signal(signal.SIGKILL)  # a child may have stayed behind its parent
        _tell_keeper(f"-group {self.pid}")

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.pid, number)
        except (ProcessLookupError, PermissionError):
            return  # the group is gone


class Role(Program):
    """A program that answers with JSON lines and ends with its standard input."""

    def __init__(
        self, title: str, command: Sequence[str], errors: Path, *, core: int | None = None
    ) -> None:
        super().__init__(title, command, errors, core=core, pipes=True)
        self._heard = b""

    def answer(self, seconds_max: float = ANSWER_S_MAX) -> Any:
        """What the next line it prints says. Raises BenchError as `line` does."""
        return json.loads(self.line(seconds_max))

    def line(self, seconds_max: float = ANSWER_S_MAX) -> str:
        """The next line it prints. Raises BenchError when it ends or says nothing in time."""
        end = time.monotonic() + seconds_max
        while b"\n" not in self._heard:
            self._hear(max(0.0, end - time.monotonic()), seconds_max)
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    def _hear(self, wait_s: float, seconds_max: float) -> None:
        """Read once. What lies in a buffer poll(2) cannot see, so this has its own."""
        stdout = _given(self._process.stdout)
        poller = select.poll()
        poller.register(stdout, select.POLLIN)
        readable = poller.poll(wait_s * 1e3)
        data = os.read(stdout.fileno(), READ_BYTES_MAX) if readable else b""
        if not data:
            what = "ended" if readable else f"said nothing for {seconds_max:.0f} s"
            raise BenchError(f"{self.title} {what}: {self.last_words()}")
        self._heard += data

    def tell(self, message: object) -> None:
        """Send one JSON line; whether it was heard shows in the answer."""
        self.say(json.dumps(message))

    def say(self, line: str) -> None:
        """Send one line; whether it was heard shows in the answer."""
        stdin = _given(self._process.stdin)
        try:
            stdin.write(line + "\n")
            stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: the answer says why

    def ask(self, message: object) -> Any:
        """Send one JSON line and return the answer. Raises BenchError as `answer` does."""
        self.tell(message)
        return self.answer()


@contextmanager
def scratch_folder(title: str) -> Iterator[Path]:
    """A folder that is gone afterwards, even when this process is killed.

    Raises BenchError when it cannot be made.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix=f"ztransport-{title}-")
    except OSError as error:
        raise BenchError(_roomless(error, "no folder for certificates and sockets")) from None
    with made as folder:
        _tell_keeper(f"+folder {folder}")
        yield Path(folder)
    _tell_keeper(f"-folder {folder}")


@contextmanager
def needing_room(folder: Path) -> Iterator[None]:
    """Tell of a full disk by its place. Raises BenchError; other errors pass."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        raise BenchError(_roomless(error, str(folder))) from None


def _roomless(error: OSError, place: str) -> str:
    return (
        f"{error.filename or place}: {error.strerror}; make room or rights there, or name another "
        "folder for certificates and sockets with TMPDIR"
    )


def port_of(address: str) -> int:
    """The port of a "host:port" address."""
    return int(address.rsplit(":", 1)[1])


def tree_of(pid: int) -> list[int]:
    """A process and all its descendants that are not about to end."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    living = (int(child) for child in children if not _is_ending(int(child)))
    return [pid, *(found for child in living for found in tree_of(child))]


def _is_ending(pid: int) -> bool:
    """Whether a process has begun to end: its connections may be gone before it is."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return True
    return bool(int(fields[FLAGS]) & PF_EXITING)


@cache
def _keeper() -> subprocess.Popen[str]:
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("keeper.py"))]
    return subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True)


def _tell_keeper(line: str) -> None:
    stdin = _given(_keeper().stdin)
    stdin.write(line + "\n")
    stdin.flush()


@contextmanager
def _on_core(core: int | None) -> Iterator[None]:
    """What is started inside is bound to the core: a child inherits this thread's affinity."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _raise_descriptor_limit() -> None:
    """Hundreds of connections through a proxy need more descriptors than some shells give."""
    soft, hard = environment.descriptors()
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _given(stream: IO[str] | None) -> IO[str]:
    assert stream is not None  # a pipe was asked for
    return stream
