from __future__ import annotations

from typing import Any

import pytest

from collector.dialects.bodies import (
    answered,
    asked,
    consumed,
    cut_if_incomplete,
    ended,
    id_of,
    model_of,
)

CALL = {"id": "c", "name": "f", "arguments": "{}"}


@pytest.mark.parametrize(
    ("body", "messages"),
    [
        ("Hi", [{"role": "user", "content": "Hi"}]),
        ({"prompt": "Hi"}, [{"role": "user", "content": "Hi"}]),
        ({"input": ["a", "b"]}, [{"role": "user", "content": text} for text in "ab"]),
        (
            {"instructions": "S", "input": "Hi"},
            [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}],
        ),
        (
            {"system": [{"type": "text", "text": "S"}], "messages": [{"role": "user", "content": "Hi"}]},
            [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}],
        ),
        (
            {
                "systemInstruction": {"parts": [{"text": "S"}]},
                "contents": [{"role": "model", "parts": [{"text": "Ho"}]}],
            },
            [{"role": "system", "content": "S"}, {"role": "assistant", "content": "Ho"}],
        ),
        (
            {"input": [{"type": "function_call_output", "call_id": "c", "output": "18"}]},
            [{"role": "tool", "content": "18", "tool_call_id": "c"}],
        ),
        ({"role": "user", "content": "Hi"}, [{"role": "user", "content": "Hi"}]),
        ({"dimensions": 8}, None),
        (None, None),
    ],
)  # fmt: skip
def test_the_request_of_every_provider_becomes_messages(body: Any, messages: Any) -> None:
    assert asked(body) == messages


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"content": "Ho"}}]},
        {"choices": [{"text": "Ho"}]},
        {"content": [{"type": "text", "text": "Ho"}], "role": "assistant"},
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "Ho"}]}}]},
        {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Ho"}]}]},
        {"generations": [[{"text": "Ho"}]]},
        {"lc": 1, "kwargs": {"type": "ai", "content": "Ho"}},
        {"message": {"content": "Ho"}},
        "Ho",
    ],
)
def test_the_answer_of_every_provider_becomes_a_message(body: Any) -> None:
    assert answered(body) == [{"role": "assistant", "content": "Ho"}]


@pytest.mark.parametrize(
    "body",
    [
        {"choices": [{"message": {"tool_calls": [{"id": "c", "function": CALL}]}}]},
        {"output": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]},
        {"content": [{"type": "tool_use", "id": "c", "name": "f", "input": "{}"}]},
        {"lc": 1, "kwargs": {"type": "ai", "tool_calls": [{"id": "c", "name": "f", "args": "{}"}]}},
    ],
)
def test_the_tool_calls_of_every_provider_are_alike(body: Any) -> None:
    said = answered(body)

    assert said is not None
    assert said[0]["tool_calls"] == [CALL]


def test_the_items_of_responses_are_one_answer() -> None:
    items = [
        {"type": "reasoning", "summary": [{"text": "Hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "Ho"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
    ]

    assert answered({"output": items}) == [
        {"role": "assistant", "content": "Ho", "tool_calls": [CALL], "reasoning": "Hm"}
    ]


@pytest.mark.parametrize("body", [None, {}, {"choices": []}, '"<openai.Stream object at 0x7f>"'])
def test_what_is_no_answer_is_none(body: Any) -> None:
    assert answered(body) is None


@pytest.mark.parametrize(
    ("body", "reasons"),
    [
        ({"choices": [{"finish_reason": "stop"}, {"finish_reason": "length"}]}, ("stop", "length")),
        ({"stop_reason": "max_tokens"}, ("length",)),
        ({"stopReason": "end_turn"}, ("stop",)),
        ({"status": "incomplete"}, ("length",)),
        ({"output": [{"type": "message", "status": "completed"}]}, ("stop",)),
        ({"status": "completed", "output": [{"type": "function_call"}]}, ("tool_call",)),
        ({"status": "failed", "object": "response"}, ("error",)),
        ({"response_metadata": {"stop_reason": "max_tokens"}}, ("length",)),
        ({"role": "assistant", "content": "Ho"}, ()),
        ("stop", ()),
    ],
)
def test_why_the_model_stopped_is_told_by_every_provider(
    body: Any, reasons: tuple[str, ...]
) -> None:
    assert ended(body) == reasons


def test_a_mere_status_is_read_as_a_reason_and_every_other_word_stays() -> None:
    assert cut_if_incomplete('["incomplete"]') == ["length"]
    assert cut_if_incomplete(["stop"]) == ["stop"]


def test_a_response_names_its_model_and_its_id() -> None:
    assert (model_of({"modelVersion": "m"}), id_of({"responseId": "r"})) == ("m", "r")
    assert (model_of({"model": 7}), id_of([])) == (None, None)


def test_only_what_was_read_is_taken_out_of_the_attributes() -> None:
    assert consumed("in", [], "out", None) == {"in"}
    assert consumed("in", None, "out", [{}]) == {"out"}
