"""What every encrypted variant has in common: version, suite, group, application protocol, leaf."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

import ztransport as zt
from ztransport import certs

__all__ = [
    "ALPN",
    "CIPHER_SUITE",
    "GROUP",
    "NEGOTIATED",
    "SERVER_NAME",
    "VERSION",
    "Files",
    "certificate",
    "issue",
    "tls_config",
]

VERSION = "TLSv1.3"
CIPHER_SUITE = "TLS_AES_128_GCM_SHA256"
GROUP = "X25519"
ALPN = "zt/1"
NEGOTIATED = {"version": VERSION, "cipher_suite": CIPHER_SUITE, "group": GROUP}
SERVER_NAME = "localhost"
SIGNATURES = {
    "secp256r1": "ecdsa_secp256r1_sha256",
    "secp384r1": "ecdsa_secp384r1_sha384",
    "secp521r1": "ecdsa_secp521r1_sha512",
}


@dataclass(frozen=True, slots=True)
class Files:
    """Certificates of one run, as PEM files; the same leaf stands in every role that shows one."""

    chain_path: str
    key_path: str
    trust_path: str
    bundle_path: str
    """Chain and key in one file, as HAProxy reads them."""


def issue(directory: Path) -> Files:
    """Issue one ECDSA P-256 leaf for the loopback names and write it. Raises OSError."""
    authority = certs.create_authority("ztransport bench")
    leaf = authority.issue([SERVER_NAME, "127.0.0.1"])
    chain, key = leaf.write(directory, "bench")
    trust = directory / "bench.trust.pem"
    trust.write_bytes(authority.certificate_pem)
    bundle = directory / "bench.bundle.pem"
    bundle.touch(mode=0o600)
    bundle.write_bytes(leaf.chain_pem + leaf.key_pem)
    return Files(str(chain), str(key), str(trust), str(bundle))


def certificate(files: Files) -> dict[str, object]:
    """What a server shows in the handshake, and how it signs there.

    The run's authority has issued one leaf, so whoever is trusted has shown this one; and TLS 1.3
    lets a key on a curve sign in one way only (RFC 8446 section 4.2.3).
    """
    chain = x509.load_pem_x509_certificates(Path(files.chain_path).read_bytes())
    key = chain[0].public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)  # `issue` makes no others
    return {
        "key": f"ECDSA {key.curve.name}",
        "signature": SIGNATURES[key.curve.name],
        "chain_certificates": len(chain),
        "chain_bytes": sum(len(one.public_bytes(Encoding.DER)) for one in chain),
    }


def tls_config(secured: str, files: Files, *, listening: bool) -> zt.TLSConfig | None:
    """What one side of a hop that is "plain", "tls" or "mtls" is configured with."""
    if secured == "plain":
        return None
    has_own = listening or secured == "mtls"
    return zt.TLSConfig(
        certificate_chain_path=files.chain_path if has_own else None,
        private_key_path=files.key_path if has_own else None,
        trust=(files.trust_path,),
        client_auth="required" if listening and secured == "mtls" else "none",
        cipher_suites=(CIPHER_SUITE,),
        groups=(GROUP,),
    )
