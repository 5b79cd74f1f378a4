from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from collector.notes import FUTURE, LATE, notes_of
from collector.raw import RawSpan
from tests.world import a_call

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def raw(**fields: Any) -> RawSpan:
    usual = {"trace_id": "1" * 32, "span_id": "1" * 16, "parent": None, "name": "chat", "kind": 0}
    return RawSpan(**(usual | {"start_ns": 1, "end_ns": 2} | fields))


@pytest.mark.parametrize(
    ("started_at", "invalid", "expected"),
    [
        (NOW - SECOND, False, []),
        (NOW - LATE, False, []),
        (NOW - LATE - SECOND, False, ["late"]),
        (NOW + FUTURE, False, []),
        (NOW + FUTURE + SECOND, False, ["future"]),
        (NOW + timedelta(days=9), True, ["future", "clock_skewed"]),
        (datetime(1970, 1, 1, tzinfo=UTC), True, ["clock_skewed"]),  # a clock, not a delay
    ],
)
def test_r10_a_start_is_late_ahead_or_of_a_wrong_clock(
    started_at: datetime, invalid: bool, expected: list[str]
) -> None:
    call = a_call(1, started_at=started_at, clock_invalid=invalid)
    notes = notes_of(raw(), call, NOW, json_unread=False)
    assert [outcome for outcome, _ in notes] == expected


@pytest.mark.parametrize(
    ("fields", "json_unread", "expected"),
    [
        ({}, False, {}),
        ({"cut": True, "dropped_attributes": 9}, False, {"attributes_cut": 1}),
        ({"dropped_attributes": 9}, False, {"sdk_dropped:attributes": 9}),
        ({"dropped_events": 2}, False, {"sdk_dropped:events": 2}),
        ({}, True, {"json_not_read": 1}),
        ({"lenient": ("snake_case",)}, False, {"json_lenient:snake_case": 1}),
    ],
)
def test_what_is_not_whole_is_said(
    fields: dict[str, Any], json_unread: bool, expected: dict[str, int]
) -> None:
    call = a_call(1, started_at=NOW)
    assert dict(notes_of(raw(**fields), call, NOW, json_unread=json_unread)) == expected
