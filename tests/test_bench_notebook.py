"""The notebook runs as it is kept: it reads its record, draws, and decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from ztransport.bench import load, report, verdict

NOTEBOOK = Path(__file__).resolve().parent.parent / "notebooks" / "tls_or_proxy.ipynb"
RECORD = NOTEBOOK.parent / "record"
CELL_S_MAX = 300
FIGURES = 5


def kept() -> Any:
    """The notebook as it lies in the tree."""
    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def printed(notebook: Any) -> list[str]:
    """What each code cell prints or shows as text."""
    return [
        "".join(found.get("text") or found["data"].get("text/plain", "") for found in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def drawn(notebook: Any) -> list[str]:
    """The figures in the order they are shown."""
    outputs = [found for cell in notebook.cells for found in cell.get("outputs", [])]
    pictures = [found.get("data", {}).get("image/svg+xml") for found in outputs]
    return [picture for picture in pictures if picture]


@pytest.fixture(scope="module")
def executed() -> Any:
    """The notebook after a run of all its cells in a kernel of its own."""
    notebook = kept()
    place = {"metadata": {"path": str(NOTEBOOK.parent)}}
    client = NotebookClient(notebook, kernel_name="python3", timeout=CELL_S_MAX, resources=place)
    client.execute()
    return notebook


@pytest.mark.slow
def test_the_kept_outputs_are_those_of_a_run(executed: Any) -> None:
    assert printed(executed) == printed(kept())
    assert len(drawn(executed)) == len(drawn(kept())) == FIGURES


@pytest.mark.slow
def test_the_notebook_says_what_the_page_of_its_record_says(executed: Any) -> None:
    summary = load(RECORD).summary()
    scene = verdict.main_scene(summary)
    assert scene is not None
    text = "\n".join(printed(executed))
    assert verdict.headline(summary) in text
    assert report.grid_text(report.key_grid(summary)) in text
    assert report.grid_text(report.part_grid(scene)) in text


@pytest.mark.slow
def test_the_notebook_decides_for_its_budget(executed: Any) -> None:
    *_, ways, decision = printed(executed)
    fits = [line for line in ways.splitlines() if line.startswith("fits ")]
    exceeds = [line for line in ways.splitlines() if line.startswith("exceeds ")]
    assert any("TLS in the process" in line for line in fits)
    assert any("TLS at nginx" in line for line in exceeds)
    assert decision in ("Choose TLS in the process.\n", "Choose mutual TLS in the process.\n")
