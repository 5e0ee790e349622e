"""A real Zeebe node calls us and we call it, over plaintext and TLS, with each compression.

The other side is tests/interop/ZeebePeer.java on Zeebe's own messaging classes; `make test` builds
it. Without a JDK or a registry these tests are skipped and say why.
"""

from __future__ import annotations

import queue
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import trio

import ztransport as zt
from ztransport import certs

BUILT = Path(__file__).parent.parent / "target" / "interop"
CLUSTER = "zeebe-cluster"
LOOPBACK = ["127.0.0.1", "localhost"]
ANSWER_SECONDS_MAX: Final = 55.0
TWENTY_MIB = 20 << 20
LARGE = zt.Limits(zeebe_message_bytes_max=32 << 20)


class ZeebePeer:
    """The Java process: one line in, one line out."""

    def __init__(self, arguments: list[str], errors: Path) -> None:
        java = (BUILT / "java").read_text().strip()
        self._errors = errors
        classes = f"{BUILT / 'classes'}:{BUILT / 'jars'}/*"
        options = ["-Xmx512m", "-XX:TieredStopAtLevel=1", "--enable-native-access=ALL-UNNAMED"]
        with errors.open("wb") as log:
            self.process = subprocess.Popen(
                [java, *options, "-cp", classes, "ZeebePeer", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        word, _, self.address = self._line().partition(" ")
        assert word == "ready"

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())
        self._lines.put("")

    def _line(self) -> str:
        line = self._lines.get(timeout=ANSWER_SECONDS_MAX)
        assert line, f"the Java peer ended: {self._errors.read_text()[-2000:]}"
        return line

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._line()

    async def do(self, *words: object) -> str:
        """Let the peer do something while this loop goes on."""
        return await trio.to_thread.run_sync(self.ask, " ".join(map(str, words)))

    def end(self) -> None:
        self.process.kill()
        self._reader.join()
        with self.process:
            pass


@dataclass
class Pair:
    """A Zeebe peer, and how to open nodes that match it."""

    zeebe: ZeebePeer
    compression: Any
    tls: zt.TLSConfig | None

    def open(
        self, address: str | None = "127.0.0.1:0", limits: zt.Limits | None = None
    ) -> AbstractAsyncContextManager[zt.Node]:
        return zt.open_node(
            address,
            cluster=CLUSTER,
            node_id="ours",
            tls=self.tls,
            limits=limits,
            protocols=("zt/1", "zeebe"),
            zeebe_compression=self.compression,
            expose_errors=True,
            drain_timeout=0.0,
        )


def start(tmp_path: Path, compression: str, files: list[str]) -> ZeebePeer:
    if not (BUILT / "java").exists():
        missing = BUILT / "missing"
        reason = missing.read_text().strip() if missing.exists() else "run make test to build it"
        pytest.skip(f"no Java peer: {reason}")
    return ZeebePeer([CLUSTER, compression, *files], tmp_path / "java.log")


def secured(authority: certs.Authority, path: Path) -> tuple[list[str], zt.TLSConfig]:
    """Files for a Zeebe, and the configuration of one of ours that trusts it."""
    files = [str(file) for file in authority.issue(LOOPBACK).write(path, "zeebe")]
    chain, key = authority.issue(LOOPBACK).write(path, "own")
    return files, zt.TLSConfig(certificate_chain_path=chain, private_key_path=key)


MODES = [(security, way) for security in ("plaintext", "tls") for way in ("none", "gzip", "snappy")]


@pytest.fixture(scope="module", params=MODES, ids="-".join)
def pair(
    request: pytest.FixtureRequest,
    authority: certs.Authority,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Pair]:
    (security, compression), path = request.param, tmp_path_factory.mktemp("zeebe")
    files, tls = secured(authority, path) if security == "tls" else ([], None)
    zeebe = start(path, compression, files)
    yield Pair(zeebe, compression, tls)
    zeebe.end()


def incompressible(length: int) -> bytes:
    """Bytes that hardly compress, the same for the same length."""
    return random.Random(length).randbytes(length)


async def test_we_call_zeebe(pair: Pair) -> None:
    async with pair.open() as node:
        peer = await node.connect(pair.zeebe.address, protocol="zeebe")
        assert peer.protocol == "zeebe"
        for length in (0, 1, 300, 70_000, 3 << 20):
            payload = incompressible(length)
            assert await peer.request("echo", payload, timeout=30.0) == payload
        assert await peer.request("null", b"x") == b""
        assert (await peer.request("from", b"")).decode() == node.address
        assert peer.advertised_address == pair.zeebe.address
        if pair.tls is not None:
            assert peer.tls is not None
            assert (peer.tls.version, peer.tls.alpn) == ("TLSv1.3", None)


async def test_zeebe_calls_us(pair: Pair) -> None:
    async with pair.open() as node:
        senders = []

        def echo(message: zt.Message) -> bytes:
            senders.append(message.peer)
            return message.payload

        node.handle("echo", echo)
        for length in (0, 1, 300, 70_000, 3 << 20):
            answer = await pair.zeebe.do("call", node.address, "echo", length, 30_000)
            assert answer == f"ok {length} equal"
        assert senders[0].advertised_address == pair.zeebe.address
        assert (senders[0].protocol, senders[0].inbound) == ("zeebe", True)


async def test_failures_of_zeebe_are_typed(pair: Pair) -> None:
    async with pair.open() as node:
        peer = await node.connect(pair.zeebe.address, protocol="zeebe")
        with pytest.raises(zt.NoHandler, match="nobody") as missing:
            await peer.request("nobody", b"x")
        assert missing.value.retry_safe
        with pytest.raises(zt.HandlerFailure, match="this handler fails"):
            await peer.request("fail", b"x")
        with pytest.raises(zt.NotSupported):
            await peer.request("echo", b"x", metadata={"key": b"value"})
        with pytest.raises(zt.NotSupported):
            async with peer.open_stream("echo"):
                pass


async def test_our_failures_are_typed_for_zeebe(pair: Pair) -> None:
    async with pair.open() as node:

        def fail(message: zt.Message) -> bytes:
            raise ValueError("our handler fails")

        node.handle("fail", fail)
        answer = await pair.zeebe.do("call", node.address, "nobody", 1, 30_000)
        assert answer.startswith("error NoRemoteHandler ")
        assert "nobody" in answer
        answer = await pair.zeebe.do("call", node.address, "fail", 1, 30_000)
        assert answer.startswith("error RemoteHandlerFailure ")
        assert "our handler fails" in answer


async def test_a_slow_handler_costs_only_its_own_call(pair: Pair) -> None:
    async with pair.open() as node:
        peer = await node.connect(pair.zeebe.address, protocol="zeebe")
        before = node.statistics().dialled
        async with trio.open_nursery() as nursery:
            outcome: list[BaseException] = []

            async def waits() -> None:
                try:
                    await peer.request("never", b"x", timeout=20.0)
                except zt.Error as error:
                    outcome.append(error)

            nursery.start_soon(waits)
            with pytest.raises(zt.DeadlineExceeded):
                await peer.request("never", b"x", timeout=0.05)
            assert await peer.request("echo", b"still there") == b"still there"
            assert not outcome
            assert node.statistics().dialled == before
            nursery.cancel_scope.cancel()


async def test_zeebe_gives_up_on_our_slow_handler(pair: Pair) -> None:
    async with pair.open() as node:

        async def never(message: zt.Message) -> None:
            await trio.sleep_forever()

        node.handle("never", never)
        node.handle("echo", lambda message: message.payload)
        answer = await pair.zeebe.do("call", node.address, "never", 1, 50)
        assert answer.startswith("error TimeoutException")
        assert await pair.zeebe.do("call", node.address, "echo", 1, 30_000) == "ok 1 equal"


async def test_one_way_messages_keep_their_order(pair: Pair) -> None:
    async with pair.open() as node:
        subscription = node.subscribe("events")
        assert await pair.zeebe.do("send", node.address, "events", 100) == "ok 100 sent"
        got: list[bytes] = []
        async for messages in subscription:
            got += [message.payload for message in messages]
            if len(got) == 100:
                break
        assert got == [b"%d" % index for index in range(100)]
        peer = await node.connect(pair.zeebe.address, protocol="zeebe")
        await peer.send_many("consume", got)
        assert [await pair.zeebe.do("consumed") for _ in got] == [f"ok {n.decode()}" for n in got]


async def test_twenty_mebibytes_where_the_limit_is_raised(pair: Pair) -> None:
    async with pair.open(limits=LARGE) as node:
        node.handle("echo", lambda message: message.payload)
        peer = await node.connect(pair.zeebe.address, protocol="zeebe")
        payload = incompressible(TWENTY_MIB)
        assert await peer.request("echo", payload, timeout=50.0) == payload
        answer = await pair.zeebe.do("call", node.address, "echo", TWENTY_MIB, 50_000)
        assert answer == f"ok {TWENTY_MIB} equal"


async def test_twenty_mebibytes_are_refused_where_it_is_not(pair: Pair) -> None:
    async with pair.open() as node:
        node.handle("echo", lambda message: message.payload)
        peer = await node.connect(pair.zeebe.address, protocol="zeebe")
        with pytest.raises(zt.LimitExceeded):
            await peer.request("echo", bytes(TWENTY_MIB))
        with pytest.raises(zt.LimitExceeded, match="zeebe_message_bytes_max"):
            await peer.request("large", b"%d" % TWENTY_MIB, timeout=50.0)
        assert await peer.request("echo", b"goes on") == b"goes on"
        answer = await pair.zeebe.do("call", node.address, "echo", TWENTY_MIB, 50_000)
        assert answer.startswith("error RemoteHandlerFailure ")
        assert "zeebe_message_bytes_max" in answer
        assert await pair.zeebe.do("call", node.address, "echo", 1, 30_000) == "ok 1 equal"


async def test_ten_thousand_calls_of_which_64_are_in_flight(pair: Pair) -> None:
    calls, in_flight, right = 10_000, 64, 0
    async with pair.open() as node:
        node.handle("echo", lambda message: message.payload)
        peer = await node.connect(pair.zeebe.address, protocol="zeebe")
        numbers = iter(range(calls))

        async def caller() -> None:
            nonlocal right
            for number in numbers:
                payload = b"call %d" % number
                answer = await peer.request("echo", payload, timeout=50.0)
                right += answer == payload

        async with trio.open_nursery() as nursery:
            for _ in range(in_flight):
                nursery.start_soon(caller)
        assert right == calls
        told = await pair.zeebe.do("many", node.address, calls, in_flight)
        assert told == f"ok {calls} right"


async def test_tls_on_one_side_only_is_found_at_once(
    pair: Pair, authority: certs.Authority
) -> None:
    other = Pair(pair.zeebe, pair.compression, None)
    if pair.tls is None:
        leaf = authority.issue(LOOPBACK)
        other.tls = zt.TLSConfig(certificate_chain=leaf.chain_pem, private_key=leaf.key_pem)
    async with other.open() as node:
        node.handle("echo", lambda message: message.payload)
        # A plaintext Zeebe closes on a TLS hello without a word.
        with pytest.raises((zt.TLSError, zt.ConnectionLost)):
            await node.connect(pair.zeebe.address, protocol="zeebe")
        answer = await pair.zeebe.do("call", node.address, "echo", 1, 30_000)
        # Which of the two depends on what its own threads see first.
        assert answer.startswith(("error ConnectionClosed", "error DecoderException"))


async def test_another_cluster_is_refused_by_both(pair: Pair) -> None:
    node = zt.open_node(
        "127.0.0.1:0", cluster="other", node_id="ours", tls=pair.tls, protocols=("zt/1", "zeebe")
    )
    async with node as stranger:
        with pytest.raises(zt.HandshakeTimeout, match="another cluster"):
            await stranger.connect(pair.zeebe.address, protocol="zeebe")
        answer = await pair.zeebe.do("call", stranger.address, "echo", 1, 30_000)
        assert answer.startswith("error ConnectionClosed")


async def test_a_permissive_port_takes_zeebes_with_tls_and_without(
    tmp_path: Path, authority: certs.Authority
) -> None:
    """Of two Zeebes one has been given TLS already; our own nodes call beside them."""
    files, tls = secured(authority, tmp_path)
    settings: dict[str, Any] = {"cluster": CLUSTER, "drain_timeout": 0.0}
    with ExitStack() as stack:
        zeebes = []
        for name, own in (("old", []), ("new", files)):
            (tmp_path / name).mkdir()
            zeebes.append(start(tmp_path / name, "none", own))
            stack.callback(zeebes[-1].end)
        callers: list[tuple[str, bool]] = []

        def echo(message: zt.Message) -> bytes:
            callers.append((message.peer.protocol, message.peer.tls is not None))
            return message.payload

        ours: dict[str, Any] = {"accept": "permissive", "protocols": ("zt/1", "zeebe")}
        async with zt.open_node("127.0.0.1:0", node_id="ours", tls=tls, **ours, **settings) as node:
            node.handle("echo", echo)
            assert node.address is not None
            for zeebe in zeebes:
                answer = await zeebe.do("call", node.address, "echo", 300, 30_000)
                assert answer == "ok 300 equal"
            # One of them speaks plaintext; it has no node id to be named by.
            ((left, count),) = node.statistics().plaintext_connections.items()
            assert (left.startswith("127.0.0.1:"), count) == (True, 1)
            for own_tls in (None, tls):
                async with zt.open_node(None, node_id="a", tls=own_tls, **settings) as other:
                    peer = await other.connect(node.address)
                    assert await peer.request("echo", b"x") == b"x"
            assert callers == [(p, t) for p in ("zeebe", "zt/1") for t in (False, True)]


@pytest.mark.parametrize("security", ["plaintext", "tls"])
async def test_a_zeebe_that_is_killed_fails_its_calls(
    tmp_path: Path, authority: certs.Authority, security: str
) -> None:
    files, tls = secured(authority, tmp_path) if security == "tls" else ([], None)
    zeebe = start(tmp_path, "none", files)
    async with Pair(zeebe, "none", tls).open() as node:
        peer = await node.connect(zeebe.address, pooled=False, protocol="zeebe")
        assert await peer.request("echo", b"x") == b"x"
        async with trio.open_nursery() as nursery:

            async def waits() -> None:
                with pytest.raises(zt.ConnectionLost) as lost:
                    await peer.request("never", b"x", timeout=30.0)
                assert lost.value.retry == "unknown"

            nursery.start_soon(waits)
            while peer.statistics().requests_in_flight == 0:
                await trio.lowlevel.checkpoint()
            assert await peer.request("echo", b"behind it") == b"behind it"
            zeebe.end()


VICTIM = """
import sys, trio, ztransport as zt
async def main():
    async with zt.open_node("127.0.0.1:0", cluster="zeebe-cluster", node_id="victim", tls=None,
                            protocols=("zt/1", "zeebe")) as node:
        async def never(message):
            print("asked", flush=True)
            await trio.sleep_forever()
        node.handle("never", never)
        print(node.address, flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


def start_victim() -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", VICTIM], stdout=subprocess.PIPE, text=True)


async def test_zeebe_learns_when_we_are_killed(tmp_path: Path) -> None:
    zeebe = start(tmp_path, "none", [])
    victim = start_victim()
    assert victim.stdout is not None
    try:
        address = (await trio.to_thread.run_sync(victim.stdout.readline)).strip()
        answers: list[str] = []

        async def call() -> None:
            answers.append(await zeebe.do("call", address, "never", 1, 50_000))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            assert await trio.to_thread.run_sync(victim.stdout.readline) == "asked\n"
            victim.kill()
        assert answers[0].startswith("error ConnectionClosed")
    finally:
        victim.kill()
        with victim:
            zeebe.end()
