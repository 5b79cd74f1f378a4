from __future__ import annotations

import json
from typing import Any

import pytest

from collector.dialects import openinference
from tests.collector.dialects.spans import a_raw_span

LLM = {"openinference.span.kind": "LLM", "llm.model_name": "m-2024"}


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        ({"choices": [{"finish_reason": "stop"}, {"finish_reason": "length"}]}, ("stop", "length")),
        ({"candidates": [{"finishReason": "MAX_TOKENS"}]}, ("length",)),
        ({"stop_reason": "refusal"}, ("content_filter",)),
        ({"object": "response", "status": "completed", "output": []}, ("stop",)),
        (
            {"object": "response", "status": "completed", "output": [{"type": "function_call"}]},
            ("tool_call",),
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            ("length",),
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            ("content_filter",),
        ),
        ({"status": "incomplete"}, ("unknown",)),
        ({"generations": [[{"generation_info": {"finish_reason": "stop"}}]]}, ("stop",)),
        ({}, ()),
    ],
)
def test_the_whole_answer_says_why_it_ended(
    answer: dict[str, Any], reasons: tuple[str, ...]
) -> None:
    raw = a_raw_span(LLM | {"output.value": json.dumps(answer)})

    assert openinference.read(raw).finish == reasons


def test_the_model_named_without_an_answer_is_the_one_asked_for() -> None:
    facts = openinference.read(a_raw_span(LLM, status=2)).facts

    assert (facts.request_model, facts.response_model) == ("m-2024", None)


def test_the_model_named_beside_an_answer_is_the_one_that_answered() -> None:
    asked = {"llm.invocation_parameters": '{"model": "m", "max_completion_tokens": 9}'}

    facts = openinference.read(a_raw_span(LLM | asked | {"output.value": "Ho"})).facts

    assert (facts.request_model, facts.response_model, facts.max_tokens) == ("m", "m-2024", 9)


@pytest.mark.parametrize(("said", "streaming"), [("true", True), ("false", None)])
def test_only_a_true_is_evidence_of_streaming(said: str, streaming: bool | None) -> None:
    asked = {"llm.invocation_parameters": f'{{"stream": {said}}}'}

    assert openinference.read(a_raw_span(LLM | asked)).facts.streaming is streaming


def test_embedded_texts_are_the_input_and_vectors_are_not_kept() -> None:
    vector = "embedding.embeddings.0.embedding.vector"
    attributes = {
        "openinference.span.kind": "EMBEDDING",
        "embedding.embeddings.0.embedding.text": "Paris",
        vector: [0.1, 0.2],
    }

    content = openinference.read(a_raw_span(attributes)).content

    assert content.input == [{"role": "user", "content": "Paris"}]
    assert vector in content.consumed


def test_parts_and_tool_calls_are_read_from_their_flattened_form() -> None:
    attributes = LLM | {
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.contents.0.message_content.type": "text",
        "llm.input_messages.0.message.contents.0.message_content.text": "Look",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "f",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": "{}",
    }

    content = openinference.read(a_raw_span(attributes)).content

    assert content.input == [{"role": "user", "content": "Look"}]
    assert content.output == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "name": "f", "arguments": "{}"}],
        }
    ]


def test_plain_input_and_output_are_taken_as_they_are() -> None:
    content = openinference.read(
        a_raw_span(LLM | {"input.value": "Hi", "output.value": "Ho"})
    ).content

    assert content.input == [{"role": "user", "content": "Hi"}]
    assert content.output == [{"role": "assistant", "content": "Ho"}]
