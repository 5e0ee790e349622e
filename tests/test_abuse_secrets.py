"""T32: no secret in reprs, tracebacks and logs."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path
from typing import Any

import pytest

import ztransport as zt
from bench.abuse.secrecy import fragments
from ztransport import certs

CLUSTER = "tests"


def _leaks(said: str, key_pem: bytes) -> list[bytes]:
    return [piece for piece in fragments(key_pem) if piece in said.encode()]


def _wrong_configs(leaf: certs.Leaf, folder: Path) -> list[zt.TLSConfig]:
    """Every way to hand over a key that cannot work, or that shows what is no secret beside it."""
    chain, key = leaf.chain_pem, leaf.key_pem
    path = folder / "key.pem"
    path.write_bytes(key[: len(key) // 2])
    return [
        zt.TLSConfig(certificate_chain=chain, private_key=key[: len(key) // 2]),
        zt.TLSConfig(certificate_chain=chain, private_key=key.replace(b"PRIVATE KEY", b"JUNK")),
        zt.TLSConfig(certificate_chain=chain, private_key=key.replace(b"A", b"!", 1)),
        zt.TLSConfig(certificate_chain=chain, private_key_path=path),
        zt.TLSConfig(certificate_chain=key, private_key=key),
        zt.TLSConfig(certificate_chain_path=path, private_key=key),
        zt.TLSConfig(trust=(key,)),
        zt.TLSConfig(trust=(path,)),
    ]


def test_t32_a_planted_key_is_found(authority: certs.Authority) -> None:
    leaf = authority.issue(["127.0.0.1"])
    assert _leaks(f"said: {leaf.key_pem!r}", leaf.key_pem)
    assert not _leaks(leaf.chain_pem.decode(), leaf.key_pem)


def test_t32_reprs_hold_no_key(authority: certs.Authority) -> None:
    leaf = authority.issue(["127.0.0.1"])
    config = zt.TLSConfig(certificate_chain=leaf.chain_pem, private_key=leaf.key_pem)
    shown = [config, config.load(), leaf, authority]
    for way in (repr, str, lambda one: f"{one!r} {vars(type(one)).get('__doc__')}"):
        assert not _leaks(" ".join(map(way, shown)), leaf.key_pem)


@pytest.mark.parametrize("number", range(8))
async def test_t32_errors_and_their_tracebacks_hold_no_key(
    authority: certs.Authority, tmp_path: Path, number: int
) -> None:
    leaf = authority.issue(["127.0.0.1"])
    config = _wrong_configs(leaf, tmp_path)[number]
    with pytest.raises(zt.ConfigurationError) as raised:
        async with zt.open_node("127.0.0.1:0", cluster=CLUSTER, node_id="leaky", tls=config):
            pass
    said = "".join(traceback.format_exception(raised.value)) + repr(config) + repr(raised.value)
    assert not _leaks(said, leaf.key_pem)


async def test_t32_nothing_of_a_key_or_payload_is_logged(
    authority: certs.Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    leaf, secret = authority.issue(["127.0.0.1"]), "the payload's own secret"
    tls = zt.TLSConfig(certificate_chain=leaf.chain_pem, private_key=leaf.key_pem)

    def fail(_: Any) -> bytes:
        raise RuntimeError("a handler's own words")

    async with (
        zt.open_node("127.0.0.1:0", cluster=CLUSTER, node_id="server", tls=tls) as server,
        zt.open_node(None, cluster=CLUSTER, node_id="caller", tls=tls) as caller,
    ):
        server.handle("fail", fail)
        peer = await caller.connect(server.address or "")
        with pytest.raises(zt.HandlerFailure) as raised:
            await peer.request("fail", secret.encode())
        shown = repr([server, caller, peer, peer.tls, peer.statistics(), raised.value])
    said = caplog.text + shown
    assert secret not in said
    assert not _leaks(said, leaf.key_pem)
