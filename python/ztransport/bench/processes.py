"""Processes of a run: started, pinned, spoken to in JSON lines, and ended whatever happens."""

from __future__ import annotations

import json
import select
import subprocess
from pathlib import Path
from typing import IO, Any

__all__ = ["BenchError", "Role", "port_of"]

ANSWER_S_MAX = 60.0
END_S_MAX = 5.0


class BenchError(Exception):
    """A run cannot go on; the text says what happened and how to mend it, in one line."""


class Role:
    """One running process that answers with JSON lines and ends with its standard input."""

    def __init__(self, title: str, command: list[str], errors: Path) -> None:
        self.title = title
        self._errors = errors
        with errors.open("a") as stderr:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
            )

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def answer(self) -> Any:
        """The next line it prints. Raises BenchError when it ends or says nothing in time."""
        stdout = _given(self._process.stdout)
        readable, _, _ = select.select([stdout], [], [], ANSWER_S_MAX)
        line = stdout.readline() if readable else ""
        if not line:
            what = "ended" if readable else f"said nothing for {ANSWER_S_MAX:.0f} s"
            said = self._errors.read_text().strip().splitlines() or ["no error was printed"]
            raise BenchError(f"{self.title} {what}: {said[-1]}")
        return json.loads(line)

    def ask(self, message: object) -> Any:
        """Send one JSON line and return the answer."""
        stdin = _given(self._process.stdin)
        try:
            stdin.write(json.dumps(message) + "\n")
            stdin.flush()
        except BrokenPipeError:
            pass  # it has ended: the answer below says why
        return self.answer()

    def close(self) -> None:
        """End the process and wait for it."""
        self._process.terminate()
        try:
            self._process.communicate(timeout=END_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def port_of(address: str) -> int:
    """The port of a "host:port" address."""
    return int(address.rsplit(":", 1)[1])


def _given(stream: IO[str] | None) -> IO[str]:
    assert stream is not None  # both are pipes since __init__
    return stream
