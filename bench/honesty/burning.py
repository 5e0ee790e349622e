"""Resolution: a planted 5 % of CPU is found, and a twin that is the same is not called other."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from statistics import median

from bench.honesty import burner
from bench.honesty.findings import Finding, Told, cpu_us, measured
from ztransport.bench import judging, runner, statistics, variants, workloads
from ztransport.bench.blocks import OPEN, Cell, Place, plan, schedule_seed
from ztransport.bench.bootstrap import TOO_FEW
from ztransport.bench.driving import Asked
from ztransport.bench.processes import InvalidMeasurement
from ztransport.bench.record import Record, Run, timestamp
from ztransport.bench.session import Session

__all__ = ["burned", "ratio", "repeats"]

BURN_SHARE = 0.05
GENERATIONS, BLOCKS_PER_GENERATION = 40, 3
REPEATS, GENERATIONS_PER_REPEAT = 40, 4
CALLED_DIFFERENT_MAX = 3
FOUND_MIN = 36
WINDOW_S, WARM_UP_S, CALIBRATION_S = 0.2, 0.05, 0.5
SEED = 20261122

PLAIN = variants.VARIANTS["plain"]
WORK = workloads.workload("request-128-x64")
BURNED = replace(PLAIN, name="burned", broker="bench.honesty.burner")
COMPARED = [PLAIN, *(variants.VARIANTS[name] for name in variants.TWINS), BURNED]


def burned(tell: Told) -> list[Finding]:
    """Measure plain, its twins and a broker that burns 5 % more, and judge many short runs of it.

    A repeat is 12 blocks as a quick run has them: four starts of all processes, drawn from those
    measured, with three blocks each.
    """
    os.environ[burner.VARIABLE] = "0"
    with Session(COMPARED, {"broker"}, {}) as session:
        rate = _calibrate(session, tell)
        windows = list(_windows(session, rate, tell))
    tell(f"judging {REPEATS} repeats")
    summaries = [statistics.summarise(run) for run in repeats(windows, rate)]
    twin, burn = (
        [one for one in (ratio(summary, name) for summary in summaries) if one is not None]
        for name in (variants.TWINS[1], BURNED.name)
    )
    if any(one.verdict == TOO_FEW for one in twin) or min(len(twin), len(burn)) < REPEATS:
        raise InvalidMeasurement(f"too few valid windows, such as: {_spoilt(windows)}")
    called = sum(one.is_resolved for one in twin)
    found = sum(one.is_resolved for one in burn)
    share = median(one.ratio.median for one in burn) - 1
    figures: dict[str, object] = {
        "rate": rate,
        "windows": len(windows),
        "invalid": sum(not one["valid"] for one in windows),
        "twin_ratios": [one.ratio.median for one in twin],
        "burn_ratios": [one.ratio.median for one in burn],
    }
    return [
        Finding(
            "5 % of CPU planted: found in repeats of 12 blocks",
            f"{found} of {REPEATS}, median {share:+.1%}",
            f"at least {FOUND_MIN}",
            found >= FOUND_MIN,
            figures,
        ),
        Finding(
            "second twin of plain: called different",
            f"{called} of {REPEATS}",
            f"at most {CALLED_DIFFERENT_MAX}",
            called <= CALLED_DIFFERENT_MAX,
        ),
    ]


def _calibrate(session: Session, tell: Told) -> float:
    """The open loop's rate; sets how much is burned of what a message costs at that rate."""
    tell("calibrating the burn")
    session.restart(0)
    peak = measured(session.measure(Asked(PLAIN, WORK, None, CALIBRATION_S, WARM_UP_S))).said
    rate = round(WORK.rate_share * peak["completed"] / peak["seconds"])
    asked = Asked(PLAIN, WORK, float(rate), CALIBRATION_S, WARM_UP_S)
    costs = [cpu_us(measured(session.measure(asked))) for _ in range(3)]
    os.environ[burner.VARIABLE] = str(BURN_SHARE * median(costs) * 1e3)
    return float(rate)


def _windows(session: Session, rate: float, tell: Told) -> Iterator[Record]:
    begin = time.monotonic()
    of_a_block = [Cell(variant.name, WORK.name, OPEN) for variant in COMPARED]
    by_name = {variant.name: variant for variant in COMPARED}
    blocks = GENERATIONS * BLOCKS_PER_GENERATION
    for place in plan(of_a_block, blocks, SEED):
        generation = place.block // BLOCKS_PER_GENERATION
        if generation != session.generation:
            session.restart(generation)
        if place.order == 0 and place.block:
            left = (time.monotonic() - begin) / place.block * (blocks - place.block)
            tell(f"burning: block {place.block + 1}/{blocks}, {left:.0f} s left")
        seed = schedule_seed(place, SEED)
        asked = Asked(by_name[place.cell.variant], WORK, rate, WINDOW_S, WARM_UP_S, seed)
        yield from _until_valid(session, place, asked)


def _until_valid(session: Session, place: Place, asked: Asked) -> Iterator[Record]:
    """A window, and again while only the machine spoils it: as the suite does, all are kept."""
    for _ in range(1 + runner.REPEATS_MAX):
        found = runner.window(place, asked, timestamp(), session.measure(asked))
        yield found
        if found["valid"] or not judging.is_of_the_machine(found["reasons"]):
            return


def repeats(windows: list[Record], rate: float) -> Iterator[Run]:
    """Short runs, each of generations drawn without repetition; their blocks are numbered anew."""
    generations = [list(own) for _, own in groupby(windows, lambda one: one["generation"])]
    drawing = random.Random(SEED)
    for number in range(REPEATS):
        chosen = drawing.sample(generations, GENERATIONS_PER_REPEAT)
        renamed = [
            {**one, "block": one["block"] % BLOCKS_PER_GENERATION + place * BLOCKS_PER_GENERATION}
            for place, own in enumerate(chosen)
            for one in own
        ]
        scenario = {
            "variants": [variant.name for variant in COMPARED],
            "workloads": [WORK.name],
            "rates": {WORK.name: rate},
        }
        yield Run(Path("repeat"), {"seed": number, "scenario": scenario}, renamed)


def ratio(summary: statistics.Summary, name: str) -> statistics.Comparison | None:
    """How a variant's CPU per message compares with plain's; None where nothing was valid."""
    (scene,) = summary.scenes
    every = [one for one in scene.comparisons if one.metric == statistics.CPU]
    return next((one for one in every if (one.over, one.base) == (name, PLAIN.name)), None)


def _spoilt(windows: list[Record]) -> str:
    return "; ".join(next((one["reasons"] for one in windows if not one["valid"]), []))
