"""The load generator against real nodes on the loopback: what it counts, never how fast."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

import ztransport as zt
from ztransport._ztransport import Histogram
from ztransport.broker import OFFSET, open_broker
from ztransport.certs import Authority

CLUSTER = "bench"
LOOPBACK = "127.0.0.1:0"
# Longer than any test may take: such a window ends because of what happens in it.
ENDLESS_S = 3_000.0


class Generator:
    """A generator's process."""

    def __init__(self, process: trio.Process) -> None:
        self.process = process
        self._lines = self._read()

    async def _read(self) -> AsyncIterator[bytes]:
        assert self.process.stdout is not None
        rest = b""
        async for data in self.process.stdout:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield line

    async def ask(self, line: bytes) -> list[dict[str, Any]]:
        """Everything that is said about one line: its last event is its result or refusal."""
        assert self.process.stdin is not None
        await self.process.stdin.send_all(line + b"\n")
        said: list[dict[str, Any]] = []
        async for answer in self._lines:
            said.append(json.loads(answer))
            if said[-1]["event"] in ("result", "refused"):
                break
        return said

    async def measure(self, address: str | None, **asked: Any) -> dict[str, Any]:
        """One window's result, or its refusal."""
        return (await self.ask(window(address, **asked)))[-1]


def window(address: str | None, **asked: Any) -> bytes:
    """A line that asks for a short plaintext window of requests."""
    task: dict[str, Any] = {
        "address": address,
        "secured": "plain",
        "cluster": CLUSTER,
        "pattern": "request",
        "subject": "echo",
        "payload_bytes": 128,
        "window": 4,
        "load": {"mode": "closed"},
        "seconds": 0.02,
    }
    return json.dumps(task | asked).encode()


def rate(per_second: float, arrivals: str = "constant", seed: int = 7) -> dict[str, Any]:
    return {"mode": "open", "rate": per_second, "arrivals": arrivals, "seed": seed}


def histograms(result: dict[str, Any]) -> dict[str, Histogram]:
    assert result["event"] == "result", result
    coded = result["histograms"].items()
    return {name: Histogram.decode(base64.b64decode(text)) for name, text in coded}


@asynccontextmanager
async def generator() -> AsyncIterator[Generator]:
    """A generator that must end in order when its input does."""
    command = [sys.executable, "-m", "ztransport.bench.generator"]
    pipe = subprocess.PIPE
    process = await trio.lowlevel.open_process(command, stdin=pipe, stdout=pipe)
    try:
        yield Generator(process)
        assert process.stdin is not None
        await process.stdin.aclose()
        assert await process.wait() == 0
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


@asynccontextmanager
async def echo(
    handler: Callable[[zt.Message], Any] = lambda message: message.payload, **settings: Any
) -> AsyncIterator[zt.Node]:
    chosen: dict[str, Any] = {"tls": None, **settings}
    async with zt.open_node(LOOPBACK, cluster=CLUSTER, node_id="echo", **chosen) as node:
        node.handle("echo", handler)
        yield node


async def test_a_closed_loop_completes_what_it_sends() -> None:
    async with echo() as node, generator() as running:
        said = await running.ask(window(node.address, connections=3))
        assert [line["event"] for line in said] == ["begin", "end", "result"]
        result = said[-1]
        found = histograms(result)
        assert result["sent"] == result["completed"] == found["service"].count > 0
        assert (result["errors"], result["in_flight_capped"]) == ({}, 0)
        assert result["seconds"] >= 0.02
        assert 0 < result["in_flight_mean"] <= 12.001
        assert found["response"] == found["service"]
        assert found["send_delay"].count == 0
        assert result["negotiated"] is None


