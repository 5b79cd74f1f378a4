"""Merging packed histograms gives, to the last count, what adding them one by one gives."""

from __future__ import annotations

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from tidegauge.histogram import Histogram
from tidegauge.store.shapes import merge_packed

_values = st.one_of(st.just(0.0), st.floats(min_value=1e-9, max_value=1e12))
_shapes = st.lists(st.lists(_values, max_size=40).map(Histogram.of), max_size=12)


@given(_shapes)
def test_merged_is_added(shapes: list[Histogram]) -> None:
    added = reduce(Histogram.__add__, shapes, Histogram())
    assert merge_packed([one.pack() for one in shapes]) == added


def test_large_counts_are_exact() -> None:
    big = Histogram({-700: 2**40 + 1, 3: 127, 900: 128}, zeros=300)
    assert merge_packed([big.pack()] * 3) == big + big + big


def test_nothing_is_an_empty_histogram() -> None:
    assert merge_packed([]) == merge_packed([b""]) == Histogram()
