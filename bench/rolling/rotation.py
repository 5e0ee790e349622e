"""Certificates are swapped, authorities come and go, and all nodes call each other."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import trio

import ztransport
from bench.rolling.cluster import MEMBERS, Cluster
from bench.rolling.findings import Finding, calls
from bench.rolling.mount import issue
from ztransport.certs import Authority, Leaf, create_authority

__all__ = ["rotation"]

SWAPS = 100
AUTHORITIES = 3
AGE_MS = 500
"""Connections are replaced all the time, so that calls depend on handshakes of every step."""
IN_FORCE_S_MAX = 1.0
GIVEN_UP_S = 10.0
LOOK_S = 0.02
WARM_UP_S = 1.0


class Observer:
    """Dials afresh to see which certificate a member shows."""

    def __init__(self, node: ztransport.Node, cluster: Cluster) -> None:
        self._node, self._cluster = node, cluster
        self.waited_s: list[float] = []

    async def wait_for(self, name: str, end: datetime.datetime, since: float) -> None:
        """Dial a member until it shows the certificate that ends then."""
        while time.monotonic() - since < GIVEN_UP_S:
            began = time.monotonic()
            peer = await self._node.connect(self._cluster.addresses[name], pooled=False)
            shown = peer.certificate_not_after
            await peer.aclose()
            if shown == end:
                self.waited_s.append(began - since)
                return
            await trio.sleep(LOOK_S)
        self.waited_s.append(GIVEN_UP_S)


class Rotation:
    """The present authority and the numbers of the leaves it issued."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.authority = create_authority("rolling 0")
        self.trust = self.authority.certificate_pem
        self.number = 0
        self.leaves: dict[str, Leaf] = {}
        for name in MEMBERS:
            self.swap(name)

    def swap(self, name: str) -> datetime.datetime:
        """Give a member a certificate nobody had before; return when it ends."""
        self.number += 1
        self.leaves[name], end = issue(self.authority, self.number)
        self.place(name)
        return end

    def place(self, name: str) -> None:
        """Put a member's certificate and whom it trusts in place."""
        self.cluster.mounts[name].put(self.leaves[name], self.trust)

    def trust_all(self, *authorities: Authority) -> None:
        """Let every member trust these, and wait until each does."""
        self.trust = b"".join(one.certificate_pem for one in authorities)
        before = {name: self._reloads(name) for name in MEMBERS}
        for name in MEMBERS:
            self.place(name)
        for name in MEMBERS:
            while self._reloads(name) == before[name]:
                time.sleep(0.01)

    def _reloads(self, name: str) -> int:
        reloads: int = self.cluster.statistics(name)["tls_reloads"]
        return reloads


def rotation(tell: Callable[[str], None], folder: Path) -> list[Finding]:
    """Swap certificates and authorities under load."""
    cluster = Cluster(folder, AGE_MS, callers=len(MEMBERS))
    state = Rotation(cluster)
    with ExitStack() as stack:
        stack.callback(cluster.kill)
        cluster.start(MEMBERS, (None, None))
        began = time.monotonic()
        observed = trio.run(_observe, state, tell)
        cluster.stop_all()
        seconds = time.monotonic() - began
    return _findings(cluster, observed, seconds)


async def _observe(state: Rotation, tell: Callable[[str], None]) -> list[float]:
    held: dict[str, Leaf] = {"leaf": state.leaves["a"]}
    tls = ztransport.TLSConfig(
        certificate_chain=lambda: held["leaf"].chain_pem,
        private_key=lambda: held["leaf"].key_pem,
        trust=(lambda: state.trust,),
    )
    async with ztransport.open_node(None, cluster="rolling", node_id="observer", tls=tls) as node:
        observer = Observer(node, state.cluster)
        await trio.sleep(WARM_UP_S)
        for turn in range(SWAPS):
            tell(f"swap {turn + 1} of {SWAPS}")
            name = MEMBERS[turn % len(MEMBERS)]
            since = time.monotonic()
            await observer.wait_for(name, state.swap(name), since)
        for turn in range(AUTHORITIES):
            tell(f"authority {turn + 1} of {AUTHORITIES}")
            await _next_authority(state, turn + 1, node, observer, held)
        return observer.waited_s


async def _next_authority(
    state: Rotation,
    number: int,
    node: ztransport.Node,
    observer: Observer,
    held: dict[str, Leaf],
) -> None:
    """Trust both, switch the leaves, trust the new one alone."""
    old, new = state.authority, create_authority(f"rolling {number}")
    await trio.to_thread.run_sync(state.trust_all, old, new)
    await node.reload_tls()
    state.authority = new
    for name in MEMBERS:
        since = time.monotonic()
        await observer.wait_for(name, state.swap(name), since)
    held["leaf"] = state.leaves["a"]
    await trio.to_thread.run_sync(state.trust_all, new)
    await node.reload_tls()


def _findings(cluster: Cluster, waited_s: list[float], seconds: float) -> list[Finding]:
    slowest = max(waited_s)
    dialled = sum(one["dialled"] for one in cluster.ended)
    refused = sum(one["tls_reload_failures"] for one in cluster.ended)
    what = f"{SWAPS} swaps, {AUTHORITIES} authorities"
    figures: dict[str, object] = {"waited_s": waited_s}
    return [
        *calls(what, cluster.ended, seconds),
        Finding(
            f"{len(waited_s)} new chains: shown by new handshakes",
            f"after {slowest:.2f} s at most",
            f"within {IN_FORCE_S_MAX:.0f} s",
            slowest <= IN_FORCE_S_MAX,
            figures,
        ),
        Finding(
            "connections made meanwhile between the nodes",
            f"{dialled} (each lives {AGE_MS} ms at most)",
            f"more than {SWAPS}",
            dialled > SWAPS,
        ),
        Finding("files that were refused", str(refused), "0", refused == 0),
    ]
