"""Zeebe's protocol through the faces, ztransport on both sides."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

import ztransport
from tests.test_api_faces import CLUSTER, FACES, Face, every_face, open_node, seeded_bytes
from ztransport.certs import Authority

BOTH = ("zt/1", "zeebe")
PREAMBLE = sum(ord(unit) * 31**place for place, unit in enumerate(reversed(CLUSTER))) % 2**32
HANDSHAKE = PREAMBLE.to_bytes(4, "big") + b"\x00\x02"
ADDRESS = b"\x00\x01a\x00\x00\x00\x01"


@asynccontextmanager
async def pair(face: Face, **settings: Any) -> AsyncIterator[tuple[Any, Any]]:
    """A node that listens, and the peer another node has dialled it as with Zeebe's protocol."""
    compression = settings.get("zeebe_compression", "none")
    client_node = open_node(face, None, node_id="client", zeebe_compression=compression)
    async with open_node(face, protocols=BOTH, **settings) as server, client_node as client:
        yield server, await client.connect(server.address, protocol="zeebe")


@every_face
@pytest.mark.parametrize("compression", ["none", "gzip", "snappy"])
def test_requests_of_every_size(face: Face, compression: str) -> None:
    async def main() -> None:
        async with pair(face, zeebe_compression=compression) as (server, peer):
            server.handle("echo", lambda message: message.payload)
            for size in (0, 1, 20_000, 4 << 20):
                payload = seeded_bytes(size)
                assert await peer.request("echo", payload) == payload
            answers = await peer.request_many("echo", [b"%d" % n for n in range(1_000)])
            assert answers == [b"%d" % n for n in range(1_000)]
            with pytest.raises(face.zt.LimitExceeded):
                await peer.request("echo", bytes((4 << 20) + 1))

    face.run(main)


