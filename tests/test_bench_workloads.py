"""Workloads, profiles and variants: shipped data is whole, and names that mean nothing are told."""

from __future__ import annotations

import math

import pytest

from ztransport.bench import blocks, choices, variants, workloads
from ztransport.bench.processes import BenchError
from ztransport.bench.proxies import KINDS, Ports

QUICK = workloads.profile("quick")
MEASURING_S_MAX = 360


def test_the_shipped_workloads_cover_what_the_suite_is_for() -> None:
    every = workloads.load_workloads().values()
    assert {one.pattern for one in every} == {"request", "publish", "connect"}
    assert {1, 8, 64, 512} <= {one.connections for one in every}
    assert {128, 4 << 10, 64 << 10, 1 << 20} <= {one.payload_bytes for one in every}
    assert {1, 8} <= {one.subscribers for one in every if one.pattern == "publish"}
    assert {one.via for one in every} == {"broker", "gateway"}
    assert len({one.title for one in every}) == len(every)


def test_every_profile_names_what_there_is() -> None:
    for profile in workloads.load_profiles().values():
        assert [one.name for one in variants.chosen(profile.variants)] == list(profile.variants)
        assert all(workloads.workload(name) for name in profile.workloads)
        assert {variants.PLAIN, *variants.TWINS} <= set(profile.variants)


def test_quick_is_nine_variants_by_two_workloads_and_fits_its_time() -> None:
    assert (len(QUICK.variants), len(QUICK.workloads), QUICK.blocks) == (9, 2, 12)
    assert QUICK.open_s + QUICK.closed_s == pytest.approx(1.0)
    assert QUICK.seconds_expected < 0.8 * MEASURING_S_MAX


def test_standard_has_every_variant() -> None:
    assert workloads.profile("standard").variants == tuple(variants.VARIANTS)


@pytest.mark.parametrize("table", [{"pattern": "request"}, {"payload_byte": 1}])
def test_a_wrong_member_is_told(table: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="^mine: .*payload_byte"):
        workloads.parsed(workloads.Workload, "mine", table)


def test_unknown_names_are_one_line_with_what_there_is() -> None:
    for call in (
        lambda: workloads.workload("nothing"),
        lambda: workloads.profile("nothing"),
        lambda: variants.chosen(["nothing"]),
    ):
        with pytest.raises(BenchError, match=r"^there is no \w+ nothing: choose among [^\n]+$"):
            call()
    with pytest.raises(BenchError, match="no nothing to leave out"):
        choices.changed(QUICK, without=["nothing"])
    with pytest.raises(BenchError, match="no variant is left"):
        choices.changed(QUICK, only=["tls"], without=["tls"])


def test_a_profile_can_be_changed() -> None:
    changed = choices.changed(
        QUICK, without=["nginx", "mtls"], works=["connect-128"], blocks=2, seconds=0.5
    )
    direct = ("plain", "plain-twin-1", "plain-twin-2", "tls")
    assert changed.variants == (*direct, "proxy-plain:haproxy", "proxy-tls:haproxy")
    assert (changed.workloads, changed.blocks) == (("connect-128",), 2)
    assert (changed.open_s, changed.closed_s) == pytest.approx((0.35, 0.15))
    assert choices.changed(QUICK) == QUICK


def test_a_name_given_twice_counts_once() -> None:
    twice = choices.changed(QUICK, only=["tls", "tls"], works=["connect-128", "connect-128"])
    assert (twice.variants, twice.workloads) == (("tls",), ("connect-128",))


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0, 0.0, 0.049, 600.1, 1e300])
def test_seconds_out_of_bounds_are_refused(seconds: float) -> None:
    with pytest.raises(BenchError, match=r"^--seconds \S+: give a number from 0.05 to 600.0$"):
        choices.changed(QUICK, seconds=seconds)


@pytest.mark.parametrize("blocks", [-1, 0, choices.BLOCKS_MAX + 1, 10**30])
def test_blocks_out_of_bounds_are_refused(blocks: int) -> None:
    with pytest.raises(BenchError, match=r"^--blocks \S+: give a number from 1 to 1,000$"):
        choices.changed(QUICK, blocks=blocks)


def test_the_bounds_themselves_are_taken() -> None:
    for count in (1, choices.BLOCKS_MAX):
        assert choices.changed(QUICK, blocks=count).blocks == count
    for seconds in (choices.SECONDS_MIN, choices.SECONDS_MAX):
        changed = choices.changed(QUICK, seconds=seconds)
        assert changed.open_s + changed.closed_s == pytest.approx(seconds)
    for seed in (None, 0, choices.SEED_MAX):
        assert choices.sound_seed(seed) == seed
    for seed in (-1, choices.SEED_MAX + 1):
        with pytest.raises(BenchError, match=f"^--seed {seed}: give a number from 0 to "):
            choices.sound_seed(seed)


def test_the_factorial_is_whole() -> None:
    for kind in KINDS.values():
        of_kind = {one.shape for one in variants.VARIANTS.values() if one.proxy == kind.name}
        assert of_kind == set(kind.shapes)
    assert "proxy-plain:stunnel" not in variants.VARIANTS
    assert {"proxy-mesh:nginx", "proxy-mesh:envoy"} <= set(variants.VARIANTS)


@pytest.mark.parametrize("name", variants.VARIANTS)
def test_a_way_leads_from_the_dialled_port_to_the_entry(name: str) -> None:
    variant = variants.VARIANTS[name]
    entry = 9
    way = variants.way(variant, Ports(), entry)
    legs = {leg.port: leg for leg in (*way.client_legs, *way.server_legs)}
    hops, port = [], way.port
    while port in legs:
        leg = legs[port]
        hops.append((leg.accepts_tls, leg.dials_tls))
        port = leg.upstream_port
    assert port == entry
    expected = {None: [], "plain": [(False, False)], "tls": [(True, False)]}
    assert hops == expected.get(variant.shape, [(False, True), (True, False)])


def test_a_block_holds_every_cell_once_and_a_seed_repeats_the_order() -> None:
    of_a_block = blocks.cells(QUICK)
    assert len(of_a_block) == len(set(of_a_block)) == 9 * 2 * 2
    first, again = (list(blocks.plan(of_a_block, 3, seed=7)) for _ in range(2))
    assert first == again
    for block in range(3):
        ran = [place.cell for place in first if place.block == block]
        assert sorted(ran, key=repr) == sorted(of_a_block, key=repr)
    orders = [[place.cell for place in first if place.block == block] for block in range(3)]
    assert orders[0] != orders[1] != orders[2]


def test_a_schedule_is_shared_by_the_variants_of_a_block_alone() -> None:
    places = blocks.plan(blocks.cells(QUICK), 2, seed=7)
    seeds: dict[tuple[int, str, str], set[int]] = {}
    for place in places:
        key = place.block, place.cell.workload, place.cell.load
        seeds.setdefault(key, set()).add(blocks.schedule_seed(place, 7))
    assert all(len(drawn) == 1 for drawn in seeds.values())
    assert len(set.union(*seeds.values())) == len(seeds) == 2 * 2 * 2
