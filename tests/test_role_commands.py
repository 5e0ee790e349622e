"""Broker and gateway as programs: how they begin, end, and refuse what cannot work."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

import ztransport as zt
from tests import roles
from ztransport import broker, certs, gateway

PLAINTEXT = ("--cluster", roles.CLUSTER, "--plaintext")
START_SECONDS = 20
SUITE = "TLS_AES_128_GCM_SHA256"
MAIN = {"broker": broker.main, "gateway": gateway.main}


@asynccontextmanager
async def program(
    role: str, *arguments: str, stderr: int | None = None
) -> AsyncIterator[tuple[trio.Process, str]]:
    """A role as a process of its own, and where it listens; killed at the end of the block."""
    async with talking(role, *arguments, stderr=stderr) as (process, said):
        yield process, str(said["address"])


@asynccontextmanager
async def talking(
    role: str, *arguments: str, stderr: int | None = None
) -> AsyncIterator[tuple[trio.Process, dict[str, Any]]]:
    """The same, with all it says when it serves."""
    command = [sys.executable, "-m", f"ztransport.{role}", *arguments]
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr
    )
    try:
        with trio.fail_after(START_SECONDS):
            said = await _ready(process)
        yield process, said
    finally:
        process.kill()
        await process.wait()


async def _ready(process: trio.Process) -> dict[str, Any]:
    line = b""
    assert process.stdout is not None
    while not line.endswith(b"\n"):
        part = await process.stdout.receive_some()
        assert part, "the program ended before it was ready"
        line += part
    said: dict[str, Any] = json.loads(line)
    return said


Refused = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run a program that cannot start and return what it says."""

    def run(role: str, *arguments: str) -> str:
        broker_of_gateway = ("--broker", "127.0.0.1:1") if role == "gateway" else ()
        with pytest.raises(SystemExit) as caught:
            MAIN[role]([*arguments, *broker_of_gateway])
        shown = capsys.readouterr()
        assert (caught.value.code, shown.out) == (2, "")
        assert shown.err.splitlines()[-1].startswith(f"ztransport {role}: ")
        return shown.err

    return run


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "stdin"])
async def test_a_broker_says_where_it_listens_and_ends_when_told(how: str) -> None:
    async with program("broker", *PLAINTEXT, "--end-with-stdin") as (process, address):
        async with roles.client(address) as peer:
            assert await peer.request("echo", b"x") == b"x"
        if how == "stdin":
            assert process.stdin is not None
            await process.stdin.aclose()
        else:
            process.send_signal(signal.Signals[how])
        assert await process.wait() == 0


async def test_a_stopping_broker_delivers_what_it_acknowledged() -> None:
    async with program("broker", *PLAINTEXT) as (process, address):
        async with (
            roles.client(address) as peer,
            peer.open_stream("subscribe", b"jobs") as stream,
        ):
            await roles.offset_of(stream)
            await roles.publish(peer, b"jobs", [b"1", b"2"])
            process.terminate()
            assert await roles.drained(stream) == [b"1", b"2"]
        assert await process.wait() == 0


async def test_a_stopping_broker_says_what_it_takes_with_it() -> None:
    async with program("broker", *PLAINTEXT, stderr=subprocess.PIPE) as (process, address):
        async with roles.client(address) as peer:
            await roles.publish(peer, b"jobs", [b"1", b"2"])
        process.terminate()
        assert await process.wait() == 0
        assert process.stderr is not None
        assert b"nobody took 2 messages" in await process.stderr.receive_some()


def leaf_options(authority: certs.Authority, directory: Path) -> tuple[str, ...]:
    chain, key = authority.issue("127.0.0.1").write(directory, "node")
    return ("--certificate-chain", str(chain), "--private-key", str(key))


async def test_both_roles_over_mutual_tls(authority: certs.Authority, tmp_path: Path) -> None:
    options = ("--cluster", roles.CLUSTER, *leaf_options(authority, tmp_path))
    options += ("--client-auth", "required")
    tls = zt.TLSConfig(
        certificate_chain_path=tmp_path / "node.chain.pem",
        private_key_path=tmp_path / "node.key.pem",
    )
    settings: dict[str, Any] = {"cluster": roles.CLUSTER, "node_id": "client", "tls": tls}
    async with (
        program("broker", *options, "--partitions", "4") as (_, broker),
        program("gateway", *options, "--partitions", "4", "--broker", broker) as (_, gateway),
        zt.open_node(None, **settings) as node,
    ):
        peer = await node.connect(gateway)
        assert peer.tls is not None
        assert await peer.request("echo", b"x", metadata={"key": b"k"}) == b"x"
        metadata = {"key": b"k"}
        async with peer.open_stream("subscribe", b"jobs", metadata=metadata) as stream:
            await roles.offset_of(stream)
            await roles.publish(peer, b"jobs", [b"1"], key=b"k")
            assert await roles.take(stream, 1) == [b"1"]


