"""The histogram: exact counts, quantiles to a bucket's width, merging in any order."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegauge.histogram import Histogram, bucket_index, bucket_middle

WIDTH = 2 ** (1 / 32)  # of a bucket, as a factor

values = st.lists(st.floats(min_value=1e-9, max_value=1e9), max_size=60)


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_a_value_lies_within_its_bucket(value: float) -> None:
    index = bucket_index(value)

    assert 2 ** (index / 32) * (1 - 1e-12) <= value <= 2 ** ((index + 1) / 32) * (1 + 1e-12)


@pytest.mark.parametrize("power", range(-20, 21, 5))
def test_a_power_of_two_is_the_upper_end_of_its_bucket(power: int) -> None:
    assert bucket_index(2.0**power) == 32 * power - 1


@given(values, values)
def test_merging_is_the_same_as_counting_all_at_once(one: list[float], two: list[float]) -> None:
    merged = Histogram.of(one) + Histogram.of(two)

    assert merged == Histogram.of(one + two) == Histogram.of(two) + Histogram.of(one)
    assert merged.n == len(one) + len(two)


@given(values, st.integers(min_value=0, max_value=10**6))
def test_packed_bytes_read_back_as_they_were(one: list[float], zeros: int) -> None:
    histogram = Histogram(Histogram.of(one).counts, zeros)

    assert Histogram.unpack(histogram.pack()) == histogram


def exact(ordered: Sequence[float], q: float) -> float:
    return ordered[max(math.ceil(q * len(ordered)) - 1, 0)]


@pytest.mark.parametrize("q", [0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 1.0])
def test_quantiles_are_right_to_a_bucket(q: float) -> None:
    draw = random.Random(3)
    ordered = sorted(draw.lognormvariate(0, 1.5) for _ in range(5000))

    found = Histogram.of(ordered).quantile(q)

    assert found is not None
    assert 1 / WIDTH < found / exact(ordered, q) < WIDTH


def test_zeros_and_what_is_below_count_as_0() -> None:
    histogram = Histogram.of([0.0, -1.0, 5.0, 5.0])

    assert (histogram.n, histogram.zeros) == (4, 2)
    assert histogram.quantile(0.5) == 0.0
    assert histogram.quantile(0.75) == bucket_middle(bucket_index(5.0))


def test_an_empty_histogram_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram.unpack(Histogram().pack()) == Histogram()


def test_a_whole_day_of_latencies_packs_small() -> None:
    draw = random.Random(5)
    packed = Histogram.of(draw.lognormvariate(0.5, 0.6) for _ in range(50_000)).pack()

    assert len(packed) < 600
