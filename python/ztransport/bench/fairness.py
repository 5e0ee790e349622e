"""What every encrypted variant has in common: version, suite, group, application protocol, leaf."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

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
    "issue",
    "tls_config",
]

VERSION = "TLSv1.3"
CIPHER_SUITE = "TLS_AES_128_GCM_SHA256"
GROUP = "X25519"
ALPN = "zt/1"
NEGOTIATED = {"version": VERSION, "cipher_suite": CIPHER_SUITE, "group": GROUP}
SERVER_NAME = "localhost"


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
