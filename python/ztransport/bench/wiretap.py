"""Proof of what the wire carries: every hop of every variant is tapped while a marker is sent.

A tap is a relay on loopback that keeps what it relays. Where a hop is plaintext the marker must
stand in it, in both directions; where it is TLS the marker must not, and the hop must begin with a
TLS handshake record (RFC 8446 section 5.1).
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import trio

import ztransport as zt
from ztransport.bench import fairness, processes, report, variants
from ztransport.bench.fairness import Files
from ztransport.bench.processes import scratch_folder
from ztransport.bench.proxies import KINDS, Leg, Ports, Proxy
from ztransport.bench.variants import TLS, Variant

__all__ = ["HEADERS", "Tap", "possible", "prove", "table"]

HEADERS = ["variant", "hop", "expected", "bytes", "begins with", "marker in clear", "as expected"]
HANDSHAKE_RECORD = b"\x16\x03"
READ_BYTES_MAX = 65_536
LOOPBACK, CLUSTER, SUBJECT = "127.0.0.1:0", "wiretap", "echo"
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


def possible(tools: Collection[str]) -> list[Variant]:
    """The variants that need no other proxies than these; a twin shows nothing new."""
    every = [one for one in variants.VARIANTS.values() if one.name not in variants.TWINS]
    return [one for one in every if one.proxy is None or one.proxy in tools]


def prove(chosen: Sequence[Variant]) -> tuple[list[Tap], bytes]:
    """Send a fresh marker through some variants. Raises BenchError and zt.Error."""
    marker = b"marker-" + secrets.token_hex(16).encode()
    with scratch_folder("wiretap") as folder:
        return trio.run(_prove, chosen, fairness.issue(folder), marker), marker


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


async def _prove(chosen: Sequence[Variant], files: Files, marker: bytes) -> list[Tap]:
    taps: list[Tap] = []
    async with trio.open_nursery() as nursery:
        for variant in chosen:
            start = partial(_start_tap, nursery, taps, variant)
            async with _echo(variant, files) as port, _way(variant, files, port, start) as entry:
                await _send(variant, files, entry, marker)
        nursery.cancel_scope.cancel()
    return taps


@asynccontextmanager
async def _echo(variant: Variant, files: Files) -> AsyncIterator[int]:
    """A broker that answers with what it is asked; yields its port."""
    tls = fairness.tls_config(variant.listened, files, listening=True)
    async with zt.open_node(LOOPBACK, cluster=CLUSTER, node_id="broker", tls=tls) as node:
        node.handle(SUBJECT, lambda message: message.payload)
        assert node.address is not None  # it listens
        yield processes.port_of(node.address)


@asynccontextmanager
async def _way(
    variant: Variant, files: Files, port: int, start: Callable[[str, str, int], Awaitable[int]]
) -> AsyncIterator[int]:
    """Build the way of one variant with a tap in each hop; yields the port to dial."""
    if variant.proxy is None:
        yield await start("client – broker", variant.dialled, port)
        return
    kind, ports = KINDS[variant.proxy], Ports()
    tool = kind.find()
    with ExitStack() as running:
        behind = await start("proxy – broker", variant.listened, port)
        leg = Leg(ports.take(), behind, accepts_tls=variant.shape != "plain")
        running.enter_context(Proxy(kind, tool, [leg], files))
        if variant.shape == "mesh":
            between = await start("proxy – proxy", TLS, leg.port)
            leg = Leg(ports.take(), between, dials_tls=True)
            running.enter_context(Proxy(kind, tool, [leg], files))
        yield await start("client – proxy", variant.dialled, leg.port)


async def _send(variant: Variant, files: Files, port: int, marker: bytes) -> None:
    tls = fairness.tls_config(variant.dialled, files, listening=False)
    if tls is not None:
        tls = dataclasses.replace(tls, require_alpn=variant.require_alpn)
    async with zt.open_node(None, cluster=CLUSTER, node_id="client", tls=tls) as node:
        peer = await node.connect(f"127.0.0.1:{port}", pooled=False)
        await peer.request(SUBJECT, marker)


async def _start_tap(
    nursery: trio.Nursery,
    taps: list[Tap],
    variant: Variant,
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
