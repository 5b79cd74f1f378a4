from __future__ import annotations

from typing import Any

import pytest

from collector.dialects import litellm
from collector.dialects.names import named
from tests.collector.dialects.hostile import survives
from tests.collector.dialects.spans import a_raw_span, read
from tidegauge.call import Operation

USAGE = (
    "{'completion_tokens': 79, 'prompt_tokens': 93, 'total_tokens': 172, "
    "'completion_tokens_details': {'reasoning_tokens': 64, 'text_tokens': None}, "
    "'prompt_tokens_details': {'cached_tokens': 40, 'audio_tokens': None}, "
    "'cache_creation_input_tokens': 12, 'cache_read_input_tokens': 40}"
)
LEGACY: dict[str, Any] = {
    "gen_ai.operation.name": "chat",
    "llm.request.type": "completion",
    "gen_ai.request.model": "m",
    "gen_ai.response.model": "m-2024",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.usage.input_tokens": 93,
    "gen_ai.usage.output_tokens": 79,
    "gen_ai.response.finish_reasons": '["length"]',
    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Hi"}]}]',
    "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"Ho"}]}]',
    "gen_ai.cost.total_cost": 0.25,
    "llm.is_streaming": "False",
    "litellm.call_id": "0a5e",
    "litellm.provider.model": "openai/m",
    "metadata.usage_object": USAGE,
    "metadata.requester_ip_address": "",
}


def litellm_span(attributes: dict[str, Any], name: str = "litellm_request") -> Any:
    return a_raw_span(attributes, name=name, scope_name="litellm")


def test_the_legacy_span_is_the_call() -> None:
    reading = read(litellm, litellm_span(LEGACY))

    assert (reading.dialect, reading.operation) == ("litellm", Operation.CHAT)
    assert reading.finish == ("length",)
    assert reading.facts.streaming is False
    assert str(reading.facts.app_cost_usd) == "0.25"
    assert reading.content.input == [{"role": "user", "content": "Hi"}]


def test_cached_and_reasoning_tokens_are_in_pythons_repr() -> None:
    tokens = read(litellm, litellm_span(LEGACY)).facts.tokens

    assert tokens[:5] == (93, 79, 40, 12, 64)


@pytest.mark.parametrize(
    "name", ["raw_gen_ai_request", "Received Proxy Server Request", "redis", "router"]
)
def test_raw_twins_and_the_spans_of_the_proxy_are_no_calls(name: str) -> None:
    raw = litellm_span({"llm.openai.usage": USAGE, "llm.openai.model": "m"}, name)

    assert litellm.fits(raw)
    assert litellm.normalise(raw, named(raw.attributes)) is None


def test_a_raw_twin_is_no_call_whatever_it_says() -> None:
    raw = litellm_span(LEGACY, "raw_gen_ai_request")

    assert litellm.normalise(raw, named(raw.attributes)) is None


@pytest.mark.parametrize(
    ("kind", "operation"),
    [
        ("acompletion", Operation.CHAT),
        ("completion", Operation.CHAT),
        ("aresponses", Operation.CHAT),
        ("atext_completion", Operation.TEXT_COMPLETION),
        ("aembedding", Operation.EMBEDDINGS),
        ("arerank", Operation.RERANK),
    ],
)
def test_older_versions_name_the_function_that_was_called(kind: str, operation: Operation) -> None:
    assert read(litellm, litellm_span({"llm.request.type": kind})).operation is operation


def test_older_versions_spread_the_messages_over_indices() -> None:
    attributes = {
        "llm.request.type": "completion",
        "gen_ai.prompt.0.role": "user",
        "gen_ai.prompt.0.content": "Hi",
        "gen_ai.completion.0.role": "assistant",
        "gen_ai.completion.0.content": "Ho",
        "gen_ai.completion.0.finish_reason": "stop",
    }

    reading = read(litellm, litellm_span(attributes))

    assert reading.content.input == [{"role": "user", "content": "Hi"}]
    assert reading.finish == ("stop",)


def test_version_2_speaks_otels_names() -> None:
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.finish_reasons": ["tool_calls"],
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.tool.0.name": "f",
        "gen_ai.tool.0.parameters": "{}",
        "litellm.request.streaming": True,
        "litellm.cost.total": 0.5,
    }

    reading = read(litellm, litellm_span(attributes, "chat m"))

    assert (reading.finish, reading.first_token_s) == (("tool_call",), 0.25)
    assert (reading.facts.streaming, reading.facts.tokens.cache_read) == (True, 4)
    assert reading.content.tools == [{"name": "f", "parameters": "{}"}]
    assert str(reading.facts.app_cost_usd) == "0.5"


def test_incomplete_is_the_status_of_an_answer_that_was_cut() -> None:
    raw = litellm_span(LEGACY | {"gen_ai.response.finish_reasons": '["incomplete"]'})

    assert read(litellm, raw).finish == ("length",)


def test_the_model_of_a_stream_is_only_the_one_asked_for() -> None:
    streamed = LEGACY | {"llm.is_streaming": "True", "gen_ai.response.model": "m"}

    facts = read(litellm, litellm_span(streamed)).facts

    assert (facts.streaming, facts.request_model, facts.response_model) == (True, "m", None)


def test_a_call_without_a_provider_has_the_one_before_its_models_name() -> None:
    assert read(litellm, litellm_span(LEGACY)).facts.provider == "openai"


def test_its_own_id_of_a_call_is_not_the_providers() -> None:
    raw = litellm_span(LEGACY | {"gen_ai.response.id": "0a5e"})

    assert read(litellm, raw).facts.response_id is None


def test_its_callback_for_phoenix_speaks_another_dialect() -> None:
    assert not litellm.fits(litellm_span(LEGACY | {"openinference.span.kind": "LLM"}))


def test_no_value_makes_it_raise() -> None:
    more = {"gen_ai.tool.0.name": "f", "gen_ai.prompt.0.content": "x"}

    assert survives(litellm, litellm_span(LEGACY | more))
    assert survives(litellm, litellm_span({"llm.request.type": "acompletion"}))


@pytest.mark.parametrize(
    ("details", "estimated"),
    [
        (
            "'completion_tokens_details': {'accepted_prediction_tokens': None}",
            True,
        ),
        (
            "'completion_tokens_details': {'accepted_prediction_tokens': 0}",
            False,
        ),
        (
            "'completion_tokens_details': {'reasoning_tokens': 0}, 'prompt_tokens_details': {}",
            False,
        ),
        ("'completion_tokens_details': None, 'prompt_tokens_details': None", False),
    ],
)
def test_a_stream_that_it_counted_itself_is_known_by_the_details_it_makes_up(
    details: str, estimated: bool
) -> None:
    usage = f"{{'completion_tokens': 13, 'prompt_tokens': 11, 'total_tokens': 24, {details}}}"
    call = {
        "gen_ai.operation.name": "chat",
        "gen_ai.usage.input_tokens": 11,
        "gen_ai.usage.output_tokens": 13,
        "gen_ai.cost.total_cost": 9.45e-06,
        "metadata.usage_object": usage,
    }

    streamed = read(litellm, litellm_span(call | {"gen_ai.request.stream": True})).facts
    whole = read(litellm, litellm_span(call)).facts

    assert (streamed.tokens.estimated, streamed.app_cost_usd is None) == (estimated, estimated)
    assert not whole.tokens.estimated
