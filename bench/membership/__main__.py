"""`python -m bench.membership`: real members of ztransport and of kinship, in the same run.

All groups of one loss run at the same time, each in a network of its own: about three minutes for
one loss, nine in all. With --run a record is begun or gone on with; without it the newest kept one
is shown.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.membership import contenders, isolation, table
from bench.membership.cell import READY, Cell
from ztransport.bench import record
from ztransport.bench.processes import BenchError

RECORDS = Path("bench/records")
SIZES, LOSSES = (20, 50), (0.0, 1.0, 10.0)
TRIAL_SECONDS_MAX = 300
# A wave of joins takes a few seconds.
BETWEEN_SECONDS = 5.0
ERROR_CHARACTERS_MAX = 600


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.membership", description=__doc__)
    parser.add_argument(
        "--run", type=Path, metavar="RECORD", help="measure what RECORD lacks, and write it there"
    )
    parser.add_argument(
        "--at-most", type=int, metavar="LOSSES", help="stop after so many; resumable"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--losses", type=float, nargs="+", default=LOSSES)
    parser.add_argument("--record", type=Path, help="the record to show; the newest without it")
    return parser.parse_args(given)


class Trial:
    """One group in a network of its own, and the process that drives it."""

    def __init__(self, cell: Cell, command: list[str], folder: Path) -> None:
        self.cell = cell
        self._errors = folder / f"{cell.contender}-{cell.size}.err"
        asked = {"cell": asdict(cell), "command": command, "errors": str(self._errors)}
        line = [*isolation.WRAPPER, sys.executable, "-m", "bench.membership.cell"]
        self._process = subprocess.Popen(
            [*line, json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def prepare(self) -> None:
        """Wait until all its members have started. Raises BenchError."""
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != READY:
            self.finish()

    def begin(self) -> None:
        """Let its members join."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def finish(self) -> dict[str, Any]:
        """What was found. Raises BenchError."""
        out, errors = self._process.communicate(timeout=TRIAL_SECONDS_MAX)
        if self._process.returncode or not out:
            said = self._errors.read_text() if self._errors.exists() else ""
            raise BenchError(f"{self.cell}: {(errors + said)[-ERROR_CHARACTERS_MAX:]}")
        results: dict[str, Any] = json.loads(out)
        return {**asdict(self.cell), **results}

    def end(self) -> None:
        """Stop it, whatever it does; its members end with their orders' pipe."""
        self._process.terminate()
        self._process.wait()


def _measure(cells: list[Cell], commands: dict[str, list[str]]) -> list[dict[str, Any]]:
    """Run groups side by side, their joins one after the other. Raises BenchError."""
    with tempfile.TemporaryDirectory(prefix="ztransport-membership-") as folder:
        trials = [Trial(cell, commands[cell.contender], Path(folder)) for cell in cells]
        try:
            for trial in trials:
                trial.prepare()
            for trial in trials:
                trial.begin()
                time.sleep(BETWEEN_SECONDS)
            return [trial.finish() for trial in trials]
        finally:
            for trial in trials:
                trial.end()


def _run(options: argparse.Namespace) -> Path:
    commands, versions = contenders.available()
    body: dict[str, Any] = {"versions": versions, "cells": [], "missing": []}
    if options.run.exists():
        body["cells"] = record.read(options.run)["cells"]
    held = {cell["loss"] for cell in body["cells"]}
    missing = [loss for loss in options.losses if loss not in held]
    for number, loss in enumerate(missing[: options.at_most], start=1):
        cells = [Cell(name, size, loss) for size in options.sizes for name in commands]
        print(f"loss {loss:g} %: {len(cells)} groups", file=sys.stderr, flush=True)
        body["cells"] += _measure(cells, commands)
        body["missing"] = [f"loss {one:g} %" for one in missing[number:]]
        command = ["python", "-m", "bench.membership", "--run", options.run.name]
        record.write(options.run, record.create("membership", command, 0, body))
    return Path(options.run)


def _newest() -> Path:
    kept = sorted(RECORDS.glob("membership-*.json"))
    if not kept:
        raise SystemExit(f"there is no membership-*.json in {RECORDS}: run with --run first")
    return kept[-1]


def main(given: list[str]) -> None:
    """Measure if asked to, then print the table."""
    options = _arguments(given)
    try:
        path = _run(options) if options.run else options.record or _newest()
    except (BenchError, subprocess.TimeoutExpired) as error:
        raise SystemExit(str(error)) from None
    print(table.table(record.read(path)))


if __name__ == "__main__":
    main(sys.argv[1:])
