from __future__ import annotations

import json
from typing import Any

import pytest

from collector.dialects import generic, normalise
from collector.dialects.names import named
from tests.collector.dialects.hostile import survives
from tests.collector.dialects.spans import a_raw_span, read
from tidegauge.call import Audit, NotCounted, Operation

COUNTS = {"acme.llm.model": "m-1", "acme.llm.prompt_tokens": 26, "acme.llm.completion_tokens": 15}
USAGE = {
    "prompt_tokens": 26,
    "completion_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 16},
}


def a_span(attributes: dict[str, Any], name: str = "acme.llm.request", **fields: Any) -> Any:
    return a_raw_span(attributes, name=name, **({"kind": 1} | fields))


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("acme.llm.prompt_tokens", "acme.llm.completion_tokens"),
        ("llm.usage.input_tokens", "llm.usage.output_tokens"),
        ("usage.promptTokens", "usage.completionTokens"),
        ("tokens.input", "tokens.output"),
        ("llm.tokens.prompt", "llm.tokens.completion"),
        ("input_token_count", "output_token_count"),
        ("usage/input", "usage/output"),
        ("tokens_in", "tokens_out"),
        ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"),
    ],
)
def test_counts_are_known_by_the_words_of_their_names(sent: str, said: str) -> None:
    call = normalise(a_span({"model": "m-1", sent: 26, said: "15"}), "p")

    assert (call.dialect, call.not_counted) == ("generic", None)
    assert (call.request_model, call.input_tokens, call.output_tokens) == ("m-1", 26, 15)


def test_counts_that_were_guessed_are_never_certain() -> None:
    call = normalise(a_span(COUNTS), "p")

    assert (call.tokens_audit, call.tokens_audit_rule) == (Audit.UNSURE, "guessed_names")


@pytest.mark.parametrize("name", ["usage", "acme.usage", "llm.token_usage", "usage_metadata"])
@pytest.mark.parametrize("encoded", [json.dumps(USAGE), str(USAGE), USAGE])
def test_a_usage_object_is_read(name: str, encoded: Any) -> None:
    tokens = read(generic, a_span({"model": "m-1", name: encoded})).facts.tokens

    assert tokens[:3] == (26, 15, 16)


def test_cached_and_reasoning_tokens_are_known_by_their_words() -> None:
    told = {
        "claude_code.input_tokens": 26,
        "claude_code.output_tokens": 15,
        "claude_code.cache_read_tokens": 3,
        "claude_code.cache_creation_tokens": 4,
        "claude_code.reasoning_tokens": 5,
        "model": "claude-sonnet-4-5",
    }

    found = read(generic, a_span(told, "claude_code.llm_request")).facts

    assert found.tokens[:5] == (26, 15, 3, 4, 5)
    assert found.provider == "anthropic"


def test_all_else_that_a_call_has_is_read() -> None:
    told = COUNTS | {
        "acme.llm.finish_reason": "max_tokens",
        "acme.llm.temperature": "0.2",
        "acme.llm.max_tokens": 15,
        "acme.llm.response_id": "r-1",
        "acme.llm.response.model": "m-1-2024",
        "acme.llm.stream": True,
        "acme.llm.ttft_ms": 250,
        "acme.llm.prompt": '[{"role": "user", "content": "Hi"}]',
        "acme.llm.completion": "Ho",
        "user.id": "u",
    }

    call = normalise(a_span(told), "p")

    assert (call.finish_reasons, call.truncated, call.user_id) == (("length",), True, "u")
    assert (call.temperature, call.max_tokens, call.streaming) == (0.2, 15, True)
    assert (call.response_id, call.response_model) == ("r-1", "m-1-2024")
    assert call.time_to_first_token_s == 0.25
    assert call.input == [{"role": "user", "content": "Hi"}]
    assert (call.output or [])[0]["content"] == "Ho"
    assert "acme.llm.completion" not in call.attributes


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        ("ttft", 0.5, 0.5),
        ("ttft", 500, 0.5),
        ("time_to_first_token", 1, 1),
        ("time_to_first_token_seconds", 0.5, 0.5),
        ("ttft_ms", 5_000, None),
        ("ttft", -1, None),
    ],
)
def test_a_time_without_a_unit_is_one_that_the_span_has_room_for(
    name: str, value: float, seconds: float | None
) -> None:
    assert read(generic, a_span(COUNTS | {name: value})).first_token_s == seconds


