from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.world import NOON, a_call, hex_id
from tidegauge.call import Call, NotCounted, Operation, UseCaseFrom
from tidegauge.member import root_name
from tidegauge.settle import settle
from tidegauge.whole_trace import MOST_TELLERS

OTEL, SDK = "opentelemetry.instrumentation.anthropic", "com.anthropic.sdk.python"


def span(seed: str, above: str | None = None, *, at_s: float = 0.0, **fields: Any) -> Call:
    """Return a span of one trace; ``at_s`` is when it starts."""
    usual: dict[str, Any] = {
        "trace_id": hex_id("one trace", 32),
        "parent_span_id": hex_id(("span", above), 16) if above else None,
        "started_at": NOON + timedelta(seconds=at_s),
        "use_case": "default",
        "library": OTEL,
    }
    return a_call(seed, **(usual | fields))


def wrapper(seed: str, above: str | None = None, **fields: Any) -> Call:
    told = {
        "operation": None,
        "not_counted": NotCounted.WRAPPER,
        "input_tokens": None,
        "output_tokens": None,
        "request_model": None,
        "response_model": None,
        "finish_reasons": (),
        "name": f"run {seed}",
    }
    return span(seed, above, **(told | fields))


def counted(*calls: Call) -> list[Call]:
    return [call for call in settle(calls) if call.not_counted is None]


def test_one_call_below_another_is_the_same_call_told_by_the_inner_one() -> None:
    outer = span("outer", library="dspy", output_tokens=None, input_tokens=None, max_tokens=50)
    inner = span("inner", "outer", at_s=0.1, duration_s=1.2, response_id="r1")

    (record,) = counted(outer, inner)
    assert (record.span_id, record.response_id, record.output_tokens) == (inner.span_id, "r1", 120)
    assert record.max_tokens == 50
    duplicate = next(call for call in settle([outer, inner]) if call.not_counted)
    assert duplicate.not_counted is NotCounted.DUPLICATE
    assert duplicate.duplicate_of == inner.trace_id + inner.span_id


def test_wrappers_between_two_spans_of_a_call_change_nothing() -> None:
    spans = [span("outer"), wrapper("step", "outer"), wrapper("run", "step"), span("inner", "run")]

    assert [call.span_id for call in counted(*spans)] == [spans[-1].span_id]


def test_a_span_above_two_calls_repeats_their_sum() -> None:
    total = span("sum", input_tokens=800, output_tokens=240)
    first, second = span("first", "sum"), span("second", "sum", at_s=2)

    assert {c.span_id for c in counted(total, first, second)} == {first.span_id, second.span_id}
    (dropped,) = (c for c in settle([total, first, second]) if c.not_counted)
    assert dropped.not_counted is NotCounted.AGGREGATE


def test_three_libraries_that_nest_tell_of_one_call() -> None:
    spans = [span("a", library="a"), span("b", "a", library="b"), span("c", "b", library="c")]

    assert [call.span_id for call in counted(*spans)] == [spans[2].span_id]


def test_embeddings_below_a_chat_are_a_call_of_their_own() -> None:
    chat, search = span("chat"), span("search", "chat", operation=Operation.EMBEDDINGS)

    assert len(counted(chat, search)) == 2


def test_an_answer_below_a_tool_that_differs_is_a_call_of_its_own() -> None:
    outer = span("outer", response_id="r1", output_tokens=5)
    inner = span("inner", "outer", response_id="r2", output_tokens=7)

    assert len(counted(outer, inner)) == 2


def test_siblings_of_two_libraries_with_one_answer_are_one_call() -> None:
    top = wrapper("top")
    ours = span("ours", "top", response_id="msg_1", duration_s=2.0)
    sdk = span("sdk", "top", at_s=0.1, response_id="msg_1", duration_s=1.7, library=SDK)

    assert [call.span_id for call in counted(top, ours, sdk)] == [sdk.span_id]


def test_the_same_answer_twice_from_one_library_is_a_cache_and_two_calls() -> None:
    top = wrapper("top")
    once, again = (span(name, "top", response_id="r") for name in ("once", "again"))

    assert len(counted(top, once, again)) == 2


def test_roots_of_two_traces_with_one_answer_are_one_call() -> None:
    ours = span("ours", response_id="msg_1", duration_s=2.0)
    sdk = span("sdk", response_id="msg_1", library=SDK, trace_id=hex_id("another", 32))

    assert [call.span_id for call in counted(ours, sdk)] == [sdk.span_id]


def test_roots_of_two_services_are_two_calls() -> None:
    other: dict[str, Any] = {"trace_id": hex_id("another", 32), "service": "other", "library": SDK}

    assert (
        len(counted(span("ours", response_id="r"), span("theirs", response_id="r", **other))) == 2
    )


