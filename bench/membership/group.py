"""A group of member processes: started, told what to do, listened to, killed."""

from __future__ import annotations

import base64
import json
import os
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.membership.talk import Spec
from ztransport.bench.processes import BenchError

FIRST_PORT = 20_000
SEEDS = 3
END_SECONDS_MAX = 5.0
START_SECONDS_MAX = 150.0
# Kinship's and ours alike: names of sixteen bytes.
NAME = "member-{:09d}"


@dataclass(frozen=True, slots=True)
class Fact:
    """What one member said, and when."""

    observer: str
    fact: str
    member: str
    at: float


class Process:
    """One member's process."""

    def __init__(self, command: list[str], spec: Spec, errors: Path) -> None:
        self.name = spec.name
        self.running = True  # until it is killed or told to leave
        with errors.open("ab") as file:
            self._process = subprocess.Popen(
                [*command, json.dumps(asdict(spec))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env={**os.environ, "PYTHONPATH": str(Path.cwd())},
            )
        assert self._process.stdout is not None
        self.out = self._process.stdout
        os.set_blocking(self.out.fileno(), False)
        self._rest = b""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def order(self, word: str) -> None:
        """Tell it one word."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n".encode())
        self._process.stdin.flush()

    def leave(self) -> None:
        """Have it leave the group and end."""
        self.running = False
        self.order("leave")

    def kill(self) -> float:
        """End it without a word (SIGKILL), and return when."""
        self.running = False
        at = time.monotonic()
        self._process.send_signal(signal.SIGKILL)
        return at

    def read(self) -> list[Fact] | None:
        """What it has said since the last time; None when it has ended."""
        said = self.out.read()
        if said == b"":
            return None
        *lines, self._rest = (self._rest + (said or b"")).split(b"\n")
        facts = [json.loads(line) for line in lines]
        return [Fact(self.name, f["fact"], f.get("member", ""), f["at"]) for f in facts]

    def close(self) -> None:
        """End it whatever it does."""
        self._process.kill()
        self._process.wait(END_SECONDS_MAX)
        for pipe in (self._process.stdin, self.out):
            if pipe is not None:
                pipe.close()


class Group:
    """All processes of a cell; leaving it ends them."""

    def __init__(self, command: list[str], size: int, errors: Path) -> None:
        self._command = command
        self._size = size
        self._errors = errors
        self._key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._selector = selectors.DefaultSelector()
        self.processes: list[Process] = []
        self.facts: list[Fact] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self.processes:
            process.close()
        self._selector.close()

    def start(self, count: int) -> None:
        """Start processes, and wait until each is ready to join."""
        seeds = [f"127.0.0.1:{FIRST_PORT + number}" for number in range(SEEDS)]
        for number in range(len(self.processes), len(self.processes) + count):
            name, port = NAME.format(number), FIRST_PORT + number
            spec = Spec(name, port, seeds, self._size, self._key)
            process = Process(self._command, spec, self._errors)
            self.processes.append(process)
            self._selector.register(process.out, selectors.EVENT_READ, process)
        ready = self.wait(START_SECONDS_MAX, lambda: self.count("ready") == len(self.processes))
        if not ready:
            raise BenchError(f"members did not start: see {self._errors}")

    def count(self, fact: str) -> int:
        """How many members have said this."""
        return sum(1 for found in self.facts if found.fact == fact)

    def listen(self, seconds: float) -> None:
        """Take what members say for so long."""
        self.wait(seconds, lambda: False)

    def wait(self, seconds: float, enough: Callable[[], bool]) -> bool:
        """Take what members say until it is enough, at most so long."""
        end = time.monotonic() + seconds
        while not enough():
            left = end - time.monotonic()
            if left <= 0:
                return False
            for key, _ in self._selector.select(left):
                self._take(key.data)
        return True

    def _take(self, process: Process) -> None:
        facts = process.read()
        if facts is not None:
            self.facts += facts
            return
        self._selector.unregister(process.out)
        if process.running:
            raise BenchError(f"{process.name} ended by itself: see {self._errors}")
