"""The walk-through of Zeebe's page on secure cluster communication, line by line, and what it says.

Its commands are run as they stand there; what they make must form a cluster.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from cryptography import x509

import ztransport as zt
from tests.openssl import needs_openssl, openssl, shell
from tests.test_tls_refusals import ended

pytestmark = [needs_openssl, pytest.mark.slow]

CLUSTER = "zeebe-cluster"
NODES = "ABC"

AUTHORITY = r"""
openssl req -config <(printf "[req]\ndistinguished_name=dn\n[dn]\n[ext]\nbasicConstraints=CA:TRUE,pathlen:0") -new -newkey rsa:2048 -nodes -subj "/C=DE/O=Test/OU=Test/ST=BE/CN=cluster.local" -x509 -extensions ext -keyout ca.key -out ca.pem
"""  # noqa: E501 as on the page

REQUESTS = """
openssl genpkey -out nodeA.key -algorithm RSA -pkeyopt rsa_keygen_bits:2048
openssl genpkey -out nodeB.key -algorithm RSA -pkeyopt rsa_keygen_bits:2048
openssl genpkey -out nodeC.key -algorithm RSA -pkeyopt rsa_keygen_bits:2048
openssl req -new -key nodeA.key -out nodeA.csr
openssl req -new -key nodeB.key -out nodeB.csr
openssl req -new -key nodeC.key -out nodeC.csr
"""

CERTIFICATES = """
openssl x509 -req -days 365 -in nodeA.csr -CA ca.pem -CAkey ca.key -set_serial 01 -extfile <(printf "subjectAltName = IP.1:127.0.0.1") -out nodeA.pem
openssl x509 -req -days 365 -in nodeB.csr -CA ca.pem -CAkey ca.key -set_serial 01 -extfile <(printf "subjectAltName = IP.1:127.0.0.1") -out nodeB.pem
openssl x509 -req -days 365 -in nodeC.csr -CA ca.pem -CAkey ca.key -set_serial 01 -extfile <(printf "subjectAltName = IP.1:127.0.0.1") -out nodeC.pem
"""  # noqa: E501 as on the page

EXTENSION = ' -extfile <(printf "subjectAltName = IP.1:127.0.0.1")'

CHAINS = """
cat nodeA.pem ca.pem > chainNodeA.pem
cat nodeB.pem ca.pem > chainNodeB.pem
cat nodeC.pem ca.pem > chainNodeC.pem
"""

SETTINGS = """
zeebe:
  broker:
    network:
      security:
        enabled: true
        certificateChainPath: chainNode{node}.pem
        privateKeyPath: node{node}.key