async def test_an_open_loop_sends_its_whole_schedule() -> None:
    async with echo() as node, generator() as running:
        result = await running.measure(node.address, load=rate(2_000), seconds=0.05)
        found = histograms(result)
        assert result["sent"] == result["completed"] == 100
        assert {name: counted.count for name, counted in found.items()} == {
            "response": 100,
            "service": 100,
            "send_delay": 100,
        }
        assert found["response"].max >= found["service"].max


async def test_the_same_seed_gives_the_same_schedule() -> None:
    async with echo() as node, generator() as running:
        sent = [
            (await running.measure(node.address, load=rate(3_000, "poisson", seed)))["sent"]
            for seed in (1, 1, 2, 3, 4)
        ]
        assert sent[0] == sent[1]
        assert len(set(sent)) > 1


async def test_a_cap_is_counted_and_holds() -> None:
    running_now = most = 0

    async def slow(message: zt.Message) -> bytes:
        nonlocal running_now, most
        running_now += 1
        most = max(most, running_now)
        await trio.lowlevel.checkpoint()
        running_now -= 1
        return message.payload

    async with echo(slow) as node, generator() as running:
        # All of them are due at once, three may be in flight.
        result = await running.measure(node.address, load=rate(1e8), seconds=1e-6, in_flight_max=3)
        assert result["sent"] == result["completed"] == 100
        assert result["in_flight_capped"] >= 97
        assert most <= 3


async def test_the_receivers_credit_is_a_cap() -> None:
    async with echo(limits=zt.Limits(request_window_count=64)) as node, generator() as running:
        result = await running.measure(node.address, load=rate(1e8), seconds=1e-6)
        assert (result["sent"], result["completed"]) == (100, 100)
        assert result["in_flight_capped"] >= 36


async def test_a_warm_up_is_not_counted() -> None:
    calls = 0

    def count(message: zt.Message) -> bytes:
        nonlocal calls
        calls += 1
        return message.payload

    async with echo(count) as node, generator() as running:
        result = await running.measure(node.address, load=rate(1_000), seconds=0.02, warm_up_s=0.01)
        assert (result["sent"], result["completed"], calls) == (20, 20, 30)


@pytest.mark.parametrize(
    ("error", "name"),
    [(zt.Overloaded("no room"), "Overloaded"), (ValueError("a bug"), "HandlerFailure")],
)
async def test_faults_are_counted_by_name(error: Exception, name: str) -> None:
    def refuse(_: zt.Message) -> bytes:
        raise error

    async with echo(refuse) as node, generator() as running:
        result = await running.measure(node.address, load=rate(1_000))
        assert result["errors"] == {name: 20}
        assert (result["sent"], result["completed"]) == (20, 0)
        assert histograms(result)["service"].count == 0
        nobody = await running.measure(node.address, load=rate(1_000), subject="nobody")
        assert nobody["errors"] == {"NoHandler": 20}


async def test_a_wrong_reply_is_an_error() -> None:
    async with echo(lambda _: b"short") as node, generator() as running:
        result = await running.measure(node.address, load=rate(1_000))
        assert result["errors"] == {"WrongReply": 20}


@pytest.mark.parametrize("load", [{"mode": "closed"}, rate(1_000)], ids=["closed", "open"])
async def test_a_lost_server_ends_the_window_and_not_the_process(load: dict[str, Any]) -> None:
    calls = 0

    async def leave(message: zt.Message) -> bytes:
        nonlocal calls
        calls += 1
        if calls >= 10:
            await message.peer.aclose()
        return message.payload

    async with generator() as running:
        async with echo(leave) as node:
            result = await running.measure(
                node.address, load=load, connections=2, seconds=ENDLESS_S
            )
            assert result["completed"] < result["sent"]
            assert result["errors"]["ConnectionLost"] >= 1
        async with echo() as node:
            assert (await running.measure(node.address))["errors"] == {}


