"""`python -m bench.contenders`: measure all contenders interleaved and print both tables."""

from __future__ import annotations

import argparse
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path

from bench.contenders import lines
from bench.contenders.processes import CROSS, SAME, SPIN, Cell, Stage
from bench.contenders.protocol import ALL_WORKS, WORKS, Sample
from bench.contenders.rounds import CONTENDERS, PLAIN, TLS, Results, plan, run
from ztransport.bench import record, report
from ztransport.bench.processes import BenchError

NOTE = """\
One-way contenders write 64 messages joined beforehand at a time; their receivers find each
message's bounds and build no object, where ztransport sends one by one and hands out payloads.
Bulk is one way, each message received as one object. Median [lowest – highest] of the rounds.
CPU is µs per message, client + server."""
HEADERS = ["contender", "across cores", "p50 µs", "p99 µs", "CPU µs", "one core", "spinning"]


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.contenders", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a window")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--works", type=_names(ALL_WORKS), default=list(ALL_WORKS))
    parser.add_argument("--only", type=_names(CONTENDERS), default=list(CONTENDERS))
    parser.add_argument("--security", type=_names((TLS, PLAIN)), default=[TLS, PLAIN])
    parser.add_argument(
        "--placements", type=_names((CROSS, SAME, SPIN)), default=[CROSS, SAME, SPIN]
    )
    parser.add_argument(
        "--realtime", action="store_true", help="run the roles at SCHED_FIFO, before all others"
    )
    parser.add_argument("--seed", type=int, default=None, help="order of the cells")
    parser.add_argument("--record", type=Path, default=None, help="where to write the JSON record")
    return parser.parse_args(given)


def _names(known: Collection[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]}: choose from {', '.join(known)}")
        return chosen

    return parse


def _cells(options: argparse.Namespace) -> list[Cell]:
    cells = plan(options.only, options.works)
    return [
        cell
        for cell in cells
        if cell.security in options.security and cell.placement in options.placements
    ]


def _measure(options: argparse.Namespace, seed: int) -> Results:
    cells = _cells(options)

    def tell(number: int, index: int, cell: Cell) -> None:
        where = f"round {number + 1}/{options.rounds}, {index + 1}/{len(cells)}"
        _progress(f"{where}: {cell.contender} {cell.work} {cell.security} {cell.placement}")

    with Stage(realtime=options.realtime) as stage:
        results = run(
            cells, options.rounds, seed, lambda cell: stage.measure(cell, options.seconds), tell
        )
    _progress("")
    return results


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _figure(results: Results, cell: Cell) -> str:
    rates = results.rates(cell)
    if not rates:
        return "–"
    work = ALL_WORKS[cell.work]
    scale, unit = (work.payload_bytes, "B/s") if work.is_bulk else (1, "/s")
    middle = report.quantity(statistics.median(rates) * scale, unit)
    low, high = (report.quantity(rate * scale) for rate in (min(rates), max(rates)))
    return f"{middle} [{low} – {high}]"


def _median(samples: list[Sample], name: str) -> str:
    values = [value for sample in samples if (value := getattr(sample, name)) is not None]
    return f"{statistics.median(values):.0f}" if values else "–"


def _cpu(samples: list[Sample]) -> str:
    def per_message(name: str) -> str:
        known = [s for s in samples if getattr(s, name) is not None and s.count]
        costs = [getattr(s, name) * 1e6 / s.count for s in known]
        return f"{statistics.median(costs):.2f}" if costs else "–"

    return f"{per_message('client_cpu_s')} + {per_message('server_cpu_s')}"


def _table(results: Results, work: str, security: str, contenders: list[str]) -> str | None:
    rows = []
    for contender in contenders:
        across = Cell(contender, work, security, CROSS)
        placed = [Cell(contender, work, security, placement) for placement in (SAME, SPIN)]
        if not any(results.rates(cell) for cell in (across, *placed)):
            continue
        samples = results.samples.get(across, [])
        latency = [_median(samples, "p50_us"), _median(samples, "p99_us"), _cpu(samples)]
        figures = [_figure(results, cell) for cell in placed]
        rows.append([contender, _figure(results, across), *latency, *figures])
    if not rows:
        return None
    return f"{work}, {security}\n\n{report.table(HEADERS, rows)}\n"


def _print(results: Results, options: argparse.Namespace) -> None:
    for security in options.security:
        for work in (work for work in WORKS if work in options.works):
            if (shown := _table(results, work, security, options.only)) is not None:
                print(shown)
    print(NOTE + "\n")
    rows = [line.cells() for line in lines.lines(results)]
    if rows:
        print(report.table(lines.HEADERS, rows))


def _body(results: Results, options: argparse.Namespace) -> dict[str, object]:
    samples = [
        {**asdict(cell), "samples": [asdict(sample) for sample in found]}
        for cell, found in results.samples.items()
    ]
    shown = [asdict(line) for line in lines.lines(results)]
    return {
        "seconds": options.seconds,
        "rounds": options.rounds,
        "realtime": options.realtime,
        "cells": samples,
        "lines": shown,
    }


def main(given: list[str]) -> int:
    """Run, print, record; 2 when a role fails or a path cannot be written."""
    options = _arguments(given)
    seed = options.seed if options.seed is not None else secrets.randbits(32)
    begin = time.monotonic()
    try:
        results = _measure(options, seed)
        _print(results, options)
        print(f"\nseed {seed}, {time.monotonic() - begin:.0f} s")
        if options.record is not None:
            command = ["python", "-m", "bench.contenders", *given]
            record.write(
                options.record, record.create("contenders", command, seed, _body(results, options))
            )
    except (BenchError, OSError) as error:
        print(f"bench.contenders: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
