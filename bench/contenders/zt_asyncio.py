"""ztransport under asyncio's own loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import ztransport.aio
from bench.contenders.asyncio_protocol import LoopFactory
from bench.contenders.zt_face import FaceContender, Job


class AsyncioFace:
    """An asyncio loop as host loop."""

    module: Any = ztransport.aio

    def __init__(self, name: str, loop_factory: LoopFactory = None) -> None:
        self.name = name
        self._loop_factory = loop_factory

    def run(self, main: Callable[[], Awaitable[Any]]) -> Any:
        async def coroutine() -> Any:
            return await main()

        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            return runner.run(coroutine())

    async def together(self, jobs: list[Job]) -> None:
        await asyncio.gather(*(job() for job in jobs))


CONTENDER = FaceContender(AsyncioFace("ztransport asyncio"))
