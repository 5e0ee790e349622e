"""Trio with no transport at all: what it costs to put a call's task to sleep and wake it again.

Not a transport but the ceiling of any that gives each call its own wait under Trio: tasks sleep as
a call does, and one more task wakes all of them at once, as a turn of the engine does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import outcome
import trio
from trio.lowlevel import (
    Abort,
    Task,
    checkpoint,
    current_task,
    reschedule,
    wait_task_rescheduled,
)

from bench.contenders.protocol import CALLS, WORKS, Config, Sample, measure_calls
from ztransport.bench.windows import Phase, repeat


class TrioAlone:
    """Sleeping and waking, in one process."""

    name = "trio alone"
    works = frozenset({CALLS})

    def serve(self, config: Config, ready: Callable[[int], None]) -> None:
        """Stand in for a server: there is nothing to ask."""
        ready(config.port)
        threading.Event().wait()

    def drive(self, config: Config) -> Sample:
        """Measure one window."""
        return trio.run(_drive, config)


async def _drive(config: Config) -> Sample:
    async def run(stretch: Phase) -> None:
        asleep: list[Task] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_wake, asleep, nursery)
            for _ in range(WORKS[CALLS].callers):
                nursery.start_soon(repeat, lambda: _call(asleep), stretch)

    return await measure_calls(config, run)


async def _call(asleep: list[Task]) -> bytes:
    asleep.append(current_task())
    reply: bytes = await wait_task_rescheduled(lambda _: Abort.SUCCEEDED)
    return reply


async def _wake(asleep: list[Task], nursery: trio.Nursery) -> None:
    """Wake all that sleep, turn by turn, until no caller is left."""
    while len(nursery.child_tasks) > 1:
        await checkpoint()
        for task in asleep:
            reschedule(task, outcome.Value(b""))
        asleep.clear()


CONTENDER = TrioAlone()