async def test_a_server_that_drains_is_an_error() -> None:
    called = trio.Event()

    def call(message: zt.Message) -> bytes:
        called.set()
        return message.payload

    async def serve(task_status: trio.TaskStatus[str | None]) -> None:
        async with echo(call) as node:
            task_status.started(node.address)
            await called.wait()

    async with generator() as running, trio.open_nursery() as nursery:
        address = await nursery.start(serve)
        result = await running.measure(address, seconds=ENDLESS_S)
        assert result["errors"] == {"ShuttingDown": 1}


async def test_what_cannot_be_measured_is_refused_in_one_line() -> None:
    async with echo() as node, generator() as running:
        refused: list[tuple[dict[str, Any], str]] = [
            ({"seconds": -1}, "seconds is -1"),
            ({"payload_bytes": (4 << 20) + 1}, "payload_bytes"),
            ({"connections": 0}, "connections is 0"),
            ({"unknown": 1}, "unknown field"),
            ({"pattern": "dance"}, "dance"),
            ({"cluster": "another"}, "WrongCluster"),
            ({"secured": "tls"}, "trust"),
            ({"load": rate(1e9), "seconds": 1}, "sends in a window"),
            ({"pattern": "publish", "payload_bytes": 15, "subscribers": 1}, "payload_bytes is 15"),
            ({"pattern": "publish"}, "subscriber"),
            ({"pattern": "publish", "subscribers": 1}, "NoHandler"),
            ({"address": "127.0.0.1:1"}, "ConnectFailed"),
            ({"address": "no address"}, "is not an address"),
        ]
        for asked, reason in refused:
            said = await running.ask(window(**{"address": node.address, **asked}))
            assert [line["event"] for line in said] == ["refused"], asked
            assert reason in said[0]["error"], asked
            assert "\n" not in said[0]["error"]
        assert (await running.ask(b"{"))[-1]["event"] == "refused"
        assert (await running.measure(node.address))["errors"] == {}


async def test_every_new_connection_is_one() -> None:
    async with echo() as node, generator() as running:
        result = await running.measure(node.address, pattern="connect", load=rate(1_000))
        assert result["sent"] == result["completed"] == 20
        assert node.statistics().accepted == 20


async def test_tls_says_what_was_negotiated(authority: Authority, tmp_path: Path) -> None:
    chain, key = authority.issue(["localhost"]).write(tmp_path, "echo")
    trust = tmp_path / "trust.pem"
    trust.write_bytes(authority.certificate_pem)
    tls = zt.TLSConfig(
        certificate_chain_path=str(chain),
        private_key_path=str(key),
        trust=(str(trust),),
        client_auth="required",
    )
    files = {"chain": str(chain), "key": str(key), "trust": str(trust)}
    async with echo(tls=tls) as node, generator() as running:
        asked = {"secured": "mtls", "server_name": "localhost", **files}
        agreed = {
            "version": "TLSv1.3",
            "cipher_suite": "TLS_AES_128_GCM_SHA256",
            "group": "X25519",
        }
        for pattern in ("request", "connect"):
            result = await running.measure(node.address, pattern=pattern, **asked)
            assert (result["negotiated"], result["errors"]) == (agreed, {})
        other = {**asked, "cipher_suites": ["TLS_AES_256_GCM_SHA384"], "groups": ["SECP256R1"]}
        result = await running.measure(node.address, **other)
        assert result["negotiated"]["cipher_suite"] == "TLS_AES_256_GCM_SHA384"
        refused = await running.measure(node.address, secured="tls", trust=str(trust))
        assert "TLSError" in refused["error"]


@pytest.mark.parametrize(("publishers", "subscribers"), [(1, 1), (1, 3), (3, 1)])
@pytest.mark.parametrize("load", [{"mode": "closed"}, rate(3_000)], ids=["closed", "open"])
async def test_every_subscriber_gets_every_message(
    publishers: int, subscribers: int, load: dict[str, Any]
) -> None:
    async with (
        open_broker(LOOPBACK, cluster=CLUSTER, node_id="broker", tls=None) as broker,
        generator() as running,
    ):
        for _ in range(2):  # the second window finds the queue as the first has left it
            result = await running.measure(
                broker.node.address,
                pattern="publish",
                subject="orders",
                publishers=publishers,
                subscribers=subscribers,
                load=load,
            )
            assert result["errors"] == {}
            assert result["completed"] == result["sent"] * subscribers > 0
            found = histograms(result)
            assert found["service"].count == result["completed"]
            assert found["response"].max >= found["service"].max


