"""A broker that burns a known amount of CPU for each request: something the suite must find.

How much is in the environment variable BURN_NS, in ns for each request. It goes round an empty loop
instead of looking at a clock, which would take longer than that; and it does so at every request:
a long burn now and then delays what comes after it, which then goes together and is cheaper.
"""

from __future__ import annotations

import argparse
import os
import time

import ztransport as zt
from ztransport import serving
from ztransport.broker import open_broker

__all__ = ["MANY", "VARIABLE", "Burner", "main", "turns"]

VARIABLE = "BURN_NS"
MANY = 100
TIMED_CALLS = 20_000


class Burner:
    """Echoes, and goes so many times round a loop at every request."""

    def __init__(self, count: int) -> None:
        self._turns = range(count)

    def __call__(self, message: zt.Message) -> bytes:
        """Answer with what was asked."""
        _burn(self._turns)
        return message.payload


def _burn(turns: range) -> None:
    for _ in turns:
        pass


def _spent(count: int) -> float:
    """CPU of one burn, in ns."""
    turns = range(count)
    begin = time.thread_time_ns()
    for _ in range(TIMED_CALLS):
        _burn(turns)
    return (time.thread_time_ns() - begin) / TIMED_CALLS


def turns(ns: float, none: float, many: float) -> int:
    """How many turns take so many ns, if none and `MANY` of them take what is given.

    The call is not counted as burned: a broker's own handler costs one as well.
    """
    return round(ns * MANY / (many - none))


async def _serve(arguments: argparse.Namespace) -> None:
    async with open_broker(
        arguments.listen,
        cluster=arguments.cluster,
        node_id=arguments.node_id,
        tls=serving.tls_of(arguments),
    ) as broker:
        count = turns(float(os.environ[VARIABLE]), _spent(0), _spent(MANY))
        broker.node.handle("echo", Burner(count))
        await serving.ended(broker.node.address, with_stdin=arguments.end_with_stdin)


def main() -> None:
    """Be a broker whose `echo` burns, until it is told to end."""
    serving.run(_serve, serving.options("burner", "Answer requests, and burn."), None)


if __name__ == "__main__":
    main()
