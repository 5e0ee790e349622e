"""What TLS does on the wire is read off it, however the bytes are cut."""

from __future__ import annotations

import random
import socket

import pytest

from tests.test_bench_handshake import hello
from ztransport.bench import fairness, overheard, session, variants
from ztransport.bench.overheard import Records
from ztransport.bench.processes import InvalidMeasurement
from ztransport.bench.session import Session

SIZES = (900, 16_384, 1)


def records(*sizes: int) -> bytes:
    """A ServerHello, a longer record of handshake type, and data of these sizes."""
    sealed = [b"\x17\x03\x03" + (size + 17).to_bytes(2, "big") + bytes(size + 17) for size in sizes]
    return hello() + b"\x16\x03\x03\x7f\xff" + bytes(0x7FFF) + b"".join(sealed)


@pytest.mark.parametrize("seed", range(5))
def test_the_longest_record_is_found_in_any_pieces(seed: int) -> None:
    source, heard, rest = random.Random(seed), Records(), records(*SIZES)
    while rest:
        size = source.choice((1, 2, 5, 700, 9_000))
        heard.hear(rest[:size])
        rest = rest[size:]
    assert heard.plaintext_bytes_max == 16_384
    assert bytes(heard.begin).startswith(hello())


def test_a_tap_carries_both_ways_and_tells_what_it_heard() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as upstream,
        overheard.tapped(upstream.getsockname()[1]) as tap,
    ):
        with pytest.raises(InvalidMeasurement, match="no handshake"):
            tap.found()
        dialling = socket.create_connection(("127.0.0.1", tap.port))
        accepted, _ = upstream.accept()
        with dialling, accepted:
            dialling.sendall(records(40))
            assert taken(accepted, len(records(40))) == records(40)
            accepted.sendall(records(70))
            assert taken(dialling, len(records(70))) == records(70)
            dialling.shutdown(socket.SHUT_WR)
            assert accepted.recv(1) == b""
        found = tap.found()
    assert found == {
        **fairness.NEGOTIATED,
        "resumed": False,
        "record_bytes_max_sent": 40,
        "record_bytes_max_received": 70,
    }


def taken(source: socket.socket, size: int) -> bytes:
    """So many bytes."""
    found = b""
    while len(found) < size and (data := source.recv(size - len(found))):
        found += data
    return found


@pytest.mark.slow
def test_every_encrypted_hop_of_a_session_is_overheard() -> None:
    names = ("plain", "tls", "mtls", "proxy-plain:relay", "proxy-tls:relay")
    chosen = variants.chosen(names)
    with Session(chosen, {"broker"}, session.tools_of(chosen)) as running:
        running.restart(0)
        told = running.tls()
    hops = told["hops"]
    assert isinstance(hops, dict)
    assert set(hops) == {"tls", "mtls", "proxy-tls:relay"}
    for hop in hops.values():
        assert {name: hop[name] for name in fairness.NEGOTIATED} == fairness.NEGOTIATED
        assert hop["resumed"] is False
        assert 1_024 < hop["record_bytes_max_sent"] <= 16_384
        assert 1_024 < hop["record_bytes_max_received"] <= 16_384
