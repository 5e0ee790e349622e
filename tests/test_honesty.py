"""The experiments' own logic, on numbers with known answers; their times are measured elsewhere."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from bench.honesty import burner, burning, refusing, waiting
from ztransport.bench import statistics
from ztransport.bench.record import Record
from ztransport.bench.variants import TWINS

START_NOISE, BLOCK_NOISE, SEED = 0.004, 0.01, 3


def windows(burn: float, seed: int) -> Iterator[Record]:
    """What a machine with some noise of starts and of windows would measure."""
    noise = random.Random(seed)
    names = [variant.name for variant in burning.COMPARED]
    for generation in range(burning.GENERATIONS):
        starts = {name: noise.gauss(1, START_NOISE) for name in names}
        for number in range(burning.BLOCKS_PER_GENERATION):
            for name in names:
                cost = starts[name] * noise.gauss(1, BLOCK_NOISE)
                cost *= 1 + burn if name == burning.BURNED.name else 1
                yield {
                    "block": generation * burning.BLOCKS_PER_GENERATION + number,
                    "generation": generation,
                    "variant": name,
                    "workload": burning.WORK.name,
                    "load": "open",
                    "rate_asked": 1.0,
                    "valid": True,
                    "reasons": [],
                    "count": 1_000,
                    "seconds": 1.0,
                    "cpu_us": {"generator": 1.0 * cost, "broker": 3.0 * cost},
                    "histograms": None,
                }


@pytest.mark.slow
def test_a_burn_is_found_and_twins_are_alike() -> None:
    runs = burning.repeats(list(windows(burning.BURN_SHARE, SEED)), rate=1.0)
    summaries = [statistics.summarise(run) for run in runs]
    burn, twin = (
        [one for one in (burning.ratio(summary, name) for summary in summaries) if one is not None]
        for name in (burning.BURNED.name, TWINS[1])
    )
    assert len(burn) == len(twin) == burning.REPEATS
    assert all(one.ratio.blocks == 12 for one in burn)
    assert sum(one.is_resolved for one in burn) >= burning.FOUND_MIN, f"seed {SEED}"
    assert sum(one.is_resolved for one in twin) <= burning.CALLED_DIFFERENT_MAX, f"seed {SEED}"


def test_the_theory_of_a_stop_is_what_a_schedule_gives() -> None:
    sends = [number / waiting.RATE for number in range(int(waiting.WINDOW_S * waiting.RATE))]
    begin = waiting.STOPPED_AFTER_S
    waits = sorted(max(0.0, begin + waiting.STOP_S - at) if at >= begin else 0.0 for at in sends)
    p99_ms = waits[len(waits) * 99 // 100] * 1e3
    assert p99_ms == pytest.approx(waiting.theory_ms(waiting.STOP_S), rel=0.01)


def test_a_burner_burns_what_its_requests_owe_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 10**9, 1_000))
    monkeypatch.setattr("bench.honesty.burner.time.thread_time_ns", lambda: next(clock))
    burn = burner.Burner(100.0)

    class Asked:
        payload = b"x"

    for _ in range(64):
        assert burn(Asked()) == b"x"  # type: ignore[arg-type]
    burn.burn()
    assert next(clock) == 64 * 100 // 1_000 * 1_000 + 1_000 + 1_000
    burn.burn()
    assert next(clock) == 9_000 + 1_000 + 1_000


def test_a_killer_strikes_once_in_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    struck: list[str] = []

    class Timer:
        def __init__(self, _: float, _strike: object, words: tuple[str]) -> None:
            struck.append(words[0])

        def start(self) -> None: ...

    monkeypatch.setattr("bench.honesty.refusing.threading.Timer", Timer)
    killer = refusing.Killer({1: "broker", 2: "gateway"})
    for line in ("starting", "block 1/6, x", "block 2/6, x", "block 2/6, y", "block 3/6, x"):
        killer.tell(line)
    assert struck == ["broker", "gateway"]
