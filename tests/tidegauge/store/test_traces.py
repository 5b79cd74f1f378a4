from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from analysis.rollup import bucket_of, roll
from tests.world import a_call, hex_id
from tidegauge.call import Call, NotCounted, UseCaseFrom
from tidegauge.finding import Series
from tidegauge.settle import settle
from tidegauge.store import rollups, said, spans, traces
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.schema import content_block
from tidegauge.store.schema import span as span_table

SDK = "com.anthropic.sdk.python"


def span(at: datetime, seed: str, above: str | None = None, **fields: Any) -> Call:
    usual: dict[str, Any] = {
        "trace_id": hex_id("one trace", 32),
        "parent_span_id": hex_id(("span", above), 16) if above else None,
        "started_at": at,
        "use_case": "default",
        "library": "openinference.instrumentation.anthropic",
        "attributes": {"from": seed},
    }
    return a_call(seed, **(usual | fields))


def a_trace(at: datetime) -> list[Call]:
    """Return a workflow with a call that two libraries tell of, a retry, and a twin elsewhere."""
    told = {"input_checksum": "q", "input": [{"role": "user", "content": "Where?"}]}
    wrapper = {"operation": None, "not_counted": NotCounted.WRAPPER, "library": "app"}
    later = at + timedelta(minutes=3)
    return [
        span(at, "root", name="answer", session_id="s1", **wrapper),
        span(at, "ours", "root", response_id="m1", duration_s=2.0, max_tokens=64, **told),
        span(at, "sdk", "root", response_id="m1", library=SDK, cost_usd=Decimal("0.25")),
        span(later, "failed", "root", error_type="overloaded", duration_s=0.2, input_checksum="r"),
        span(later + timedelta(seconds=1), "again", "root", input_checksum="r"),
        span(later, "lone", response_id="m2", trace_id=hex_id("t2", 32), duration_s=2.0),
        span(later, "twin", response_id="m2", trace_id=hex_id("t3", 32), library=SDK),
    ]


def store(engine: Engine, calls: Sequence[Call], now: datetime) -> None:
    with write(engine) as db:
        spans.insert(db, calls, received_at=now)


def stored(engine: Engine) -> dict[str, Call]:
    with read(engine) as db:
        found = spans.calls(db, "default", spans.Filter(all_spans=True))
    return {call.span_id: rounded(call) for call in found}


def rounded(call: Call) -> Call:
    """Return a call with its cost as the database keeps it."""
    cost = call.cost_usd and call.cost_usd.quantize(Decimal("1e-9"))
    return replace(call, cost_usd=cost, finish_reasons=tuple(call.finish_reasons))


def expected(calls: Sequence[Call]) -> dict[str, Call]:
    return {call.span_id: rounded(call) for call in settle(calls)}


def test_a_call_that_two_libraries_tell_is_stored_as_one_with_what_both_know(
    engine: Engine, now: datetime
) -> None:
    store(engine, a_trace(now), now)
    assert traces.settle_due(engine) > 0

    (record,) = (c for c in stored(engine).values() if c.response_id == "m1" and not c.not_counted)
    assert (record.library, record.max_tokens, record.session_id) == (SDK, 64, "s1")
    assert record.input == [{"role": "user", "content": "Where?"}]
    assert record.attributes == {"from": "sdk"}
    assert (record.use_case, record.use_case_from) == ("answer", UseCaseFrom.ROOT)
    assert stored(engine) == expected(a_trace(now))


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_neither_order_nor_batches_matter(
    engine: Engine, now: datetime, data: st.DataObject
) -> None:
    project = data.draw(st.uuids()).hex
    calls = [replace(call, project=project) for call in a_trace(now)]
    left = data.draw(st.permutations(calls))
    while left:
        size = data.draw(st.integers(1, len(left)))
        store(engine, left[:size], now)
        left = left[size:]
        if data.draw(st.booleans()):
            traces.settle_due(engine)
    traces.settle_due(engine)

    with read(engine) as db:
        found = spans.calls(db, project, spans.Filter(all_spans=True))
    assert {call.span_id: rounded(call) for call in found} == expected(calls)


