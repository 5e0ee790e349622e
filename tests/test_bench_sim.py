"""The simulation's record: its reference curve, its grid, its table."""

from __future__ import annotations

import math
from typing import Any

from bench.sim import plan, table
from bench.sim.reference import reference


def test_the_reference_reaches_all_in_the_known_number_of_ticks() -> None:
    ideal = reference(100, 0.0, runs=200, seed=5)
    assert (ideal.half, ideal.all) == (4.0, 6.0)
    assert ideal.curve[0] == 0.01
    assert reference(1_000, 0.3, runs=50, seed=5).all in (9.0, 10.0)
    assert math.isnan(reference(100, 1.0, runs=2, seed=5).all)


def cell(experiment: str, results: dict[str, Any], **options: float | str) -> dict[str, Any]:
    base = {"nodes": 50, "loss_percent": 1.0, "starved_percent": 1.0, "arm": "default", "runs": 50}
    return {"experiment": experiment, **base, **options, "results": results}


def test_pieces_of_one_cell_of_the_grid_are_added_up() -> None:
    cells = [cell("starved", {"runs_with_a_false_death": bad}) for bad in (1, 0, 2, 0)]
    cells.append(cell("starved", {"runs_with_a_false_death": 5}, nodes=200))
    found = {"cells": cells}
    assert table.grid(found, "default") == {(50, 1.0, 1.0): (3, 200), (200, 1.0, 1.0): (5, 50)}
    assert table.grid(found, "plain") == {}


def test_the_planned_grid_has_its_runs_and_no_call_comes_twice() -> None:
    calls = [tuple(call) for call in plan.cells()]
    assert len(set(calls)) == len(calls)
    starved = [call for call in calls if call[0] == "starved" and "--arm=default" in call]
    runs = [
        int(part.removeprefix("--runs=")) for call in starved for part in call if "runs" in part
    ]
    assert sum(runs) == table.STARVED_RUNS


def test_a_bar_that_is_missed_says_no() -> None:
    rate = {"p50": 96.0, "max": 151.0}
    found = {
        "cells": [cell("idle", {"bytes_per_member_second": rate})],
        "traces": {"release": "a", "debug": "a"},
        "missing": ["a call"],
    }
    text = table.table(found)
    line = next(line for line in text.splitlines() if line.startswith("| idle"))
    shown = [part.strip() for part in line.split("|")[3:6]]
    assert shown == ["≤ 150 B/s", "p50 96, max 151 B/s", "NO"]
    assert text.endswith("missing: a call")
