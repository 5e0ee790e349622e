"""Key files of every form: how long a node takes to load or to refuse each."""

from __future__ import annotations

from bench.abuse.cases import Case, Row
from bench.keys.__main__ import measured

LOAD_MS_MAX = 50.0
OPEN_MS_MAX = 1_000.0
ENCRYPTED = ("encrypted", "PKCS#12", "PBES")


def keys(case: Case) -> None:
    """K1: the key matrix by the clock; encrypted files may take longer."""
    slowest = {True: 0.0, False: 0.0}
    found = measured()
    for name, outcome in found:
        is_encrypted = name.startswith(ENCRYPTED)
        slowest[is_encrypted] = max(slowest[is_encrypted], outcome.seconds * 1e3)
    case.bars.note(f"{len(found)} key files")
    case.bars.at_most("slowest", slowest[False], LOAD_MS_MAX, "ms")
    case.bars.at_most("slowest encrypted", slowest[True], OPEN_MS_MAX, "ms")


ROWS = (Row("K1", "every cell of the key matrix (docs/KEYS.md)", "≤ 50 ms, encrypted ≤ 1 s", keys),)
