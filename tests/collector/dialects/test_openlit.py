from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from collector.dialects import openlit
from collector.dialects.names import named
from tests.collector.dialects.spans import a_raw_span, read
from tidegauge.call import Operation

SCOPE = "openlit.instrumentation.openai"
SAID = "Paris is the capital of France. It lies on the Seine."
CACHED = {
    "gen_ai.usage.cache_read.input_tokens": 0,
    "gen_ai.usage.cache_creation.input_tokens": 0,
}
CALL = {
    "telemetry.sdk.name": "openlit",
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.request.stream": True,
    "gen_ai.request.max_tokens": -1,
    "gen_ai.request.temperature": 1.0,
    "gen_ai.request.top_p": 1.0,
    "gen_ai.request.user": "",
    "gen_ai.output.type": "text",
    "gen_ai.server.time_to_first_token": 0.077,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": 29,
    "gen_ai.usage.output_tokens": 15,
    "gen_ai.usage.cost": 0.25,
}


def answer(**part: Any) -> dict[str, str]:
    told = {"role": "assistant", "parts": [part], "finish_reason": "stop"}
    return {"gen_ai.output.messages": json.dumps([told])}


def a_span(attributes: dict[str, Any], scope: str = SCOPE, **fields: Any) -> Any:
    return a_raw_span(attributes, scope_name=scope, **fields)


def test_defaults_that_nobody_set_are_not_known() -> None:
    reading = read(openlit, a_span(CALL))
    facts = reading.facts

    assert (facts.max_tokens, facts.temperature, facts.top_p) == (None, None, None)
    assert facts.output_type is None
    assert "user_id" not in reading.named


def test_parameters_that_somebody_set_are_known() -> None:
    asked = {
        "gen_ai.request.max_tokens": 20,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.top_p": 0.9,
    }

    facts = read(openlit, a_span(CALL | asked)).facts

    assert (facts.max_tokens, facts.temperature, facts.top_p) == (20, 0.0, 0.9)


def test_only_a_stream_has_a_first_token() -> None:
    whole = CALL | {"gen_ai.request.stream": False}

    assert read(openlit, a_span(CALL)).first_token_s == 0.077
    assert read(openlit, a_span(whole)).first_token_s is None


@pytest.mark.parametrize(
    ("said", "part", "reasons"),
    [
        ([""], {"type": "text", "content": "Ho"}, ()),
        (["completed"], {"type": "text", "content": "Ho"}, ("stop",)),
        (["completed"], {"type": "tool_call", "name": "f", "arguments": {}}, ("tool_call",)),
        (["incomplete"], {"type": "text", "content": "Ho"}, ("length",)),
        (["tool_calls"], {"type": "tool_call", "name": "f", "arguments": {}}, ("tool_call",)),
    ],
)
def test_a_status_is_read_as_a_reason_and_an_empty_one_as_none(
    said: list[str], part: dict[str, Any], reasons: tuple[str, ...]
) -> None:
    attributes = CALL | {"gen_ai.response.finish_reasons": said} | answer(**part)

    assert read(openlit, a_span(attributes)).finish == reasons


def test_of_several_choices_one_reason_is_told() -> None:
    attributes = CALL | {"gen_ai.request.choice.count": 2}

    assert read(openlit, a_span(attributes)).finish == ("stop", "unknown")


def test_tokens_that_are_half_the_characters_of_a_stream_are_its_own_estimate() -> None:
    attributes = CALL | {"gen_ai.usage.output_tokens": 27} | answer(type="text", content=SAID)

    facts = read(openlit, a_span(attributes)).facts

    assert (facts.tokens.estimated, facts.app_cost_usd) == (True, None)


@pytest.mark.parametrize(
    "told",
    [
        CACHED | {"gen_ai.usage.output_tokens": 27},
        {"gen_ai.usage.output_tokens": 15},
        {"gen_ai.usage.output_tokens": 27, "gen_ai.request.stream": False},
    ],
    ids=["cached tokens told", "another number", "no stream"],
)
def test_tokens_that_the_provider_told_are_no_estimate(told: dict[str, Any]) -> None:
    facts = read(openlit, a_span(CALL | answer(type="text", content=SAID) | told)).facts

    assert facts.tokens.estimated is False
    assert facts.app_cost_usd == Decimal("0.25")


def test_without_content_a_stream_that_tells_of_no_cached_tokens_is_estimated() -> None:
    assert read(openlit, a_span(CALL)).facts.tokens.estimated is True
    assert read(openlit, a_span(CALL | CACHED)).facts.tokens.estimated is False


@pytest.mark.parametrize(
    ("scope", "excludes"),
    [("anthropic", True), ("bedrock", True), ("openai", None), ("langchain", None)],
)
def test_the_clients_of_anthropic_and_bedrock_leave_out_cached_tokens(
    scope: str, excludes: bool | None
) -> None:
    raw = a_span(CALL, f"openlit.instrumentation.{scope}")

    assert read(openlit, raw).facts.tokens.excludes_cached is excludes


def test_a_failed_call_without_attributes_is_known_by_its_name() -> None:
    raw = a_span({}, "openlit.instrumentation.anthropic", name="chat claude-sonnet-4-5", status=2)

    reading = read(openlit, raw)

    assert reading.operation is Operation.CHAT
    assert (reading.facts.provider, reading.facts.request_model) == (
        "anthropic",
        "claude-sonnet-4-5",
    )


@pytest.mark.parametrize(
    ("attributes", "name"),
    [({"gen_ai.operation.name": "invoke_agent"}, "invoke_agent a"), ({}, "vectordb query")],
)
def test_agents_and_databases_are_no_calls(attributes: dict[str, Any], name: str) -> None:
    raw = a_span(attributes, name=name, status=2)

    assert openlit.normalise(raw, named(attributes)) is None


OLD_STREAM = {  # of 1.35
    "telemetry.sdk.name": "openlit",
    "gen_ai.operation.name": "chat",
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.request.is_stream": True,
    "gen_ai.server.time_to_first_token": 0.25,
    "gen_ai.usage.input_tokens": 21,
    "gen_ai.usage.output_tokens": 27,
    "gen_ai.completion": SAID,
}


def test_versions_before_1_36_name_a_stream_their_own_way() -> None:
    reading = read(openlit, a_span(OLD_STREAM, "openlit.otel.tracing"))

    assert (reading.facts.streaming, reading.first_token_s) == (True, 0.25)
    assert reading.facts.tokens.estimated


@pytest.mark.parametrize(("system", "estimated"), [("openai", True), ("anthropic", False)])
def test_anthropics_streams_tell_their_usage_always(system: str, estimated: bool) -> None:
    told = {key: value for key, value in OLD_STREAM.items() if key != "gen_ai.completion"}
    raw = a_span(told | {"gen_ai.system": system}, "openlit.otel.tracing")

    assert read(openlit, raw).facts.tokens.estimated is estimated
