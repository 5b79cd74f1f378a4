from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from collector.dialects import langsmith
from collector.dialects.names import named
from collector.raw import RawEvent
from tests.collector.dialects.hostile import survives
from tests.collector.dialects.spans import NANO, a_raw_span, an_event, read
from tidegauge.call import Operation

KIND = "langsmith.span.kind"


def lc(name: str, **kwargs: Any) -> dict[str, Any]:
    """Return LangChain's dump of a message."""
    path = ["langchain", "schema", "messages", name]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": kwargs}


METADATA = {"id": "chatcmpl-1", "model_name": "m-2024", "finish_reason": "length"}
USAGE = {
    "input_tokens": 53,
    "output_tokens": 79,
    "input_token_details": {"cache_read": 16},
    "output_token_details": {"reasoning": 64},
}
ANSWER = lc(
    "AIMessage",
    type="ai",
    content="Ho",
    response_metadata=METADATA,
    usage_metadata=USAGE,
    tool_calls=[{"name": "f", "args": {"a": 1}, "id": "c"}],
)
GENERATION = {"text": "Ho", "type": "ChatGeneration", "message": ANSWER}
LANGCHAIN: dict[str, Any] = {
    KIND: "llm",
    "langsmith.trace.name": "ChatOpenAI",
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "m",
    "gen_ai.usage.input_tokens": 53,
    "gen_ai.usage.output_tokens": 79,
    "langsmith.metadata.max_tokens": 20,
    "langsmith.metadata.stream": False,
    "gen_ai.prompt": json.dumps(
        {
            "messages": [
                [
                    lc("SystemMessage", type="system", content="Be terse."),
                    lc("HumanMessage", type="human", content="Hi"),
                    lc("ToolMessage", type="tool", content="18", tool_call_id="c"),
                ]
            ]
        }
    ),
    "gen_ai.completion": json.dumps({"generations": [[GENERATION]]}),
}
WRAPPED: dict[str, Any] = {
    KIND: "llm",
    "gen_ai.usage.input_tokens": 53,
    "gen_ai.usage.output_tokens": 79,
    "gen_ai.usage.input_token_details": "{'audio': 0, 'cache_read': 16}",
    "gen_ai.usage.output_token_details": "{'audio': None, 'reasoning': 64}",
    "gen_ai.response.model": "m-2024",
    "gen_ai.prompt": json.dumps(
        {
            "model": "m",
            "stream": True,
            "temperature": 0.5,
            "max_completion_tokens": 20,
            "messages": [{"role": "user", "content": "Hi"}],
            "tools": [{"type": "function", "function": {"name": "f"}}],
        }
    ),
    "gen_ai.completion": json.dumps(
        {
            "id": "chatcmpl-1",
            "model": "m-2024",
            "choices": [
                {"finish_reason": "stop", "message": {"role": "assistant", "content": "Ho"}}
            ],
        }
    ),
}


def langchain(generation: dict[str, Any]) -> dict[str, Any]:
    return LANGCHAIN | {"gen_ai.completion": json.dumps({"generations": [[generation]]})}


@pytest.mark.parametrize(
    ("kind", "operation"), [("llm", Operation.CHAT), ("embedding", Operation.EMBEDDINGS)]
)
def test_runs_of_models_are_calls(kind: str, operation: Operation) -> None:
    assert read(langsmith, a_raw_span({KIND: kind})).operation is operation


@pytest.mark.parametrize("kind", ["chain", "prompt", "parser", "tool", "retriever"])
def test_a_prompt_template_that_calls_itself_a_chat_is_no_call(kind: str) -> None:
    raw = a_raw_span({KIND: kind, "gen_ai.operation.name": "chat"})

    assert langsmith.fits(raw)
    assert langsmith.normalise(raw, named(raw.attributes)) is None


@pytest.mark.parametrize("attributes", [LANGCHAIN, WRAPPED])
def test_cached_and_reasoning_tokens_are_found(attributes: dict[str, Any]) -> None:
    tokens = read(langsmith, a_raw_span(attributes)).facts.tokens

    assert (tokens.input, tokens.output) == (53, 79)
    assert (tokens.cache_read, tokens.reasoning) == (16, 64)


