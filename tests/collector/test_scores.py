"""Judgements in traffic become scores of the call, whenever and over whatever trace they come."""

from __future__ import annotations

import timeit
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest

from bench.corpus_archive import folder
from collector import otlp_logs, scores
from collector.capture import Plan
from collector.event_capture import captured
from collector.intake import take_in
from collector.parcel import parcel_of
from collector.raw import RawEvent
from collector.sender import Sender
from tests.collector import signals_corpus
from tests.collector.dialects.spans import NANO, a_raw_span
from tests.world import a_call
from tidegauge.log_event import EVALUATION, LogEvent
from tidegauge.policy import Capture
from tidegauge.score import MOST, Score
from tidegauge.store import scores as store
from tidegauge.store import spans
from tidegauge.store.engine import Engine, open_engine, read, write
from tidegauge.store.rows import from_ns

CORPUS = folder() / "semconv-events-synthetic"
CASES = (
    "evaluation_log",
    "evaluation_error",
    "evaluation_by_response_id",
    "evaluation_span_event",
    "openinference_evaluations",
)
FULL = Plan()
HASH = Plan(Capture.HASH, salt=b"0123456789abcdef")
CALL = a_call(
    project="p",
    trace_id="a" * 32,
    span_id="b" * 16,
    started_at=from_ns(NANO),
    duration_s=2.0,
    response_id="answer-1",
    session_id="visit-7",
)
LLM_JUDGED = {
    "evaluations.0.evaluation.name": "tone",
    "evaluations.0.evaluation.score": "0.5",
    "evaluations.0.evaluation.annotator_kind": "LLM",
}


def body(file: str) -> bytes:
    return signals_corpus.body(f"semconv-events-synthetic/{file}")


def truth(case: str) -> list[tuple[str, float | None, str | None, str | None]]:
    meta = orjson.loads((CORPUS / f"{case}.meta.json").read_bytes())
    return sorted(
        (one["name"], one["score"], one.get("label"), one.get("error"))
        for one in meta["truth"]["evaluations"]
    )


def send_spans(engine: Engine, case: str, now: datetime) -> None:
    batch = take_in(
        body(f"{case}.traces-1.bin"),
        json=False,
        encoding=None,
        sender=Sender("p"),
        plan=Plan(),
        received_at=now,
    )
    parcel = parcel_of(batch)
    with write(engine) as db:
        spans.insert_each(db, parcel.rows, parcel.contents, received_at=now)
        store.insert(db, [one for some in parcel.scores for one in some], received_at=now)


def send_logs(engine: Engine, case: str, now: datetime) -> int:
    if not (CORPUS / f"{case}.logs-1.bin").exists():
        return 0
    groups = otlp_logs.read(body(f"{case}.logs-1.bin"), "p", json=False)
    kept = [captured(event, Plan()) for group in groups for event in group.kept]
    found = [scores.of_log(event, Plan(), now) for event in kept if event]
    with write(engine) as db:
        return store.insert(db, [store.values_of(one) for one in found if one], received_at=now)


def scored(engine: Engine) -> list[Score]:
    with read(engine) as db:
        (call,) = spans.calls(db, "p")
        return store.of_calls(db, [call]).get(call.trace_id + call.span_id, [])


def said(found: Sequence[Score]) -> list[tuple[str, float | None, str | None, str | None]]:
    return sorted((one.name, one.value, one.label, one.error_type) for one in found)


@pytest.mark.parametrize("logs_first", [True, False], ids=["logs first", "spans first"])
@pytest.mark.parametrize("case", CASES)
def test_the_corpus_s_judgements_are_scores_of_their_call(
    case: str, logs_first: bool, engine: Engine, now: datetime
) -> None:
    later = now + timedelta(minutes=20)
    for _ in range(2):  # sent again, nothing changes
        if logs_first:
            send_logs(engine, case, now)
            send_spans(engine, case, later)
        else:
            send_spans(engine, case, now)
            send_logs(engine, case, later)
    assert said(scored(engine)) == truth(case)


@pytest.mark.parametrize("case", CASES)
def test_they_are_there_once_they_are_acknowledged(
    case: str, client: httpx.Client, database: str
) -> None:
    sent = [f"{case}.{signal}-1.bin" for signal in ("logs", "traces")]
    headers = {"Content-Type": "application/x-protobuf"}
    engine = open_engine(database)
    for _ in range(2):
        for file in sent:
            if (CORPUS / file).exists():
                signal = "logs" if "logs" in file else "traces"
                answer = client.post(f"/v1/{signal}", content=body(file), headers=headers)
                assert (answer.status_code, answer.content) == (200, b"")
        with read(engine) as db:
            (call,) = [
                one for one in spans.calls(db, "default") if one.response_id == f"chatcmpl-{case}00"
            ]
            found = store.of_calls(db, [call])[call.trace_id + call.span_id]
        assert said(found) == truth(case)
    engine.dispose()


def of_span(
    attributes: dict[str, Any] | None = None, *events: RawEvent, plan: Plan = FULL
) -> tuple[Score, ...]:
    return scores.of_span(a_raw_span(attributes, events=events), CALL, plan)


def judged(**said: Any) -> dict[str, Any]:
    return {f"gen_ai.evaluation.{name.replace('_', '.')}": value for name, value in said.items()}


