"""The key matrix cell by cell, and that docs/KEYS.md says what comes of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.keys import __main__ as matrix
from bench.keys import cells
from bench.keys.cells import LOADS, Cell

PAGE = Path(__file__).parents[1] / matrix.PAGE


@pytest.mark.parametrize("cell", cells.cells(), ids=lambda cell: cell.name)
def test_each_cell_comes_to_what_the_page_says(cell: Cell, tmp_path: Path) -> None:
    outcome = cells.outcome(cell, tmp_path)
    assert matrix.is_expected(cell.expected, outcome.text), outcome.text
    assert f"| {cell.name} | {outcome.text} |\n" in PAGE.read_text(encoding="utf-8")


def test_the_page_has_every_cell_once() -> None:
    listed = PAGE.read_text(encoding="utf-8").partition(matrix.BEGIN)[2].partition(matrix.END)[0]
    names = [line.split(" | ")[0].removeprefix("| ") for line in listed.splitlines()[2:]]
    assert names == [
        *(cell.name for cell in cells.cells()),
        matrix.BY_RENAME,
        matrix.IN_PLACE,
    ]


def test_a_file_replaced_by_rename_is_read_whole(tmp_path: Path) -> None:
    assert cells.replaced(tmp_path, cells.by_rename) == {LOADS}


def test_a_file_rewritten_in_place_loads_or_is_refused(tmp_path: Path) -> None:
    """`outcome` itself checks that each refusal has the path and no byte of the key."""
    assert cells.replaced(tmp_path, cells.in_place)


def test_the_compatibility_profile_warns_of_a_key_others_can_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cells.write(tmp_path, cells.p256().pem(), 0o644)
    cell = Cell("", LOADS, None, profile="zeebe")
    assert cells.outcome(cell, tmp_path).text == LOADS
    assert f"{tmp_path / cells.FILE}: can be read" in caplog.text
