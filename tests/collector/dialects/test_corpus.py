"""Payloads of real libraries, each beside the truth of what the model server did."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import fields, replace
from datetime import datetime
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.corpus import archived
from bench.corpus_cases import Case, joined
from bench.corpus_score import Score, logical, pairs, score
from collector.dialects import normalise
from collector.joiner import join_due
from tidegauge.call import Call, NotCounted
from tidegauge.pricing import cost_usd
from tidegauge.settle import settle
from tidegauge.store import events, spans, traces
from tidegauge.store.engine import Engine, read, write

ARCHIVED = archived()
ALL = {case.name: case for read in ARCHIVED.values() for case in read}
SERVER = 2  # SpanKind
INSTRUMENTATIONS = sorted({case.instrumentation for case in ALL.values()})

_NO_SPANS = "this instrumentation writes no spans of model calls"
#: What we do not read of a case, and why: a field that a careful reading gets, ``calls`` where
#: they are not as many as there were, ``over`` where there are more tokens than were used.
EXCEPTIONS = {
    ("autogen/agent_err_429", "calls"): "only a call that ended well is told, in a log record",
    ("litellm/chat_fallback", "calls"): "of the two models that were tried only one has a span",
    ("openinference-google-genai/auto_function_calls", "calls"): "one span for two requests",
    ("otel-genai-agno/agent_err_429", "calls"): _NO_SPANS,
    ("otel-genai-agno/agent_two_calls", "calls"): _NO_SPANS,
    ("otel-genai-openai-agents/chat_err_500", "calls"): _NO_SPANS,
    ("otel-genai-openai-agents/responses_two_calls", "calls"): _NO_SPANS,
    ("otel-google-genai/generate_auto_function_calling", "calls"): "one span for two requests",
}


@cache
def scored(name: str) -> Score:
    return score(ALL[name])


@cache
def records(name: str) -> tuple[Call, ...]:
    return tuple(ALL[name].records())


def of(instrumentation: str) -> list[Case]:
    return [case for case in ALL.values() if case.instrumentation == instrumentation]


def calls(name: str) -> list[Call]:
    found = [call for call in records(name) if call.not_counted is None]
    return sorted(found, key=lambda call: call.started_at)


def only(name: str) -> Call:
    (call,) = calls(name)
    return call


def missed(case: Case) -> set[str]:
    """Return what is not read of a case: calls, tokens too many, fields below the reference."""
    if not case.readable:
        return set()
    found = scored(case.name)
    wrong = {"over"} if found.over else set()
    if found.right["calls"] != case.truth["inference_calls"]:
        return wrong | {"calls"}  # their fields are missed with them
    return wrong | {name for name, right in found.reference.items() if found.right[name] < right}


def excepted(instrumentation: str) -> set[tuple[str, str]]:
    return {one for one in EXCEPTIONS if one[0].partition("/")[0] == instrumentation}


def test_both_archives_are_there_whole() -> None:
    kinds = {name: {case.instrumentation for case in read} for name, read in ARCHIVED.items()}
    assert {name: len(read) for name, read in ARCHIVED.items()} == {
        "otlp_corpus": 496,
        "captured": 637,
    }
    assert [len(one) for one in kinds.values()] == [28, 50]
    assert kinds["otlp_corpus"].isdisjoint(kinds["captured"])


@pytest.mark.parametrize("instrumentation", INSTRUMENTATIONS)
def test_every_span_is_kept_and_read(instrumentation: str) -> None:
    for case in of(instrumentation):
        ids = [(span.trace_id, span.span_id) for span in case.raws()]
        assert sorted((one.trace_id, one.span_id) for one in records(case.name)) == sorted(ids)
        assert not any(one.not_counted is NotCounted.UNREADABLE for one in records(case.name))


@pytest.mark.parametrize("instrumentation", INSTRUMENTATIONS)
def test_every_call_is_found_once_but_those_excepted(instrumentation: str) -> None:
    wrong = {(case.name, "calls") for case in of(instrumentation) if "calls" in missed(case)}
    assert wrong == {one for one in excepted(instrumentation) if one[1] == "calls"}


@pytest.mark.parametrize("instrumentation", INSTRUMENTATIONS)
def test_no_more_calls_or_tokens_are_found_than_there_were(instrumentation: str) -> None:
    for case in of(instrumentation):
        true = case.truth["inference_calls"] if case.readable else len(calls(case.name))
        assert (case.name, len(calls(case.name))) <= (case.name, true)
        assert (case.name, scored(case.name).over) == (case.name, 0)


@pytest.mark.parametrize("instrumentation", INSTRUMENTATIONS)
def test_of_each_case_all_is_read_that_a_careful_reading_gets(instrumentation: str) -> None:
    below = {(case.name, name) for case in of(instrumentation) for name in missed(case)}
    # An exception that is none any more is to be taken from the list: both ways.
    assert below == excepted(instrumentation)


@pytest.mark.parametrize("instrumentation", INSTRUMENTATIONS)
def test_nothing_is_made_up(instrumentation: str) -> None:
    for case in of(instrumentation):
        # A model server knows when the first token was made, streamed or not.
        served = any(one.kind == SERVER and one.operation for one in records(case.name))
        for ours, true in pairs(calls(case.name), logical(case.truth)):
            if ours is not None:
                assert (case.name, _made_up(ours, true, served)) == (case.name, [])


def _made_up(ours: Call, true: dict[str, Any], served: bool) -> list[str]:
    """Return what a call claims that did not happen."""
    claims = {
        "streaming": bool(ours.streaming) and not true["stream"],
        "ttft": ours.time_to_first_token_s is not None and not (true["stream"] or served),
        "cached": (ours.cached_input_tokens or 0) > (true.get("cached_tokens") or 0),
        "written": (ours.cache_write_tokens or 0) > (true.get("cache_creation_tokens") or 0),
        "reasoning": (ours.reasoning_tokens or 0) > (true.get("reasoning_tokens") or 0),
    }
    return [name for name, made_up in claims.items() if made_up]


def test_every_exception_names_a_case_and_a_reason() -> None:
    assert {name for name, _ in EXCEPTIONS} - ALL.keys() == set()
    assert all(EXCEPTIONS.values())


@pytest.mark.parametrize("instrumentation", INSTRUMENTATIONS)
def test_wrappers_have_no_tokens_no_cost_and_no_operation(instrumentation: str) -> None:
    for case in of(instrumentation):
        for one in records(case.name):
            if one.not_counted is NotCounted.WRAPPER:
                assert (one.input_tokens, one.output_tokens, one.cost_usd) == (None, None, None)
                assert one.operation is None


def spans_of(case: Case) -> list[Call]:
    return [normalise(raw, "bench", cost_usd) for raw in case.raws()]


MANY = {name: [one for one in read if len(one.raws()) > 1] for name, read in ARCHIVED.items()}


@pytest.mark.parametrize("archive", ARCHIVED)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_records_do_not_depend_on_the_order_of_spans_and_events(
    archive: str, data: st.DataObject
) -> None:
    case = data.draw(st.sampled_from(MANY[archive]))
    shuffled = data.draw(st.permutations(spans_of(case)))
    told = data.draw(st.permutations(case.events()))
    found = {(one.trace_id, one.span_id): plain(one) for one in settle(joined(shuffled, told))}
    assert found == {(one.trace_id, one.span_id): plain(one) for one in records(case.name)}


def plain(call: Call) -> dict[str, Any]:
    """Return a record without its attributes: those say which log records were joined to it."""
    told = {one.name: getattr(call, one.name) for one in fields(Call)}
    del told["attributes"], told["project"]
    cost = call.cost_usd
    return told | {"cost_usd": None if cost is None else round(cost, 9)}


#: Two libraries at once, wrappers with sums, attempts, several traces, messages in logs, and
#: calls that are in logs alone.
THROUGH_THE_STORE = (
    "autogen/agent_two_calls",
    "google-adk/agent_tools",
    "google-adk-schema-v1/agent_two_calls",
    "haystack/agent_in_pipeline",
    "ms-agent-framework/agent_two_calls",
    "openinference-anthropic/anthropic_stream_cached",
    "openinference-llama-index/rag_query",
    "otel-openai-v2/chat_tools",
    "pydantic-ai/anthropic_cached",
    "pydantic-ai-1-v1-logs/agent_two_calls",
    "traceloop-anthropic/anthropic_tools",
    "traceloop-crewai/crew_two_agents",
    "vercel-ai-v5/generate_retry",
    "vercel-ai-v6/stream_tools",
    "vercel-ai-v7/generate_retry",
)


@pytest.mark.slow
@settings(
    max_examples=16,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_what_is_stored_does_not_depend_on_order_and_batches(
    engine: Engine, now: datetime, data: st.DataObject
) -> None:
    case = ALL[data.draw(st.sampled_from(THROUGH_THE_STORE))]
    project = uuid.uuid4().hex  # not drawn: the smallest one would be drawn twice
    calls = [replace(call, project=project) for call in spans_of(case)]
    told = [replace(event, project=project) for event in case.events()]
    left: list[Any] = data.draw(st.permutations([*calls, *told]))
    while left:
        size = data.draw(st.integers(1, len(left)))
        batch, left = left[:size], left[size:]
        with write(engine) as db:
            spans.insert(db, [one for one in batch if isinstance(one, Call)], received_at=now)
            events.insert(db, [one for one in batch if not isinstance(one, Call)], received_at=now)
        if data.draw(st.booleans()):
            join_due(engine, now)
        if data.draw(st.booleans()):
            traces.settle_due(engine)
    join_due(engine, now + 2 * events.LOOK_AGAIN)  # events that came before their span wait
    traces.settle_due(engine)
    with read(engine) as db:
        found = spans.calls(db, project, spans.Filter(all_spans=True))
    assert {(one.trace_id, one.span_id): plain(one) for one in found} == {
        (one.trace_id, one.span_id): plain(one) for one in records(case.name)
    }


@pytest.mark.parametrize(
    "name",
    [
        "otel-genai-openai/chat_basic",
        "openinference-openai/chat_basic",
        "traceloop-openai/chat_basic",
        "traceloop-openai-0.38/chat_basic",
    ],
)
def test_the_same_prompt_has_the_same_messages_and_checksums_in_every_dialect(name: str) -> None:
    told, other = only("otel-genai-openai/chat_basic"), only(name)

    assert other.input == told.input
    assert other.input_checksum == told.input_checksum
    assert other.prompt_checksum == told.prompt_checksum
    assert [item["content"] for item in other.output] == [item["content"] for item in told.output]


def test_parameters_and_identity_are_read() -> None:
    call = only("openinference-openai/chat_context_attributes")

    assert (call.temperature, call.top_p, call.max_tokens) == (0.2, 0.9, 200)
    assert call.stop_sequences == ("\n\n", "END")
    assert (call.session_id, call.user_id, call.prompt_version) == ("sess-7", "u-42", "v2.1")
    assert (call.service, call.service_version) == ("checkout-assistant", "1.4.2")
    assert (call.environment, call.provider) == ("staging", "openai")


def test_a_workflow_names_the_use_case() -> None:
    name = "traceloop-sdk/workflow_two_calls"

    # What the application says of a call outweighs the name of the workflow around it.
    assert {call.use_case for call in calls(name)} == {"faq"}
    assert {call.use_case for call in calls("traceloop-sdk/agent_tool")} == {"geo-agent"}
    kinds = Counter(one.not_counted for one in records(name))
    assert kinds == {None: 2, NotCounted.WRAPPER: 3}


def test_a_stream_that_the_client_closed_is_no_failure_of_the_provider() -> None:
    call = only("otel-genai-openai/chat_stream_abort")

    assert (call.error_type, call.finish_reasons) == (None, ("error",))
    assert call.truncated is not False  # its end was never seen


@pytest.mark.parametrize(
    ("name", "error", "status"),
    [
        ("otel-genai-openai/chat_err_429", "rate_limit", 429),
        ("openinference-openai/chat_err_500", "server", 500),
        ("openinference-langchain/err_429", "rate_limit", 429),
        ("traceloop-openai/chat_err_429", "rate_limit", 429),
        ("otel-openai-v2/chat_timeout", "timeout", None),
        ("anthropic-sdk-native/anthropic_err_529", "overloaded", 529),
    ],
)
def test_errors_have_one_name_in_every_dialect(name: str, error: str, status: int | None) -> None:
    call = only(name)

    assert (call.error_type, call.status_code) == (error, status)


def test_a_stream_without_a_reason_is_judged_by_its_limit() -> None:
    (call,) = spans_of(ALL["otel-openai-v2/chat_stream_length"])  # its logs would tell

    assert (call.finish_reasons, call.truncated) == ((), True)
    assert call.truncation_evidence == "limit_reached"


def test_the_pace_of_a_stream_is_known() -> None:
    call = only("otel-genai-openai/chat_stream")

    assert call.time_to_first_token_s is not None
    assert call.output_tokens is not None
    rest = call.duration_s - call.time_to_first_token_s
    assert call.time_per_output_token_s == pytest.approx(rest / (call.output_tokens - 1))


def test_tools_are_part_of_the_prompt_and_content_is_not_kept_twice() -> None:
    first, second = calls("openinference-openai/chat_tools")

    assert first.prompt_checksum == second.prompt_checksum
    assert first.input_checksum != second.input_checksum
    assert first.output[0]["tool_calls"][0]["name"] == "get_weather"
    assert not [key for key in first.attributes if key.startswith("llm.input_messages")]
