"""`python -m bench.sim`: draw the kept record, or run the plan again with --run."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from bench.sim import curves, plan
from ztransport.bench import record

RECORDS = Path("bench/records")
CELL_SECONDS_MAX = 300


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.sim", description=__doc__)
    parser.add_argument("--run", type=Path, metavar="RECORD", help="measure and write a record")
    parser.add_argument("--only", default="", help="experiments to run, separated by commas")
    parser.add_argument("--record", type=Path, help="the record to draw; the newest without it")
    parser.add_argument("--simulator", type=Path, default=Path("target/release/ztransport-sim"))
    return parser.parse_args(given)


def _measure(simulator: Path, cell: list[str]) -> dict[str, object]:
    command = [str(simulator), *cell]
    ended = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=CELL_SECONDS_MAX
    )
    loaded: dict[str, object] = json.loads(ended.stdout)
    return {**loaded, "command": " ".join(["ztransport-sim", *cell])}


def _run(options: argparse.Namespace) -> Path:
    only = set(filter(None, options.only.split(",")))
    chosen = [cell for cell in plan.cells() if not only or cell[0] in only]
    results: list[dict[str, object]] = []
    body: dict[str, object] = {"cells": results, "unfinished": []}
    for cell in chosen:
        print(" ".join(cell), file=sys.stderr, flush=True)
        try:
            results.append(_measure(options.simulator, cell))
        except subprocess.TimeoutExpired:
            body["unfinished"] = [*(str(one) for one in _unfinished(body)), " ".join(cell)]
        kept = record.create("gossip-sim", ["python", "-m", "bench.sim"], 1, body)
        record.write(options.run, kept)
    return Path(options.run)


def _unfinished(body: dict[str, object]) -> list[object]:
    found = body["unfinished"]
    return found if isinstance(found, list) else []


def _newest() -> Path:
    found = sorted(RECORDS.glob("gossip-sim-*.json"))
    if not found:
        raise SystemExit(f"there is no gossip-sim-*.json in {RECORDS}: run with --run first")
    return found[-1]


def main(given: list[str]) -> None:
    """Run if asked to, then draw beside the record."""
    options = _arguments(given)
    path = _run(options) if options.run else options.record or _newest()
    picture = path.with_suffix(".svg")
    curves.draw(record.read(path), picture)
    print(picture)


if __name__ == "__main__":
    main(sys.argv[1:])