@pytest.mark.parametrize(
    "name", ["agent.run", "my_workflow", "tool call", "LLMChain", "session", "retrieve", "step 2"]
)
def test_what_stands_around_calls_is_none(name: str) -> None:
    call = normalise(a_span(COUNTS, name), "p")

    assert (call.not_counted, call.input_tokens) == (NotCounted.WRAPPER, None)


@pytest.mark.parametrize(
    "attributes",
    [
        {"db.system": "postgresql"},
        {"db.system.name": "redis"},
        {"http.request.method": "POST"},
        {"url.full": "https://example.org"},
        {"rpc.system": "grpc"},
        {"messaging.system": "kafka"},
        {"gen_ai.tool.name": "f"},
        {"mcp.method.name": "tools/call"},
        {"agent_name": "geo"},
    ],
)
def test_requests_queries_and_tools_are_none(attributes: dict[str, str]) -> None:
    assert not generic.fits(a_span(COUNTS | attributes))


@pytest.mark.parametrize("kind", [2, 4, 5])
def test_servers_and_queues_are_none(kind: int) -> None:
    assert not generic.fits(a_span(COUNTS, kind=kind))


@pytest.mark.parametrize(
    "attributes",
    [
        {"acme.prompt_tokens": 1, "acme.completion_tokens": 2},  # of no model
        {"model": "m-1"},  # of no tokens
        {"model": "m-1", "session.usage.input_tokens": 1, "session.usage.output_tokens": 2},
        {"model": "m-1", "total_input_tokens": 1, "total_output_tokens": 2},
        {"model": "m-1", "max_input_tokens": 1, "max_output_tokens": 2},
        {"model": "m-1", "cost.input_tokens": 1, "cost.output_tokens": 2},
        {"model": "m-1", "auth.token": "x", "input": "y", "output": "z"},
        {"model": "m-1", "usage": "disk"},
        {"model": "", "prompt_tokens": 1, "completion_tokens": 2},
        {"car.model": "m", "cpu.usage": 0.5, "disk.usage.total": 3},
    ],
)
def test_words_that_are_like_those_of_a_call_make_none(attributes: dict[str, Any]) -> None:
    call = normalise(a_span(attributes, "do it"), "p")

    assert call.not_counted is NotCounted.WRAPPER


@pytest.mark.parametrize(
    ("name", "attributes", "kind", "operation"),
    [
        ("embed texts", {"model": "e", "embed.input_tokens": 4}, 1, Operation.EMBEDDINGS),
        ("acme.embedding", {"model": "e", "total_tokens": 4}, 1, Operation.EMBEDDINGS),
        ("rerank documents", {"model": "r", "usage.total_tokens": 4}, 1, Operation.RERANK),
        ("rerank documents", {"model": "r"}, 3, Operation.RERANK),
        ("llm.call", {"model": "m", "llm.total_tokens": 4}, 1, Operation.CHAT),
    ],
)
def test_embeddings_and_rerank_have_one_side(
    name: str, attributes: dict[str, Any], kind: int, operation: Operation
) -> None:
    if operation is Operation.CHAT:
        attributes = attributes | {"llm.prompt_tokens": 3}

    assert read(generic, a_span(attributes, name, kind=kind)).operation is operation


def test_a_call_that_failed_has_no_tokens() -> None:
    failed = a_span({"acme.model": "m-1"}, "llm.chat", kind=3, status=2, status_message="429")
    inside = a_span({"acme.model": "m-1"}, "llm.chat", kind=1, status=2)

    assert normalise(failed, "p").not_counted is None
    assert normalise(inside, "p").not_counted is NotCounted.WRAPPER


def test_no_value_makes_it_raise() -> None:
    told = COUNTS | {
        "usage": json.dumps(USAGE),
        "finish_reason": "stop",
        "ttft": 0.5,
        "messages": json.dumps([{"role": "user", "content": "Hi"}]),
        "response": json.dumps({"choices": [{"message": {"content": "Ho"}}]}),
        "temperature": 0.2,
        "stream": "true",
        "provider": "x",
    }

    assert survives(generic, a_span(told)) > 100


def test_a_reading_is_made_even_of_a_span_that_another_name_marks() -> None:
    told = COUNTS | {"langfuse.observation.type": "span"}

    assert generic.normalise(a_span(told), named(told)) is None