def test_an_annotation_says_who_judged_and_when() -> None:
    (one,) = of_span(LLM_JUDGED)
    assert (one.name, one.value, one.label, one.annotator) == ("tone", 0.5, None, "LLM")
    assert (one.source, one.response_id) == ("annotation", "answer-1")
    assert (one.trace_id, one.span_id) == ("a" * 32, "b" * 16)
    assert one.at.timestamp() == NANO / 1e9 + 2


def test_both_forms_of_one_result_are_one_score() -> None:
    twice = LLM_JUDGED | {
        key.replace("evaluation", "annotation").replace("0", "3"): value
        for key, value in LLM_JUDGED.items()
    }
    assert len({store.values_of(one)[3] for one in of_span(twice)}) == 1


def test_what_is_of_a_trace_or_a_session_is_kept_there() -> None:
    trace = {"trace.evaluations.0.evaluation.name": "solved", "trace.evaluations.0.label": "yes"}
    session = {"session.annotations.0.name": "csat", "session.annotations.0.score": 4}
    of_trace, of_session = of_span(trace | session)
    assert (of_trace.name, of_trace.label, of_trace.trace_id) == ("solved", "yes", "a" * 32)
    assert (of_trace.span_id, of_trace.response_id, of_trace.session_id) == ("", None, None)
    assert (of_session.name, of_session.value, of_session.session_id) == ("csat", 4.0, "visit-7")
    assert (of_session.trace_id, of_session.span_id, of_session.response_id) == ("", "", None)


@pytest.mark.parametrize(
    "attributes",
    [
        {"evaluations.0.evaluation.name": 7, "evaluations.0.evaluation.score": 1},
        {"evaluations.0.evaluation.name": "tone"},
        {"evaluations.0.evaluation.name": "tone", "evaluations.0.evaluation.score": [1]},
        {"evaluations.0.evaluation.name": "", "evaluations..evaluation.score": 1},
        {"annotations.0.annotation.name": {"x": 1}, "annotations.0": 3, "evaluations": 4},
    ],
)
def test_what_does_not_say_what_was_judged_or_how_is_no_score(attributes: dict[str, Any]) -> None:
    assert of_span(attributes) == ()


def test_an_explanation_alone_says_that_it_was_judged_and_is_not_kept_here() -> None:
    (one,) = of_span(
        {"evaluations.0.evaluation.name": "tone", "evaluations.0.evaluation.explanation": "why"}
    )
    assert (one.value, one.label) == (None, None)
    assert "why" not in str(store.values_of(one))


def test_names_and_labels_are_bounded_and_without_secrets() -> None:
    key = "sk-" + "a1B2c3D4e5F6g7H8" * 2
    long = {"evaluations.0.evaluation.name": "n" * 999, "evaluations.0.evaluation.label": key}
    (one,) = of_span(long)
    assert (one.name, one.label) == ("n" * 200, "[redacted]")
    assert of_span(long, plan=HASH) == ()  # a text that long is content
    short = {**long, "evaluations.0.evaluation.name": "tone"}
    (one,) = of_span(short, plan=HASH)
    assert (one.name, one.label) == ("tone", "[redacted]")


def test_a_nul_in_json_s_quotes_does_not_reach_the_database(engine: Engine, now: datetime) -> None:
    (one,) = of_span({**LLM_JUDGED, "evaluations.0.evaluation.label": '"a\\u0000b"'})
    with write(engine) as db:
        assert store.insert(db, [store.values_of(one)], received_at=now) == 1


def test_a_span_has_at_most_a_hundred() -> None:
    many: dict[str, Any] = {f"evaluations.{n}.evaluation.name": f"name {n}" for n in range(300)}
    many |= {f"evaluations.{n}.evaluation.score": n for n in range(300)}
    assert len(of_span(many)) == MOST


def test_an_event_on_a_judge_s_own_span_is_of_the_response_that_it_names() -> None:
    told = judged(name="Relevance", score_value=1) | {"gen_ai.response.id": "answer-0"}
    (one,) = of_span(None, RawEvent(EVALUATION, NANO, told))
    assert (one.response_id, one.source) == ("answer-0", "event")


def an_evaluation(**fields: Any) -> LogEvent:
    return LogEvent(project="p", name=EVALUATION, **{"time_ns": NANO, **fields})


def test_an_evaluation_of_nothing_known_is_no_score(now: datetime) -> None:
    told = judged(name="Relevance", score_label="good")
    assert scores.of_log(an_evaluation(attributes=told), Plan(), now) is None
    assert (
        scores.of_log(LogEvent(project="p", name="gen_ai.choice", time_ns=1), Plan(), now) is None
    )


def test_an_evaluation_may_stand_in_the_body_and_have_no_time(now: datetime) -> None:
    told = judged(name="Relevance", score_value=2) | {"gen_ai.response.id": "answer-1"}
    one = scores.of_log(an_evaluation(body=told, time_ns=0), Plan(), now)
    assert one is not None
    assert (one.value, one.response_id, one.at) == (2.0, "answer-1", now)


def test_a_span_without_judgements_costs_next_to_nothing() -> None:
    attributes = {f"gen_ai.input.messages.{n}": n for n in range(60)}
    raw = a_raw_span(attributes, events=[RawEvent("exception", NANO, {})])
    best = min(timeit.repeat(lambda: scores.of_span(raw, CALL, Plan()), number=1000, repeat=5))
    assert best / 1000 < 10e-6  # seconds; 1 us here
