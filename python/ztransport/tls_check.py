"""What is wrong with certificates, keys and TLS listeners: every problem at once, with its remedy.

Files are looked through one by one and then loaded as a node would load them, so that what passes
here opens there. A listener is dialled as a node would dial it.
"""

from __future__ import annotations

import datetime
import os
import re
import socket
import ssl
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as Usages

import ztransport as zt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ztransport.security import Password, Profile

__all__ = ["Choices", "Finding", "check", "describe", "has_errors"]

Severity = Literal["error", "warning", "info"]

EXPIRY_WARNING_DAYS: Final = 30
RSA_BITS_MIN: Final = 2048
FILE_BYTES_MAX: Final = 1 << 20
DIAL_TIMEOUT_SECONDS: Final = 10.0
ALPN: Final = "zt/1"

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^/:\[\]]+):\d{1,5}")
_USAGE_NAMES: Final = {Usages.SERVER_AUTH: "serverAuth", Usages.CLIENT_AUTH: "clientAuth"}

Trust = tuple["str | Path | bytes", ...]


@dataclass(frozen=True)
class Finding:
    """One thing that was found."""

    severity: Severity
    """``"error"``: it will not work; ``"warning"``: it works and should be mended."""
    subject: str
    """The file, or the address and what was found there."""
    problem: str
    """What is the matter."""
    remedy: str = ""
    """What to do about it."""

    def as_dict(self) -> dict[str, str]:
        """Return the four fields by name."""
        return asdict(self)


def has_errors(findings: Sequence[Finding]) -> bool:
    """Whether any of them keeps a node from working."""
    return any(finding.severity == "error" for finding in findings)


@dataclass(frozen=True)
class Choices:
    """What a check goes by."""

    profile: Profile = "standard"
    trust: Trust = ()
    """Empty: one's own chain for files, the machine's authorities for a listener."""
    password: Password | None = None
    verify_hostname: bool = True


def check(targets: Sequence[str], choices: Choices) -> list[Finding]:
    """Check one listener, if the only target is ``host:port``, or else files."""
    if len(targets) == 1 and _ADDRESS.fullmatch(targets[0]) and not Path(targets[0]).exists():
        return check_listener(targets[0], choices)
    return check_files([Path(target) for target in targets], choices)


def check_files(paths: Sequence[Path], choices: Choices) -> list[Finding]:
    """Check a chain and its key, in either order, or either alone; certificates come leaf first."""
    found: list[Finding] = []
    chains, keys = [], []
    for path in paths:
        if (content := _read(path, found)) is None:
            continue
        certificates = _certificates(content)
        for number, certificate in enumerate(certificates):
            found += _judge(path, certificate, number, choices.profile)
        if certificates:
            chains.append(path)
            found += _judge_chain(path, certificates)
        if not certificates or b"PRIVATE KEY-----" in content:
            keys.append(path)
    return [*found, *_load(chains, keys, choices)] if keys else found


def describe(found: x509.Certificate) -> dict[str, str]:
    """Return the facts of a certificate that decide in a handshake, by name."""
    names = _extension(found, x509.SubjectAlternativeName) or ()
    usages = _extension(found, x509.ExtendedKeyUsage) or ()
    return {
        "subject": found.subject.rfc4514_string(),
        "issuer": found.issuer.rfc4514_string(),
        "version": found.version.name,
        "serial": f"{found.serial_number:x}",
        "begins": f"{found.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC",
        "ends": f"{found.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC",
        "names": ", ".join(str(name.value) for name in names),
        "usages": ", ".join(_USAGE_NAMES.get(usage, usage.dotted_string) for usage in usages),
        "authority": "yes" if _is_authority(found) else "no",
    }


def _read(path: Path, found: list[Finding]) -> bytes | None:
    try:
        if not path.is_file() and path.exists():
            raise IsADirectoryError(None, "is not a regular file")
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        remedy = "name a file that this user can read"
        found.append(Finding("error", str(path), str(error.strerror), remedy))
        return None
    if not 0 < len(content) <= FILE_BYTES_MAX:
        problem = f"has not 1 to {FILE_BYTES_MAX} bytes"
        found.append(Finding("error", str(path), problem, "name another file"))
        return None
    return content


