"""One member that runs kinship; the interpreter is that of its own environment."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

from bench.membership import talk

FACTS = {
    "MemberDead": "failed",
    "MemberLeft": "left",
    "MemberSuspect": "suspected",
    "MemberJoined": "joined",
}
LEAVE_SECONDS_MAX = 5.0


async def _tell(cluster: Any, events: Any, size: int) -> None:
    full = False
    async for event in events:
        fact = FACTS.get(type(event).__name__)
        if fact is not None:
            talk.say(fact, member=event.member.name)
        if not full and len(cluster.members()) >= size:
            full = True
            talk.say("full")


async def main() -> None:
    """Join when told to, tell what happens, and leave when told to."""
    kinship: Any = importlib.import_module("kinship")  # which is not where types are checked
    spec = talk.spec()
    config = kinship.Config.lan(
        name=spec.name, bind=f"127.0.0.1:{spec.port}", keys=[spec.key], cluster="bench"
    )
    orders = await talk.Orders.open()
    talk.say("ready")
    if await orders.next() != "join":
        return
    cluster = kinship.Cluster(config)
    await cluster.start()
    task = asyncio.ensure_future(_tell(cluster, cluster.events(), spec.size))
    try:
        await cluster.join(spec.seeds)
        talk.say("answered")
    except kinship.JoinError as error:
        talk.say("unanswered", why=str(error))
    order = await orders.next()
    if order == "leave":
        talk.say("leaving")
        await cluster.leave(LEAVE_SECONDS_MAX)
    await cluster.close()
    task.cancel()


if __name__ == "__main__":
    asyncio.run(main())
