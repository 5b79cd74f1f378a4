from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pytest

from collector.dialects import normalise
from collector.dialects.assemble import BESIDE
from collector.enrich import enrich
from collector.otlp_logs import CHOICE, DETAILS, PROMPT
from collector.raw import RawSpan
from tests.collector import signals_corpus
from tidegauge.call import Call, Evidence, NotCounted, Operation
from tidegauge.log_event import EVALUATION, LogEvent

Events = dict[str, LogEvent]

SYSTEM = [{"type": "text", "content": "Be terse."}]
ASKED = [{"role": "user", "parts": [{"type": "text", "content": "Capital of France?"}]}]
SAID = [
    {
        "role": "assistant",
        "parts": [{"type": "text", "content": "Paris"}],
        "finish_reason": "length",
    }
]
TOOLS = [{"type": "function", "name": "lookup"}]
MESSAGES = {
    "gen_ai.system_instructions": SYSTEM,
    "gen_ai.input.messages": ASKED,
    "gen_ai.output.messages": SAID,
    "gen_ai.tool.definitions": TOOLS,
}


def span(**attributes: Any) -> Call:
    raw = RawSpan(
        trace_id="a" * 32,
        span_id="b" * 16,
        parent=None,
        name="chat",
        kind=3,
        start_ns=1_767_225_600_000_000_000,
        end_ns=1_767_225_601_000_000_000,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-4o-mini",
            **attributes,
        },
    )
    return normalise(raw, "p")


def event(name: str, time_ns: int = 1, body: Any = None, /, **attributes: Any) -> LogEvent:
    return LogEvent(
        project="p",
        trace_id="a" * 32,
        span_id="b" * 16,
        name=name,
        time_ns=time_ns,
        attributes=attributes,
        body=body,
    )


def enriched(call: Call, events: Mapping[str, LogEvent]) -> Call:
    found = enrich(call, events)
    assert found is not None
    return found


def through_the_store(call: Call) -> Call:
    """Return a call whose content was JSON in between, as it is when it is read again."""
    return replace(call, attributes=orjson.loads(orjson.dumps(call.attributes)))


def without_mark(call: Call) -> Call:
    beside = {k: v for k, v in call.attributes[BESIDE].items() if k != "joined"}
    return replace(call, attributes={**call.attributes, BESIDE: beside})


def test_a_span_with_events_is_as_if_it_had_said_it_all_itself() -> None:
    whole = span(**{"gen_ai.response.model": "gpt-4o-mini-2024-07-18", **MESSAGES})
    told = {"gen_ai.response.model": "gpt-4o-mini-2024-07-18", **MESSAGES}
    joined = enriched(span(), {"1": event(DETAILS, **told)})
    for name in (
        "input",
        "output",
        "finish_reasons",
        "truncated",
        "truncation_evidence",
        "response_model",
        "prompt_checksum",
        "input_checksum",
    ):
        assert getattr(joined, name) == getattr(whole, name) is not None, name
    assert joined.prompt_checksum is not None
    assert (joined.truncated, joined.truncation_evidence) == (True, Evidence.FINISH_REASON)


def test_a_message_each_is_the_same_as_all_of_them_at_once() -> None:
    messages = {
        "a": event("gen_ai.system.message", 1, {"content": "Be terse."}),
        "b": event("gen_ai.user.message", 2, {"content": "Capital of France?"}),
        "c": event(
            CHOICE, 3, {"index": 0, "finish_reason": "length", "message": {"content": "Paris"}}
        ),
    }
    once = {k: v for k, v in MESSAGES.items() if k != "gen_ai.tool.definitions"}
    assert without_mark(enriched(span(), messages)) == without_mark(
        enriched(span(), {"x": event(DETAILS, **once)})
    )


def test_what_the_span_said_stays() -> None:
    call = span(
        **{
            "gen_ai.response.model": "mine",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.output.messages": [{"role": "assistant", "content": "Lyon"}],
        }
    )
    joined = enriched(call, {"1": event(DETAILS, **{"gen_ai.response.model": "its"}, **MESSAGES)})
    assert joined.response_model == "mine"
    assert (joined.finish_reasons, joined.truncated) == (("stop",), False)
    assert joined.output == call.output
    assert joined.input[0]["content"] == "Be terse."  # this it had not said


def test_tokens_and_counts_never_come_from_an_event() -> None:
    told = {"gen_ai.usage.input_tokens": 7, "gen_ai.usage.output_tokens": 9, **MESSAGES}
    joined = enriched(span(), {"1": event(DETAILS, **told)})
    assert (joined.input_tokens, joined.output_tokens) == (None, None)


def test_a_finish_reason_outweighs_a_limit_that_was_reached() -> None:
    call = span(**{"gen_ai.request.max_tokens": 5, "gen_ai.usage.output_tokens": 5})
    assert call.truncation_evidence is Evidence.LIMIT_REACHED
    stopped = event(CHOICE, 3, {"finish_reason": "stop", "message": {"content": "Paris"}})
    joined = enriched(call, {"1": stopped})
    assert (joined.truncated, joined.truncation_evidence) == (False, Evidence.FINISH_REASON)


def test_an_unknown_reason_says_nothing_of_truncation() -> None:
    joined = enriched(span(), {"1": event(CHOICE, 3, {"finish_reason": "error", "message": "x"})})
    assert joined.finish_reasons == ("error",)
    assert joined.truncated is None


