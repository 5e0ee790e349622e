"""The golden transcripts of tests/vectors, read from Python and held against a real node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
import trio

import ztransport as zt

VECTORS = sorted((Path(__file__).parent / "vectors").glob("*.txt"))
STEPS = {"role", "in", "claim", "end", "time", "do", "done", "event", "error", "out", "next"}


def transcript(name: str) -> list[tuple[str, str]]:
    """The lines of one transcript as (word, rest), comments left out."""
    text = (Path(__file__).parent / "vectors" / f"{name}.txt").read_text(encoding="utf-8")
    lines = (line.partition(" ") for line in text.splitlines() if not line.startswith("#"))
    return [(word, rest) for word, _, rest in lines]


def unpack(text: str) -> bytes:
    """Bytes of a line: hexadecimal pieces, `-` for none, `00*3` for a repeated byte."""
    pieces = (piece.partition("*") for piece in text.split() if piece != "-")
    return b"".join(bytes.fromhex(digits) * int(count or 1) for digits, _, count in pieces)


@pytest.mark.parametrize("path", VECTORS, ids=lambda path: path.stem)
def test_every_transcript_is_well_formed(path: Path) -> None:
    lines = transcript(path.stem)
    assert lines[0][0] == "role"
    assert {word for word, _ in lines} <= STEPS
    for word, rest in lines:
        if word in ("in", "claim", "out"):
            assert unpack(rest)


@pytest.mark.parametrize("name", ["acceptor", "wrong_cluster", "bad_preface"])
async def test_a_node_says_what_the_transcript_says(name: str) -> None:
    lines = transcript(name)
    said = b"".join(unpack(rest) for word, rest in lines if word == "in")
    answer = b"".join(unpack(rest) for word, rest in lines if word == "out")
    async with zt.open_node(
        "127.0.0.1:0", cluster="orders", node_id="node-b", advertise="127.0.0.1:7000", tls=None
    ) as node:
        assert node.address is not None
        host, _, port = node.address.rpartition(":")
        stream = await trio.open_tcp_stream(host, int(port))
        async with stream:
            await stream.send_all(said)
            got = b""
            while len(got) < len(answer):
                chunk = await stream.receive_some(len(answer) - len(got))
                assert chunk, f"the node ended after {got.hex()}"
                got += chunk
            assert got == answer


ZEEBE = "zeebe-cluster"
BOTH: tuple[Literal["zt/1", "zeebe"], ...] = ("zt/1", "zeebe")


async def receive(stream: trio.SocketStream, length: int) -> bytes:
    """Exactly so many bytes."""
    got = b""
    while len(got) < length:
        chunk = await stream.receive_some(length - len(got))
        assert chunk, f"the other side ended after {got.hex()}"
        got += chunk
    return got


async def replay(stream: trio.SocketStream, lines: list[tuple[str, str]], said: str) -> None:
    """Say the lines of one side, and hold what comes against those of the other."""
    heard = "out" if said == "in" else "in"
    for word, rest in lines:
        if word == said:
            await stream.send_all(unpack(rest))
        elif word == heard:
            expected = unpack(rest)
            assert await receive(stream, len(expected)) == expected, rest


def first_replies(lines: list[tuple[str, str]]) -> list[bytes]:
    """What the application answers, request by request; a second answer to one is left out."""
    said = [rest.split() for word, rest in lines if word == "do" and rest.startswith("reply")]
    found: dict[str, bytes] = {}
    for _, id_, payload in said:
        found.setdefault(id_, unpack(payload))
    return list(found.values())


@pytest.mark.parametrize("name", ["zeebe_acceptor", "zeebe_acceptor_v1"])
async def test_our_listener_says_what_a_real_zeebe_says(name: str) -> None:
    lines = transcript(name)
    replies = iter(first_replies(lines))
    async with zt.open_node(
        "127.0.0.1:0",
        cluster=ZEEBE,
        node_id="b",
        advertise=lines[0][1].split()[2],
        tls=None,
        protocols=BOTH,
    ) as node:
        for subject in ("who", "echo"):
            node.handle(subject, lambda _: next(replies))
        host, _, port = (node.address or "").rpartition(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await replay(stream, lines, "in")
    assert not list(replies)


def until_a_deadline(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The lines before the first request with a deadline, which only a virtual clock reaches."""
    for number, (word, rest) in enumerate(lines):
        if word == "do" and rest.startswith("request") and rest.split()[3] != "-":
            return lines[:number]
    return lines


FAULTS: dict[str, Callable[[], type[zt.Error]]] = {
    "1": lambda: zt.HandlerFailure,
    "2": lambda: zt.NoHandler,
}


async def ask(peer: zt.Peer, lines: list[tuple[str, str]]) -> int:
    """Ask what the transcript's application asks; how many requests that were."""
    done = {
        rest.split()[1]: rest.split() for word, rest in lines if word == "event" and " " in rest
    }
    subjects = [rest.split()[1] for _, rest in lines if rest.startswith("subject ")]
    asked = [rest.split() for word, rest in lines if word == "do" and rest.startswith("request")]
    for _, subject, token, _, payload in asked:
        kind, _, detail = done[token][:3]
        if kind == "reply":
            answer = await peer.request(subjects[int(subject) - 1], unpack(payload))
            assert answer == unpack(detail)
        else:
            with pytest.raises(FAULTS[detail]()):
                await peer.request(subjects[int(subject) - 1], unpack(payload))
    return len(asked)


@pytest.mark.parametrize(("name", "requests"), [("zeebe_dialer", 4), ("zeebe_dialer_v1", 1)])
async def test_our_dialer_says_what_a_real_zeebe_says(name: str, requests: int) -> None:
    lines = until_a_deadline(transcript(name))
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    host, port = listener.socket.getsockname()[:2]
    advertise = lines[0][1].split()[2]

    async def serve() -> None:
        async with await listener.accept() as stream:
            await replay(stream, lines, "in")
            over.set()
            await trio.sleep_forever()

    over = trio.Event()
    async with (
        listener,
        zt.open_node(
            "127.0.0.1:0",
            cluster=ZEEBE,
            node_id="a",
            advertise=advertise,
            tls=None,
            limits=zt.Limits(zeebe_heartbeat_interval_ms=0),  # Zeebe 8.5 offers none
            drain_timeout=0,
        ) as node,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(serve)
        peer = await node.connect(f"{host}:{port}", pooled=False, protocol="zeebe")
        assert await ask(peer, lines) == requests
        await over.wait()
        nursery.cancel_scope.cancel()
