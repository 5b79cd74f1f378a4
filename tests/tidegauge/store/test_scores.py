from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import event, func, select

from tests.world import NOON, a_call
from tidegauge.call import Call, NotCounted
from tidegauge.score import MOST, Score, ScoreSource
from tidegauge.store import scores, spans
from tidegauge.store.engine import Engine, read, write
from tidegauge.store.schema import score

CALL = a_call(response_id="answer-1", session_id="visit-7")
KEY = CALL.trace_id + CALL.span_id


def a_score(**fields: Any) -> Score:
    usual: dict[str, Any] = {
        "project": "default",
        "trace_id": CALL.trace_id,
        "span_id": CALL.span_id,
        "name": "tone",
        "source": ScoreSource.EVENT,
        "value": 0.5,
        "at": NOON,
    }
    return Score(**(usual | fields))


ELSEWHERE = {"trace_id": "0a" * 16, "span_id": "0b" * 8}


def insert(engine: Engine, now: datetime, *found: Score) -> int:
    with write(engine) as db:
        return scores.insert(db, map(scores.values_of, found), received_at=now)


def of(engine: Engine, *calls: Call) -> dict[str, list[str]]:
    with read(engine) as db:
        found = scores.of_calls(db, calls)
    return {key: [one.name for one in some] for key, some in found.items()}


def test_a_score_comes_back_as_it_was_stored(engine: Engine, now: datetime) -> None:
    one = a_score(label="good", annotator="HUMAN", error_type="timeout", response_id="answer-1")
    assert insert(engine, now, one) == 1
    with read(engine) as db:
        assert scores.of_calls(db, [CALL]) == {KEY: [one]}


def test_the_same_again_changes_nothing(engine: Engine, now: datetime) -> None:
    assert insert(engine, now, a_score(), a_score()) == 1
    assert insert(engine, now, a_score(), a_score(mark="5"), a_score(value=0.6)) == 2
    assert insert(engine, now, a_score()) == 0


def test_a_response_s_id_finds_the_call_from_any_trace(engine: Engine, now: datetime) -> None:
    insert(engine, now, a_score(name="far", response_id="answer-1", **ELSEWHERE))
    insert(engine, now, a_score(name="bare", response_id="answer-1", trace_id="", span_id=""))
    assert of(engine, CALL) == {KEY: ["bare", "far"]}


def test_a_judge_s_own_call_does_not_take_what_it_says_of_another(
    engine: Engine, now: datetime
) -> None:
    judge = a_call("judge", response_id="verdict-1")
    told = a_score(trace_id=judge.trace_id, span_id=judge.span_id, response_id="answer-1")
    insert(engine, now, told)
    assert of(engine, judge, CALL) == {KEY: ["tone"]}


def test_the_span_decides_where_the_call_has_no_response_s_id(
    engine: Engine, now: datetime
) -> None:
    insert(engine, now, a_score(response_id="answer-9"))
    assert of(engine, replace(CALL, response_id=None)) == {KEY: ["tone"]}


def test_what_is_said_of_a_duplicate_is_said_of_the_call(engine: Engine, now: datetime) -> None:
    twin = replace(
        CALL, span_id="0b" * 8, not_counted=NotCounted.DUPLICATE, duplicate_of=KEY, response_id=None
    )
    with write(engine) as db:
        spans.insert(db, [CALL, twin], received_at=now)
    insert(engine, now, a_score(span_id=twin.span_id))
    assert of(engine, CALL) == {KEY: ["tone"]}
    assert of(engine, twin) == {CALL.trace_id + twin.span_id: ["tone"]}


def test_projects_are_apart(engine: Engine, now: datetime) -> None:
    insert(engine, now, a_score(project="other"), a_score(project="other", response_id="answer-1"))
    assert of(engine, CALL) == {}
    assert of(engine, replace(CALL, project="other")) == {KEY: ["tone", "tone"]}


def test_what_is_of_the_trace_or_the_session_is_not_of_the_call(
    engine: Engine, now: datetime
) -> None:
    trace = a_score(name="solved", span_id="")
    session = a_score(name="csat", trace_id="", span_id="", session_id="visit-7")
    insert(engine, now, trace, session, replace(session, session_id="visit-8"))
    assert of(engine, CALL) == {}
    with read(engine) as db:
        assert [one.name for one in scores.of_around(db, CALL)] == ["csat", "solved"]
        assert scores.of_around(db, a_call("other")) == []


@pytest.mark.parametrize(
    "of_what", [{}, {"response_id": "answer-1"}, {"session_id": "visit-7", "span_id": ""}]
)
def test_of_one_thing_at_most_a_hundred_are_kept(
    engine: Engine, now: datetime, of_what: dict[str, Any]
) -> None:
    many = [a_score(mark=f"{n:03}", **of_what) for n in range(MOST + 20)]
    assert insert(engine, now, *many[:60]) == 60
    assert insert(engine, now, *many) == MOST - 60
    assert insert(engine, now, *many) == 0
    assert insert(engine, now, a_score(trace_id="0c" * 16)) == 1


@pytest.fixture
def statements(engine: Engine) -> list[str]:
    sent: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *args: sent.append(args[2]))
    return sent


def test_where_nothing_was_judged_nothing_is_asked(
    engine: Engine, now: datetime, statements: list[str]
) -> None:
    with write(engine) as db:
        statements.clear()
        assert scores.insert(db, [], received_at=now) == 0
        assert statements == []


def test_scores_of_many_calls_take_few_statements(
    engine: Engine, now: datetime, statements: list[str]
) -> None:
    calls = [a_call(n, response_id=f"answer-{n}") for n in range(1200)]
    mine = [a_score(trace_id=one.trace_id, span_id=one.span_id) for one in calls]
    assert insert(engine, now, *mine) == 1200
    with read(engine) as db:
        assert db.execute(select(func.count()).select_from(score)).scalar_one() == 1200
        statements.clear()
        assert len(scores.of_calls(db, calls)) == 1200
    assert len(statements) <= 10


@pytest.mark.parametrize("column", ["response_id", "session_id"])
def test_sqlite_looks_scores_up(sqlite_engine: Engine, column: str) -> None:
    query = f"SELECT * FROM score WHERE project = 'p' AND {column} IN ('a', 'b')"  # noqa: S608
    with read(sqlite_engine) as db:
        plan = str(db.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all())
    assert "USING INDEX score_" in plan
