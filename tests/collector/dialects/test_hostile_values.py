"""Whatever type a value has and whatever JSON it holds: a reading, or none, and never an error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from collector.dialects import DIALECTS, Dialect
from collector.dialects.names import TABLE, named
from collector.raw import RawSpan
from tests.collector.dialects.spans import a_raw_span, an_event

VALUES: list[Any] = [
    None,
    True,
    -1,
    3.5,
    2**63 - 1,
    "",
    "none",
    "[",
    "{}",
    "[null]",
    '"x"',
    "(1,",
    [],
    [1],
    [None],
    [{}],
    {},
    {"a": {}},
    ["x", {"y": 1}],
    '{"choices": 1, "usage": 2, "id": {}, "model": [], "status": [], "output": [1]}',
    '{"generations": [[[]]], "llm_output": 3}',
    '{"generations": {"a": 1}}',
    '{"generations": [[{"message": {"kwargs": 3}, "type": 3, "generation_info": []}]]}',
    '{"candidates": [1], "usageMetadata": 4}',
    '{"config": 3, "contents": 4, "content": [1], "usage_metadata": []}',
    '{"config": {"tools": [1, {"function_declarations": [1]}], "system_instruction": 3}}',
    '[1, null, {"message": 3, "event.name": "gen_ai.choice"}, {"event.name": 3, "tool_calls": 7}]',
    '{"output_mode":"tool","output_tools":3}',
    '{"message": {"tool_calls": 3, "content": {}}, "usage": []}',
    '{"temperature": {}, "stop": {"a": 1}, "response_format": {"type": []}, "num_output": "x"}',
    '[{"toolUse": 3}, {"toolResult": {"content": 3}}, {"reasoningContent": 3}, 7]',
    '[{"role": ["x"], "parts": 3, "finish_reason": 3, "content": [1]}]',
]
KINDS = {"openinference.span.kind": "LLM", "gen_ai.operation.name": "chat"}
NAMES = (
    *(name for name in TABLE if name not in KINDS),
    "input.value",
    "output.value",
    "metadata",
    "llm.tools",
    "llm.model_name",
    "llm.invocation_parameters",
    "llm.finish_reason",
    "llm.input_messages.0",
    "llm.input_messages.0.message",
    "llm.input_messages.1.message.role",
    "llm.input_messages.1.message.contents.0",
    "llm.output_messages.0.message.content",
    "llm.output_messages.0.message.tool_calls",
    "llm.output_messages.0.message.tool_calls.0.tool_call",
    "llm.tools.0.tool",
    "embedding.embeddings.0",
    "gcp.vertex.agent.llm_request",
    "gcp.vertex.agent.llm_response",
    "events",
    "inputs",
    "request_data",
    "response_data",
    "model_request_parameters",
    "logfire.span_type",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.response.finish_reasons",
    "gen_ai.server.time_to_first_token",
    "telemetry.sdk.name",
    "gen_ai.prompt",
    "gen_ai.completion",
)
EVENTS = {
    "gen_ai.choice": ("message", "finish_reason", "gen_ai.event.content"),
    "gen_ai.user.message": ("content", "gen_ai.event.content"),
    "gen_ai.client.inference.operation.details": (
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.system_instructions",
    ),
}
SPANS = ("chat m", "call_llm", "m.llm_call", "Chat Completion with 'm'")


def scopes_of(dialect: Dialect) -> tuple[str, ...]:
    return dialect.SCOPES or ("",)


def hostile(name: str, scope: str, attributes: dict[str, Any], value: Any) -> RawSpan:
    """Return a span of which all events hold a value."""
    events = tuple(an_event(event, dict.fromkeys(keys, value)) for event, keys in EVENTS.items())
    return a_raw_span(attributes, name=name, scope_name=scope, events=events, status=2)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.NAME)
def test_no_value_of_any_attribute_makes_a_dialect_fail(dialect: Dialect) -> None:
    for scope in scopes_of(dialect):
        for value in VALUES:
            everywhere = hostile(SPANS[0], scope, dict.fromkeys(NAMES, value) | KINDS, value)
            for name in SPANS:
                raw = replace(everywhere, name=name)
                dialect.fits(raw)
                dialect.normalise(raw, named(raw.attributes))


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.NAME)
def test_no_single_value_among_plain_ones_makes_a_dialect_fail(dialect: Dialect) -> None:
    plain = KINDS | {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 9}
    scope = scopes_of(dialect)[0]
    for name in NAMES:
        for value in VALUES:
            raw = a_raw_span({**plain, name: value}, scope_name=scope)
            dialect.fits(raw)
            dialect.normalise(raw, named(raw.attributes))
