"""A small cluster of real nodes on the loopback interface, for tests of programs that use them."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

from ztransport._trio_loop import Node, open_node

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from ztransport.security import TLSConfig

LOOPBACK_ADDRESS = "127.0.0.1:0"


@asynccontextmanager
async def loopback_cluster(
    node_ids: Sequence[str],
    *,
    cluster: str = "loopback",
    tls: TLSConfig | None = None,
    **settings: Any,
) -> AsyncIterator[list[Node]]:
    """Open one node for each name, all in this Trio run and each on a port of its own.

    ``settings`` are those of `ztransport.open_node`. In plaintext unless ``tls`` is given; its
    certificate must name ``127.0.0.1``.
    """
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(
                open_node(LOOPBACK_ADDRESS, cluster=cluster, node_id=node_id, tls=tls, **settings)
            )
            for node_id in node_ids
        ]
        yield nodes