"""

SHARED = (
    "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=shared -days 1"
    " -keyout shared.key -out shared.pem"
)


def walk(folder: Path, certificates: str) -> list[zt.TLSConfig]:
    """Do what the page says in ``folder``; the settings of the three nodes."""
    shell(AUTHORITY + REQUESTS + certificates + CHAINS, folder)
    return [settings(folder, node) for node in NODES]


def settings(folder: Path, node: str) -> zt.TLSConfig:
    file = folder / f"node{node}.yaml"
    file.write_text(SETTINGS.format(node=node))
    config = zt.zeebe_security(file, environ={}, base_dir=folder)
    assert config is not None
    return config


async def talk(configs: list[zt.TLSConfig]) -> None:
    """Open a node for each and let everybody ask everybody else."""
    async with AsyncExitStack() as stack:
        nodes = []
        for number, config in enumerate(configs):
            opened = zt.open_node("127.0.0.1:0", cluster=CLUSTER, node_id=str(number), tls=config)
            nodes.append(await stack.enter_async_context(opened))
        for node in nodes:
            node.handle("echo", lambda message: message.payload)
        for asking in nodes:
            for asked in nodes:
                peer = await asking.connect(asked.address or "")
                assert await peer.request("echo", b"hello") == b"hello"
                assert peer.tls is not None


async def test_the_walk_through_makes_a_cluster(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    configs = walk(tmp_path, CERTIFICATES)
    await talk(configs)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_the_walk_through_passes_the_standard_profile(tmp_path: Path) -> None:
    walk(tmp_path, CERTIFICATES)
    await talk([plain(tmp_path, node) for node in NODES])
    refused = plain(tmp_path, "A", profile="strict", trust=(tmp_path / "ca.pem",))
    with pytest.raises(zt.ConfigurationError, match="extended key usage"):
        refused.load()


def plain(folder: Path, node: str, **choices: object) -> zt.TLSConfig:
    return zt.TLSConfig(
        certificate_chain_path=folder / f"chainNode{node}.pem",
        private_key_path=folder / f"node{node}.key",
        **choices,  # type: ignore[arg-type]
    )


@pytest.fixture
def version_1(tmp_path: Path) -> list[zt.TLSConfig]:
    """The variant without -extfile, which some versions of openssl make version 1."""
    configs = walk(tmp_path, CERTIFICATES.replace(EXTENSION, ""))
    leaf = x509.load_pem_x509_certificate((tmp_path / "nodeA.pem").read_bytes())
    if leaf.version is not x509.Version.v1:
        pytest.skip(f"{openssl('version').decode().strip()} makes version 3 without being told")
    return configs


async def test_the_variant_without_names_makes_a_cluster_and_a_warning(
    version_1: list[zt.TLSConfig], caplog: pytest.LogCaptureFixture
) -> None:
    await talk(version_1)
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == len(NODES)
    assert all("not of X.509 version 3" in text for text in warnings)
    assert all("subjectAltName" in text for text in warnings)


@pytest.mark.parametrize("profile", ["standard", "strict", "spiffe"])
async def test_other_profiles_refuse_the_variant_and_say_what_to_add(
    version_1: list[zt.TLSConfig], tmp_path: Path, profile: str
) -> None:
    trust = (tmp_path / "ca.pem",)
    with pytest.raises(zt.ConfigurationError, match="subjectAltName"):
        plain(tmp_path, "A", profile=profile, trust=trust).load()
    if profile == "spiffe":
        return
    judge = zt.TLSConfig(trust=trust, profile=profile)  # type: ignore[arg-type]
    async with (
        zt.open_node("127.0.0.1:0", cluster=CLUSTER, node_id="a", tls=version_1[0]) as server,
        zt.open_node(None, cluster=CLUSTER, node_id="b", tls=judge) as client,
    ):
        with pytest.raises(zt.CertificateVersion, match="subjectAltName"):
            await client.connect(server.address or "")
        assert await ended(server) == {"bad_certificate": 1}


def foreign(folder: Path) -> None:
    """A namesake of the authority, which has another key."""
    (folder / "foreign").mkdir()
    walk(folder / "foreign", CERTIFICATES.replace(EXTENSION, ""))


def of_foreign_issuer(folder: Path) -> None:
    foreign(folder)
    (folder / "chainNodeB.pem").write_bytes((folder / "foreign/nodeB.pem").read_bytes())
    (folder / "nodeB.key").write_bytes((folder / "foreign/nodeB.key").read_bytes())


def tampered(folder: Path) -> None:
    """One bit of the signature, which ends the certificate, is turned."""
    der = bytearray(openssl("x509", "-in", str(folder / "nodeB.pem"), "-outform", "DER"))
    der[-1] ^= 1
    (folder / "nodeB.der").write_bytes(der)
    (folder / "chainNodeB.pem").write_bytes(bytes(der))


@pytest.mark.parametrize("damage", [of_foreign_issuer, tampered])
async def test_a_leaf_of_version_1_is_verified_all_the_same(
    version_1: list[zt.TLSConfig], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    damage(tmp_path)
    shown = settings(tmp_path, "B")
    async with (
        zt.open_node("127.0.0.1:0", cluster=CLUSTER, node_id="b", tls=shown) as server,
        zt.open_node(None, cluster=CLUSTER, node_id="a", tls=version_1[0]) as client,
    ):
        with pytest.raises(zt.UntrustedIssuer):
            await client.connect(server.address or "")
        assert await ended(server) == {"untrusted_issuer": 1}


async def test_one_shared_self_signed_certificate_makes_a_cluster(tmp_path: Path) -> None:
    shell(SHARED, tmp_path)
    files = {
        "certificate_chain_path": tmp_path / "shared.pem",
        "private_key_path": tmp_path / "shared.key",
    }
    for profile in ("standard", "zeebe"):
        await talk([zt.TLSConfig(**files, profile=profile)] * 3)  # type: ignore[arg-type]
