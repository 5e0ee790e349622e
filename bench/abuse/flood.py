"""A client that does full TLS handshakes one after the other, flat out, for a while."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from bench.abuse.raw import Ended, Raw, Target, dial


def flood(target: Target, seconds: float) -> dict[str, int]:
    """Handshake and reset until the time is over; how many were completed and how many not."""
    context, end = target.context(), time.monotonic() + seconds
    done = {"completed": 0, "refused": 0}
    while time.monotonic() < end:
        try:
            raw = Raw(dial(target), context)
            raw.handshake()
            raw.reset()
            done["completed"] += 1
        except (Ended, OSError):
            done["refused"] += 1
    return done


def main(address: str, cluster: str, trust: str, core: str, seconds: str) -> None:
    """Flood and print the counts as one JSON line."""
    os.sched_setaffinity(0, {int(core)})
    print(json.dumps(flood(Target(address, cluster, Path(trust)), float(seconds))))


if __name__ == "__main__":
    main(*sys.argv[1:])