def _certificates(content: bytes) -> list[x509.Certificate]:
    """All certificates of PEM, or the one of DER; none of what is neither."""
    try:
        if b"-----BEGIN" in content:
            plain = content.replace(b"TRUSTED CERTIFICATE", b"CERTIFICATE")
            return x509.load_pem_x509_certificates(plain)
        return [x509.load_der_x509_certificate(content)]
    except ValueError:
        return []


def _judge(path: Path, found: x509.Certificate, number: int, profile: Profile) -> Iterator[Finding]:
    """Findings about one certificate; those after the first are issuers."""
    subject = f"{path}: certificate {number + 1}"
    name = found.subject.rfc4514_string() or "without a subject"
    yield Finding("info", subject, f"{name}, until {found.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    lenient: Severity = "warning" if profile == "zeebe" else "error"
    if (problem := _weakness(found)) is not None:
        yield Finding(lenient, subject, problem, "make a new ECDSA P-256 key and certificate")
    if found.version is not x509.Version.v3:
        remedy = "issue it with a subjectAltName (openssl x509 -req -extfile)"
        yield Finding(lenient, subject, "is not of X.509 version 3", remedy)
        return
    yield from _judge_dates(subject, found)
    if number == 0:
        yield from _judge_leaf(subject, found, profile)
    elif not _is_authority(found):
        remedy = "leave it out; put the leaf first and its issuers behind it"
        yield Finding("warning", subject, "can issue nothing: it has no CA:TRUE", remedy)


def _weakness(found: x509.Certificate) -> str | None:
    try:
        key: Any = found.public_key()
    except (ValueError, NotImplementedError, x509.UnsupportedGeneralNameType):
        return "has a key of an unknown kind"
    digest = found.signature_hash_algorithm
    if digest is not None and digest.name in ("md5", "sha1"):
        return f"is signed with {digest.name.upper()}"
    if isinstance(key, rsa.RSAPublicKey):
        exponent = key.public_numbers().e
        if key.key_size < RSA_BITS_MIN or key.key_size % 8 or exponent < 65537:
            return f"has an RSA key of {key.key_size} bits with exponent {exponent}"
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name not in ("secp256r1", "secp384r1", "secp521r1"):
            return f"has a key on the curve {key.curve.name}"
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        return "has a key that TLS 1.3 does not know"
    return None


def _judge_dates(subject: str, found: x509.Certificate) -> Iterator[Finding]:
    now = datetime.datetime.now(datetime.UTC)
    begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
    if begins > now:
        yield Finding("error", subject, f"is not valid before {begins}", "set the clock, or wait")
    if ends < now:
        yield Finding("error", subject, f"has expired at {ends}", "renew it")
    elif ends < now + datetime.timedelta(days=EXPIRY_WARNING_DAYS):
        yield Finding("warning", subject, f"expires soon, at {ends}", "renew it")


def _judge_leaf(subject: str, found: x509.Certificate, profile: Profile) -> Iterator[Finding]:
    strict: Severity = "error" if profile in ("strict", "spiffe") else "warning"
    if (usages := _extension(found, x509.ExtendedKeyUsage)) is None:
        remedy = "issue it with extendedKeyUsage = serverAuth, clientAuth"
        severity: Severity = "error" if profile == "strict" else "info"
        yield Finding(severity, subject, "has no extended key usage", remedy)
    else:
        for usage, role in ((Usages.SERVER_AUTH, "listen"), (Usages.CLIENT_AUTH, "dial")):
            if usage not in usages:
                remedy = "issue it with extendedKeyUsage = serverAuth, clientAuth"
                yield Finding("warning", subject, f"cannot be used to {role}", remedy)
    signing = _extension(found, x509.KeyUsage)
    if signing is not None and not signing.digital_signature:
        remedy = "issue it with keyUsage = digitalSignature"
        yield Finding(strict, subject, "may not sign handshakes", remedy)
    if _is_authority(found):
        remedy = "issue leaves with an authority of their own"
        yield Finding(strict, subject, "is an authority's own (CA:TRUE)", remedy)
    if (names := _extension(found, x509.SubjectAlternativeName)) is None:
        remedy = "issue it with subjectAltName, or switch the name check off at dialers"
        yield Finding("warning", subject, "has no names to compare with what is dialled", remedy)
    else:
        listed = ", ".join(str(name.value) for name in names)
        yield Finding("info", subject, f"is for {listed}")


def _is_authority(found: x509.Certificate) -> bool:
    constraints = _extension(found, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _extension(found: x509.Certificate, kind: Any) -> Any:
    """The value of an extension; none if it is absent or cannot be read."""
    try:
        return found.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return None


def _judge_chain(path: Path, certificates: Sequence[x509.Certificate]) -> Iterator[Finding]:
    leaf = certificates[0]
    if all(one.subject != leaf.issuer for one in certificates):
        remedy = "append the issuer, or let every peer trust it by other means"
        problem = f"lacks the issuer, {leaf.issuer.rfc4514_string()}"
        yield Finding("warning", str(path), problem, remedy)


def _load(chains: Sequence[Path], keys: Sequence[Path], choices: Choices) -> Iterator[Finding]:
    """Findings of the engine itself, which has the last word."""
    if len(chains) > 1 or len(keys) > 1:
        remedy = "check one node's chain and key at a time"
        several = ", ".join(map(str, (*chains, *keys)))
        yield Finding("error", several, "are not one chain and one key", remedy)
        return
    try:
        config = zt.TLSConfig(
            certificate_chain_path=chains[0] if chains else None,
            private_key_path=keys[0],
            private_key_password=choices.password,
            trust=choices.trust or ("chain",),
            profile=choices.profile,
        )
        warnings = config.load().warnings
    except zt.ConfigurationError as error:
        yield _split("error", str(error))
    else:
        yield from (_split("warning", text) for text in warnings)


def _split(severity: Severity, text: str) -> Finding:
    """A sentence of the engine names subject, problem and remedy in this order."""
    subject, _, rest = text.partition(": ")
    problem, _, remedy = rest.partition("; ")
    return Finding(severity, subject, problem, remedy)


def check_listener(address: str, choices: Choices) -> list[Finding]:
    """Dial ``host:port`` as a node would, and look at what it shows.

    The dial ends with the greeting: nothing is asked of the listener.
    """
    config = zt.TLSConfig(
        trust=choices.trust or ("system",),
        profile=choices.profile,
        verify_hostname=choices.verify_hostname,
    )
    shown = list(_shown(address, choices.profile))
    door = trio.run(_plaintext_door, address) if shown else []
    return [*shown, trio.run(_dialled, address, config), *door]


def _shown(address: str, profile: Profile) -> Iterator[Finding]:
    """Findings about the certificate of a listener, without trusting it."""
    host, _, port = address.rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([ALPN])
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), DIAL_TIMEOUT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host.strip("[]")) as secure,
        ):
            der, version = secure.getpeercert(binary_form=True), secure.version()
    except (OSError, ValueError):
        return  # The dial that follows says why, and by which type.
    yield Finding("info", address, f"speaks {version}")
    if der is not None:
        leaf = x509.load_der_x509_certificate(der)
        yield from _judge(Path(address), leaf, 0, profile)


