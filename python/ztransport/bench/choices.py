"""What a user may choose of a run: a profile with changes, and the directory it goes to."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

from ztransport.bench import record, runner, variants, workloads
from ztransport.bench.processes import BenchError
from ztransport.bench.workloads import Profile

__all__ = [
    "RESULTS",
    "Progress",
    "announced",
    "changed",
    "directory_for",
    "interrupted",
    "unbelieved",
]

RESULTS = Path("results")
VALID_SHARE_MIN = 0.5


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
    closed loop as the profile does. Raises BenchError for a name unknown.
    """
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
        workloads=tuple(workloads.workload(name).name for name in works or profile.workloads),
        blocks=blocks or profile.blocks,
        open_s=profile.open_s * longer,
        closed_s=profile.closed_s * longer,
    )


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


def interrupted(directory: Path) -> str:
    """What an interrupted run leaves, and how to go on with it."""
    kept = len(record.open_run(directory).windows)
    return (
        f"interrupted: {kept} windows are kept; run the same command again to go on, or see them "
        f"with ztransport bench report {directory}"
    )


def unbelieved(run: record.RunDirectory) -> str | None:
    """The first row with too few valid windows and what to do; None when all can be believed."""
    counts: dict[tuple[str, str, str], list[bool]] = {}
    for one in run.windows:
        row = one["variant"], one["workload"], one["load"]
        counts.setdefault(row, []).append(one["valid"])
    for row, valid in counts.items():
        if sum(valid) < VALID_SHARE_MIN * len(valid):
            return (
                f"{', '.join(row)} loop: only {sum(valid)} of {len(valid)} windows are valid; see "
                "the reasons above and what `ztransport bench doctor` says of this machine"
            )
    return None


def _proxy(variant: str) -> str | None:
    return variants.VARIANTS[variant].proxy
