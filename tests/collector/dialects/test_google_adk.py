from __future__ import annotations

import json
from typing import Any

import pytest

from collector.dialects import google_adk
from collector.dialects.names import named
from tests.collector.dialects.spans import a_raw_span, read
from tidegauge.call import Operation

SCOPE = "gcp.vertex.agent"
CALL = {
    "gen_ai.operation.name": "generate_content",
    "gen_ai.provider.name": "gcp.gemini",
    "gen_ai.request.model": "gemini-2.5-flash",
    "gen_ai.usage.input_tokens": 37,
    "gen_ai.usage.output_tokens": 79,
    "gen_ai.usage.reasoning.output_tokens": 64,
    "gen_ai.response.finish_reasons": ["max_tokens"],
}
REQUEST = {
    "model": "gemini-2.5-flash",
    "config": {
        "system_instruction": "Be terse.",
        "temperature": 0.2,
        "max_output_tokens": 20,
        "response_mime_type": "application/json",
        "tools": [{"function_declarations": [{"name": "f"}]}],
    },
    "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
}
RESPONSE = {
    "model_version": "gemini-2.5-flash-001",
    "content": {"role": "model", "parts": [{"text": "Ho"}]},
    "finish_reason": "MAX_TOKENS",
    "usage_metadata": {
        "prompt_token_count": 37,
        "candidates_token_count": 15,
        "thoughts_token_count": 64,
    },
}
SCHEMA_1 = {
    "gen_ai.system": "gcp.vertex.agent",
    "gen_ai.request.model": "gemini-2.5-flash",
    "gcp.vertex.agent.session_id": "s-7",
    "gcp.vertex.agent.llm_request": json.dumps(REQUEST),
    "gcp.vertex.agent.llm_response": json.dumps(RESPONSE),
}


def a_span(attributes: dict[str, Any], name: str = "call_llm") -> Any:
    return a_raw_span(attributes, name=name, scope_name=SCOPE, kind=1)


def test_schema_2_has_its_reasons_in_small_letters() -> None:
    reading = read(google_adk, a_span(CALL, "generate_content gemini-2.5-flash"))

    assert (reading.dialect, reading.finish) == ("google_adk", ("length",))
    assert (reading.facts.tokens.output, reading.facts.tokens.reasoning) == (79, 64)


def test_call_llm_of_schema_1_has_no_operation_and_is_a_call() -> None:
    reading = read(google_adk, a_span(SCHEMA_1))
    facts = reading.facts

    assert reading.operation is Operation.GENERATE_CONTENT
    assert (facts.provider, facts.response_model) == ("gcp.gemini", "gemini-2.5-flash-001")
    assert (facts.temperature, facts.max_tokens, facts.output_type) == (0.2, 20, "json")
    assert (reading.finish, reading.named["session_id"]) == (("length",), "s-7")


def test_schema_1_keeps_the_messages_in_the_form_of_gemini() -> None:
    content = read(google_adk, a_span(SCHEMA_1)).content

    assert content.input == [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "Hi"},
    ]
    assert content.output == [{"role": "assistant", "content": "Ho"}]
    assert content.tools == [{"name": "f"}]


def test_counts_of_google_alone_do_not_include_what_was_thought() -> None:
    tokens = read(google_adk, a_span(SCHEMA_1)).facts.tokens

    assert (tokens.input, tokens.output, tokens.reasoning) == (37, 15, 64)
    assert tokens.excludes_reasoning is True


def test_counts_of_the_kit_include_it() -> None:
    counts = {"gen_ai.usage.input_tokens": 37, "gen_ai.usage.output_tokens": 79}

    tokens = read(google_adk, a_span(SCHEMA_1 | counts)).facts.tokens

    assert (tokens.output, tokens.reasoning, tokens.excludes_reasoning) == (79, 64, None)


def test_content_that_is_not_to_be_sent_is_not_known() -> None:
    hidden = {"gcp.vertex.agent.llm_request": "{}", "gcp.vertex.agent.llm_response": "{}"}

    content = read(google_adk, a_span(SCHEMA_1 | hidden)).content

    assert (content.input, content.output) == (None, None)


def test_a_model_of_litellm_tells_its_provider() -> None:
    attributes = SCHEMA_1 | {"gen_ai.request.model": "openai/gpt-4o-mini"}

    facts = read(google_adk, a_span(attributes)).facts

    assert (facts.provider, facts.request_model) == ("openai", "gpt-4o-mini")


@pytest.mark.parametrize("operation", ["invoke_workflow", "invoke_agent", "execute_tool"])
def test_workflows_agents_and_tools_are_no_calls(operation: str) -> None:
    attributes = {"gen_ai.operation.name": operation}

    assert google_adk.normalise(a_span(attributes, operation), named(attributes)) is None
    assert google_adk.normalise(a_span({}, "invocation"), {}) is None


def test_the_schema_in_the_configuration_is_kept() -> None:
    config = {
        "response_mime_type": "application/json",
        "response_json_schema": {"type": "object"},
        "max_output_tokens": 9,
    }
    request = json.dumps({"model": "gemini-2.5-flash", "config": config})
    raw = a_span({"gcp.vertex.agent.llm_request": request})

    found = read(google_adk, raw).facts

    assert (found.request_model, found.output_type, found.max_tokens) == (
        "gemini-2.5-flash",
        "json",
        9,
    )
    assert found.schema == {"type": "json_schema", "schema": {"type": "object"}}
