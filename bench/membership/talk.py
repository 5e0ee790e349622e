"""How a member's process talks to the run: orders on standard input, facts on standard output.

Imported by members of either kind, whose interpreters have nothing in common but the library.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Spec:
    """What a member is told at its start."""

    name: str
    port: int
    seeds: list[str]
    size: int
    key: str


def spec() -> Spec:
    """The one this process was started with."""
    return Spec(**json.loads(sys.argv[1]))


def say(fact: str, **more: Any) -> None:
    """Print one fact with the time of the machine's monotonic clock."""
    line = json.dumps({"fact": fact, "at": time.monotonic(), **more})
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Orders:
    """Orders as they come, one word a line."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    @classmethod
    async def open(cls) -> Orders:
        """Read standard input without blocking the loop."""
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        return cls(reader)

    async def next(self) -> str:
        """The next order, or ``end`` when the run has gone."""
        line = await self._reader.readline()
        return line.decode().strip() or "end"
