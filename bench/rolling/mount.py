"""A node's files as Kubernetes mounts a secret: whole generations, switched by one link."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

import ztransport
from ztransport.certs import Authority, Leaf

__all__ = ["LOOPBACK", "Mount", "issue", "revoke"]

LOOPBACK = ("127.0.0.1", "localhost")
FIRST_END = datetime.datetime(2040, 1, 1, tzinfo=datetime.UTC)


def issue(authority: Authority, number: int) -> tuple[Leaf, datetime.datetime]:
    """A leaf that is told from all others by the minute it ends in, and that minute."""
    end = FIRST_END + datetime.timedelta(minutes=number)
    return authority.issue(LOOPBACK, not_after=end), end


def revoke(authority: Authority, leaves: Sequence[Leaf]) -> bytes:
    """The authority's list of what it has revoked, good from yesterday to tomorrow."""
    issuer = x509.load_pem_x509_certificate(authority.certificate_pem)
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer.subject)
    builder = builder.last_update(now - day).next_update(now + day)
    key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority._key.public_key())
    builder = builder.add_extension(key, critical=False)
    builder = builder.add_extension(x509.CRLNumber(1 + len(leaves)), critical=False)
    for leaf in leaves:
        serial = x509.load_pem_x509_certificate(leaf.chain_pem).serial_number
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        builder = builder.add_revoked_certificate(revoked.build())
    return builder.sign(authority._key, hashes.SHA256()).public_bytes(Encoding.PEM)


class Mount:
    """The files of one node."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._generation = 0
        root.mkdir(exist_ok=True)

    def put(self, leaf: Leaf, trust: bytes, lists: bytes | None = None) -> None:
        """Put all files in place at once."""
        self._generation += 1
        folder = self.root / f"..{self._generation}"
        folder.mkdir()
        leaf.write(folder, "node")
        (folder / "ca.pem").write_bytes(trust)
        if lists is not None:
            (folder / "lists.pem").write_bytes(lists)
        fresh = self.root / "..fresh"
        fresh.symlink_to(folder.name)
        fresh.replace(self.root / "..data")

    def tls(self, **choices: Any) -> ztransport.TLSConfig:
        """What a node is given that uses the files."""
        data = self.root / "..data"
        return ztransport.TLSConfig(
            certificate_chain_path=data / "node.chain.pem",
            private_key_path=data / "node.key.pem",
            trust=(data / "ca.pem",),
            **choices,
        )
