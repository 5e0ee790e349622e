"""The statistics find what is planted, claim nothing among equals, and say how sure they are."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench_runs import COSTS, WORKLOADS, manifest, window, write_run
from ztransport._ztransport import Histogram
from ztransport.bench import bootstrap, histograms, statistics, verdict
from ztransport.bench.bootstrap import Estimate
from ztransport.bench.processes import BenchError
from ztransport.bench.record import Run, RunDirectory, open_run
from ztransport.bench.statistics import Summary

SPEEDS = st.floats(min_value=0.01, max_value=1e6)
BLOCKS = st.dictionaries(st.integers(0, 40), SPEEDS, min_size=1, max_size=30)
SEEDS = st.integers(0, 2**32 - 1)


@given(BLOCKS, BLOCKS, SEEDS)
@settings(max_examples=50, deadline=None)
def test_an_interval_holds_its_median_and_lies_among_the_blocks(
    over: dict[int, float], base: dict[int, float], seed: int
) -> None:
    found = bootstrap.ratio(over, base, seed)
    shared = over.keys() & base.keys()
    if found is None:
        assert not shared
        return
    ratios = [over[block] / base[block] for block in shared]
    slack = 1 + 1e-9
    assert found.blocks == len(shared)
    assert min(ratios) / slack <= found.low <= found.median * slack
    assert found.median / slack <= found.high <= max(ratios) * slack


@given(BLOCKS, BLOCKS, SEEDS, st.floats(min_value=0.1, max_value=10))
@settings(max_examples=50, deadline=None)
def test_a_ratio_does_not_depend_on_units_order_or_direction(
    over: dict[int, float], base: dict[int, float], seed: int, unit: float
) -> None:
    found = bootstrap.ratio(over, base, seed)
    if found is None:
        return
    scaled = bootstrap.ratio({b: v * unit for b, v in over.items()}, base, seed)
    backwards = bootstrap.ratio(dict(reversed(over.items())), base, seed)
    turned = bootstrap.ratio(base, over, seed)
    assert backwards == found
    assert scaled is not None
    assert turned is not None
    assert scaled.median == pytest.approx(found.median * unit)
    assert 1 / turned.median == pytest.approx(found.median)
    assert 1 / turned.high == pytest.approx(found.low, rel=0.2)


@given(BLOCKS, st.floats(min_value=0.1, max_value=10), SEEDS)
@settings(max_examples=50, deadline=None)
def test_the_machines_speed_cancels_within_a_block(
    speeds: dict[int, float], factor: float, seed: int
) -> None:
    found = bootstrap.ratio({b: v * factor for b, v in speeds.items()}, speeds, seed)
    assert found is not None
    assert found.low == pytest.approx(factor)
    assert found.high == pytest.approx(factor)


def test_the_same_seed_draws_the_same_interval_whatever_else_is_asked() -> None:
    source = random.Random(3)
    over, base = ({b: source.uniform(1, 2) for b in range(12)} for _ in range(2))
    first = bootstrap.ratio(over, base, 7)
    for size in (6, 20):
        bootstrap.level({block: 1.0 + block for block in range(size)}, 7)
    assert bootstrap.ratio(over, base, 7) == first


@pytest.mark.parametrize("blocks", [5, 6, 7])
def test_with_fewer_than_six_blocks_nothing_is_resolved(blocks: int) -> None:
    base = dict.fromkeys(range(blocks), 1.0)
    found = bootstrap.ratio({b: 2.0 + b for b in base}, base, 7)
    assert found is not None
    assert bootstrap.verdict(found, 1.01) == ("too few blocks" if blocks < 6 else "resolved")
    if blocks < 6:
        assert found.low == pytest.approx(2.0)
        assert found.high == pytest.approx(1.0 + blocks)


@pytest.mark.parametrize(
    ("low", "median", "high", "resolved"),
    [
        (1.01, 1.02, 1.03, True),
        (0.97, 0.98, 0.99, True),
        (1.005, 1.01, 1.03, False),  # smaller than the floor
        (0.99, 1.02, 1.03, False),  # the interval holds 1
        (0.975, 0.991, 0.999, False),
    ],
)
def test_a_difference_must_leave_the_noise_and_exclude_equality(
    low: float, median: float, high: float, resolved: bool
) -> None:
    found = Estimate(median, low, high, 12)
    assert bootstrap.is_resolved(found, 1.015) is resolved
    assert not bootstrap.is_resolved(found, None)


def test_the_floor_is_the_far_end_of_the_twin() -> None:
    assert bootstrap.noise_floor(Estimate(1.0, 0.98, 1.01, 12)) == pytest.approx(1 / 0.98)
    assert bootstrap.noise_floor(Estimate(1.0, 0.99, 1.05, 12)) == 1.05
    assert bootstrap.noise_floor(Estimate(1.0, 0.9, 1.1, 5)) is None
    assert bootstrap.noise_floor(None) is None


def in_one_scene(seed: int, factors: Mapping[str, float], noise: float, blocks: int) -> Summary:
    """The summary of a run of plain variants and what is planted; no file is needed."""
    source, windows = random.Random(seed), []
    for block in range(blocks):
        pace = math.exp(source.gauss(0, 0.2))
        for variant, factor in factors.items():
            cost = factor * pace * math.exp(source.gauss(0, noise))
            windows.append(window(variant, block, costs={"generator": cost, "broker": 3 * cost}))
    return statistics.summarise(Run(Path("made"), manifest(factors, seed=seed), windows))


@pytest.mark.slow
def test_a_planted_five_percent_is_resolved_and_the_second_twin_is_not() -> None:
    twins = {"plain": 1.0, "plain-twin-1": 1.0, "plain-twin-2": 1.0}
    found, told_apart = 0, 0
    for seed in range(40):
        scene = in_one_scene(seed, {**twins, "tls": 1.05}, noise=0.015, blocks=12).scenes[0]
        found += scene.find(statistics.CRYPTO, statistics.CPU)[0].is_resolved
        told_apart += scene.find(statistics.TWIN, statistics.CPU)[0].is_resolved
    assert found == 40
    assert told_apart <= 3


@pytest.mark.slow
def test_equals_are_rarely_told_apart_whatever_the_noise() -> None:
    told_apart = 0
    for seed in range(120):
        source, noise = random.Random(seed), (0.002, 0.02, 0.2)[seed % 3]
        blocks = range((6, 12)[seed // 3 % 2])
        plain, first, second = (
            {block: math.exp(source.gauss(0, noise)) for block in blocks} for _ in range(3)
        )
        floor = bootstrap.noise_floor(bootstrap.ratio(first, plain, seed))
        twin = bootstrap.ratio(second, plain, seed)
        assert twin is not None
        told_apart += bootstrap.is_resolved(twin, floor)
    assert told_apart <= 6, f"{told_apart} of 120 seeds: more than 5 %"


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    held = 0
    for seed in range(200):
        source = random.Random(seed)
        base = {b: math.exp(source.gauss(0, 0.1)) for b in range(12)}
        over = {b: v * 1.3 * math.exp(source.gauss(0, 0.05)) for b, v in base.items()}
        found = bootstrap.ratio(over, base, seed)
        assert found is not None
        held += found.low <= 1.3 <= found.high
    assert held >= 180, f"{held} of 200 seeds"


def test_hop_and_crypto_come_apart(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", noise=0.0, workloads=WORKLOADS[:1])
    scene = statistics.summarise(open_run(path)).scenes[0]
    whole = {name: sum(roles.values()) for name, roles in COSTS.items()}
    expected = {
        ("hop", "proxy-plain:nginx", "plain"),
        ("hop", "proxy-plain:haproxy", "plain"),
        ("crypto", "tls", "plain"),
        ("crypto", "mtls", "plain"),
        ("proxied crypto", "proxy-tls:nginx", "proxy-plain:nginx"),
        ("proxied crypto", "proxy-tls:haproxy", "proxy-plain:haproxy"),
        ("headline", "proxy-tls:nginx", "tls"),
        ("headline", "proxy-tls:haproxy", "tls"),
    }
    found: dict[tuple[str, str, str], float] = {}
    for kind in ("hop", "crypto", "proxied crypto", "headline"):
        found |= {(kind, o.over, o.base): o.ratio.median for o in scene.find(kind, "cpu")}
    assert set(found) == expected
    for (kind, over, base), ratio in found.items():
        assert ratio == pytest.approx(whole[over] / whole[base]), kind
    hop = found["hop", "proxy-plain:nginx", "plain"]
    proxied = found["proxied crypto", "proxy-tls:nginx", "proxy-plain:nginx"]
    headline = found["headline", "proxy-tls:nginx", "tls"]
    assert hop * proxied == pytest.approx(headline * found["crypto", "tls", "plain"])


def test_cpu_is_kept_by_role_and_summed(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", noise=0.0, blocks=6, workloads=WORKLOADS[:1])
    costs = statistics.summarise(open_run(path)).scenes[0].of("proxy-tls:nginx")
    assert costs is not None
    assert costs.cpu_us is not None
    assert set(costs.role_cpu_us) == {"generator", "server_proxy", "broker"}
    assert sum(costs.role_cpu_us.values()) == pytest.approx(costs.cpu_us.median)


def test_invalid_windows_are_counted_with_their_reason_and_left_out() -> None:
    good = [window(v, b) for b in range(6) for v in ("plain", "plain-twin-1", "tls")]
    starved = window("tls", 6, costs={"generator": 900.0}, reasons=["generator-bound: p99 2.1 ms"])
    dead = window("tls", 7, count=0, reasons=["role died: broker", "errors: 3 of 4"])
    run = Run(Path("made"), manifest(), [*good, starved, dead])
    summary = statistics.summarise(run)
    tls = summary.scenes[0].of("tls")
    assert tls is not None
    assert tls.cpu_us is not None
    assert (tls.valid, tls.invalid_windows) == (6, 2)
    assert tls.invalid == {"generator-bound": 1, "role died": 1, "errors": 1}
    assert tls.cpu_us.high == pytest.approx(4.6)
    assert (summary.windows, summary.invalid) == (20, 2)
    assert any("2 of 20 windows are invalid" in line for line in verdict.caveats(summary))


def test_a_repeated_window_counts_once_for_its_block() -> None:
    windows = [window(v, b) for b in range(6) for v in ("plain", "plain-twin-1", "tls")]
    windows.append(window("tls", 5, costs={"generator": 1.2, "broker": 3.4}))
    scene = statistics.summarise(Run(Path("made"), manifest(), windows)).scenes[0]
    crypto = scene.find("crypto", "cpu")[0]
    assert crypto.ratio.blocks == 6
    assert crypto.ratio.median == pytest.approx(4.6 / 4.0)


@pytest.mark.parametrize(
    ("share", "least"), [(0.5, 20), (0.9, 100), (0.99, 1_000), (0.999, 10_000), (0.9999, 100_000)]
)
def test_a_percentile_needs_ten_samples_beyond_it(share: float, least: int) -> None:
    few = Histogram([1_000] * (least - 1))
    assert histograms.percentile_us(few, share) is None
    enough = few.merge(Histogram([1_000]))
    assert histograms.percentile_us(enough, share) == pytest.approx(1.0, rel=0.002)


def test_a_curve_ends_where_the_samples_do() -> None:
    odds, values = histograms.curve_us(Histogram(range(1_000, 1_001_000, 1_000)))
    assert 1 < odds[0] < 1.2
    assert 100 / 1.2 < odds[-1] <= 100.0001  # ten of a thousand samples lie beyond p99
    assert list(values) == sorted(values)


def test_percentiles_come_from_all_valid_windows_together() -> None:
    windows = [window("plain", b, latencies_ns=[1_000 * (b + 1)] * 600) for b in range(2)]
    windows.append(window("plain", 2, latencies_ns=[9_000_000] * 600, reasons=["errors: 1"]))
    scene = statistics.summarise(Run(Path("made"), manifest(), windows)).scenes[0]
    response = scene.costs[0].response_us
    assert response[0.5] == pytest.approx(1.0, rel=0.002)
    assert response[0.99] == pytest.approx(2.0, rel=0.002)
    assert response[0.999] is None


def test_a_broken_histogram_is_one_line(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", manifest())
    one = window("tls")
    run.append({**one, "histograms": {**one["histograms"], "response": "bm90aGluZw=="}})
    said = (
        r"^the response histogram of block 0, tls, [^\n]* cannot be read[^\n]*: restore the record$"
    )
    with pytest.raises(BenchError, match=said):
        statistics.summarise(open_run(run.path))


def test_a_summary_is_json_all_through(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", blocks=6, samples=200, workloads=WORKLOADS[:1])
    found = statistics.summarise(open_run(path)).as_json()
    assert json.loads(json.dumps(found, allow_nan=False))["scenes"][0]["load"] == "open"


def test_an_empty_run_has_no_scene(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", manifest())
    summary = statistics.summarise(open_run(run.path))
    assert summary.scenes == []
    assert verdict.headline(summary) == "This run does not compare encryption with plaintext."
