"""ztransport from Rust to Rust: the ceiling, through the load generator of rust/load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.contenders.protocol import WORKS, Config, Sample
from ztransport.bench import environment

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path(__file__).parents[2] / "target"))
BINARY = TARGET / "release" / "ztransport-load"


class RustToRust:
    """The load generator in both roles."""

    name = "ztransport rust"
    works = frozenset(WORKS)

    def serve(self, config: Config, ready: Callable[[int], None]) -> None:  # noqa: ARG002
        """Become the generator's server, which says where it listens as `ready` would."""
        if not BINARY.is_file():
            sys.exit("no load generator: cargo build --release -p ztransport-load")
        command = [str(BINARY), "serve", "--listen", f"{config.host}:0"]
        if config.chain_path is not None and config.key_path is not None:
            command += ["--cert", config.chain_path, "--key", config.key_path]
        os.execv(BINARY, [*command, *_spin(config)])

    def drive(self, config: Config) -> Sample:
        """Measure one window; without a warm-up, which compiled code does not need."""
        command = [str(BINARY), "drive", "--connect", f"{config.host}:{config.port}"]
        command += ["--work", config.work, "--seconds", str(config.seconds), *_spin(config)]
        if config.trust_path is not None:
            command += ["--trust", config.trust_path]
        before = environment.cpu_ns(config.server_pid)
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr.strip())
        said = json.loads(done.stdout)
        return Sample(
            count=said["count"],
            payload_bytes=said["bytes"],
            seconds=said["seconds"],
            client_cpu_s=said["cpu_us"] / 1e6,
            server_cpu_s=(environment.cpu_ns(config.server_pid) - before) / 1e9,
            p50_us=said["p50_us"] if WORKS[config.work].callers else None,
            p99_us=said["p99_us"] if WORKS[config.work].callers else None,
        )


def _spin(config: Config) -> list[str]:
    return ["--spin"] if config.idle == "spin" else []


CONTENDER = RustToRust()