@every_face
def test_one_address_serves_both_protocols(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            seen = []

            def who(message: Any) -> bytes:
                seen.append((message.peer.protocol, message.peer.advertised_address))
                return b""

            server.handle("who", who)
            async with open_node(face, "127.0.0.1:0", node_id="third") as third:
                native = await third.connect(server.address)
                foreign = await third.connect(server.address, protocol="zeebe")
                assert foreign is await third.connect(server.address, protocol="zeebe")
                assert (native.protocol, foreign.protocol) == ("zt/1", "zeebe")
                await native.request("who", b"")
                await foreign.request("who", b"")
                assert seen == [("zt/1", third.address), ("zeebe", third.address)]
            await peer.request("who", b"")
            assert seen[2] == ("zeebe", None)

    face.run(main)


@every_face
def test_failures_are_typed(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):

            def reject(message: Any) -> bytes:
                raise face.zt.Reject(7, "not today")

            async def never(message: Any) -> bytes:
                await face.sleep_forever()
                return b""

            server.handle("reject", reject)
            server.handle("never", never)
            server.handle("echo", lambda message: message.payload)
            with pytest.raises(face.zt.NoHandler, match="no handler for nobody") as missing:
                await peer.request("nobody", b"")
            assert missing.value.retry_safe
            with pytest.raises(face.zt.HandlerFailure, match="0x1007: not today"):
                await peer.request("reject", b"")
            with pytest.raises(face.zt.DeadlineExceeded):
                await peer.request("never", b"", timeout=0.05)
            assert await peer.request("echo", b"goes on") == b"goes on"

    face.run(main)


@every_face
def test_what_zeebe_lacks_is_refused(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            peers = []

            def keep(message: Any) -> bytes:
                peers.append(message.peer)
                return b""

            server.handle("keep", keep)
            await peer.request("keep", b"")
            with pytest.raises(face.zt.NotSupported, match="metadata"):
                await peer.request("keep", b"", metadata={"key": b"value"})
            with pytest.raises(face.zt.NotSupported, match="streams"):
                async with peer.open_stream("keep"):
                    pass
            with pytest.raises(face.zt.NotSupported, match="dial it"):
                await peers[0].request("keep", b"")

    face.run(main)


@every_face
def test_one_way_messages_reach_a_subscription_or_a_handler(face: Face) -> None:
    async def main() -> None:
        async with pair(face) as (server, peer):
            handled: list[bytes] = []
            server.handle("handled", lambda message: handled.append(message.payload))
            server.handle("echo", lambda message: message.payload)
            subscription = server.subscribe("log")
            await peer.send("handled", b"x")
            expected = [b"%d" % number for number in range(5_000)]
            await peer.send_many("log", expected)
            got: list[bytes] = []
            async for messages in subscription:
                got += [message.payload for message in messages]
                if len(got) == len(expected):
                    break
            assert got == expected
            assert await peer.request("echo", b"behind") == b"behind"
            assert handled == [b"x"]

    face.run(main)


@every_face
def test_a_slow_subscription_holds_the_sender_back(face: Face) -> None:
    async def main() -> None:
        limits = face.zt.Limits(
            message_bytes_max=65_536, zeebe_message_bytes_max=65_536, subject_window_bytes=262_144
        )
        async with pair(face, limits=limits) as (server, peer):
            subscription = server.subscribe("log")
            sent = 0
            try:
                while True:
                    peer.send_nowait("log", bytes(60_000))
                    sent += 1
                    await face.checkpoint()
            except face.zt.WouldBlock:
                pass
            assert subscription.buffered_bytes <= limits.subject_window_bytes
            taken = 0
            async for messages in subscription:
                taken += len(messages)
                if taken == sent:
                    break
            await peer.wait_room("log")
            peer.send_nowait("log", b"again")

    face.run(main)


@every_face
def test_over_tls(face: Face, authority: Authority) -> None:
    async def main() -> None:
        leaf = authority.issue(["127.0.0.1"])
        server_tls = ztransport.TLSConfig(
            certificate_chain=leaf.chain_pem, private_key=leaf.key_pem
        )
        client_tls = ztransport.TLSConfig(trust=(authority.certificate_pem,))
        client_node = open_node(face, None, tls=client_tls)
        async with open_node(face, tls=server_tls, protocols=BOTH) as server, client_node as client:
            server.handle("echo", lambda message: message.payload)
            for protocol, alpn in (("zeebe", None), ("zt/1", "zt/1")):
                peer = await client.connect(server.address, protocol=protocol)
                assert await peer.request("echo", b"x") == b"x"
                assert peer.tls.alpn == alpn
        async with (
            open_node(face, tls=server_tls) as server,
            client_node_again(client_tls) as client,
        ):
            with pytest.raises(face.zt.ALPNRefused):
                await client.connect(server.address, protocol="zeebe")

    def client_node_again(tls: ztransport.TLSConfig) -> Any:
        return open_node(face, None, tls=tls)

    face.run(main)


@every_face
def test_a_mismatch_is_found_at_once(face: Face, authority: Authority) -> None:
    """T9, and what becomes of a Zeebe dialer at a door that does not take it."""

    async def main() -> None:
        leaf = authority.issue(["127.0.0.1"])
        tls = ztransport.TLSConfig(certificate_chain=leaf.chain_pem, private_key=leaf.key_pem)
        async with (
            open_node(face, protocols=BOTH) as plain,
            open_node(face, protocols=BOTH, tls=tls) as secure,
            open_node(face) as native,
            open_node(face, protocols=BOTH, cluster="other") as other,
            open_node(face, None) as client,
            open_node(face, None, tls=tls) as secure_client,
        ):
            with pytest.raises(face.zt.TLSPeer):
                await client.connect(secure.address, protocol="zeebe")
            with pytest.raises(face.zt.TLSError):
                await secure_client.connect(plain.address, protocol="zeebe")
            for node in (native, other):
                with pytest.raises(face.zt.WrongCluster):
                    await client.connect(node.address, protocol="zeebe")
                assert node.statistics().closed["bad_preface"] == 1

    face.run(main)


@pytest.mark.parametrize("face", FACES[:1], ids=["trio"])
def test_a_protocol_is_named_right(face: Face) -> None:
    async def main() -> None:
        for wrong in ({"protocols": ("zeebe",)}, {"protocols": ("zt/1", "amqp")}):
            with pytest.raises(face.zt.ConfigurationError, match="zt/1"):
                async with open_node(face, **wrong):
                    pass
        with pytest.raises(face.zt.ConfigurationError, match="snappy"):
            async with open_node(face, zeebe_compression="zstd"):
                pass
        async with open_node(face, None) as node:
            with pytest.raises(face.zt.ConfigurationError, match="zeebe"):
                await node.connect("127.0.0.1:1", protocol="amqp")

    face.run(main)


@pytest.mark.parametrize("pieces", [1, 2, 3, 5])
async def test_a_handshake_may_come_in_pieces_with_a_request_behind_it(pieces: int) -> None:
    async with open_node(FACES[0], protocols=BOTH, advertise="b:2") as node:
        node.handle("echo", lambda message: message.payload)
        host, _, port = node.address.rpartition(":")
        said = HANDSHAKE + ADDRESS + b"\x01\x01\x01x\x00\x04echo"
        expected = HANDSHAKE + b"\x00\x01b\x00\x00\x00\x02" + b"\x02\x01\x01x\x00"
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
            for start in range(0, len(said), pieces):
                await stream.send_all(said[start : start + pieces])
            got = b""
            while len(got) < len(expected):
                chunk = await stream.receive_some()
                assert chunk, f"the node ended after {got.hex()}"
                got += chunk
            assert got == expected


@pytest.mark.parametrize(
    "said",
    [b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", b"\x00" * 16],
    ids=["http", "ssh", "zeros"],
)
async def test_t8_strangers_are_turned_away(said: bytes) -> None:
    async with open_node(FACES[0], protocols=BOTH) as node:
        host, _, port = node.address.rpartition(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(said)
            while await stream.receive_some():
                pass
        assert node.statistics().closed["bad_preface"] == 1


@pytest.mark.parametrize("said", [b"", HANDSHAKE[:1], HANDSHAKE[:5]], ids=["none", "one", "five"])
async def test_t1_t2_t3_a_handshake_that_does_not_come_is_cut(said: bytes) -> None:
    limits = ztransport.Limits(hello_timeout_ms=50)
    async with open_node(FACES[0], protocols=BOTH, limits=limits) as node:
        host, _, port = node.address.rpartition(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            if said:
                await stream.send_all(said)
            while await stream.receive_some():
                pass
        statistics = node.statistics()
        assert statistics.closed == {"handshake_timeout": 1}
        assert statistics.handshaking == 0