def test_the_two_sides_may_come_in_two_events() -> None:
    sides = {
        "z": event(DETAILS, 1, **{"gen_ai.input.messages": ASKED}),
        "a": event(DETAILS, 2, **{"gen_ai.output.messages": SAID}),
    }
    joined = enriched(span(), sides)
    assert joined.input[0]["content"] == "Capital of France?"
    assert joined.output[0]["content"] == "Paris"


def test_messages_stand_by_time_and_choices_by_index() -> None:
    choices = {
        "a": event(CHOICE, 5, {"index": 1, "message": {"content": "second"}}),
        "b": event(CHOICE, 5, {"index": 0, "message": {"content": "first"}}),
        "c": event("gen_ai.user.message", 5, {"content": "asked"}),
        "d": event("gen_ai.user.message", 2, {"content": "before"}),
    }
    joined = enriched(span(), choices)
    assert [one["content"] for one in joined.input] == ["before", "asked"]
    assert [one["content"] for one in joined.output] == ["first", "second"]


def test_a_body_may_be_json_in_a_text_and_a_prompt_may_name_its_role() -> None:
    joined = enriched(
        span(),
        {
            "1": event("gen_ai.user.message", 1, '{"content": "as text"}'),
            "2": event(PROMPT, 2, {"role": "tool", "content": "18 C"}),
            "3": event(PROMPT, 3, {"content": "no role"}),
            "4": event("gen_ai.user.message", 4, "bare"),
        },
    )
    assert joined.input == [
        {"role": "user", "content": "as text"},
        {"role": "tool", "content": "18 C"},
        {"role": "user", "content": "no role"},
        {"role": "user", "content": "bare"},
    ]


def test_a_model_that_only_the_event_names_gives_the_call_its_price() -> None:
    call = span(**{"gen_ai.usage.input_tokens": 1_000_000, "gen_ai.usage.output_tokens": 0})
    call = replace(call, request_model=None, cost_usd=None)
    joined = enriched(call, {"1": event(DETAILS, **{"gen_ai.response.model": "gpt-4o-mini"})})
    assert joined.model == "gpt-4o-mini"
    assert joined.cost_usd == Decimal("0.15")


@pytest.mark.parametrize("name", [EVALUATION, DETAILS])
def test_an_event_with_nothing_to_add_changes_nothing(name: str) -> None:
    call = span(**MESSAGES)
    assert enrich(call, {"1": event(name)}) == call


def test_a_wrapper_is_left_as_it_is() -> None:
    wrapper = Call(
        project="p",
        trace_id="a" * 32,
        span_id="b" * 16,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        duration_s=1,
        not_counted=NotCounted.WRAPPER,
    )
    assert enrich(wrapper, {"1": event(DETAILS, **MESSAGES)}) is wrapper


def test_nothing_is_added_once_an_earlier_event_is_forgotten() -> None:
    first = event("gen_ai.user.message", 1, {"content": "one"})
    later = event("gen_ai.user.message", 2, {"content": "two"})
    joined = through_the_store(enriched(span(), {"1": first}))
    assert enrich(joined, {"2": later}) is None
    both = enriched(joined, {"1": first, "2": later})
    assert [one["content"] for one in both.input] == ["one", "two"]


def test_an_application_cannot_write_what_was_there_before() -> None:
    forged = {"events": [], "before": {"input_tokens": "x", "no_such_field": 1}}
    call = span(**{"joined": forged, BESIDE: {"joined": forged}})
    joined = enriched(call, {"1": event(DETAILS, **MESSAGES)})
    assert joined.input_tokens is None
    assert joined.attributes["joined"] == forged  # an attribute like any other


def test_hostile_json_in_a_text_stays_text() -> None:
    bomb = "[" + "[]," * 600_000 + "[]]"
    joined = enriched(span(), {"1": event(DETAILS, **{"gen_ai.input.messages": bomb})})
    assert joined.input == [{"role": "user", "content": bomb}]


@pytest.mark.parametrize("case", signals_corpus.CASES)
def test_order_and_batches_do_not_matter(case: str) -> None:
    rng = random.Random(case)
    found = signals_corpus.by_span(signals_corpus.log_events(case))
    joined_any = False
    for call in signals_corpus.calls(case):
        events = found[call.trace_id, call.span_id]
        at_once = enriched(call, events)
        joined_any = joined_any or at_once != call
        for _ in range(20):
            ids = list(events)
            rng.shuffle(ids)
            step, known = call, dict[str, LogEvent]()
            while ids:
                some = [ids.pop() for _ in range(rng.randint(1, len(ids)))]
                known |= {one: events[one] for one in some}
                step = through_the_store(enriched(step, known))
            assert step == through_the_store(at_once)
    assert joined_any or case.startswith("otel-openai-v2-latest")


def test_real_messages_of_every_form_are_read() -> None:
    contents = {}
    for case in signals_corpus.CASES:
        found = signals_corpus.by_span(signals_corpus.log_events(case))
        last = signals_corpus.calls(case)[-1]
        joined = enriched(last, found[last.trace_id, last.span_id])
        assert not any("parts" in one for one in [*joined.input, *joined.output]), case
        contents[case] = joined.output[0]["content"]
    assert contents["otel-botocore-bedrock/converse_tools"].startswith("Paris is the capital")
    assert contents["google-adk/agent_tools"].startswith("Paris is the capital")
    assert contents["otel-openai-v2/chat_tools"].startswith("Paris is the capital")


def test_the_operation_is_the_spans_own() -> None:
    call = replace(span(), operation=Operation.TEXT_COMPLETION)
    joined = enriched(call, {"1": event(DETAILS, **MESSAGES)})
    assert joined.operation is Operation.TEXT_COMPLETION
