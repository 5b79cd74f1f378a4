from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from tidegauge.call import Call, Evidence, NotCounted
from tidegauge.log_event import EVALUATION, LogEvent
from tidegauge.store import events, rollups, spans
from tidegauge.store.engine import Engine, read, write

TRACE, SPAN = "0a" * 16, "0b" * 8
KEY = ("p", bytes.fromhex(TRACE), bytes.fromhex(SPAN))
CHOICE = "gen_ai.choice"


def event(text: str = "Paris", **fields: Any) -> LogEvent:
    return LogEvent(
        **{
            "project": "p",
            "trace_id": TRACE,
            "span_id": SPAN,
            "name": CHOICE,
            "time_ns": 5,
            "attributes": {"gen_ai.system": "openai"},
            "body": {"index": 0, "message": {"content": text}},
            **fields,
        }
    )


def call(now: datetime, **fields: Any) -> Call:
    return Call(
        **{
            "project": "p",
            "trace_id": TRACE,
            "span_id": SPAN,
            "started_at": now,
            "duration_s": 1.0,
            "attributes": {"a": 1},
            **fields,
        }
    )


def insert(engine: Engine, now: datetime, *found: LogEvent) -> int:
    with write(engine) as db:
        return events.insert(db, found, received_at=now)


def test_an_event_comes_back_as_it_was_stored(engine: Engine, now: datetime) -> None:
    assert insert(engine, now, event()) == 1
    with read(engine) as db:
        (stored,) = events.of(db, [KEY])[KEY]
    assert stored.event == event()
    assert stored.due


def test_the_same_event_again_changes_nothing(engine: Engine, now: datetime) -> None:
    insert(engine, now, event())
    later = now + timedelta(minutes=5)
    assert insert(engine, later, event(), event("Lyon"), event(time_ns=6)) == 2
    assert insert(engine, later, event(), event()) == 0
    with read(engine) as db:
        assert len(events.of(db, [KEY])[KEY]) == 3


def test_projects_are_apart(engine: Engine, now: datetime) -> None:
    assert insert(engine, now, event(), event(project="q")) == 2
    with read(engine) as db:
        assert list(events.of(db, [KEY])) == [KEY]
        assert len(events.due(db, now, 9)) == 2


def test_an_evaluation_waits_for_no_span_and_stays(engine: Engine, now: datetime) -> None:
    alone = event(name=EVALUATION, trace_id="", span_id="", body=None)
    insert(engine, now, alone, event(name=EVALUATION, time_ns=4))
    with write(engine) as db:
        assert events.due(db, now, 9) == []
        assert events.prune(db, now + timedelta(days=99), 9) == (0, {})
        assert [one.time_ns for one in events.evaluations(db, "p")] == [4, 5]
        assert events.evaluations(db, "q") == []


def test_a_span_that_has_not_come_is_looked_for_ever_less_often(
    engine: Engine, now: datetime
) -> None:
    insert(engine, now, event())
    looks, at = [], now
    for _ in range(600):
        with write(engine) as db:
            if events.due(db, at, 9):
                looks.append(int((at - now).total_seconds()))
                events.postpone(db, events.of(db, [KEY])[KEY], at)
        at += timedelta(seconds=1)
    assert looks[:7] == [0, 1, 2, 4, 8, 16, 32]
    assert looks[-1] - looks[-2] == 60


def test_what_is_settled_is_due_no_more(engine: Engine, now: datetime) -> None:
    insert(engine, now, event(), event("Lyon"))
    with write(engine) as db:
        first, _ = events.of(db, [KEY])[KEY]
        events.settle(db, [first])
        assert events.due(db, now, 9) == [KEY]
        events.settle(db, events.of(db, [KEY])[KEY])
        assert events.due(db, now, 9) == []
        assert not any(one.due for one in events.of(db, [KEY])[KEY])


def test_old_events_go_and_those_without_a_span_are_counted(engine: Engine, now: datetime) -> None:
    insert(engine, now, *(event(str(n)) for n in range(5)))
    insert(engine, now, event(project="q"))
    insert(engine, now + timedelta(hours=2), event("young"))
    with write(engine) as db:
        of_p = [one for one in events.of(db, [KEY])[KEY] if one.received_s == min_received(now)]
        events.settle(db, of_p[:2])
        before = now + timedelta(hours=1)
        some, more = events.prune(db, before, 4), events.prune(db, before, 4)
        assert (some[0], more[0]) == (4, 2)
        assert some[1] + more[1] == {"p": 3, "q": 1}
        assert len(events.of(db, [KEY])[KEY]) == 1


def min_received(now: datetime) -> int:
    return int(now.timestamp())


def test_a_span_is_replaced_where_an_event_can_fill_it_and_nowhere_else(
    engine: Engine, now: datetime
) -> None:
    stored = call(now, truncated=True, truncation_evidence=Evidence.LIMIT_REACHED)
    other = call(now, span_id="0c" * 8, input=[{"role": "user", "content": "other"}])
    with write(engine) as db:
        spans.insert(db, [stored, other], received_at=now)
        rollups.clear_marks(db, rollups.stale_minutes(db, 9))
    filled = replace(
        stored,
        input=[{"role": "user", "content": "Capital?"}],
        output=[{"role": "assistant", "content": "Paris"}],
        finish_reasons=("stop", "length"),
        truncated=False,
        truncation_evidence=Evidence.FINISH_REASON,
        response_model="gpt-4o-mini",
        prompt_checksum="1" * 16,
        input_checksum="2" * 16,
        attributes={"a": 1, "b": [2]},
    )
    with write(engine) as db:
        # What is written meanwhile by others, and is no business of an event's.
        events.replace(db, [replace(filled, name="changed", input_tokens=5)], now)
    with read(engine) as db:
        assert spans.trace(db, "p", TRACE) == [filled, other]
        assert spans.count(db, "p", spans.Filter(model="gpt-4o-mini")) == 1
        assert [one.minute for one in rollups.stale_minutes(db, 9)] == [now.replace(second=0)]


@pytest.mark.parametrize("fields", [{"clock_invalid": True}, {"not_counted": NotCounted.WRAPPER}])
def test_a_span_that_is_in_no_rollup_makes_no_minute_stale(
    engine: Engine, now: datetime, fields: dict[str, Any]
) -> None:
    with write(engine) as db:
        spans.insert(db, [call(now, **fields)], received_at=now)
        events.replace(db, [call(now, **fields)], now)
        assert rollups.count_stale(db) == 0


def test_many_calls_are_found_with_their_content(engine: Engine, now: datetime) -> None:
    made = [call(now, span_id=f"{n:016x}", output=[{"n": n}]) for n in range(1, 60)]
    with write(engine) as db:
        for one in made:
            spans.insert(db, [one], received_at=now)  # each in a block of its own
        keys = [("p", bytes.fromhex(TRACE), bytes.fromhex(one.span_id)) for one in made]
        found = events.calls_of(db, [*keys, KEY])
    assert list(found.values()) == made


def test_a_span_is_locked_until_its_events_are_written(engine: Engine, now: datetime) -> None:
    with write(engine) as db:
        spans.insert(db, [call(now)], received_at=now)
    seen: list[str | None] = []

    def second() -> None:
        with write(engine) as db:
            seen.append(events.calls_of(db, [KEY])[KEY].response_model)

    with write(engine) as db:
        found = events.calls_of(db, [KEY])[KEY]
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
        events.replace(db, [replace(found, response_model="m")], now)
    thread.join(10)
    assert seen == ["m"]
