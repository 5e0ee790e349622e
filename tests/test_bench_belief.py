"""A run is believed by its blocks, and everything that says so says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench_runs import WORKLOADS, manifest, window
from ztransport.bench import belief, report, statistics, verdict
from ztransport.bench.record import Record, Run
from ztransport.bench.statistics import Costs, Summary

VARIANTS = ("plain", "plain-twin-1", "tls")
SPOILED = ("steal: the host took 30 % of the cores, more than 5.0 %",)
BLOCKS = 12


def summary_of(windows: list[Record], *, complete: bool = True, cut: str | None = None) -> Summary:
    made = manifest(VARIANTS, WORKLOADS[:1]) | {"complete": complete}
    return statistics.summarise(Run(Path("made"), made, windows, cut))


def run_of(spoiled: dict[str, int]) -> Summary:
    """A run in which a variant's first blocks were spoiled."""
    return summary_of(
        [
            window(variant, block, reasons=SPOILED if block < spoiled.get(variant, 0) else ())
            for block in range(BLOCKS)
            for variant in VARIANTS
        ]
    )


def tls_of(summary: Summary) -> Costs:
    found = summary.scenes[0].of("tls")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("spoiled", "counted"), [({}, 12), ({"tls": 6}, 6), ({"tls": 7}, 5), ({"plain": 7}, 5)]
)
def test_half_of_the_blocks_must_count(spoiled: dict[str, int], counted: int) -> None:
    summary = run_of(spoiled)
    tls = tls_of(summary)
    assert (tls.blocks_counted, tls.blocks) == (counted, BLOCKS)
    assert belief.is_thin(tls) == (counted < 6)
    assert (belief.fault(summary) is None) == (counted >= 6)


def test_repeats_that_were_lost_too_cost_no_block() -> None:
    windows = [
        window(variant, block, reasons=reasons)
        for block in range(BLOCKS)
        for variant in VARIANTS
        for reasons in ((SPOILED, SPOILED, ()) if variant == "tls" and block else ((),))
    ]
    summary = summary_of(windows)
    tls = tls_of(summary)
    assert (tls.valid, tls.invalid_windows) == (12, 22)  # by windows it would be too few
    assert tls.blocks_counted == 12
    assert belief.fault(summary) is None
    assert not any("too thin" in line for line in verdict.caveats(summary))


def test_a_block_counts_only_with_plain_beside_it() -> None:
    windows = [
        window(variant, block, reasons=SPOILED if (block % 2 == 0) == (variant == "tls") else ())
        for block in range(BLOCKS)
        for variant in ("plain", "tls")
    ]
    tls = tls_of(summary_of(windows))
    assert (tls.valid, tls.blocks_counted) == (6, 0)
    assert belief.is_thin(tls)


def test_without_plain_a_row_stands_for_itself() -> None:
    tls = tls_of(summary_of([window("tls", block) for block in range(3)]))
    assert (tls.blocks_counted, tls.blocks) == (3, 3)


def test_the_exit_the_note_and_the_table_say_the_same() -> None:
    summary = run_of({"tls": 7})
    said = belief.fault(summary)
    assert said is not None
    assert said.startswith("tls, request-128-x1, open loop: only 5 of 12 blocks count; see the")
    assert "bench doctor" in said
    note = "request-128-x1, open loop: too thin to believe: tls (5 of 12 blocks count)."
    assert note in verdict.caveats(summary)
    text = report.tables(summary)
    assert f"Note: {note}" in text
    assert next(line for line in text.splitlines() if "| tls " in line).endswith(" 5/12 |")


def test_more_thin_rows_are_counted_in_one_line() -> None:
    said = belief.fault(run_of({"plain": 7}))
    assert said is not None
    assert said.startswith("plain, request-128-x1, open loop: only 5 of 12 blocks count and 2 more")
    assert "\n" not in said


def test_what_is_not_finished_or_damaged_is_no_valid_run() -> None:
    windows = [window(variant, block) for block in range(6) for variant in VARIANTS]
    assert belief.fault(summary_of(windows)) is None
    begun = belief.fault(summary_of(windows, complete=False))
    assert (
        begun == "the run is not finished: `ztransport bench run --profile quick` goes on with it"
    )
    assert belief.fault(summary_of(windows, cut="line 9 is cut off: run again")) == (
        "line 9 is cut off: run again"
    )
