from __future__ import annotations

import json
from typing import Any

import pytest

from collector.dialects import openinference
from collector.dialects.names import named
from tests.collector.dialects.spans import a_raw_span, read

LLM = {"openinference.span.kind": "LLM", "llm.model_name": "m-2024"}


@pytest.mark.parametrize(
    ("answer", "reasons"),
    [
        ({"choices": [{"finish_reason": "stop"}, {"finish_reason": "length"}]}, ("stop", "length")),
        ({"candidates": [{"finishReason": "MAX_TOKENS"}]}, ("length",)),
        ({"stop_reason": "refusal"}, ("content_filter",)),
        ({"object": "response", "status": "completed", "output": []}, ("stop",)),
        (
            {"object": "response", "status": "completed", "output": [{"type": "function_call"}]},
            ("tool_call",),
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            ("length",),
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            ("content_filter",),
        ),
        ({"status": "incomplete"}, ("length",)),
        ({"generations": [[{"generation_info": {"finish_reason": "stop"}}]]}, ("stop",)),
        ({}, ()),
    ],
)
def test_the_whole_answer_says_why_it_ended(
    answer: dict[str, Any], reasons: tuple[str, ...]
) -> None:
    raw = a_raw_span(LLM | {"output.value": json.dumps(answer)})

    assert read(openinference, raw).finish == reasons


def test_the_model_named_without_an_answer_is_the_one_asked_for() -> None:
    facts = read(openinference, a_raw_span(LLM, status=2)).facts

    assert (facts.request_model, facts.response_model) == ("m-2024", None)


def test_the_model_named_beside_an_answer_is_the_one_that_answered() -> None:
    asked = {"llm.invocation_parameters": '{"model": "m", "max_completion_tokens": 9}'}

    facts = read(openinference, a_raw_span(LLM | asked | {"output.value": "Ho"})).facts

    assert (facts.request_model, facts.response_model, facts.max_tokens) == ("m", "m-2024", 9)


@pytest.mark.parametrize(("said", "streaming"), [("true", True), ("false", None)])
def test_only_a_true_is_evidence_of_streaming(said: str, streaming: bool | None) -> None:
    asked = {"llm.invocation_parameters": f'{{"stream": {said}}}'}

    assert read(openinference, a_raw_span(LLM | asked)).facts.streaming is streaming


def test_embedded_texts_are_the_input_and_vectors_are_not_kept() -> None:
    vector = "embedding.embeddings.0.embedding.vector"
    attributes = {
        "openinference.span.kind": "EMBEDDING",
        "embedding.embeddings.0.embedding.text": "Paris",
        vector: [0.1, 0.2],
    }

    content = read(openinference, a_raw_span(attributes)).content

    assert content.input == [{"role": "user", "content": "Paris"}]
    assert vector in content.consumed


def test_parts_and_tool_calls_are_read_from_their_flattened_form() -> None:
    attributes = LLM | {
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.contents.0.message_content.type": "text",
        "llm.input_messages.0.message.contents.0.message_content.text": "Look",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "f",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": "{}",
    }

    content = read(openinference, a_raw_span(attributes)).content

    assert content.input == [{"role": "user", "content": "Look"}]
    assert content.output == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "name": "f", "arguments": "{}"}],
        }
    ]


def test_plain_input_and_output_are_taken_as_they_are() -> None:
    content = read(
        openinference, a_raw_span(LLM | {"input.value": "Hi", "output.value": "Ho"})
    ).content

    assert content.input == [{"role": "user", "content": "Hi"}]
    assert content.output == [{"role": "assistant", "content": "Ho"}]


LANGCHAIN = "openinference.instrumentation.langchain"
LLAMA_INDEX = "openinference.instrumentation.llama_index"


def a_generation(**told: Any) -> dict[str, str]:
    """Return the attributes of an answer as LangChain dumps it."""
    metadata = {"model_name": "m-2024", "id": "chatcmpl-1", "service_tier": "default"}
    kwargs = {"id": "lc_run--1", "response_metadata": metadata} | told.pop("kwargs", {})
    generation = {"type": "ChatGeneration", "message": {"kwargs": kwargs}} | told
    return {"output.value": json.dumps({"generations": [[generation]]})}


def test_langchain_keeps_the_model_and_the_id_of_the_provider_in_its_message() -> None:
    attributes = LLM | a_generation() | {"llm.model_name": "m"}

    facts = read(openinference, a_raw_span(attributes, scope_name=LANGCHAIN)).facts

    assert (facts.request_model, facts.response_model) == ("m", "m-2024")
    assert (facts.response_id, facts.service_tier) == ("chatcmpl-1", "default")


