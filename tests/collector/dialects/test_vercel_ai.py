from __future__ import annotations

import json
from typing import Any

import pytest

from collector.dialects import vercel_ai
from collector.dialects.names import named
from tests.collector.dialects.hostile import survives
from tests.collector.dialects.spans import NANO, a_raw_span, an_event, read
from tidegauge.call import Operation

INNER: dict[str, Any] = {
    "ai.operationId": "ai.generateText.doGenerate",
    "ai.model.provider": "openai.chat",
    "ai.model.id": "gpt-4o-mini",
    "ai.prompt.messages": json.dumps(
        [
            {"role": "system", "content": "Be terse."},
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool-call", "toolCallId": "c", "toolName": "f", "input": {"a": 1}}
                ],
            },
            {
                "role": "tool",
                "content": [
                    {
                        "type": "tool-result",
                        "toolCallId": "c",
                        "output": {"type": "json", "value": {"t": 18}},
                    }
                ],
            },
        ]
    ),
    "ai.prompt.tools": ['{"type":"function","name":"f"}'],
    "ai.response.text": "18 degrees.",
    "ai.response.toolCalls": '[{"toolCallId":"d","toolName":"g","input":"{}"}]',
    "ai.response.finishReason": "tool-calls",
    "ai.response.providerMetadata": '{"openai":{"cachedPromptTokens":4,"reasoningTokens":2}}',
    "ai.usage.promptTokens": 9,
    "ai.usage.completionTokens": 5,
}


def with_metadata(metadata: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return INNER | {"ai.response.providerMetadata": json.dumps(metadata)} | attributes


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ("ai.streamText.doStream", Operation.CHAT),
        ("ai.generateObject.doGenerate", Operation.CHAT),
        ("ai.embedMany.doEmbed", Operation.EMBEDDINGS),
        ("ai.rerank.doRerank", Operation.RERANK),
    ],
)
def test_the_inner_span_is_the_call(kind: str, operation: Operation) -> None:
    assert read(vercel_ai, a_raw_span(INNER | {"ai.operationId": kind})).operation is operation


@pytest.mark.parametrize("kind", ["ai.generateText", "ai.streamText", "ai.toolCall", "ai.embed"])
def test_the_outer_span_repeats_the_sum_and_is_no_call(kind: str) -> None:
    raw = a_raw_span({"ai.operationId": kind, "ai.usage.inputTokens": 9})

    assert vercel_ai.fits(raw)
    assert vercel_ai.normalise(raw, named(raw.attributes)) is None


def test_messages_tools_and_calls_are_read() -> None:
    content = read(vercel_ai, a_raw_span(INNER)).content

    assert content.input is not None
    assert [item["role"] for item in content.input] == ["system", "user", "assistant", "tool"]
    assert content.input[1]["content"] == "Weather?"
    assert content.input[2]["tool_calls"] == [{"id": "c", "name": "f", "arguments": {"a": 1}}]
    assert content.input[3]["tool_call_id"] == "c"
    assert content.output == [
        {
            "role": "assistant",
            "content": "18 degrees.",
            "tool_calls": [{"id": "d", "name": "g", "arguments": "{}"}],
        }
    ]
    assert content.tools == [{"type": "function", "name": "f"}]


def test_a_prompt_that_is_an_object_and_version_4s_arguments_are_read() -> None:
    attributes = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.prompt": '{"system":"S","prompt":"Hi"}',
        "ai.response.toolCalls": '[{"toolCallId":"c","toolName":"f","args":{"a":1}}]',
    }

    content = read(vercel_ai, a_raw_span(attributes)).content

    assert content.input == [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "Hi"},
    ]
    assert content.output is not None
    assert content.output[0]["tool_calls"] == [{"id": "c", "name": "f", "arguments": {"a": 1}}]


def test_metadata_tell_the_counts_that_no_attribute_tells() -> None:
    tokens = read(vercel_ai, a_raw_span(INNER)).facts.tokens

    assert (tokens.cache_read, tokens.reasoning, tokens.excludes_cached) == (4, 2, None)


@pytest.mark.parametrize(
    ("metadata", "attributes", "excludes"),
    [
        ({"anthropic": {"cacheReadInputTokens": 40}}, {}, True),
        ({"anthropic": {"usage": {"input_tokens": 9, "cache_read_input_tokens": 40}}}, {}, True),
        ({"anthropic": {"usage": {"input_tokens": 3, "cache_read_input_tokens": 6}}}, {}, False),
        ({"anthropic": {}}, {"ai.usage.inputTokenDetails.noCacheTokens": 3}, False),
    ],
)
def test_anthropics_input_is_without_cached_tokens_until_version_5(
    metadata: dict[str, Any], attributes: dict[str, Any], excludes: bool
) -> None:
    raw = a_raw_span(with_metadata(metadata) | attributes)

    assert read(vercel_ai, raw).facts.tokens.excludes_cached is excludes


