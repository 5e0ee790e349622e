"""Keys beyond the matrix of bench/keys: passwords from everywhere, fetched, damaged, weak."""

from __future__ import annotations

import base64
import contextlib
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12

import ztransport as zt
from bench.keys.forms import PASSWORD, Pair, pair, sealed_by_pbes2
from tests.openssl import needs_openssl, openssl


@pytest.fixture(scope="module")
def p256() -> Pair:
    return pair(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="module")
def rsa2048() -> Pair:
    return pair(rsa.generate_private_key(65537, 2048))


def load(own: Pair, key: bytes, password: Any = None, **choices: Any) -> None:
    zt.TLSConfig(
        certificate_chain=own.chain, private_key=key, private_key_password=password, **choices
    ).load()


def refusal(own: Pair, key: bytes, password: Any = None, **choices: Any) -> str:
    with pytest.raises(zt.ConfigurationError) as raised:
        load(own, key, password, **choices)
    said = str(raised.value) + repr(raised.value)
    for secret in (PASSWORD.decode(), *own.secrets()[1:3]):
        assert secret not in said
    assert said.startswith(("private_key:", "certificate_chain:"))
    return said


def write(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "node.key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_password_comes_from_everywhere(
    p256: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    file.write_bytes(PASSWORD + b"\r\nnot this line\n")
    monkeypatch.setenv("ZT_TEST_PASSWORD", PASSWORD.decode())
    key = p256.pem(password=PASSWORD)
    sources = [file, f"file:{file}", "env:ZT_TEST_PASSWORD", PASSWORD.decode()]
    for given in (*sources, lambda: PASSWORD, PASSWORD.decode):
        load(p256, key, given)
        config = zt.TLSConfig(private_key=key, private_key_password=given)  # type: ignore[arg-type]
        assert PASSWORD.decode() not in repr(config)


@pytest.mark.parametrize("given", ["env:ZT_TEST_NOT_SET", "file:/nonexistent/password"])
def test_a_password_that_is_not_there_is_named(p256: Pair, given: str) -> None:
    with pytest.raises(zt.ConfigurationError, match=given.split(":")[1]):
        load(p256, p256.pem(password=PASSWORD), given)


def test_a_password_file_is_bounded(p256: Pair, tmp_path: Path) -> None:
    file = tmp_path / "password"
    for content in (b"", b"\n", b"x" * 4097):
        file.write_bytes(content)
        with pytest.raises(zt.ConfigurationError, match="first line"):
            load(p256, p256.pem(password=PASSWORD), file)


def test_certificates_and_keys_can_be_fetched(p256: Pair) -> None:
    zt.TLSConfig(
        certificate_chain=lambda: p256.chain,
        private_key=p256.pem,
        trust=("chain", lambda: p256.chain),
    ).load()


def test_what_a_fetching_function_raises_goes_through(p256: Pair) -> None:
    def fetch() -> bytes:
        raise LookupError("the vault is sealed")

    with pytest.raises(LookupError, match="sealed"):
        zt.TLSConfig(certificate_chain=p256.chain, private_key=fetch).load()


def test_pkcs12_holds_key_and_chain(p256: Pair, tmp_path: Path) -> None:
    zt.TLSConfig(private_key=p256.store(None)).load()
    zt.TLSConfig(private_key=p256.store(PASSWORD), private_key_password=PASSWORD).load()
    load(p256, p256.store(PASSWORD), PASSWORD)
    path = write(tmp_path, p256.store(PASSWORD))
    both = {"certificate_chain_path": path, "private_key_path": path}
    zt.TLSConfig(**both, private_key_password=PASSWORD).load()  # type: ignore[arg-type]


def test_damaged_stores_open_or_are_refused(p256: Pair) -> None:
    seal = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(1)
    seal = seal.key_cert_algorithm(pkcs12.PBES.PBESv2SHA256AndAES256CBC)
    store = pkcs12.serialize_key_and_certificates(
        b"n", p256.key, p256.certificate, None, seal.build(PASSWORD)
    )
    zt.TLSConfig(private_key=store, private_key_password=PASSWORD).load()
    for place in range(len(store)):
        damaged = bytearray(store)
        damaged[place] ^= 0x5A
        config = zt.TLSConfig(private_key=bytes(damaged), private_key_password=PASSWORD)
        with contextlib.suppress(zt.ConfigurationError):
            config.load()
    for length in range(0, len(store), 7):
        refusal(p256, store[:length], PASSWORD)


@needs_openssl
@pytest.mark.parametrize("cipher", [["-v1", "PBE-SHA1-3DES"], ["-v2", "des3"]])
def test_pbes1_and_3des_are_refused(p256: Pair, tmp_path: Path, cipher: list[str]) -> None:
    plain = write(tmp_path, p256.pem())
    seal = ["-passout", f"pass:{PASSWORD.decode()}"]
    key = openssl("pkcs8", "-topk8", "-in", str(plain), *cipher, *seal)
    assert "is encrypted" in refusal(p256, key, PASSWORD)


@needs_openssl
def test_scrypt_opens(p256: Pair, tmp_path: Path) -> None:
    plain = write(tmp_path, p256.pem())
    seal = ["-in", str(plain), "-passout", f"pass:{PASSWORD.decode()}"]
    load(p256, openssl("pkcs8", "-topk8", *seal, "-scrypt"), PASSWORD)


def test_a_key_that_asks_for_endless_work_is_refused(p256: Pair) -> None:
    assert "more work" in refusal(p256, sealed_by_pbes2((1 << 24) + 1), PASSWORD)
    assert "more work" in refusal(p256, sealed_by_pbes2(99_999_999), PASSWORD)


def test_the_form_of_lines_does_not_matter(p256: Pair) -> None:
    key = p256.pem()
    for dressed in (
        key.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + key,
        b"Bag Attributes: none\n" + key + b"trailing junk\n",
        p256.chain + key,
        key.rstrip(),
    ):
        load(p256, dressed)


@pytest.mark.parametrize(
    "damage",
    [
        lambda key: key[: len(key) // 2],
        lambda key: key.replace(b"-----END", b"-----ENT"),
        lambda key: key.replace(b"PRIVATE KEY", b"NOVEL"),
        lambda key: key.replace(b"A", b"!", 1),
        lambda _: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        lambda key: base64.b64decode(b"".join(key.splitlines()[1:-1]))[:-9],
        lambda _: b"\x00" * 100,
        lambda _: b"",
    ],
)
def test_damaged_keys_are_refused(p256: Pair, damage: Callable[[bytes], bytes]) -> None:
    refusal(p256, damage(p256.pem()))


def test_dates_of_ones_own_chain_are_checked_at_start() -> None:
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    key = ec.generate_private_key(ec.SECP256R1())
    expired = pair(key, begins=now - 3 * day, ends=now - day)
    early = pair(key, begins=now + day, ends=now + 3 * day)
    assert "has expired" in refusal(expired, expired.pem())
    assert "not valid yet" in refusal(early, early.pem())


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (lambda: rsa.generate_private_key(65537, 1024), "1024 bits|neither an RSA"),
        (lambda: rsa.generate_private_key(65537, 2052), "2052 bits|neither an RSA"),
        (lambda: rsa.generate_private_key(3, 2048), "exponent|neither an RSA"),
        (lambda: ec.generate_private_key(ec.SECP192R1()), "neither an RSA"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), "neither an RSA"),
    ],
    ids=["rsa1024", "rsa2052", "exponent3", "p192", "secp256k1"],
)
def test_c9_weak_keys_are_refused(key: Callable[[], Any], words: str) -> None:
    own = pair(key())
    with pytest.raises(zt.ConfigurationError, match=words):
        load(own, own.pem())


@needs_openssl
def test_c9_a_sha1_signature_is_refused(rsa2048: Pair, tmp_path: Path) -> None:
    key = write(tmp_path, rsa2048.pem())
    old = openssl(
        "req", "-x509", "-sha1", "-new", "-key", str(key), "-subj", "/CN=node", "-days", "1"
    )
    with pytest.raises(zt.ConfigurationError, match="SHA-1"):
        zt.TLSConfig(certificate_chain=old, private_key=rsa2048.pem()).load()
