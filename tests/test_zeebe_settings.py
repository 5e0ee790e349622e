"""Zeebe's YAML sections and environment variables, and what is said of mistakes in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization as pem
from cryptography.hazmat.primitives.serialization import pkcs12

import ztransport as zt
from ztransport.certs import Authority
from ztransport.zeebe_settings import Role

BROKER = "ZEEBE_BROKER_NETWORK_SECURITY_"
GATEWAY = "ZEEBE_GATEWAY_CLUSTER_SECURITY_"


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Path:
    """A base directory with chain.pem and key.pem of one node, and store.p12."""
    chain, key = authority.issue(["127.0.0.1"]).write(tmp_path, "node")
    chain.rename(tmp_path / "chain.pem")
    key.rename(tmp_path / "key.pem")
    return tmp_path


def read(
    folder: Path, yaml: str, role: Role = "broker", environ: dict[str, str] | None = None
) -> zt.TLSConfig | None:
    file = folder / "application.yaml"
    file.write_text(yaml)
    return zt.zeebe_security(file, role, environ or {}, base_dir=folder)


def section(text: str, path: str = "zeebe.broker.network.security") -> str:
    lines = [f"{'  ' * depth}{key}:" for depth, key in enumerate(path.split("."))]
    inner = [f"{'  ' * len(lines)}{line}" for line in text.splitlines()]
    return "\n".join([*lines, *inner])


PEM_FILES = "certificateChainPath: chain.pem\nprivateKeyPath: key.pem\n"
ENABLED = "enabled: true\n" + PEM_FILES


@pytest.mark.parametrize("text", ["", "enabled: false", "enabled:", "enabled: off", PEM_FILES])
def test_tls_is_off_unless_it_is_enabled(folder: Path, text: str) -> None:
    assert read(folder, section(text) if text else "") is None


@pytest.mark.parametrize(
    ("role", "path"),
    [
        ("broker", "zeebe.broker.network.security"),
        ("gateway", "zeebe.gateway.cluster.security"),
    ],
)
def test_each_role_has_its_section(folder: Path, role: Role, path: str) -> None:
    config = read(folder, section(ENABLED, path), role)
    assert config is not None
    assert config.certificate_chain_path == folder / "chain.pem"
    assert config.private_key_path == folder / "key.pem"
    assert (config.profile, config.trust, config.client_auth) == ("zeebe", ("chain",), "none")
    config.load()
    other: Role = "gateway" if role == "broker" else "broker"
    assert read(folder, section(ENABLED, path), other) is None


def test_the_environment_wins(folder: Path) -> None:
    wrong = section("enabled: false\ncertificateChainPath: no\nprivateKeyPath: no")
    given = {
        "ENABLED": "TRUE",
        "CERTIFICATECHAINPATH": "chain.pem",
        "PRIVATEKEYPATH": str(folder / "key.pem"),
    }
    roles: list[tuple[Role, str]] = [("broker", BROKER), ("gateway", GATEWAY)]
    for role, prefix in roles:
        variables = {prefix + name: value for name, value in given.items()}
        config = read(folder, wrong, role, variables)
        assert config is not None
        config.load()
        assert zt.zeebe_security(None, role, variables, folder) == config
    off = {BROKER + "ENABLED": "false"}
    assert read(folder, section(ENABLED), environ=off) is None


DOTTED = """
zeebe.broker.network.security.enabled: true
zeebe.broker.network.security.certificateChainPath: chain.pem
zeebe.broker.network.security.privateKeyPath: key.pem
"""


@pytest.mark.parametrize(
    "yaml",
    [
        DOTTED,
        section(
            "enabled: yes\ncertificate-chain-path: chain.pem\nprivate_key_path: '${K:key.pem}'"
        ),
        section("enabled: false") + "\n---\n" + section(ENABLED),
    ],
    ids=["dotted", "kebab", "documents"],
)
def test_what_spring_reads_is_read(folder: Path, yaml: str) -> None:
    config = read(folder, yaml)
    assert config is not None
    config.load()


def test_relative_paths_are_below_the_working_directory_by_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    read(folder, section(ENABLED))
    config = zt.zeebe_security("application.yaml", environ={})
    assert config is not None
    assert config.private_key_path == folder / "key.pem"


def test_a_key_store_serves_both(folder: Path, authority: Authority) -> None:
    leaf = authority.issue(["127.0.0.1"])
    key: Any = pem.load_pem_private_key(leaf.key_pem, None)
    certificates = x509.load_pem_x509_certificates(leaf.chain_pem)
    store = pkcs12.serialize_key_and_certificates(
        b"node", key, certificates[0], certificates[1:], pem.BestAvailableEncryption(b"12345")
    )
    (folder / "store.p12").write_bytes(store)
    yaml = section("enabled: true\nkeyStore:\n  filePath: store.p12\n  password: 12345")
    config = read(folder, yaml)
    assert config is not None
    config.load()
    assert "12345" not in repr(config)
    changed = {BROKER + "KEYSTORE_PASSWORD": "another"}
    wrong = read(folder, yaml, environ=changed)
    assert wrong is not None
    with pytest.raises(zt.ConfigurationError, match="store.p12.*another one"):
        wrong.load()
    with pytest.raises(zt.ConfigurationError, match="keyStore.filePath.*choose one"):
        read(folder, yaml + "\n" + " " * 8 + "certificateChainPath: chain.pem")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("enabled: true", "certificateChainPath .*is not set"),
        ("enabled: true\ncertificateChainPath: chain.pem", "privateKeyPath .*is not set"),
        ("enabled: true\ncertificateChainPath: no.pem", "certificateChainPath .*no.pem"),
        (ENABLED.replace("key.pem", "no.pem"), "privateKeyPath .*no.pem"),
        ("enabled: true\nkeyStore:\n  filePath: no.p12", "keyStore.filePath .*no.p12"),
        ("enabled: perhaps", "enabled .*true or false"),
        ("enabled: true\ncertificateChainPath: ${NOWHERE}", "refers to NOWHERE"),
        ("enabled: true\nkeyPath: key.pem", "no key 'keypath'; it has enabled,"),
        (ENABLED + "privateKeyPassword: env:NOWHERE", "NOWHERE"),
        (ENABLED + "profile: lax", "profile"),
    ],
)
def test_mistakes_are_named_by_key_and_variable(folder: Path, text: str, words: str) -> None:
    with pytest.raises(zt.ConfigurationError, match=words):
        read(folder, section(text))


def test_files_that_are_no_settings_are_named(folder: Path) -> None:
    with pytest.raises(zt.ConfigurationError, match="No such file"):
        zt.zeebe_security(folder / "none.yaml", environ={})
    for text in ("a: [secret", "password: !!python/object/apply:os.system ['true']", "[" * 5000):
        with pytest.raises(zt.ConfigurationError, match="is not YAML") as raised:
            read(folder, text)
        assert "secret" not in str(raised.value)
    with pytest.raises(zt.ConfigurationError, match="larger than"):
        read(folder, "#" * (1 << 20) + "\n")
    with pytest.raises(zt.ConfigurationError, match="role"):
        zt.zeebe_security(None, "client")  # type: ignore[arg-type]


def test_our_own_choices_stand_beside_zeebes(folder: Path) -> None:
    yaml = section(
        ENABLED
        + "trust: [chain, ca.pem]\nclientAuth: required\nverifyHostname: false\nprofile: strict\n"
        + "allowedIdentities: '*.example, !bad.example'\ncrlPaths: [ca.crl]\n"
        + "privateKeyPassword: file:password"
    )
    config = read(folder, yaml)
    assert config is not None
    assert config.trust == ("chain", folder / "ca.pem")
    assert config.client_auth == "required"
    assert not config.verify_hostname
    assert config.profile == "strict"
    assert config.allowed_identities == ("*.example", "!bad.example")
    assert config.crl_paths == (folder / "ca.crl",)
    assert config.private_key_password == folder / "password"
