"""A cluster goes from plaintext to TLS and back, one node at a time, and nobody loses a call."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import ztransport
from tests.test_api_faces import Face, every_face, open_node
from ztransport.certs import Authority

NAMES = ["127.0.0.1", "localhost"]
PLAINTEXT = {"accept": "plaintext", "dial": "plaintext"}
STEPS = [
    {"accept": "permissive", "dial": "plaintext"},
    {"accept": "permissive", "dial": "tls"},
    {"accept": "tls", "dial": "tls"},
]


@pytest.fixture
def tls(authority: Authority) -> ztransport.TLSConfig:
    leaf = authority.issue(NAMES)
    return ztransport.TLSConfig(
        certificate_chain=leaf.chain_pem, private_key=leaf.key_pem, client_auth="optional"
    )


class Member:
    """One node of a mesh, each life of it in a task of its own; it answers, and asks the others."""

    def __init__(self, face: Face, name: str, folder: Path, tls: ztransport.TLSConfig) -> None:
        self.face, self.name, self.tls = face, name, tls
        self.address = f"unix:{folder / name}"
        self.node: Any = None
        self._end, self._ended = face.Event(), face.Event()
        self._ended.set()

    async def restart(self, tasks: Any, modes: dict[str, str]) -> None:
        await self.stop()
        self._end, self._ended, begun = (self.face.Event() for _ in range(3))
        tasks.start(lambda: self._live(modes, begun))
        await begun.wait()

    async def _live(self, modes: dict[str, str], begun: Any) -> None:
        settings = {"node_id": self.name, "tls": self.tls, **modes}
        async with open_node(self.face, self.address, **settings) as self.node:
            self.node.handle("echo", lambda message: message.payload)
            begun.set()
            await self._end.wait()
        self._ended.set()

    async def stop(self) -> None:
        self._end.set()
        await self._ended.wait()

    async def ask(self, others: list[Member], word: bytes) -> None:
        for other in others:
            peer = await self.node.connect(other.address)
            assert await peer.request("echo", word) == word

    @property
    def left(self) -> dict[str, int]:
        return dict(self.node.statistics().plaintext_connections)


async def step(face: Face, lives: Any, mesh: list[Member], modes: dict[str, str]) -> int:
    """Restart every member in turn while the others go on asking; returns their calls."""
    calls = 0
    for member in mesh:
        others = [other for other in mesh if other is not member]
        restarted = face.Event()

        async def traffic(asker: Member, done: Any = restarted) -> None:
            nonlocal calls
            while not done.is_set():
                await asker.ask([peer for peer in mesh if peer is not asker], b"x")
                calls += 1
                await face.checkpoint()

        async with face.tasks() as tasks:
            for other in others:
                tasks.start(partial(traffic, other))
            await member.restart(lives, modes)
            restarted.set()
        await member.ask(others, b"back")
    return calls


@every_face
def test_a_mesh_is_switched_and_switched_back(
    face: Face, tls: ztransport.TLSConfig, tmp_path: Path
) -> None:
    async def main() -> None:
        mesh = [Member(face, name, tmp_path, tls) for name in ("a", "b", "c")]
        async with face.tasks() as lives:
            for member in mesh:
                await member.restart(lives, PLAINTEXT)
            for member in mesh:
                await member.ask([other for other in mesh if other is not member], b"x")
            assert mesh[0].left == {"b": 2, "c": 2}
            for modes in (*STEPS, *STEPS[-2::-1], PLAINTEXT):
                assert await step(face, lives, mesh, modes) > 0
                if modes["dial"] == "tls":
                    assert [member.left for member in mesh] == [{}, {}, {}]
                else:
                    assert all(member.left for member in mesh)
            for member in mesh:
                await member.stop()

    face.run(main)


@every_face
def test_one_port_takes_both_and_counts_what_is_left(face: Face, tls: ztransport.TLSConfig) -> None:
    async def main() -> None:
        async with (
            open_node(face, tls=tls, accept="permissive", protocols=("zt/1", "zeebe")) as server,
            open_node(face, None, node_id="old") as old,
            open_node(face, None, node_id="new", tls=tls) as new,
        ):
            server.handle("echo", lambda message: message.payload)
            for node, protocol in [(old, "zt/1"), (new, "zt/1"), (old, "zeebe"), (new, "zeebe")]:
                peer = await node.connect(server.address, protocol=protocol)
                assert await peer.request("echo", b"x") == b"x"
                assert (peer.tls is None) == (node is old)
            left = server.statistics().plaintext_connections
            assert left.pop("old") == 1
            assert [(name.split(":")[0], count) for name, count in left.items()] == [
                ("127.0.0.1", 1)
            ]
            assert new.statistics().plaintext_connections == {}

    face.run(main)


@every_face
def test_a_dialler_told_to_use_tls_never_falls_back(face: Face, tls: ztransport.TLSConfig) -> None:
    async def main() -> None:
        async with (
            open_node(face, tls=tls, accept="plaintext") as server,
            open_node(face, None, tls=tls) as client,
        ):
            with pytest.raises(face.zt.PlaintextPeer):
                await client.connect(server.address)
            assert client.statistics().dialled == server.statistics().accepted == 1

    face.run(main)


@every_face
def test_plaintext_has_no_identity(face: Face, tls: ztransport.TLSConfig) -> None:
    async def main() -> None:
        restricted = replace(tls, allowed_identities=("localhost",))
        async with (
            open_node(face, tls=restricted, accept="permissive") as server,
            open_node(face, None) as client,
        ):
            with pytest.raises(face.zt.IdentityNotAllowed):
                await client.connect(server.address)
        async with (
            open_node(face, tls=tls, accept="permissive") as server,
            open_node(face, None, node_id="broker", tls=tls) as broker,
            open_node(face, None, node_id="broker") as thief,
        ):
            seen: list[Any] = []
            server.handle("who", lambda message: seen.append(message.peer.identity))
            await (await thief.connect(server.address)).request("who", b"")
            await (await broker.connect(server.address)).request("who", b"")
            assert seen[0] is None
            assert seen[1].dns == ("localhost",)
            with pytest.raises(face.zt.IdentityNotAllowed):
                await thief.connect(server.address, pooled=False)

    face.run(main)


@every_face
@pytest.mark.parametrize(
    ("modes", "with_tls", "words"),
    [
        ({"accept": "tls"}, False, 'accept="tls" needs a TLS configuration'),
        ({"accept": "permissive"}, False, 'accept="permissive" needs a TLS configuration'),
        ({"dial": "tls"}, False, 'dial="tls" needs a TLS configuration'),
        ({"accept": "both"}, True, "accept is plaintext, permissive or tls"),
        ({"dial": "permissive"}, True, "dial is plaintext or tls"),
    ],
)
def test_what_contradicts_itself_says_so(
    face: Face, tls: ztransport.TLSConfig, modes: dict[str, str], with_tls: bool, words: str
) -> None:
    async def main() -> None:
        with pytest.raises(face.zt.ConfigurationError, match=words):
            async with open_node(face, tls=tls if with_tls else None, **modes):
                raise AssertionError("it opened")

    face.run(main)


@every_face
def test_the_configuration_may_say_it_and_the_call_wins(
    face: Face, tls: ztransport.TLSConfig
) -> None:
    async def main() -> None:
        chosen = replace(tls, accept="permissive", dial="plaintext")
        async with open_node(face, tls=chosen) as server, open_node(face, None) as old:
            assert (await old.connect(server.address)).tls is None
            assert (await server.connect(server.address)).tls is None
            async with open_node(face, None, tls=chosen, dial="tls") as new:
                assert (await new.connect(server.address)).tls is not None

    face.run(main)


def test_a_zeebe_file_may_say_it(tmp_path: Path, authority: Authority) -> None:
    authority.issue(NAMES).write(tmp_path, "node")
    (tmp_path / "application.yaml").write_text(
        "zeebe.broker.network.security:\n"
        "  enabled: true\n"
        "  certificateChainPath: node.chain.pem\n"
        "  privateKeyPath: node.key.pem\n"
        "  accept: permissive\n"
    )
    dial = {"ZEEBE_BROKER_NETWORK_SECURITY_DIAL": "plaintext"}
    file = tmp_path / "application.yaml"
    config = ztransport.zeebe_security(file, environ=dial, base_dir=tmp_path)
    assert config is not None
    assert (config.accept, config.dial) == ("permissive", "plaintext")
    config = ztransport.zeebe_security(file, environ={}, base_dir=tmp_path)
    assert config is not None
    assert config.dial == "tls"


def test_a_zeebe_file_may_bind_node_ids_and_roles(tmp_path: Path, authority: Authority) -> None:
    authority.issue(NAMES).write(tmp_path, "node")
    file = tmp_path / "application.yaml"
    file.write_text(
        "zeebe.broker.network.security:\n"
        "  enabled: true\n"
        "  certificateChainPath: node.chain.pem\n"
        "  privateKeyPath: node.key.pem\n"
        "  nodeIdentities: ['*=spiffe://c/{node_id}', Odd=odd.example]\n"
    )
    variable = "ZEEBE_BROKER_NETWORK_SECURITY_ROLEIDENTITIES"
    config = ztransport.zeebe_security(file, environ={variable: "*={role}.c"}, base_dir=tmp_path)
    assert config is not None
    assert config.node_identities == {"*": "spiffe://c/{node_id}", "Odd": "odd.example"}
    assert config.role_identities == {"*": "{role}.c"}
    config.load()
    with pytest.raises(ztransport.ConfigurationError, match="NAME=PATTERN"):
        ztransport.zeebe_security(file, environ={variable: "broker"}, base_dir=tmp_path)
