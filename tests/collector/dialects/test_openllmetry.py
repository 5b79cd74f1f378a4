from __future__ import annotations

from typing import Any

import pytest

from collector.dialects import normalise, openllmetry
from collector.dialects.names import named
from collector.raw import RawEvent
from tests.collector.dialects.hostile import survives
from tests.collector.dialects.spans import NANO, a_raw_span, read
from tidegauge.call import Audit, NotCounted, Operation

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
    reading = read(openllmetry, a_raw_span(OLD))

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

    reading = read(openllmetry, a_raw_span(OLD | {"llm.is_streaming": "True"}, events=chunks))

    assert (reading.facts.streaming, reading.first_token_s) == (True, 0.25)


def test_an_empty_finish_reason_says_nothing() -> None:
    answer = '[{"role": "assistant", "parts": [], "finish_reason": ""}]'

    told = {"llm.request.type": "chat", "gen_ai.output.messages": answer}
    assert read(openllmetry, a_raw_span(told)).finish == ()


def test_an_empty_reason_does_not_hide_the_one_of_the_answer() -> None:
    sent: dict[str, Any] = {
        "llm.request.type": "chat",
        "gen_ai.response.finish_reasons": [""],
        "gen_ai.completion.0.content": "x",
        "gen_ai.completion.0.finish_reason": "length",
    }
    assert read(openllmetry, a_raw_span(sent)).finish == ("length",)
    sent["gen_ai.completion.0.finish_reason"] = ""
    assert read(openllmetry, a_raw_span(sent)).finish == ("unknown",)


ANTHROPIC = "opentelemetry.instrumentation.anthropic"
WHOLE = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "anthropic",
    "gen_ai.response.model": "claude",
    "gen_ai.usage.output_tokens": 16,
    "gen_ai.usage.input_tokens": 26,
    "gen_ai.usage.total_tokens": 42,
}
STREAM = {name: WHOLE[name] for name in reversed(WHOLE)}  # its counts come before its model


@pytest.mark.parametrize(
    ("attributes", "version", "output", "streaming"),
    [
        (STREAM, "0.62.4", 15, True),
        (WHOLE | {"gen_ai.is_streaming": True}, "0.62.4", 15, True),
        (WHOLE | {"llm.is_streaming": True}, "0.38.7", 15, True),
        (WHOLE, "0.62.4", 16, None),
        (STREAM | {"gen_ai.is_streaming": False}, "0.62.4", 16, False),
        (STREAM, "0.63.0", 16, None),
        (STREAM | {"gen_ai.usage.output_tokens": 0}, "0.62.4", 0, True),
    ],
)
def test_what_the_first_event_of_a_stream_counts_is_taken_off(
    attributes: dict[str, Any], version: str, output: int, streaming: bool | None
) -> None:
    raw = a_raw_span(attributes, scope_name=ANTHROPIC, scope_version=version)

    found = read(openllmetry, raw).facts

    assert (found.tokens.output, found.streaming) == (output, streaming)


def test_the_count_of_a_stream_is_marked_as_changed() -> None:
    raw = a_raw_span(STREAM, scope_name=ANTHROPIC, scope_version="0.62.4")

    call = normalise(raw, "p")

    assert (call.input_tokens, call.output_tokens) == (26, 15)
    assert (call.tokens_audit, call.tokens_audit_rule) == (Audit.ADJUSTED, "stream_start_added")


def test_the_count_of_a_stream_by_another_library_is_as_it_is() -> None:
    raw = a_raw_span(STREAM, scope_name="opentelemetry.instrumentation.bedrock")

    assert read(openllmetry, raw).facts.tokens.output == 16


@pytest.mark.parametrize("library", ["google_generativeai", "vertexai"])
def test_what_a_gemini_thought_is_in_the_total_alone(library: str) -> None:
    told = {"llm.request.type": "chat", "gen_ai.usage.input_tokens": 26}
    counts = {"gen_ai.usage.output_tokens": 15, "llm.usage.total_tokens": 50}
    raw = a_raw_span(told | counts, scope_name=f"opentelemetry.instrumentation.{library}")

    call = normalise(raw, "p")

    assert (call.input_tokens, call.output_tokens, call.reasoning_tokens) == (26, 24, 9)
    assert call.tokens_audit_rule == "total_includes_reasoning"


@pytest.mark.parametrize(
    ("library", "provider", "tokens"),
    [
        ("bedrock", "aws.bedrock", 14),
        ("llamaindex", "anthropic", 14),
        ("llamaindex", "openai", 10),
        ("anthropic", "anthropic", 10),
    ],
)
def test_some_of_its_libraries_copy_counts_without_cached_tokens(
    library: str, provider: str, tokens: int
) -> None:
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": provider,
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
    }
    raw = a_raw_span(told, scope_name=f"opentelemetry.instrumentation.{library}")

    assert normalise(raw, "p").input_tokens == tokens


