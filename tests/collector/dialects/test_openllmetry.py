from __future__ import annotations

from typing import Any

from collector.dialects import openllmetry
from collector.raw import RawEvent
from tests.collector.dialects.spans import NANO, a_raw_span

OLD = {
    "llm.request.type": "chat",
    "gen_ai.prompt.0.role": "system",
    "gen_ai.prompt.0.content": "Be brief.",
    "gen_ai.prompt.1.role": "user",
    "gen_ai.prompt.1.content": '[{"type": "text", "text": "Hi"}]',
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.finish_reason": "tool_calls",
    "gen_ai.completion.0.tool_calls.0.id": "c",
    "gen_ai.completion.0.tool_calls.0.name": "f",
    "gen_ai.completion.0.tool_calls.0.arguments": "{}",
    "llm.request.functions.0.name": "f",
    "llm.request.functions.0.parameters": '{"type": "object"}',
    "gen_ai.prompt.name": "kept apart",
}


def test_indexed_messages_and_functions_are_read() -> None:
    reading = openllmetry.read(a_raw_span(OLD))

    assert reading.content.input == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
    ]
    assert reading.content.output == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "name": "f", "arguments": "{}"}],
            "finish_reason": "tool_calls",
        }
    ]
    assert reading.content.tools == [{"name": "f", "parameters": {"type": "object"}}]
    assert reading.finish == ("tool_call",)
    assert "gen_ai.prompt.name" not in reading.content.consumed
    assert "gen_ai.prompt.0.role" in reading.content.consumed


def test_the_first_chunk_is_known_by_the_time_of_its_event() -> None:
    chunks = tuple(
        RawEvent("llm.content.completion.chunk", NANO + after, {}) for after in (250_000_000, 10**9)
    )

    reading = openllmetry.read(a_raw_span(OLD | {"llm.is_streaming": "True"}, events=chunks))

    assert (reading.facts.streaming, reading.first_token_s) == (True, 0.25)


def test_an_empty_finish_reason_says_nothing() -> None:
    answer = '[{"role": "assistant", "parts": [], "finish_reason": ""}]'

    assert openllmetry.read(a_raw_span({"gen_ai.output.messages": answer})).finish == ()


def test_an_empty_reason_does_not_hide_the_one_of_the_answer() -> None:
    sent: dict[str, Any] = {
        "llm.request.type": "chat",
        "gen_ai.response.finish_reasons": [""],
        "gen_ai.completion.0.content": "x",
        "gen_ai.completion.0.finish_reason": "length",
    }
    assert openllmetry.read(a_raw_span(sent)).finish == ("length",)
    sent["gen_ai.completion.0.finish_reason"] = ""
    assert openllmetry.read(a_raw_span(sent)).finish == ("unknown",)
