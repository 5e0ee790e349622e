"""A member of a cluster in a process of its own: it tells on request what it has seen."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import trio

import ztransport as zt
from bench.abuse.server import asked, say

CLUSTER = "abuse"
KEY = bytes(range(32))


@dataclass(frozen=True, slots=True)
class Setup:
    """What a member is started with."""

    name: str
    seeds: list[str]
    core: int


def facts(cluster: zt.Cluster, seen: Counter[str]) -> dict[str, Any]:
    """Who is there, what has happened to whom, and the counters."""
    counted = cluster.statistics()
    return {
        "members": [member.name for member in cluster.members],
        "seen": dict(seen),
        "health": counted.health,
        "dropped": dict(counted.dropped),
        "received": counted.datagrams_received,
        "sent": counted.datagrams_sent,
        "refutations": counted.refutations,
        "deaths": counted.deaths,
    }


async def _watch(cluster: zt.Cluster, seen: Counter[str]) -> None:
    async for event in cluster.events():
        seen[f"{event.kind} {event.member.name}"] += 1


async def _serve(setup: Setup) -> None:
    seen: Counter[str] = Counter()
    opened = zt.open_node("127.0.0.1:0", cluster=CLUSTER, node_id=setup.name, tls=None)
    async with (
        opened as node,
        zt.open_cluster(node, seeds=setup.seeds, key=KEY) as cluster,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_watch, cluster, seen)
        say({"address": node.address})
        async for question in asked():
            if question != "facts":
                time.sleep(question["stall"])  # noqa: ASYNC251 - the loop is to stand still
            say(facts(cluster, seen))
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    chosen = Setup(**json.loads(sys.argv[1]))
    os.sched_setaffinity(0, {chosen.core})
    trio.run(_serve, chosen)