def test_a_trace_that_is_settled_again_is_written_no_more(engine: Engine, now: datetime) -> None:
    store(engine, a_trace(now), now)
    traces.settle_due(engine)
    roll(engine, now, max_series=10, limit=100)

    store(engine, [replace(one, span_id=hex_id("new", 16)) for one in a_trace(now)[:1]], now)
    traces.settle_due(engine)
    with read(engine) as db:
        assert rollups.count_stale(db) == 0
        assert traces.count_unsettled(db) == 0


def test_rollups_stay_exact_when_a_later_span_shows_a_duplicate(
    engine: Engine, now: datetime
) -> None:
    for call in a_trace(now):
        store(engine, [call], now)
        traces.settle_due(engine)
        roll(engine, now, max_series=10, limit=100)

    with read(engine) as db:
        buckets = rollups.read_buckets(
            db, "default", rollups.MINUTE_S, now - timedelta(hours=1), now + timedelta(hours=1)
        )
        rows = spans.numbers(db, "default", now - timedelta(hours=1), now + timedelta(hours=1))
    counted = [bucket for bucket in buckets if bucket.calls]
    assert sum(bucket.calls for bucket in counted) == 3 == len(rows)
    for bucket in counted:
        within = [
            row
            for row in rows
            if row.use_case == bucket.series.use_case
            and bucket.start <= spans.from_ns(row.started_ns) < bucket.start + timedelta(minutes=1)
        ]
        series = Series("default", "checkout-bot", "prod", within[0].use_case, "gpt-4o-mini")
        assert bucket == bucket_of(series, bucket.start, within)


def test_what_a_span_said_comes_back_for_who_changes_it(engine: Engine, now: datetime) -> None:
    calls = a_trace(now)
    store(engine, calls, now)
    traces.settle_due(engine)
    keys = [("default", bytes.fromhex(c.trace_id), bytes.fromhex(c.span_id)) for c in calls]

    with write(engine) as db:
        said.take_back(db, keys)
    assert stored(engine) == {call.span_id: rounded(call) for call in calls}
    traces.settle_due(engine)
    assert stored(engine) == expected(calls)


