"""A run: calibration, blocks, and a record that is readable at every moment of it."""

from __future__ import annotations

import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ztransport.bench import environment, fairness, judging, variants, workloads
from ztransport.bench.blocks import OPEN, Place, cells, plan, schedule_seed
from ztransport.bench.driving import Asked, Measured
from ztransport.bench.histograms import decoded
from ztransport.bench.placement import placement
from ztransport.bench.processes import BenchError
from ztransport.bench.readings import unmeasured
from ztransport.bench.record import (
    KIND,
    MANIFEST,
    SCHEMA_VERSION,
    Record,
    RunDirectory,
    open_run,
    timestamp,
)
from ztransport.bench.session import Outcome, Session, tools_of
from ztransport.bench.workloads import Entry, Profile

__all__ = ["alone", "can_go_on", "differs", "faults", "run", "scenario", "window"]

PEAK_WINDOWS = 3
REPEATS_MAX = 3
PEAK_S = 0.5
DRAWN_SEED_BITS = 32
SETTINGS = {
    "variants": "variants (--variant, --without)",
    "workloads": "workloads (--workload)",
    "blocks_asked": "blocks (--blocks)",
    "seconds": "seconds of a cell (--seconds)",
    "placement": "cores (see taskset)",
}
"""How a user knows the parts of a scenario; the others come with the profile."""
MEASURED = ("peaks", "rates")
"""The parts of a scenario that a run finds out."""
Told = Callable[[str], None]


