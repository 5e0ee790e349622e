"""Looking for work before Trio blocks."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio
from trio.lowlevel import add_instrument, remove_instrument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ztransport._ztransport import Engine
    from ztransport.config import IdleStrategy


class Spin(trio.abc.Instrument):
    """Looks for work for a moment when Trio is about to block: no task is runnable then."""

    def __init__(self, engine: Engine) -> None:
        self._spin = engine.spin

    def before_io_wait(self, timeout: float) -> None:
        """Spin for at most `timeout` seconds, where the engine says that it pays."""
        if timeout > 0:
            self._spin(timeout)


@contextmanager
def spinning(engine: Engine, idle: IdleStrategy) -> Iterator[None]:
    """Let this Trio run spin for the time of the block, unless its engine always sleeps."""
    if idle == "sleep":
        yield
        return
    spin = Spin(engine)
    add_instrument(spin)
    try:
        yield
    finally:
        remove_instrument(spin)
