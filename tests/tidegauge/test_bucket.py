"""Sums of a minute: they merge exactly, and what is unknown is not counted as 0."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.world import NOON
from tidegauge.bucket import (
    UNKNOWN_LENGTH,
    Bucket,
    LengthClass,
    Measure,
    Measured,
    length_class,
    merge,
)
from tidegauge.finding import Series

BOT = Series("default", "bot", "prod", "answer", "gpt-4o-mini")
values = st.lists(st.floats(min_value=0, max_value=1e6), max_size=40)


def a_bucket(*latencies: float, **fields: int) -> Bucket:
    return Bucket(
        series=BOT,
        start=NOON,
        calls=len(latencies),
        measures={Measure.LATENCY: Measured.of(latencies)},
        lengths={13: LengthClass(len(latencies), 1.0, 2.0, 100.0)},
        **fields,
    )


@given(values)
def test_sums_do_not_depend_on_the_order_of_the_values(one: list[float]) -> None:
    shuffled = list(one)
    random.Random(1).shuffle(shuffled)

    assert Measured.of(shuffled) == Measured.of(one)


@given(values, values)
def test_measures_merge_as_if_counted_together(one: list[float], two: list[float]) -> None:
    merged, together = Measured.of(one) + Measured.of(two), Measured.of(one + two)

    assert (merged.n, merged.log_n, merged.histogram) == (
        together.n,
        together.log_n,
        together.histogram,
    )
    assert merged.total == pytest.approx(together.total)
    assert merged.log_square_sum == pytest.approx(together.log_square_sum)


def test_a_zero_counts_but_has_no_logarithm() -> None:
    measured = Measured.of([0.0, math.e])

    assert (measured.n, measured.log_n, measured.total) == (2, 1, math.e)
    assert measured.log_sum == pytest.approx(1.0)


def test_merged_buckets_hold_every_count() -> None:
    one = a_bucket(1.0, 2.0, errors=1, truncated=1, truncation_known=2, cost_known=2)
    two = a_bucket(4.0, errors=0, truncated=0, truncation_known=1, cost_known=0)

    both = merge([one, two], BOT, NOON)

    assert (both.calls, both.errors, both.truncated, both.truncation_known) == (3, 1, 1, 3)
    assert both.cost_known == 2
    assert both.measured(Measure.LATENCY) == Measured.of([1.0, 2.0]) + Measured.of([4.0])
    assert both.lengths == {13: LengthClass(3, 2.0, 4.0, 200.0)}


def test_a_measure_that_no_call_carried_has_no_values() -> None:
    assert a_bucket(1.0).measured(Measure.TTFT) == Measured()
    assert merge([], BOT, NOON) == Bucket(series=BOT, start=NOON)


def test_length_classes_are_half_octaves_and_an_unknown_length_is_its_own() -> None:
    classes = [length_class(tokens) for tokens in range(5000)]

    assert all(after - before in (0, 1, 2) for before, after in pairwise(classes))
    assert length_class(2 * 1000 + 1) - length_class(1000) == 2
    assert UNKNOWN_LENGTH not in classes
    assert length_class(None) == UNKNOWN_LENGTH
