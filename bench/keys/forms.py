"""A certificate and its key in every encoding, those included that no library writes any more."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

PASSWORD = b"correct horse"
PKCS8, TRADITIONAL, OPENSSH = (
    PrivateFormat.PKCS8,
    PrivateFormat.TraditionalOpenSSL,
    PrivateFormat.OpenSSH,
)
PBES1_SHA1_3DES = bytes.fromhex("2a864886f70d010c0103")
PBES2 = bytes.fromhex("2a864886f70d01050d")
PBKDF2 = bytes.fromhex("2a864886f70d01050c")
HMAC_SHA256 = bytes.fromhex("2a864886f70d0209")
AES_256_CBC = bytes.fromhex("60864801650304012a")
DES_EDE3_CBC = bytes.fromhex("2a864886f70d0307")
SEQUENCE, INTEGER, OCTETS, NULL, OBJECT = 0x30, 2, 4, 5, 6


@dataclass(frozen=True)
class Pair:
    """A self-signed certificate and its key, as `cryptography` holds them."""

    key: Any
    certificate: x509.Certificate

    @property
    def chain(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    def pem(self, form: PrivateFormat = PKCS8, password: bytes | None = None) -> bytes:
        """The key as PEM."""
        return self.encode(Encoding.PEM, form, password)

    def der(self, form: PrivateFormat = PKCS8, password: bytes | None = None) -> bytes:
        """The key as DER."""
        return self.encode(Encoding.DER, form, password)

    def encode(
        self, encoding: Encoding, form: PrivateFormat, password: bytes | None = None
    ) -> bytes:
        """The key in any encoding; a password seals it in the way that is common now."""
        seal = NoEncryption() if password is None else BestAvailableEncryption(password)
        encoded: bytes = self.key.private_bytes(encoding, form, seal)
        return encoded

    def store(self, password: bytes | None, *, old: bool = False) -> bytes:
        """Key and certificate as PKCS#12; `old` seals it as programs did until about 2020."""
        seal: Any = NoEncryption() if password is None else BestAvailableEncryption(password)
        if old and password is not None:
            builder = PrivateFormat.PKCS12.encryption_builder()
            algorithm = pkcs12.PBES.PBESv1SHA1And3KeyTripleDESCBC
            seal = builder.key_cert_algorithm(algorithm).build(password)
        return pkcs12.serialize_key_and_certificates(
            b"node", self.key, self.certificate, None, seal
        )

    def secrets(self) -> list[str]:
        """Lines of the key that nobody may quote."""
        return self.pem().decode().splitlines()[1:-1]


def pair(key: Any, **dates: datetime.datetime) -> Pair:
    """A key with a certificate for localhost, valid from yesterday until tomorrow."""
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "node")])
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(dates.get("begins", now - day))
        .not_valid_after(dates.get("ends", now + day))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return Pair(key, builder.sign(key, digest))


def element(tag: int, *parts: bytes) -> bytes:
    """One DER element of fewer than 128 bytes."""
    body = b"".join(parts)
    return bytes([tag, len(body)]) + body


def sealed_by_pbes1() -> bytes:
    """An encrypted key (PBES1 with SHA-1 and 3DES, RFC 7292 appendix C) around nothing."""
    numbers = element(SEQUENCE, element(OCTETS, bytes(8)), element(INTEGER, b"\x08\x00"))
    scheme = element(SEQUENCE, element(OBJECT, PBES1_SHA1_3DES), numbers)
    return element(SEQUENCE, scheme, element(OCTETS, bytes(16)))


def sealed_by_pbes2(rounds: int, cipher: bytes = AES_256_CBC, iv_bytes: int = 16) -> bytes:
    """An encrypted key (PBES2 with PBKDF2, RFC 8018) around nothing."""
    count = element(INTEGER, rounds.to_bytes(4))
    digest = element(SEQUENCE, element(OBJECT, HMAC_SHA256), element(NULL))
    numbers = element(SEQUENCE, element(OCTETS, bytes(8)), count, digest)
    kdf = element(SEQUENCE, element(OBJECT, PBKDF2), numbers)
    sealing = element(SEQUENCE, element(OBJECT, cipher), element(OCTETS, bytes(iv_bytes)))
    scheme = element(SEQUENCE, element(OBJECT, PBES2), element(SEQUENCE, kdf, sealing))
    return element(SEQUENCE, scheme, element(OCTETS, bytes(16)))
