"""A process that outlives a killed run and ends what the run had started.

It reads from standard input which process groups and folders exist: "+group 17", "-group 17",
"+folder PATH", "-folder PATH". When the input ends, for whatever reason, the groups are killed and
the folders removed. It imports nothing of this package, so that it starts in an instant.
"""

import os
import shutil
import signal
import sys


def main() -> None:
    """Keep book until the input ends, then clean up."""
    kept: dict[str, set[str]] = {"group": set(), "folder": set()}
    for line in sys.stdin:
        verb, value = line.rstrip("\n").split(" ", 1)
        known = kept[verb[1:]]
        (known.add if verb[0] == "+" else known.discard)(value)
    for group in kept["group"]:
        try:
            os.killpg(int(group), signal.SIGKILL)
        except ProcessLookupError:
            continue  # it has ended by itself
    for folder in kept["folder"]:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
