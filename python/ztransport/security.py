"""TLS: what a node shows of itself, whom it trusts, and what was agreed on."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

from ztransport._errors import ConfigurationError
from ztransport._ztransport import Material

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from os import PathLike

    from ztransport.config import Accept, Dial

ClientAuth = Literal["none", "optional", "required"]
"""Whether a listener asks dialers for a certificate."""

Profile = Literal["standard", "strict", "zeebe", "spiffe"]
"""How much is asked of certificates; see `TLSConfig.profile`."""

PEM: TypeAlias = "bytes | Callable[[], bytes]"
"""Certificates or a key as bytes (PEM, DER or PKCS#12), or what fetches them when needed."""

Password: TypeAlias = "str | bytes | PathLike[str] | Callable[[], str | bytes]"  # noqa: S105 a type
"""A password, or where it is: see `TLSConfig.private_key_password`."""

PASSWORD_BYTES_MAX: Final = 4096
"""The longest password."""

_logger = logging.getLogger("ztransport")


@dataclass(frozen=True, kw_only=True)
class TLSConfig:
    """Certificates, key and trust of a node, from files, from bytes, or fetched at run time.

    Everything is read and checked when the node opens. Files that change later are read again
    within a second, and `Node.reload_tls` fetches everything again: handshakes from then on use
    what was found, if all of it can be used, and otherwise what was there before. Key and password
    are never part of the ``repr`` or of an error.
    """

    certificate_chain_path: str | PathLike[str] | None = None
    """The node's certificate, then its issuers: a file of PEM or DER."""
    certificate_chain: PEM | None = field(default=None, repr=False)
    """The same as bytes, or a function that returns them."""
    private_key_path: str | PathLike[str] | None = None
    """The key of the first certificate: a file of PKCS#8, PKCS#1, SEC1 or PKCS#12.

    The certificates of a PKCS#12 file serve as the chain if no other is given. The file must not
    be readable by everybody.
    """
    private_key: PEM | None = field(default=None, repr=False)
    """The same as bytes, or a function that returns them."""
    private_key_password: Password | None = field(default=None, repr=False)
    """Opens an encrypted PKCS#8 key or a PKCS#12 file.

    Bytes, or a text, are the password itself; ``"env:NAME"`` names an environment variable;
    ``"file:PATH"`` or a `Path` names a file whose first line it is; a function returns it.
    """
    trust: tuple[str | PathLike[str] | bytes | Callable[[], bytes], ...] = field(
        default=("chain",), repr=False
    )
    """What peers are judged by: ``"chain"`` (one's own chain), ``"system"`` (the machine's
    authorities), files, bytes, or functions that return bytes.

    Only version 3 certificates with CA:TRUE vouch for others; the rest match as exactly the bytes
    a peer presents, and such a match stands in for the host name.
    """
    client_auth: ClientAuth = "none"
    """Whether a listener asks dialers for a certificate."""
    verify_hostname: bool = True
    """Whether a dialer compares the name it dials with the listener's certificate (RFC 9525)."""
    allowed_identities: tuple[str, ...] = ()
    """Globs of DNS names, addresses or URIs; a peer must have a name that matches one.

    With a leading ``!`` it must have none that matches. ``*`` is any part of a DNS label or of a
    URI's path segment, ``**`` anything. They hold for dialers and listeners; a listener that
    allows only some insists on a certificate, whatever ``client_auth`` says.
    """
    node_identities: Mapping[str, str] = field(default_factory=dict, hash=False)
    """By node id, the glob one name of that node's certificate must match.

    ``"*"`` stands for nodes without an entry and ``{node_id}`` in a glob for the id, as in
    ``{"*": "spiffe://cluster/broker/{node_id}"}``. If there are any, a node without an entry is
    refused, and a listener insists on a certificate. Empty: ids are taken as they are claimed.
    """
    role_identities: Mapping[str, str] = field(default_factory=dict, hash=False)
    """By role, the glob one name of the certificate of whoever claims that role must match.

    ``"*"`` stands for roles without an entry, ``{role}`` and ``{node_id}`` in a glob for what is
    claimed, as in ``{"*": "spiffe://cluster/{role}/{node_id}"}``. If there are any, a listener
    insists on a certificate. Empty: roles are taken as they are claimed, but where
    ``node_identities`` has entries, whoever claims a role is refused.
    """
    profile: Profile = "standard"
    """How much is asked of certificates, one's own among them.

    ``"standard"``: X.509 version 3, keys and signatures of today's strength, and an extended key
    usage, where there is one, that allows the role. ``"strict"``: also an extended key usage for
    the role and the key usage digitalSignature must be there, and ``trust`` must name authorities
    other than one's own chain. ``"spiffe"``: an X.509-SVID of one's own trust domain; names of
    hosts are not compared. ``"zeebe"``: what a Zeebe cluster accepts, also leaves of version 1
    directly below a trusted authority; host names are compared if the certificate has
    alternative names, and a key others can read is only a warning.
    """
    crl_paths: tuple[str | PathLike[str], ...] = ()
    """Files of revocation lists. If there are any, a certificate that none covers is refused."""
    accept: Accept = "tls"
    """What a node's listeners take, unless ``open_node`` says otherwise."""
    dial: Dial = "tls"
    """How a node dials, unless ``open_node`` says otherwise."""
    close_at_expiry: bool = False
    """Whether connections end with the peer's certificate.

    Then nothing new is begun over one whose time is up: it is replaced as after
    `Limits.connection_age_max_ms`, and what runs on it may end.
    """
    require_alpn: bool = True
    """Whether a dialer refuses a listener that does not answer ``zt/1``.

    ``False`` is only for dialling through a proxy that ends TLS and cannot answer ALPN.
    """
    cipher_suites: tuple[str, ...] = ()
    """TLS 1.3 cipher suites by IANA name, preferred first; empty for the default."""
    groups: tuple[str, ...] = ()
    """Key exchange groups by IANA name, preferred first; empty for the default."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        _at_most_one("certificate_chain", self.certificate_chain_path, self.certificate_chain)
        _at_most_one("private_key", self.private_key_path, self.private_key)
        if self.profile not in get_args(Profile):
            known = ", ".join(get_args(Profile))
            raise ConfigurationError(f"profile is one of {known}, not {self.profile!r}")
        for name in ("trust", "allowed_identities", "crl_paths"):
            if isinstance(getattr(self, name), str | bytes):
                raise ConfigurationError(f"{name} is a tuple; put the one item into (…,)")

    def load(self) -> Material:
        """Fetch, read and check everything; warnings go to the logger ``ztransport``.

        Raises `ConfigurationError` that names the file or option at fault. What a function of the
        caller raises goes through.
        """
        material = Material(
            certificate_chain=_content(self.certificate_chain, self.certificate_chain_path),
            private_key=_content(self.private_key, self.private_key_path),
            private_key_password=_password(self.private_key_password),
            trust=[item() if callable(item) else item for item in self.trust],
            profile=self.profile,
            allowed_identities=list(self.allowed_identities),
            node_identities=list(self.node_identities.items()),
            role_identities=list(self.role_identities.items()),
            revocation_lists=list(self.crl_paths),
            client_auth=self.client_auth,
            verify_hostname=self.verify_hostname,
            require_alpn=self.require_alpn,
            cipher_suites=list(self.cipher_suites),
            groups=list(self.groups),
            close_at_expiry=self.close_at_expiry,
        )
        for warning in material.warnings:
            _logger.warning("%s", warning)
        return material

    def files(self) -> tuple[Path, ...]:
        """Return the files it names, whether they are there or not."""
        trusted = [item for item in self.trust if item not in {"chain", "system"}]
        named = [
            self.certificate_chain_path,
            self.private_key_path,
            _password_file(self.private_key_password),
            *trusted,
            *self.crl_paths,
        ]
        return tuple(Path(one) for one in named if isinstance(one, str | os.PathLike))


def _at_most_one(name: str, path: object, pem: object) -> None:
    if path is not None and pem is not None:
        raise ConfigurationError(f"give {name}_path or {name}, not both")


def _content(
    given: PEM | None, path: str | PathLike[str] | None
) -> bytes | str | PathLike[str] | None:
    if given is None:
        return path
    return given() if callable(given) else given


def _password(given: Password | None) -> bytes | None:
    """Find the password where ``given`` says it is."""
    if callable(given):
        given = given()
    if given is None or isinstance(given, bytes):
        return given
    if (path := _password_file(given)) is not None:
        return _first_line(path)
    assert isinstance(given, str)  # whatever else it may be is a file
    if given.startswith("env:"):
        return _variable(given.removeprefix("env:"))
    return given.encode()


def _password_file(given: Password | None) -> Path | None:
    if isinstance(given, str):
        return Path(given.removeprefix("file:")) if given.startswith("file:") else None
    return Path(given) if isinstance(given, os.PathLike) else None


def _variable(name: str) -> bytes:
    if (value := os.environb.get(name.encode())) is None:
        raise ConfigurationError(
            f"private_key_password: the environment variable {name} is not set"
        )
    return value


def _first_line(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            line = file.readline(PASSWORD_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; it should hold a password") from None
    password = line.rstrip(b"\r\n")
    if not 0 < len(password) <= PASSWORD_BYTES_MAX:
        limit = f"1 to {PASSWORD_BYTES_MAX} bytes"
        raise ConfigurationError(f"{path}: its first line is the password and has {limit}")
    return password


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
