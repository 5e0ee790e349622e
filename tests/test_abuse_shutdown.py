"""T30: a node can be left whatever its peers and handlers do."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import trio

import ztransport as zt
from bench.abuse import wire

CLUSTER = "tests"


def _open(address: str | None, node_id: str, **options: Any) -> Any:
    return zt.open_node(address, cluster=CLUSTER, node_id=node_id, tls=None, **options)


def _dial(address: str) -> socket.socket:
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)))


@pytest.mark.parametrize(
    "said",
    [
        b"",
        wire.PREFACE[:3],
        wire.PREFACE + wire.hello(CLUSTER)[:20],
        wire.PREFACE
        + wire.hello(CLUSTER)
        + wire.subject(1, "echo")
        + wire.first_fragment(1, wire.request_id(1, 0), 1 << 20, bytes(4096)),
    ],
    ids=["silent", "half a preface", "half a greeting", "an unfinished message"],
)
async def test_t30_an_unfinished_peer_does_not_hold_a_node_up(said: bytes) -> None:
    # The grace is over at once: what counts is that the block ends, not when.
    async with _open("127.0.0.1:0", "server", drain_timeout=0) as server:
        server.handle("echo", lambda message: message.payload)
        sock = await trio.to_thread.run_sync(_dial, server.address)
        sock.sendall(said)
        while not server.statistics().accepted:
            await trio.lowlevel.checkpoint()
    with sock:
        assert await trio.to_thread.run_sync(_read_to_end, sock) is not None


def _read_to_end(sock: socket.socket) -> bytes:
    found = b""
    try:
        while chunk := sock.recv(4096):
            found += chunk
    except ConnectionResetError:
        pass
    return found


async def test_t30_handlers_that_never_return_are_cancelled_and_their_callers_told() -> None:
    began, cancelled = trio.Event(), trio.Event()

    async def never(_: Any) -> bytes:
        began.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with _open(None, "caller") as caller:
        errors: list[zt.Error] = []

        async def call(peer: Any) -> None:
            try:
                await peer.request("never", b"", timeout=None)
            except zt.Error as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            async with _open("127.0.0.1:0", "server", drain_timeout=0) as server:
                server.handle("never", never)
                peer = await caller.connect(server.address, pooled=False)
                nursery.start_soon(call, peer)
                await began.wait()
            await cancelled.wait()
        assert isinstance(errors[0], zt.ShuttingDown | zt.ConnectionLost), errors
