"""The golden transcripts of tests/vectors, read from Python and held against a real node."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

import ztransport as zt

VECTORS = sorted((Path(__file__).parent / "vectors").glob("*.txt"))
STEPS = {"role", "in", "end", "time", "do", "done", "event", "error", "out", "next"}


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
        if word in ("in", "out"):
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
