"""Proxies: found or told why not, configured alike, started, heard, and gone afterwards."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from ztransport.bench import fairness, handshake, proxies
from ztransport.bench.processes import BenchError
from ztransport.bench.proxies import KINDS, Leg, Ports, Proxy, Tool

TOOLS, MISSING = proxies.found()
HERE = [
    pytest.param(
        name, marks=pytest.mark.skipif(name in MISSING, reason=MISSING.get(name, "it is here"))
    )
    for name in KINDS
]
MESHES = [parameter for parameter in HERE if "mesh" in KINDS[str(parameter.values[0])].shapes]
FAKE = "#!{python}\nimport sys\nsys.stderr.write('''{said}''')\n"
NGINX = "nginx version: nginx/1.28.0\nbuilt with OpenSSL 3.5.0\n --with-stream_ssl_module"
HAPROXY = """\
HAProxy version 2.8.25-5cf5d0683 2026/06/01 - https://haproxy.org/
  CFLAGS  = -O2
Running on OpenSSL version : OpenSSL 3.0.15 3 Sep 2024
"""
STUNNEL = "stunnel 5.68 on x86_64\nRunning  with OpenSSL 3.0.19\nThreading:PTHREAD\n"
ENVOY = "envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL\n"


@pytest.fixture
def files(tmp_path: Path) -> fairness.Files:
    return fairness.issue(tmp_path)


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a program on an otherwise empty PATH that says something about itself."""
    python = sys.executable

    def put(name: str, said: str) -> Path:
        program = tmp_path / name
        program.write_text(FAKE.format(python=python, said=said))
        program.chmod(0o755)
        return program

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "elsewhere" / "python"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    return put


@pytest.mark.parametrize(
    ("name", "said", "reason"),
    [
        ("nginx", "nginx/1.20.1 --with-stream_ssl_module", "older than 1.21.4"),
        ("nginx", "nginx/1.28.0 --with-http_ssl_module", "no TLS for streams"),
        ("nginx", f"{NGINX} --with-stream=dynamic --modules-path=/nowhere", "lacks the stream"),
        ("nginx", "", "older than"),
        ("haproxy", "HAProxy version 2.2.9 2021", "older than 2.4"),
        ("haproxy", "HAProxy version 2.8.1 2023", "built without TLS"),
        ("envoy", "what?", "does not run"),
        ("stunnel", "stunnel 4.56", "older than 5"),
    ],
)
def test_a_program_that_cannot_serve_is_one_line(
    name: str, said: str, reason: str, pretend: Callable[[str, str], Path]
) -> None:
    pretend(name, said)
    with pytest.raises(BenchError, match=rf"^[^\n]*{reason}[^\n]*install[^\n]*$"):
        KINDS[name].find()


@pytest.mark.parametrize(
    ("name", "said", "version", "library"),
    [
        ("nginx", NGINX, "nginx/1.28.0", "OpenSSL 3.5.0"),
        ("haproxy", HAPROXY, "haproxy/2.8.25-5cf5d0683", "OpenSSL 3.0.15 3 Sep 2024"),
        ("envoy", ENVOY, "envoy/1.40.0", "BoringSSL"),
        ("stunnel", STUNNEL, "stunnel/5.68", "OpenSSL 3.0.19"),
    ],
)
def test_a_program_on_the_path_is_taken_and_described_without_its_place(
    name: str, said: str, version: str, library: str, pretend: Callable[[str, str], Path]
) -> None:
    program = pretend(name, said)
    tool = KINDS[name].find()
    assert (tool.path, tool.version, tool.tls_library) == (str(program), version, library)
    assert str(program) not in json.dumps(tool.described())


def test_own_scripts_hide_no_program_further_down_the_path(
    pretend: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, own = pretend("envoy", ENVOY), tmp_path / "own"
    own.mkdir()
    script = own / "envoy"
    script.write_text(program.read_text().replace("1.40.0", "1.0.0"))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(own / "python"))
    monkeypatch.setenv("PATH", f"{own}:{tmp_path}")
    assert KINDS["envoy"].find().path == str(program)
    program.unlink()
    assert KINDS["envoy"].find().path == str(script)


