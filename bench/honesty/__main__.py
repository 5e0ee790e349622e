"""`python -m bench.honesty`: run the experiments, print their table, keep a record."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.findings import table, tell
from bench.honesty import burning, reaching, refusing, waiting
from bench.honesty.findings import Experiment, Finding
from ztransport.bench import doctor, record
from ztransport.bench.processes import BenchError

RECORDS = Path("bench/records")
EXPERIMENTS: dict[str, Experiment] = {
    "stopped": waiting.stopped,
    "slowed": waiting.slowed,
    "burned": burning.burned,
    "starved": refusing.starved,
    "mismatched": refusing.mismatched,
    "killed": refusing.killed,
    "generator": reaching.generator,
    "gateway": reaching.gateway,
    "publishing": reaching.publishing,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the experiments asked for; 1 when one did not come to what it must."""
    parser = argparse.ArgumentParser("python -m bench.honesty", description=__doc__)
    parser.add_argument("experiments", nargs="*", metavar="NAME", help=", ".join(EXPERIMENTS))
    parser.add_argument("--record", type=Path, help="JSON file; default: in bench/records")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.experiments) - set(EXPERIMENTS):
        parser.error(f"there is no {', '.join(sorted(unknown))}: {', '.join(EXPERIMENTS)}")
    names = asked.experiments or list(EXPERIMENTS)
    load = doctor.text([one for one in doctor.examine() if one.level == doctor.SPOILS] or [CALM])
    found = {name: _findings(name) for name in names}
    tell("")
    sys.stdout.write(f"{load}\n{table(found)}\n")
    path = asked.record or RECORDS / time.strftime("honesty-%Y-%m-%d.json", time.gmtime())
    body: dict[str, object] = {
        "doctor": load,
        "findings": {name: [asdict(one) for one in own] for name, own in found.items()},
    }
    command = ["python", "-m", "bench.honesty", *asked.experiments]
    record.write(path, record.create("honesty", command, burning.SEED, body))
    return 0 if all(one.met for own in found.values() for one in own) else 1


CALM = doctor.Finding(doctor.GOOD, "machine", "nothing that spoils a measurement was seen")


def _findings(name: str) -> list[Finding]:
    """What an experiment came to; one that could not be made is not met."""
    try:
        return EXPERIMENTS[name](tell)
    except BenchError as error:
        return [Finding(name, str(error), "it can be made", met=False)]


if __name__ == "__main__":
    sys.exit(main())
