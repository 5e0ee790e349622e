"""TLS through the faces: what is agreed on, who is who, and how each failure is typed."""

from __future__ import annotations

import contextlib
import datetime
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

import ztransport
from tests.test_api_faces import CLUSTER, HANG_SECONDS, Face, every_face, open_node
from ztransport.certs import Authority, Leaf, create_authority

LOOPBACK = ["127.0.0.1", "localhost"]


def config(leaf: Leaf, **choices: Any) -> ztransport.TLSConfig:
    return ztransport.TLSConfig(
        certificate_chain=leaf.chain_pem, private_key=leaf.key_pem, **choices
    )


def tls_node(
    face: Face, tls: ztransport.TLSConfig | None, address: str | None = "127.0.0.1:0"
) -> AbstractAsyncContextManager[Any]:
    return open_node(face, address, cluster=CLUSTER, tls=tls)


@every_face
def test_requests_over_tls(face: Face, authority: Authority) -> None:
    async def main() -> None:
        server_tls = config(authority.issue(LOOPBACK))
        client_tls = ztransport.TLSConfig(trust=(authority.certificate_pem,))
        async with tls_node(face, server_tls) as server, tls_node(face, client_tls, None) as client:
            server.handle("echo", lambda message: message.payload)
            peer = await client.connect(server.address)
            for size in (0, 1, 16_384, 1 << 20):
                assert await peer.request("echo", bytes(size)) == bytes(size)
            assert (peer.tls.version, peer.tls.alpn) == ("TLSv1.3", "zt/1")
            assert peer.tls.cipher_suite == "TLS_AES_128_GCM_SHA256"
            assert peer.tls.group == "X25519MLKEM768"
            assert peer.tls.certificate_not_after > datetime.datetime.now(datetime.UTC)
            assert "localhost" in peer.identity.dns
            assert "127.0.0.1" in peer.identity.ip

    face.run(main)


@every_face
def test_files_and_bytes_are_the_same(face: Face, authority: Authority, tmp_path: Path) -> None:
    chain, key = authority.issue(LOOPBACK).write(tmp_path, "node")
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    tls = ztransport.TLSConfig(
        certificate_chain_path=chain, private_key_path=str(key), trust=(tmp_path / "ca.pem",)
    )

    async def main() -> None:
        async with tls_node(face, tls) as node:
            node.handle("echo", lambda message: message.payload)
            peer = await node.connect(node.address)
            assert await peer.request("echo", b"x") == b"x"

    face.run(main)


@every_face
def test_a_key_is_opened_while_others_go_on(face: Face, authority: Authority) -> None:
    leaf, opening, opened = authority.issue(LOOPBACK), threading.Event(), threading.Event()

    def key() -> bytes:
        opening.set()
        assert opened.wait(HANG_SECONDS), "the loop waits for the key"
        return leaf.key_pem

    tls = ztransport.TLSConfig(certificate_chain=leaf.chain_pem, private_key=key)

    async def main() -> None:
        async def open_one() -> None:
            async with tls_node(face, tls) as node:
                assert node.address

        async with face.tasks() as tasks:
            tasks.start(open_one)
            while not opening.is_set():
                await face.checkpoint()
            opened.set()

    face.run(main)


@every_face
def test_mutual_tls_proves_both_sides(face: Face, authority: Authority) -> None:
    async def main() -> None:
        seen: list[Any] = []
        server_tls = config(authority.issue(LOOPBACK), client_auth="required")
        client_tls = config(authority.issue(["client.example"]))
        async with tls_node(face, server_tls) as server, tls_node(face, client_tls, None) as client:
            server.handle("who", lambda message: seen.append(message.peer.identity))
            peer = await client.connect(server.address)
            await peer.request("who", b"")
        assert [identity.dns for identity in seen] == [("client.example",)]

    face.run(main)


@every_face
def test_a_dialer_without_certificate_has_no_identity(face: Face, authority: Authority) -> None:
    async def main() -> None:
        seen: list[Any] = []
        server_tls = config(authority.issue(LOOPBACK), client_auth="optional")
        client_tls = ztransport.TLSConfig(trust=(authority.certificate_pem,))
        async with tls_node(face, server_tls) as server, tls_node(face, client_tls, None) as client:
            server.handle("who", lambda message: seen.append(message.peer.identity))
            await (await client.connect(server.address)).request("who", b"")
        assert seen == [None]

    face.run(main)


async def refused(face: Face, server_tls: Any, client_tls: Any, expected: type) -> None:
    """A dial that must fail with the expected class."""
    async with tls_node(face, server_tls) as server, tls_node(face, client_tls, None) as client:
        with pytest.raises(expected):
            await client.connect(server.address)


