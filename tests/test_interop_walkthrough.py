"""The walk-through of Zeebe's page once more, with a real Zeebe as one of its nodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import ztransport as zt
from tests.openssl import needs_openssl, shell
from tests.test_interop_zeebe import Pair, start
from tests.test_zeebe_walkthrough import CERTIFICATES, EXTENSION, SHARED, walk

pytestmark = [needs_openssl, pytest.mark.slow]

Made = tuple[list[Path], zt.TLSConfig]


def as_written(folder: Path) -> Made:
    """Node A is a real Zeebe, node B is ours."""
    configs = walk(folder, CERTIFICATES)
    return [folder / "chainNodeA.pem", folder / "nodeA.key"], configs[1]


def without_names(folder: Path) -> Made:
    """The variant without -extfile, which some versions of openssl make version 1."""
    configs = walk(folder, CERTIFICATES.replace(EXTENSION, ""))
    return [folder / "chainNodeA.pem", folder / "nodeA.key"], configs[1]


def shared(folder: Path) -> Made:
    """One self-signed certificate for all."""
    shell(SHARED, folder)
    files = [folder / "shared.pem", folder / "shared.key"]
    config = zt.TLSConfig(
        certificate_chain_path=files[0], private_key_path=files[1], profile="zeebe"
    )
    return files, config


@pytest.mark.parametrize("make", [as_written, without_names, shared])
async def test_what_the_page_makes_joins_a_real_zeebe(
    tmp_path: Path, make: Callable[[Path], Made]
) -> None:
    files, config = make(tmp_path)
    zeebe = start(tmp_path, "none", [str(file) for file in files])
    try:
        async with Pair(zeebe, "none", config).open() as node:
            node.handle("echo", lambda message: message.payload)
            peer = await node.connect(zeebe.address, protocol="zeebe")
            assert await peer.request("echo", b"hello") == b"hello"
            assert peer.tls is not None
            answer = await zeebe.do("call", node.address, "echo", 300, 30_000)
            assert answer == "ok 300 equal"
    finally:
        zeebe.end()
