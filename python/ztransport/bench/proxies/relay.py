"""Our own minimal relay: always there, and what a hop costs at the least.

It ends TLS with the library ztransport itself uses, so that it also shows what a proxy would cost
whose TLS were no better and no worse than ours.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

from ztransport.bench.environment import tls_library
from ztransport.bench.fairness import Files
from ztransport.bench.proxies.model import Kind, Leg, Tool

__all__ = ["RELAY"]


def find() -> Tool:
    """The relay of this package."""
    version = f"relay/{metadata.version('ztransport')}"
    return Tool(sys.executable, version, "Rust, one thread, epoll", tls_library())


def configure(_: Tool, legs: Sequence[Leg], files: Files) -> dict[str, str]:
    """The one configuration file."""
    asked = {"legs": [asdict(leg) for leg in legs], "files": asdict(files)}
    return {"relay.json": json.dumps(asked)}


def command(tool: Tool, folder: Path) -> list[str]:
    """The relay in the foreground."""
    return [tool.path, "-m", "ztransport.bench.relay", str(folder / "relay.json")]


RELAY = Kind("relay", find, configure, command, ("plain", "tls"))
