"""Records of runs: what was measured, where, and by which command.

The suite's record is a run directory: `manifest.json` says what was run, `windows.jsonl` has one
line for each window, written as soon as it is measured, so that a run that is interrupted, killed
or out of disk leaves what it had. Both have a JSON Schema in `schemas`, which every line is checked
against on its way in and out. The measurements kept as one JSON file use `create`, `write`, `read`.
"""

from __future__ import annotations

import contextlib
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
BROKEN = "windows.broken"
"""Where lines go that cannot be read when a run goes on: nothing is dropped."""
FAULT_CHARACTERS_MAX = 160
NO_OBJECT = "no JSON object"

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """A run as it was recorded.

    Where a part cannot be read, `cut` says in one line what and how to mend it, `lost` has the
    numbers of those lines, and the run is not complete any more.
    """

    path: Path
    manifest: Record
    windows: list[Record] = field(repr=False)
    cut: str | None = None
    lost: tuple[int, ...] = ()


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
        _refuse_record(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / WINDOWS).write_bytes(b"")
            run.update()
        except BaseException as error:
            if not (path / MANIFEST).exists():
                with contextlib.suppress(OSError):
                    (path / WINDOWS).unlink()
            raise run._full(error) if isinstance(error, OSError) else error from None
        return run

    @classmethod
    def resume(cls, path: Path) -> RunDirectory:
        """Go on with a partial record: what cannot be read is put aside. Raises BenchError."""
        found = open_run(path)
        run = cls(path, found.manifest, found.windows)
        lines = _lines(path)
        lost = [lines[number - 1] for number in found.lost]
        whole = [line for number, line in enumerate(lines, 1) if number not in found.lost]
        try:
            if lost:
                _append_whole(path / BROKEN, b"".join(_ended(line) for line in lost))
                _write_whole(path / WINDOWS, b"".join(_ended(line) for line in whole))
            elif whole:
                _append_whole(path / WINDOWS, b"" if whole[-1].endswith(b"\n") else b"\n")
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

    Lines that cannot be read, as the last one of a run that was killed, are left out and told in
    `cut`. Raises BenchError, in one line with the remedy, where nothing can be read, and for a
    newer schema.
    """
    manifest, lines = _manifest(path), _lines(path)
    windows, faults = list[Record](), dict[int, str]()
    for number, line in enumerate(lines, 1):
        window = _parsed(line)
        if window is not None:
            _refuse_newer(f"{path / WINDOWS} line {number}", window)
        fault = NO_OBJECT if window is None else _fault("window", window)
        if window is None or fault:
            faults[number] = fault or NO_OBJECT
        else:
            windows.append(window)
    if not faults:
        return Run(path, manifest, windows)
    is_cut = faults == {len(lines): NO_OBJECT} and not lines[-1].endswith(b"\n")
    told = _told(path / WINDOWS, faults, len(windows), is_cut)
    return Run(path, {**manifest, "complete": False}, windows, told, tuple(faults))


def write_whole(path: Path, text: str) -> None:
    """Write a file in one step: the old one stays until the new one is whole. Raises OSError."""
    _write_whole(path, text.encode())


def _write_whole(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_bytes(content)
        new.replace(path)
    except BaseException:
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
    if manifest is not None:
        _refuse_newer(str(place), manifest)
    fault = NO_OBJECT if manifest is None else _fault("manifest", manifest)
    if manifest is None or fault:
        raise BenchError(
            f"{place}: {fault}: it was cut off or changed; restore it, or name another directory "
            f"and measure again ({path / WINDOWS} keeps what was measured)"
        )
    return manifest


def _lines(path: Path) -> list[bytes]:
    try:
        return (path / WINDOWS).read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise BenchError(
            f"{path / WINDOWS}: {error.strerror}; without it there is nothing to report: run again"
        ) from None


def _told(place: Path, faults: dict[int, str], kept: int, is_cut: bool) -> str:
    number, fault = next(iter(faults.items()))
    what = "is cut off" if is_cut else f"is broken ({fault})"
    more = f" and {len(faults) - 1} more are" if len(faults) > 1 else ""
    return (
        f"{place} line {number} {what}{more}; {kept} windows of the others are read: "
        "run the command of its manifest again to measure what is missing"
    )


def _parsed(text: bytes) -> Record | None:
    try:
        found = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _refuse_newer(place: str, found: Record) -> None:
    version = found.get("schema_version")
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BenchError(
            f"{place}: schema version {version} is newer than {SCHEMA_VERSION}: update ztransport"
        )


def _refuse_record(path: Path) -> None:
    """Nothing that was measured is overwritten, be it without its manifest."""
    if (path / MANIFEST).exists():
        raise BenchError(f"{path} holds a record: name another directory")
    with contextlib.suppress(OSError):
        if (path / WINDOWS).stat().st_size:
            raise BenchError(
                f"{path} holds windows without their {MANIFEST}: restore it, or name another "
                "directory with --directory"
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


def _ended(line: bytes) -> bytes:
    return line if line.endswith(b"\n") else line + b"\n"


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
