"""Requests: calls and their traces."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from dashboard.views.requests import tree
from tests.dashboard import world
from tests.dashboard.conftest import Show
from tests.world import a_call
from tidegauge.store import spans
from tidegauge.store.engine import Engine, write


def test_the_newest_fifty_calls_are_a_table(show: Show) -> None:
    page = show("requests")
    assert not page.exception
    assert len(page.dataframe[0].value) == 50
    assert page.caption[0].value == "1,260 calls, newest first"


def test_only_failed_calls_are_shown_where_asked(show: Show) -> None:
    table = show("requests", only="failed").dataframe[0].value
    assert len(table) > 0
    assert all("error rate_limit" in flags for flags in table["Flags"])


def test_the_filters_of_the_sidebar_hold(show: Show) -> None:
    table = show("requests", service="digest").dataframe[0].value
    assert set(table["Service"]) == {"digest"}


def test_an_absolute_range_in_the_address_holds(show: Show, moment: datetime) -> None:
    since, until = moment - timedelta(hours=3), moment - timedelta(hours=2)
    page = show("requests", **{"from": since.isoformat(), "to": until.isoformat()})
    times = page.dataframe[0].value["Time (UTC)"]
    assert max(times) <= f"{until + timedelta(minutes=1):%m-%d %H:%M:%S}"
    assert page.caption[0].value.startswith("From ")


def test_a_linked_call_is_shown_with_its_trace(show: Show, store: Engine, moment: datetime) -> None:
    root, call = world.a_trace(moment, input="hello", output="world")
    with write(store) as db:
        spans.insert(db, [root, call], received_at=moment)
    page = show("requests", span=call.span_id, window="1h")
    assert [one.value for one in page.code] == ["hello", "world"]
    names = list(page.dataframe[2].value["Span"])
    assert names == ["invoke_agent helper", "\u2003chat gpt-4o-mini"]


def test_a_window_without_calls_says_so(show: Show) -> None:
    page = show("requests", **{"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"})
    assert "No calls fit" in page.info[0].value


@pytest.mark.parametrize("nonsense", ["x", "2020-01-01", "9999-01-01T00:00:00Z"])
def test_a_range_that_makes_no_sense_is_ignored(show: Show, nonsense: str) -> None:
    page = show("requests", **{"from": nonsense, "to": nonsense})
    assert not page.exception
    assert "1,260 calls" in page.caption[0].value


def test_a_ring_of_parents_shows_every_span_once() -> None:
    one = a_call(1, span_id="a" * 16, parent_span_id="b" * 16)
    two = a_call(2, span_id="b" * 16, parent_span_id="a" * 16)
    assert sorted(call.span_id for call, _ in tree([one, two])) == ["a" * 16, "b" * 16]


def test_a_span_whose_parent_never_came_stands_at_the_top() -> None:
    orphan = a_call(1, parent_span_id="c" * 16)
    assert tree([orphan]) == [(orphan, 0)]
