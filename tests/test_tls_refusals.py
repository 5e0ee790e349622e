"""Who is refused, by which exception on the side that decides and by which on the other."""

from __future__ import annotations

import datetime
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import ztransport as zt
from ztransport.certs import Authority, Leaf, create_authority

CLUSTER = "tests"
LOOPBACK = ["127.0.0.1", "localhost"]


def config(leaf: Leaf, **choices: Any) -> zt.TLSConfig:
    return zt.TLSConfig(certificate_chain=leaf.chain_pem, private_key=leaf.key_pem, **choices)


async def ended(node: zt.Node) -> dict[str, int]:
    """Why connections of a node ended, as soon as one has; the test's own limit bounds this."""
    while not node.statistics().closed:
        await trio.lowlevel.checkpoint()
    return node.statistics().closed


async def meet(listener: zt.TLSConfig, dialer: zt.TLSConfig) -> tuple[type | None, set[str]]:
    """What the dialer raised, and the reasons the listener counted."""
    async with (
        zt.open_node("127.0.0.1:0", cluster=CLUSTER, node_id="server", tls=listener) as server,
        zt.open_node(None, cluster=CLUSTER, node_id="client", tls=dialer) as client,
    ):
        try:
            await client.connect(server.address or "", pooled=False)
        except zt.Error as error:
            return type(error), set(await ended(server))
        return None, set(server.statistics().closed)


async def judged(judge: zt.TLSConfig, shown: zt.TLSConfig) -> list[tuple[type | None, set[str]]]:
    """How a judging node fares as dialer and as listener."""
    return [await meet(shown, judge), await meet(replace(judge, client_auth="required"), shown)]


async def test_c5_a_revoked_certificate(authority: Authority, tmp_path: Path) -> None:
    good, bad = authority.issue(LOOPBACK), authority.issue(LOOPBACK)
    crl = tmp_path / "ca.crl"
    crl.write_bytes(authority.revoke([bad]))
    judge = config(authority.issue(LOOPBACK), crl_paths=(crl,))
    refused = (zt.CertificateRevoked, {"certificate_revoked"})
    assert await judged(judge, config(bad)) == [refused, refused]
    assert await judged(judge, config(good)) == [(None, set()), (None, set())]


async def test_c5_a_certificate_no_list_covers(authority: Authority, tmp_path: Path) -> None:
    crl = tmp_path / "other.crl"
    crl.write_bytes(create_authority("another").revoke([]))
    judge = config(authority.issue(LOOPBACK), crl_paths=(crl,))
    shown = config(authority.issue(LOOPBACK))
    refused = (zt.TLSError, {"bad_certificate"})
    assert await judged(judge, shown) == [refused, refused]


def test_c5_lists_that_cannot_be_used_are_named(authority: Authority, tmp_path: Path) -> None:
    crl, leaf = tmp_path / "ca.crl", authority.issue(LOOPBACK)
    for content, words in [
        (authority.revoke([], days=-0.001), "was good until"),
        (leaf.chain_pem, "X509 CRL"),
        (b"", "is empty"),
        (create_authority("ztransport tests").revoke([]), "did not sign"),
    ]:
        crl.write_bytes(content)
        with pytest.raises(zt.ConfigurationError, match=f"{crl}: .*{words}"):
            config(leaf, crl_paths=(crl,)).load()


def test_c5_an_authority_without_the_right_to_revoke_is_not_heard(tmp_path: Path) -> None:
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "no lists")])
    key = ec.generate_private_key(ec.SECP256R1())
    rights = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
    )
    usage = x509.KeyUsage(
        digital_signature=False,
        key_cert_sign=True,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
        **rights,
    )
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    authority = Authority(certificate.sign(key, hashes.SHA256()), key)
    crl = tmp_path / "ca.crl"
    crl.write_bytes(authority.revoke([]))
    with pytest.raises(zt.ConfigurationError, match="lacks cRLSign"):
        config(authority.issue(LOOPBACK), crl_paths=(crl,)).load()


async def test_c8_a_certificate_for_the_other_role(authority: Authority) -> None:
    judge = config(authority.issue(LOOPBACK))
    for_dialing = config(authority.issue(LOOPBACK, usages=["client"]))
    for_listening = config(authority.issue(LOOPBACK, usages=["server"]))
    refused, accepted = (zt.WrongKeyUsage, {"wrong_key_usage"}), (None, set[str]())
    assert await judged(judge, for_dialing) == [refused, accepted]
    assert await judged(judge, for_listening) == [accepted, refused]


async def test_c10_an_identity_that_is_not_allowed(authority: Authority) -> None:
    uri = "spiffe://cluster/broker/1"
    shown = config(authority.issue([*LOOPBACK, uri]))
    refused, accepted = (zt.IdentityNotAllowed, {"identity_not_allowed"}), (None, set[str]())
    for patterns, outcome in [
        ((uri,), accepted),
        (("spiffe://cluster/broker/*",), accepted),
        (("spiffe://cluster/gateway/*",), refused),
        (("localhost", f"!{uri}"), refused),
    ]:
        judge = config(authority.issue(LOOPBACK), allowed_identities=patterns)
        assert await judged(judge, shown) == [outcome, outcome], patterns


async def test_c10_nobody_is_on_no_list(authority: Authority) -> None:
    listener = config(authority.issue(LOOPBACK), allowed_identities=("localhost",))
    nobody = zt.TLSConfig(trust=(authority.certificate_pem,))
    refused = (zt.ClientCertificateRequired, {"no_client_certificate"})
    assert await meet(listener, nobody) == refused


