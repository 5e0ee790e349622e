"""ztransport under Trio."""

from collections.abc import Awaitable, Callable
from typing import Any

import trio

import ztransport
from bench.contenders.zt_face import FaceContender, Job


class TrioFace:
    """Trio as host loop."""

    name = "ztransport trio"
    module: Any = ztransport

    def run(self, main: Callable[[], Awaitable[Any]]) -> Any:
        return trio.run(main)

    async def together(self, jobs: list[Job]) -> None:
        async with trio.open_nursery() as nursery:
            for job in jobs:
                nursery.start_soon(job)


CONTENDER = FaceContender(TrioFace())
