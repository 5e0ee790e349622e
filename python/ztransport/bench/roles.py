"""The broker and the client of a run, each a process of its own.

The broker listens once for each way to be dialled and echoes; the client measures the windows it
is told, one JSON line each. Both end with their standard input.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import trio

import ztransport as zt
from ztransport.bench import variants, windows

__all__ = ["CLUSTER", "LISTENED", "SUBJECT", "Asked", "listen", "negotiated"]

CLUSTER = "bench"
SUBJECT = "echo"
LISTENED = ("plain", "tls", "mtls")


@dataclass(frozen=True, slots=True)
class Asked:
    """One window: whom to dial and how, how many calls in flight, of what size, how long."""

    address: str
    secured: str
    callers: int
    payload_bytes: int
    seconds: float
    pids: list[int]


@asynccontextmanager
async def listen(files: variants.Files, port: int = 0) -> AsyncIterator[dict[str, str]]:
    """Echo on one address for each way to be dialled; yields the addresses by that name.

    A `port` other than 0 is the first of three in a row.
    """
    async with AsyncExitStack() as stack:
        addresses: dict[str, str] = {}
        for index, secured in enumerate(LISTENED):
            address = f"127.0.0.1:{port + index if port else 0}"
            tls = variants.tls_config(secured, files, listening=True)
            node = await stack.enter_async_context(
                zt.open_node(address, cluster=CLUSTER, node_id=f"broker-{secured}", tls=tls)
            )
            node.handle(SUBJECT, lambda message: message.payload)
            assert node.address is not None  # it listens
            addresses[secured] = node.address
        yield addresses


def negotiated(peer: Any) -> dict[str, str] | None:
    """What a dialled connection agreed on; None for plaintext."""
    if peer.tls is None:
        return None
    return {
        "version": str(peer.tls.version),
        "cipher_suite": str(peer.tls.cipher_suite),
        "group": str(peer.tls.group),
    }


async def _broker(files: variants.Files, port: int) -> None:
    async with listen(files, port) as addresses:
        _say(addresses)
        await trio.sleep_forever()


async def _window(files: variants.Files, asked: Asked) -> dict[str, object]:
    tls = variants.tls_config(asked.secured, files, listening=False)
    async with zt.open_node(None, cluster=CLUSTER, node_id="client", tls=tls) as node:
        peer = await node.connect(asked.address)
        call = partial(peer.request, SUBJECT, os.urandom(asked.payload_bytes))
        run = partial(_run_callers, call, asked.callers)
        measured = await windows.measure(run, asked.seconds, asked.pids)
        return {**asdict(measured), "negotiated": negotiated(peer)}


async def _run_callers(call: Any, callers: int, stretch: windows.Phase) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(callers):
            nursery.start_soon(windows.repeat, call, stretch)


def _say(message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main(role: str, files: str, port: str = "0") -> None:
    """Play one role; what goes wrong is the last line on standard error."""
    given = variants.Files(**json.loads(files))
    try:
        if role == "broker":
            threading.Thread(target=_end_with_input, daemon=True).start()
            trio.run(_broker, given, int(port))
        else:
            for line in sys.stdin:
                _say(trio.run(_window, given, Asked(**json.loads(line))))
    except (zt.Error, OSError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
