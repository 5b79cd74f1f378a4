from __future__ import annotations

from datetime import datetime, timedelta

from collector import hints
from collector.hints import EVERY, Hints
from collector.sender import Sender

ONE, OTHER = Sender("default", user_agent="one"), Sender("default", user_agent="other")


def test_a_sender_is_told_a_warning_once_an_hour(now: datetime) -> None:
    told = Hints()
    assert told.due(ONE, ["a", "b"], now) == ["a", "b"]
    assert told.due(ONE, ["a", "c"], now + EVERY - timedelta(seconds=1)) == ["c"]
    assert told.due(ONE, ["a", "c"], now + EVERY) == ["a"]


def test_every_sender_is_told(now: datetime) -> None:
    told = Hints()
    assert told.due(ONE, ["a"], now) == told.due(OTHER, ["a"], now) == ["a"]
    assert told.due(Sender("another project", user_agent="one"), ["a"], now) == ["a"]


def test_how_many_spans_it_is_about_makes_no_other_warning(now: datetime) -> None:
    told = Hints()
    assert told.due(ONE, ["3 spans were cut"], now) == ["3 spans were cut"]
    assert told.due(ONE, ["5 spans were cut"], now) == []


def test_what_is_remembered_has_an_end(now: datetime) -> None:
    told = Hints()
    for number in range(hints.MOST + 5):
        told.due(Sender("default", user_agent=str(number)), ["a"], now)
    assert len(told._told) <= hints.MOST
