"""One process of a run: `serve` prints its address and serves; `drive` measures what it is told.

The driver reads one JSON config a line and prints one JSON sample a line, so that a process is
started once and not once a window. Both end when their standard input does.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import threading
from dataclasses import asdict
from typing import cast

from bench.contenders.protocol import Config, Contender

MODULES = {
    "trio": "trio_streams",
    "asyncio": "asyncio_streams",
    "uvloop": "uvloop_protocol",
    "aiofastnet": "aiofastnet_uvloop",
    "zt-trio": "zt_trio",
    "zt-asyncio": "zt_asyncio",
    "zt-uvloop": "zt_uvloop",
    "zt-rust": "zt_rust",
    "trio-alone": "trio_alone",
}


def load(key: str) -> Contender:
    """The contender of one file."""
    module = importlib.import_module(f"bench.contenders.{MODULES[key]}")
    return cast("Contender", module.CONTENDER)


def _say(message: object) -> None:
    print(json.dumps(message), flush=True)


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def _serve(contender: Contender, config: Config) -> None:
    threading.Thread(target=_end_with_input, daemon=True).start()
    contender.serve(config, lambda port: _say({"address": f"{config.host}:{port}"}))


def _drive(contender: Contender) -> None:
    for line in sys.stdin:
        _say(asdict(contender.drive(Config(**json.loads(line)))))


def main(role: str, key: str, config: str) -> None:
    """Play one role of one contender."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if role == "serve":
        _serve(load(key), Config(**json.loads(config)))
    else:
        _drive(load(key))


if __name__ == "__main__":
    main(*sys.argv[1:4])
