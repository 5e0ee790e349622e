"""Histograms: stored without loss, merged as if counted together, and true to sorted values."""

from __future__ import annotations

import base64
import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztransport._ztransport import Histogram

HOUR_NS = 3_600_000_000_000
VALUES = st.lists(st.integers(0, HOUR_NS), max_size=200)

# 1, 1000, 1000, 2,000,000 and 3,000,000,000 ns as HdrHistogram's Python implementation writes them.
FOREIGN = "HISTFAAAAC54nJNpmSzMwMDAywABzFCaEch0M9ixgMH+A1SA6TQ/y/t1jEzPlzMyAQCj1Qhq"


@given(VALUES)
def test_what_is_encoded_comes_back_equal(values: list[int]) -> None:
    histogram = Histogram(values)
    decoded = Histogram.decode(histogram.encode())
    assert decoded == histogram
    assert (decoded.count, decoded.max, decoded.mean) == (
        len(values),
        histogram.max,
        histogram.mean,
    )


@given(VALUES, VALUES)
def test_merged_is_as_if_counted_together(one: list[int], other: list[int]) -> None:
    before = Histogram(one)
    assert before.merge(Histogram(other)) == Histogram(one + other)
    assert before == Histogram(one), "merge must leave its parts alone"


@given(VALUES.filter(bool), st.integers(1, 1_000))
def test_a_quantile_is_that_of_the_sorted_values(values: list[int], thousandth: int) -> None:
    found = Histogram(values).value_at(thousandth / 1_000)
    # The division rounds, so that the rank may be the next one.
    ranks = {math.ceil(len(values) * thousandth / 1_000 + off) for off in (-1e-9, 1e-9)}
    exact = [sorted(values)[min(max(rank, 1), len(values)) - 1] for rank in ranks]
    assert any(value <= found <= value * 1.001 + 1 for value in exact), (exact, found)


def test_a_histogram_of_another_implementation_is_read() -> None:
    histogram = Histogram.decode(base64.b64decode(FOREIGN))
    assert histogram == Histogram([1, 1_000, 1_000, 2_000_000, 3_000_000_000])
    assert histogram.curve([0.2, 0.4, 0.6]) == [1, 1_000, 1_000]


def test_nothing_counted_is_zero() -> None:
    empty = Histogram([])
    assert (empty.count, empty.max, empty.mean, empty.value_at(0.99)) == (0, 0, 0.0, 0)
    assert Histogram.decode(empty.encode()).merge(Histogram([7])).max == 7


def test_a_curve_never_falls_and_ends_at_the_greatest() -> None:
    histogram = Histogram(range(0, 1_000_000, 997))
    curve = histogram.curve([0.0, 0.25, 0.5, 0.75, 0.999, 1.0])
    assert curve == sorted(curve)
    assert curve[-1] == histogram.max


@given(st.binary(max_size=200))
def test_bytes_that_are_no_histogram_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        Histogram.decode(data)


@given(VALUES, st.data())
def test_damaged_bytes_are_refused_or_read(values: list[int], data: st.DataObject) -> None:
    whole = Histogram(values).encode()
    with pytest.raises(ValueError):
        Histogram.decode(whole[: data.draw(st.integers(0, len(whole) - 1), label="kept")])
    position = data.draw(st.integers(0, len(whole) - 1), label="position")
    damaged = bytearray(whole)
    damaged[position] ^= data.draw(st.integers(1, 255), label="flipped")
    # Refused, as a rule; a panic or a giant allocation would end the test.
    with contextlib.suppress(ValueError):
        Histogram.decode(bytes(damaged))


@pytest.mark.parametrize("quantile", [-0.001, 1.001, math.nan, math.inf])
def test_a_quantile_outside_of_its_range_is_refused(quantile: float) -> None:
    with pytest.raises(ValueError, match="quantile"):
        Histogram([1]).value_at(quantile)


def test_the_greatest_value_at_its_limit() -> None:
    assert Histogram([HOUR_NS - 1, HOUR_NS]).count == 2
    with pytest.raises(ValueError, match="hour"):
        Histogram([HOUR_NS + 1])
    with pytest.raises(OverflowError):
        Histogram([-1])