def test_the_gateway_tells_its_cost_and_the_provider_its_tier() -> None:
    metadata = {"gateway": {"cost": "0.25"}, "openai": {"serviceTier": "flex"}}

    facts = read(vercel_ai, a_raw_span(with_metadata(metadata))).facts

    assert (str(facts.app_cost_usd), facts.service_tier) == ("0.25", "flex")


@pytest.mark.parametrize(
    ("sent", "provider"),
    [
        ("openai.responses", "openai"),
        ("anthropic.messages", "anthropic"),
        ("google.generative-ai", "gcp.gemini"),
        ("google.vertex.chat", "gcp.vertex_ai"),
        ("amazon-bedrock", "aws.bedrock"),
        ("azure-openai.chat", "azure.ai.openai"),
        ("xai.chat", "x_ai"),
        ("groq.chat", "groq"),
    ],
)
def test_a_provider_is_named_without_its_interface(sent: str, provider: str) -> None:
    raw = a_raw_span(INNER | {"ai.model.provider": sent})

    assert read(vercel_ai, raw).facts.provider == provider


@pytest.mark.parametrize(
    ("kind", "streaming"),
    [("ai.streamText.doStream", True), ("ai.generateText.doGenerate", False)],
)
def test_the_operation_says_whether_it_streamed(kind: str, streaming: bool) -> None:
    raw = a_raw_span(INNER | {"ai.operationId": kind})

    assert read(vercel_ai, raw).facts.streaming is streaming


@pytest.mark.parametrize("name", ["ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"])
def test_the_first_chunk_is_told_in_milliseconds(name: str) -> None:
    assert read(vercel_ai, a_raw_span(INNER | {name: 101.5})).first_token_s == 0.1015


def test_the_first_chunk_is_told_by_its_event() -> None:
    event = an_event("ai.stream.firstChunk")

    raw = a_raw_span(INNER, events=(event,), start_ns=NANO - 500_000_000)

    assert read(vercel_ai, raw).first_token_s == 0.5


def test_an_object_is_json_whether_or_not_its_schema_is_sent() -> None:
    attributes = INNER | {
        "ai.operationId": "ai.generateObject.doGenerate",
        "ai.response.object": '{"a":1}',
    }
    del attributes["ai.response.text"]

    reading = read(vercel_ai, a_raw_span(attributes))

    assert reading.facts.output_type == "json"
    assert reading.content.output is not None
    assert reading.content.output[0]["content"] == '{"a":1}'


def test_embedded_values_are_the_input_and_vectors_are_not_kept() -> None:
    attributes = {
        "ai.operationId": "ai.embedMany.doEmbed",
        "ai.values": ['"Paris"', '"Rome"'],
        "ai.embeddings": ["[0.1]", "[0.2]"],
        "ai.usage.tokens": 9,
    }

    reading = read(vercel_ai, a_raw_span(attributes))

    assert reading.content.input is not None
    assert [item["content"] for item in reading.content.input] == ["Paris", "Rome"]
    assert "ai.embeddings" in reading.content.consumed
    assert reading.facts.tokens.input == 9


def test_version_7_speaks_otels_names() -> None:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.client.operation.time_to_first_chunk": 0.25,
        "gen_ai.response.finish_reasons": ["tool-calls"],
        "ai.usage.outputTokenDetails.reasoningTokens": 3,
    }

    reading = read(vercel_ai, a_raw_span(attributes, scope_name="gen_ai"))

    assert (reading.dialect, reading.finish) == ("vercel_ai", ("tool_call",))
    assert (reading.first_token_s, reading.facts.tokens.reasoning) == (0.25, 3)


@pytest.mark.parametrize("operation", ["invoke_agent", "agent_step", "execute_tool"])
def test_version_7s_agents_and_steps_are_no_calls(operation: str) -> None:
    raw = a_raw_span({"gen_ai.operation.name": operation}, scope_name="gen_ai")

    assert vercel_ai.fits(raw)
    assert vercel_ai.normalise(raw, named(raw.attributes)) is None


@pytest.mark.parametrize(
    "attributes",
    [
        INNER,
        with_metadata({"anthropic": {"usage": {"input_tokens": 3}}, "gateway": {"cost": "1"}}),
        {"ai.operationId": "ai.embed.doEmbed", "ai.values": ["x"], "ai.embeddings": ["[1]"]},
    ],
)
def test_no_value_makes_it_raise(attributes: dict[str, Any]) -> None:
    assert survives(vercel_ai, a_raw_span(attributes, events=(an_event("ai.stream.firstChunk"),)))


def test_metadata_of_the_application_say_whose_the_call_is() -> None:
    told = {
        "ai.telemetry.functionId": "capital-route",
        "ai.telemetry.metadata.use_case": "faq",
        "ai.telemetry.metadata.userId": "u",
        "ai.telemetry.metadata.sessionId": "s",
    }

    found = read(vercel_ai, a_raw_span(INNER | told)).named

    assert (found["actor"], found["use_case"]) == ("capital-route", "faq")
    assert (found["user_id"], found["session_id"]) == ("u", "s")
