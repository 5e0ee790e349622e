"""`python -m bench.abuse`: run the wall-clock abuse cases, print their table, keep a record."""

from __future__ import annotations

import argparse
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.abuse import (
    calls,
    certificates,
    connections,
    frames,
    gossip,
    handlers,
    handshakes,
    keyfiles,
    secrecy,
    shutdown,
    soak,
    stuck,
    tampering,
    zeebe,
)
from bench.abuse.cases import Row
from bench.abuse.stage import ATTACKER_CORE, Stage
from bench.abuse.standing import watched
from ztransport.bench import record
from ztransport.bench.processes import BenchError

RECORDS = Path("bench/records")
FAMILIES = (
    connections,
    handshakes,
    stuck,
    tampering,
    frames,
    calls,
    handlers,
    shutdown,
    zeebe,
    certificates,
    keyfiles,
    soak,
    secrecy,
    gossip,
)
HEADERS = ["id", "what", "measured", "bar", "met"]
NOTE = """\
The server (Trio face, TLS, ECDSA) has core 0, the attackers core 1. The control client is a process
of its own on core 0, so that it feels the server and not the attackers; it calls 200 times a second
(T4: 16 calls at a time without a pause, and is the established client). Quiet figures are of the
second before each case. Memory rises from before the first connection, and is settled when it is
back at what it was after a first crowd of 2,000 begun handshakes, whose reserve an allocator keeps.
The members of rows U have core 0 too; what a drop costs them holds the kernel's part.
Rows with z are at doors that take Zeebe's protocol too, behind TLS and in plaintext. S3 takes the
median of three quiet and three stuck windows of 0.5 s at 1,000 calls a second for each kind. Rows
marked – are covered by the named tests of `make test`; `make fuzz` gives every door 60 s."""


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table as it came out."""

    id: str
    what: str
    bar: str
    met: bool | None
    """None: not run here but covered by `make test`."""
    measured: list[str]
    missed: list[str]
    covered_by: tuple[str, ...]
    seconds: float


def _order(row: Row) -> tuple[str, int, str]:
    """T1, T1z, T10; the soak behind the rows of the list; secrets last, as they look at all."""
    letter, number = row.id[0], int(row.id[1:].rstrip("z"))
    family = "Z" if row.id == "T32" else "V" if letter == "S" else letter
    return family, number, row.id


ROWS = sorted((row for family in FAMILIES for row in family.ROWS), key=_order)


def _arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.abuse", description=__doc__)
    parser.add_argument("--only", type=_ids, default=None, help="ids, such as T1,T5")
    parser.add_argument("--fuzz", action="store_true", help="run `make fuzz` too")
    parser.add_argument("--seed", type=int, default=None, help="of the garbage of T28")
    parser.add_argument(
        "--record",
        type=Path,
        default=None,
        help="where to write the JSON record; by default bench/records, if all cases were run",
    )
    return parser.parse_args(given)


def _ids(text: str) -> list[str]:
    known = {row.id.lower(): row.id for row in ROWS}
    chosen = text.lower().split(",")
    if unknown := [one for one in chosen if one not in known]:
        raise argparse.ArgumentTypeError(f"{unknown[0]}: choose from {', '.join(known.values())}")
    return [known[one] for one in chosen]


def _run(row: Row, stage: Stage, seed: int) -> Result:
    begin = time.monotonic()
    if row.run is None:
        return _result(row, None, [f"make test: {', '.join(row.covered_by)}"], [], 0.0)
    measured, missed = _measure(row, stage, seed)
    stage.end_children()
    return _result(row, not missed, measured, missed, time.monotonic() - begin)


def _measure(row: Row, stage: Stage, seed: int) -> tuple[list[str], list[str]]:
    assert row.run is not None  # rows without are not measured
    try:
        with watched(stage, row, seed) as case:
            row.run(case)
    except Exception as error:  # an attack that cannot go on is a bar that was not kept
        failed = f"ended by {type(error).__name__}: {error}"
        return [failed], [failed]
    return case.bars.measured, case.bars.missed


def _result(
    row: Row, met: bool | None, measured: list[str], missed: list[str], seconds: float
) -> Result:
    return Result(row.id, row.what, row.bar, met, measured, missed, row.covered_by, seconds)


def _run_all(rows: list[Row], seed: int) -> list[Result]:
    results = []
    with (
        tempfile.TemporaryDirectory(prefix="ztransport-abuse-") as directory,
        Stage(Path(directory)) as stage,
    ):
        for row in rows:
            _progress(f"{row.id}: {row.what}")
            results.append(_run(row, stage, seed))
    _progress("")
    return results


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _print(results: list[Result]) -> None:
    shown = {True: "yes", False: "NO", None: "–"}
    print(" | ".join(HEADERS) + "\n" + " | ".join("---" for _ in HEADERS))
    for r in results:  # not padded: what was measured is long
        print(" | ".join([r.id, r.what, "; ".join(r.measured), r.bar, shown[r.met]]))
    print("\n" + NOTE)
    for result in results:
        if result.missed:
            print(f"missed: {result.id}: {'; '.join(result.missed)}")


def _fuzz() -> bool:
    return subprocess.run(["make", "fuzz"], check=False).returncode == 0


def _default_path() -> Path:
    return RECORDS / f"abuse-{time.strftime('%Y-%m-%d')}.json"


def _prepare() -> None:
    """Attack from the attackers' core, with as many descriptors as are to be had."""
    os.sched_setaffinity(0, {ATTACKER_CORE % (os.cpu_count() or 1)})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(given: list[str]) -> int:
    """Run, print, record; 1 when a bar was missed, 2 when the run could not be done."""
    options = _arguments(given)
    seed = options.seed if options.seed is not None else secrets.randbits(32)
    rows = [row for row in ROWS if options.only is None or row.id in options.only]
    begin = time.monotonic()
    try:
        _prepare()
        results = _run_all(rows, seed)
        _print(results)
        print(f"\nseed {seed}, {time.monotonic() - begin:.0f} s")
        if path := options.record or (None if options.only else _default_path()):
            command = ["python", "-m", "bench.abuse", *given]
            body: dict[str, object] = {"note": NOTE, "rows": [asdict(result) for result in results]}
            record.write(path, record.create("abuse", command, seed, body))
    except (BenchError, OSError) as error:
        print(f"bench.abuse: {error}", file=sys.stderr)
        return 2
    fuzzed = not options.fuzz or _fuzz()
    return 0 if fuzzed and all(result.met is not False for result in results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
