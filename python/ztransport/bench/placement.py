"""Two hosts on two cores: which role runs where, alike for every variant."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

__all__ = [
    "ON_CLIENT",
    "ROLES",
    "Placement",
    "parsed_list",
    "placement",
    "siblings_of",
    "two_cores",
]

ROLES = ("generator", "client_proxy", "server_proxy", "gateway", "broker")
ON_CLIENT = ("generator", "client_proxy")
SIBLINGS = "/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"

Placement = dict[str, int]


def placement() -> Placement:
    """A core for each role: the client's roles share one, all others the other.

    Of the cores this process may use, the first and the first that is no hardware thread of it.
    With one core, everything shares it.
    """
    client, server = two_cores(sorted(os.sched_getaffinity(0)), siblings_of)
    return {role: client if role in ON_CLIENT else server for role in ROLES}


def two_cores(usable: list[int], siblings: Callable[[int], set[int]]) -> tuple[int, int]:
    """The client's core and the server's, of at least one usable core."""
    first = usable[0]
    apart = [core for core in usable[1:] if core not in siblings(first)]
    return first, (apart or usable[1:] or usable)[0]


def siblings_of(core: int) -> set[int]:
    """The hardware threads of a core's physical core; itself where that is not told."""
    try:
        text = Path(SIBLINGS.format(core=core)).read_text()
    except OSError:
        return {core}
    return parsed_list(text)


def parsed_list(text: str) -> set[int]:
    """The numbers of a kernel list such as "0,2-3"."""
    found: set[int] = set()
    for part in text.strip().split(","):
        low, _, high = part.partition("-")
        found |= set(range(int(low), int(high or low) + 1))
    return found
