from __future__ import annotations

import json
from typing import Any

import pytest

from collector.dialects import pydantic_ai
from collector.dialects.names import named
from tests.collector.dialects.spans import a_raw_span, read
from tidegauge.call import Operation

CALL = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 40,
    "gen_ai.usage.output_tokens": 19,
    "logfire.json_schema": '{"type": "object"}',
}
SCHEMA = {"type": "object", "required": ["city"]}


def a_span(attributes: dict[str, Any], name: str = "chat gpt-4o-mini") -> Any:
    return a_raw_span(attributes, name=name, scope_name="pydantic-ai")


def parameters(**told: Any) -> dict[str, str]:
    return {"model_request_parameters": json.dumps(told, separators=(",", ":"))}


def answer(part: dict[str, Any]) -> dict[str, str]:
    said = {"role": "assistant", "parts": [part], "finish_reason": "tool_call"}
    return {"gen_ai.output.messages": json.dumps([said])}


def test_the_output_tool_is_a_structured_answer_with_its_schema() -> None:
    tool = {"name": "final_result", "parameters_json_schema": SCHEMA}
    asked = parameters(output_mode="tool", output_object=None, output_tools=[tool])

    reading = read(pydantic_ai, a_span(CALL | asked))

    assert (reading.facts.output_type, reading.schema) == ("json", SCHEMA)


def test_a_native_output_has_its_schema_elsewhere() -> None:
    asked = parameters(output_mode="native", output_object={"json_schema": SCHEMA})

    reading = read(pydantic_ai, a_span(CALL | asked))

    assert (reading.facts.output_type, reading.schema) == ("json", SCHEMA)


def test_text_is_text() -> None:
    reading = read(pydantic_ai, a_span(CALL | parameters(output_mode="text", output_tools=[])))

    assert (reading.facts.output_type, reading.schema) == ("text", None)


def test_without_parameters_the_called_tool_tells_the_form() -> None:
    part = {"type": "tool_call", "id": "c", "name": "final_result", "arguments": "{}"}

    reading = read(pydantic_ai, a_span(CALL | answer(part)))

    assert (reading.facts.output_type, reading.finish) == ("json", ("tool_call",))


def test_details_of_older_versions_are_counted() -> None:
    details = {
        "gen_ai.usage.details.cached_tokens": 16,
        "gen_ai.usage.details.reasoning_tokens": 64,
    }

    tokens = read(pydantic_ai, a_span(CALL | details)).facts.tokens

    assert (tokens.cache_read, tokens.reasoning) == (16, 64)


def test_the_messages_of_version_1_are_one_list_of_events() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    events = [
        {"event.name": "gen_ai.system.message", "role": "system", "content": "Be terse."},
        {"event.name": "gen_ai.user.message", "role": "user", "content": "Hi"},
        {"event.name": "gen_ai.tool.message", "role": "tool", "id": "c", "content": "18"},
        {
            "event.name": "gen_ai.choice",
            "index": 0,
            "message": {"role": "assistant", "content": "Ho", "tool_calls": [call]},
        },
    ]

    content = read(pydantic_ai, a_span(CALL | {"events": json.dumps(events)})).content

    assert content.input == [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "Hi"},
        {"role": "tool", "content": "18", "tool_call_id": "c"},
    ]
    assert content.output == [
        {
            "role": "assistant",
            "content": "Ho",
            "tool_calls": [{"id": "c", "name": "f", "arguments": "{}"}],
        }
    ]


def test_the_texts_of_embeddings_are_the_input() -> None:
    attributes = CALL | {"gen_ai.operation.name": "embeddings", "inputs": '["Paris", "Rome"]'}

    content = read(pydantic_ai, a_span(attributes)).content

    assert [item["content"] for item in content.input or ()] == ["Paris", "Rome"]


@pytest.mark.parametrize("kind", ["pending_span", "log"])
def test_spans_beside_the_span_of_a_call_are_no_calls(kind: str) -> None:
    attributes = CALL | {"logfire.span_type": kind}

    assert pydantic_ai.normalise(a_span(attributes), named(attributes)) is None


@pytest.mark.parametrize(
    ("attributes", "name"),
    [
        (CALL | {"gen_ai.operation.name": "invoke_agent"}, "invoke_agent geo"),
        ({"gen_ai.usage.input_tokens": 40, "model_name": "m", "agent_name": "a"}, "agent run"),
    ],
)
def test_agents_that_repeat_the_sum_are_no_calls(attributes: dict[str, Any], name: str) -> None:
    assert pydantic_ai.normalise(a_span(attributes, name), named(attributes)) is None


def test_older_clients_of_logfire_name_the_operation_in_the_span_alone() -> None:
    request = {"model": "m", "stream": False, "messages": [{"role": "user", "content": "Hi"}]}
    response = {
        "message": {"role": "assistant", "content": "Ho"},
        "usage": {"prompt_tokens": 9, "completion_tokens": 3},
    }
    attributes = {
        "gen_ai.request.model": "m",
        "request_data": json.dumps(request | {"max_tokens": 20}),
        "response_data": json.dumps(response),
        "logfire.span_type": "span",
    }

    reading = read(pydantic_ai, a_span(attributes, "Chat Completion with 'm'"))

    assert reading.operation is Operation.CHAT
    assert (reading.facts.tokens.input, reading.facts.tokens.output) == (9, 3)
    assert reading.facts.max_tokens == 20
    assert reading.content.input == [{"role": "user", "content": "Hi"}]
    assert reading.content.output == [{"role": "assistant", "content": "Ho"}]