def test_the_id_that_langchain_gave_a_message_is_no_id_of_the_provider() -> None:
    attributes = LLM | a_generation(kwargs={"response_metadata": {}})

    assert read(openinference, a_raw_span(attributes)).facts.response_id is None


def test_an_answer_put_together_from_chunks_was_streamed() -> None:
    asked = {"llm.invocation_parameters": '{"stream": false}'}

    reading = read(
        openinference, a_raw_span(LLM | asked | a_generation(type="ChatGenerationChunk"))
    )

    assert reading.facts.streaming is True


def test_langchain_names_the_model_asked_for_where_it_knows_no_other() -> None:
    attributes = LLM | {
        "llm.model_name": "m",
        "llm.invocation_parameters": '{"model": "m"}',
        "output.value": "Ho",
    }

    facts = read(openinference, a_raw_span(attributes, scope_name=LANGCHAIN)).facts

    assert (facts.request_model, facts.response_model) == ("m", None)


def test_the_usage_in_the_answer_fills_what_no_attribute_tells() -> None:
    answer = {"usage": {"prompt_tokens": 9, "completion_tokens": 3}, "choices": []}

    tokens = read(
        openinference, a_raw_span(LLM | {"output.value": json.dumps(answer)})
    ).facts.tokens

    assert (tokens.input, tokens.output) == (9, 3)


def test_llama_index_names_the_model_asked_for_and_its_limit() -> None:
    attributes = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "m",
        "llm.invocation_parameters": '{"num_output": 20, "model_name": "m"}',
        "llm.token_count.prompt": 9,
        "llm.finish_reason": "length",
        "output.value": "assistant: Ho",
    }

    facts = read(openinference, a_raw_span(attributes, scope_name=LLAMA_INDEX)).facts

    assert (facts.request_model, facts.response_model, facts.max_tokens) == ("m", None, 20)


@pytest.mark.parametrize(
    "attributes",
    [
        LLM | {"output.value": '{"messages": ["ChatMessage()"], "tools": []}'},
        {"openinference.span.kind": "EMBEDDING", "embedding.model_name": "unknown"},
    ],
    ids=["prepared arguments", "made-up embeddings"],
)
def test_llama_index_has_spans_of_models_that_ask_none(attributes: dict[str, Any]) -> None:
    raw = a_raw_span(attributes, scope_name=LLAMA_INDEX)

    assert openinference.normalise(raw, named(attributes)) is None


def test_an_answer_of_llama_index_without_tokens_is_a_call_all_the_same() -> None:
    attributes = LLM | {"output.value": "Ho"}

    assert read(openinference, a_raw_span(attributes, scope_name=LLAMA_INDEX)).finish == ()


def test_bedrock_spells_the_limits_its_own_way() -> None:
    asked = '{"maxTokens": 9, "topP": 0.5, "stopSequences": ["END"], "temperature": 0.2}'

    facts = read(openinference, a_raw_span(LLM | {"llm.invocation_parameters": asked})).facts

    assert (facts.max_tokens, facts.top_p, facts.stop_sequences) == (9, 0.5, ("END",))


@pytest.mark.parametrize("path", ["models/", "publishers/google/models/", ""])
def test_gemini_names_the_model_asked_for_in_the_request_alone(path: str) -> None:
    url = json.dumps({"contents": [], "_url": {"model": f"{path}gemini-2.5-flash"}})
    attributes = LLM | {
        "llm.model_name": "gemini-2.5-flash-001",
        "llm.invocation_parameters": '{"responseMimeType": "application/json"}',
        "input.value": url,
        "output.value": '{"candidates": [{"finishReason": "STOP"}]}',
    }

    facts = read(openinference, a_raw_span(attributes)).facts

    assert (facts.request_model, facts.response_model) == (
        "gemini-2.5-flash",
        "gemini-2.5-flash-001",
    )
    assert (facts.provider, facts.output_type) == ("gcp.gemini", "json")


def test_a_model_of_litellm_is_named_as_its_provider_names_it() -> None:
    attributes = {"openinference.span.kind": "LLM", "llm.model_name": "openai/gpt-4o-mini"}

    facts = read(openinference, a_raw_span(attributes)).facts

    assert (facts.provider, facts.request_model) == ("openai", "gpt-4o-mini")


def test_the_agents_sdk_calls_a_called_tool_a_stop() -> None:
    answer = {"object": "response", "status": "completed", "output": [{"type": "function_call"}]}
    attributes = LLM | {"llm.finish_reason": "stop", "output.value": json.dumps(answer)}

    assert read(openinference, a_raw_span(attributes)).finish == ("tool_call",)


