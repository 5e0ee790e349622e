"""Records of runs: what was measured, where, and by which command.

The suite's record is a run directory: `manifest.json` says what was run, `windows.jsonl` has one
line for each window, written as soon as it is measured, so that a run that is interrupted, killed
or out of disk leaves what it had. Both have a JSON Schema in `schemas`, which every line is checked
against on its way in and out. The measurements kept as one JSON file use `create`, `write`, `read`.
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import time
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from ztransport.bench import environment
from ztransport.bench.processes import BenchError

__all__ = [
    "KIND",
    "MANIFEST",
    "SCHEMA_VERSION",
    "WINDOWS",
    "Record",
    "Run",
    "RunDirectory",
    "create",
    "open_run",
    "read",
    "timestamp",
    "write",
    "write_whole",
]

SCHEMA_VERSION = 1
KIND = "ztransport bench"
MANIFEST, WINDOWS = "manifest.json", "windows.jsonl"
FAULT_CHARACTERS_MAX = 160

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it was recorded; `cut` says in one line what is missing of a damaged end."""

    path: Path
    manifest: Record
    windows: list[Record] = field(repr=False)
    cut: str | None = None


class RunDirectory:
    """A run directory that is being written. Whatever fails, the lines before stay readable."""

    def __init__(self, path: Path, manifest: Record, windows: list[Record]) -> None:
        """Use `create` or `resume`."""
        self.path = path
        self.manifest = manifest
        self.windows = windows

    @classmethod
    def create(cls, path: Path, manifest: Record) -> RunDirectory:
        """Begin a record in a new directory.

        Raises BenchError when one is there already or the disk refuses, ValueError when the
        manifest is not what the schema says.
        """
        _refuse_fault("manifest", manifest)
        run = cls(path, manifest, [])
        if (path / MANIFEST).exists():
            raise BenchError(f"{path} holds a record: name another directory")
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / WINDOWS).write_bytes(b"")
        except OSError as error:
            raise run._full(error) from None
        run.update()
        return run

    @classmethod
    def resume(cls, path: Path) -> RunDirectory:
        """Go on with a partial record; half a line at its end is cut off. Raises BenchError."""
        found = open_run(path)
        run = cls(path, found.manifest, found.windows)
        whole = b"".join(_lines(path)[: len(found.windows)])
        try:
            os.truncate(path / WINDOWS, len(whole))
            if whole and not whole.endswith(b"\n"):
                _append_whole(path / WINDOWS, b"\n")
        except OSError as error:
            raise run._full(error) from None
        return run

    def append(self, window: Record) -> None:
        """Write one window through to the disk.

        Raises BenchError when it cannot be written, and takes half a line back; ValueError when
        the window is not what the schema says.
        """
        _refuse_fault("window", window)
        line = json.dumps(window, allow_nan=False).encode() + b"\n"
        try:
            _append_whole(self.path / WINDOWS, line)
        except OSError as error:
            raise self._full(error) from None
        self.windows.append(window)

    def update(self, **facts: object) -> None:
        """Put facts into the manifest and write it in one step. Raises BenchError, ValueError."""
        changed = {**self.manifest, **facts}
        _refuse_fault("manifest", changed)
        try:
            write_whole(self.path / MANIFEST, json.dumps(changed, indent=1) + "\n")
        except OSError as error:
            raise self._full(error) from None
        self.manifest = changed

    def finish(self, **facts: object) -> None:
        """Say that the run is complete, with the last facts about it. Raises BenchError."""
        self.update(**{"complete": True, "finished_at": timestamp(), **facts})

    def _full(self, error: OSError) -> BenchError:
        return BenchError(
            f"{self.path}: {error.strerror}; {len(self.windows)} windows are kept and readable: "
            "make room or rights for it and run the same command again to go on"
        )


def open_run(path: Path) -> Run:
    """Read a run directory.

    A last line that is cut off is left out and told in `cut`. Raises BenchError, in one line with
    the remedy, for anything else that is no record or cannot be read.
    """
    manifest = _manifest(path)
    lines, windows = _lines(path), list[Record]()
    for number, line in enumerate(lines, 1):
        window = _parsed(line)
        if window is None and number == len(lines) and not line.endswith(b"\n"):
            return Run(path, manifest, windows, _cut(path, number))
        fault = "no JSON object" if window is None else _version_or_fault("window", window)
        if window is None or fault:
            raise BenchError(f"{path / WINDOWS} line {number}: {fault}")
        windows.append(window)
    return Run(path, manifest, windows)


def write_whole(path: Path, text: str) -> None:
    """Write a file in one step: the old one stays until the new one is whole. Raises OSError."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def timestamp() -> str:
    """The present second in UTC, as ISO 8601 with Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def create(kind: str, command: list[str], seed: int, body: dict[str, object]) -> Record:
    """Put the results of a measurement kept as one file under the facts every record has."""
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": kind,
        "command": shlex.join(command),
        "seed": seed,
        "finished_at": timestamp(),
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


def _manifest(path: Path) -> Record:
    place = path / MANIFEST
    try:
        manifest = _parsed(place.read_bytes())
    except OSError as error:
        raise BenchError(
            f"{place}: {error.strerror}; name a directory that bench run has written"
        ) from None
    fault = "no JSON object" if manifest is None else _version_or_fault("manifest", manifest)
    if manifest is None or fault:
        raise BenchError(f"{place}: {fault}")
    return manifest


def _lines(path: Path) -> list[bytes]:
    try:
        return (path / WINDOWS).read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise BenchError(
            f"{path / WINDOWS}: {error.strerror}; without it there is nothing to report: run again"
        ) from None


def _cut(path: Path, number: int) -> str:
    return (
        f"{path / WINDOWS} line {number} is cut off; {number - 1} windows before it are read: "
        "run the command of its manifest again to go on from there"
    )


def _parsed(text: bytes) -> Record | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _version_or_fault(schema: str, found: Record) -> str | None:
    """What is wrong with something read, with the remedy; None when nothing is."""
    version = found.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        return f"schema version {version} is newer than {SCHEMA_VERSION}: update ztransport"
    fault = _fault(schema, found)
    return (
        f"{fault}: it was changed by hand or is no record; restore or measure it again"
        if (fault)
        else None
    )


def _refuse_fault(schema: str, found: Record) -> None:
    if fault := _fault(schema, found):
        raise ValueError(f"a {schema} to write breaks its schema: {fault}")


def _fault(schema: str, found: Record) -> str | None:
    """The first thing that breaks a schema, in one short line."""
    error = next(_validator(schema).iter_errors(found), None)
    if error is None:
        return None
    place = "/".join(str(part) for part in error.absolute_path) or "the object"
    return f"{place}: {' '.join(error.message.split())}"[:FAULT_CHARACTERS_MAX]


@functools.cache
def _validator(schema: str) -> Any:
    import jsonschema  # only the suite's records need it, and it takes long to import

    text = resources.files("ztransport.bench").joinpath("schemas", f"{schema}.json").read_text()
    return jsonschema.Draft202012Validator(json.loads(text))


def _append_whole(path: Path, line: bytes) -> None:
    """Append all or nothing."""
    with path.open("ab", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            left = memoryview(line)
            while left:
                left = left[file.write(left) :]
        except OSError:
            os.ftruncate(file.fileno(), size)
            raise
