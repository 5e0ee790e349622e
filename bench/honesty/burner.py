"""A broker that burns a known amount of CPU for each request: something the suite must find.

How much is in the environment variable BURN_NS, in ns for each request. It is burned for a group of
requests at a time, because clocks are read more slowly than that.
"""

from __future__ import annotations

import argparse
import os
import time

import ztransport as zt
from ztransport import serving
from ztransport.broker import open_broker

__all__ = ["VARIABLE", "Burner", "main"]

VARIABLE = "BURN_NS"
GROUP = 64


class Burner:
    """Echoes, and burns for its whole group at every 64th request."""

    def __init__(self, ns: float) -> None:
        self._ns = int(ns * GROUP)
        self._count = 0

    def __call__(self, message: zt.Message) -> bytes:
        """Answer with what was asked."""
        self._count += 1
        if self._count % GROUP == 0:
            end = time.thread_time_ns() + self._ns
            while time.thread_time_ns() < end:
                pass
        return message.payload


async def _serve(arguments: argparse.Namespace) -> None:
    async with open_broker(
        arguments.listen,
        cluster=arguments.cluster,
        node_id=arguments.node_id,
        tls=serving.tls_of(arguments),
    ) as broker:
        broker.node.handle("echo", Burner(float(os.environ[VARIABLE])))
        await serving.ended(broker.node.address, with_stdin=arguments.end_with_stdin)


def main() -> None:
    """Be a broker whose `echo` burns, until it is told to end."""
    serving.run(_serve, serving.options("burner", "Answer requests, and burn."), None)


if __name__ == "__main__":
    main()
