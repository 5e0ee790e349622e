"""Settings out of a Zeebe configuration: its YAML sections and its environment variables.

Zeebe reads its file with Spring, whose rules hold here as far as these sections need them: keys in
camel case, kebab case or dotted, ``${NAME:default}`` in values, the environment over the file, and
several documents in one file, of which later ones win.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ztransport._errors import ConfigurationError
from ztransport.config import CLUSTER_RANGES, ClusterSettings
from ztransport.security import TLSConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from os import PathLike

Role = Literal["broker", "gateway"]

SETTINGS_BYTES_MAX: Final = 1 << 20
"""The largest file of settings."""

SECTIONS: Final = {
    "broker": "zeebe.broker.network.security",
    "gateway": "zeebe.gateway.cluster.security",
}

MEMBERSHIP_SECTIONS: Final = {
    "broker": "zeebe.broker.cluster.membership",
    "gateway": "zeebe.gateway.cluster.membership",
}

OPTIONS: Final = (
    "enabled",
    "certificateChainPath",
    "privateKeyPath",
    "keyStore.filePath",
    "keyStore.password",
    "privateKeyPassword",
    "trust",
    "clientAuth",
    "verifyHostname",
    "allowedIdentities",
    "profile",
    "crlPaths",
    "nodeIdentities",
    "roleIdentities",
    "accept",
    "dial",
)
"""The keys of a section: Zeebe's five, then ours, named as the fields of `TLSConfig`."""

MEMBERSHIP_FLAGS: Final = {
    "broadcastUpdates": "broadcast_updates",
    "broadcastDisputes": "broadcast_disputes",
    "notifySuspect": "notify_suspect",
}
MEMBERSHIP_COUNTS: Final = {"gossipFanout": "gossip_fanout", "suspectProbes": "suspect_probes"}
MEMBERSHIP_TIMES: Final = {
    "gossipInterval": "gossip_interval_ms",
    "probeInterval": "probe_interval_ms",
    "probeTimeout": "probe_timeout_ms",
    "failureTimeout": "failure_timeout_ms",
    "syncInterval": "sync_interval_ms",
}
"""The keys of a membership section and the fields of `ClusterSettings` they set."""

