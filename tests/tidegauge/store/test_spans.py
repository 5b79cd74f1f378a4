"""Spans: written once, read back as they were."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from tests.world import NOON, a_call
from tidegauge.call import Audit, Evidence, NotCounted
from tidegauge.store import rollups, spans
from tidegauge.store.engine import BadValue, Engine, read, write

FULL = a_call(
    "full",
    parent_span_id="00f067aa0ba902b7",
    service_version="1.2",
    user_id="u",
    session_id="s",
    response_id="r",
    cached_input_tokens=10,
    cache_write_tokens=0,
    reasoning_tokens=5,
    tokens_audit=Audit.ADJUSTED,
    tokens_audit_rule="cache excluded",
    streaming=True,
    time_to_first_token_s=0.4,
    time_per_output_token_s=0.007,
    finish_reasons=("length", "stop"),
    truncated=True,
    truncation_evidence=Evidence.FINISH_REASON,
    error_type="timeout",
    status_code=504,
    temperature=0.2,
    top_p=0.9,
    max_tokens=256,
    stop_sequences=("END",),
    output_type="json",
    output_valid=False,
    repetition=0.1,
    prompt_name="p",
    prompt_version="92",
    prompt_checksum="abc",
    input_checksum="def",
    cost_usd=Decimal("0.000123456"),
    input=[{"role": "user", "content": "Grüße 🌊"}],
    output=[{"role": "assistant", "content": "hi"}],
    attributes={"a": {"b": [1, 2.5, None]}},
)


def test_a_call_comes_back_as_it_was(engine: Engine, now: datetime) -> None:
    bare = a_call("bare", input_tokens=None, truncated=None, finish_reasons=())
    with write(engine) as db:
        assert spans.insert(db, [FULL, bare], received_at=now) == 2
    with read(engine) as db:
        found = spans.calls(db, "default")
    assert sorted(found, key=lambda c: c.span_id) == sorted([FULL, bare], key=lambda c: c.span_id)


def test_the_same_batch_twice_changes_nothing(engine: Engine, now: datetime) -> None:
    with write(engine) as db:
        spans.insert(db, [a_call(1)], received_at=now)
    with write(engine) as db:
        again = [a_call(1, input_tokens=999), a_call(2)]
        assert spans.insert(db, again, received_at=now) == 1
    with read(engine) as db:
        assert spans.count(db, "default") == 2
        assert {call.input_tokens for call in spans.calls(db, "default")} == {400}


def test_the_same_span_twice_in_one_batch_is_one_row(engine: Engine, now: datetime) -> None:
    with write(engine) as db:
        assert spans.insert(db, [a_call(1), a_call(1)], received_at=now) == 1


def test_wrappers_are_kept_and_never_counted(engine: Engine, now: datetime) -> None:
    wrapper = a_call("w", not_counted=NotCounted.WRAPPER)
    with write(engine) as db:
        spans.insert(db, [wrapper], received_at=now)
    with read(engine) as db:
        assert spans.calls(db, "default") == []
        assert spans.calls(db, "default", spans.Filter(all_spans=True)) == [wrapper]
        assert rollups.stale_minutes(db, 10) == []


def test_numbers_leave_out_a_span_with_an_invalid_clock(engine: Engine, now: datetime) -> None:
    with write(engine) as db:
        spans.insert(db, [a_call(1), a_call(2, clock_invalid=True)], received_at=now)
    with read(engine) as db:
        rows = spans.numbers(db, "default", NOON, NOON + timedelta(minutes=1))
    assert [row.model for row in rows] == ["gpt-4o-mini"]


def test_a_minute_is_marked_by_every_transaction_that_adds_to_it(
    engine: Engine, now: datetime
) -> None:
    for seed in (1, 2):
        with write(engine) as db:
            spans.insert(db, [a_call(seed)], received_at=now)
    with write(engine) as db:
        (stale,) = rollups.stale_minutes(db, 10)
        assert (stale.minute, len(stale.marks)) == (NOON, 2)
        spans.insert(db, [a_call(3)], received_at=now)
        rollups.clear_marks(db, [stale])
    with read(engine) as db:
        (left,) = rollups.stale_minutes(db, 10)
    assert len(left.marks) == 1


def test_pages_walk_through_more_calls_than_one_page_holds(
    sqlite_engine: Engine, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spans, "_PAGE", 3)
    sent = [a_call(i, started_at=NOON + timedelta(seconds=i // 2)) for i in range(10)]
    with write(sqlite_engine) as db:
        spans.insert(db, sent, received_at=now)
    found = list(spans.pages(sqlite_engine, "default", spans.Filter(), limit=None))
    assert {call.span_id for call in found} == {call.span_id for call in sent}
    assert len(found) == 10
    assert len(list(spans.pages(sqlite_engine, "default", spans.Filter(), limit=4))) == 4


def test_filters_narrow_what_is_read(engine: Engine, now: datetime) -> None:
    sent = [
        a_call(1),
        a_call(2, service="other", truncated=True),
        a_call(3, error_type="timeout", started_at=NOON + timedelta(hours=1)),
    ]
    with write(engine) as db:
        spans.insert(db, sent, received_at=now)
    with read(engine) as db:
        assert spans.calls(db, "default", spans.Filter(service="other")) == [sent[1]]
        assert spans.calls(db, "default", spans.Filter(truncated=True)) == [sent[1]]
        assert spans.calls(db, "default", spans.Filter(failed=True)) == [sent[2]]
        assert spans.calls(db, "default", spans.Filter(trace_id=sent[0].trace_id)) == [sent[0]]
        assert spans.count(db, "default", spans.Filter(until=NOON + timedelta(minutes=1))) == 2
        assert spans.calls(db, "elsewhere") == []


def test_a_value_that_the_database_refuses_is_named_bad_and_leaves_nothing(
    engine: Engine, now: datetime
) -> None:
    broken = replace(a_call(2), input_tokens=2**63)
    with pytest.raises(BadValue), write(engine) as db:
        spans.insert(db, [a_call(1), broken], received_at=now)
    with read(engine) as db:
        assert spans.count(db, "default") == 0


def test_the_last_arrival_is_known_whatever_start_the_spans_bear(
    engine: Engine, now: datetime
) -> None:
    with read(engine) as db:
        assert spans.last_received(db, "default") is None
    future = a_call(1, started_at=datetime(2255, 1, 1, tzinfo=UTC), clock_invalid=True)
    old = a_call(2, started_at=now - timedelta(days=400))
    with write(engine) as db:
        spans.insert(db, [future], received_at=now - timedelta(hours=3))
        spans.insert(db, [old], received_at=now)
        spans.insert(db, [a_call(3, project="other")], received_at=now + timedelta(hours=1))
    with read(engine) as db:
        assert spans.last_received(db, "default") == now


def test_the_last_arrival_is_one_row_of_an_index(sqlite_engine: Engine) -> None:
    query = "EXPLAIN QUERY PLAN SELECT max(received_s) FROM span WHERE project = 'p'"
    with read(sqlite_engine) as db:
        plan = str(db.exec_driver_sql(query).all())
    assert "span_received" in plan
