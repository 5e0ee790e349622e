"""`python -m bench.zeebe`: measure a real Zeebe and ztransport interleaved, print their tables."""

from __future__ import annotations

import argparse
import random
import secrets
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path

from bench.contenders.protocol import Config, Sample, write_trust
from bench.zeebe import table
from bench.zeebe.pairs import WARM_UP_OF_ZEEBE_S, OwnPair, Pair, RealPair, java, works_of
from bench.zeebe.plan import IDLE, IDLE_OF, OWN, REAL, SECURITIES, TLS, Cell, cells
from ztransport import certs
from ztransport.bench import record
from ztransport.bench.processes import BenchError, scratch_folder

PAGE = Path("docs/BESIDE_ZEEBE.md")
Samples = dict[Cell, list[Sample]]
Key = tuple[str, str, str]
"""Contender, security, and what its nodes do while nothing is ready."""
Pairs = dict[Key, Pair]


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.zeebe", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a window")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--works", type=lambda text: text.split(","), default=None)
    parser.add_argument("--security", choices=list(SECURITIES), default=None)
    parser.add_argument("--seed", type=int, default=None, help="order of the cells")
    parser.add_argument("--record", type=Path, default=None, help="where to write the JSON record")
    parser.add_argument(
        "--show", type=Path, default=None, help="print the tables of a record, measure nothing"
    )
    parser.add_argument(
        "--page", type=Path, default=None, help=f"also put the tables into a page, as {PAGE}"
    )
    return parser.parse_args(given)


def _chosen(options: argparse.Namespace) -> list[Cell]:
    return [
        cell
        for cell in cells()
        if (options.works is None or cell.work in options.works)
        and options.security in (None, cell.security)
    ]


def _measure(options: argparse.Namespace, seed: int) -> record.Record:
    chosen = _chosen(options)
    if not chosen:
        raise BenchError("there is no such work: leave --works out to see all")
    with scratch_folder("zeebe") as scratch, ExitStack() as stack:
        pairs = _open(scratch, stack, {_key(cell) for cell in chosen})
        samples = _run(chosen, pairs, options, seed)
    _progress("")
    return {
        "seconds": options.seconds,
        "rounds": options.rounds,
        "zeebe": _zeebe_version(),
        "java": _java_version(),
        "warmed_s": WARM_UP_OF_ZEEBE_S,
        "idle": IDLE,
        "negotiated": _negotiated(samples),
        "cells": [
            {**asdict(cell), "samples": [asdict(sample) for sample in found]}
            for cell, found in samples.items()
        ],
    }


def _key(cell: Cell) -> Key:
    idle = IDLE if cell.contender == REAL else IDLE_OF.get(cell.work, IDLE)
    return cell.contender, cell.security, idle


def _open(scratch: Path, stack: ExitStack, wanted: set[Key]) -> Pairs:
    """Start all pairs; each of the real Zeebe is warmed while nobody else works."""
    authority = certs.create_authority("ztransport zeebe")
    leaf = authority.issue(["127.0.0.1", "localhost"])
    secured = write_trust(scratch, leaf.chain_pem, leaf.key_pem, authority.certificate_pem)
    pairs: Pairs = {}
    for contender, security, idle in sorted(wanted):
        config = secured if security == TLS else Config()
        _progress(f"starting {contender}, {security}")
        pair: Pair
        if contender == REAL:
            pair = stack.enter_context(closing(_real(scratch, security, config)))
        else:
            own = OwnPair(scratch, OWN[contender], config, idle=idle)
            pair = stack.enter_context(closing(own))
        pairs[contender, security, idle] = pair
    return pairs


def _real(scratch: Path, security: str, config: Config) -> RealPair:
    files = (config.chain_path, config.key_path)
    pair = RealPair(scratch, security, (files[0] or "", files[1] or "") if files[0] else None)
    pair.warm_up(works_of(secured=security == TLS))
    return pair


def _run(chosen: list[Cell], pairs: Pairs, options: argparse.Namespace, seed: int) -> Samples:
    """Every cell once a round, in an order drawn from the seed."""
    order, samples = random.Random(seed), defaultdict[Cell, list[Sample]](list)
    for number in range(options.rounds):
        for index, cell in enumerate(order.sample(chosen, len(chosen))):
            where = f"round {number + 1}/{options.rounds}, {index + 1}/{len(chosen)}"
            _progress(f"{where}: {cell.contender} {cell.work} {cell.security}")
            samples[cell].append(pairs[_key(cell)].measure(cell.work, options.seconds))
    return {cell: samples[cell] for cell in chosen}


def _negotiated(samples: Samples) -> str:
    """What ztransport's TLS agreed on; Zeebe's does not tell."""
    found = {one.negotiated for many in samples.values() for one in many if one.negotiated}
    return f"ztransport's {', '.join(sorted(found))}" if found else "no TLS"


def _zeebe_version() -> str:
    found = sorted(Path("target/interop/jars").glob("zeebe-atomix-cluster-*.jar"))
    return found[0].stem.rpartition("-")[2]


def _java_version() -> str:
    """The first line of `java -version`, which goes to standard error."""
    done = subprocess.run([java(), "-version"], capture_output=True, text=True, check=True)
    return done.stderr.splitlines()[0].replace('"', "")


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _obtain(options: argparse.Namespace, given: list[str]) -> record.Record:
    if options.show is not None:
        return record.read(options.show)
    seed = options.seed if options.seed is not None else secrets.randbits(32)
    body = _measure(options, seed)
    created = record.create("zeebe", ["python", "-m", "bench.zeebe", *given], seed, body)
    if options.record is not None:
        record.write(options.record, created)
    return created


def main(given: list[str]) -> int:
    """Measure or read, print, record; 2 when that cannot be done."""
    options, begin = _arguments(given), time.monotonic()
    try:
        found = _obtain(options, given)
        shown = table.tables(found)
        print(shown)
        for line in table.behind(found):
            print(f"not ahead: {line}")
        if options.page is not None:
            text = options.page.read_text(encoding="utf-8")
            options.page.write_text(table.page(text, shown), encoding="utf-8")
        if options.show is None:
            print(f"\nseed {found['seed']}, {time.monotonic() - begin:.0f} s")
    except (BenchError, OSError, ValueError) as error:
        print(f"bench.zeebe: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
