from __future__ import annotations

import json

from collector.dialects import genai
from tests.collector.dialects.spans import a_raw_span, an_event

CHAT = {"gen_ai.operation.name": "chat"}


def test_new_names_win_over_old_ones_and_are_never_added() -> None:
    reading = genai.read(
        a_raw_span(
            {
                "gen_ai.usage.prompt_tokens": 10,
                "gen_ai.usage.input_tokens": 12,
                "gen_ai.usage.cache_creation.input_tokens": "3",
                "gen_ai.system": "aws",
                "gen_ai.provider.name": "aws.bedrock",
            }
        )
    )

    tokens = reading.facts.tokens
    assert (tokens.input, tokens.cache_write) == (12, 3)
    assert reading.facts.provider == "aws.bedrock"


def test_old_names_alone_are_read() -> None:
    reading = genai.read(
        a_raw_span(
            {
                "gen_ai.usage.prompt_tokens": 10,
                "gen_ai.usage.completion_tokens": 2,
                "gen_ai.openai.request.response_format": "json_schema",
            }
        )
    )

    assert (reading.facts.tokens.input, reading.facts.tokens.output) == (10, 2)
    assert reading.facts.output_type == "json"


def test_messages_are_read_from_one_event_each() -> None:
    choice = {"finish_reason": "max_tokens", "message": '{"content": "Ho"}'}
    events = (
        an_event("gen_ai.system.message", {"content": "Be brief."}),
        an_event("gen_ai.user.message", {"gen_ai.event.content": '{"content": "Hi"}'}),
        an_event("gen_ai.choice", choice),
    )

    reading = genai.read(a_raw_span(CHAT, events=events))

    assert reading.content.input == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert reading.content.output == [
        {"role": "assistant", "content": "Ho", "finish_reason": "max_tokens"}
    ]
    assert reading.finish == ("length",)


def test_messages_are_read_from_the_event_with_all_details() -> None:
    said = [{"role": "assistant", "parts": [{"type": "text", "content": "Ho"}]}]
    event = an_event(
        "gen_ai.client.inference.operation.details",
        {
            "gen_ai.input.messages": said,
            "gen_ai.output.messages": json.dumps([{**said[0], "finish_reason": "end_turn"}]),
        },
    )

    reading = genai.read(a_raw_span(CHAT, events=(event,)))

    assert reading.content.input == [{"role": "assistant", "content": "Ho"}]
    assert reading.finish == ("stop",)


def test_messages_of_1_26_are_read_from_an_event_for_each_side() -> None:
    events = (
        an_event("gen_ai.content.prompt", {"gen_ai.prompt": '[{"role":"user","content":"Hi"}]'}),
        an_event("gen_ai.content.completion", {"gen_ai.completion": "Ho"}),
    )

    content = genai.read(a_raw_span(CHAT, events=events)).content

    assert content.input == [{"role": "user", "content": "Hi"}]
    assert content.output == [{"role": "assistant", "content": "Ho"}]


def test_parts_become_text_tool_calls_and_reasoning() -> None:
    sent = [
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": "18"}]},
        {"role": "user", "parts": [{"type": "uri", "uri": "https://example.org/a.png"}]},
    ]
    answer = [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "hm"},
                {"type": "text", "content": "a"},
                {"type": "text", "content": "b"},
                {"type": "tool_call", "id": "d", "name": "f", "arguments": {"x": 1}},
            ],
        }
    ]
    attributes = {
        "gen_ai.input.messages": json.dumps(sent),
        "gen_ai.output.messages": answer,  # structured, where the SDK can
    }

    content = genai.read(a_raw_span(CHAT | attributes)).content

    assert content.input == [
        {"role": "tool", "content": "18", "tool_call_id": "c"},
        {
            "role": "user",
            "content": None,
            "parts": [{"type": "uri", "uri": "https://example.org/a.png"}],
        },
    ]
    assert content.output == [
        {
            "role": "assistant",
            "content": "a\nb",
            "reasoning": "hm",
            "tool_calls": [{"id": "d", "name": "f", "arguments": {"x": 1}}],
        }
    ]
