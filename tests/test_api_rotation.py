"""Certificates, keys, trust and lists that change while a node runs, on every face."""

from __future__ import annotations

import datetime
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

import ztransport
from bench.rolling.mount import Mount, revoke
from tests.test_api_faces import Face, every_face, open_node
from ztransport._rotation import Rotation
from ztransport.certs import Authority, Leaf, create_authority

LOOPBACK = ["127.0.0.1", "localhost"]
DAY = datetime.timedelta(days=1)


def issue(authority: Authority, days: int) -> Leaf:
    """A leaf that is told from others by the day it ends on."""
    return authority.issue(LOOPBACK, not_after=datetime.datetime.now(datetime.UTC) + days * DAY)


def mounted(root: Path, leaf: Leaf, trust: bytes) -> Mount:
    mount = Mount(root)
    mount.put(leaf, trust)
    return mount


def days_left(peer: Any) -> int:
    left: datetime.timedelta = peer.certificate_not_after - datetime.datetime.now(datetime.UTC)
    return round(left / DAY)


async def fresh(client: Any, server: Any) -> int:
    """What a new handshake shows of the server, as the days its certificate has left."""
    peer = await client.connect(server.address, pooled=False)
    days = days_left(peer)
    await peer.aclose()
    return days


async def until(face: Face, node: Any, count: str, value: int) -> None:
    while getattr(node.statistics(), count) < value:
        await face.checkpoint()


@every_face
def test_c3_files_that_are_swapped_count_for_the_next_handshake(
    face: Face, authority: Authority, tmp_path: Path
) -> None:
    mount = mounted(tmp_path, issue(authority, 10), authority.certificate_pem)

    async def main() -> None:
        trusting = ztransport.TLSConfig(trust=(authority.certificate_pem,))
        async with (
            open_node(face, tls=mount.tls()) as server,
            open_node(face, None, tls=trusting) as client,
        ):
            server.handle("echo", lambda message: message.payload)
            old = await client.connect(server.address)
            assert await fresh(client, server) == 10
            mount.put(issue(authority, 20), authority.certificate_pem)
            await until(face, server, "tls_reloads", 1)
            assert await fresh(client, server) == 20
            assert days_left(old) == 10
            assert await old.request("echo", b"still here") == b"still here"

    face.run(main)


@every_face
def test_c4_an_authority_is_added_and_taken_away(face: Face, tmp_path: Path) -> None:
    first, second = create_authority("first"), create_authority("second")
    both = first.certificate_pem + second.certificate_pem
    a = mounted(tmp_path / "a", issue(first, 10), first.certificate_pem)
    b = mounted(tmp_path / "b", issue(first, 10), first.certificate_pem)

    async def main() -> None:
        async with (
            open_node(face, tls=a.tls(client_auth="required")) as server,
            open_node(face, None, tls=b.tls()) as client,
        ):
            steps = [(first, both, 10), (second, both, 20), (second, second.certificate_pem, 30)]
            for issuer, trust, days in steps:
                for mount, node in ((a, server), (b, client)):
                    mount.put(issue(issuer, days), trust)
                    await node.reload_tls()
                    assert await fresh(client, server) in {days - 10, days, 10}
                assert await fresh(client, server) == days
            b.put(issue(first, 40), both)
            await client.reload_tls()
            with pytest.raises(ztransport.UntrustedIssuer):
                await fresh(client, server)

    face.run(main)


