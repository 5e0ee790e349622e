"""A broker that burns a known amount of CPU for each request: something the suite must find.

How much is in the environment variable BURN_NS, in ns for each request. It is burned apart from the
requests, every few milliseconds for all of them: what delays an answer lets answers go together,
which saves the generator about as much as was burned.
"""

from __future__ import annotations

import argparse
import os
import time

import trio

import ztransport as zt
from ztransport import serving
from ztransport.broker import open_broker

__all__ = ["VARIABLE", "Burner", "main"]

VARIABLE = "BURN_NS"
PERIOD_S = 0.005


class Burner:
    """Echoes, and owes so many ns for every request until they are burned."""

    def __init__(self, ns: float) -> None:
        self._ns = ns
        self._count = 0

    def __call__(self, message: zt.Message) -> bytes:
        """Answer with what was asked."""
        self._count += 1
        return message.payload

    def burn(self) -> None:
        """Spend what is owed, of this thread's CPU time."""
        end = time.thread_time_ns() + int(self._count * self._ns)
        self._count = 0
        while time.thread_time_ns() < end:
            pass

    async def burn_steadily(self) -> None:
        """Burn every few milliseconds until cancelled."""
        while True:
            await trio.sleep(PERIOD_S)
            self.burn()


async def _serve(arguments: argparse.Namespace) -> None:
    burner = Burner(float(os.environ[VARIABLE]))
    async with (
        serving.tasks() as tasks,
        open_broker(
            arguments.listen,
            cluster=arguments.cluster,
            node_id=arguments.node_id,
            tls=serving.tls_of(arguments),
        ) as broker,
    ):
        broker.node.handle("echo", burner)
        tasks.start_soon(burner.burn_steadily)
        await serving.ended(broker.node.address, with_stdin=arguments.end_with_stdin)
        tasks.cancel_scope.cancel()


def main() -> None:
    """Be a broker whose `echo` burns, until it is told to end."""
    serving.run(_serve, serving.options("burner", "Answer requests, and burn."), None)


if __name__ == "__main__":
    main()