async def test_a_full_queue_is_counted_and_publishing_goes_on() -> None:
    """A broker whose queue takes five messages of every stream and then says that it is full."""
    streams = 0
    send, receive = trio.open_memory_channel[list[bytes]](1_000)

    async def publish(stream: zt.Stream) -> None:
        nonlocal streams
        streams += 1
        taken = 0
        async for batch in stream.batches(hold=True):
            fitting = batch[: 5 - taken]
            await send.send(fitting)
            taken += len(fitting)
            stream.acknowledge(taken)
            if len(fitting) < len(batch):
                raise zt.Overloaded("full")

    async def subscribe(stream: zt.Stream) -> None:
        await stream.send(OFFSET.pack(0))
        async for batch in receive:
            await stream.send_many(batch)

    async with echo() as node, generator() as running:
        node.handle_stream("publish", publish)
        node.handle_stream("subscribe", subscribe)
        result = await running.measure(
            node.address,
            pattern="publish",
            subject="orders",
            subscribers=1,
            load=rate(1e8),
            seconds=1e-6,
            in_flight_max=40,
        )
        assert set(result["errors"]) == {"Overloaded"}
        assert result["completed"] + result["errors"]["Overloaded"] == result["sent"] == 100
        assert streams > 1
        await send.aclose()


async def test_a_lost_broker_ends_a_publish_window() -> None:
    peers: list[zt.Peer] = []

    async def publish(stream: zt.Stream) -> None:
        async for _ in stream.batches():
            for peer in [*peers, stream.peer]:
                await peer.aclose()

    async def subscribe(stream: zt.Stream) -> None:
        peers.append(stream.peer)
        await stream.send(OFFSET.pack(0))
        await trio.sleep_forever()

    async with echo() as node, generator() as running:
        node.handle_stream("publish", publish)
        node.handle_stream("subscribe", subscribe)
        result = await running.measure(
            node.address, pattern="publish", subject="a", subscribers=2, seconds=ENDLESS_S
        )
        assert result["completed"] == 0
        assert result["errors"]["ConnectionLost"] >= 3
        assert (await running.measure(node.address))["errors"] == {}


def test_the_interpreter_lock_is_free_while_it_measures(tmp_path: Path) -> None:
    """The node it measures runs in a thread of the same process: held, the lock would stop it."""
    program = """
import sys, threading, trio, ztransport as zt
from ztransport._ztransport import run_generator

def serve():
    async def main():
        async with zt.open_node(sys.argv[1], cluster="bench", node_id="echo", tls=None) as node:
            node.handle("echo", lambda message: message.payload)
            listening.set()
            await trio.sleep_forever()
    trio.run(main)

listening = threading.Event()
threading.Thread(target=serve, daemon=True).start()
listening.wait()
run_generator()
sys.stdout.flush()
"""
    address = f"unix:{tmp_path / 'echo.sock'}"
    done = subprocess.run(
        [sys.executable, "-c", program, address],
        input=window(address) + b"\n",
        capture_output=True,
        check=True,
        timeout=60,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["completed"] == result["sent"] > 0
    assert result["errors"] == {}


async def test_a_line_without_end_ends_the_process() -> None:
    command = [sys.executable, "-m", "ztransport.bench.generator"]
    done = await trio.run_process(command, stdin=b"x" * (1 << 17), check=False, capture_stderr=True)
    assert done.returncode != 0
    assert b"longer than 64 KiB" in done.stderr
