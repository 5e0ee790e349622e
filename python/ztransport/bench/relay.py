"""The minimal relay as a process: its one argument is a JSON file with its legs and certificates.

What goes upstream is held back for `delay_us` if the file says so, which makes the broker behind
it one that is slower by exactly that much. It is written in Rust and runs without the interpreter
lock.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

from ztransport._ztransport import Material, run_relay
from ztransport.bench import fairness

__all__ = ["main"]


def main(path: str) -> None:
    """Relay until the process is ended; what goes wrong is the last line on standard error."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the interpreter is not there to handle it
    asked = json.loads(Path(path).read_text())
    legs = [_leg(leg, asked["files"]) for leg in asked["legs"]]
    try:
        run_relay(legs, asked.get("delay_us", 0))
    except OSError as error:
        sys.exit(f"relay: {error}")


def _leg(leg: dict[str, Any], files: dict[str, str]) -> tuple[int, int, Material | None]:
    material = _material(files) if leg["accepts_tls"] else None
    return leg["port"], leg["upstream_port"], material


def _material(files: dict[str, str]) -> Material:
    config = fairness.tls_config("tls", fairness.Files(**files), listening=True)
    assert config is not None  # it is not plaintext that was asked for
    return config.load()


if __name__ == "__main__":
    main(sys.argv[1])