def run(
    profile: Profile,
    directory: Path,
    tell: Told,
    *,
    seed: int | None,
    command: str,
    first_port: int = 0,
) -> RunDirectory:
    """Measure a profile into a directory, or go on with what an earlier run left there.

    Without a seed one is drawn, or the earlier run's is kept. `tell` hears what comes next and how
    long it will take. Raises BenchError, in one line with the remedy; what was measured until then
    is kept, as it is at a KeyboardInterrupt.
    """
    chosen = variants.chosen(profile.variants)
    entries: set[Entry] = {"broker", *(workloads.workload(name).via for name in profile.workloads)}
    tools = tools_of(chosen)
    programs = {name: tool.described() for name, tool in tools.items()}
    with alone(directory):
        record = _record(directory, profile, seed, command, programs)
        begin, before = time.monotonic(), record.manifest["measuring_seconds"]
        with Session(chosen, entries, tools, first_port) as session:
            try:
                _Run(session, record, profile, tell).measure()
            finally:
                spent = round(before + time.monotonic() - begin, 1)
                record.update(measuring_seconds=spent)
        afterwards = {"load_average_after": environment.load_average()}
        record.finish(environment={**record.manifest["environment"], **afterwards})
        return record


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Keep others from writing to a directory. Raises BenchError while another does.

    It is made where there is none, and gone again where nothing was put into it.
    """
    made = not directory.exists()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError as error:
        raise BenchError(f"{directory}: {error.strerror}; name another directory") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise BenchError(f"{directory}: another run writes to it; name another one") from None
    finally:
        os.close(descriptor)
        if made:
            with suppress(OSError):  # something was put into it
                directory.rmdir()


def scenario(profile: Profile) -> Record:
    """What is compared: two runs with the same scenario measure the same."""
    return {
        "variants": list(profile.variants),
        "workloads": list(profile.workloads),
        "titles": {name: workloads.workload(name).title for name in profile.workloads},
        "blocks_asked": profile.blocks,
        "seconds": profile.open_s + profile.closed_s,
        "open_s": profile.open_s,
        "closed_s": profile.closed_s,
        "warm_up_s": profile.warm_up_s,
        "blocks_per_generation": profile.blocks_per_generation,
        "repeat_s_max": profile.repeat_s_max,
        "arrivals": "poisson",
        "rate_shares": {name: workloads.workload(name).rate_share for name in profile.workloads},
        "placement": placement(),
        "peaks": {},
        "rates": {},
    }


def _record(
    directory: Path, profile: Profile, seed: int | None, command: str, programs: Record
) -> RunDirectory:
    """A new record, or the one in the directory when it is a part of the same run."""
    if not (directory / MANIFEST).exists():
        drawn = secrets.randbits(DRAWN_SEED_BITS) if seed is None else seed
        return RunDirectory.create(directory, _manifest(profile, drawn, command, programs))
    old = open_run(directory).manifest
    kept = old["seed"] if seed is None else seed
    if fault := differs(old, _manifest(profile, kept, command, programs)):
        raise BenchError(f"{directory}: {fault}, or name another directory with --directory")
    return RunDirectory.resume(directory)


def _manifest(profile: Profile, seed: int, command: str, programs: Record) -> Record:
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": KIND,
        "profile": profile.name,
        "command": command,
        "seed": seed,
        "begun_at": timestamp(),
        "finished_at": None,
        "complete": False,
        "measuring_seconds": 0.0,
        "environment": environment.collect(),
        "scenario": scenario(profile),
        "programs": programs,
        "negotiated": fairness.NEGOTIATED,
    }


def can_go_on(directory: Path, profile: Profile, seed: int | None) -> bool:
    """Whether a directory holds an unfinished run of this profile, machine and code."""
    try:
        with alone(directory):
            old = open_run(directory).manifest
    except BenchError:
        return False
    chosen = variants.chosen(profile.variants)
    programs = {name: tool.described() for name, tool in tools_of(chosen).items()}
    kept = old["seed"] if seed is None else seed
    return differs(old, _manifest(profile, kept, "", programs)) is None


def differs(old: Record, new: Record) -> str | None:
    """Why a run cannot go on as part of an earlier one and how it could; None when it can."""
    if old["complete"]:
        return "this run is complete: look at it with ztransport bench report"
    as_before = f"go on with `{old['command']}`"
    if old["seed"] != new["seed"]:
        return f"begun with seed {old['seed']}, not {new['seed']} (--seed): {as_before}"
    for name in [*SETTINGS, *new["scenario"]]:
        was, asked = old["scenario"].get(name), new["scenario"].get(name)
        if was != asked and name not in MEASURED:
            what = SETTINGS.get(name, f"{name}, part of the profile")
            return f"begun with other {what}, {_listed(was)} and not {_listed(asked)}: {as_before}"
    if old["programs"] != new["programs"]:
        return "begun with other versions of the proxies: install those again"
    for name in ("commit", "cpu_model", "kernel", "packages", "built_with"):
        if old["environment"].get(name) != new["environment"].get(name):
            return f"begun with another {name.replace('_', ' ')}: restore that"
    return None


def _listed(setting: object) -> str:
    return ", ".join(map(str, setting)) if isinstance(setting, list) else str(setting)


class _Run:
    """One sitting of a run."""

    def __init__(
        self, session: Session, record: RunDirectory, profile: Profile, tell: Told
    ) -> None:
        self._session, self._record, self._profile, self._tell = session, record, profile, tell
        self._seed = record.manifest["seed"]
        self._generation = 1 + max((one["generation"] for one in record.windows), default=-1)
        self._repeat_s_left = profile.repeat_s_max
        self._works = {name: workloads.workload(name) for name in profile.workloads}

    def measure(self) -> None:
        """Measure all that is not measured yet."""
        done = {(one["block"], one["order"]) for one in self._record.windows}
        places = plan(cells(self._profile), self._profile.blocks, self._seed)
        left = [place for place in places if (place.block, place.order) not in done]
        self._tell(f"starting {len(self._profile.variants)} variants")
        self._session.restart(self._generation)
        self._session.probe()
        self._record.update(tls=self._session.tls())
        self._calibrate()
        begin, begun_block = time.monotonic(), left[0].block if left else 0
        for number, place in enumerate(left):
            self._restart_when_due(place, begun_block)
            self._tell(self._progress(place, number, len(left), time.monotonic() - begin))
            self._measure_place(place)

    def _measure_place(self, place: Place) -> None:
        """Record a window, and again while only the machine spoils it and there is time for it."""
        for _ in range(1 + REPEATS_MAX):
            found = self._window(place)
            self._record.append(found)
            spoiled = not found["valid"] and judging.is_of_the_machine(found["reasons"])
            if not spoiled or self._repeat_s_left <= 0:
                return
            self._repeat_s_left -= self._profile.window_s

    def _restart_when_due(self, place: Place, begun_block: int) -> None:
        due = (place.block - begun_block) // self._profile.blocks_per_generation
        generation = self._generation + due
        if generation != self._session.generation:
            self._session.restart(generation)

    def _progress(self, place: Place, number: int, total: int, spent_s: float) -> str:
        each = self._profile.window_s if not number else spent_s / number
        left_s = round(each * (total - number))
        return (
            f"block {place.block + 1}/{self._profile.blocks}, "
            f"{left_s // 60}:{left_s % 60:02d} left: {place.cell.variant}, "
            f"{place.cell.workload}, {place.cell.load} loop"
        )

    def _calibrate(self) -> None:
        """Find plain's peak in every workload that has none yet, and set the rates."""
        found = self._record.manifest["scenario"]
        peaks = dict(found["peaks"])
        for name in self._profile.workloads:
            if name not in peaks:
                self._tell(f"calibrating: what plain reaches in {name}")
                peaks[name] = self._peak(name)
        rates = {
            name: float(f"{self._works[name].rate_share * peak:.3g}")
            for name, peak in peaks.items()
        }
        self._record.update(scenario={**found, "peaks": peaks, "rates": rates})

    def _peak(self, name: str) -> float:
        """The most messages a second that plain was sent and answered in a few windows."""
        plain, work = variants.VARIANTS[variants.PLAIN], self._works[name]
        if plain.name not in self._profile.variants:
            plain = variants.VARIANTS[self._profile.variants[0]]
        asked = Asked(plain, work, None, PEAK_S, self._profile.warm_up_s)
        outcomes = [self._session.measure(asked) for _ in range(PEAK_WINDOWS)]
        found = [one.measured.said for one in outcomes if one.measured is not None]
        rates = [said["completed"] / said["seconds"] / work.deliveries for said in found]
        if not rates or not max(rates):
            why = "; ".join(text for one in outcomes for text in one.mishaps) or "nothing came back"
            raise BenchError(
                f"{plain.name} cannot be calibrated in {name}: {why}; mend that, or leave the "
                "workload out with --workload, and run again"
            )
        return float(f"{max(rates):.4g}")

    def _window(self, place: Place) -> Record:
        cell, profile = place.cell, self._profile
        is_open = cell.load == OPEN
        rate = self._record.manifest["scenario"]["rates"][cell.workload] if is_open else None
        asked = Asked(
            variants.VARIANTS[cell.variant],
            self._works[cell.workload],
            rate,
            profile.open_s if is_open else profile.closed_s,
            profile.warm_up_s,
            schedule_seed(place, self._seed),
        )
        started_at = timestamp()
        return window(place, asked, started_at, self._session.measure(asked))


