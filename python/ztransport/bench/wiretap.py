"""Proof of what the wire carries: every hop of every variant is tapped while a marker is sent.

A tap is a relay on loopback that keeps what it relays. Where a hop is plaintext the marker must
stand in it, in both directions; where it is TLS the marker must not, and the hop must begin with a
TLS handshake record (RFC 8446 section 5.1).
"""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

import ztransport as zt
from ztransport.bench import processes, proxies, report, roles, variants

__all__ = ["HEADERS", "Tap", "prove", "table"]

HEADERS = ["variant", "hop", "expected", "bytes", "begins with", "marker in clear", "as expected"]
HANDSHAKE_RECORD = b"\x16\x03"
READ_BYTES_MAX = 65_536
BEGIN_BYTES = 4


@dataclass(slots=True)
class Tap:
    """One hop and what was heard on it in each direction."""

    variant: str
    hop: str
    expected: str
    towards: bytearray = field(default_factory=bytearray)
    back: bytearray = field(default_factory=bytearray)
    port: int = 0

    def is_clear(self, marker: bytes) -> bool:
        """Whether the marker can be read in either direction."""
        return marker in self.towards or marker in self.back

    def is_as_expected(self, marker: bytes) -> bool:
        """Plaintext hops show the marker both ways, TLS hops nowhere."""
        if self.expected == variants.PLAIN:
            return marker in self.towards and marker in self.back
        return self.towards.startswith(HANDSHAKE_RECORD) and not self.is_clear(marker)


def prove() -> tuple[list[Tap], bytes]:
    """Send a fresh marker through every variant. Raises BenchError and zt.Error."""
    marker = b"marker-" + secrets.token_hex(16).encode()
    with tempfile.TemporaryDirectory(prefix="ztransport-wiretap-") as folder:
        files = variants.issue(Path(folder))
        return trio.run(_prove, files, marker), marker


def table(taps: list[Tap], marker: bytes) -> str:
    """What was heard, hop by hop from the client on."""
    order = list(variants.VARIANTS)
    ordered = sorted(taps, key=lambda tap: (order.index(tap.variant), tap.hop))
    return report.table(HEADERS, [_row(tap, marker) for tap in ordered])


def _row(tap: Tap, marker: bytes) -> list[str]:
    return [
        tap.variant,
        tap.hop,
        tap.expected,
        str(len(tap.towards) + len(tap.back)),
        bytes(tap.towards[:BEGIN_BYTES]).hex(" "),
        "yes" if tap.is_clear(marker) else "no",
        "yes" if tap.is_as_expected(marker) else "NO",
    ]


async def _prove(files: variants.Files, marker: bytes) -> list[Tap]:
    taps: list[Tap] = []
    async with roles.listen(files) as addresses, trio.open_nursery() as nursery:
        for variant in variants.VARIANTS.values():
            async with _way(variant, files, addresses, nursery, taps) as address:
                await _send(variant, files, address, marker)
        nursery.cancel_scope.cancel()
    return taps


@asynccontextmanager
async def _way(
    variant: variants.Variant,
    files: variants.Files,
    addresses: dict[str, str],
    nursery: trio.Nursery,
    taps: list[Tap],
) -> AsyncIterator[str]:
    """Build the way of one variant with a tap in each hop; yields the address to dial."""
    start = partial(_start_tap, nursery, taps, variant)
    broker_port = processes.port_of(addresses[variant.upstream or variant.dialled])
    if variant.upstream is None:
        port = await start("client – broker", variant.dialled, broker_port)
        yield f"127.0.0.1:{port}"
        return
    behind = await start("proxy – broker", variant.upstream, broker_port)
    proxy = variants.proxy(variant, proxies.free_port(), behind, files)
    front = await start("client – proxy", variant.dialled, proxy.port)
    with proxies.Nginx(proxies.find_nginx(), [proxy]):
        yield f"127.0.0.1:{front}"


async def _send(
    variant: variants.Variant, files: variants.Files, address: str, marker: bytes
) -> None:
    tls = variants.tls_config(variant.dialled, files, listening=False)
    async with zt.open_node(None, cluster=roles.CLUSTER, node_id="client", tls=tls) as node:
        peer = await node.connect(address, pooled=False)
        await peer.request(roles.SUBJECT, marker)


async def _start_tap(
    nursery: trio.Nursery,
    taps: list[Tap],
    variant: variants.Variant,
    hop: str,
    expected: str,
    upstream_port: int,
) -> int:
    """Start relaying a new port to another, listening in; returns the new port."""
    tap = Tap(variant.name, hop, expected)
    taps.append(tap)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, partial(_relay, tap, upstream_port), listeners)
    port: int = listeners[0].socket.getsockname()[1]
    return port


async def _relay(tap: Tap, upstream_port: int, accepted: trio.SocketStream) -> None:
    upstream = await trio.open_tcp_stream("127.0.0.1", upstream_port)
    async with accepted, upstream, trio.open_nursery() as nursery:
        nursery.start_soon(_copy, accepted, upstream, tap.towards)
        nursery.start_soon(_copy, upstream, accepted, tap.back)


async def _copy(source: trio.SocketStream, sink: trio.SocketStream, heard: bytearray) -> None:
    try:
        while data := await source.receive_some(READ_BYTES_MAX):
            heard += data
            await sink.send_all(data)
        await sink.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return  # one side ended first, which is how a connection ends
