"""The main job end to end in small: it runs, it proves, and its mistakes are one line."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ztransport.bench import blocks, runner, variants, wiretap

COMMAND = (sys.executable, "-c", "from ztransport.cli import main; main()")
TINY = runner.Options(seconds=0.05, blocks=1, budget_s=1.0, seed=7)


def test_plain_hops_can_be_read_and_tls_hops_cannot() -> None:
    taps, marker = wiretap.prove()
    assert len(taps) == 7
    assert all(tap.is_as_expected(marker) for tap in taps), wiretap.table(taps, marker)
    clear = {(tap.variant, tap.hop) for tap in taps if tap.is_clear(marker)}
    assert ("proxy-tls", "proxy – broker") in clear
    assert ("proxy-tls", "client – proxy") not in clear


@pytest.mark.slow
def test_a_tiny_run_measures_every_variant() -> None:
    found = runner.run(TINY, ["ztransport", "bench", "run"], lambda _: None)
    table = runner.table(found)
    for variant in variants.VARIANTS:
        for work in blocks.WORKS:
            assert f"{variant}, {work}" in table
    assert "TLS_AES_128_GCM_SHA256, X25519" in table


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 3])
def test_a_taken_port_of_broker_or_proxy_is_one_line(first: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1] - first
        done = ztransport("bench", "run", "--port", str(port))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "in use" in done.stderr


def test_a_missing_proxy_is_one_line(tmp_path: Path) -> None:
    done = ztransport("bench", "run", path=tmp_path, hide_wheel=True)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "no nginx on PATH" in done.stderr


@pytest.mark.parametrize("name", ["missing.json", "pyproject.toml"])
def test_a_wrong_record_is_one_line(name: str) -> None:
    done = ztransport("bench", "report", name)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert name in done.stderr


def ztransport(
    *arguments: str, path: Path | None = None, hide_wheel: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would, in a process of its own."""
    environment = {**os.environ, **({"PATH": str(path)} if path else {})}
    command = list(COMMAND)
    if hide_wheel:
        # The packaged nginx is looked for beside the interpreter.
        command[2] = f"import sys; sys.executable = {str(path) + '/python'!r}; {COMMAND[2]}"
    return subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, env=environment
    )