@contextmanager
def listening_stranger(leaf: Leaf) -> Iterator[str]:
    """Another TLS library, which shows whatever certificate it is given; yields its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["zt/1"])
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(*leaf.write(Path(folder), "stranger"))

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            context.wrap_socket(connection, server_side=True).recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


async def stranger_refused(face: Face, leaf: Leaf, tls: Any, expected: type) -> None:
    """The same with a listener that would not open as a node."""
    with listening_stranger(leaf) as address:
        async with tls_node(face, tls, None) as client:
            with pytest.raises(expected):
                await client.connect(address, pooled=False)


@every_face
def test_each_refusal_is_typed(face: Face, authority: Authority) -> None:
    zt = face.zt
    day = datetime.timedelta(days=1)
    now = datetime.datetime.now(datetime.UTC)
    good = config(authority.issue(LOOPBACK))
    trusting = ztransport.TLSConfig(trust=(authority.certificate_pem,))
    stranger = ztransport.TLSConfig(trust=(create_authority("stranger").certificate_pem,))
    expired = authority.issue(LOOPBACK, not_before=now - 2 * day, not_after=now - day)
    early = authority.issue(LOOPBACK, not_before=now + day, not_after=now + 2 * day)
    misnamed = config(authority.issue(["elsewhere.example"]))
    strict = config(authority.issue(LOOPBACK), client_auth="required")

    async def main() -> None:
        await refused(face, good, stranger, zt.UntrustedIssuer)
        await stranger_refused(face, expired, trusting, zt.CertificateExpired)
        await stranger_refused(face, early, trusting, zt.CertificateNotYetValid)
        await refused(face, misnamed, trusting, zt.NameMismatch)
        await refused(face, strict, trusting, zt.ClientCertificateRequired)
        await refused(face, None, trusting, zt.TLSError)
        await refused(face, good, None, zt.Error)

    face.run(main)


@every_face
def test_the_name_check_can_be_switched_off(face: Face, authority: Authority) -> None:
    async def main() -> None:
        misnamed = config(authority.issue(["elsewhere.example"]))
        tls = ztransport.TLSConfig(trust=(authority.certificate_pem,), verify_hostname=False)
        async with tls_node(face, misnamed) as server, tls_node(face, tls, None) as client:
            assert (await client.connect(server.address)).is_up

    face.run(main)


@every_face
def test_suites_and_groups_can_be_chosen(face: Face, authority: Authority) -> None:
    async def main() -> None:
        tls = config(
            authority.issue(LOOPBACK),
            cipher_suites=("TLS_CHACHA20_POLY1305_SHA256",),
            groups=("x25519",),
        )
        async with tls_node(face, tls) as node:
            peer = await node.connect(node.address)
            assert peer.tls.cipher_suite == "TLS_CHACHA20_POLY1305_SHA256"
            assert peer.tls.group == "X25519"

    face.run(main)


@pytest.mark.parametrize(
    "choices",
    [
        {"certificate_chain_path": "/nonexistent/chain.pem", "private_key_path": "/nonexistent/k"},
        {"certificate_chain": b"not PEM", "private_key": b"not PEM"},
        {"trust": (b"not PEM",)},
        {"trust": ("/nonexistent/ca.pem",)},
        {"trust": ("chain",), "client_auth": "sometimes"},
        {"trust": ("chain",), "cipher_suites": ("TLS_NULL",)},
    ],
)
def test_what_cannot_work_is_refused_before_anything_opens(choices: dict[str, Any]) -> None:
    with pytest.raises(ztransport.ConfigurationError):
        ztransport.TLSConfig(**choices).load()


def test_two_sources_for_one_thing_are_refused() -> None:
    with pytest.raises(ztransport.ConfigurationError, match="not both"):
        ztransport.TLSConfig(private_key_path="k", private_key=b"k")
    with pytest.raises(ztransport.ConfigurationError, match="trust is a tuple"):
        ztransport.TLSConfig(trust="chain")  # type: ignore[arg-type]
    with pytest.raises(ztransport.ConfigurationError, match="profile"):
        ztransport.TLSConfig(profile="lax")  # type: ignore[arg-type]


def test_the_key_is_never_shown(authority: Authority) -> None:
    leaf = authority.issue(LOOPBACK)
    shown = repr(config(leaf, trust=(leaf.key_pem,)))
    assert "PRIVATE" not in shown
    assert leaf.key_pem.decode().splitlines()[1] not in shown
    with pytest.raises(ztransport.ConfigurationError) as caught:
        config(leaf, private_key_path=None, groups=("none",)).load()
    assert leaf.key_pem.decode().splitlines()[1] not in str(caught.value)
