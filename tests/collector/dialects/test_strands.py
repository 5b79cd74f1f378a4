from __future__ import annotations

import json
from typing import Any

import pytest

from collector.dialects import strands
from collector.dialects.names import named
from tests.collector.dialects.spans import a_raw_span, an_event, read

SCOPE = "strands.telemetry.tracer"
DETAILS = "gen_ai.client.inference.operation.details"
CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "strands-agents",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.prompt_tokens": 26,
    "gen_ai.usage.input_tokens": 26,
    "gen_ai.usage.completion_tokens": 15,
    "gen_ai.usage.output_tokens": 15,
    "gen_ai.server.time_to_first_token": 493,
}


def a_span(attributes: dict[str, Any], *events: Any) -> Any:
    return a_raw_span(attributes, events=events, scope_name=SCOPE, kind=1, status=1)


def blocks(*found: dict[str, Any]) -> str:
    return json.dumps(found)


def test_counts_that_are_sent_under_two_names_are_counted_once() -> None:
    tokens = read(strands, a_span(CALL)).facts.tokens

    assert (tokens.input, tokens.output) == (26, 15)


def test_every_answer_is_streamed_and_its_first_token_comes_in_milliseconds() -> None:
    reading = read(strands, a_span(CALL))

    assert (reading.first_token_s, reading.facts.streaming) == (0.493, True)


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o-mini", "openai"),
        ("claude-sonnet-4-5", "anthropic"),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "aws.bedrock"),
        ("gemini/gemini-2.5-flash", "gcp.gemini"),
        ("my-own", None),
    ],
)
@pytest.mark.parametrize("name", ["gen_ai.system", "gen_ai.provider.name"])
def test_the_provider_is_told_by_the_model_alone(
    name: str, model: str, provider: str | None
) -> None:
    attributes = CALL | {name: "strands-agents", "gen_ai.request.model": model}

    assert read(strands, a_span(attributes)).facts.provider == provider


def test_messages_are_events_in_the_form_of_bedrock() -> None:
    called = {"toolUseId": "c", "name": "f", "input": {"city": "Paris"}}
    given = {"toolUseId": "c", "status": "success", "content": [{"text": "18"}]}
    thought = {"reasoningText": {"text": "Hm"}}
    raw = a_span(
        CALL,
        an_event("gen_ai.system.message", {"content": blocks({"text": "Be terse."})}),
        an_event("gen_ai.user.message", {"content": blocks({"text": "Hi"})}),
        an_event("gen_ai.assistant.message", {"content": blocks({"toolUse": called})}),
        an_event("gen_ai.tool.message", {"content": blocks({"toolResult": given})}),
        an_event(
            "gen_ai.choice",
            {
                "finish_reason": "end_turn",
                "message": blocks({"reasoningContent": thought}, {"text": "Ho"}),
            },
        ),
    )

    reading = read(strands, raw)

    assert reading.content.input == [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "name": "f", "arguments": {"city": "Paris"}}],
        },
        {"role": "tool", "content": "18", "tool_call_id": "c"},
    ]
    assert reading.content.output == [{"role": "assistant", "content": "Ho", "reasoning": "Hm"}]
    assert reading.finish == ("stop",)


def test_the_new_form_tells_each_side_in_an_event_of_its_own() -> None:
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "Ho"}]}]
    sent = [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]
    raw = a_span(
        {**CALL, "gen_ai.provider.name": "strands-agents"},
        an_event(DETAILS, {"gen_ai.system_instructions": '[{"type": "text", "content": "Be"}]'}),
        an_event(DETAILS, {"gen_ai.input.messages": json.dumps(sent)}),
        an_event(
            DETAILS,
            {"gen_ai.output.messages": json.dumps([{**said[0], "finish_reason": "max_tokens"}])},
        ),
    )

    reading = read(strands, raw)

    assert [item["content"] for item in reading.content.input or ()] == ["Be", "Hi"]
    assert [item["content"] for item in reading.content.output or ()] == ["Ho"]
    assert reading.finish == ("length",)


@pytest.mark.parametrize("operation", ["invoke_agent", "execute_event_loop_cycle", "execute_tool"])
def test_agents_and_cycles_repeat_the_sum_and_are_no_calls(operation: str) -> None:
    attributes = CALL | {"gen_ai.operation.name": operation}

    assert strands.normalise(a_span(attributes), named(attributes)) is None