def test_the_same_answer_at_another_time_is_another_call() -> None:
    later: dict[str, Any] = {"trace_id": hex_id("another", 32), "at_s": 60.0, "library": SDK}

    assert len(counted(span("ours", response_id="r"), span("later", response_id="r", **later))) == 2


def test_an_id_that_everything_bears_names_no_answer() -> None:
    top = wrapper("top")
    mocks = [
        span(f"mock{n}", "top", response_id="mock", library=f"library {n % 2}")
        for n in range(MOST_TELLERS + 1)
    ]

    assert len(counted(top, *mocks)) == len(mocks)


def test_a_failure_that_the_sdk_tells_too_is_one_call() -> None:
    failed: dict[str, Any] = {"error_type": "rate_limit", "response_id": None}
    ours = span("ours", duration_s=2.0, **failed)
    sdk = span(
        "sdk", at_s=0.2, library=SDK, trace_id=hex_id("another", 32), duration_s=1.0, **failed
    )

    assert [call.span_id for call in counted(ours, sdk)] == [sdk.span_id]


def test_failures_of_two_models_are_two_calls() -> None:
    failed: dict[str, Any] = {"error_type": "rate_limit", "response_id": None}
    ours = span("ours", duration_s=2.0, **failed)
    sdk = span("sdk", library=SDK, trace_id=hex_id("x", 32), request_model="claude", **failed)

    assert len(counted(ours, sdk)) == 2


def test_the_end_that_serves_tells_what_the_client_does_not_know() -> None:
    client = span("client", duration_s=3.0, time_to_first_token_s=None, service="shop", kind=3)
    server = span(
        "server",
        "client",
        at_s=0.2,
        duration_s=2.5,
        time_to_first_token_s=0.3,
        service="vllm",
        kind=2,
    )

    (record,) = counted(client, server)
    assert (record.span_id, record.service, record.duration_s) == (client.span_id, "shop", 3.0)
    assert record.time_to_first_token_s == 0.3


def test_a_retry_is_one_call_with_its_attempts() -> None:
    top = wrapper("top")
    failed = span("failed", "top", error_type="rate_limit", duration_s=0.5)
    good = span("good", "top", at_s=1.0)

    (record,) = counted(top, failed, good)
    assert (record.span_id, record.attempts, record.error_type) == (good.span_id, 2, None)
    attempt = next(c for c in settle([top, failed, good]) if c.span_id == failed.span_id)
    assert attempt.not_counted is NotCounted.ATTEMPT
    assert attempt.duplicate_of == good.trace_id + good.span_id


@pytest.mark.parametrize(
    "later",
    [
        {"request_model": "another"},
        {"input_checksum": "another"},
        {"at_s": 0.1},
        {"library": "another"},
    ],
    ids=["another model", "another question", "at the same time", "another library"],
)
def test_what_was_not_tried_again_is_a_failed_call(later: dict[str, Any]) -> None:
    failed = span("failed", "top", error_type="rate_limit", duration_s=0.5, input_checksum="q")
    again: dict[str, Any] = {"at_s": 1.0, "input_checksum": "q"} | later
    good = span("good", "top", **again)

    assert len(counted(wrapper("top"), failed, good)) == 2


def test_a_retry_seen_by_two_libraries_is_one_call() -> None:
    top, outer = wrapper("top"), span("outer", "top", library="outer", duration_s=3.0)
    failed = span("failed", "outer", error_type="overloaded", duration_s=0.5)
    good = span("good", "outer", at_s=1.0)

    (record,) = counted(top, outer, failed, good)
    assert (record.span_id, record.attempts) == (good.span_id, 2)


def test_the_nearest_span_above_names_the_use_case() -> None:
    root = wrapper("root", use_case="planner", use_case_from=UseCaseFrom.AGENT)
    step = wrapper("step", "root", use_case="writer", use_case_from=UseCaseFrom.AGENT)

    (record,) = counted(root, step, span("chat", "step"))
    assert (record.use_case, record.use_case_from) == ("writer", UseCaseFrom.PARENT)


@pytest.mark.parametrize(
    ("above", "own", "expected"),
    [
        (UseCaseFrom.SAID, UseCaseFrom.AGENT, "above"),
        (UseCaseFrom.SAID, UseCaseFrom.SAID, "own"),
        (UseCaseFrom.PROMPT, UseCaseFrom.AGENT, "above"),
        (UseCaseFrom.AGENT, UseCaseFrom.AGENT, "own"),
        (UseCaseFrom.AGENT, UseCaseFrom.PROMPT, "own"),
    ],
)
def test_what_is_said_outright_wins_then_prompts_then_agents(
    above: UseCaseFrom, own: UseCaseFrom, expected: str
) -> None:
    root = wrapper("root", use_case="above", use_case_from=above)

    (record,) = counted(root, span("chat", "root", use_case="own", use_case_from=own))
    assert record.use_case == expected


