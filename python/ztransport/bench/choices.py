"""What a user may choose of a run: a profile with changes, and the directory it goes to."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self, TextIO

from ztransport.bench import blocks as blocks_of
from ztransport.bench import record, runner, variants, workloads
from ztransport.bench.processes import BenchError
from ztransport.bench.workloads import Profile

__all__ = [
    "BLOCKS_MAX",
    "RESULTS",
    "SECONDS_MAX",
    "SECONDS_MIN",
    "SEED_MAX",
    "Progress",
    "announced",
    "changed",
    "directory_for",
    "interrupted",
    "sound_seed",
]

RESULTS = Path("results")
BLOCKS_MAX = 1_000
SECONDS_MIN, SECONDS_MAX = 0.05, 600.0
SEED_MAX = 2**blocks_of.SEED_BITS - 1


def changed(
    profile: Profile,
    *,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
    works: Sequence[str] = (),
    blocks: int | None = None,
    seconds: float | None = None,
) -> Profile:
    """A profile with other variants, workloads, blocks, or seconds of a cell.

    `without` names proxies or variants to leave out. The seconds are divided between open and
    closed loop as the profile does; a name given twice counts once. Raises BenchError for a name
    unknown or a number out of bounds.
    """
    _within("--blocks", blocks, 1, BLOCKS_MAX)
    _within("--seconds", seconds, SECONDS_MIN, SECONDS_MAX)
    names = [one.name for one in variants.chosen(only or profile.variants)]
    kept = tuple(name for name in names if name not in without and _proxy(name) not in without)
    known = {*variants.VARIANTS, *filter(None, map(_proxy, variants.VARIANTS))}
    if unknown := set(without) - known:
        raise BenchError(f"there is no {', '.join(sorted(unknown))} to leave out: see bench list")
    if not kept:
        raise BenchError("no variant is left: leave out fewer")
    longer = 1.0 if seconds is None else seconds / (profile.open_s + profile.closed_s)
    return dataclasses.replace(
        profile,
        variants=kept,
        workloads=_each_once(works or profile.workloads),
        blocks=blocks or profile.blocks,
        open_s=profile.open_s * longer,
        closed_s=profile.closed_s * longer,
    )


def sound_seed(seed: int | None) -> int | None:
    """A seed as it was given. Raises BenchError when a reader of JSON would not keep it exactly."""
    _within("--seed", seed, 0, SEED_MAX)
    return seed


def directory_for(profile: Profile, seed: int | None, results: Path = RESULTS) -> Path:
    """Where a run goes that was not told: to the newest one it can go on with, else a new one."""
    for path in _newest_first(profile, results):
        if runner.can_go_on(path, profile, seed):
            return path
    return results / time.strftime(f"{profile.name}-%Y%m%d-%H%M%S", time.gmtime())


def _newest_first(profile: Profile, results: Path) -> Iterator[Path]:
    yield from sorted(results.glob(f"{profile.name}-*"), reverse=True)


class Progress:
    """Shows what a run tells: in place on a terminal, else one line whenever a block begins."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._stage = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self("")

    def __call__(self, line: str) -> None:
        """Show one line; an empty one takes the last away."""
        stage = line.partition(",")[0]
        if self._stream.isatty():
            self._stream.write(f"\r\x1b[K{line}")
        elif line and stage != self._stage:
            self._stream.write(f"{line.partition(': ')[0] if ' left' in line else line}\n")
        self._stage = stage
        self._stream.flush()


def announced(profile: Profile) -> str:
    """What is about to be measured, in one line."""
    minutes = profile.seconds_expected / 60
    return (
        f"{profile.name}: {len(profile.variants)} variants × {len(profile.workloads)} workloads × "
        f"{profile.blocks} blocks, about {minutes:.0f} minutes of windows"
    )


def interrupted(directory: Path | None) -> str:
    """What an interrupted run leaves, and how to go on with it."""
    if directory is None or not (directory / record.MANIFEST).exists():
        return "interrupted before anything was measured: run the same command again"
    try:
        run = record.open_run(directory)
    except BenchError as error:
        return f"interrupted: {error}"
    seen = f"see them with ztransport bench report {directory}"
    if run.manifest["complete"]:
        return f"interrupted: all {len(run.windows)} windows are kept; {seen}"
    return (
        f"interrupted: {len(run.windows)} windows are kept; run the same command again to go on, "
        f"or {seen}"
    )


def _each_once(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(workloads.workload(name).name for name in names))


def _within(flag: str, given: float | None, low: float, high: float) -> None:
    """Refuse a number out of bounds, and one that is none: no comparison with it holds."""
    if given is not None and not low <= given <= high:
        raise BenchError(f"{flag} {given}: give a number from {low:,} to {high:,}")


def _proxy(variant: str) -> str | None:
    return variants.VARIANTS[variant].proxy