NODE_ID = {"*": "{node_id}.example", "server": "spiffe://cluster/broker/server"}


async def test_a_node_id_must_be_borne_out_by_the_certificate(authority: Authority) -> None:
    def member(*names: str) -> zt.TLSConfig:
        return config(authority.issue([*LOOPBACK, *names]), client_auth="required")

    server, client = member("spiffe://cluster/broker/server"), member("client.example")
    judging = {"node_identities": NODE_ID}
    proven = replace(server, **judging), replace(client, **judging)  # type: ignore[arg-type]
    assert await meet(*proven) == (None, set())
    liar = member("another.example")
    _, reasons = await meet(proven[0], liar)
    assert reasons == {"identity_not_allowed"}
    assert (await meet(liar, proven[1]))[0] is zt.IdentityNotAllowed


async def test_a_false_node_id_reaches_no_handler(authority: Authority) -> None:
    server = config(authority.issue(LOOPBACK), node_identities={"*": "{node_id}.example"})
    liar = config(authority.issue([*LOOPBACK, "a.example"]))
    served: list[bytes] = []
    async with (
        zt.open_node("127.0.0.1:0", cluster=CLUSTER, node_id="server", tls=server) as listener,
        zt.open_node(None, cluster=CLUSTER, node_id="b", tls=liar) as dialer,
    ):
        listener.handle("x", lambda message: served.append(message.payload))
        with suppress(zt.Error):
            peer = await dialer.connect(listener.address or "", pooled=False)
            await peer.request("x", b"x")
        assert await ended(listener) == {"identity_not_allowed": 1}
    assert served == []


async def test_roles_are_told_and_must_be_borne_out_where_that_is_asked(
    authority: Authority,
) -> None:
    by_role = {"*": "spiffe://cluster/{role}/{node_id}"}
    listening = config(authority.issue(LOOPBACK), role_identities=by_role)
    broker = config(authority.issue([*LOOPBACK, "spiffe://cluster/broker/b"]))
    settings: dict[str, Any] = {"cluster": CLUSTER, "node_id": "b", "tls": broker}
    seen: list[Any] = []
    async with zt.open_node(
        "127.0.0.1:0", cluster=CLUSTER, node_id="a", tls=listening, roles=("x", "y")
    ) as node:
        node.handle("who", lambda message: seen.append(message.peer.roles))
        for roles in ((), ("broker",)):
            async with zt.open_node(None, roles=roles, **settings) as dialer:
                peer = await dialer.connect(node.address or "")
                assert peer.roles == ("x", "y")
                await peer.request("who", b"")
        assert seen == [(), ("broker",)]
        async with zt.open_node(None, roles=("broker", "gateway"), **settings) as dialer:
            with pytest.raises(zt.IdentityNotAllowed):
                await dialer.connect(node.address or "")
    with pytest.raises(zt.ConfigurationError, match="roles is a tuple"):
        async with zt.open_node(None, roles="broker", **settings):
            pass
    with pytest.raises(zt.ConfigurationError, match="at most 16"):
        async with zt.open_node(None, roles=["r"] * 17, **settings):
            pass


async def test_c11_spiffe(authority: Authority) -> None:
    def member(*names: str) -> zt.TLSConfig:
        return config(authority.issue([*names]), profile="spiffe")

    ours = member("spiffe://ours/a")
    refused, accepted = (zt.IdentityNotAllowed, {"identity_not_allowed"}), (None, set[str]())
    assert await judged(ours, member("spiffe://ours/b")) == [accepted, accepted]
    for names in (["spiffe://away/b"], ["spiffe://ours/b", "spiffe://ours/c"], ["localhost"]):
        shown = config(authority.issue(names), verify_hostname=False)
        assert await judged(ours, shown) == [refused, refused], names


async def test_strict_nodes_of_our_own_making_meet(authority: Authority) -> None:
    trust = (authority.certificate_pem,)
    strict = config(authority.issue(LOOPBACK), profile="strict", trust=trust)
    assert await judged(strict, strict) == [(None, set()), (None, set())]


async def test_the_end_of_a_certificate_is_seen_by_handlers(authority: Authority) -> None:
    tls = config(authority.issue(LOOPBACK), client_auth="required")
    seen: list[Any] = []
    async with zt.open_node("127.0.0.1:0", cluster=CLUSTER, node_id="a", tls=tls) as node:
        node.handle("who", lambda message: seen.append(message.peer.certificate_not_after))
        await (await node.connect(node.address or "")).request("who", b"")
    (not_after,) = seen
    assert not_after > datetime.datetime.now(datetime.UTC)


async def test_the_systems_authorities_are_an_explicit_choice(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(authority.certificate_pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    listener = config(authority.issue(LOOPBACK))
    unasked = config(create_authority("another").issue(LOOPBACK))
    assert await meet(listener, zt.TLSConfig(trust=("system",))) == (None, set())
    refused = (zt.UntrustedIssuer, {"untrusted_issuer"})
    assert await meet(listener, unasked) == refused
    bundle.write_bytes(authority.issue(LOOPBACK).chain_pem.split(b"-----END")[0])
    with pytest.raises(zt.ConfigurationError, match="none were found"):
        zt.TLSConfig(trust=("system",)).load()
