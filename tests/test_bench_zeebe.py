"""The comparison with a real Zeebe: plan and tables, and that the page shows the kept record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.contenders.protocol import CALLS, CONNECT, EVERY_WORK
from bench.zeebe import plan, table
from ztransport.bench import record

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "BESIDE_ZEEBE.md"


def test_every_tls_row_and_every_pair_is_measured() -> None:
    cells = plan.cells()
    assert len(cells) == len(set(cells))
    for work in plan.WORKS:
        assert work in EVERY_WORK
        assert {cell.contender for cell in cells if cell.work == work} == set(plan.TITLES)
    assert not any(cell.work == CONNECT and cell.security == plan.PLAIN for cell in cells)


def sample(count: int, p99_us: float) -> dict[str, Any]:
    return {"count": count, "seconds": 2.0, "p50_us": p99_us / 2, "p99_us": p99_us}


def made_up(ours: list[tuple[int, float]], theirs: list[tuple[int, float]]) -> record.Record:
    found = {plan.REAL: theirs, "zt1-trio": ours}
    cells = [
        {
            "contender": contender,
            "work": CALLS,
            "security": plan.TLS,
            "samples": [sample(*one) for one in samples],
        }
        for contender, samples in found.items()
    ]
    facts = {"rounds": 3, "seconds": 2.0, "zeebe": "8.5.8", "java": "Java", "warmed_s": 24.0}
    facts |= {"finished_at": "2026-01-01T", "command": "here", "negotiated": "TLS"}
    return {**facts, "cells": cells}


def test_ratios_are_taken_within_the_round() -> None:
    shown = table.tables(
        made_up([(400, 10.0), (900, 20.0), (100, 30.0)], [(200, 20.0), (300, 40.0), (100, 90.0)])
    )
    assert "| 128 B × 64 | 100 (20 / 40) | – | 200 (10 / 20) | – | – |" in shown
    assert "| 128 B × 64 | – | 2.00, 0.50 | – | – |" in shown


@pytest.mark.parametrize(
    ("ours", "expected"), [((400, 10.0), 0), ((100, 10.0), 1), ((400, 30.0), 1)]
)
def test_ahead_is_ahead_in_both_figures(ours: tuple[int, float], expected: int) -> None:
    assert len(table.behind(made_up([ours], [(200, 20.0)]))) == expected


def test_a_page_keeps_what_stands_around_its_tables() -> None:
    text = "before\n<!-- bench/zeebe begin -->\nold\n<!-- bench/zeebe end -->\nafter\n"
    assert table.page(text, "new") == text.replace("old", "new")
    with pytest.raises(ValueError, match="begin"):
        table.page("no place", "new")


def test_the_page_shows_the_kept_record() -> None:
    (kept,) = (ROOT / "bench" / "records").glob("zeebe-*.json")
    text = PAGE.read_text(encoding="utf-8")
    assert table.page(text, table.tables(record.read(kept))) == text
