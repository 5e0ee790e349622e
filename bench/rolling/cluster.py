"""Three members in three processes, and what is asked of them."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.rolling.mount import Mount

__all__ = ["CALLS_PER_SECOND", "MEMBERS", "Cluster", "Mode"]

MEMBERS = ("a", "b", "c")
CALLS_PER_SECOND = 1_000
END_S_MAX = 30.0

Mode = tuple[str | None, str | None]
"""What a member accepts and how it dials."""


def _free_ports(count: int) -> list[int]:
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


@dataclass
class Cluster:
    """The members that run, and what those came to that have ended."""

    folder: Path
    age_ms: int
    callers: int
    """Members that make up the load between them: all, or those that are up during a restart."""
    ended: list[dict[str, Any]] = field(default_factory=list)
    addresses: dict[str, str] = field(init=False)
    mounts: dict[str, Mount] = field(init=False)
    _running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Choose ports and make a folder for each member's files."""
        ports = _free_ports(len(MEMBERS))
        self.addresses = {
            name: f"127.0.0.1:{port}" for name, port in zip(MEMBERS, ports, strict=True)
        }
        self.mounts = {name: Mount(self.folder / name) for name in MEMBERS}

    def start(self, names: Sequence[str], mode: Mode) -> None:
        """Start members and wait until they listen."""
        for name in names:
            settings = {
                "name": name,
                "address": self.addresses[name],
                "others": [self.addresses[other] for other in MEMBERS if other != name],
                "mount": str(self.mounts[name].root),
                "rate": CALLS_PER_SECOND / self.callers,
                "age_ms": self.age_ms,
                "accept": mode[0],
                "dial": mode[1],
            }
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "bench.rolling.member", json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        for name in names:
            self._heard(name)

    def statistics(self, name: str) -> dict[str, Any]:
        """What a member has counted so far."""
        self._tell(name, "statistics")
        return self._heard(name)

    def stop(self, *names: str) -> None:
        """End members in order: they call no more and wait for their answers, then they drain.

        Each serves until all of them have their answers.
        """
        for name in names:
            self._tell(name, "stop")
        self.ended += [{"name": name, **self._heard(name)} for name in names]
        for name in names:
            self._tell(name, "close")
        for name in names:
            self._forget(name)

    def _forget(self, name: str) -> None:
        with self._running.pop(name) as program:
            program.wait(END_S_MAX)

    def stop_all(self) -> None:
        """End the members that run."""
        self.stop(*self._running)

    def kill(self) -> None:
        """End what still runs, whatever it does."""
        for name, program in list(self._running.items()):
            program.kill()
            self._forget(name)

    def _tell(self, name: str, word: str) -> None:
        way = self._running[name].stdin
        assert way is not None
        way.write(f"{word}\n")
        way.flush()

    def _heard(self, name: str) -> dict[str, Any]:
        way = self._running[name].stdout
        assert way is not None
        said: dict[str, Any] = json.loads(way.readline())
        return said