def window(place: Place, asked: Asked, started_at: str, outcome: Outcome) -> Record:
    """The record of one window, judged."""
    cell, measured = place.cell, outcome.measured
    reasons = [*outcome.mishaps, *(faults(asked, measured) if measured else [])]
    return {
        "schema_version": SCHEMA_VERSION,
        "block": place.block,
        "order": place.order,
        "variant": cell.variant,
        "workload": cell.workload,
        "load": cell.load,
        "rate_asked": asked.rate,
        "generation": outcome.generation,
        "started_at": started_at,
        "valid": not reasons,
        "reasons": reasons,
        **(_numbers(measured) if measured else unmeasured()),
    }


def faults(asked: Asked, measured: Measured) -> list[str]:
    """Why a window that was measured is not valid, see `judging`."""
    delays = decoded(dict(measured.said), "send_delay")
    p99_ns = delays.value_at(0.99) if delays else 0
    said, spent = measured.said, measured.spent
    return judging.faults(asked.variant, asked.rate, asked.work, said, spent, p99_ns)


def _numbers(measured: Measured) -> Record:
    said, spent = measured.said, measured.spent
    return {
        "count": said["completed"],
        "sent": said["sent"],
        "seconds": said["seconds"],
        "errors": said["errors"],
        "in_flight_capped": said["in_flight_capped"],
        "cpu_us": spent.cpu_us_per(said["completed"]),
        "steal_share": spent.steal_share,
        "foreign_share": spent.foreign_share,
        "generator_busy_share": spent.generator_busy_share,
        "negotiated": said["negotiated"],
        "histograms": said["histograms"],
    }
