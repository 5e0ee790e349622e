"""`python -m bench.sim`: draw the kept record and print its table, or measure with --run."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from bench.sim import curves, plan, table
from ztransport.bench import record
from ztransport.bench.processes import BenchError

RECORDS = Path("bench/records")
CELL_SECONDS_MAX = 7_200
# What these find depends on what else runs; all others live in virtual time.
WALL_CLOCK = ("codec", "speed")
KIND = "gossip-sim"
COMMAND = ["python", "-m", "bench.sim", "--run"]


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.sim", description=__doc__)
    parser.add_argument(
        "--run", type=Path, metavar="RECORD", help="measure what RECORD lacks, and write it there"
    )
    parser.add_argument("--only", default="", help="experiments to run, separated by commas")
    parser.add_argument(
        "--at-most", type=int, metavar="CELLS", help="stop after so many; resumable"
    )
    parser.add_argument("--again", default="", help="experiments to measure again")
    parser.add_argument("--jobs", type=int, default=1, help="cells measured at once; codec alone")
    parser.add_argument("--record", type=Path, help="the record to show; the newest without it")
    parser.add_argument("--simulator", type=Path, default=Path("target/release/ztransport-sim"))
    parser.add_argument("--unoptimized", type=Path, default=Path("target/debug/ztransport-sim"))
    return parser.parse_args(given)


def _call(simulator: Path, cell: list[str]) -> dict[str, Any]:
    command = [str(simulator), *cell]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=CELL_SECONDS_MAX)
    if ended.returncode:
        raise BenchError(f"{_name(cell)}: {ended.stderr.strip()}")
    loaded: dict[str, Any] = json.loads(ended.stdout)
    return {**loaded, "command": _name(cell)}


def _try(simulator: Path, cell: list[str]) -> dict[str, Any]:
    """The results of one cell, or nothing if it takes too long."""
    print(_name(cell), file=sys.stderr, flush=True)
    try:
        return _call(simulator, cell)
    except subprocess.TimeoutExpired:
        print(f"{_name(cell)}: not done in {CELL_SECONDS_MAX} s", file=sys.stderr)
        return {}


def _name(cell: list[str]) -> str:
    return " ".join(["ztransport-sim", *cell])


def _traces(options: argparse.Namespace) -> dict[str, str]:
    """The trace of the same world in both builds. Raises BenchError when they differ."""
    builds = {"release": options.simulator, "debug": options.unoptimized}
    found = {
        build: str(_call(path, plan.trace())["results"]["trace"]) for build, path in builds.items()
    }
    if found["release"] != found["debug"]:
        raise BenchError(f"the builds live through different histories: {found}")
    return found


def _begin(options: argparse.Namespace) -> dict[str, Any]:
    """The body of a record to go on with: cells of one protocol only. Raises BenchError."""
    traces = _traces(options)
    if not options.run.exists():
        return {"traces": traces, "cells": [], "missing": []}
    found = record.read(options.run)
    if found["traces"] != traces:
        raise BenchError(f"{options.run} is of another protocol {found['traces']}: name another")
    again = set(filter(None, options.again.split(",")))
    cells = [cell for cell in found["cells"] if cell["experiment"] not in again]
    return {"traces": traces, "cells": cells, "missing": found["missing"]}


def _measure(options: argparse.Namespace, cells: list[list[str]]) -> Iterator[dict[str, Any]]:
    """The results of each cell as it is done; what depends on the wall clock alone and first."""
    for cell in cells:
        if cell[0] in WALL_CLOCK:
            yield _try(options.simulator, cell)
    others = [cell for cell in cells if cell[0] not in WALL_CLOCK]
    threads = ThreadPoolExecutor(options.jobs)
    try:
        running = [threads.submit(_try, options.simulator, cell) for cell in others]
        yield from (done.result() for done in as_completed(running))
    finally:
        threads.shutdown(cancel_futures=True)


def _run(options: argparse.Namespace) -> Path:
    body = _begin(options)
    only = set(filter(None, options.only.split(",")))
    planned = [cell for cell in plan.cells() if not only or cell[0] in only]
    held = {str(cell["command"]) for cell in body["cells"]}
    missing = [cell for cell in planned if _name(cell) not in held]
    for results in _measure(options, missing[: options.at_most]):
        body["cells"] += [results] if results else []
        held = {str(cell["command"]) for cell in body["cells"]}
        body["missing"] = [_name(cell) for cell in planned if _name(cell) not in held]
        record.write(options.run, record.create(KIND, [*COMMAND, options.run.name], 1, body))
    print(f"{len(body['missing'])} of {len(planned)} cells are missing", file=sys.stderr)
    return Path(options.run)


def _newest() -> Path:
    found = sorted(RECORDS.glob("gossip-sim-*.json"))
    if not found:
        raise SystemExit(f"there is no gossip-sim-*.json in {RECORDS}: run with --run first")
    return found[-1]


def main(given: list[str]) -> None:
    """Run if asked to, then print the table of the record and draw beside it."""
    options = _arguments(given)
    try:
        path = _run(options) if options.run else options.record or _newest()
    except BenchError as error:
        raise SystemExit(str(error)) from None
    found = record.read(path)
    if options.run and found["missing"]:
        return
    print(table.table(found))
    picture = path.with_suffix(".svg")
    curves.draw(found, picture)
    print(f"\ncurves: {picture}")


if __name__ == "__main__":
    main(sys.argv[1:])