def test_two_settlers_and_a_writer_at_once_agree(engine: Engine, now: datetime) -> None:
    calls = [
        replace(call, trace_id=hex_id((n, call.trace_id), 32), response_id=f"{call.response_id}{n}")
        for n in range(30)
        for call in a_trace(now)
    ]
    failures: list[BaseException] = []

    def work(task: Any) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    def write_all() -> None:
        for at in range(0, len(calls), 7):
            store(engine, calls[at : at + 7], now)

    def settle_all() -> None:
        for _ in range(20):
            traces.settle_due(engine, at_once=10)

    threads = [
        threading.Thread(target=work, args=(task,)) for task in (write_all, settle_all, settle_all)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    traces.settle_due(engine)

    with read(engine) as db:
        found = spans.calls(db, "default", spans.Filter(all_spans=True))
    by_key = {(call.trace_id, call.span_id): rounded(call) for call in found}
    assert by_key == {(call.trace_id, call.span_id): rounded(call) for call in settle(calls)}


def test_a_trace_that_is_too_long_stays_as_its_spans_said(
    engine: Engine, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "MOST_SPANS", 3)
    store(engine, a_trace(now), now)
    traces.settle_due(engine)

    by_seed = {call.span_id: call for call in a_trace(now)}
    of_long = [c for c in stored(engine).values() if c.trace_id == hex_id("one trace", 32)]
    assert of_long == [rounded(by_seed[call.span_id]) for call in of_long]
    with read(engine) as db:
        assert traces.count_unsettled(db) == 0


def failing_pairs(at: datetime, number: int, every_s: float) -> list[Call]:
    """Return failures that an instrumentation and the provider's SDK tell of, each a root."""
    failed: dict[str, Any] = {"error_type": "overloaded", "output_tokens": None}
    calls = []
    for n in range(number):
        began = at + timedelta(seconds=n * every_s)
        inner = began + timedelta(milliseconds=5)
        calls += [span(began, f"ours{n}", duration_s=1.0, trace_id=hex_id(("a", n), 32), **failed)]
        calls += [span(inner, f"sdk{n}", duration_s=0.9, trace_id=hex_id(("b", n), 32),
                       **failed | {"library": SDK})]  # fmt: skip
    return calls


@pytest.mark.parametrize("at_once", [1, 7, 200])
def test_neighbours_in_time_are_joined_alike_whatever_is_settled_with_them(
    engine: Engine, now: datetime, at_once: int
) -> None:
    calls = failing_pairs(now, 20, 0.8)
    for call in sorted(calls, key=lambda one: hex_id(one.span_id, 8)):
        store(engine, [call], now)
        traces.settle_due(engine, at_once=at_once)
    for call in calls:
        with write(engine) as db:
            spans.mark_unsettled(db, [("default", bytes.fromhex(call.trace_id))])
        traces.settle_due(engine, at_once=at_once)
        assert stored(engine) == expected(calls)


def test_where_very_many_fail_at_once_nothing_is_joined(engine: Engine, now: datetime) -> None:
    calls = failing_pairs(now, 100, 0.001)
    store(engine, calls, now)
    traces.settle_due(engine, at_once=10)

    assert {call.not_counted for call in stored(engine).values()} == {None}


def test_more_answers_than_one_statement_holds_are_settled(engine: Engine, now: datetime) -> None:
    calls = [span(now, f"r{n}", response_id=f"r{n}", trace_id=hex_id(n // 900, 32))
             for n in range(1_800)]  # fmt: skip
    store(engine, calls, now)

    assert traces.settle_due(engine) == 2
    assert {call.not_counted for call in stored(engine).values()} == {None}


def test_a_row_that_is_given_back_is_counted_again(engine: Engine, now: datetime) -> None:
    calls = a_trace(now)
    store(engine, calls, now)
    traces.settle_due(engine)
    roll(engine, now, max_series=10, limit=100)

    with write(engine) as db:
        said.take_back(db, [("default", bytes.fromhex(c.trace_id), bytes.fromhex(c.span_id))
                            for c in calls])  # fmt: skip
        assert rollups.count_stale(db) == 2


def test_content_that_is_filled_in_is_as_old_as_its_call(engine: Engine, now: datetime) -> None:
    old = now - timedelta(days=20)
    aged = [replace(c, trace_id=hex_id((c.trace_id, 1), 32)) for c in a_trace(old)]
    store(engine, aged, old)
    store(engine, a_trace(now), now)
    traces.settle_due(engine)

    with read(engine) as db:
        query = select(span_table.c.received_s, content_block.c.received_s).join(
            content_block, content_block.c.block_id == span_table.c.block_id
        )
        ages = {(one - other) // 86_400 for one, other in db.execute(query)}
    assert ages == {0}


def test_a_trace_that_cannot_be_settled_holds_up_no_other(
    engine: Engine, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = bytes.fromhex(hex_id("t2", 32))
    settle_one = traces.settle

    def fails(db: Any, project: str, trace_ids: Any, cost: Any) -> None:
        if bad in trace_ids:
            raise ArithmeticError("text of a prompt")
        settle_one(db, project, trace_ids, cost)

    monkeypatch.setattr(traces, "settle", fails)
    store(engine, a_trace(now), now)

    told: list[Exception] = []
    assert traces.settle_due(engine, failed=told.append) == 3
    assert [type(one) for one in told] == [ArithmeticError]
    (record,) = (c for c in stored(engine).values() if c.response_id == "m1" and not c.not_counted)
    assert record.max_tokens == 64
