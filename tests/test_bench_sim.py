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
    sizes = {f"--nodes={nodes}" for nodes in table.STARVED_SIZES}
    starved = [
        call
        for call in calls
        if call[0] == "starved" and "--arm=default" in call and sizes & set(call)
    ]
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


def test_larger_clusters_do_not_count_into_the_grid_and_have_lines_of_their_own() -> None:
    runs = {"runs_with_a_false_death": 0}
    cells = [cell("starved", runs, runs=1_800, nodes=nodes) for nodes in table.STARVED_SIZES]
    cells.append(cell("starved", {"runs_with_a_false_death": 2}, runs=5, nodes=1_000))
    found = {"cells": cells, "traces": {"release": "a", "debug": "a"}, "missing": []}
    lines = [line for line in table.table(found).splitlines() if "starved grid" in line]
    verdicts = [line.split("|")[5].strip() for line in lines]
    assert verdicts == ["yes", "NO"]
    assert "2 of 5 runs" in lines[1]


def test_halves_that_never_agree_say_no() -> None:
    never = {"count": 0, "max": None}
    results = {"seconds_to_agree": never, "unhealed": 1, "memory_peak_bytes": 17 * 2**30}
    parted = cell("partition", results, nodes=10_000, seconds=120, runs=1)
    found = {"cells": [parted], "traces": {"release": "a", "debug": "a"}, "missing": []}
    lines = table.table(found).splitlines()
    shown = [line for line in lines if "halves agree" in line or "memory" in line]
    assert [line.split("|")[5].strip() for line in shown] == ["NO", "NO"]
