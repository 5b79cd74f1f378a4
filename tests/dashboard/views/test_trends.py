"""Trends: how did this signal move, and against what?"""

from __future__ import annotations

import json

from streamlit.testing.v1 import AppTest

from tests.dashboard.conftest import Show


def charts_of(page: AppTest) -> list[list[str]]:
    """Return the names of the lines of every chart."""
    specs = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
    return [[trace["name"] for trace in spec["data"]] for spec in specs]


def test_the_sentence_comes_before_the_chart(show: Show) -> None:
    page = show("trends")
    assert not page.exception
    assert page.text[0].value.startswith("Latency: ")


def test_the_usual_range_and_the_change_lane_are_drawn(show: Show) -> None:
    first, *small = charts_of(show("trends", series="checkout-bot · prod · answer · gpt-4o-mini"))
    assert first == ["usual range", "Latency", "changes"]
    assert len(small) == 4


def test_the_address_chooses_signal_and_comparison(show: Show) -> None:
    page = show(
        "trends",
        signal="output_tokens",
        compare="true",
        series="search · prod · rewrite · claude-3-5-haiku",
    )
    assert charts_of(page)[0] == ["usual range", "a week earlier", "Output tokens", "changes"]


def test_filters_without_a_series_say_so(show: Show) -> None:
    page = show("trends", service="search", model="gpt-4o")
    assert "No series fits" in page.info[0].value