MILLISECONDS: Final = {"": 1, "ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
"""Spring's units of a duration; a bare number is in milliseconds."""

TRUTHS: Final = {"true": True, "on": True, "yes": True, "1": True}
FALSEHOODS: Final = {"false": False, "off": False, "no": False, "0": False, "": False}

# As many digits as any of these numbers may have, and more than enough to be out of its range.
_COUNT = re.compile(r"[0-9]{1,18}")
_DURATION = re.compile(r"\+?([0-9]{1,18})\s*([a-z]*)", re.IGNORECASE)
_ISO_DURATION = re.compile(
    r"P(?:(\d{1,18})D)?(?:T(?:(\d{1,18})H)?(?:(\d{1,18})M)?"
    r"(?:(\d{1,18})(?:\.(\d{1,3})0*)?S)?)?",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(r"\$\{([^}:]+)(?::([^}]*))?\}")


def zeebe_security(
    path: str | PathLike[str] | None,
    role: Role = "broker",
    environ: Mapping[str, str] = os.environ,
    base_dir: str | PathLike[str] | None = None,
) -> TLSConfig | None:
    """Make the TLS settings of a Zeebe broker, or of a standalone gateway, for this package.

    Reads ``zeebe.broker.network.security`` or ``zeebe.gateway.cluster.security`` from the YAML
    file at ``path`` (none: the environment alone), and the variables named after the keys, such as
    ``ZEEBE_BROKER_NETWORK_SECURITY_CERTIFICATECHAINPATH``, which win. Relative paths are below
    ``base_dir``, by default the working directory. The section may also hold fields of
    `TLSConfig` in camel case: ``privateKeyPassword``, ``trust``, ``clientAuth``,
    ``verifyHostname``, ``allowedIdentities``, ``profile``, ``crlPaths``, ``accept``, ``dial``, and
    ``nodeIdentities`` and ``roleIdentities`` with items such as ``*=spiffe://c/{node_id}``;
    without ``profile`` it is ``"zeebe"``.

    Returns none unless ``enabled`` is true. Raises `ConfigurationError` that names the key at
    fault; certificates and key themselves are judged when the node opens.
    """
    settings = _opened(SECTIONS, OPTIONS, path, role, environ, Path(base_dir or Path.cwd()))
    return settings.config() if settings.flag("enabled", default=False) else None


def zeebe_membership(
    path: str | PathLike[str] | None,
    role: Role = "broker",
    environ: Mapping[str, str] = os.environ,
) -> ClusterSettings:
    """Make the settings of a membership that a Zeebe broker, or a standalone gateway, would use.

    Reads ``zeebe.broker.cluster.membership`` or ``zeebe.gateway.cluster.membership`` from the YAML
    file at ``path`` (none: the environment alone), and the variables named after the keys, such as
    ``ZEEBE_BROKER_CLUSTER_MEMBERSHIP_PROBETIMEOUT``, which win. Durations are Spring's: ``250ms``,
    ``10s``, ``PT10S``, or a number of milliseconds. What is not set has Zeebe's default.

    Raises `ConfigurationError` that names the key at fault and what it may be.
    """
    keys = (*MEMBERSHIP_FLAGS, *MEMBERSHIP_COUNTS, *MEMBERSHIP_TIMES)
    settings = _opened(MEMBERSHIP_SECTIONS, keys, path, role, environ, Path.cwd())
    return settings.membership()


def _opened(
    sections: Mapping[str, str],
    options: tuple[str, ...],
    path: str | PathLike[str] | None,
    role: Role,
    environ: Mapping[str, str],
    base: Path,
) -> _Settings:
    if role not in sections:
        raise ConfigurationError(f"role is 'broker' or 'gateway', not {role!r}")
    settings = _Settings(sections[role], options, environ, base)
    if path is not None:
        settings.read(Path(path))
    return settings


class _Settings:
    """One section: values by key, from the file and the environment."""

    def __init__(
        self, section: str, options: tuple[str, ...], environ: Mapping[str, str], base: Path
    ) -> None:
        self._section = section
        self._options = options
        self._environ = environ
        self._base = base
        self._values: dict[str, Any] = {}

    def read(self, path: Path) -> None:
        """Take the section's keys out of a file."""
        prefix = _canonical(self._section) + "."
        known = {_canonical(key): key for key in self._options}
        for document in _documents(path):
            for name, value in _flat(document):
                if not name.startswith(prefix):
                    continue
                if (key := known.get(name.removeprefix(prefix))) is None:
                    text = f"{path}: {self._section} has no key {name.removeprefix(prefix)!r}"
                    raise ConfigurationError(f"{text}; it has {', '.join(self._options)}")
                self._values[key] = value

    def config(self) -> TLSConfig:
        """Make the settings, which are enabled."""
        return TLSConfig(
            **self._own_certificate(),
            trust=tuple(map(self._trusted, self._items("trust"))) or ("chain",),
            client_auth=self._text("clientAuth") or "none",  # type: ignore[arg-type]
            verify_hostname=self.flag("verifyHostname", default=True),
            allowed_identities=self._items("allowedIdentities"),
            node_identities=self._pairs("nodeIdentities"),
            role_identities=self._pairs("roleIdentities"),
            profile=self._text("profile") or "zeebe",  # type: ignore[arg-type]
            crl_paths=tuple(map(self._below_base, self._items("crlPaths"))),
            accept=self._text("accept") or "tls",  # type: ignore[arg-type]
            dial=self._text("dial") or "tls",  # type: ignore[arg-type]
        )

    def membership(self) -> ClusterSettings:
        """Make the settings of a membership."""
        found: dict[str, Any] = {}
        for key, name in MEMBERSHIP_FLAGS.items():
            found[name] = self.flag(key, default=getattr(ClusterSettings, name))
        for key, name in MEMBERSHIP_COUNTS.items():
            found |= self._in_range(key, name, self._count, "")
        for key, name in MEMBERSHIP_TIMES.items():
            found |= self._in_range(key, name, self._milliseconds, " ms")
        return ClusterSettings(**found)

    def _in_range(
        self, key: str, name: str, parse: Callable[[str, str], int], unit: str
    ) -> dict[str, int]:
        """Return the field of that name, or nothing where the key is not set."""
        if not (text := self._text(key).strip()):
            return {}
        least, greatest = CLUSTER_RANGES[name]
        if not least <= (value := parse(key, text)) <= greatest:
            raise self._error(key, f"is {text}: choose {least} to {greatest}{unit}")
        return {name: value}

    def _count(self, key: str, text: str) -> int:
        if not _COUNT.fullmatch(text):
            raise self._error(key, f"is a whole number, not {text!r}")
        return int(text)

    def _milliseconds(self, key: str, text: str) -> int:
        if (simple := _DURATION.fullmatch(text)) and simple[2].lower() in MILLISECONDS:
            return int(simple[1]) * MILLISECONDS[simple[2].lower()]
        if (iso := _ISO_DURATION.fullmatch(text)) and any(iso.groups()):
            days, hours, minutes, seconds = (int(part or 0) for part in iso.groups()[:4])
            millis = int((iso[5] or "").ljust(3, "0"))
            return (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000 + millis
        raise self._error(key, f"is a duration such as 250ms, 10s or PT10S, not {text!r}")

    def flag(self, key: str, *, default: bool) -> bool:
        """Return whether ``key`` is set to what Spring takes for true."""
        if (value := self._value(key)) is None:
            return default
        word = str(value).strip().lower()
        if word not in TRUTHS | FALSEHOODS:
            raise self._error(key, f"is true or false, not {word!r}")
        return word in TRUTHS

    def _own_certificate(self) -> dict[str, Any]:
        chain, key = self._text("certificateChainPath"), self._text("privateKeyPath")
        store = self._text("keyStore.filePath")
        if store and (chain or key):
            other = "certificateChainPath and privateKeyPath"
            raise self._error("keyStore.filePath", f"cannot be given beside {other}; choose one")
        if store:
            password = self._text("keyStore.password")
            return {
                "private_key_path": self._file("keyStore.filePath", store),
                "private_key_password": password.encode() if password else None,
            }
        return {
            "certificate_chain_path": self._file("certificateChainPath", chain),
            "private_key_path": self._file("privateKeyPath", key),
            "private_key_password": self._password(),
        }

    def _password(self) -> str | bytes | Path | None:
        given = self._text("privateKeyPassword")
        if given and given.startswith("file:"):
            return self._below_base(given.removeprefix("file:"))
        if given and given.startswith("env:"):
            name = given.removeprefix("env:")
            if name not in self._environ:
                raise self._error("privateKeyPassword", f"names {name}, which is not set")
            return self._environ[name].encode()
        return given or None

    def _file(self, key: str, path: str) -> Path:
        if not path:
            raise self._error(key, "is not set, though TLS is enabled")
        found = self._below_base(path)
        if not found.is_file() or not os.access(found, os.R_OK):
            raise self._error(key, f"names {found}, where no readable file is")
        return found

    def _below_base(self, path: str) -> Path:
        return self._base / path

    def _trusted(self, item: str) -> str | Path:
        return item if item in ("chain", "system") else self._below_base(item)

    def _items(self, key: str) -> tuple[str, ...]:
        value = self._value(key)
        if value is None:
            return ()
        parts = value if isinstance(value, list) else str(value).split(",")
        return tuple(text for part in parts if (text := self._filled(key, part).strip()))

    def _pairs(self, key: str) -> dict[str, str]:
        items = [item.partition("=") for item in self._items(key)]
        if not all(name and pattern for name, _, pattern in items):
            raise self._error(key, "holds items of the form NAME=PATTERN")
        return {name.strip(): pattern.strip() for name, _, pattern in items}

    def _text(self, key: str) -> str:
        value = self._value(key)
        return "" if value is None else self._filled(key, value)

    def _value(self, key: str) -> Any:
        return self._environ.get(self._variable(key), self._values.get(key))

    def _filled(self, key: str, value: object) -> str:
        def fill(match: re.Match[str]) -> str:
            name, default = match.groups()
            found = self._environ.get(name, default)
            if found is None:
                raise self._error(key, f"refers to {name}, which is not set and has no default")
            return found

        return _PLACEHOLDER.sub(fill, str(value))

    def _variable(self, key: str) -> str:
        return f"{self._section}.{key}".replace(".", "_").upper()

    def _error(self, key: str, reason: str) -> ConfigurationError:
        return ConfigurationError(f"{self._section}.{key} ({self._variable(key)}) {reason}")


def _documents(path: Path) -> list[Any]:
    try:
        import yaml  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        text = "reading a Zeebe file needs PyYAML: pip install 'ztransport[zeebe]'"
        raise ConfigurationError(text) from None
    try:
        with path.open("rb") as file:
            content = file.read(SETTINGS_BYTES_MAX + 1)
        if len(content) > SETTINGS_BYTES_MAX:
            raise ConfigurationError(f"{path}: is larger than {SETTINGS_BYTES_MAX} bytes")
        return list(yaml.safe_load_all(content))
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from None
    except (yaml.YAMLError, RecursionError) as error:
        place = getattr(error, "problem_mark", None)
        line = "" if place is None else f", line {place.line + 1}"
        # The parser's own words quote the file, which may hold a password.
        raise ConfigurationError(f"{path}{line}: is not YAML") from None


def _flat(value: object, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every leaf with its dotted, canonical name."""
    if not isinstance(value, dict):
        yield prefix, value
        return
    for key, inner in value.items():
        name = _canonical(str(key))
        yield from _flat(inner, f"{prefix}.{name}" if prefix else name)


def _canonical(key: str) -> str:
    """Bring a key into the one form that Spring compares."""
    return key.replace("-", "").replace("_", "").lower()
