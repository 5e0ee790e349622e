"""One member that runs ztransport."""

from __future__ import annotations

import asyncio
import base64

import ztransport.aio as zt
from bench.membership import talk


async def _tell(cluster: zt.Cluster, size: int) -> None:
    full = False
    async for event in cluster.events():
        if event.kind != "updated":
            talk.say(event.kind, member=event.member.name)
        if not full and len(cluster.members) >= size:
            full = True
            talk.say("full")


async def main() -> None:
    """Join when told to, tell what happens, and leave when told to."""
    spec = talk.spec()
    orders = await talk.Orders.open()
    talk.say("ready")
    if await orders.next() != "join":
        return
    address = f"127.0.0.1:{spec.port}"
    key = base64.b64decode(spec.key)
    async with (
        zt.open_node(address, cluster="bench", node_id=spec.name, tls=None) as node,
        zt.open_cluster(node, seeds=spec.seeds, key=key) as cluster,
    ):
        task = asyncio.ensure_future(_tell(cluster, spec.size))
        talk.say("answered")
        if await orders.next() == "leave":
            talk.say("leaving")
            await cluster.leave()
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
