"""The ways a request travels from client to broker that a run compares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ztransport as zt
from ztransport import certs
from ztransport.bench.proxies import CIPHER_SUITE, GROUP, Proxy

__all__ = [
    "MTLS",
    "PLAIN",
    "PROXY_PLAIN",
    "PROXY_TLS",
    "TLS",
    "VARIANTS",
    "Files",
    "Variant",
    "issue",
    "proxy",
    "tls_config",
]

PLAIN, TLS, MTLS = "plain", "tls", "mtls"
PROXY_PLAIN, PROXY_TLS = "proxy-plain", "proxy-tls"


@dataclass(frozen=True, slots=True)
class Variant:
    """How a hop of the client, and one from a proxy to the broker, is secured.

    `dialled` and `upstream` are "plain", "tls" or "mtls"; `upstream` None means no proxy.
    """

    name: str
    dialled: str
    upstream: str | None = None


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(PLAIN, PLAIN),
        Variant(TLS, TLS),
        Variant(MTLS, MTLS),
        Variant(PROXY_PLAIN, PLAIN, upstream=PLAIN),
        Variant(PROXY_TLS, TLS, upstream=PLAIN),
    )
}


@dataclass(frozen=True, slots=True)
class Files:
    """Certificates of one run; the same leaf stands in broker and proxy."""

    chain_path: str
    key_path: str
    trust_path: str


def issue(directory: Path) -> Files:
    """Issue one ECDSA P-256 leaf for the loopback names and write it."""
    authority = certs.create_authority("ztransport bench")
    chain, key = authority.issue(["127.0.0.1", "localhost"]).write(directory, "bench")
    trust = directory / "bench.trust.pem"
    trust.write_bytes(authority.certificate_pem)
    return Files(str(chain), str(key), str(trust))


def tls_config(secured: str, files: Files, *, listening: bool) -> zt.TLSConfig | None:
    """The TLS configuration of one side of a hop: one suite and one group for all variants."""
    if secured == PLAIN:
        return None
    has_own = listening or secured == MTLS
    return zt.TLSConfig(
        certificate_chain_path=files.chain_path if has_own else None,
        private_key_path=files.key_path if has_own else None,
        trust=(files.trust_path,),
        client_auth="required" if listening and secured == MTLS else "none",
        cipher_suites=(CIPHER_SUITE,),
        groups=(GROUP,),
    )


def proxy(variant: Variant, port: int, upstream_port: int, files: Files) -> Proxy:
    """The proxy of a variant that has one: it ends the TLS of a secured dialler."""
    if variant.dialled == PLAIN:
        return Proxy(port, upstream_port)
    return Proxy(port, upstream_port, files.chain_path, files.key_path)