def test_the_agents_sdk_raises_an_error_for_an_answer_that_was_cut() -> None:
    said = "incomplete_details=IncompleteDetails(reason='max_output_tokens')"

    raw = a_raw_span(LLM, status=2, status_message=said)

    assert read(openinference, raw).finish == ("length",)


def test_the_thread_of_langgraph_is_the_session() -> None:
    attributes = LLM | {"metadata": '{"thread_id": "t-7", "langgraph_step": 1}'}

    assert read(openinference, a_raw_span(attributes)).named["session_id"] == "t-7"


def test_many_vectors_are_not_parsed_for_the_name_of_the_model() -> None:
    vectors = json.dumps({"data": [{"embedding": [0.5] * 2_000}], "model": "e-2024"})
    attributes = {"openinference.span.kind": "EMBEDDING", "output.value": vectors}

    reading = read(openinference, a_raw_span(attributes))

    assert reading.facts.response_model == "e-2024"
    assert "output.value" in reading.content.consumed


def test_messages_keep_their_order_beyond_the_tenth() -> None:
    keys = [f"llm.input_messages.{index}.message.content" for index in range(12)]

    content = read(openinference, a_raw_span(LLM | {key: key for key in reversed(keys)})).content

    assert [item["content"] for item in content.input or ()] == keys


def test_a_long_answer_is_not_parsed_for_what_the_attributes_tell() -> None:
    answer = {"id": "chatcmpl-1", "text": "x" * 20_000, "model": "m-other"}
    counts = {"llm.token_count.prompt": 9, "llm.finish_reason": "stop"}
    attributes = LLM | counts | {"output.value": json.dumps(answer)}

    facts = read(openinference, a_raw_span(attributes)).facts

    assert (facts.response_id, facts.response_model) == ("chatcmpl-1", "m-2024")


def test_a_long_answer_is_parsed_where_the_attributes_lack_something() -> None:
    answer = {"id": "chatcmpl-1", "text": "x" * 20_000, "usage": {"prompt_tokens": 9}}

    tokens = read(
        openinference, a_raw_span(LLM | {"output.value": json.dumps(answer)})
    ).facts.tokens

    assert tokens.input == 9


def test_of_an_embedding_the_parameters_tell_the_model_asked_for() -> None:
    raw = a_raw_span(
        {
            "openinference.span.kind": "EMBEDDING",
            "embedding.invocation_parameters": '{"model": "openai/text-embedding-3-small"}',
            "embedding.model_name": "text-embedding-3-small-2024-07-18",
        },
        scope_name="openinference.instrumentation.litellm",
    )

    found = read(openinference, raw).facts

    assert found.request_model == "text-embedding-3-small"
    assert found.response_model == "text-embedding-3-small-2024-07-18"


def test_an_answer_that_litellm_passed_on_tells_its_model() -> None:
    raw = a_raw_span(
        LLM
        | {
            "llm.model_name": "openai/gpt-4o-mini",
            "llm.finish_reason": "tool_calls",
            "llm.token_count.prompt": 37,
            "output.value": '{"id":"chatcmpl-1","model":"gpt-4o-mini-2024-07-18","choices":[]}',
        },
        scope_name="openinference.instrumentation.litellm",
    )

    found = read(openinference, raw).facts

    assert (found.response_model, found.response_id) == ("gpt-4o-mini-2024-07-18", "chatcmpl-1")


@pytest.mark.parametrize(
    ("kind", "streaming"), [("text/event-stream; charset=utf-8", True), ("application/json", None)]
)
def test_the_headers_of_googles_response_tell_that_it_was_streamed(
    kind: str, streaming: bool | None
) -> None:
    answer = {"sdk_http_response": {"headers": {"content-type": kind}}, "candidates": []}
    raw = a_raw_span(LLM | {"output.value": json.dumps(answer)})

    assert read(openinference, raw).facts.streaming is streaming


def test_an_error_that_only_names_the_limit_is_no_cut_answer() -> None:
    raw = a_raw_span(LLM, status=2, status_message="Invalid 'max_output_tokens': below minimum")

    assert read(openinference, raw).finish == ()


@pytest.mark.parametrize(
    "form",
    [
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}},
        {"text": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
    ],
)
def test_the_schema_in_the_parameters_is_kept(form: dict[str, Any]) -> None:
    raw = a_raw_span(LLM | {"llm.invocation_parameters": json.dumps(form)})

    found = read(openinference, raw).facts

    assert found.output_type == "json"
    assert found.schema == form.get("response_format", form.get("text", {}).get("format"))