@every_face
def test_c3_files_that_cannot_be_used_keep_the_old_ones(
    face: Face, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = issue(authority, 10)
    mount = mounted(tmp_path, good, authority.certificate_pem)
    half = Leaf(chain_pem=issue(authority, 20).chain_pem, key_pem=good.key_pem)

    async def main() -> None:
        trusting = ztransport.TLSConfig(trust=(authority.certificate_pem,))
        async with (
            open_node(face, tls=mount.tls()) as server,
            open_node(face, None, tls=trusting) as client,
        ):
            mount.put(half, authority.certificate_pem)
            for _ in range(2):
                with pytest.raises(face.zt.ConfigurationError, match="is not the key"):
                    await server.reload_tls()
            assert await fresh(client, server) == 10
            assert server.statistics().tls_reloads == 0
            assert server.statistics().tls_reload_failures >= 2
            warned = [one for one in caplog.records if "keeps its certificates" in one.message]
            assert len(warned) == 1
            mount.put(issue(authority, 30), authority.certificate_pem)
            await server.reload_tls()
            assert await fresh(client, server) == 30

    with caplog.at_level(logging.WARNING, "ztransport"):
        face.run(main)


@every_face
def test_functions_are_called_again(face: Face, authority: Authority) -> None:
    held = {"leaf": issue(authority, 10)}

    async def main() -> None:
        tls = ztransport.TLSConfig(
            certificate_chain=lambda: held["leaf"].chain_pem,
            private_key=lambda: held["leaf"].key_pem,
        )
        async with open_node(face, tls=tls) as node:
            assert await fresh(node, node) == 10
            held["leaf"] = issue(authority, 20)
            await node.reload_tls()
            assert await fresh(node, node) == 20
            del held["leaf"]
            with pytest.raises(KeyError):
                await node.reload_tls()
            assert await fresh(node, node) == 20

    face.run(main)


@every_face
def test_without_tls_there_is_nothing_to_reload(face: Face) -> None:
    async def main() -> None:
        async with open_node(face) as node:
            with pytest.raises(face.zt.ConfigurationError, match="without TLS"):
                await node.reload_tls()

    face.run(main)


@every_face
def test_c5_a_new_list_ends_the_connections_of_the_revoked(face: Face, tmp_path: Path) -> None:
    authority = create_authority("lists")
    mallory, honest = issue(authority, 10), issue(authority, 20)
    mount = mounted(tmp_path, issue(authority, 30), authority.certificate_pem)
    own = issue(authority, 30)
    mount.put(own, authority.certificate_pem, revoke(authority, []))
    lists = mount.root / "..data" / "lists.pem"

    async def main() -> None:
        def dialler(leaf: Leaf) -> Any:
            tls = ztransport.TLSConfig(certificate_chain=leaf.chain_pem, private_key=leaf.key_pem)
            return open_node(face, None, tls=tls)

        server_tls = mount.tls(client_auth="required", crl_paths=(lists,))
        async with (
            open_node(face, tls=server_tls) as server,
            dialler(mallory) as bad,
            dialler(honest) as good,
        ):
            server.handle("echo", lambda message: message.payload)
            cut = await bad.connect(server.address, pooled=False)
            kept = await good.connect(server.address)
            mount.put(own, authority.certificate_pem, revoke(authority, [mallory]))
            await cut.wait_closed()
            with pytest.raises(ztransport.Error, match="revoked"):
                await cut.request("echo", b"")
            assert server.statistics().closed["certificate_revoked"] == 1
            assert await kept.request("echo", b"x") == b"x"
            with pytest.raises(ztransport.CertificateRevoked):
                await bad.connect(server.address, pooled=False)

    face.run(main)


@every_face
def test_connections_are_replaced_by_age_without_failing_a_call(
    face: Face, authority: Authority
) -> None:
    async def main() -> None:
        limits = ztransport.Limits(connection_age_max_ms=50)
        leaf = issue(authority, 10)
        tls = ztransport.TLSConfig(certificate_chain=leaf.chain_pem, private_key=leaf.key_pem)
        async with (
            open_node(face, tls=tls) as server,
            open_node(face, None, tls=tls, limits=limits) as client,
        ):
            held = face.Event()

            async def slow(message: Any) -> bytes:
                await held.wait()
                return bytes(message.payload)

            server.handle("slow", slow)
            server.handle("echo", lambda message: message.payload)
            peer = await client.connect(server.address)
            answers = []

            async def ask_slowly() -> None:
                answers.append(await peer.request("slow", b"old", timeout=None))

            async with face.tasks() as tasks:
                tasks.start(ask_slowly)
                calls = 0
                while peer.statistics().redials < 3:
                    calls += 1
                    assert await peer.request("echo", b"x") == b"x"
                assert calls >= 3
                held.set()
            assert answers == [b"old"]
            assert await client.connect(server.address) is peer

    face.run(main)


@every_face
def test_streams_and_order_outlive_the_connection(face: Face, authority: Authority) -> None:
    """A stream ends where it began; one-way messages arrive in order over the connections."""

    async def main() -> None:
        limits = ztransport.Limits(connection_age_max_ms=50)
        leaf = issue(authority, 10)
        tls = ztransport.TLSConfig(certificate_chain=leaf.chain_pem, private_key=leaf.key_pem)
        async with (
            open_node(face, tls=tls) as server,
            open_node(face, None, tls=tls, limits=limits) as client,
        ):

            async def echo(stream: Any) -> None:
                async for payload in stream:
                    await stream.send(payload)

            server.handle_stream("echo", echo)
            server.handle("ping", lambda message: message.payload)
            subscription = server.subscribe("numbers")
            peer = await client.connect(server.address)
            async with peer.open_stream("echo") as stream:
                await stream.send(b"before")
                sent = 0
                while peer.statistics().redials < 2:
                    await peer.send("numbers", b"%d" % sent)
                    sent += 1
                    await peer.request("ping", b"")
                await stream.send(b"after")
                await stream.finish()
                assert [bytes(one) async for one in stream] == [b"before", b"after"]
            got: list[bytes] = []
            async for messages in subscription:
                got.extend(message.payload for message in messages)
                if len(got) == sent:
                    break
            assert got == [b"%d" % number for number in range(sent)]

    face.run(main)


def test_files_are_known_by_what_they_are(authority: Authority, tmp_path: Path) -> None:
    chain, key = issue(authority, 10).write(tmp_path, "node")
    tls = ztransport.TLSConfig(certificate_chain_path=chain, private_key_path=key)
    rotation = Rotation(tls)
    assert rotation.look() is None
    shutil.copy2(chain, tmp_path / "copy")
    (tmp_path / "copy").replace(chain)
    assert rotation.look() is not None
    assert rotation.look() is None
    chain.unlink()
    with pytest.raises(ztransport.ConfigurationError):
        rotation.look()
    assert rotation.look() is None