@pytest.mark.parametrize(("reason", "content"), [("content_filter", None), ("stop", "FILTERED")])
def test_the_word_in_the_place_of_a_filtered_answer_is_no_answer(
    reason: str, content: str | None
) -> None:
    told = {
        "llm.request.type": "chat",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "FILTERED",
        "gen_ai.completion.0.finish_reason": reason,
    }

    output = read(openllmetry, a_raw_span(told)).content.output

    assert [item["content"] for item in output or []] == [content]


@pytest.mark.parametrize(
    "name",
    ["gen_ai.response.stop_reason", "llm.response.finish_reason", "llm.response.stop_reason"],
)
def test_every_name_for_a_finish_reason_is_read(name: str) -> None:
    told = {"llm.request.type": "chat", name: "max_tokens"}

    assert read(openllmetry, a_raw_span(told)).finish == ("length",)


def test_a_stream_without_usage_is_a_call_whose_tokens_nobody_knows() -> None:
    call = normalise(a_raw_span({"llm.request.type": "chat", "llm.is_streaming": True}), "p")

    assert (call.not_counted, call.streaming) == (None, True)
    assert (call.input_tokens, call.output_tokens) == (None, None)


def test_a_crew_that_repeats_the_sum_is_no_call() -> None:
    told = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.provider.name": "crewai",
        "crewai.crew.token_usage": "total_tokens=41",
    }
    raw = a_raw_span(told, scope_name="opentelemetry.instrumentation.crewai")

    assert normalise(raw, "p").not_counted is NotCounted.WRAPPER


def test_otels_own_libraries_are_not_taken_for_traceloops() -> None:
    for name in ("openai_v2", "google_genai", "genai.openai", "botocore.bedrock-runtime"):
        scope = f"opentelemetry.instrumentation.{name}"
        assert not openllmetry.fits(a_raw_span({"gen_ai.system": "x"}, scope_name=scope))


@pytest.mark.parametrize("kind", ["embedding", "rerank"])
def test_embeddings_and_rerank_are_calls(kind: str) -> None:
    told = {"llm.request.type": kind, "gen_ai.usage.prompt_tokens": 4}
    reading = openllmetry.normalise(a_raw_span(told), named(told))

    assert reading is not None
    assert (reading.operation.value[:5], reading.facts.tokens.input) == (kind[:5], 4)


def test_no_value_makes_it_raise() -> None:
    scope = {"scope_name": ANTHROPIC, "scope_version": "0.62.4"}

    assert survives(openllmetry, a_raw_span(OLD | STREAM, **scope)) > 100
    assert survives(openllmetry, a_raw_span(STREAM, scope_name=ANTHROPIC, scope_version="dev")) > 50


RESPONSES = {
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.id": "resp_1",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.usage.input_tokens": 26,
    "gen_ai.usage.output_tokens": 15,
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "Paris",
}


def test_a_span_of_openais_responses_is_a_call_though_no_marker_says_so() -> None:
    raw = a_raw_span(
        RESPONSES, name="openai.response", scope_name="opentelemetry.instrumentation.openai.v1"
    )

    reading = read(openllmetry, raw)

    assert (reading.operation, reading.facts.tokens[:2]) == (Operation.CHAT, (26, 15))
    assert reading.content.output == [{"role": "assistant", "content": "Paris"}]


@pytest.mark.parametrize(
    ("attributes", "scope"),
    [
        (RESPONSES | {"gen_ai.agent.name": "guide"}, "opentelemetry.instrumentation.openai.v1"),
        (RESPONSES | {"traceloop.span.kind": "task"}, "opentelemetry.instrumentation.openai.v1"),
        (RESPONSES | {"traceloop.entity.path": "a"}, "acme"),
    ],
)
def test_a_model_alone_makes_no_call_of_an_agent_a_task_or_the_span_of_another(
    attributes: dict[str, Any], scope: str
) -> None:
    raw = a_raw_span(attributes, name="openai.response", scope_name=scope)

    assert openllmetry.normalise(raw, named(raw.attributes)) is None


@pytest.mark.parametrize(
    ("changed", "name", "operation"),
    [
        ({}, "OpenAIEmbedding.workflow", Operation.EMBEDDINGS),
        ({"traceloop.span.kind": "task"}, "OpenAIEmbedding.task", Operation.EMBEDDINGS),
        ({}, "FunctionAgent.workflow", None),
        ({"traceloop.span.kind": "agent"}, "OpenAIEmbedding.agent", None),
        ({"gen_ai.operation.name": "invoke_agent"}, "OpenAIEmbedding.workflow", None),
        ({"gen_ai.request.model": None}, "OpenAIEmbedding.workflow", None),
    ],
)
def test_a_workflow_of_llama_index_that_names_operation_and_model_is_a_call(
    changed: dict[str, Any], name: str, operation: Operation | None
) -> None:
    usual = {
        "traceloop.span.kind": "workflow",
        "gen_ai.operation.name": "embeddings",
        "gen_ai.request.model": "text-embedding-3-small",
    }
    raw = a_raw_span(
        usual | changed, name=name, scope_name="opentelemetry.instrumentation.llamaindex"
    )

    reading = openllmetry.normalise(raw, named(raw.attributes))

    assert (reading.operation if reading else None) == operation
