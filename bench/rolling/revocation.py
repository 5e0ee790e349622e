"""Certificates are revoked while their owners are connected."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

import ztransport
from bench.rolling.findings import Finding
from bench.rolling.mount import Mount, issue, revoke
from ztransport.certs import Authority, Leaf, create_authority

__all__ = ["revocation"]

REVOKED = 10
CLOSED_S_MAX = 5.0


def revocation(tell: Callable[[str], None], folder: Path) -> list[Finding]:
    """Revoke one certificate after the other by a new list on disk."""
    waited_s, is_honest_served = trio.run(_measure, tell, folder)
    slowest = max(waited_s)
    return [
        Finding(
            f"{REVOKED} certificates revoked: their connections closed",
            f"after {slowest:.2f} s at most",
            f"within {CLOSED_S_MAX:.0f} s",
            slowest <= CLOSED_S_MAX,
            {"waited_s": waited_s},
        ),
        Finding(
            "a connection of another certificate",
            "kept" if is_honest_served else "lost",
            "kept",
            is_honest_served,
        ),
    ]


async def _measure(tell: Callable[[str], None], folder: Path) -> tuple[list[float], bool]:
    authority, mount = create_authority("revoking"), Mount(folder / "node")
    own, _ = issue(authority, 0)
    mount.put(own, authority.certificate_pem, revoke(authority, []))
    lists = mount.root / "..data" / "lists.pem"
    tls = mount.tls(client_auth="required", crl_paths=(lists,))
    revoked: list[Leaf] = []
    waited_s = []
    async with (
        ztransport.open_node("127.0.0.1:0", cluster="rolling", node_id="node", tls=tls) as node,
        _dialler(authority, REVOKED + 1)[1] as honest,
    ):
        node.handle("echo", lambda message: message.payload)
        kept = await honest.connect(str(node.address), pooled=False)
        for turn in range(REVOKED):
            tell(f"certificate {turn + 1} of {REVOKED}")
            leaf, dialling = _dialler(authority, turn + 1)
            async with dialling as dialler:
                peer = await dialler.connect(str(node.address), pooled=False)
                revoked.append(leaf)
                since = time.monotonic()
                mount.put(own, authority.certificate_pem, revoke(authority, revoked))
                await peer.wait_closed()
                waited_s.append(time.monotonic() - since)
        return waited_s, kept.is_up and await kept.request("echo", b"x") == b"x"


def _dialler(authority: Authority, number: int) -> tuple[Leaf, Any]:
    leaf, _ = issue(authority, number)
    tls = ztransport.TLSConfig(certificate_chain=leaf.chain_pem, private_key=leaf.key_pem)
    opened = ztransport.open_node(None, cluster="rolling", node_id=f"dialler-{number}", tls=tls)
    return leaf, opened
