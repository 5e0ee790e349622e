"""TLS: what a node shows of itself, whom it trusts, and what was agreed on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from ztransport._errors import ConfigurationError
from ztransport._ztransport import Material

if TYPE_CHECKING:
    from os import PathLike

ClientAuth = Literal["none", "optional", "required"]
"""Whether a listener asks dialers for a certificate."""


@dataclass(frozen=True, kw_only=True)
class TLSConfig:
    """Certificates, key and trust of a node, from files or from PEM bytes.

    Everything is read and checked when the node opens; a later change of a file has no effect on
    that node. The key is never part of the ``repr`` or of an error.
    """

    certificate_chain_path: str | PathLike[str] | None = None
    """The node's certificate, then its issuers, as a PEM file."""
    certificate_chain: bytes | None = field(default=None, repr=False)
    """The same as PEM bytes."""
    private_key_path: str | PathLike[str] | None = None
    """The key of the first certificate: PKCS#8, PKCS#1 or SEC1, not encrypted, as a PEM file."""
    private_key: bytes | None = field(default=None, repr=False)
    """The same as PEM bytes."""
    trust: tuple[str | PathLike[str] | bytes, ...] = field(default=("chain",), repr=False)
    """What peers are judged by: ``"chain"`` (one's own chain), PEM files or PEM bytes."""
    client_auth: ClientAuth = "none"
    """Whether a listener asks dialers for a certificate."""
    verify_hostname: bool = True
    """Whether a dialer compares the name it dials with the listener's certificate."""
    require_alpn: bool = True
    """Whether a dialer refuses a listener that does not answer ``zt/1``.

    ``False`` is only for dialling through a proxy that ends TLS and cannot answer ALPN.
    """
    cipher_suites: tuple[str, ...] = ()
    """TLS 1.3 cipher suites by IANA name, preferred first; empty for the default."""
    groups: tuple[str, ...] = ()
    """Key exchange groups by IANA name, preferred first; empty for the default."""
    profile: Literal["standard"] = "standard"
    """The set of rules the other choices must keep to."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        _at_most_one("certificate_chain", self.certificate_chain_path, self.certificate_chain)
        _at_most_one("private_key", self.private_key_path, self.private_key)
        if self.profile != "standard":
            raise ConfigurationError(f"profile is 'standard', not {self.profile!r}")

    def load(self) -> Material:
        """Read and check everything.

        Raises `ConfigurationError` that names the file or option at fault.
        """
        return Material(
            certificate_chain=self.certificate_chain or self.certificate_chain_path,
            private_key=self.private_key or self.private_key_path,
            trust=list(self.trust),
            client_auth=self.client_auth,
            verify_hostname=self.verify_hostname,
            require_alpn=self.require_alpn,
            cipher_suites=list(self.cipher_suites),
            groups=list(self.groups),
        )


def _at_most_one(name: str, path: object, pem: object) -> None:
    if path is not None and pem is not None:
        raise ConfigurationError(f"give {name}_path or {name}, not both")


@dataclass(frozen=True)
class Identity:
    """The names in a peer's verified certificate."""

    dns: tuple[str, ...]
    """DNS names."""
    uri: tuple[str, ...]
    """URIs."""
    ip: tuple[str, ...]
    """IP addresses."""


@dataclass(frozen=True)
class TLSSession:
    """What a TLS handshake agreed on."""

    version: str
    """``TLSv1.3``."""
    cipher_suite: str
    """By IANA name."""
    group: str
    """The key exchange group, by IANA name."""
    alpn: str | None
    """The application protocol, if one was agreed on."""
    certificate_not_after: datetime | None
    """When the peer's certificate ends to be valid, if it showed one."""
    identity: Identity | None
    """Whom the peer's certificate names, if it showed one and it was verified."""


def session(facts: dict[str, Any]) -> TLSSession:
    """Make a session from the engine's facts."""
    not_after, names = facts["certificate_not_after"], facts["identity"]
    return TLSSession(
        version=facts["version"],
        cipher_suite=facts["cipher_suite"],
        group=facts["group"],
        alpn=facts["alpn"],
        certificate_not_after=None if not_after is None else datetime.fromtimestamp(not_after, UTC),
        identity=None if names is None else Identity(*(tuple(group) for group in names)),
    )