async def _plaintext_door(address: str) -> list[Finding]:
    """Whether a listener that speaks TLS takes plaintext too."""
    name = f"tls-check-{os.getpid()}"
    try:
        async with zt.open_node(None, cluster=name, node_id=name, tls=None) as node:
            with trio.fail_after(DIAL_TIMEOUT_SECONDS):
                await node.connect(address, pooled=False)
    except zt.WrongCluster:
        remedy = 'set accept="tls" once every node dials with TLS'
        return [Finding("warning", address, "takes plaintext as well as TLS", remedy)]
    except (zt.Error, trio.TooSlowError):
        pass
    return []


async def _dialled(address: str, config: zt.TLSConfig) -> Finding:
    name = f"tls-check-{os.getpid()}"
    try:
        async with zt.open_node(None, cluster=name, node_id=name, tls=config) as node:
            with trio.fail_after(DIAL_TIMEOUT_SECONDS):
                await node.connect(address, pooled=False)
    except zt.WrongCluster:
        pass  # Its greeting came through TLS, which is all that was asked.
    except zt.ClientCertificateRequired as error:
        return Finding("warning", address, str(error), "mutual TLS: dial with a certificate")
    except (zt.Error, trio.TooSlowError) as error:
        problem, _, remedy = str(error).partition("; ")
        kind = type(error).__name__
        return Finding("error", address, f"{kind}: {problem or 'no answer in time'}", remedy)
    return Finding("info", address, "a node with this trust can dial it")
