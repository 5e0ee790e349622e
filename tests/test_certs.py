"""The development authority: what it issues is what a peer accepts, and keys stay private."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from ztransport import certs


def leaf_of(leaf: certs.Leaf) -> x509.Certificate:
    return x509.load_pem_x509_certificates(leaf.chain_pem)[0]


def test_a_leaf_holds_its_names_and_both_usages(authority: certs.Authority) -> None:
    leaf = leaf_of(authority.issue(["localhost", "127.0.0.1", "::1"]))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    addresses = names.get_values_for_type(x509.IPAddress)
    assert [str(address) for address in addresses] == ["127.0.0.1", "::1"]
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


@pytest.mark.parametrize(
    ("kind", "expected"), [("ecdsa", ec.EllipticCurvePrivateKey), ("rsa", rsa.RSAPrivateKey)]
)
def test_the_key_belongs_to_the_leaf(
    authority: certs.Authority, kind: certs.KeyKind, expected: type
) -> None:
    leaf = authority.issue(["localhost"], key=kind)
    key = load_pem_private_key(leaf.key_pem, None)
    assert isinstance(key, expected)
    assert key.public_key() == leaf_of(leaf).public_key()


def test_the_chain_ends_in_the_authority(authority: certs.Authority) -> None:
    chain = x509.load_pem_x509_certificates(authority.issue(["localhost"]).chain_pem)
    chain[0].verify_directly_issued_by(chain[1])
    assert chain[1] == x509.load_pem_x509_certificate(authority.certificate_pem)
    assert chain[1].extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_validity_can_be_chosen(authority: certs.Authority) -> None:
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    end = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
    leaf = leaf_of(authority.issue(["localhost"], not_before=start, not_after=end))
    assert (leaf.not_valid_before_utc, leaf.not_valid_after_utc) == (start, end)


def test_a_leaf_needs_a_name(authority: certs.Authority) -> None:
    with pytest.raises(ValueError, match="at least one"):
        authority.issue([])


def test_written_files_load_and_the_key_is_private(
    authority: certs.Authority, tmp_path: Path
) -> None:
    chain, key = authority.issue(["localhost"]).write(tmp_path, "node")
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(chain, key)
    assert key.stat().st_mode & 0o777 == 0o600


def test_no_key_in_a_repr(authority: certs.Authority) -> None:
    assert "PRIVATE" not in repr(authority.issue(["localhost"]))