def test_without_any_name_the_root_gives_its_own_without_ids() -> None:
    root = wrapper("root", name="POST /users/4711/answer")

    (record,) = counted(root, span("chat", "root"))
    assert (record.use_case, record.use_case_from) == ("POST /users/*/answer", UseCaseFrom.ROOT)
    assert root_name("run 2f1c9a52-1111-2222-3333-444455556666") == "run *"


def test_a_call_that_is_a_root_has_no_use_case() -> None:
    (record,) = counted(span("chat"))
    assert (record.use_case, record.use_case_from) == ("default", None)


def test_session_and_user_come_from_above() -> None:
    root = wrapper("root", session_id="s1", user_id="u1")

    (record,) = counted(root, span("chat", "root", user_id="u2"))
    assert (record.session_id, record.user_id) == ("s1", "u2")


def test_spans_that_name_each_other_as_parents_are_calls() -> None:
    assert len(counted(span("a", "b"), span("b", "a"), span("c", "c"))) == 3


@given(st.permutations(range(9)))
def test_the_order_of_spans_does_not_matter(order: list[int]) -> None:
    failed: dict[str, Any] = {"error_type": "timeout", "duration_s": 0.3}
    spans = [
        wrapper("root", session_id="s", use_case="agent", use_case_from=UseCaseFrom.AGENT),
        span("sum", "root", library="framework"),
        span("first", "sum", response_id="r1"),
        span("sdk", "first", response_id="r1", library=SDK),
        span("failed", "sum", at_s=1.0, **failed),
        span("again", "sum", at_s=2.0),
        span("lone", at_s=3.0, response_id="r9", trace_id=hex_id("t2", 32)),
        span("twin", at_s=3.1, response_id="r9", library=SDK, trace_id=hex_id("t3", 32)),
        wrapper("tool", "first"),
    ]
    expected = {call.span_id: call for call in settle(spans)}

    assert {call.span_id: call for call in settle([spans[at] for at in order])} == expected
    assert sum(call.not_counted is None for call in expected.values()) == 3


def test_a_deep_trace_takes_little_time_and_memory() -> None:
    spans = [wrapper("0")] + [wrapper(str(n), str(n - 1)) for n in range(1, 5_000)]

    assert len(counted(*spans, span("chat", "4999"))) == 1


def test_many_attempts_are_one_call() -> None:
    failed: dict[str, Any] = {"error_type": "rate_limit", "duration_s": 0.5}
    tries = [span(f"try {n}", "top", at_s=float(n), **failed) for n in range(3_000)]

    (record,) = counted(wrapper("top"), *tries, span("good", "top", at_s=3_000.0))
    assert record.attempts == 3_001


def test_two_libraries_below_very_many_spans_still_tell_of_one_call() -> None:
    deep = [wrapper("0"), *(wrapper(str(n), str(n - 1)) for n in range(1, 200))]

    outer, inner = span("outer", "199", library="outer"), span("inner", "outer")
    assert [call.span_id for call in counted(*deep, outer, inner)] == [inner.span_id]


def test_of_two_traces_only_failures_are_joined_without_an_answer() -> None:
    ours = span("ours", response_id=None, duration_s=2.0)
    sdk = span("sdk", at_s=0.2, response_id="m", library=SDK, trace_id=hex_id("x", 32))

    assert len(counted(ours, sdk)) == 2


def test_failures_at_one_time_are_joined_to_the_nearest() -> None:
    failed: dict[str, Any] = {"error_type": "overloaded", "response_id": None}
    spans = []
    for n in range(5):
        at: dict[str, Any] = {
            "at_s": n * 0.1,
            "duration_s": 2.0 + n,
            "trace_id": hex_id(("outer", n), 32),
        }
        inner: dict[str, Any] = {"at_s": n * 0.1 + 0.01, "duration_s": 1.98 + n, "library": SDK}
        spans += [span(f"outer {n}", **at, **failed)]
        spans += [span(f"sdk {n}", **inner, trace_id=hex_id(("sdk", n), 32), **failed)]

    assert {call.library for call in counted(*spans)} == {SDK}
    assert len(counted(*spans)) == 5


def test_the_agent_of_a_span_stored_before_its_origin_was_kept_is_not_lost() -> None:
    outer = span("outer", "root", use_case="planner", library="outer")

    (record,) = counted(wrapper("root", name="GET /"), outer, span("inner", "outer"))
    assert record.use_case == "planner"


@pytest.mark.parametrize(("cached", "kept"), [(100, 100), (900, None)])
def test_a_part_that_another_span_tells_is_never_more_than_the_whole(
    cached: int, kept: int | None
) -> None:
    outer = span("outer", library="outer", input_tokens=1_000, cached_input_tokens=cached)

    (record,) = counted(outer, span("inner", "outer"))
    assert (record.input_tokens, record.cached_input_tokens) == (400, kept)
