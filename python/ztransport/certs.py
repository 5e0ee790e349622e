"""Certificates for development: an authority that lives in memory and the leaves it issues.

For tests, benchmarks and trying things out. Nothing is written to disk unless asked for, and key
files are created readable by their owner alone.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Authority", "Leaf", "create_authority", "load_authority"]

KeyKind = Literal["ecdsa", "rsa"]
Usage = Literal["server", "client"]
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

RSA_KEY_BITS = 2048
VALIDITY_DAYS = 30
CLOCK_SKEW_MINUTES = 5
AUTHORITY_NAMES = ("ca.pem", "ca.key")


@dataclass(frozen=True, slots=True)
class Leaf:
    """One issued certificate with its chain and key, both PEM.

    The chain holds the leaf first and its authority last, so that a peer that trusts "chain"
    trusts the authority.
    """

    chain_pem: bytes = field(repr=False)
    key_pem: bytes = field(repr=False)

    def write(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write `name`.chain.pem and `name`.key.pem into `directory`; the key with mode 0600."""
        chain, key = directory / f"{name}.chain.pem", directory / f"{name}.key.pem"
        chain.write_bytes(self.chain_pem)
        _write_private(key, self.key_pem)
        return chain, key


class Authority:
    """A certificate authority that issues leaves for dialling and listening."""

    def __init__(self, certificate: x509.Certificate, key: PrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @property
    def certificate_pem(self) -> bytes:
        """The authority's own certificate, to be trusted by peers."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        names: Sequence[str],
        *,
        key: KeyKind = "ecdsa",
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
        usages: Sequence[Usage] = ("server", "client"),
    ) -> Leaf:
        """Issue a leaf for host names, IP addresses and URIs, usable in both roles or in one.

        Without bounds it is valid from five minutes ago for thirty days. Raises ValueError
        when `names` is empty.
        """
        if not names:
            raise ValueError("a leaf needs at least one host name or address")
        leaf_key = _new_key(key)
        builder = _builder(names[0], self._certificate.subject, leaf_key, not_before, not_after)
        builder = _with_leaf_extensions(builder, names, self._certificate, usages)
        certificate = builder.sign(self._key, hashes.SHA256())
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        return Leaf(chain_pem=pem + self.certificate_pem, key_pem=_key_pem(leaf_key))

    def revoke(self, leaves: Sequence[Leaf], *, days: float = VALIDITY_DAYS) -> bytes:
        """Return the list of the revoked among its leaves as PEM, good for ``days`` from now."""
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateRevocationListBuilder(
            self._certificate.subject,
            now - datetime.timedelta(minutes=CLOCK_SKEW_MINUTES),
            now + datetime.timedelta(days=days),
        )
        number = x509.CRLNumber(int(now.timestamp()))
        issuer = self._certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer.value)
        builder = builder.add_extension(number, critical=False)
        builder = builder.add_extension(authority_key, critical=False)
        for leaf in leaves:
            serial = x509.load_pem_x509_certificate(leaf.chain_pem).serial_number
            revoked = x509.RevokedCertificateBuilder(serial, now)
            builder = builder.add_revoked_certificate(revoked.build())
        revocations = builder.sign(self._key, hashes.SHA256())
        return revocations.public_bytes(serialization.Encoding.PEM)

    def write(self, directory: Path) -> tuple[Path, Path]:
        """Write ca.pem and, with mode 0600, ca.key into `directory`."""
        certificate, key = (directory / name for name in AUTHORITY_NAMES)
        certificate.write_bytes(self.certificate_pem)
        _write_private(key, _key_pem(self._key))
        return certificate, key


def create_authority(common_name: str, *, days: float = VALIDITY_DAYS) -> Authority:
    """Create a self-signed ECDSA P-256 authority that may issue leaves but no further authority."""
    key = _new_key("ecdsa")
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
    builder = _builder(common_name, _name(common_name), key, None, end)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(
        _key_usage(digital_signature=False, key_cert_sign=True), critical=True
    )
    builder = builder.add_extension(
        x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def load_authority(directory: Path) -> Authority:
    """Read what `Authority.write` wrote. Raises OSError or ValueError when it is not there."""
    certificate, key = (directory / name for name in AUTHORITY_NAMES)
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    if not isinstance(loaded, PrivateKey):
        raise ValueError(f"{key}: is neither an RSA nor an ECDSA key")  # noqa: TRY004
    return Authority(x509.load_pem_x509_certificate(certificate.read_bytes()), loaded)


def _write_private(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)


def _new_key(kind: KeyKind) -> PrivateKey:
    if kind == "ecdsa":
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65537, key_size=RSA_KEY_BITS)


def _key_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    common_name: str,
    issuer: x509.Name,
    key: PrivateKey,
    not_before: datetime.datetime | None,
    not_after: datetime.datetime | None,
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    start = not_before or now - datetime.timedelta(minutes=CLOCK_SKEW_MINUTES)
    end = not_after or now + datetime.timedelta(days=VALIDITY_DAYS)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )


def _with_leaf_extensions(
    builder: x509.CertificateBuilder,
    names: Sequence[str],
    issuer: x509.Certificate,
    roles: Sequence[Usage],
) -> x509.CertificateBuilder:
    authority_key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    oids = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}
    usages = [oids[role] for role in roles]
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True, key_cert_sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName([_san(name) for name in names]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_key),
            critical=False,
        )
    )


def _key_usage(*, digital_signature: bool, key_cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _san(name: str) -> x509.GeneralName:
    if "://" in name:
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