def test_langchains_usage_is_also_found_in_the_metadata() -> None:
    usage = {"langsmith.metadata.usage_metadata": json.dumps(USAGE)}

    tokens = read(langsmith, a_raw_span({KIND: "llm"} | usage)).facts.tokens

    assert tokens[:5] == (53, 79, 16, None, 64)


@pytest.mark.parametrize("attributes", [LANGCHAIN, WRAPPED])
def test_the_response_says_which_model_answered(attributes: dict[str, Any]) -> None:
    facts = read(langsmith, a_raw_span(attributes)).facts

    assert (facts.request_model, facts.response_model) == ("m", "m-2024")
    assert facts.response_id == "chatcmpl-1"
    assert facts.max_tokens == 20


def test_langchains_messages_are_read_from_their_dumps() -> None:
    content = read(langsmith, a_raw_span(LANGCHAIN)).content

    assert content.input == [
        {"role": "system", "content": "Be terse."},
        {"role": "user", "content": "Hi"},
        {"role": "tool", "content": "18", "tool_call_id": "c"},
    ]
    assert content.output == [
        {
            "role": "assistant",
            "content": "Ho",
            "tool_calls": [{"id": "c", "name": "f", "arguments": {"a": 1}}],
        }
    ]


def test_the_wrapped_clients_messages_and_tools_are_read() -> None:
    content = read(langsmith, a_raw_span(WRAPPED)).content

    assert content.input == [{"role": "user", "content": "Hi"}]
    assert content.output == [{"role": "assistant", "content": "Ho"}]
    assert content.tools == [{"type": "function", "function": {"name": "f"}}]


def test_langchain_keeps_the_reason_with_the_message() -> None:
    assert read(langsmith, a_raw_span(LANGCHAIN)).finish == ("length",)


@pytest.mark.parametrize(
    ("generation", "finish"),
    [
        ({"generation_info": {"finish_reason": "stop"}, "message": ANSWER}, ("stop",)),
        (
            {
                "message": lc(
                    "AIMessage",
                    content="Ho",
                    response_metadata={
                        "status": "incomplete",
                        "incomplete_details": {"reason": "max_output_tokens"},
                    },
                )
            },
            ("length",),
        ),
        ({"message": lc("AIMessage", content="Ho")}, ()),
    ],
)
def test_the_reason_may_be_with_the_generation_or_be_a_status(
    generation: dict[str, Any], finish: tuple[str, ...]
) -> None:
    assert read(langsmith, a_raw_span(langchain(generation))).finish == finish


def test_a_chunk_is_evidence_of_a_stream_and_a_false_is_none() -> None:
    chunk = langchain(GENERATION | {"type": "ChatGenerationChunk"})

    assert read(langsmith, a_raw_span(LANGCHAIN)).facts.streaming is None
    assert read(langsmith, a_raw_span(chunk)).facts.streaming is True
    assert read(langsmith, a_raw_span(WRAPPED)).facts.streaming is True


def test_a_run_that_failed_has_the_status_ok() -> None:
    message = "OpenAIRateLimitError('Error code: 429 - slow down')"
    event = an_event("exception", {"exception.type": "Exception", "exception.message": message})

    found = read(langsmith, a_raw_span(LANGCHAIN, status=1, events=(event,))).named

    assert (found["error_type"], found["http_status"]) == ("rate_limit", 429)


def test_the_name_of_the_run_itself_names_no_use_case() -> None:
    raw = a_raw_span(LANGCHAIN, name="ChatOpenAI")

    assert "actor" not in read(langsmith, raw).named
    assert read(langsmith, replace(raw, name="other")).named["actor"] == "ChatOpenAI"


def test_the_first_token_is_told_by_its_event() -> None:
    event = RawEvent("new_token", NANO + 250_000_000, {})

    assert read(langsmith, a_raw_span(LANGCHAIN, events=(event,))).first_token_s == 0.25


@pytest.mark.parametrize("attributes", [LANGCHAIN, WRAPPED])
def test_no_value_makes_it_raise(attributes: dict[str, Any]) -> None:
    event = an_event("exception", {"exception.type": "E", "exception.message": "m"})

    assert survives(langsmith, a_raw_span(attributes, status=1, events=(event,)))
