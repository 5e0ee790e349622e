"""`python -m bench.rolling`: change a cluster under load, print its table, keep a record."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from bench.findings import table, tell
from bench.rolling.findings import Finding
from bench.rolling.revocation import revocation
from bench.rolling.rollout import rollout
from bench.rolling.rotation import rotation
from ztransport.bench import record

RECORDS = Path("bench/records")
Experiment = Callable[[Callable[[str], None], Path], list[Finding]]
EXPERIMENTS: dict[str, Experiment] = {
    "rotation": rotation,
    "revocation": revocation,
    "rollout": rollout,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiments asked for; 1 when one did not come to what it must."""
    parser = argparse.ArgumentParser("python -m bench.rolling", description=__doc__)
    parser.add_argument("experiments", nargs="*", metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--record", type=Path, help="JSON file; default: in bench/records")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.experiments) - set(EXPERIMENTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}: {', '.join(EXPERIMENTS)}")
    found = {name: _run(name) for name in asked.experiments or EXPERIMENTS}
    tell("")
    sys.stdout.write(f"{table(found)}\n")
    path = asked.record or RECORDS / time.strftime("rolling-%Y-%m-%d.json", time.gmtime())
    body: dict[str, object] = {
        "findings": {name: [asdict(one) for one in own] for name, own in found.items()}
    }
    command = ["python", "-m", "bench.rolling", *asked.experiments]
    record.write(path, record.create("rolling", command, 0, body))
    return 0 if all(one.met for own in found.values() for one in own) else 1


def _run(name: str) -> list[Finding]:
    with tempfile.TemporaryDirectory(prefix="ztransport-rolling-") as folder:
        return EXPERIMENTS[name](tell, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
