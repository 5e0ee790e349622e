"""Records: one JSON file a run, with what was measured, where, and by which command."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

from ztransport.bench import environment

__all__ = ["SCHEMA_VERSION", "Record", "create", "read", "write"]

SCHEMA_VERSION = 1

Record = dict[str, object]


def create(kind: str, command: list[str], seed: int, body: dict[str, object]) -> Record:
    """Put a run's results under the facts every record has."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "command": shlex.join(command),
        "seed": seed,
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "environment": environment.collect(),
        **body,
    }


def write(path: Path, record: Record) -> None:
    """Write a record as readable JSON; folders are made. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read(path: Path) -> Record:
    """Read a record. Raises OSError, or ValueError when the file is no record of this version."""
    loaded = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(loaded, dict) or loaded.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"{path} is not a record of schema version {SCHEMA_VERSION}")
    return loaded