async def test_a_gateway_says_what_tls_agreed_on_with_its_brokers(
    authority: certs.Authority, tmp_path: Path
) -> None:
    options = ("--cluster", roles.CLUSTER, *leaf_options(authority, tmp_path))
    pinned = ("--cipher-suite", SUITE, "--group", "X25519")
    async with program("broker", *options) as (_, broker):
        behind = (*options, "--broker", broker)
        async with talking("gateway", *behind, *pinned) as (_, said):
            agreed = {"version": "TLSv1.3", "cipher_suite": SUITE, "group": "X25519"}
            assert said["brokers"] == [{"address": broker, "negotiated": agreed}]
        async with talking("gateway", *behind, "--group", "secp256r1") as (_, said):
            assert said["brokers"][0]["negotiated"]["group"] == "SECP256R1"


async def test_a_gateway_says_which_broker_is_away_and_why() -> None:
    async with program("broker", *PLAINTEXT) as (_, broker):
        brokers = ("--broker", "127.0.0.1:1", "--broker", broker)
        async with talking("gateway", *PLAINTEXT, *brokers, stderr=subprocess.PIPE) as (
            process,
            said,
        ):
            away, reached = said["brokers"]
            assert away["address"] == "127.0.0.1:1"
            assert "refused" in away["away"]
            assert reached == {"address": broker, "negotiated": None}
            assert process.stderr is not None
            words = (await process.stderr.receive_some()).decode()
            assert words.startswith("the broker at 127.0.0.1:1 is away and dialled again: ")
            assert len(words.splitlines()) == 1


async def test_a_killed_broker_fails_what_it_had_and_is_found_again() -> None:
    async with (
        program("broker", *PLAINTEXT) as (process, address),
        roles.gateway(address) as gateway,
        roles.client(gateway.node.address) as peer,
    ):
        broker = gateway.brokers.peers[0]

        async def ask() -> None:
            with pytest.raises(zt.ConnectionLost) as caught:
                await peer.request("echo", b"")
            assert not caught.value.retry_safe

        async with peer.open_stream("subscribe", b"jobs") as stream:
            await roles.offset_of(stream)
            process.send_signal(signal.SIGSTOP)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await roles.until(lambda: broker.statistics().requests_in_flight == 1)
                process.kill()
            with pytest.raises(zt.ConnectionLost):
                await stream.__anext__()
        with pytest.raises(zt.ConnectionLost, match="is away") as caught:
            await peer.request("echo", b"")
        assert caught.value.retry_safe
        async with program("broker", *PLAINTEXT, "--listen", address):
            await roles.until(lambda: broker.is_up)
            assert await peer.request("echo", b"back") == b"back"


@pytest.mark.parametrize("role", ["broker", "gateway"])
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cluster", "c"], "give --certificate-chain and --private-key, or --plaintext"),
        (["--cluster", "c", "--plaintext", "--private-key", "k"], "not both"),
        (["--cluster", "c", "--plaintext", "--accept", "permissive"], "not both"),
        (["--cluster", "c", "--plaintext", "--group", "X25519"], "not both"),
        (["--cluster", "c", "--plaintext", "--cipher-suite", SUITE], "not both"),
        (["--plaintext"], "required: --cluster"),
        (["--cluster", "c", "--plaintext", "--listen", "nowhere"], "nowhere"),
        (
            ["--cluster", "c", "--certificate-chain", "none.pem", "--private-key", "none.pem"],
            "none.pem",
        ),
    ],
)
def test_what_cannot_work_is_one_line_and_code_2(
    refused: Refused, role: str, arguments: list[str], said: str
) -> None:
    assert said in refused(role, *arguments)


@pytest.mark.parametrize(
    ("role", "option", "said"),
    [
        ("broker", "--partitions=0", "1 to 4096 partitions"),
        ("broker", "--partitions=4097", "1 to 4096 partitions"),
        ("broker", "--queue-messages-max=0", "at least 1"),
        ("broker", "--queue-bytes-max=0", "at least 1"),
        ("broker", "--credit-timeout=-1", "credit_timeout"),
        ("broker", "--credit-timeout=nan", "credit_timeout"),
        ("gateway", "--partitions=0", "a partition"),
    ],
)
def test_a_number_out_of_range_is_one_line_and_code_2(
    refused: Refused, role: str, option: str, said: str
) -> None:
    words = refused(role, *PLAINTEXT, option)
    assert (said in words, len(words.splitlines())) == (True, 1), words


def test_a_port_that_is_taken_is_named(refused: Refused) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        words = refused("broker", *PLAINTEXT, "--listen", address)
    assert (address in words, len(words.splitlines())) == (True, 1), words


@pytest.mark.parametrize("role", ["broker", "gateway"])
def test_the_command_of_the_package_is_the_same_program(role: str) -> None:
    main = (
        f"import sys; from ztransport import cli; sys.argv[1:] = ['{role}', '--help']; cli.main()"
    )
    command, module = [sys.executable, "-c", main], [sys.executable, "-m", f"ztransport.{role}"]
    shown = [
        subprocess.run(args, capture_output=True, text=True, timeout=60, check=True).stdout
        for args in (command, [*module, "--help"])
    ]
    assert shown[0] == shown[1]
    assert shown[0].startswith(f"usage: ztransport {role}")