def test_a_program_that_cannot_serve_hides_none_further_down_the_path(
    pretend: Callable[[str, str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, first = pretend("envoy", ENVOY), tmp_path / "first"
    first.mkdir()
    (first / "envoy").write_text("#!/bin/false")
    (first / "envoy").chmod(0o755)
    monkeypatch.setenv("PATH", f"{first}:{tmp_path}")
    assert KINDS["envoy"].find().path == str(program)


def test_what_is_missing_is_told_with_the_remedy(pretend: Callable[[str, str], Path]) -> None:
    pretend("other", "")
    tools, missing = proxies.found()
    assert set(tools) == {"relay"}
    assert all("on PATH" in reason and "install" in reason for reason in missing.values())
    assert set(missing) == set(KINDS) - {"relay"}


@pytest.mark.parametrize("name", KINDS)
def test_every_leg_that_ends_tls_names_suite_group_and_certificate(
    name: str, files: fairness.Files
) -> None:
    kind, tool = KINDS[name], Tool("x", "1", "", "")
    secured = "".join(kind.configure(tool, [Leg(1, 2, accepts_tls=True)], files).values())
    assert files.chain_path in secured or files.bundle_path in secured
    if name != "relay":  # whose program names them itself
        assert fairness.GROUP in secured
    if name not in ("relay", "envoy"):  # which has no setting for it, and is checked on the wire
        assert fairness.CIPHER_SUITE in secured
    if kind.answers_alpn and name != "relay":
        assert fairness.ALPN in secured
    if "plain" in kind.shapes:
        clear = "".join(kind.configure(tool, [Leg(1, 2)], files).values())
        assert fairness.GROUP not in clear
        assert fairness.ALPN not in clear


@pytest.mark.parametrize("name", HERE)
@pytest.mark.slow
def test_a_proxy_relays_and_leaves_nothing_behind(name: str, files: fairness.Files) -> None:
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        kind = KINDS[name]
        port = upstream.getsockname()[1]
        leg = Leg(Ports().take(), port, accepts_tls="plain" not in kind.shapes)
        with Proxy(kind, TOOLS[name], [leg], files) as proxy:
            pids, folder = proxy.program.pids, proxy.folder
            assert len(pids) >= kind.processes_min
            assert folder.is_dir()
            if not leg.accepts_tls:
                with socket.create_connection(("127.0.0.1", leg.port)) as client:
                    client.sendall(b"through")
                    assert relayed(upstream) == b"through"
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not folder.exists()


def relayed(upstream: socket.socket) -> bytes:
    """What the first connection that carries bytes carries; readiness probes carry none."""
    while True:
        with upstream.accept()[0] as accepted:
            if data := accepted.recv(64):
                return data


@pytest.mark.parametrize("name", MESHES)
@pytest.mark.slow
def test_what_two_proxies_agree_on_is_heard(name: str, files: fairness.Files) -> None:
    kind, tool, ports = KINDS[name], TOOLS[name], Ports()
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        server = Leg(ports.take(), upstream.getsockname()[1], accepts_tls=True)
        heard = Leg(ports.take(), ports.take(), dials_tls=True)
        with Proxy(kind, tool, [server], files), Proxy(kind, tool, [heard], files):
            listener = handshake.Listener(heard.upstream_port)
            assert listener.hear(heard.port, server.port) == fairness.NEGOTIATED


@pytest.mark.parametrize("name", HERE)
@pytest.mark.slow
def test_missing_certificates_are_one_line(name: str, files: fairness.Files) -> None:
    kind = KINDS[name]
    for path in (files.chain_path, files.key_path, files.bundle_path):
        Path(path).unlink()
    leg = Leg(Ports().take(), 1, accepts_tls=True)
    with (
        pytest.raises(BenchError, match=rf"^{name} did not start: [^\n]+$"),
        Proxy(kind, TOOLS[name], [leg], files),
    ):
        pass


def test_a_taken_port_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BenchError, match=f"^port {port}: Address already in use; choose"):
            Ports(port).take()


def test_ports_of_a_row_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Taken:
        def __init__(self, address: tuple[str, int]) -> None:
            asked.append(address[1])

        def getsockname(self) -> tuple[str, int]:
            return "127.0.0.1", asked[-1]

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr("socket.create_server", Taken)
    row = Ports(7_000)
    assert [row.take(), row.take(), row.take()] == asked == [7_000, 7_001, 7_002]


def test_a_port_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    given = iter([7_001, 7_001, 7_002])
    monkeypatch.setattr(Ports, "_free", lambda _: next(given))
    ports = Ports()
    assert [ports.take(), ports.take()] == [7_001, 7_002]
    monkeypatch.setattr(Ports, "_free", lambda _: 7_001)
    with pytest.raises(BenchError, match="name some with --port"):
        ports.take()
