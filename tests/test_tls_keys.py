"""The key matrix: every form of private key loads, or says by path and reason why not."""

from __future__ import annotations

import base64
import contextlib
import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

import ztransport as zt
from tests.openssl import needs_openssl, openssl

PASSWORD = b"correct horse"
PKCS8, TRADITIONAL = PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL


@dataclass(frozen=True)
class Pair:
    """A self-signed certificate and its key, as `cryptography` holds them."""

    key: Any
    certificate: x509.Certificate

    @property
    def chain(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    def pem(self, form: PrivateFormat = PKCS8, password: bytes | None = None) -> bytes:
        return self.encode(Encoding.PEM, form, password)

    def encode(
        self, encoding: Encoding, form: PrivateFormat, password: bytes | None = None
    ) -> bytes:
        seal = NoEncryption() if password is None else BestAvailableEncryption(password)
        encoded: bytes = self.key.private_bytes(encoding, form, seal)
        return encoded

    def store(self, password: bytes | None) -> bytes:
        seal: Any = NoEncryption() if password is None else BestAvailableEncryption(password)
        return pkcs12.serialize_key_and_certificates(
            b"node", self.key, self.certificate, None, seal
        )


def pair(key: Any, digest: Any = None, signer: Any = None, **dates: datetime.datetime) -> Pair:
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "node")])
    public = key.public_key()
    builder = (
        x509.CertificateBuilder(name, name, public, x509.random_serial_number())
        .not_valid_before(dates.get("begins", now - day))
        .not_valid_after(dates.get("ends", now + day))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    signer = signer or key
    plain = isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    return Pair(key, builder.sign(signer, None if plain else digest or hashes.SHA256()))


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
    for secret in (PASSWORD.decode(), *leaks(own)):
        assert secret not in said
    assert said.startswith(("private_key:", "certificate_chain:"))
    return said


def leaks(own: Pair) -> list[str]:
    """Lines of the key that nobody may quote."""
    return own.pem().decode().splitlines()[2:4]


def write(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    path = folder / "node.key"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    "key",
    [
        lambda: ec.generate_private_key(ec.SECP256R1()),
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: ec.generate_private_key(ec.SECP521R1()),
        lambda: rsa.generate_private_key(65537, 2048),
        ed25519.Ed25519PrivateKey.generate,
    ],
    ids=["p256", "p384", "p521", "rsa2048", "ed25519"],
)
def test_sound_keys_load_in_every_form(key: Callable[[], Any]) -> None:
    own = pair(key())
    forms = [(encoding, PKCS8, None) for encoding in (Encoding.PEM, Encoding.DER)]
    forms += [(encoding, PKCS8, PASSWORD) for encoding in (Encoding.PEM, Encoding.DER)]  # type: ignore[misc]
    if not isinstance(own.key, ed25519.Ed25519PrivateKey):
        forms += [(encoding, TRADITIONAL, None) for encoding in (Encoding.PEM, Encoding.DER)]
    for encoding, form, password in forms:
        load(own, own.encode(encoding, form, password), password)


@pytest.mark.parametrize("password", [None, b"", b"wrong"])
def test_an_encrypted_key_needs_its_password(p256: Pair, password: bytes | None) -> None:
    said = refusal(p256, p256.pem(password=PASSWORD), password)
    assert ("give private_key_password" if password is None else "another one") in said


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


@pytest.mark.parametrize("password", [None, b"wrong"])
def test_pkcs12_needs_its_password(p256: Pair, password: bytes | None) -> None:
    said = refusal(p256, p256.store(PASSWORD), password)
    assert ("give private_key_password" if password is None else "another one") in said


def test_pkcs12_of_the_old_kind_is_refused(p256: Pair) -> None:
    seal = (
        PrivateFormat.PKCS12.encryption_builder()
        .key_cert_algorithm(pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .build(PASSWORD)
    )
    store = pkcs12.serialize_key_and_certificates(b"n", p256.key, p256.certificate, None, seal)
    assert "old way" in refusal(p256, store, PASSWORD)


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


def test_old_password_formats_are_refused(rsa2048: Pair) -> None:
    said = refusal(rsa2048, rsa2048.pem(TRADITIONAL, PASSWORD), PASSWORD)
    assert "DEK-Info" in said
    assert "openssl pkcs8 -topk8" in said


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


def der(tag: int, *parts: bytes) -> bytes:
    """One DER element of fewer than 128 bytes."""
    body = b"".join(parts)
    return bytes([tag, len(body)]) + body


def asking_for(rounds: int) -> bytes:
    """An encrypted key (PBES2 with PBKDF2 and AES-256-CBC) around 16 bytes of nothing."""
    pbes2, pbkdf2, sha256, aes = (
        der(6, bytes.fromhex(oid))
        for oid in (
            "2a864886f70d01050d",
            "2a864886f70d01050c",
            "2a864886f70d0209",
            "60864801650304012a",
        )
    )
    count = der(2, rounds.to_bytes(4))
    kdf = der(0x30, pbkdf2, der(0x30, der(4, bytes(8)), count, der(0x30, sha256, der(5))))
    scheme = der(0x30, pbes2, der(0x30, kdf, der(0x30, aes, der(4, bytes(16)))))
    return der(0x30, scheme, der(4, bytes(16)))


def test_a_key_that_asks_for_endless_work_is_refused(p256: Pair) -> None:
    assert "more work" in refusal(p256, asking_for((1 << 24) + 1), PASSWORD)
    assert "more work" in refusal(p256, asking_for(99_999_999), PASSWORD)


def test_keys_without_a_use_in_tls_are_refused(p256: Pair) -> None:
    old = dsa.generate_private_key(2048)
    for form in (PKCS8, TRADITIONAL):
        assert "is a DSA key" in refusal(p256, Pair(old, p256.certificate).pem(form))
    odd = Pair(ed448.Ed448PrivateKey.generate(), p256.certificate).pem()
    assert "neither an RSA" in refusal(p256, odd)
    assert "is an OpenSSH key" in refusal(p256, p256.pem(PrivateFormat.OpenSSH))


def test_the_key_of_another_certificate_is_refused(p256: Pair, rsa2048: Pair) -> None:
    for other in (pair(ec.generate_private_key(ec.SECP256R1())), rsa2048):
        assert "is not the key of the first" in refusal(p256, other.pem())


def test_two_keys_in_one_source_are_refused(p256: Pair, rsa2048: Pair) -> None:
    assert "more than one" in refusal(p256, p256.pem() + rsa2048.pem())


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
