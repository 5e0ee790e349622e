"""A running proxy with a folder of its own."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Self

from ztransport.bench.fairness import Files
from ztransport.bench.processes import BenchError, Program, scratch_folder
from ztransport.bench.proxies.model import Kind, Leg, Tool

__all__ = ["Proxy"]

READY_S_MAX = 10.0
POLL_S = 0.01


class Proxy:
    """A proxy that relays its legs while it is entered; leaving ends process and folder."""

    def __init__(
        self,
        kind: Kind,
        tool: Tool,
        legs: Sequence[Leg],
        files: Files,
        core: int | None = None,
    ) -> None:
        self.kind = kind
        self._tool, self._legs, self._files, self._core = tool, legs, files, core
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.folder = folder = stack.enter_context(scratch_folder(self.kind.name))
            texts = self.kind.configure(self._tool, self._legs, self._files)
            for name, text in texts.items():
                (folder / name).write_text(text)
            self.program = Program(
                self.kind.name,
                self.kind.command(self._tool, folder),
                folder / "stderr",
                core=self._core,
            )
            stack.callback(self.program.close)
            self._wait_ready()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _wait_ready(self) -> None:
        end = time.monotonic() + READY_S_MAX
        while not self._is_ready():
            if self.program.ended is not None or time.monotonic() > end:
                raise BenchError(f"{self.kind.name} did not start: {self.program.last_words()}")
            time.sleep(POLL_S)

    def _is_ready(self) -> bool:
        enough = len(self.program.pids) >= self.kind.processes_min
        return enough and all(_connects(leg.port) for leg in self._legs)


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
