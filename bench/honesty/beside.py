"""Programs that run beside what is measured."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from ztransport.bench.processes import Program, scratch_folder

__all__ = ["HOG", "IDLER", "beside"]

HOG = "while True: pass"
# Takes only what nobody else wants, so that the core does not sleep.
IDLER = "import os; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\n" + HOG


@contextmanager
def beside(code: str, cores: Sequence[int]) -> Iterator[None]:
    """Run the Python program once on each core given, for the time of the block."""
    with scratch_folder("beside") as folder, ExitStack() as running:
        for core in cores:
            program = Program("beside", [sys.executable, "-c", code], folder / "errors", core=core)
            running.callback(program.close)
        yield
