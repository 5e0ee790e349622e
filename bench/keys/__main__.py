"""`python -m bench.keys`: load every cell of the key matrix and print what came of it."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bench.keys import cells
from bench.keys.cells import LOADS, Outcome

PAGE = Path("docs/KEYS.md")
BEGIN, END = "<!-- bench/keys begin -->\n", "<!-- bench/keys end -->"
BY_RENAME, IN_PLACE = "replaced by rename while it is read", "rewritten in place while it is read"
WHOLE_OR_REFUSED = "loads, or is refused as what was there at that moment"


def measured() -> list[tuple[str, Outcome]]:
    """Every cell with its outcome. Raises AssertionError where one is not as it must be."""
    found = []
    for cell in cells.cells():
        with tempfile.TemporaryDirectory(prefix="ztransport-keys-") as folder:
            outcome = cells.outcome(cell, Path(folder))
        assert is_expected(cell.expected, outcome.text), f"{cell.name}: {outcome.text}"
        found.append((cell.name, outcome))
    return [*found, *_replaced()]


def is_expected(expected: str, text: str) -> bool:
    """Whether an outcome is what a cell asks for."""
    return text == LOADS if expected == LOADS else text != LOADS and expected in text


def _replaced() -> list[tuple[str, Outcome]]:
    with tempfile.TemporaryDirectory(prefix="ztransport-keys-") as folder:
        texts = cells.replaced(Path(folder), cells.by_rename)
        assert texts == {LOADS}, texts
        cells.replaced(Path(folder), cells.in_place)
    return [(BY_RENAME, Outcome(LOADS, 0.0)), (IN_PLACE, Outcome(WHOLE_OR_REFUSED, 0.0))]


def table(found: list[tuple[str, Outcome]]) -> str:
    """The matrix as Markdown."""
    lines = ["| key file | outcome |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {outcome.text} |" for name, outcome in found)])


def page(text: str, shown: str) -> str:
    """A page with the matrix replaced."""
    head, _, rest = text.partition(BEGIN)
    return f"{head}{BEGIN}{shown}\n{END}{rest.partition(END)[2]}"


def main(given: list[str]) -> int:
    """Print the matrix, and put it into the page when that is asked for."""
    parser = argparse.ArgumentParser(prog="bench.keys", description=__doc__)
    parser.add_argument("--page", action="store_true", help=f"also write it into {PAGE}")
    options, found = parser.parse_args(given), measured()
    print(table(found))
    slowest = max(found, key=lambda one: one[1].seconds)
    print(f"\nslowest: {slowest[0]}, {slowest[1].seconds * 1e3:.1f} ms")
    if options.page:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), table(found)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
