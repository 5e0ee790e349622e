"""stunnel: one thread per connection; it cannot relay plaintext to plaintext."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ztransport.bench.fairness import CIPHER_SUITE, GROUP, VERSION, Files
from ztransport.bench.proxies.model import Kind, Leg, Tool, first_usable, on_path, said_by

__all__ = ["STUNNEL"]

REMEDY = "install it (on Debian: stunnel4)"
CONFIGURATION = """\
foreground = yes
pid =
syslog = no
debug = err
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
{services}"""
SERVICE = """\
[leg{port}]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{upstream}
cert = {chain}
key = {key}
sslVersion = {version}
ciphersuites = {suite}
curves = {group}
sessionResume = no
"""


def find() -> Tool:
    """The stunnel on PATH. Raises BenchError when there is none."""
    return first_usable("stunnel", on_path("stunnel4", "stunnel"), _examine, REMEDY)


def _examine(path: str) -> Tool | str:
    said = said_by(path, "-version")
    version = re.search(r"stunnel (5\.\d+)", said)
    if version is None:
        return "does not run or is older than 5"
    library = re.search(r"Running\s+with (.*)", said) or re.search(r"Compiled\S* with (.*)", said)
    build = re.search(r"^Threading:.*$", said, re.MULTILINE)
    return Tool(
        path,
        f"stunnel/{version[1]}",
        build[0] if build else "unknown",
        library[1].strip() if library else "unknown",
    )


def configure(_: Tool, legs: Sequence[Leg], files: Files) -> dict[str, str]:
    """The one configuration file; every leg ends TLS."""
    services = "".join(
        SERVICE.format(
            port=leg.port,
            upstream=leg.upstream_port,
            chain=files.chain_path,
            key=files.key_path,
            version=VERSION,
            suite=CIPHER_SUITE,
            group=GROUP,
        )
        for leg in legs
    )
    return {"stunnel.conf": CONFIGURATION.format(services=services)}


def command(tool: Tool, folder: Path) -> list[str]:
    """Stunnel in the foreground, as the file says."""
    return [tool.path, str(folder / "stunnel.conf")]


STUNNEL = Kind("stunnel", find, configure, command, ("tls",), answers_alpn=False)
